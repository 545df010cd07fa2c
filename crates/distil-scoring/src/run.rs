use crate::{CopyEvidence, CopyMatch, EarlyStopEvidence, NearCopy, PromptStatistics, RoundId};
use distil_types::MinerKey;
use serde::{Deserialize, Serialize};

/// What came out for one student of a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudentRun {
    /// The round it was measured in.
    pub round: RoundId,
    /// The student.
    pub student: MinerKey,
    /// The result.
    pub result: StudentResult,
    /// Set when the weights, once read, turned out close to those of an earlier miner.
    #[serde(default)]
    pub near_copy: Option<NearCopy>,
}

impl StudentRun {
    /// A run without a finding about its weights.
    pub fn new(round: RoundId, student: MinerKey, result: StudentResult) -> Self {
        StudentRun { round, student, result, near_copy: None }
    }
}

/// How a student's run ended. Only a complete one can win.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum StudentResult {
    /// Every position of every prompt was measured.
    Completed {
        /// One summary a prompt, in the order of the round.
        prompts: Vec<PromptStatistics>,
    },
    /// Stopped because it trailed the king on the prompts that both had done.
    EarlyStopped {
        /// The prompts done, the first ones of the round.
        prompts: Vec<PromptStatistics>,
        /// What the stop rests on.
        evidence: EarlyStopEvidence,
    },
    /// The same tensors, or the same function, as others. Which of them is the copy is for the rules to say, so a run
    /// that went on to the end is as good as a completed one if this student is the original. Only the run of a later
    /// commitment may end at a match: that of a king, or of an earlier one, has to go on, or it has no score.
    Copied {
        /// All that it matches.
        matches: Vec<CopyMatch>,
        /// The prompts done, the first ones of the round; maybe none, maybe all.
        prompts: Vec<PromptStatistics>,
    },
    /// The model could not be loaded or run, in a process of its own.
    Failed(Failure),
    /// No result through no fault of the model: the network, the worker, a shutdown.
    Interrupted {
        /// What happened, for the miner to read.
        reason: String,
    },
}

/// What shows that two students are one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "proof", rename_all = "snake_case")]
pub enum CopyProof {
    /// The same tensors under the same canonical names.
    SameTensors {
        /// The digest that both have.
        digest: String,
    },
    /// The same KL at the same positions.
    SameFunction(CopyEvidence),
}

/// That a model could not be loaded or run.
///
/// It counts only when it is shown to be the model's own: when another student of the round was measured to the end, or
/// `known_good_passed` is set. For a king only the latter counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What failed.
    pub kind: FailureKind,
    /// What happened, for the miner to read.
    pub reason: String,
    /// Whether a model known to be good was loaded and run on the same worker afterwards.
    #[serde(default)]
    pub known_good_passed: bool,
}

/// In what way a model failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// It could not be loaded.
    Load,
    /// Its process ended: a crash, or killed for the memory it took.
    Crash,
    /// It did not come to an end in its time.
    Hang,
    /// Its logits or its KL were NaN or infinite. Of a challenger this is a score, if a bad one: it is not tried again.
    NotFinite,
}
