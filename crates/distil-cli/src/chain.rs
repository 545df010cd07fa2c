//! The chain as the program uses it: a client for a network, and what its trouble means to the caller.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use anyhow::{Context as _, anyhow};
use distil_chain::{ChainClient, ChainError, ChainSettings, ErrorClass};
use tokio::runtime::{Builder, Runtime};

use crate::exit::CommandError;
use crate::settings::Network;

/// What the client runs on: one thread, with a clock and a network.
///
/// # Errors
///
/// A fault of ours where the system gives none.
pub(crate) fn runtime() -> Result<Runtime, CommandError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")
        .map_err(CommandError::ours)
}

/// A client of this network. It connects when it is used.
///
/// # Errors
///
/// As [`chain_error`] has it.
pub(crate) fn client(network: &Network) -> Result<ChainClient, CommandError> {
    // Two programs that fail together do not come back together.
    let jitter_seed = RandomState::new().build_hasher().finish();
    let settings = ChainSettings::new(vec![network.endpoint()], jitter_seed);
    // Somebody waits for the answer: some seconds of trying, not minutes.
    ChainClient::new(ChainSettings { max_attempts: 4, ..settings }).map_err(chain_error)
}

/// What the chain's trouble means to the caller: try again where it may pass.
pub(crate) fn chain_error(error: ChainError) -> CommandError {
    let class = error.class();
    let fate_is_open = matches!(error, ChainError::FateUnknown { .. });
    let is_setting = matches!(error, ChainError::Setting { .. } | ChainError::NoSubnet { .. });
    let is_ours = matches!(error, ChainError::UnsupportedMetadata { .. } | ChainError::Timelock(_));
    let error = anyhow!(error);
    match class {
        ErrorClass::TryAgain if fate_is_open => CommandError::try_again(error)
            .with_hint("nothing is sent twice: `distil commit --dry-run` tells whether the chain has it by now"),
        ErrorClass::TryAgain => CommandError::try_again(error),
        ErrorClass::Wait { blocks } => CommandError::try_again(error)
            .with_hint(format!("try again after {blocks} blocks, which take about {} minutes", blocks.div_ceil(5))),
        ErrorClass::Never if is_setting => CommandError::usage(error).with_hint("check --network and --netuid"),
        ErrorClass::Never if is_ours => CommandError::ours(error).with_hint("a newer version of distil may know it"),
        ErrorClass::Never => CommandError::no(error),
    }
}
