use crate::{
    Error, EvaluationResult, Miner, NearCopy, NotEligible, RoundId, RoundSettings, Rules, Standing,
    standing::{loses_its_place, standings_of},
};
use distil_types::{BlockRef, Commitment, MinerKey};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Who holds the crown when a round begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "throne", rename_all = "snake_case")]
pub enum Throne {
    /// There is a king.
    Held {
        /// Who.
        king: MinerKey,
    },
    /// There is none.
    Vacant {
        /// Why not.
        why: Vacancy,
    },
}

impl Throne {
    /// The king, if there is one.
    pub fn king(&self) -> Option<MinerKey> {
        match self {
            Throne::Held { king } => Some(*king),
            Throne::Vacant { .. } => None,
        }
    }
}

/// Why there is no king.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Vacancy {
    /// Nobody was crowned yet, or the last king fell and nobody followed.
    NoKing,
    /// The king that was is out.
    KingLost {
        /// Who was king.
        king: MinerKey,
        /// Why it no longer is.
        reason: NotEligible,
    },
}

impl fmt::Display for Vacancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Vacancy::NoKing => f.write_str("there is no king"),
            Vacancy::KingLost { king, reason } => write!(f, "king {king} lost the crown: {reason}"),
        }
    }
}

/// In what role a student takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It holds the crown.
    King,
    /// It has not been evaluated yet.
    Challenger,
    /// It completed an earlier round and is taken in again because the throne is vacant.
    Returning,
}

/// One student of a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStudent {
    /// Who.
    pub miner: MinerKey,
    /// Which model, pinned.
    pub commitment: Commitment,
    /// In what role.
    pub role: Role,
    /// How many isolated failures of its own it had before this round.
    pub failures: u8,
    /// Set when it can't be crowned in this round.
    pub near_copy: Option<NearCopy>,
}

/// What a round is: its block, its settings, and its students, each by its key and pinned to its commitment.
///
/// Made by [`plan`] alone; one that is read back has passed the same checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawPlan", into = "RawPlan")]
pub struct RoundPlan {
    id: RoundId,
    raw: RawPlan,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RawPlan {
    id: RoundId,
    block: BlockRef,
    settings: RoundSettings,
    throne: Throne,
    students: Vec<PlannedStudent>,
}

impl RoundPlan {
    /// The round's name.
    pub fn id(&self) -> RoundId {
        self.id
    }

    /// The block that the round is of.
    pub fn block(&self) -> BlockRef {
        self.raw.block
    }

    /// How its numbers come about.
    pub fn settings(&self) -> &RoundSettings {
        &self.raw.settings
    }

    /// Who holds the crown.
    pub fn throne(&self) -> &Throne {
        &self.raw.throne
    }

    /// The students in the order in which they run: the king, then by commit block, then by hotkey.
    pub fn students(&self) -> &[PlannedStudent] {
        &self.raw.students
    }
}

impl TryFrom<RawPlan> for RoundPlan {
    type Error = Error;

    fn try_from(raw: RawPlan) -> Result<Self, Error> {
        let invalid = |problem| Err(Error::InvalidPlan { problem });
        if raw.id != RoundId::new(raw.block, &raw.settings) {
            return invalid("its id is not that of its block and settings");
        }
        if raw.settings.prompts == 0 {
            return invalid("a round needs a prompt");
        }
        let king = raw.throne.king();
        if king.is_some() != (raw.students.first().is_some_and(|student| student.role == Role::King)) {
            return invalid("the king, and nobody else, comes first");
        }
        if king.is_some() && king != raw.students.first().map(|student| student.miner) {
            return invalid("its first student is not its king");
        }
        let others = &raw.students[usize::from(king.is_some())..];
        if others.is_empty() {
            return invalid("it has no student besides the king");
        }
        if others.iter().any(|student| student.role == Role::King || Some(student.miner) == king) {
            return invalid("it has more than one king");
        }
        if king.is_some() && others.iter().any(|student| student.role == Role::Returning) {
            return invalid("only a vacant throne brings back miners of earlier rounds");
        }
        if !others.is_sorted_by(|one, next| one.miner < next.miner) {
            return invalid("its students are not in the order of their commitments, each once");
        }
        Ok(RoundPlan { id: raw.id, raw })
    }
}

impl From<RoundPlan> for RawPlan {
    fn from(plan: RoundPlan) -> Self {
        plan.raw
    }
}

/// What [`plan`] says.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Who holds the crown, round or not.
    pub throne: Throne,
    /// Where each miner stands.
    pub standings: BTreeMap<MinerKey, Standing>,
    /// The round, if one is needed.
    pub round: Option<RoundPlan>,
    /// Challengers that the round has no place for; they come next.
    pub postponed: Vec<MinerKey>,
}

/// Plans the round of a block.
///
/// A round is needed when there is an eligible challenger that was not evaluated, or the throne is vacant and there is
/// anybody to take it. A king alone is no reason for one. Challengers are taken [in turn](challengers_in_turn). With a
/// vacant throne, the [`Rules::RETURNING`] best that completed an earlier round and are still eligible take part as well.
/// Their old scores say who is taken in and nothing else.
///
/// `king` is the miner that holds the crown by the last decision, as it is now; it may be among `miners`, too. A king
/// loses the crown here only when it is disqualified, no longer registered, invalid, or has failed three times: a
/// check that could not be finished takes nothing from it. The order of `miners` does not matter.
///
/// # Errors
///
/// [`Error::MinerTwice`] when two entries are of the same miner, [`Error::InvalidPlan`] for settings without a prompt.
pub fn plan(
    block: BlockRef,
    settings: &RoundSettings,
    king: Option<&Miner>,
    miners: &[Miner],
    rules: &Rules,
) -> Result<Plan, Error> {
    let mut all: Vec<&Miner> = miners.iter().collect();
    if let Some(king) = king
        && !miners.iter().any(|miner| miner.key == king.key)
    {
        all.push(king);
    }
    let standings = standings_of(&all)?;
    let throne = match king {
        None => Throne::Vacant { why: Vacancy::NoKing },
        Some(king) => match loses_its_place(king) {
            Some(reason) => Throne::Vacant { why: Vacancy::KingLost { king: king.key, reason } },
            None => Throne::Held { king: king.key },
        },
    };
    let held = throne.king();

    let others = || all.iter().copied().filter(|miner| Some(miner.key) != held);
    let mut completed = Vec::new();
    for miner in others() {
        if let Standing::Evaluated { evaluation } = &standings[&miner.key]
            && evaluation.result == EvaluationResult::Completed
        {
            completed.extend(evaluation.kl.map(|kl| (kl, miner)));
        }
    }
    let mut challengers = challengers_in_turn(others(), &standings);
    let postponed = challengers.iter().skip(rules.challengers_per_round()).map(|miner| miner.key).collect();
    challengers.truncate(rules.challengers_per_round());
    let mut students: Vec<PlannedStudent> =
        challengers.into_iter().map(|miner| student(miner, Role::Challenger)).collect();
    if held.is_none() {
        completed.sort_by(|(kl, miner), (other_kl, other)| kl.total_cmp(other_kl).then(miner.key.cmp(&other.key)));
        students.extend(completed.iter().take(Rules::RETURNING).map(|(_, miner)| student(miner, Role::Returning)));
    }
    students.sort_by_key(|student| student.miner);

    let round = if students.is_empty() {
        None
    } else {
        if let (Some(_), Some(king)) = (held, king) {
            students.insert(0, student(king, Role::King));
        }
        let id = RoundId::new(block, settings);
        let settings = settings.clone();
        Some(RoundPlan::try_from(RawPlan { id, block, settings, throne: throne.clone(), students })?)
    };
    Ok(Plan { throne, standings, round, postponed })
}

/// The challengers among miners in the order in which rounds take them: who was interrupted least often comes first, and
/// of equals the earlier commitment.
///
/// So those whose passes come to nothing, through a network's fault or by design, take the places that others leave,
/// and never keep others from theirs.
pub fn challengers_in_turn<'m>(
    miners: impl IntoIterator<Item = &'m Miner>,
    standings: &BTreeMap<MinerKey, Standing>,
) -> Vec<&'m Miner> {
    let is_challenger = |miner: &&Miner| matches!(standings.get(&miner.key), Some(Standing::Challenger));
    let mut challengers: Vec<&Miner> = miners.into_iter().filter(is_challenger).collect();
    challengers.sort_by_key(|miner| (miner.interruptions, miner.key));
    challengers
}

/// How long a miner waits, in seconds, that was kept from a result so many times in a row: ten minutes, about a round,
/// and twice as long each time, up to a day.
///
/// ```
/// use distil_scoring::interruption_wait_s;
///
/// assert_eq!([1, 2, 3].map(interruption_wait_s), [600, 1200, 2400]);
/// assert_eq!(interruption_wait_s(9), 24 * 3600);
/// ```
pub fn interruption_wait_s(interruptions: u32) -> u64 {
    const FIRST_S: u64 = 600;
    const LONGEST_S: u64 = 24 * 3600;
    // 2^8 times the first is more than a day.
    (FIRST_S << interruptions.saturating_sub(1).min(8)).min(LONGEST_S)
}

fn student(miner: &Miner, role: Role) -> PlannedStudent {
    PlannedStudent {
        miner: miner.key,
        commitment: miner.commitment.clone(),
        role,
        failures: miner.failures,
        near_copy: miner.near_copy.clone(),
    }
}
