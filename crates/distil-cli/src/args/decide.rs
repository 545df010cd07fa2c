//! What `decide` takes.

use std::path::PathBuf;

use clap::Args;

/// What `decide` takes.
#[derive(Debug, Args)]
pub(crate) struct DecideArgs {
    /// The recorded round: a JSON file with its number of prompts, its king and its students
    #[arg(value_name = "ROUND", env = "DISTIL_ROUND", hide_env_values = true)]
    pub(crate) round: PathBuf,
}
