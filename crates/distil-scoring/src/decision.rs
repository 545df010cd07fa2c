use crate::{CopyProof, Disqualification, Evaluation, NotEligible, PairedTest, RoundId};
use distil_types::{BlockRef, MinerKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a round says of one student.
///
/// The first eight are those of a recorded round, in the order in which they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// A copy of an earlier commitment.
    Copy,
    /// Its KL is not a finite number.
    NotFinite,
    /// Its KL is above the largest that can be crowned.
    AboveMaxKl,
    /// Its KL is at or below the floor.
    BelowFloor,
    /// Its statistics can't come from a real run.
    Implausible,
    /// It was not measured on every prompt.
    Incomplete,
    /// Below the king by the margin, or the throne is vacant; the lowest of these is crowned.
    BeatsKing,
    /// Measured to the end, and not below the king by the margin.
    NotEnough,
    /// It would have been crowned or could have been, but its weights are close to those of an earlier miner.
    NearCopy,
    /// It could not be loaded or run.
    Failed,
    /// No result through no fault of its own. It takes part again.
    Interrupted,
    /// Its result stands, but the king that it was compared with fell. It takes part again.
    Postponed,
    /// It beats the king, but whether the repository of the best is intact could not be told. It takes part again.
    Unconfirmed,
    /// It would have been crowned, but its repository no longer holds what was measured.
    Changed,
    /// It would have been crowned, but its repository is gone.
    Removed,
    /// The round says nothing of anybody.
    Void,
    /// The king, and it stays king.
    KeepsCrown,
    /// The king, beaten.
    Dethroned,
    /// The king, and it is out through its own model.
    LosesCrown,
}

impl Verdict {
    /// The name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Copy => "copy",
            Verdict::NotFinite => "not_finite",
            Verdict::AboveMaxKl => "above_max_kl",
            Verdict::BelowFloor => "below_floor",
            Verdict::Implausible => "implausible",
            Verdict::Incomplete => "incomplete",
            Verdict::BeatsKing => "beats_king",
            Verdict::NotEnough => "not_enough",
            Verdict::NearCopy => "near_copy",
            Verdict::Failed => "failed",
            Verdict::Interrupted => "interrupted",
            Verdict::Postponed => "postponed",
            Verdict::Unconfirmed => "unconfirmed",
            Verdict::Changed => "changed",
            Verdict::Removed => "removed",
            Verdict::Void => "void",
            Verdict::KeepsCrown => "keeps_crown",
            Verdict::Dethroned => "dethroned",
            Verdict::LosesCrown => "loses_crown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a round says of one student, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MinerVerdict {
    /// Who.
    pub miner: MinerKey,
    /// What.
    pub verdict: Verdict,
    /// Why, for the miner to read.
    pub sentence: String,
    /// The mean KL in nats over what was measured, if anything was.
    pub kl: Option<f64>,
    /// `1 - kl / king_kl`, where the king has a score and it is not the king's own.
    pub margin: Option<f64>,
    /// The comparison with the king on the same prompts, where both did all of them.
    pub paired: Option<PairedTest>,
    /// What it was found to match, if anything.
    #[serde(default)]
    pub matches: Vec<CopyProof>,
}

/// Who holds the crown after a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "crown", rename_all = "snake_case")]
pub enum Crown {
    /// As before.
    Unchanged {
        /// The king, if there is one.
        king: Option<MinerKey>,
    },
    /// A new king.
    Given {
        /// Who.
        king: MinerKey,
        /// Whom it follows; `None` when the throne was vacant.
        dethroned: Option<MinerKey>,
    },
    /// The king fell through its own model and nobody follows before the next round.
    Lost {
        /// Who fell.
        king: MinerKey,
        /// Why.
        reason: NotEligible,
    },
}

impl Crown {
    /// The king from now on.
    pub fn king(&self) -> Option<MinerKey> {
        match self {
            Crown::Unchanged { king } => *king,
            Crown::Given { king, .. } => Some(*king),
            Crown::Lost { .. } => None,
        }
    }
}

/// An isolated failure that counts against a miner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedFailure {
    /// Whose.
    pub miner: MinerKey,
    /// How many it has had with this one.
    pub failures: u8,
    /// What happened.
    pub reason: String,
}

/// An evaluation that is done with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Whose.
    pub miner: MinerKey,
    /// How it went.
    pub evaluation: Evaluation,
}

/// All that follows from a round, as data: nothing else may be written because of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The round.
    pub round: RoundId,
    /// Its block.
    pub block: BlockRef,
    /// Why the round counts for nothing, if it does not.
    pub void: Option<String>,
    /// Who holds the crown.
    pub crown: Crown,
    /// One entry a student, in the order of the plan.
    pub verdicts: Vec<MinerVerdict>,
    /// Who is out for good, by miner. Some may not be students of the round.
    pub disqualifications: Vec<Disqualification>,
    /// Failures that count, by miner.
    pub failures: Vec<CountedFailure>,
    /// Who is done with, by miner. Students that are not here take part again, unless disqualified.
    pub evaluated: Vec<Evaluated>,
}

/// An [`Outcome`] that went through all checks. Only [`decide`](crate::decide) and
/// [`PendingCrown::confirm`](crate::PendingCrown::confirm) make one, so no crown is given without a look at the
/// winner's repository.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ConfirmedDecision(pub(crate) Outcome);

impl ConfirmedDecision {
    /// What follows.
    pub fn outcome(&self) -> &Outcome {
        &self.0
    }

    /// What follows, to keep.
    pub fn into_outcome(self) -> Outcome {
        self.0
    }
}
