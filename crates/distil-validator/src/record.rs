//! Records: the folder of a round that came to an outcome, which anybody can check. A round that is void through its king
//! has one, too: what the king failed with is in it.
//!
//! `record.json` is canonical JSON, `positions.parquet` has every position of every student. Each part of the document has
//! its digest in the document, so a changed byte is found and its place is named; and all that follows from other parts
//! (digests of texts and tokens, statistics, copies, early stops, the decision) is computed anew by [`verify`], so a
//! record that was forged as a whole has to be forged in its numbers, which `--rescore` computes again.

mod document;
mod loaded;
mod verify;

use crate::ValidatorError;
use distil_eval::record::{
    POSITIONS_PARQUET, RECORD_JSON, StudentPositions, canonical_json, positions_table, write_folder,
};
use distil_store::{RecordDigest, Round, WrittenRecord};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::path::Path;

pub use document::{IntegrityRecord, ProfileRecord, PromptRecord, RoundRecord, StudentRecord};
pub use loaded::compare_loaded;
pub use verify::{NotChecked, OtherRule, Problem, Verification, read, verify};

/// The kind of record that this is.
pub const KIND: &str = "round";

/// SHA-256 of a text's UTF-8, in hex.
pub(crate) fn text_digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes the record of a round that came to an outcome: both files, at once.
///
/// # Errors
///
/// The round has no outcome or is not whole, or the folder cannot be written.
pub fn write(folder: &Path, round: &Round, weights: &Value) -> Result<WrittenRecord, ValidatorError> {
    let prompts = match &round.teacher {
        Some(teacher) => crate::stored::scored_prompts(&round.start.prompts, teacher)?,
        None => Vec::new(),
    };
    let sequences: Vec<_> = prompts.iter().map(|prompt| &prompt.sequence).collect();
    let names: Vec<String> = round.start.plan.students().iter().map(|student| student.miner.to_string()).collect();
    let none = Vec::new();
    let students: Vec<StudentPositions<'_>> = round
        .start
        .plan
        .students()
        .iter()
        .zip(&names)
        .map(|(student, name)| {
            let positions = round.results.get(&student.miner).map_or(&none, |result| &result.positions_kl_nats);
            (name.as_str(), positions.as_slice())
        })
        .collect();
    let table = positions_table(&students, &sequences)?;
    let document = document::document(round, &prompts, weights, &hex(&Sha256::digest(&table)))?;
    let json = canonical_json(&document);
    let digest = RecordDigest(Sha256::digest(&json).into());
    write_folder(folder, &[(RECORD_JSON.to_owned(), json), (POSITIONS_PARQUET.to_owned(), table)])?;
    let path = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(WrittenRecord { path, digest })
}
