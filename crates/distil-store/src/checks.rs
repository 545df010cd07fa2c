//! What the checks of repositories said, and what follows from it for good.

use std::collections::BTreeMap;

use distil_types::{Commitment, MinerKey};
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::{Bf16Digest, RawDigest, TensorDigests};
use crate::sql::{Text, commitment, json, miner, to_json};
use crate::{Store, StoreError, StoreReader};

/// The newest check of a miner's repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckRecord {
    /// What was checked.
    pub commitment: Commitment,
    /// What came of it.
    pub state: CheckState,
    /// Everything that was found.
    pub report: Value,
    /// The repository as it was judged, for later looks to compare with, and how often it was not there since.
    pub repository: Option<Value>,
    /// When.
    pub checked_unix_ms: u64,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CheckState {
    /// It may be evaluated.
    Passed,
    /// It is not what it has to be.
    Invalid {
        /// The codes of the findings.
        codes: Vec<String>,
        /// Why, for the miner to read.
        sentence: String,
    },
    /// Not known yet: the network's fault or ours. It counts against nobody.
    Waiting {
        /// Why, for the miner to read.
        reason: String,
        /// How often it was tried.
        tries: u32,
        /// Not tried again before this moment, in seconds since 1970 UTC.
        not_before_unix_s: u64,
    },
}

impl Store {
    /// Records a check, in the place of an earlier one of the same miner.
    ///
    /// # Errors
    ///
    /// The step could not be written.
    pub fn record_check(&mut self, key: &MinerKey, check: &CheckRecord) -> Result<(), StoreError> {
        let report = check.report.to_string();
        let (codes, sentence, wait) = match &check.state {
            CheckState::Passed => (None, None, None),
            CheckState::Invalid { codes, sentence } => (Some(to_json("codes", codes)?), Some(sentence), None),
            CheckState::Waiting { reason, tries, not_before_unix_s } => {
                (None, Some(reason), Some((tries, not_before_unix_s)))
            }
        };
        let state = match check.state {
            CheckState::Passed => "passed",
            CheckState::Invalid { .. } => "invalid",
            CheckState::Waiting { .. } => "waiting",
        };
        self.write(|transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO checks (hotkey, commit_block, model, revision, state, codes, sentence, tries,
                         not_before_unix_s, report, repository, checked_unix_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
                     ON CONFLICT DO UPDATE SET model = ?3, revision = ?4, state = ?5, codes = ?6, sentence = ?7,
                         tries = ?8, not_before_unix_s = ?9, report = ?10, repository = ?11,
                         checked_unix_ms = ?12",
                )?
                .execute((
                    Text(key.hotkey),
                    key.commit_block,
                    check.commitment.model.as_str(),
                    check.commitment.revision.as_str(),
                    state,
                    codes,
                    sentence,
                    wait.map(|(tries, _)| tries),
                    wait.map(|(_, not_before)| not_before),
                    report,
                    check.repository.as_ref().map(Value::to_string),
                    check.checked_unix_ms,
                ))?;
            Ok(())
        })
    }

    /// Records the digests of a model's tensors, as they were loaded. A commitment is pinned to a revision, so they never
    /// change; recording the same again does nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] where others were recorded before.
    pub fn record_digests(
        &mut self,
        key: &MinerKey,
        loaded: &Commitment,
        digests: &TensorDigests,
        unix_ms: u64,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            let recorded = read_digests(transaction, key)?;
            match recorded {
                Some(recorded) if recorded == (loaded.clone(), *digests) => return Ok(()),
                Some((commitment, recorded)) => {
                    return Err(StoreError::Conflict {
                        what: "the content of a model",
                        problem: format!(
                            "{key} had {commitment} with {}, now {loaded} with {}",
                            recorded.raw, digests.raw
                        ),
                    }
                    .into());
                }
                None => {}
            }
            transaction.execute(
                "INSERT INTO tensor_digests (hotkey, commit_block, model, revision, raw, bf16, recorded_unix_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                (
                    Text(key.hotkey),
                    key.commit_block,
                    loaded.model.as_str(),
                    loaded.revision.as_str(),
                    digests.raw.0,
                    digests.bf16.0,
                    unix_ms,
                ),
            )?;
            Ok(())
        })
    }
}

impl StoreReader {
    /// The newest check of a miner.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn check(&self, key: &MinerKey) -> Result<Option<CheckRecord>, StoreError> {
        self.read(|connection| {
            Ok(connection
                .prepare_cached("SELECT * FROM checks WHERE hotkey = ?1 AND commit_block = ?2")?
                .query_row((Text(key.hotkey), key.commit_block), check_record)
                .optional()?)
        })
    }

    /// The newest check of every miner there ever was, with its report. Long: an epoch asks for
    /// [`contenders`](StoreReader::contenders).
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn checks(&self) -> Result<BTreeMap<MinerKey, CheckRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT * FROM checks")?;
            let rows = statement.query_map([], |row| Ok((miner(row)?, check_record(row)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The digests of a miner's tensors, with the commitment that was loaded.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn digests(&self, key: &MinerKey) -> Result<Option<(Commitment, TensorDigests)>, StoreError> {
        self.read(|connection| Ok(read_digests(connection, key)?))
    }

    /// All miners whose tensors have these very values, earliest commit block first.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn miners_with_raw_digest(&self, digest: &RawDigest) -> Result<Vec<MinerKey>, StoreError> {
        self.miners_with("SELECT hotkey, commit_block FROM tensor_digests WHERE raw = ?1", digest.0)
    }

    /// All miners whose tensors have these values when rounded to bf16, earliest commit block first.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn miners_with_bf16_digest(&self, digest: &Bf16Digest) -> Result<Vec<MinerKey>, StoreError> {
        self.miners_with("SELECT hotkey, commit_block FROM tensor_digests WHERE bf16 = ?1", digest.0)
    }

    fn miners_with(&self, sql: &str, digest: [u8; 32]) -> Result<Vec<MinerKey>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut miners = statement.query_map([digest], miner)?.collect::<Result<Vec<_>, _>>()?;
            miners.sort_by_key(|key| (key.commit_block, key.hotkey));
            Ok(miners)
        })
    }
}

fn read_digests(connection: &Connection, key: &MinerKey) -> rusqlite::Result<Option<(Commitment, TensorDigests)>> {
    connection
        .prepare_cached("SELECT * FROM tensor_digests WHERE hotkey = ?1 AND commit_block = ?2")?
        .query_row((Text(key.hotkey), key.commit_block), |row| {
            let digests = TensorDigests { raw: RawDigest(row.get("raw")?), bf16: Bf16Digest(row.get("bf16")?) };
            Ok((commitment(row)?, digests))
        })
        .optional()
}

/// The verdict of a row of `checks`, without what it rests on.
pub(crate) fn check_state(row: &Row<'_>) -> rusqlite::Result<CheckState> {
    Ok(match row.get_ref("state")?.as_str()? {
        "passed" => CheckState::Passed,
        "invalid" => CheckState::Invalid { codes: json(row, "codes")?, sentence: row.get("sentence")? },
        _ => CheckState::Waiting {
            reason: row.get("sentence")?,
            tries: row.get("tries")?,
            not_before_unix_s: row.get("not_before_unix_s")?,
        },
    })
}

fn check_record(row: &Row<'_>) -> rusqlite::Result<CheckRecord> {
    let document = |column: &str| -> rusqlite::Result<Option<Value>> {
        Ok(row.get::<_, Option<crate::sql::Json<Value>>>(column)?.map(|json| json.0))
    };
    Ok(CheckRecord {
        commitment: commitment(row)?,
        state: check_state(row)?,
        report: json(row, "report")?,
        repository: document("repository")?,
        checked_unix_ms: row.get("checked_unix_ms")?,
    })
}
