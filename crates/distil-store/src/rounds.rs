//! Rounds: begun, filled, decided, ended. What they hold is here; [`writing`] and [`reading`] are the steps.

mod reading;
mod writing;

use std::collections::BTreeMap;
use std::fmt;

use distil_scoring::{Outcome, RoundId, RoundPlan, StudentRun};
use distil_types::MinerKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::RecordDigest;
pub(crate) use reading::{parse_state, require_known_round, round_king, written_record};

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
    /// What [`Store::record_decision`](crate::Store::record_decision) was last given.
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
