//! Rounds: begun, filled, decided, ended.

use std::collections::BTreeMap;
use std::fmt;

use distil_scoring::{ConfirmedDecision, Outcome, RoundId, RoundPlan, StudentRun};
use distil_types::{BlockRef, MinerKey};
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blobs::{positions_from_blob, positions_to_blob, tokens_from_blob, tokens_to_blob};
use crate::digest::RecordDigest;
use crate::king::{change_crown, current_king};
use crate::sql::{Json, Text, json, miner, text, to_json};
use crate::store::Fault;
use crate::verdicts::{insert_disqualification, insert_failure};
use crate::{Store, StoreError, StoreReader};

/// The number of a round, from 1, in the order in which rounds were begun here. A round that was void and is tried again
/// has the same [`RoundId`] and another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoundNumber(pub i64);

impl fmt::Display for RoundNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A round that begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewRound {
    /// The plan. Its king has to be the one that is stored.
    pub plan: RoundPlan,
    /// The prompts, as many as the plan has.
    pub prompts: Vec<RoundPrompt>,
    /// Settings beyond those of the plan, with where they came from: device, dtype, versions.
    pub settings: Value,
}

/// One prompt of a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundPrompt {
    /// Where it comes from: file, row group and row.
    pub id: String,
    /// Its digest.
    pub digest: String,
    /// Its text.
    pub text: String,
}

/// What the teacher said in a round. All students of the round are scored on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherRecord {
    /// Repository, revision, digests, dtype, device and kernels of the teacher pass.
    pub identity: Value,
    /// One for each prompt, in their order.
    pub sequences: Vec<TokenRecord>,
    /// Under what name the worker keeps the hidden states, where it does.
    pub cache_key: Option<String>,
}

/// The tokens of one prompt and of its continuation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Tokens of the prompt.
    pub prompt: Vec<u32>,
    /// Tokens by which the teacher continued it.
    pub continuation: Vec<u32>,
}

/// How a student did in a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredResult {
    /// The result.
    pub run: StudentRun,
    /// What was loaded and what it was computed with, for the record; the rules do not look at it.
    pub details: Value,
    /// KL in nats at every position of every prompt that was done; empty where there are none.
    pub positions_kl_nats: Vec<Vec<f64>>,
    /// When it was recorded.
    pub recorded_unix_ms: u64,
}

/// An evaluation of a student that ended without a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTry {
    /// What happened.
    pub reason: String,
    /// When.
    pub tried_unix_ms: u64,
}

/// How far a round has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundState {
    /// It takes results.
    Open,
    /// It is decided, and the decision waits for the winner's repository to be looked at again.
    Decided,
    /// It is over, and what it decided holds.
    Finished,
    /// It is over and decided nothing.
    Void,
}

/// Everything that is recorded of a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Its number.
    pub number: RoundNumber,
    /// How far it has come.
    pub state: RoundState,
    /// What it began with.
    pub start: NewRound,
    /// When it began.
    pub begun_unix_ms: u64,
    /// What the teacher said, where that is done.
    pub teacher: Option<TeacherRecord>,
    /// The results so far.
    pub results: BTreeMap<MinerKey, StoredResult>,
    /// The evaluations that failed, oldest first.
    pub failed_tries: BTreeMap<MinerKey, Vec<FailedTry>>,
    /// What [`Store::record_decision`] was last given.
    pub decision: Option<Value>,
    /// All that followed from it, once it is over; nothing where it was void before it was decided.
    pub outcome: Option<Outcome>,
    /// Why it is void, if so.
    pub void_reason: Option<String>,
    /// When it ended.
    pub ended_unix_ms: Option<u64>,
    /// The record that was written of it.
    pub record: Option<WrittenRecord>,
}

impl Round {
    /// The name that the round has everywhere.
    pub fn id(&self) -> RoundId {
        self.start.plan.id()
    }

    /// The students that have no result yet, in their order.
    pub fn students_without_result(&self) -> impl Iterator<Item = &distil_scoring::PlannedStudent> {
        self.start.plan.students().iter().filter(|student| !self.results.contains_key(&student.miner))
    }
}

/// Where the record of a round is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenRecord {
    /// The path, as it was given.
    pub path: String,
    /// What it digests to.
    pub digest: RecordDigest,
}

impl Store {
    /// Begins a round and gives its number.
    ///
    /// # Errors
    ///
    /// [`StoreError::RoundOpen`], [`StoreError::RoundFinished`] where a round of the same block was finished,
    /// [`StoreError::OtherKing`] where the plan was made for another king than the stored one.
    pub fn begin_round(&mut self, start: &NewRound, unix_ms: u64) -> Result<RoundNumber, StoreError> {
        let plan = &start.plan;
        let plan_json = to_json("a plan", plan)?;
        if start.prompts.len() != plan.settings().prompts {
            return Err(StoreError::InvalidValue {
                what: "a round",
                problem: format!(
                    "it has {} prompts and is planned with {}",
                    start.prompts.len(),
                    plan.settings().prompts
                ),
            });
        }
        self.write(|transaction| {
            if let Some(round) = open_round_number(transaction)? {
                return Err(StoreError::RoundOpen { round }.into());
            }
            let block = plan.block();
            let finished = transaction
                .query_row(
                    "SELECT id FROM rounds WHERE block_hash = ?1 AND state = 'finished'",
                    [Text(block.hash)],
                    |row| Ok(RoundNumber(row.get(0)?)),
                )
                .optional()?;
            if let Some(round) = finished {
                return Err(StoreError::RoundFinished { round, block: block.number }.into());
            }
            let stored = current_king(transaction)?.map(|reign| reign.king.miner);
            let king = plan.throne().king();
            if stored != king {
                return Err(StoreError::OtherKing { planned: king, stored }.into());
            }
            transaction.execute(
                "INSERT INTO rounds (round_id, block, block_hash, state, king_hotkey, king_commit_block, plan, settings,
                     begun_unix_ms)
                 VALUES (?1, ?2, ?3, 'open', ?4, ?5, ?6, ?7, ?8)",
                (
                    Text(plan.id()),
                    block.number,
                    Text(block.hash),
                    king.map(|king| king.hotkey.to_string()),
                    king.map(|king| king.commit_block),
                    plan_json,
                    start.settings.to_string(),
                    unix_ms,
                ),
            )?;
            let round = RoundNumber(transaction.last_insert_rowid());
            for (position, prompt) in start.prompts.iter().enumerate() {
                transaction
                    .prepare_cached(
                        "INSERT INTO round_prompts (round, position, id, digest, text) VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute((round.0, position as u64, &prompt.id, &prompt.digest, &prompt.text))?;
            }
            for (position, student) in plan.students().iter().enumerate() {
                let key = &student.miner;
                transaction
                    .prepare_cached(
                        "INSERT INTO round_students (round, position, hotkey, commit_block, model, revision)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .execute((
                        round.0,
                        position as u64,
                        Text(key.hotkey),
                        key.commit_block,
                        student.commitment.model.as_str(),
                        student.commitment.revision.as_str(),
                    ))?;
            }
            Ok(round)
        })
    }

    /// Records what the teacher said. Recording the same tokens again changes only the name of the worker's cache.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotOpen`]; [`StoreError::Conflict`] where the teacher said something else before: the tokens that
    /// are stored are the round's, and students may have been scored on them; [`StoreError::InvalidValue`] where there
    /// is not one sequence for each prompt.
    pub fn record_teacher(&mut self, round: RoundNumber, teacher: &TeacherRecord) -> Result<(), StoreError> {
        self.write(|transaction| {
            require_open(transaction, round)?;
            let prompts: u64 =
                transaction
                    .query_row("SELECT count(*) FROM round_prompts WHERE round = ?1", [round.0], |row| row.get(0))?;
            if prompts != teacher.sequences.len() as u64 {
                return Err(StoreError::InvalidValue {
                    what: "a teacher pass",
                    problem: format!("it has {} sequences for {prompts} prompts", teacher.sequences.len()),
                }
                .into());
            }
            if let Some(recorded) = read_teacher(transaction, round)? {
                if recorded.sequences != teacher.sequences || recorded.identity != teacher.identity {
                    return Err(StoreError::Conflict {
                        what: "the teacher pass",
                        problem: format!("round {round} has other tokens, or those of another teacher"),
                    }
                    .into());
                }
            } else {
                for (position, tokens) in teacher.sequences.iter().enumerate() {
                    transaction
                        .prepare_cached(
                            "UPDATE round_prompts SET prompt_tokens = ?3, continuation_tokens = ?4
                             WHERE round = ?1 AND position = ?2",
                        )?
                        .execute((
                            round.0,
                            position as u64,
                            tokens_to_blob(&tokens.prompt),
                            tokens_to_blob(&tokens.continuation),
                        ))?;
                }
            }
            transaction.execute(
                "UPDATE rounds SET teacher = ?2, teacher_cache_key = ?3 WHERE id = ?1",
                (round.0, teacher.identity.to_string(), &teacher.cache_key),
            )?;
            Ok(())
        })
    }

    /// Records how a student did, once.
    ///
    /// `positions_kl_nats` has the KL at every position of each prompt that was done.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotOpen`], also for a round that is decided; [`StoreError::NotInRound`], also where the result is of
    /// another round; [`StoreError::ResultExists`].
    pub fn record_result(
        &mut self,
        round: RoundNumber,
        run: &StudentRun,
        details: &Value,
        positions_kl_nats: &[Vec<f64>],
        unix_ms: u64,
    ) -> Result<(), StoreError> {
        let blob = positions_to_blob(positions_kl_nats)?;
        let result = to_json("a result", run)?;
        let key = &run.student;
        self.write(|transaction| {
            require_undecided(transaction, round)?;
            let is_of_round: bool = transaction.query_row(
                "SELECT round_id = ?2 FROM rounds WHERE id = ?1",
                (round.0, Text(run.round)),
                |row| row.get(0),
            )?;
            if !is_of_round {
                return Err(StoreError::NotInRound { round, miner: *key }.into());
            }
            let exists = transaction
                .query_row(
                    "SELECT result IS NOT NULL FROM round_students
                     WHERE round = ?1 AND hotkey = ?2 AND commit_block = ?3",
                    (round.0, Text(key.hotkey), key.commit_block),
                    |row| row.get::<_, bool>(0),
                )
                .optional()?;
            match exists {
                None => return Err(StoreError::NotInRound { round, miner: *key }.into()),
                Some(true) => return Err(StoreError::ResultExists { round, miner: *key }.into()),
                Some(false) => {}
            }
            transaction.execute(
                "UPDATE round_students SET result = ?4, details = ?5, positions_kl_nats = ?6, recorded_unix_ms = ?7
                 WHERE round = ?1 AND hotkey = ?2 AND commit_block = ?3",
                (round.0, Text(key.hotkey), key.commit_block, result, details.to_string(), blob, unix_ms),
            )?;
            Ok(())
        })
    }

    /// Records an evaluation that ended without a result, and gives how many there are now of this student in this round.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotOpen`], [`StoreError::NotInRound`], [`StoreError::ResultExists`].
    pub fn record_failed_try(
        &mut self,
        round: RoundNumber,
        key: &MinerKey,
        reason: &str,
        unix_ms: u64,
    ) -> Result<u32, StoreError> {
        self.write(|transaction| {
            require_undecided(transaction, round)?;
            let key_columns = (round.0, Text(key.hotkey), key.commit_block);
            let exists = transaction
                .query_row(
                    "SELECT result IS NOT NULL FROM round_students
                     WHERE round = ?1 AND hotkey = ?2 AND commit_block = ?3",
                    (key_columns.0, &key_columns.1, key_columns.2),
                    |row| row.get::<_, bool>(0),
                )
                .optional()?;
            match exists {
                None => return Err(StoreError::NotInRound { round, miner: *key }.into()),
                Some(true) => return Err(StoreError::ResultExists { round, miner: *key }.into()),
                Some(false) => {}
            }
            let tries: u32 = transaction.query_row(
                "SELECT count(*) + 1 FROM round_tries WHERE round = ?1 AND hotkey = ?2 AND commit_block = ?3",
                (key_columns.0, &key_columns.1, key_columns.2),
                |row| row.get(0),
            )?;
            transaction.execute(
                "INSERT INTO round_tries (round, hotkey, commit_block, try, reason, tried_unix_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                (key_columns.0, &key_columns.1, key_columns.2, tries, reason, unix_ms),
            )?;
            Ok(tries)
        })
    }

    /// Records the decision, before the winner's repository is looked at again. The round takes no further results. A
    /// decision that could not be confirmed may be replaced by another one.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotOpen`].
    pub fn record_decision(&mut self, round: RoundNumber, decision: &Value, unix_ms: u64) -> Result<(), StoreError> {
        self.write(|transaction| {
            require_open(transaction, round)?;
            transaction.execute(
                "UPDATE rounds SET state = 'decided', decision = ?2, decided_unix_ms = ?3 WHERE id = ?1",
                (round.0, decision.to_string(), unix_ms),
            )?;
            Ok(())
        })
    }

    /// Ends a round: all that follows from its decision comes into the store at once, and it never changes again. One
    /// whose outcome is void becomes void; the failure of its king that it may hold counts.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotOpen`]; [`StoreError::Conflict`] where the decision is of another round, or of results that are
    /// not all in the store; [`StoreError::OtherKing`] where it is about another king than the one stored.
    pub fn finish_round(
        &mut self,
        round: RoundNumber,
        decision: &ConfirmedDecision,
        unix_ms: u64,
    ) -> Result<(), StoreError> {
        let outcome = decision.outcome();
        let document = to_json("an outcome", outcome)?;
        self.write(|transaction| {
            let (_, block) = require_open(transaction, round)?;
            let plan: RoundPlan =
                transaction.query_row("SELECT plan FROM rounds WHERE id = ?1", [round.0], |row| json(row, 0))?;
            let conflict = |problem: String| StoreError::Conflict { what: "the plan of a round", problem };
            if outcome.round != plan.id() || outcome.block != plan.block() {
                return Err(conflict(format!("round {} was planned, {} is decided", plan.id(), outcome.round)).into());
            }
            if !outcome.verdicts.iter().map(|verdict| verdict.miner).eq(plan.students().iter().map(|it| it.miner)) {
                return Err(conflict("the decision is about other students".to_owned()).into());
            }
            let missing: Option<MinerKey> = transaction
                .query_row(
                    "SELECT hotkey, commit_block FROM round_students WHERE round = ?1 AND result IS NULL LIMIT 1",
                    [round.0],
                    miner,
                )
                .optional()?;
            if let Some(missing) = missing {
                return Err(conflict(format!("it is decided, and the result of {missing} is not recorded")).into());
            }
            for (position, verdict) in outcome.verdicts.iter().enumerate() {
                transaction
                    .prepare_cached(
                        "INSERT INTO verdicts (round, position, hotkey, commit_block, verdict)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute((
                        round.0,
                        position as u64,
                        Text(verdict.miner.hotkey),
                        verdict.miner.commit_block,
                        to_json("a verdict", verdict)?,
                    ))?;
            }
            for failure in &outcome.failures {
                insert_failure(transaction, round, &failure.miner, &failure.reason, unix_ms)?;
            }
            let state = if outcome.void.is_some() {
                "void"
            } else {
                for done in &outcome.evaluated {
                    transaction
                        .prepare_cached(
                            "INSERT INTO evaluated (hotkey, commit_block, round, evaluation) VALUES (?1, ?2, ?3, ?4)
                             ON CONFLICT DO UPDATE SET round = ?3, evaluation = ?4",
                        )?
                        .execute((
                            Text(done.miner.hotkey),
                            done.miner.commit_block,
                            round.0,
                            to_json("an evaluation", &done.evaluation)?,
                        ))?;
                }
                for disqualification in &outcome.disqualifications {
                    insert_disqualification(transaction, disqualification, block, Some(round), unix_ms)?;
                }
                change_crown(transaction, &plan, outcome, round, unix_ms)?;
                "finished"
            };
            transaction.execute(
                "UPDATE rounds SET state = ?2, outcome = ?3, void_reason = ?4, ended_unix_ms = ?5 WHERE id = ?1",
                (round.0, state, document, &outcome.void, unix_ms),
            )?;
            Ok(())
        })
    }

    /// Ends a round that decides nothing: no verdict, no crown. Its block may be taken for another round.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotOpen`].
    pub fn void_round(&mut self, round: RoundNumber, reason: &str, unix_ms: u64) -> Result<(), StoreError> {
        self.write(|transaction| {
            require_open(transaction, round)?;
            transaction.execute(
                "UPDATE rounds SET state = 'void', void_reason = ?2, ended_unix_ms = ?3 WHERE id = ?1",
                (round.0, reason, unix_ms),
            )?;
            Ok(())
        })
    }

    /// Records where the record of a finished round is.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] where there is no such finished round; [`StoreError::Conflict`] where another record was
    /// written of it.
    pub fn mark_record_written(&mut self, round: RoundNumber, record: &WrittenRecord) -> Result<(), StoreError> {
        self.write(|transaction| {
            let digest: Option<Option<[u8; 32]>> = transaction
                .query_row("SELECT record_digest FROM rounds WHERE id = ?1 AND state = 'finished'", [round.0], |row| {
                    row.get(0)
                })
                .optional()?;
            match digest {
                None => return Err(StoreError::NotFound { what: format!("finished round {round}") }.into()),
                Some(Some(digest)) if digest != record.digest.0 => {
                    return Err(StoreError::Conflict {
                        what: "the record of a round",
                        problem: format!("round {round} has {}, not {}", RecordDigest(digest), record.digest),
                    }
                    .into());
                }
                Some(_) => {}
            }
            transaction.execute(
                "UPDATE rounds SET record_path = ?2, record_digest = ?3 WHERE id = ?1",
                (round.0, &record.path, record.digest.0),
            )?;
            Ok(())
        })
    }

    /// Takes the KL of single positions of a round out of the store, once its record has them. Gives of how many students.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] where no record of the round is written.
    pub fn drop_positions(&mut self, round: RoundNumber) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let is_recorded: bool = transaction.query_row(
                "SELECT EXISTS (SELECT 1 FROM rounds WHERE id = ?1 AND record_path IS NOT NULL)",
                [round.0],
                |row| row.get(0),
            )?;
            if !is_recorded {
                return Err(StoreError::NotFound { what: format!("record of round {round}") }.into());
            }
            Ok(transaction.execute(
                "UPDATE round_students SET positions_kl_nats = NULL
                 WHERE round = ?1 AND positions_kl_nats IS NOT NULL",
                [round.0],
            )?)
        })
    }
}

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

    /// Finished rounds of which no record is written yet, oldest first.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn rounds_without_record(&self) -> Result<Vec<RoundNumber>, StoreError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT id FROM rounds WHERE state = 'finished' AND record_path IS NULL ORDER BY id")?;
            Ok(statement.query_map([], |row| Ok(RoundNumber(row.get(0)?)))?.collect::<Result<_, _>>()?)
        })
    }
}

fn open_round_number(connection: &Connection) -> rusqlite::Result<Option<RoundNumber>> {
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
fn require_open(connection: &Connection, round: RoundNumber) -> Result<(RoundState, u64), Fault> {
    let state = match state_and_block(connection, round)? {
        Some(found @ (RoundState::Open | RoundState::Decided, _)) => return Ok(found),
        Some((RoundState::Finished, _)) => "finished",
        Some((RoundState::Void, _)) => "void",
        None => "unknown",
    };
    Err(StoreError::NotOpen { round, state: state.to_owned() }.into())
}

fn require_undecided(connection: &Connection, round: RoundNumber) -> Result<(), Fault> {
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

fn read_teacher(connection: &Connection, round: RoundNumber) -> Result<Option<TeacherRecord>, Fault> {
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
