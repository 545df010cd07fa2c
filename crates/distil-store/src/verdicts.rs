//! What counts against a miner, or for it, beyond one round: disqualifications, isolated failures, evaluations done.

use std::collections::BTreeMap;

use distil_scoring::{Disqualification, Evaluation, MinerVerdict};
use distil_types::MinerKey;
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::{Deserialize, Serialize};

use crate::interruptions::forget_interruptions;
use crate::rounds::require_known_round;
use crate::sql::{Text, disqualification_code, json, miner};
use crate::store::Fault;
use crate::{RoundNumber, Store, StoreError, StoreReader};

/// A disqualification as it stands in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredDisqualification {
    /// Who, for what, and what it rests on.
    pub disqualification: Disqualification,
    /// The block at which it was found.
    pub block: u64,
    /// The round that found it, if one did.
    pub round: Option<RoundNumber>,
    /// When it was recorded.
    pub disqualified_unix_ms: u64,
    /// When and why an operator lifted it, if so. It no longer counts then.
    pub lifted: Option<Lifted>,
}

/// When and why a disqualification was lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifted {
    /// When.
    pub unix_ms: u64,
    /// Why.
    pub reason: String,
}

/// A failure that was the model's own: it failed alone, on a worker on which a known-good model passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolatedFailure {
    /// In which round; at most one counts of each.
    pub round: RoundNumber,
    /// What happened.
    pub reason: String,
    /// When.
    pub failed_unix_ms: u64,
}

impl Store {
    /// Disqualifies a miner. Does nothing and gives `false` where it stands disqualified already, and for a copy where the
    /// same was [lifted](Self::lift_disqualification) on the same evidence: a finding about the same weights is no news.
    ///
    /// # Errors
    ///
    /// The step could not be written.
    pub fn disqualify(
        &mut self,
        disqualification: &Disqualification,
        block: u64,
        unix_ms: u64,
    ) -> Result<bool, StoreError> {
        self.write(|transaction| insert_disqualification(transaction, disqualification, block, None, unix_ms))
    }

    /// Lifts the disqualification that stands, and what came with it: the check of the repository, with its absences, and
    /// what interrupted the miner are forgotten, so that all is looked at anew, and so is the evaluation by the round that
    /// found it. The disqualification stays in the [history](StoreReader::disqualification_history).
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] where none stands.
    pub fn lift_disqualification(&mut self, key: &MinerKey, reason: &str, unix_ms: u64) -> Result<(), StoreError> {
        self.write(|transaction| {
            let key_columns = (Text(key.hotkey), key.commit_block);
            let standing: Option<(i64, Option<i64>)> = transaction
                .query_row(
                    "SELECT id, round FROM disqualifications
                     WHERE hotkey = ?1 AND commit_block = ?2 AND lifted_unix_ms IS NULL",
                    (&key_columns.0, key_columns.1),
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let Some((id, round)) = standing else {
                return Err(StoreError::NotFound { what: format!("disqualification of {key} to lift") }.into());
            };
            transaction.execute(
                "UPDATE disqualifications SET lifted_unix_ms = ?2, lifted_reason = ?3 WHERE id = ?1",
                (id, unix_ms, reason),
            )?;
            transaction.execute(
                "DELETE FROM checks WHERE hotkey = ?1 AND commit_block = ?2",
                (&key_columns.0, key_columns.1),
            )?;
            forget_interruptions(transaction, key)?;
            transaction.execute(
                "DELETE FROM evaluated WHERE hotkey = ?1 AND commit_block = ?2 AND round = ?3",
                (&key_columns.0, key_columns.1, round),
            )?;
            Ok(())
        })
    }

    /// Counts an isolated failure and gives how many there are now. A second one of the same round does not count.
    ///
    /// [`Store::finish_round`] counts those of a round that is finished; this is for a round that will be void, such as
    /// one whose king failed.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] where there is no such round.
    pub fn record_failure(
        &mut self,
        round: RoundNumber,
        key: &MinerKey,
        reason: &str,
        unix_ms: u64,
    ) -> Result<u32, StoreError> {
        self.write(|transaction| {
            require_known_round(transaction, round)?;
            insert_failure(transaction, round, key, reason, unix_ms)?;
            Ok(transaction.query_row(
                "SELECT count(*) FROM failures WHERE hotkey = ?1 AND commit_block = ?2",
                (Text(key.hotkey), key.commit_block),
                |row| row.get(0),
            )?)
        })
    }
}

impl StoreReader {
    /// The disqualification of a miner that stands.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn disqualification(&self, key: &MinerKey) -> Result<Option<StoredDisqualification>, StoreError> {
        self.read(|connection| {
            Ok(connection
                .prepare_cached(
                    "SELECT * FROM disqualifications
                     WHERE hotkey = ?1 AND commit_block = ?2 AND lifted_unix_ms IS NULL",
                )?
                .query_row((Text(key.hotkey), key.commit_block), stored_disqualification)
                .optional()?)
        })
    }

    /// All that stand.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn disqualifications(&self) -> Result<BTreeMap<MinerKey, StoredDisqualification>, StoreError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT * FROM disqualifications WHERE lifted_unix_ms IS NULL")?;
            let rows = statement.query_map([], |row| Ok((miner(row)?, stored_disqualification(row)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// All there ever were of a miner, oldest first, lifted ones included.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn disqualification_history(&self, key: &MinerKey) -> Result<Vec<StoredDisqualification>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT * FROM disqualifications WHERE hotkey = ?1 AND commit_block = ?2 ORDER BY id",
            )?;
            let rows = statement.query_map((Text(key.hotkey), key.commit_block), stored_disqualification)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The isolated failures of every miner that has any, oldest first.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn failures(&self) -> Result<BTreeMap<MinerKey, Vec<IsolatedFailure>>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT * FROM failures ORDER BY round")?;
            let mut failures: BTreeMap<MinerKey, Vec<IsolatedFailure>> = BTreeMap::new();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                failures.entry(miner(row)?).or_default().push(IsolatedFailure {
                    round: RoundNumber(row.get("round")?),
                    reason: row.get("reason")?,
                    failed_unix_ms: row.get("failed_unix_ms")?,
                });
            }
            Ok(failures)
        })
    }

    /// The newest evaluation of every miner that is done with. It is no challenger any more.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn evaluations(&self) -> Result<BTreeMap<MinerKey, Evaluation>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT * FROM evaluated")?;
            let rows = statement.query_map([], |row| Ok((miner(row)?, json(row, "evaluation")?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// What the newest finished round with this miner said of it.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn newest_verdict(&self, key: &MinerKey) -> Result<Option<(RoundNumber, MinerVerdict)>, StoreError> {
        self.read(|connection| {
            Ok(connection
                .prepare_cached(
                    "SELECT round, verdict FROM verdicts JOIN rounds ON rounds.id = verdicts.round
                     WHERE hotkey = ?1 AND commit_block = ?2 AND rounds.state = 'finished' ORDER BY round DESC LIMIT 1",
                )?
                .query_row((Text(key.hotkey), key.commit_block), |row| Ok((RoundNumber(row.get(0)?), json(row, 1)?)))
                .optional()?)
        })
    }

    /// What each round with this miner said of it, the newest first, void rounds included.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn verdicts_of(&self, key: &MinerKey) -> Result<Vec<(RoundNumber, MinerVerdict)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT round, verdict FROM verdicts WHERE hotkey = ?1 AND commit_block = ?2 ORDER BY round DESC",
            )?;
            let rows = statement
                .query_map((Text(key.hotkey), key.commit_block), |row| Ok((RoundNumber(row.get(0)?), json(row, 1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

pub(crate) fn insert_disqualification(
    connection: &Connection,
    disqualification: &Disqualification,
    block: u64,
    round: Option<RoundNumber>,
    unix_ms: u64,
) -> Result<bool, Fault> {
    let key = &disqualification.miner;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO disqualifications
                 (hotkey, commit_block, code, sentence, evidence, block, round, disqualified_unix_ms)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
             WHERE NOT EXISTS (
                 SELECT 1 FROM disqualifications
                 WHERE hotkey = ?1 AND commit_block = ?2 AND code = ?3 AND code = 'COPY' AND evidence = ?5
                     AND lifted_unix_ms IS NOT NULL)
             ON CONFLICT (hotkey, commit_block) WHERE lifted_unix_ms IS NULL DO NOTHING",
        )?
        .execute((
            Text(key.hotkey),
            key.commit_block,
            Text(disqualification.code),
            &disqualification.sentence,
            disqualification.evidence.to_string(),
            block,
            round.map(|round| round.0),
            unix_ms,
        ))?;
    Ok(inserted > 0)
}

pub(crate) fn insert_failure(
    connection: &Connection,
    round: RoundNumber,
    key: &MinerKey,
    reason: &str,
    unix_ms: u64,
) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO failures (hotkey, commit_block, round, reason, failed_unix_ms) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING",
        )?
        .execute((Text(key.hotkey), key.commit_block, round.0, reason, unix_ms))?;
    Ok(())
}

fn stored_disqualification(row: &Row<'_>) -> rusqlite::Result<StoredDisqualification> {
    let lifted = match row.get("lifted_unix_ms")? {
        Some(unix_ms) => Some(Lifted { unix_ms, reason: row.get("lifted_reason")? }),
        None => None,
    };
    Ok(StoredDisqualification {
        disqualification: Disqualification {
            miner: miner(row)?,
            code: disqualification_code(row)?,
            sentence: row.get("sentence")?,
            evidence: json(row, "evidence")?,
        },
        block: row.get("block")?,
        round: row.get::<_, Option<i64>>("round")?.map(RoundNumber),
        disqualified_unix_ms: row.get("disqualified_unix_ms")?,
        lifted,
    })
}
