use crate::{CopyProof, RoundId};
use distil_types::{Commitment, Hotkey, MinerKey, Uid};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// A neuron's place on the subnet, as one snapshot of the chain has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Where weight is sent. Never a key of anything.
    pub uid: Uid,
    /// Who sits there now.
    pub hotkey: Hotkey,
    /// The block in which that hotkey took the seat.
    pub registered_at_block: u64,
}

/// All that is known of a miner when a round is planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Miner {
    /// Who it is.
    pub key: MinerKey,
    /// What it committed.
    pub commitment: Commitment,
    /// The seat of its hotkey at the round's block; `None` when the hotkey is not registered.
    pub seat: Option<Seat>,
    /// Why the chain no longer proves that this commitment is the hotkey's first, if so (`history_trimmed`). A
    /// sentence.
    #[serde(default)]
    pub unproven: Option<String>,
    /// What the check of its repository said.
    pub check: CheckVerdict,
    /// Why it is out for good, if it is.
    #[serde(default)]
    pub disqualification: Option<Disqualification>,
    /// How many isolated failures of its own it has had.
    #[serde(default)]
    pub failures: u8,
    /// How often it was kept from a result, through no proven fault of its own, since its last result.
    #[serde(default)]
    pub interruptions: u32,
    /// How its last evaluation went, if it had one.
    #[serde(default)]
    pub evaluation: Option<Evaluation>,
    /// Set when its weights are close to those of an earlier miner: no crown in this round.
    #[serde(default)]
    pub near_copy: Option<NearCopy>,
}

impl Miner {
    /// A miner of whom nothing is known but its commitment: without a seat, not checked, never evaluated.
    pub fn new(key: MinerKey, commitment: Commitment) -> Self {
        Miner {
            key,
            commitment,
            seat: None,
            unproven: None,
            check: CheckVerdict::NotChecked,
            disqualification: None,
            failures: 0,
            interruptions: 0,
            evaluation: None,
            near_copy: None,
        }
    }
}

/// What the check of a repository at its committed revision came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum CheckVerdict {
    /// It has not been checked yet.
    NotChecked,
    /// The model may take part.
    Passed,
    /// The model breaks a rule; its content is pinned, so it always will.
    Invalid {
        /// The codes of the findings, as `too_many_parameters`.
        codes: Vec<String>,
    },
    /// The check could not be finished, through the network's fault or ours; it is tried again.
    Waiting {
        /// Why, for the miner to read.
        reason: String,
    },
}

/// For what a miner is disqualified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DisqualificationCode {
    /// Its model is one that another miner committed earlier.
    Copy,
    /// Its repository is gone or closed.
    Removed,
    /// Its model breaks a rule, or is not what was committed.
    Invalid,
}

impl fmt::Display for DisqualificationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DisqualificationCode::Copy => "COPY",
            DisqualificationCode::Removed => "REMOVED",
            DisqualificationCode::Invalid => "INVALID",
        })
    }
}

/// That a miner is out, for good. It holds for this hotkey with this commitment, and for nobody else: not for the seat,
/// not for the model's name, not for a later commitment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disqualification {
    /// Who.
    pub miner: MinerKey,
    /// For what.
    pub code: DisqualificationCode,
    /// Why, for the miner to read.
    pub sentence: String,
    /// What it was seen from.
    pub evidence: Value,
}

/// That a miner's weights are close to those of a miner that committed earlier.
///
/// It is no proof of a copy, so it disqualifies nobody: the miner is evaluated, and not crowned in this round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NearCopy {
    /// The earlier miner.
    pub of: MinerKey,
    /// The distance, and what it was measured on.
    pub evidence: Value,
}

/// How an evaluation that counts as done went. A miner is evaluated once for each commitment; a bad score is a score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// In which round.
    pub round: RoundId,
    /// How it ended.
    pub result: EvaluationResult,
    /// The mean KL in nats over what was measured; `None` where it was not finite.
    pub kl: Option<f64>,
}

/// How an evaluation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluationResult {
    /// All prompts, with a score that could be crowned.
    Completed,
    /// Stopped early, clearly behind the king.
    StoppedEarly,
    /// A score that can't be crowned: too high, at or below the floor, not finite, or implausible.
    OutOfRange,
}

/// Of what a student is the same function, or the same tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopyMatch {
    /// Whose model it resembles.
    pub of: Author,
    /// What shows it.
    pub proof: CopyProof,
}

/// Who published a model, and when, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Author {
    /// Who.
    pub hotkey: Hotkey,
    /// The block of its commitment. An old record may not have it; then it proves nothing about who came first.
    pub commit_block: Option<u64>,
}

impl From<MinerKey> for Author {
    fn from(key: MinerKey) -> Self {
        Author { hotkey: key.hotkey, commit_block: Some(key.commit_block) }
    }
}

/// Which of two miners with the same model is the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribution {
    /// The later commitment is the copy of the earlier.
    Copy {
        /// The copy.
        copy: MinerKey,
        /// The original.
        original: MinerKey,
    },
    /// Both are of one hotkey: nobody copies itself.
    SameHotkey,
    /// One commit block is not known, so neither is the copy.
    Unknown,
}

impl Attribution {
    /// Says which of two is the copy, by their commitments alone: which of them ran first, and which of them is king,
    /// does not matter.
    pub fn of(one: Author, other: Author) -> Self {
        if one.hotkey == other.hotkey {
            return Attribution::SameHotkey;
        }
        let (Some(one_block), Some(other_block)) = (one.commit_block, other.commit_block) else {
            return Attribution::Unknown;
        };
        let (one, other) = (MinerKey::new(one.hotkey, one_block), MinerKey::new(other.hotkey, other_block));
        Attribution::Copy { copy: one.max(other), original: one.min(other) }
    }

    /// The disqualification that follows for the copy, if one of the two is it.
    pub fn disqualification(self, proof: &CopyProof) -> Option<Disqualification> {
        let Attribution::Copy { copy, original } = self else { return None };
        let what = match proof {
            CopyProof::SameTensors { .. } => "the same tensors as those",
            CopyProof::SameFunction(_) => "the same function as the model",
        };
        Some(Disqualification {
            miner: copy,
            code: DisqualificationCode::Copy,
            sentence: format!("{what} that {original} committed earlier"),
            evidence: json!({ "original": original, "match": proof }),
        })
    }
}
