//! What the original validator left behind in `state/*.json`, taken in without trusting it.
//!
//! Its files are keyed by seats that changed hands, were cut off, hold NaN, and mix the scores of different prompts. So
//! they come in as history that decides nothing, with one exception: a disqualification whose miner is certain and whose
//! reason is one of ours. Everything that is left out is told, with the reason.

mod files;
mod places;

use std::path::Path;

use distil_scoring::Disqualification;
use distil_types::{Commitment, MinerKey};
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};

use crate::king::{King, begin_reign, current_king};
use crate::sql::{Text, json};
use crate::store::{Fault, STORE_FILE};
use crate::verdicts::insert_disqualification;
use crate::{Store, StoreError, StoreReader};

/// What an import may do beyond taking in history and disqualifications.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Crown this miner, at an operator's word. The throne has to be one on which nobody ever sat, and the files have to
    /// show the miner's commitment.
    pub king: Option<MinerKey>,
}

/// All that an import came upon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportReport {
    /// One entry for each thing in each file, in the order of the files' names.
    pub entries: Vec<ImportEntry>,
}

/// One thing in a file, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportEntry {
    /// The file, relative to the folder. Printable.
    pub file: String,
    /// What it was filed under there; empty for the file as a whole. Printable and short.
    pub key: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: ImportOutcome,
}

/// What became of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ImportOutcome {
    /// It is in the store now, or would be without `--dry-run`.
    Placed {
        /// As what.
        as_what: String,
    },
    /// It was there before.
    AlreadyThere {
        /// As what.
        as_what: String,
    },
    /// It was left out.
    NotPlaced {
        /// Why.
        reason: String,
    },
}

impl ImportReport {
    /// How many things were placed, were there before, and were left out.
    pub fn counts(&self) -> (usize, usize, usize) {
        self.entries.iter().fold((0, 0, 0), |(placed, there, left), entry| match entry.outcome {
            ImportOutcome::Placed { .. } => (placed + 1, there, left),
            ImportOutcome::AlreadyThere { .. } => (placed, there + 1, left),
            ImportOutcome::NotPlaced { .. } => (placed, there, left + 1),
        })
    }
}

/// What is to be done with one thing.
#[derive(Debug, Clone, PartialEq)]
enum Action {
    /// Keep it as history of this kind.
    Keep { kind: &'static str, document: String },
    /// Disqualify for good.
    Disqualify { disqualification: Disqualification, block: u64 },
    /// Crown, at the operator's word.
    Crown { king: MinerKey, commitment: Commitment },
    /// Leave it out.
    Leave { reason: String },
}

/// One thing in a file.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    file: String,
    key: String,
    action: Action,
}

impl Store {
    /// Takes in what the original validator left in a folder of `state/*.json`, all of it in one transaction. Doing it
    /// twice changes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::CannotOpen`] where the folder cannot be read. A file that cannot be used is an entry of the report.
    pub fn import_legacy(
        &mut self,
        folder: &Path,
        options: &ImportOptions,
        unix_ms: u64,
    ) -> Result<ImportReport, StoreError> {
        let found = places::place(&files::read(folder)?, options.king);
        self.write(|transaction| report(found, Some(transaction), Some(unix_ms)))
    }
}

/// Something that another validator left, kept as history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedItem {
    /// The file it came from.
    pub file: String,
    /// What it was filed under there.
    pub key: String,
    /// What it is.
    pub kind: String,
    /// Its content, as it was; numbers that were not finite are null.
    pub document: serde_json::Value,
}

impl StoreReader {
    /// What was imported as history, by file and key: `limit` of it after the first `offset`.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn imported_items(&self, offset: u64, limit: u64) -> Result<Vec<ImportedItem>, StoreError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT * FROM legacy_items ORDER BY file, key, document LIMIT ?2 OFFSET ?1")?;
            let rows = statement.query_map((offset, limit), |row| {
                Ok(ImportedItem {
                    file: row.get("file")?,
                    key: row.get("key")?,
                    kind: row.get("kind")?,
                    document: json(row, "document")?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    pub(crate) fn imported_count(&self) -> Result<u64, StoreError> {
        self.read(|connection| Ok(connection.query_row("SELECT count(*) FROM legacy_items", [], |row| row.get(0))?))
    }
}

/// What [`Store::import_legacy`] would do to the store of `state_folder`, which may not exist yet. Nothing is written.
///
/// # Errors
///
/// Those of [`Store::import_legacy`] and of [`StoreReader::open`], besides [`StoreError::NoState`].
pub fn preview_import(state_folder: &Path, folder: &Path, options: &ImportOptions) -> Result<ImportReport, StoreError> {
    let found = places::place(&files::read(folder)?, options.king);
    match StoreReader::open(state_folder) {
        Ok(reader) => reader.read(|connection| report(found, Some(connection), None)),
        Err(StoreError::NoState { .. }) => match report(found, None, None) {
            Ok(report) => Ok(report),
            Err(fault) => Err(fault.at(&state_folder.join(STORE_FILE))),
        },
        Err(error) => Err(error),
    }
}

/// Does it all, or with no time given only says what would be done.
fn report(found: Vec<Found>, connection: Option<&Connection>, write_at: Option<u64>) -> Result<ImportReport, Fault> {
    let mut entries = Vec::with_capacity(found.len());
    for Found { file, key, action } in found {
        let outcome = carry_out(&file, &key, action, connection, write_at)?;
        entries.push(ImportEntry { file, key, outcome });
    }
    Ok(ImportReport { entries })
}

fn carry_out(
    file: &str,
    key: &str,
    action: Action,
    connection: Option<&Connection>,
    write_at: Option<u64>,
) -> Result<ImportOutcome, Fault> {
    let outcome = |as_what: String, is_there: bool| {
        if is_there { ImportOutcome::AlreadyThere { as_what } } else { ImportOutcome::Placed { as_what } }
    };
    Ok(match action {
        Action::Leave { reason } => ImportOutcome::NotPlaced { reason },
        Action::Keep { kind, document } => {
            let is_there = exists(
                connection,
                "SELECT EXISTS (SELECT 1 FROM legacy_items WHERE file = ?1 AND key = ?2 AND document = ?3)",
                (file, key, &document),
            )?;
            if let (Some(connection), Some(unix_ms), false) = (connection, write_at, is_there) {
                connection
                    .prepare_cached(
                        "INSERT INTO legacy_items (file, key, kind, document, imported_unix_ms)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute((file, key, kind, &document, unix_ms))?;
            }
            outcome(format!("history ({kind}); it decides nothing"), is_there)
        }
        Action::Disqualify { disqualification, block } => {
            // Also one that was lifted since: an import does not take an operator's word back.
            let miner = &disqualification.miner;
            let is_there = exists(
                connection,
                "SELECT EXISTS (SELECT 1 FROM disqualifications WHERE hotkey = ?1 AND commit_block = ?2)",
                (Text(miner.hotkey), miner.commit_block),
            )?;
            if let (Some(connection), Some(unix_ms), false) = (connection, write_at, is_there) {
                insert_disqualification(connection, &disqualification, block, None, unix_ms)?;
            }
            outcome(format!("disqualification {} of {miner}", disqualification.code), is_there)
        }
        Action::Crown { king, commitment } => {
            let reigning = match connection {
                Some(connection) => current_king(connection)?.map(|reign| reign.king.miner),
                None => None,
            };
            let ever = exists(connection, "SELECT EXISTS (SELECT 1 FROM reigns)", ())?;
            let disqualified = exists(
                connection,
                "SELECT EXISTS (SELECT 1 FROM disqualifications
                     WHERE hotkey = ?1 AND commit_block = ?2 AND lifted_unix_ms IS NULL)",
                (Text(king.hotkey), king.commit_block),
            )?;
            let open = exists(connection, "SELECT EXISTS (SELECT 1 FROM rounds WHERE is_open = 1)", ())?;
            if reigning == Some(king) {
                return Ok(outcome("king".to_owned(), true));
            }
            let refusal = if ever {
                Some("this store has had a king of its own")
            } else if disqualified {
                Some("it is disqualified")
            } else if open {
                Some("a round is open, planned without a king")
            } else {
                None
            };
            if let Some(reason) = refusal {
                return Ok(ImportOutcome::NotPlaced { reason: format!("{king} is not crowned: {reason}") });
            }
            if let (Some(connection), Some(unix_ms)) = (connection, write_at) {
                let block = king.commit_block;
                begin_reign(connection, &King { miner: king, commitment, kl_nats: None }, None, block, unix_ms)?;
            }
            outcome("king, at the operator's word".to_owned(), false)
        }
    })
}

fn exists(connection: Option<&Connection>, sql: &str, parameters: impl rusqlite::Params) -> Result<bool, Fault> {
    let Some(connection) = connection else { return Ok(false) };
    Ok(connection.prepare_cached(sql)?.query_row(parameters, |row| row.get(0)).optional()?.unwrap_or(false))
}
