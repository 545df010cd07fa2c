//! `distil state`: what an operator does to a validator's state by hand.

use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use comfy_table::{Table, presets};
use distil_store::{ImportOptions, ImportOutcome, ImportReport, Store, StoreError, preview_import};
use serde::Serialize;
use serde_json::json;

use crate::args::{ImportArgs, LiftArgs};
use crate::exit::{CommandError, ExitStatus};
use crate::output::{OutputError, write_json};
use crate::settings::Format;
use crate::text::visible;

/// Takes in the files of the original validator.
pub(crate) fn import(
    args: &ImportArgs,
    state: &Path,
    format: Format,
    out: &mut dyn Write,
) -> Result<ExitStatus, OutputError> {
    let options = ImportOptions { king: args.king };
    let dry_run = args.dry_run.unwrap_or_default();
    let report = if dry_run {
        preview_import(state, &args.from, &options)
    } else {
        Store::open(state).and_then(|mut store| store.import_legacy(&args.from, &options, now_unix_ms()))
    };
    let report = report.map_err(store_error)?;
    match format {
        Format::Json => {
            #[derive(Serialize)]
            struct Document<'a> {
                dry_run: bool,
                placed: usize,
                already_there: usize,
                not_placed: usize,
                #[serde(flatten)]
                report: &'a ImportReport,
            }
            let (placed, already_there, not_placed) = report.counts();
            write_json(out, &Document { dry_run, placed, already_there, not_placed, report: &report })?;
        }
        Format::Text => {
            write_report(&report, dry_run, out)?;
            out.flush()?;
        }
    }
    Ok(ExitStatus::Done)
}

fn write_report(report: &ImportReport, dry_run: bool, out: &mut dyn Write) -> Result<(), OutputError> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["file", "key", "outcome", "as what, or why not"]);
    for entry in &report.entries {
        let (outcome, text) = match &entry.outcome {
            ImportOutcome::Placed { as_what } => ("placed", as_what),
            ImportOutcome::AlreadyThere { as_what } => ("there already", as_what),
            ImportOutcome::NotPlaced { reason } => ("left out", reason),
        };
        table.add_row([
            visible(&entry.file).to_string(),
            visible(&entry.key).to_string(),
            outcome.to_owned(),
            visible(text).to_string(),
        ]);
    }
    writeln!(out, "{}\n", table.trim_fmt())?;
    let (placed, there, left) = report.counts();
    let would = if dry_run { "would be placed" } else { "placed" };
    writeln!(out, "{placed} {would}, {there} there already, {left} left out")?;
    Ok(())
}

/// Lifts a disqualification.
pub(crate) fn lift(
    args: &LiftArgs,
    state: &Path,
    format: Format,
    out: &mut dyn Write,
) -> Result<ExitStatus, OutputError> {
    // A folder without a state is a slip of the pen here, not a place to begin one.
    distil_store::StoreReader::open(state).map_err(store_error)?;
    let lifted =
        Store::open(state).and_then(|mut store| store.lift_disqualification(&args.miner, &args.reason, now_unix_ms()));
    match lifted {
        Ok(()) => {}
        Err(error @ StoreError::NotFound { .. }) => {
            return Err(CommandError::usage(error).with_hint("`distil status` lists who is disqualified").into());
        }
        Err(error) => return Err(store_error(error).into()),
    }
    match format {
        Format::Json => write_json(out, &json!({ "miner": args.miner, "lifted": true }))?,
        Format::Text => {
            writeln!(out, "the disqualification of {} is lifted", args.miner)?;
            out.flush()?;
        }
    }
    Ok(ExitStatus::Done)
}

/// How a command ends when the state cannot be used.
pub(crate) fn store_error(error: StoreError) -> CommandError {
    if error.is_transient() {
        return CommandError::try_again(error);
    }
    match error {
        StoreError::Sqlite { .. } | StoreError::Unreadable { .. } => CommandError::ours(error),
        _ => CommandError::usage(error),
    }
}

fn now_unix_ms() -> u64 {
    // A clock before 1970 is taken for 1970: the time is only shown.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
