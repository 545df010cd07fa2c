//! The folder in which a run can be checked by anyone: `record.json` and `positions.parquet`.
//!
//! `record.json` is canonical JSON: keys sorted by their bytes, no blanks, numbers in the shortest form that reads
//! back as the same value, no NaN and no infinity. It holds nothing of the host (no path, no time), so the same run
//! gives the same bytes. `positions.parquet` has one row for each scored position of each student.

mod canonical;
mod document;
mod folder;
mod pages;
mod positions;

pub use canonical::canonical_json;
pub use document::{RecordedSetting, RecordedSettings, RunEnvironment};
pub use folder::{check_writable, write_folder};
pub use positions::{PositionRow, PositionRows, StudentPositions, positions_table, read_positions};

use crate::{EvalError, ScoreOutcome};

/// Name of the JSON document in a record.
pub const RECORD_JSON: &str = "record.json";

/// Name of the table in a record.
pub const POSITIONS_PARQUET: &str = "positions.parquet";

/// The files of a record as name and content, ready for [`write_folder`], which takes further files beside them.
///
/// # Errors
/// [`EvalError::Record`] if a setting holds something JSON can't.
pub fn files(
    outcome: &ScoreOutcome,
    settings: &RecordedSettings,
    environment: &RunEnvironment,
) -> Result<Vec<(String, Vec<u8>)>, EvalError> {
    let document = document::document(outcome, settings, environment)?;
    let students: Vec<StudentPositions<'_>> = outcome
        .report
        .students
        .iter()
        .zip(&outcome.students)
        .map(|(report, student)| (report.model.as_str(), student.positions_kl_nats.as_slice()))
        .collect();
    let sequences: Vec<_> = outcome.prompts.iter().map(|prompt| &prompt.sequence).collect();
    Ok(vec![
        (RECORD_JSON.to_owned(), canonical_json(&document)),
        (POSITIONS_PARQUET.to_owned(), positions_table(&students, &sequences)?),
    ])
}
