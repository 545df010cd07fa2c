//! What `commit` takes.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use distil_types::{NetUid, Revision};

use crate::settings::{Network, ProfileChoice, Seconds};

/// What `commit` takes. Everything is optional here: the environment or the file may have it.
#[derive(Debug, Args)]
pub(crate) struct CommitArgs {
    /// The model: owner/repo[@revision] on the Hugging Face Hub
    #[arg(long, env = "DISTIL_MODEL", value_name = "MODEL", hide_env_values = true)]
    pub(crate) model: Option<String>,
    /// The commit of the model's repository [default: the newest of its main branch]
    #[arg(long, env = "DISTIL_REVISION", value_name = "SHA", hide_env_values = true)]
    pub(crate) revision: Option<Revision>,
    /// The wallet's name
    #[arg(long, env = "DISTIL_WALLET", value_name = "NAME", hide_env_values = true)]
    pub(crate) wallet: Option<String>,
    /// The name of the wallet's hotkey that commits
    #[arg(long, env = "DISTIL_HOTKEY", value_name = "NAME", hide_env_values = true)]
    pub(crate) hotkey: Option<String>,
    /// The folder of the wallets [default: ~/.bittensor/wallets]
    #[arg(long, env = "DISTIL_WALLET_PATH", value_name = "DIR", hide_env_values = true)]
    pub(crate) wallet_path: Option<PathBuf>,
    /// The chain: finney, test, local, or the ws:// or wss:// address of a node [default: finney]
    #[arg(long, env = "DISTIL_NETWORK", value_name = "NET", hide_env_values = true)]
    pub(crate) network: Option<Network>,
    /// The subnet [default: 97]
    #[arg(long, env = "DISTIL_NETUID", value_name = "N", hide_env_values = true)]
    pub(crate) netuid: Option<NetUid>,
    /// Whose vocabulary and tokenizer the model has to have [default: the profile's teacher]
    #[arg(long, env = "DISTIL_TEACHER", value_name = "MODEL", hide_env_values = true)]
    pub(crate) teacher: Option<String>,
    /// The subnet's rules [default: sn97]
    #[arg(long, env = "DISTIL_PROFILE", value_enum, value_name = "NAME", hide_env_values = true)]
    pub(crate) profile: Option<ProfileChoice>,
    /// How long nobody can read the commitment [default: 4320, which is 360 blocks]
    #[arg(long, env = "DISTIL_REVEAL_AFTER", value_name = "SECONDS", hide_env_values = true)]
    pub(crate) reveal_after: Option<Seconds>,
    /// Wait until the commitment is revealed [default: true]
    #[arg(long, env = "DISTIL_WAIT_REVEAL", value_name = "BOOL", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub(crate) wait_reveal: Option<bool>,
    /// Check everything, show what would be committed, and send nothing
    #[arg(long, env = "DISTIL_DRY_RUN", value_name = "BOOL", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub(crate) dry_run: Option<bool>,
    /// Do not ask for a confirmation
    #[arg(long, short, env = "DISTIL_YES", value_name = "BOOL", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub(crate) yes: Option<bool>,
}
