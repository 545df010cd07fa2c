//! Rounds read back, and the states that steps ask for.

use std::collections::BTreeMap;

use distil_scoring::{Outcome, StudentRun};
use distil_types::{BlockRef, MinerKey};
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde_json::Value;

use super::{
    FailedTry, NewRound, Round, RoundNumber, RoundPrompt, RoundState, StoredResult, TeacherRecord, TokenRecord,
    WrittenRecord,
};
use crate::blobs::{positions_from_blob, tokens_from_blob};
use crate::digest::RecordDigest;
use crate::sql::{Json, Text, json, miner, text};
use crate::store::Fault;
use crate::{StoreError, StoreReader};

impl StoreReader {
    /// The round that is open or decided, with everything recorded so far.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn open_round(&self) -> Result<Option<Round>, StoreError> {
        self.read(|connection| match open_round_number(connection)? {
            Some(round) => read_round(connection, round),
            None => Ok(None),
        })
    }

    /// One round, with everything recorded.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn round(&self, round: RoundNumber) -> Result<Option<Round>, StoreError> {
        self.read(|connection| read_round(connection, round))
    }

    /// The newest round that was finished, with everything recorded.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn last_finished_round(&self) -> Result<Option<Round>, StoreError> {
        self.read(|connection| {
            let round = connection
                .query_row("SELECT max(id) FROM rounds WHERE state = 'finished'", [], |row| {
                    row.get::<_, Option<i64>>(0)
                })?
                .map(RoundNumber);
            match round {
                Some(round) => read_round(connection, round),
                None => Ok(None),
            }
        })
    }

    /// Whether a round of this block was finished.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn is_finished(&self, block: &BlockRef) -> Result<bool, StoreError> {
        self.read(|connection| {
            Ok(connection.query_row(
                "SELECT EXISTS (SELECT 1 FROM rounds WHERE block_hash = ?1 AND state = 'finished')",
                [Text(block.hash)],
                |row| row.get(0),
            )?)
        })
    }

    /// Rounds that came to an outcome, be it that they are void, and of which no record is written yet, oldest first.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn rounds_without_record(&self) -> Result<Vec<RoundNumber>, StoreError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached(
                "SELECT id FROM rounds WHERE state IN ('finished', 'void') AND outcome IS NOT NULL AND record_path IS NULL
                 ORDER BY id",
            )?;
            Ok(statement.query_map([], |row| Ok(RoundNumber(row.get(0)?)))?.collect::<Result<_, _>>()?)
        })
    }
}

pub(super) fn open_round_number(connection: &Connection) -> rusqlite::Result<Option<RoundNumber>> {
    connection.query_row("SELECT id FROM rounds WHERE is_open = 1", [], |row| Ok(RoundNumber(row.get(0)?))).optional()
}

pub(crate) fn parse_state(text: &str) -> RoundState {
    // The table holds no other words.
    match text {
        "open" => RoundState::Open,
        "decided" => RoundState::Decided,
        "finished" => RoundState::Finished,
        _ => RoundState::Void,
    }
}

fn state_and_block(connection: &Connection, round: RoundNumber) -> rusqlite::Result<Option<(RoundState, u64)>> {
    connection
        .prepare_cached("SELECT state, block FROM rounds WHERE id = ?1")?
        .query_row([round.0], |row| Ok((parse_state(row.get_ref(0)?.as_str()?), row.get(1)?)))
        .optional()
}

/// The state and block of a round that is open or decided.
pub(super) fn require_open(connection: &Connection, round: RoundNumber) -> Result<(RoundState, u64), Fault> {
    let state = match state_and_block(connection, round)? {
        Some(found @ (RoundState::Open | RoundState::Decided, _)) => return Ok(found),
        Some((RoundState::Finished, _)) => "finished",
        Some((RoundState::Void, _)) => "void",
        None => "unknown",
    };
    Err(StoreError::NotOpen { round, state: state.to_owned() }.into())
}

pub(super) fn require_undecided(connection: &Connection, round: RoundNumber) -> Result<(), Fault> {
    match require_open(connection, round)? {
        (RoundState::Open, _) => Ok(()),
        _ => Err(StoreError::NotOpen { round, state: "decided".to_owned() }.into()),
    }
}

pub(crate) fn require_known_round(connection: &Connection, round: RoundNumber) -> Result<(), Fault> {
    match state_and_block(connection, round)? {
        Some(_) => Ok(()),
        None => Err(StoreError::NotFound { what: format!("round {round}") }.into()),
    }
}

pub(super) fn read_teacher(connection: &Connection, round: RoundNumber) -> Result<Option<TeacherRecord>, Fault> {
    let found: Option<(Option<String>, Option<String>)> = connection
        .query_row("SELECT teacher, teacher_cache_key FROM rounds WHERE id = ?1", [round.0], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((Some(_), cache_key)) = found else { return Ok(None) };
    let identity = connection.query_row("SELECT teacher FROM rounds WHERE id = ?1", [round.0], |row| json(row, 0))?;
    let mut statement = connection.prepare_cached(
        "SELECT prompt_tokens, continuation_tokens FROM round_prompts WHERE round = ?1 ORDER BY position",
    )?;
    let sequences = statement
        .query_map([round.0], |row| {
            Ok(TokenRecord { prompt: tokens_from_blob(row, 0)?, continuation: tokens_from_blob(row, 1)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Some(TeacherRecord { identity, sequences, cache_key }))
}

fn read_round(connection: &Connection, round: RoundNumber) -> Result<Option<Round>, Fault> {
    let prompts = connection
        .prepare_cached("SELECT id, digest, text FROM round_prompts WHERE round = ?1 ORDER BY position")?
        .query_map([round.0], |row| Ok(RoundPrompt { id: row.get(0)?, digest: row.get(1)?, text: row.get(2)? }))?
        .collect::<Result<Vec<_>, _>>()?;
    let mut results = BTreeMap::new();
    let mut statement = connection.prepare_cached("SELECT * FROM round_students WHERE round = ?1 ORDER BY position")?;
    let mut rows = statement.query([round.0])?;
    while let Some(row) = rows.next()? {
        let key = miner(row)?;
        if let Some(result) = row.get::<_, Option<Json<StudentRun>>>("result")? {
            results.insert(
                key,
                StoredResult {
                    run: result.0,
                    details: row.get::<_, Option<Json<Value>>>("details")?.map_or(Value::Null, |json| json.0),
                    positions_kl_nats: positions_from_blob(row, "positions_kl_nats")?,
                    recorded_unix_ms: row.get("recorded_unix_ms")?,
                },
            );
        }
    }
    let mut failed_tries: BTreeMap<MinerKey, Vec<FailedTry>> = BTreeMap::new();
    let mut statement = connection.prepare_cached("SELECT * FROM round_tries WHERE round = ?1 ORDER BY try")?;
    let mut rows = statement.query([round.0])?;
    while let Some(row) = rows.next()? {
        failed_tries
            .entry(miner(row)?)
            .or_default()
            .push(FailedTry { reason: row.get("reason")?, tried_unix_ms: row.get("tried_unix_ms")? });
    }
    let teacher = read_teacher(connection, round)?;
    Ok(connection
        .query_row("SELECT * FROM rounds WHERE id = ?1", [round.0], |row| {
            Ok(Round {
                number: round,
                state: parse_state(row.get_ref("state")?.as_str()?),
                start: NewRound { plan: json(row, "plan")?, prompts, settings: json(row, "settings")? },
                begun_unix_ms: row.get("begun_unix_ms")?,
                teacher,
                results,
                failed_tries,
                decision: row.get::<_, Option<Json<Value>>>("decision")?.map(|json| json.0),
                outcome: row.get::<_, Option<Json<Outcome>>>("outcome")?.map(|json| json.0),
                void_reason: row.get("void_reason")?,
                ended_unix_ms: row.get("ended_unix_ms")?,
                record: written_record(row)?,
            })
        })
        .optional()?)
}

pub(crate) fn round_king(row: &Row<'_>) -> rusqlite::Result<Option<MinerKey>> {
    match row.get("king_commit_block")? {
        Some(commit_block) => Ok(Some(MinerKey { hotkey: text(row, "king_hotkey")?, commit_block })),
        None => Ok(None),
    }
}

pub(crate) fn written_record(row: &Row<'_>) -> rusqlite::Result<Option<WrittenRecord>> {
    match row.get("record_path")? {
        Some(path) => Ok(Some(WrittenRecord { path, digest: RecordDigest(row.get("record_digest")?) })),
        None => Ok(None),
    }
}
