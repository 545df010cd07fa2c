//! What people ask: who is king, how far is the round, why is this one not evaluated.

use distil_scoring::{Disqualification, Evaluation, MinerVerdict, Outcome, RoundId, StudentRun};
use distil_types::{BlockHash, BlockRef, Commitment, Hotkey, MinerKey, NetUid, Uid};
use serde::{Deserialize, Serialize};

use crate::checks::CheckState;
use crate::king::Reign;
use crate::rounds::{RoundNumber, RoundState, WrittenRecord, parse_state, round_king, written_record};
use crate::seen::SeenSubmission;
use crate::sql::{Json, text};
use crate::verdicts::StoredDisqualification;
use crate::weights::StoredWeights;
use crate::{StoreError, StoreReader};

/// A validator at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Which subnet of which chain: its number and the hash of the chain's first block.
    pub subnet: Option<(NetUid, BlockHash)>,
    /// The newest snapshot.
    pub newest_snapshot: Option<BlockRef>,
    /// Who has the crown, and since when.
    pub king: Option<Reign>,
    /// The round that is open.
    pub open_round: Option<RoundProgress>,
    /// The newest round that was finished.
    pub last_round: Option<RoundSummary>,
    /// Its results, in the order of the round.
    pub leaderboard: Vec<LeaderboardEntry>,
    /// Every miner of the newest snapshot.
    pub miners: Vec<MinerStatus>,
    /// Every disqualification that stands, also of miners that are gone.
    pub disqualifications: Vec<StoredDisqualification>,
    /// Weights whose outcome is not known yet.
    pub pending_weights: Option<StoredWeights>,
    /// Weights last seen on the chain.
    pub last_confirmed_weights: Option<StoredWeights>,
    /// How many things were taken in from another validator, as history.
    pub imported_items: u64,
}

/// How far an open round has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundProgress {
    /// The round.
    pub round: RoundSummary,
    /// Whether the teacher has said all.
    pub teacher_done: bool,
    /// How many students have a result.
    pub students_done: usize,
    /// Those that have none, in their order.
    pub students_left: Vec<MinerKey>,
}

/// A round in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundSummary {
    /// Its number.
    pub number: RoundNumber,
    /// Its name.
    pub id: RoundId,
    /// Its block.
    pub block: BlockRef,
    /// How far it has come.
    pub state: RoundState,
    /// The king it was planned with.
    pub king: Option<MinerKey>,
    /// How many take part.
    pub students: usize,
    /// How many prompts it has.
    pub prompts: usize,
    /// When it began.
    pub begun_unix_ms: u64,
    /// When it ended.
    pub ended_unix_ms: Option<u64>,
    /// Why it is void, if so.
    pub void_reason: Option<String>,
    /// All that followed from it, once it is over.
    pub outcome: Option<Outcome>,
    /// Who was crowned by it, if anyone.
    pub crowned: Option<MinerKey>,
    /// The record that was written of it.
    pub record: Option<WrittenRecord>,
}

/// One student of a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaderboardEntry {
    /// Who.
    pub miner: MinerKey,
    /// Its model.
    pub commitment: Commitment,
    /// Whether it was the king when the round began.
    pub was_king: bool,
    /// Whether the round crowned it.
    pub crowned: bool,
    /// What the round said of it, and why.
    pub verdict: Option<MinerVerdict>,
    /// Its result.
    pub run: Option<StudentRun>,
}

/// Why a miner is where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MinerStatus {
    /// Who.
    pub hotkey: Hotkey,
    /// Its seat in the newest snapshot; only to be shown.
    pub uid: Uid,
    /// The block of its commitment, where it has one that counts.
    pub commit_block: Option<u64>,
    /// Its model, where it has a commitment that counts.
    pub commitment: Option<Commitment>,
    /// Where it stands.
    pub standing: Standing,
}

impl MinerStatus {
    /// The key of the miner, where it has a commitment that counts.
    pub fn miner(&self) -> Option<MinerKey> {
        Some(MinerKey { hotkey: self.hotkey, commit_block: self.commit_block? })
    }
}

/// Where a miner stands, and why it is not evaluated, if so. The first that holds, in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// It has no submission that counts.
    NoSubmission {
        /// Why, in one word.
        code: String,
        /// Why.
        sentence: String,
    },
    /// It is disqualified.
    Disqualified {
        /// For what.
        disqualification: Disqualification,
    },
    /// It has the crown.
    King,
    /// It takes part in the open round.
    InRound {
        /// The round.
        round: RoundNumber,
        /// Whether its result is there.
        done: bool,
    },
    /// Its evaluation is done.
    Evaluated {
        /// How it went.
        evaluation: Evaluation,
        /// What the newest round with it said, and why.
        sentence: Option<String>,
    },
    /// Its repository is not what it has to be.
    Invalid {
        /// The codes of the findings.
        codes: Vec<String>,
        /// Why.
        sentence: String,
    },
    /// Its repository could not be looked at; not its fault.
    Waiting {
        /// Why.
        reason: String,
        /// How often it was tried.
        tries: u32,
        /// Not tried again before this moment, in seconds since 1970 UTC.
        not_before_unix_s: u64,
    },
    /// It waits for a round.
    Queued {
        /// How many isolated failures it has; three end its evaluation.
        isolated_failures: u32,
    },
    /// Its repository was not checked yet.
    Unchecked,
}

impl StoreReader {
    /// Everything that `distil status` shows, as of one moment.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn status(&self) -> Result<Status, StoreError> {
        // All of it within one transaction: those of the methods below are then part of it.
        self.at_one_moment(|| {
            let king = self.king()?;
            let open = self.open_round()?;
            let mut contenders = self.contenders()?;
            let last = self.last_finished_round()?;
            let disqualifications = self.disqualifications()?;
            let open_round = match &open {
                None => None,
                Some(round) => Some(RoundProgress {
                    round: self.summary(round.number)?,
                    teacher_done: round.teacher.is_some(),
                    students_done: round.results.len(),
                    students_left: round.students_without_result().map(|student| student.miner).collect(),
                }),
            };
            let last_round = match &last {
                None => None,
                Some(round) => Some(self.summary(round.number)?),
            };
            let leaderboard = last.map_or_else(Vec::new, |round| {
                let crowned = last_round.as_ref().and_then(|summary| summary.crowned);
                leaderboard(round, crowned)
            });
            let mut standing = |key: MinerKey| -> Result<Standing, StoreError> {
                let Some(known) = contenders.remove(&key) else { return Ok(Standing::Unchecked) };
                if let Some(disqualification) = known.disqualification {
                    return Ok(Standing::Disqualified { disqualification });
                }
                if king.as_ref().is_some_and(|reign| reign.king.miner == key) {
                    return Ok(Standing::King);
                }
                if let Some(round) = &open
                    && round.start.plan.students().iter().any(|student| student.miner == key)
                {
                    return Ok(Standing::InRound { round: round.number, done: round.results.contains_key(&key) });
                }
                if let Some(evaluation) = known.evaluation {
                    let sentence = self.newest_verdict(&key)?.map(|(_, verdict)| verdict.sentence);
                    return Ok(Standing::Evaluated { evaluation, sentence });
                }
                Ok(match known.check {
                    None => Standing::Unchecked,
                    Some(CheckState::Invalid { codes, sentence }) => Standing::Invalid { codes, sentence },
                    Some(CheckState::Waiting { reason, tries, not_before_unix_s }) => {
                        Standing::Waiting { reason, tries, not_before_unix_s }
                    }
                    Some(CheckState::Passed) => Standing::Queued { isolated_failures: known.isolated_failures },
                })
            };
            let mut miners = Vec::new();
            for miner in self.seen_miners()? {
                if !miner.is_registered {
                    continue;
                }
                let (commit_block, commitment, standing) = match miner.submission {
                    SeenSubmission::None { code, sentence } => (None, None, Standing::NoSubmission { code, sentence }),
                    SeenSubmission::Counts { commit_block, commitment } => (
                        Some(commit_block),
                        Some(commitment),
                        standing(MinerKey { hotkey: miner.hotkey, commit_block })?,
                    ),
                };
                miners.push(MinerStatus { hotkey: miner.hotkey, uid: miner.uid, commit_block, commitment, standing });
            }
            miners.sort_by_key(|miner| miner.uid);
            Ok(Status {
                subnet: self.subnet()?,
                newest_snapshot: self.newest_snapshot()?,
                open_round,
                last_round,
                leaderboard,
                miners,
                pending_weights: self.pending_weights()?,
                last_confirmed_weights: self.last_confirmed_weights()?,
                imported_items: self.imported_count()?,
                disqualifications: disqualifications.into_values().collect(),
                king,
            })
        })
    }

    /// All rounds in one line each, the newest first: `limit` of them after the first `offset`.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn rounds(&self, offset: u64, limit: u64) -> Result<Vec<RoundSummary>, StoreError> {
        self.summaries("ORDER BY id DESC LIMIT ?2 OFFSET ?1", (offset, limit))
    }

    fn summary(&self, round: RoundNumber) -> Result<RoundSummary, StoreError> {
        let found = self.summaries("WHERE id = ?1", [round.0])?;
        found.into_iter().next().ok_or_else(|| StoreError::NotFound { what: format!("round {round}") })
    }

    fn summaries(&self, which: &str, parameters: impl rusqlite::Params) -> Result<Vec<RoundSummary>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT *,
                     (SELECT count(*) FROM round_students WHERE round = rounds.id) AS students,
                     (SELECT count(*) FROM round_prompts WHERE round = rounds.id) AS prompts,
                     (SELECT hotkey FROM reigns WHERE round = rounds.id) AS crowned_hotkey,
                     (SELECT commit_block FROM reigns WHERE round = rounds.id) AS crowned_commit_block
                 FROM rounds {which}"
            ))?;
            let rows = statement.query_map(parameters, |row| {
                let crowned = match row.get("crowned_commit_block")? {
                    Some(commit_block) => Some(MinerKey { hotkey: text(row, "crowned_hotkey")?, commit_block }),
                    None => None,
                };
                Ok(RoundSummary {
                    number: RoundNumber(row.get("id")?),
                    id: text(row, "round_id")?,
                    block: BlockRef { number: row.get("block")?, hash: text(row, "block_hash")? },
                    state: parse_state(row.get_ref("state")?.as_str()?),
                    king: round_king(row)?,
                    students: row.get("students")?,
                    prompts: row.get("prompts")?,
                    begun_unix_ms: row.get("begun_unix_ms")?,
                    ended_unix_ms: row.get("ended_unix_ms")?,
                    void_reason: row.get("void_reason")?,
                    outcome: row.get::<_, Option<Json<Outcome>>>("outcome")?.map(|json| json.0),
                    crowned,
                    record: written_record(row)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

fn leaderboard(mut round: crate::Round, crowned: Option<MinerKey>) -> Vec<LeaderboardEntry> {
    let king = round.start.plan.throne().king();
    let mut verdicts = round.outcome.map_or_else(Vec::new, |outcome| outcome.verdicts).into_iter();
    let students = round.start.plan.students();
    students
        .iter()
        .map(|student| LeaderboardEntry {
            miner: student.miner,
            commitment: student.commitment.clone(),
            was_king: king == Some(student.miner),
            crowned: crowned == Some(student.miner),
            // Verdicts stand in the order of the plan's students.
            verdict: verdicts.next(),
            run: round.results.remove(&student.miner).map(|stored| stored.run),
        })
        .collect()
}
