//! What `score-local` takes.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::DrawArgs;
use crate::settings::{DeviceChoice, DtypeChoice, Probability, Temperature, Threads, TokenLimit};

/// What `score-local` takes. Everything is optional here: the environment or the file may have it.
#[derive(Debug, Args)]
pub(crate) struct ScoreLocalArgs {
    /// The teacher: a folder, or owner/repo[@revision]
    #[arg(long, env = "DISTIL_TEACHER", value_name = "MODEL", hide_env_values = true)]
    pub(crate) teacher: Option<String>,
    /// A student: a folder, or owner/repo[@revision]; may be repeated (in the environment several are separated as in
    /// PATH)
    #[arg(long = "student", env = "DISTIL_STUDENT", value_name = "MODEL", hide_env_values = true)]
    pub(crate) students: Option<Vec<String>>,
    /// The prompts: a .json file with a list of strings, taken as they are
    #[arg(long, env = "DISTIL_PROMPTS", value_name = "FILE", hide_env_values = true)]
    pub(crate) prompts: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) draw: DrawArgs,
    /// Cut each prompt to its first N tokens [default: 1024]
    #[arg(long, env = "DISTIL_MAX_PROMPT_TOKENS", value_name = "N", hide_env_values = true)]
    pub(crate) max_prompt_tokens: Option<TokenLimit>,
    /// Continue each prompt by at most N tokens [default: 512]
    #[arg(long, env = "DISTIL_MAX_NEW_TOKENS", value_name = "N", hide_env_values = true)]
    pub(crate) max_new_tokens: Option<TokenLimit>,
    /// Let the teacher draw its continuations at this temperature [default: greedy]
    #[arg(long, env = "DISTIL_TEMPERATURE", value_name = "T", hide_env_values = true)]
    pub(crate) temperature: Option<Temperature>,
    /// Draw from the most likely tokens that hold this share of the probability; needs --temperature [default: 1]
    #[arg(long, env = "DISTIL_TOP_P", value_name = "P", hide_env_values = true)]
    pub(crate) top_p: Option<Probability>,
    /// Seed of the draws; needs --temperature [default: 0]
    #[arg(long, env = "DISTIL_SEED", value_name = "N", hide_env_values = true)]
    pub(crate) seed: Option<u64>,
    /// Where to compute: cpu, cuda or cuda:N [default: cpu]
    #[arg(long, env = "DISTIL_DEVICE", value_name = "DEVICE", hide_env_values = true)]
    pub(crate) device: Option<DeviceChoice>,
    /// What to compute in [default: f32 on the CPU, bf16 on CUDA]
    #[arg(long, env = "DISTIL_DTYPE", value_enum, value_name = "DTYPE", hide_env_values = true)]
    pub(crate) dtype: Option<DtypeChoice>,
    /// Threads to compute with [default: RAYON_NUM_THREADS, else one per physical core]
    #[arg(long, env = "DISTIL_THREADS", value_name = "N", hide_env_values = true)]
    pub(crate) threads: Option<Threads>,
    /// Stop a student early once it surely trails the first one
    #[arg(long, env = "DISTIL_EARLY_STOP", value_name = "BOOL", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub(crate) early_stop: Option<bool>,
    /// Write record.json, positions.parquet and report.html into this folder
    #[arg(long, env = "DISTIL_OUT", value_name = "DIR", hide_env_values = true)]
    pub(crate) out: Option<PathBuf>,
}
