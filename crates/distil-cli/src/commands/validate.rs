//! `distil validate`: the epoch loop against a live network.

mod log;
mod pins;
pub(crate) mod wiring;

use std::io::Write;

use anyhow::anyhow;
use distil_store::{Store, StoreError};
use distil_validator::{EpochEnd, Parts, Stop, Validator, ValidatorError};
use serde_json::json;

use self::log::LogObserver;
use crate::chain::{Conventions, chain_error, client, runtime};
use crate::commands::commit::open_hotkey;
use crate::exit::{CommandError, ExitStatus};
use crate::hub::{HubAccess, hub_error};
use crate::output::{OutputError, write_json};
use crate::settings::{Common, Format, Validate};

/// Runs epochs until a signal ends it, or one of them.
///
/// The status is [`ExitStatus::TryAgain`] where `--once` met with something that may pass.
pub(crate) fn run(
    settings: &Validate,
    common: Common,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<ExitStatus, OutputError> {
    let stop = Stop::default();
    wiring::stop_on_signals(&stop)?;
    log::start(settings.log_format, common);
    let access = HubAccess::default();
    let hub = access.get()?.clone();
    let asking = client(&settings.network, None)?;
    let conventions = runtime()?.block_on(Conventions::of(&settings.network, &asking))?;
    // From here on no other chain is read or signed for.
    let client = client(&settings.network, Some(conventions.genesis))?;
    let signer = match &settings.signatory {
        Some(signatory) => Some(open_hotkey(&signatory.wallet, &signatory.hotkey, notes)?),
        None => None,
    };
    let mut store = Store::open(&settings.state).map_err(store_error)?;
    store.bind_subnet(settings.profile.netuid, conventions.genesis).map_err(store_error)?;
    let kept = pins::of_last_round(&store).map_err(store_error)?;
    let source = pins::source(&settings.source, kept.as_ref(), &hub)?;
    let teacher_revision = pins::teacher(settings, kept.as_ref(), &hub)?;
    let parts = Parts {
        chain: client,
        hub,
        store,
        worker: wiring::worker(settings.worker.as_deref())?,
        signer,
        clock: Box::new(wiring::now_unix_ms),
        observer: Box::new(LogObserver::default()),
        stop,
    };
    let validator = wiring::settings(settings, teacher_revision, source, conventions)?;
    let mut validator = Validator::new(validator, parts).map_err(validator_error)?;
    if !settings.once {
        validator.run().map_err(validator_error)?;
        return Ok(ExitStatus::Done);
    }
    let end = validator.epoch().map_err(validator_error)?;
    let (what, round) = match end {
        EpochEnd::Round(round) => ("round", Some(round)),
        EpochEnd::NoRound => ("no_round", None),
        _ => ("not_yet", None),
    };
    let king = validator.store().king().map_err(store_error)?;
    match common.format {
        Format::Json => {
            let king = king.map(|reign| {
                json!({ "miner": reign.king.miner, "model": reign.king.commitment.model,
                        "revision": reign.king.commitment.revision, "kl": reign.king.kl_nats })
            });
            write_json(out, &json!({ "epoch": what, "round": round, "king": king }))?;
        }
        Format::Text => {
            let text = match (what, round) {
                ("round", Some(round)) => format!("round {round} is over"),
                ("no_round", _) => "there was nothing to evaluate".to_owned(),
                _ => "the chain has no new round block yet".to_owned(),
            };
            let king = king.map_or_else(
                || "nobody is king".to_owned(),
                |reign| format!("{} is king with {}", reign.king.miner, reign.king.commitment),
            );
            writeln!(out, "{text}; {king}")?;
            out.flush()?;
        }
    }
    Ok(ExitStatus::Done)
}

/// What the store's trouble means to the caller.
pub(crate) fn store_error(error: StoreError) -> CommandError {
    if error.is_transient() { CommandError::try_again(error) } else { CommandError::usage(error) }
}

/// What a validator's trouble means to the caller.
pub(crate) fn validator_error(error: ValidatorError) -> CommandError {
    match error {
        ValidatorError::Chain(error) => chain_error(error),
        ValidatorError::Hub(error) => hub_error(error),
        ValidatorError::Store(error) => store_error(error),
        error @ (ValidatorError::Rules(_) | ValidatorError::Stored { .. } | ValidatorError::Runtime(_)) => {
            CommandError::ours(anyhow!(error))
        }
        error if error.is_transient() => CommandError::try_again(anyhow!(error)),
        error => CommandError::usage(anyhow!(error)),
    }
}
