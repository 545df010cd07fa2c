use crate::{CheckVerdict, Disqualification, Error, Evaluation, EvaluationResult, Miner, Rules};
use distil_types::{Commitment, MinerKey};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Where a miner stands before a round; [`fmt::Display`] says it in a sentence that the miner can read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// Eligible, and to be evaluated.
    Challenger,
    /// Eligible, and evaluated already.
    Evaluated {
        /// How that went.
        evaluation: Evaluation,
    },
    /// Not known yet: something has to be tried again, and will be.
    Waiting {
        /// Why.
        reason: String,
    },
    /// Out.
    NotEligible {
        /// Why.
        reason: NotEligible,
    },
}

/// Why a miner can't take part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum NotEligible {
    /// Disqualified, for good.
    Disqualified {
        /// For what.
        disqualification: Disqualification,
    },
    /// Its hotkey has no seat.
    NotRegistered,
    /// Its commitment was made under an earlier registration of the hotkey.
    EarlierRegistration {
        /// When the seat was taken that the hotkey has now.
        registered_at_block: u64,
    },
    /// The chain no longer proves that the commitment is the hotkey's first.
    Unproven {
        /// Why not.
        reason: String,
    },
    /// Its model breaks rules.
    Invalid {
        /// The codes of the findings.
        codes: Vec<String>,
    },
    /// It could not be loaded or run too often.
    Failed {
        /// How often.
        failures: u8,
    },
    /// Another miner committed the same model at the same revision earlier.
    SameCommitment {
        /// Who.
        earlier: MinerKey,
    },
}

impl Standing {
    /// Whether the miner is eligible, evaluated or not.
    pub fn is_eligible(&self) -> bool {
        matches!(self, Standing::Challenger | Standing::Evaluated { .. })
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standing::Challenger => f.write_str("eligible; waits for its evaluation"),
            Standing::Evaluated { evaluation } => {
                let how = match evaluation.result {
                    EvaluationResult::Completed => "completed",
                    EvaluationResult::StoppedEarly => "stopped early, clearly behind the king",
                    EvaluationResult::OutOfRange => "with a score that can't be crowned",
                };
                write!(f, "evaluated in round {}, {how}; each commitment is evaluated once", evaluation.round)
            }
            Standing::Waiting { reason } => write!(f, "waits, and is tried again: {reason}"),
            Standing::NotEligible { reason } => reason.fmt(f),
        }
    }
}

impl fmt::Display for NotEligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotEligible::Disqualified { disqualification } => {
                write!(f, "disqualified as {}: {}", disqualification.code, disqualification.sentence)
            }
            NotEligible::NotRegistered => f.write_str("the hotkey is not registered on the subnet"),
            NotEligible::EarlierRegistration { registered_at_block } => write!(
                f,
                "the commitment is older than the registration of the hotkey, which is of block {registered_at_block}; \
                 a new registration needs a new commitment"
            ),
            NotEligible::Unproven { reason } => f.write_str(reason),
            NotEligible::Invalid { codes } => write!(f, "the model breaks the rules: {}", codes.join(", ")),
            NotEligible::Failed { failures } => {
                write!(f, "the model could not be loaded or run {failures} times; it is not tried again")
            }
            NotEligible::SameCommitment { earlier } => {
                write!(f, "miner {earlier} committed the same model at the same revision earlier")
            }
        }
    }
}

/// Where each miner stands. The order of `miners` does not matter; list all that are known, those without a seat too,
/// since a commitment stays the earlier one when its miner leaves.
///
/// # Errors
///
/// [`Error::MinerTwice`] when two entries are of the same miner.
pub fn standings(miners: &[Miner]) -> Result<BTreeMap<MinerKey, Standing>, Error> {
    let all: Vec<&Miner> = miners.iter().collect();
    standings_of(&all)
}

pub(crate) fn standings_of(miners: &[&Miner]) -> Result<BTreeMap<MinerKey, Standing>, Error> {
    let mut claims: BTreeMap<(&str, &str), MinerKey> = BTreeMap::new();
    for miner in miners {
        let first = claims.entry(claim(&miner.commitment)).or_insert(miner.key);
        *first = miner.key.min(*first);
    }
    let mut standings = BTreeMap::new();
    for miner in miners {
        let earlier = claims[&claim(&miner.commitment)];
        if standings.insert(miner.key, standing(miner, earlier)).is_some() {
            return Err(Error::MinerTwice { miner: miner.key });
        }
    }
    Ok(standings)
}

fn claim(commitment: &Commitment) -> (&str, &str) {
    (commitment.model.as_str(), commitment.revision.as_str())
}

fn standing(miner: &Miner, earliest: MinerKey) -> Standing {
    if let Some(reason) = loses_its_place(miner) {
        return Standing::NotEligible { reason };
    }
    if let Some(reason) = &miner.unproven {
        return Standing::NotEligible { reason: NotEligible::Unproven { reason: reason.clone() } };
    }
    // A hotkey that registers again and commits the same model copies nobody.
    if earliest.hotkey != miner.key.hotkey {
        return Standing::NotEligible { reason: NotEligible::SameCommitment { earlier: earliest } };
    }
    match &miner.check {
        CheckVerdict::NotChecked => Standing::Waiting { reason: "the repository has not been checked yet".to_owned() },
        CheckVerdict::Waiting { reason } => Standing::Waiting { reason: reason.clone() },
        // `Invalid` is dealt with above.
        CheckVerdict::Passed | CheckVerdict::Invalid { .. } => match miner.evaluation {
            Some(evaluation) => Standing::Evaluated { evaluation },
            None => Standing::Challenger,
        },
    }
}

/// Why a miner is out even if it is king: for a king, nothing else is a reason.
pub(crate) fn loses_its_place(miner: &Miner) -> Option<NotEligible> {
    if let Some(disqualification) = &miner.disqualification {
        return Some(NotEligible::Disqualified { disqualification: disqualification.clone() });
    }
    match miner.seat {
        Some(seat) if seat.hotkey == miner.key.hotkey => {
            if seat.registered_at_block > miner.key.commit_block {
                let registered_at_block = seat.registered_at_block;
                return Some(NotEligible::EarlierRegistration { registered_at_block });
            }
        }
        _ => return Some(NotEligible::NotRegistered),
    }
    if let CheckVerdict::Invalid { codes } = &miner.check {
        return Some(NotEligible::Invalid { codes: codes.clone() });
    }
    (miner.failures >= Rules::MAX_FAILURES).then_some(NotEligible::Failed { failures: miner.failures })
}
