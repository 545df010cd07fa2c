//! What `demo` takes.

use std::path::PathBuf;

use clap::Args;

use crate::settings::Threads;

/// What `demo` takes.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// A new folder for models, state and records [default: one among the temporary files]
    #[arg(long, env = "DISTIL_OUT", value_name = "DIR", hide_env_values = true)]
    pub(crate) out: Option<PathBuf>,
    /// Threads to compute with [default: RAYON_NUM_THREADS, else one per physical core]
    #[arg(long, env = "DISTIL_THREADS", value_name = "N", hide_env_values = true)]
    pub(crate) threads: Option<Threads>,
}
