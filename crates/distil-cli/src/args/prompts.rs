//! What `prompts` takes, and with it every command that draws prompts.

use std::path::PathBuf;

use clap::Args;
use distil_types::{BlockHash, NetUid};

use crate::settings::{PromptCount, SamplerChoice, Threads};

/// What prompts are drawn from, and by which block.
#[derive(Debug, Args)]
pub(crate) struct DrawArgs {
    /// Where prompts are drawn from: hub:OWNER/DATASET[@REVISION[/FOLDER]], a folder or file of parquet, a .txt, .jsonl
    /// or .json file [default, where a block is given: hub:HuggingFaceFW/fineweb at the commit that subnet 97 uses]
    #[arg(long, env = "DISTIL_SOURCE", value_name = "SOURCE", hide_env_values = true)]
    pub(crate) source: Option<String>,
    /// The block that decides the draw
    #[arg(long, env = "DISTIL_BLOCK", value_name = "N", hide_env_values = true)]
    pub(crate) block: Option<u64>,
    /// The block's hash: 64 hexadecimal digits, with or without 0x
    #[arg(long, env = "DISTIL_BLOCK_HASH", value_name = "HEX", hide_env_values = true)]
    pub(crate) block_hash: Option<BlockHash>,
    /// Prompts to draw [default: 40]
    #[arg(long, env = "DISTIL_COUNT", value_name = "N", hide_env_values = true)]
    pub(crate) count: Option<PromptCount>,
    /// How documents are drawn: distil, or as the original validator did [default: distil]
    #[arg(long, env = "DISTIL_SAMPLER", value_enum, value_name = "SAMPLER", hide_env_values = true)]
    pub(crate) sampler: Option<SamplerChoice>,
    /// The subnet whose round it is [default: 97]
    #[arg(long, env = "DISTIL_NETUID", value_name = "N", hide_env_values = true)]
    pub(crate) netuid: Option<NetUid>,
    /// Where lists of files and parquet footers are kept between draws [default: distil in the user's cache folder]
    #[arg(long, env = "DISTIL_CACHE", value_name = "DIR", hide_env_values = true)]
    pub(crate) cache: Option<PathBuf>,
}

/// What `prompts` takes. Everything is optional here: the environment or the file may have it.
#[derive(Debug, Args)]
pub(crate) struct PromptsArgs {
    #[command(flatten)]
    pub(crate) draw: DrawArgs,
    /// Documents read at the same time [default: 8]
    #[arg(long, env = "DISTIL_THREADS", value_name = "N", hide_env_values = true)]
    pub(crate) threads: Option<Threads>,
}
