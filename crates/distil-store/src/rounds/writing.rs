//! The steps of a round, each one transaction.

use distil_scoring::{ConfirmedDecision, RoundPlan, StudentResult, StudentRun};
use distil_types::MinerKey;
use rusqlite::OptionalExtension as _;
use serde_json::Value;

use super::reading::{open_round_number, read_teacher, require_open, require_undecided};
use super::{NewRound, RoundNumber, TeacherRecord, WrittenRecord};
use crate::blobs::{positions_to_blob, tokens_to_blob};
use crate::digest::RecordDigest;
use crate::interruptions::forget_interruptions;
use crate::king::{change_crown, current_king};
use crate::sql::{Text, json, miner, to_json};
use crate::verdicts::{insert_disqualification, insert_failure};
use crate::{Store, StoreError};

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
    /// `positions_kl_nats` has the KL at every position of each prompt that was done. Whatever kept the student from a
    /// result before is forgotten, unless this is no result either.
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
            if !matches!(run.result, StudentResult::Interrupted { .. }) {
                forget_interruptions(transaction, key)?;
            }
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

    /// Records where the record of a round that came to an outcome is.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] where there is no such round; [`StoreError::Conflict`] where another record was
    /// written of it.
    pub fn mark_record_written(&mut self, round: RoundNumber, record: &WrittenRecord) -> Result<(), StoreError> {
        self.write(|transaction| {
            let digest: Option<Option<[u8; 32]>> = transaction
                .query_row(
                    "SELECT record_digest FROM rounds
                     WHERE id = ?1 AND state IN ('finished', 'void') AND outcome IS NOT NULL",
                    [round.0],
                    |row| row.get(0),
                )
                .optional()?;
            match digest {
                None => return Err(StoreError::NotFound { what: format!("decided round {round}") }.into()),
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

    /// Takes the KL of single positions out of the store where nothing needs it any more: of rounds whose record has it, and
    /// of those that were void before they were decided, of which no record is written. Gives of how many students. To be called as often as one likes: what
    /// an end in the middle left is taken by the next call.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn drop_spent_positions(&mut self) -> Result<usize, StoreError> {
        self.write(|transaction| {
            Ok(transaction.execute(
                "UPDATE round_students SET positions_kl_nats = NULL
                 WHERE positions_kl_nats IS NOT NULL
                   AND round IN (SELECT id FROM rounds WHERE record_path IS NOT NULL OR (state = 'void' AND outcome IS NULL))",
                [],
            )?)
        })
    }
}
