//! What `check` takes.

use clap::Args;
use clap::builder::BoolishValueParser;
use distil_types::Revision;

use crate::settings::{ProfileChoice, Threads};

/// What `check` takes. Everything is optional here: the environment or the file may have it.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The model: a folder, or owner/repo[@revision] on the Hugging Face Hub
    #[arg(value_name = "MODEL", env = "DISTIL_MODEL", hide_env_values = true)]
    pub(crate) model: Option<String>,
    /// The commit of the model's repository [default: the newest of its main branch]
    #[arg(long, env = "DISTIL_REVISION", value_name = "SHA", hide_env_values = true)]
    pub(crate) revision: Option<Revision>,
    /// Whose vocabulary and tokenizer the model has to have [default: the profile's teacher]
    #[arg(long, env = "DISTIL_TEACHER", value_name = "MODEL", hide_env_values = true)]
    pub(crate) teacher: Option<String>,
    /// A model of which it may be a copy; may be repeated (in the environment several are separated as in PATH). Both
    /// are downloaded, unless their files already tell
    #[arg(long, env = "DISTIL_AGAINST", value_name = "MODEL", hide_env_values = true)]
    pub(crate) against: Option<Vec<String>>,
    /// The subnet's rules [default: sn97]
    #[arg(long, env = "DISTIL_PROFILE", value_enum, value_name = "NAME", hide_env_values = true)]
    pub(crate) profile: Option<ProfileChoice>,
    /// Download the weights, verify them, and give the digest of the tensors
    #[arg(long, env = "DISTIL_DOWNLOAD", value_name = "BOOL", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub(crate) download: Option<bool>,
    /// Threads to hash and compare with [default: RAYON_NUM_THREADS, else one per physical core]
    #[arg(long, env = "DISTIL_THREADS", value_name = "N", hide_env_values = true)]
    pub(crate) threads: Option<Threads>,
}
