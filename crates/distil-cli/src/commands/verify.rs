//! `distil verify`: a record, held to what it says of itself.

use std::io::Write;
use std::path::Path;

use anyhow::anyhow;
use distil_eval::record::RECORD_JSON;
use distil_validator::record::{self, RoundRecord, Verification};

use crate::commands::validate::validator_error;
use crate::exit::{CommandError, ExitStatus};
use crate::output::{OutputError, write_json};
use crate::settings::{Common, Format, Verify};
use crate::text::visible;

mod again;

/// Verifies a record; the status is [`ExitStatus::AnswerIsNo`] where anything does not fit.
pub(crate) fn run(
    settings: &Verify,
    common: Common,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<ExitStatus, OutputError> {
    let (record, mut found) = verify(&settings.record)?;
    if let Some(record) = record.filter(|_| found.is_sound()) {
        if settings.prompts {
            again::draw(&record, settings, common, notes, &mut found)?;
        }
        if settings.rescore {
            again::rescore(&record, settings, common, notes, &mut found)?;
        }
    }
    match common.format {
        Format::Json => write_json(out, &found)?,
        Format::Text => {
            let mut page = String::new();
            if let Some(round) = found.round {
                page.push_str(&format!("round {round}\n"));
            }
            for checked in &found.checked {
                page.push_str(&format!("  checked: {checked}\n"));
            }
            for left in &found.not_checked {
                let line = format!("{}: {}", left.place, left.reason);
                page.push_str(&format!("  not checked: {}\n", visible(&line)));
            }
            for other in &found.other_rules {
                let line = format!("{} is {}, the subnet's is {}", other.place, other.recorded, other.profile);
                page.push_str(&format!("  another rule: {}\n", visible(&line)));
            }
            for problem in &found.problems {
                page.push_str(&format!("  WRONG: {}\n", visible(&problem.to_string())));
            }
            page.push_str(if found.is_sound() { "the record verifies\n" } else { "the record does not verify\n" });
            out.write_all(page.as_bytes())?;
            out.flush()?;
        }
    }
    Ok(if found.is_sound() { ExitStatus::Done } else { ExitStatus::AnswerIsNo })
}

fn verify(folder: &Path) -> Result<(Option<RoundRecord>, Verification), CommandError> {
    let hint = "give the folder of a record, which holds record.json and positions.parquet";
    if !folder.is_dir() {
        return Err(CommandError::usage(anyhow!("{}: no such folder", folder.display())).with_hint(hint));
    }
    if !folder.join(RECORD_JSON).exists() {
        let problem = anyhow!("{}: there is no record here: it has no {RECORD_JSON}", folder.display());
        return Err(CommandError::usage(problem).with_hint(hint));
    }
    record::verify(folder).map_err(validator_error)
}
