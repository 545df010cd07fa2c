//! What `status` and `state` take.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand};
use distil_types::MinerKey;

/// Where a validator's state is.
#[derive(Debug, Args)]
pub(crate) struct StateFolderArgs {
    /// The folder of a validator's state
    #[arg(long, env = "DISTIL_STATE", value_name = "DIR", hide_env_values = true)]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Take in what the original validator left in a folder of state/*.json
    ///
    /// Scores, rounds and kings become history that decides nothing. A disqualification is carried over where its miner
    /// is certain (its key has hotkey and commit block, or a file of commitments proves them) and its reason is a copy or
    /// a fraud. What is left out is told, with the reason. Doing it twice changes nothing.
    Import(ImportArgs),
    /// Lift a miner's disqualification
    ///
    /// The disqualification stays in the history, with the reason for lifting it. What came with it goes: the repository
    /// is checked anew, and the miner is evaluated anew if the round that disqualified it had counted it as evaluated.
    Lift(LiftArgs),
}

/// What `state import` takes.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The folder with the files to take in
    #[arg(value_name = "DIR")]
    pub(crate) from: PathBuf,
    #[command(flatten)]
    pub(crate) folder: StateFolderArgs,
    /// Only say what would be done
    #[arg(long, env = "DISTIL_DRY_RUN", value_name = "BOOL", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub(crate) dry_run: Option<bool>,
    /// Crown this miner; the files have to show its commitment, and the state must never have had a king
    #[arg(long, value_name = "HOTKEY@BLOCK")]
    pub(crate) king: Option<MinerKey>,
}

/// What `state lift` takes.
#[derive(Debug, Args)]
pub(crate) struct LiftArgs {
    /// The miner: its hotkey and the block of its commitment
    #[arg(value_name = "HOTKEY@BLOCK")]
    pub(crate) miner: MinerKey,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) folder: StateFolderArgs,
}
