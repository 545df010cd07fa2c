//! Commitments as they were when they were first seen.

use distil_types::{BlockRef, Commitment, Hotkey, MinerKey, Uid};
use rusqlite::{OptionalExtension as _, Row};
use serde::{Deserialize, Serialize};

use crate::sql::{Text, text};
use crate::{Store, StoreError, StoreReader};

/// The most bytes of a revealed entry that are kept; the chain takes no longer ones.
pub const MAX_ENTRY_BYTES: usize = 1024;

/// One revealed entry of a hotkey, as the chain holds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SeenEntry {
    /// The block that revealed it.
    pub reveal_block: u64,
    /// Its bytes, at most [`MAX_ENTRY_BYTES`].
    pub bytes: Vec<u8>,
}

/// A hotkey of a snapshot, with what it has revealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenMiner {
    /// Who.
    pub hotkey: Hotkey,
    /// The block in which it took its seat. With the hotkey it names a registration.
    pub registration_block: u64,
    /// The seat it has in this snapshot; only to be shown.
    pub uid: Uid,
    /// The oldest entry that the chain holds of it, if any.
    pub oldest_entry: Option<SeenEntry>,
    /// Whether the chain holds as many entries as it keeps, so that older ones may be gone.
    pub list_is_full: bool,
    /// Which entry counts.
    pub submission: SeenSubmission,
}

/// The one submission of a hotkey, or why it has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "submission", rename_all = "snake_case")]
pub enum SeenSubmission {
    /// This one counts.
    Counts {
        /// The block of its reveal.
        commit_block: u64,
        /// The model.
        commitment: Commitment,
    },
    /// None does.
    None {
        /// Why, in one word.
        code: String,
        /// Why, for the miner to read.
        sentence: String,
    },
}

/// The oldest entry of a registration when it was first seen. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstSeenEntry {
    /// The entry.
    pub entry: SeenEntry,
    /// Whether it was the oldest one for certain: the chain's list was not full.
    pub trusted: bool,
    /// The block of the snapshot.
    pub seen_block: u64,
    /// When.
    pub seen_unix_ms: u64,
}

impl FirstSeenEntry {
    /// The entry, where it was the oldest one for certain.
    pub fn trusted_entry(&self) -> Option<&SeenEntry> {
        self.trusted.then_some(&self.entry)
    }
}

/// A registration as the newest snapshot that had it shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMiner {
    /// Who.
    pub hotkey: Hotkey,
    /// The block in which it took its seat.
    pub registration_block: u64,
    /// Its seat then; only to be shown.
    pub uid: Uid,
    /// Which entry counts.
    pub submission: SeenSubmission,
    /// The block of the first snapshot that had it.
    pub first_seen_block: u64,
    /// The block of the newest snapshot that had it.
    pub last_seen_block: u64,
    /// Whether the newest snapshot of all has it.
    pub is_registered: bool,
}

impl StoredMiner {
    /// The key of the miner, where it has a submission.
    pub fn miner(&self) -> Option<MinerKey> {
        match &self.submission {
            SeenSubmission::Counts { commit_block, .. } => {
                Some(MinerKey { hotkey: self.hotkey, commit_block: *commit_block })
            }
            SeenSubmission::None { .. } => None,
        }
    }
}

impl Store {
    /// Records a snapshot: for each registration its oldest entry, unless one was recorded before, and its submission as
    /// of now, unless a later snapshot was recorded before.
    ///
    /// # Errors
    ///
    /// An entry is longer than [`MAX_ENTRY_BYTES`], or a number is larger than the store holds (2⁶³).
    pub fn record_seen(&mut self, block: BlockRef, unix_ms: u64, miners: &[SeenMiner]) -> Result<(), StoreError> {
        for miner in miners {
            let size = miner.oldest_entry.as_ref().map_or(0, |entry| entry.bytes.len());
            if size > MAX_ENTRY_BYTES {
                return Err(StoreError::InvalidValue {
                    what: "a revealed entry",
                    problem: format!("{} has one of {size} bytes, more than {MAX_ENTRY_BYTES}", miner.hotkey),
                });
            }
        }
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO snapshots (block, block_hash, seen_unix_ms, miners) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET block_hash = ?2, seen_unix_ms = ?3, miners = ?4",
                (block.number, Text(block.hash), unix_ms, miners.len() as u64),
            )?;
            let mut first_entry = transaction.prepare_cached(
                "INSERT INTO first_entries
                     (hotkey, registration_block, reveal_block, bytes, trusted, seen_block, seen_unix_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?;
            let mut newest = transaction.prepare_cached(
                "INSERT INTO seen_miners (hotkey, registration_block, uid, commit_block, model, revision, none_code,
                     none_sentence, first_seen_block, last_seen_block, last_seen_unix_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10)
                 ON CONFLICT DO UPDATE SET uid = ?3, commit_block = ?4, model = ?5, revision = ?6, none_code = ?7,
                     none_sentence = ?8, last_seen_block = ?9, last_seen_unix_ms = ?10
                 WHERE last_seen_block <= ?9",
            )?;
            for miner in miners {
                let hotkey = Text(miner.hotkey);
                if let Some(entry) = &miner.oldest_entry {
                    first_entry.execute((
                        &hotkey,
                        miner.registration_block,
                        entry.reveal_block,
                        &entry.bytes,
                        !miner.list_is_full,
                        block.number,
                        unix_ms,
                    ))?;
                }
                let (counts, none) = match &miner.submission {
                    SeenSubmission::Counts { commit_block, commitment } => (Some((commit_block, commitment)), None),
                    SeenSubmission::None { code, sentence } => (None, Some((code, sentence))),
                };
                newest.execute((
                    &hotkey,
                    miner.registration_block,
                    miner.uid.0,
                    counts.map(|(commit_block, _)| commit_block),
                    counts.map(|(_, commitment)| commitment.model.as_str()),
                    counts.map(|(_, commitment)| commitment.revision.as_str()),
                    none.map(|(code, _)| code),
                    none.map(|(_, sentence)| sentence),
                    block.number,
                    unix_ms,
                ))?;
            }
            Ok(())
        })
    }
}

impl StoreReader {
    /// The oldest entry of a registration when it was first seen.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn first_seen_entry(
        &self,
        hotkey: &Hotkey,
        registration_block: u64,
    ) -> Result<Option<FirstSeenEntry>, StoreError> {
        self.read(|connection| {
            Ok(connection
                .prepare_cached("SELECT * FROM first_entries WHERE hotkey = ?1 AND registration_block = ?2")?
                .query_row((Text(*hotkey), registration_block), first_entry)
                .optional()?)
        })
    }

    /// The newest snapshot that was recorded.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn newest_snapshot(&self) -> Result<Option<BlockRef>, StoreError> {
        self.read(|connection| {
            Ok(connection
                .query_row("SELECT block, block_hash FROM snapshots ORDER BY block DESC LIMIT 1", [], |row| {
                    Ok(BlockRef { number: row.get(0)?, hash: text(row, 1)? })
                })
                .optional()?)
        })
    }

    /// How many registrations the newest snapshot has; 0 where there is none.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn registered_count(&self) -> Result<usize, StoreError> {
        self.read(|connection| {
            let count = connection
                .query_row("SELECT miners FROM snapshots ORDER BY block DESC LIMIT 1", [], |row| row.get(0))
                .optional()?;
            Ok(count.unwrap_or(0))
        })
    }

    /// Every registration ever seen, by hotkey and block of registration.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn seen_miners(&self) -> Result<Vec<StoredMiner>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT *, last_seen_block = (SELECT max(block) FROM snapshots) AS is_registered FROM seen_miners
                 ORDER BY hotkey, registration_block",
            )?;
            Ok(statement.query_map([], stored_miner)?.collect::<Result<_, _>>()?)
        })
    }
}

fn first_entry(row: &Row<'_>) -> rusqlite::Result<FirstSeenEntry> {
    Ok(FirstSeenEntry {
        entry: SeenEntry { reveal_block: row.get("reveal_block")?, bytes: row.get("bytes")? },
        trusted: row.get("trusted")?,
        seen_block: row.get("seen_block")?,
        seen_unix_ms: row.get("seen_unix_ms")?,
    })
}

pub(crate) fn stored_miner(row: &Row<'_>) -> rusqlite::Result<StoredMiner> {
    let submission = match row.get("commit_block")? {
        Some(commit_block) => SeenSubmission::Counts { commit_block, commitment: crate::sql::commitment(row)? },
        None => SeenSubmission::None { code: row.get("none_code")?, sentence: row.get("none_sentence")? },
    };
    Ok(StoredMiner {
        hotkey: text(row, "hotkey")?,
        registration_block: row.get("registration_block")?,
        uid: Uid(row.get("uid")?),
        submission,
        first_seen_block: row.get("first_seen_block")?,
        last_seen_block: row.get("last_seen_block")?,
        is_registered: row.get("is_registered")?,
    })
}
