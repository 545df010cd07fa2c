//! What a validator tells while it works.

use distil_eval::worker::WorkerEvent;
use distil_scoring::{Outcome, Role, RoundId, StudentResult};
use distil_types::{BlockRef, Commitment, MinerKey, Uid};
use std::path::PathBuf;

/// A step that is done. Each is told after what it changed is in the store, so whoever is killed on hearing of it loses
/// nothing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The subnet was read, and what it shows is stored.
    Snapshot {
        /// The block.
        block: BlockRef,
        /// Seats.
        neurons: usize,
        /// Hotkeys with a submission that counts.
        submissions: usize,
    },
    /// A commitment was checked.
    Checked {
        /// Whose.
        miner: MinerKey,
        /// What.
        commitment: Commitment,
        /// In a sentence.
        verdict: String,
        /// It may take part.
        passed: bool,
    },
    /// A miner is out for good.
    Disqualified {
        /// Who.
        miner: MinerKey,
        /// `COPY`, `REMOVED` or `INVALID`.
        code: String,
        /// Why.
        sentence: String,
    },
    /// The king lost the crown outside of a round.
    ThroneVacant {
        /// Why.
        reason: String,
    },
    /// Nothing is to be evaluated.
    NoRound {
        /// The block that was looked at.
        block: BlockRef,
    },
    /// A round is planned, its prompts are drawn, and both are stored.
    RoundBegun {
        /// The round.
        round: RoundId,
        /// Its block.
        block: BlockRef,
        /// Who takes part, in order.
        students: Vec<(MinerKey, Role, Commitment)>,
        /// How many prompts.
        prompts: usize,
    },
    /// A round that was begun before is taken up again.
    RoundResumed {
        /// The round.
        round: RoundId,
        /// Results that are there already.
        results: usize,
    },
    /// The teacher continued the prompts.
    TeacherDone {
        /// The round.
        round: RoundId,
        /// Tokens of all continuations.
        positions: usize,
    },
    /// A student is handed to the worker. Nothing is stored yet.
    StudentBegun {
        /// The round.
        round: RoundId,
        /// Who.
        miner: MinerKey,
        /// As what.
        role: Role,
    },
    /// A student's result is stored.
    StudentDone {
        /// The round.
        round: RoundId,
        /// Who.
        miner: MinerKey,
        /// How it ended.
        end: StudentEnd,
    },
    /// A model known to be good was run after a student failed of whom nothing else could show that it was its own doing.
    Canary {
        /// It ran.
        passed: bool,
    },
    /// The winner's repository was looked at again.
    IntegrityChecked {
        /// Who.
        miner: MinerKey,
        /// In a sentence.
        found: String,
    },
    /// A round is decided, and all that follows from it is stored.
    RoundDecided {
        /// What follows.
        outcome: Box<Outcome>,
    },
    /// A round was given up before it was decided; another one takes its place.
    RoundVoided {
        /// The round.
        round: RoundId,
        /// Why.
        reason: String,
    },
    /// A round's record is on disk.
    RecordWritten {
        /// The round.
        round: RoundId,
        /// Its folder.
        folder: PathBuf,
    },
    /// Weights are needed, and are going to be sent.
    WeightsIntended {
        /// To whom.
        king: MinerKey,
        /// At which seat.
        uid: Uid,
    },
    /// Weights were sent and are in a final block.
    WeightsSent {
        /// To whom.
        king: MinerKey,
        /// At which seat.
        uid: Uid,
        /// What the chain said.
        how: String,
    },
    /// Weights hold on the chain.
    WeightsConfirmed {
        /// To whom.
        king: MinerKey,
        /// At which seat.
        uid: Uid,
        /// The block that shows them.
        block: u64,
    },
    /// No weights were sent.
    NoWeights {
        /// Why not.
        reason: String,
    },
    /// An epoch could not be brought to its end; it is tried again.
    Failed {
        /// Why.
        problem: String,
        /// After this.
        pause: std::time::Duration,
    },
    /// Weights that were sent have no effect.
    WeightsLost {
        /// Why.
        reason: String,
    },
}

/// How a student's pass ended, in numbers that are worth telling.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StudentEnd {
    /// It was measured.
    Measured {
        /// `completed`, `early_stopped` or `copied`.
        how: &'static str,
        /// Mean KL in nats over what was done, if finite.
        kl_nats: Option<f64>,
        /// Prompts done.
        prompts: usize,
    },
    /// It was not.
    NotMeasured {
        /// `failed` or `interrupted`.
        how: &'static str,
        /// Why.
        reason: String,
    },
}

impl StudentEnd {
    pub(crate) fn of(result: &StudentResult) -> Self {
        let measured = |how, prompts: &Vec<distil_scoring::PromptStatistics>| StudentEnd::Measured {
            how,
            kl_nats: distil_scoring::ModelScore::from_prompts(prompts).ok().map(|score| score.kl),
            prompts: prompts.len(),
        };
        match result {
            StudentResult::Completed { prompts } => measured("completed", prompts),
            StudentResult::EarlyStopped { prompts, .. } => measured("early_stopped", prompts),
            StudentResult::Copied { prompts, .. } => measured("copied", prompts),
            StudentResult::Failed(failure) => StudentEnd::NotMeasured { how: "failed", reason: failure.reason.clone() },
            StudentResult::Interrupted { reason } => {
                StudentEnd::NotMeasured { how: "interrupted", reason: reason.clone() }
            }
        }
    }
}

/// Who hears what a validator tells.
pub trait Observer: Send {
    /// A step is done.
    fn event(&mut self, event: &Event);

    /// Something came from the worker while it runs the teacher (`None`) or a student.
    fn worker(&self, student: Option<MinerKey>, event: &WorkerEvent) {
        let _ = (student, event);
    }
}

/// Tells nobody.
impl Observer for () {
    fn event(&mut self, _event: &Event) {}
}
