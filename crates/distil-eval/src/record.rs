//! The folder in which a run can be checked by anyone: `record.json` and `positions.parquet`.
//!
//! `record.json` is canonical JSON: keys sorted by their bytes, no blanks, numbers in the shortest form that reads
//! back as the same value, no NaN and no infinity. It holds nothing of the host (no path, no time), so the same run
//! gives the same bytes. `positions.parquet` has one row for each scored position of each student.

mod canonical;
mod document;
mod folder;
mod positions;

pub use document::{RecordedSetting, RecordedSettings, RunEnvironment};
pub use folder::{check_writable, write_folder};
pub use positions::PositionRow;
pub use positions::read_positions;

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
    Ok(vec![
        (RECORD_JSON.to_owned(), canonical::to_bytes(&document)),
        (POSITIONS_PARQUET.to_owned(), positions::write(outcome)?),
    ])
}
