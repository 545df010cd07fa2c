//! What `verify` takes.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::settings::{DeviceChoice, DtypeChoice, Threads};

/// What `verify` takes.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The folder of the record: record.json and positions.parquet
    #[arg(value_name = "RECORD", env = "DISTIL_RECORD", hide_env_values = true)]
    pub(crate) record: Option<PathBuf>,
    /// Score the models again on the recorded tokens, too
    #[arg(long, env = "DISTIL_RESCORE", value_name = "BOOL", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub(crate) rescore: Option<bool>,
    /// Draw the prompts again from their source [default: true]
    #[arg(long, env = "DISTIL_DRAW", value_name = "BOOL", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub(crate) draw: Option<bool>,
    /// Where the prompts are from, where the record names a place on the validator's host
    #[arg(long, env = "DISTIL_SOURCE", value_name = "SOURCE", hide_env_values = true)]
    pub(crate) source: Option<String>,
    /// Folder for lists of files and footers of the source [default: distil in the user's cache folder]
    #[arg(long, env = "DISTIL_CACHE", value_name = "DIR", hide_env_values = true)]
    pub(crate) cache: Option<PathBuf>,
    /// The command that runs a pass, such as "ssh gpu-host distil-worker" [default: this program's own `worker`]
    #[arg(long, env = "DISTIL_WORKER", value_name = "CMD", hide_env_values = true)]
    pub(crate) worker: Option<String>,
    /// Where the worker computes: cpu or cuda[:N] [default: cpu]
    #[arg(long, env = "DISTIL_DEVICE", value_name = "DEVICE", hide_env_values = true)]
    pub(crate) device: Option<DeviceChoice>,
    /// What the worker computes in [default: f32 on the CPU, bf16 on CUDA]
    #[arg(long, env = "DISTIL_DTYPE", value_enum, value_name = "DTYPE", hide_env_values = true)]
    pub(crate) dtype: Option<DtypeChoice>,
    /// Threads to compute with [default: RAYON_NUM_THREADS, else one per physical core]
    #[arg(long, env = "DISTIL_THREADS", value_name = "N", hide_env_values = true)]
    pub(crate) threads: Option<Threads>,
}
