//! What `validate` takes.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use distil_types::NetUid;

use crate::settings::{
    DeviceChoice, DtypeChoice, LogFormat, Network, Probability, PromptCount, Temperature, Threads, TokenLimit,
};

/// What `validate` takes. Everything is optional here: the environment or the file may have it.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The chain: finney, test, local, or the ws:// or wss:// address of a node [default: finney]
    #[arg(long, env = "DISTIL_NETWORK", value_name = "NET", hide_env_values = true)]
    pub(crate) network: Option<Network>,
    /// The subnet [default: 97]
    #[arg(long, env = "DISTIL_NETUID", value_name = "N", hide_env_values = true)]
    pub(crate) netuid: Option<NetUid>,
    /// The wallet's name; without a wallet rounds are held and no weights are set
    #[arg(long, env = "DISTIL_WALLET", value_name = "NAME", hide_env_values = true)]
    pub(crate) wallet: Option<String>,
    /// The name of the wallet's hotkey that sets weights
    #[arg(long, env = "DISTIL_HOTKEY", value_name = "NAME", hide_env_values = true)]
    pub(crate) hotkey: Option<String>,
    /// The folder of the wallets [default: ~/.bittensor/wallets]
    #[arg(long, env = "DISTIL_WALLET_PATH", value_name = "DIR", hide_env_values = true)]
    pub(crate) wallet_path: Option<PathBuf>,
    /// The folder for all that the validator knows, and for the records of its rounds
    #[arg(long, env = "DISTIL_STATE", value_name = "DIR", hide_env_values = true)]
    pub(crate) state: Option<PathBuf>,
    /// Do what is due, and end
    #[arg(long, env = "DISTIL_ONCE", value_name = "BOOL", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub(crate) once: Option<bool>,
    /// The teacher: owner/repo[@revision] on the Hugging Face Hub; without a revision that of the state's last round with
    /// it, else the newest [default: the profile's, at a commit]
    #[arg(long, env = "DISTIL_TEACHER", value_name = "MODEL", hide_env_values = true)]
    pub(crate) teacher: Option<String>,
    /// Where prompts come from: hub:OWNER/DATASET[@REV], or a file or folder; without a revision that of the state's last
    /// round with it, else the newest [default: hub:HuggingFaceFW/fineweb at the commit that subnet 97 uses]
    #[arg(long, env = "DISTIL_SOURCE", value_name = "SOURCE", hide_env_values = true)]
    pub(crate) source: Option<String>,
    /// Folder for lists of files and footers of the source [default: distil in the user's cache folder]
    #[arg(long, env = "DISTIL_CACHE", value_name = "DIR", hide_env_values = true)]
    pub(crate) cache: Option<PathBuf>,
    /// Prompts of a round [default: 40]
    #[arg(long, env = "DISTIL_COUNT", value_name = "N", hide_env_values = true)]
    pub(crate) count: Option<PromptCount>,
    /// The most tokens of a prompt [default: 1024]
    #[arg(long, env = "DISTIL_MAX_PROMPT_TOKENS", value_name = "N", hide_env_values = true)]
    pub(crate) max_prompt_tokens: Option<TokenLimit>,
    /// The most tokens of a continuation [default: 512]
    #[arg(long, env = "DISTIL_MAX_NEW_TOKENS", value_name = "N", hide_env_values = true)]
    pub(crate) max_new_tokens: Option<TokenLimit>,
    /// Draw the teacher's tokens at this temperature instead of taking the likeliest
    #[arg(long, env = "DISTIL_TEMPERATURE", value_name = "T", hide_env_values = true)]
    pub(crate) temperature: Option<Temperature>,
    /// Draw from the likeliest tokens that hold this much of the probability [default: 1, with a temperature]
    #[arg(long, env = "DISTIL_TOP_P", value_name = "P", hide_env_values = true)]
    pub(crate) top_p: Option<Probability>,
    /// The command that runs a pass, such as "ssh gpu-host distil-worker" [default: this program's own `worker`]
    #[arg(long, env = "DISTIL_WORKER", value_name = "CMD", hide_env_values = true)]
    pub(crate) worker: Option<String>,
    /// Where the worker computes: cpu or cuda[:N] [default: cpu]
    #[arg(long, env = "DISTIL_DEVICE", value_name = "DEVICE", hide_env_values = true)]
    pub(crate) device: Option<DeviceChoice>,
    /// What the worker computes in [default: f32 on the CPU, bf16 on CUDA]
    #[arg(long, env = "DISTIL_DTYPE", value_enum, value_name = "DTYPE", hide_env_values = true)]
    pub(crate) dtype: Option<DtypeChoice>,
    /// Threads to compute and to hash with [default: RAYON_NUM_THREADS, else one per physical core]
    #[arg(long, env = "DISTIL_THREADS", value_name = "N", hide_env_values = true)]
    pub(crate) threads: Option<Threads>,
    /// The most challengers of one round; the others wait for the next [default: 15]
    #[arg(long, env = "DISTIL_MAX_CHALLENGERS", value_name = "N", hide_env_values = true)]
    pub(crate) max_challengers: Option<PromptCount>,
    /// Repositories that are checked at the same time [default: 8]
    #[arg(long, env = "DISTIL_CHECKS_AT_ONCE", value_name = "N", hide_env_values = true)]
    pub(crate) checks_at_once: Option<Threads>,
    /// Confidence that the paired test has to reach for a crown [default: none, the test is only reported]
    #[arg(long, env = "DISTIL_MIN_CONFIDENCE", value_name = "P", hide_env_values = true)]
    pub(crate) min_confidence: Option<Probability>,
    /// How log lines are written to standard error [default: text]
    #[arg(long, env = "DISTIL_LOG_FORMAT", value_enum, value_name = "FORMAT", hide_env_values = true)]
    pub(crate) log_format: Option<LogFormat>,
}
