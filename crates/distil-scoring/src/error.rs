use crate::RoundId;
use distil_types::MinerKey;

/// Why a statistic cannot be given, or a round not planned or decided.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A prompt without a single position.
    #[error("a prompt has no positions to summarise")]
    NoPositions,
    /// A model without a single prompt.
    #[error("a model has no prompts to score")]
    NoPrompts,
    /// A number that is NaN or infinite.
    #[error("the KL at position {position} is {value}, a finite number is needed")]
    NotFinite {
        /// Index of the position within its prompt, from 0.
        position: usize,
        /// The number.
        value: f64,
    },
    /// A summary that holds NaN, infinity, or no positions.
    #[error("the summary of prompt {prompt} is not usable: mean {mean} over {positions} positions")]
    InvalidPrompt {
        /// Index of the prompt, from 0.
        prompt: usize,
        /// Its mean in nats.
        mean: f64,
        /// Its number of positions.
        positions: usize,
    },
    /// Numbers so large that their squares or sums are no longer finite.
    #[error("the numbers are too large to be summed")]
    Overflow,
    /// Two students that were not measured on the same number of prompts.
    #[error("one student has {first} prompts and the other {second}: both must have done the same ones")]
    PromptCountMismatch {
        /// Prompts of the first student.
        first: usize,
        /// Prompts of the second student.
        second: usize,
    },
    /// Two students that were not measured on the same positions.
    #[error(
        "on prompt {prompt} one student has {first} positions and the other {second}: both must have done the same ones"
    )]
    PositionsMismatch {
        /// Index of the prompt, from 0.
        prompt: usize,
        /// Positions of the first student.
        first: usize,
        /// Positions of the second student.
        second: usize,
    },
    /// Not enough prompts for a standard error.
    #[error("{found} prompts are too few, at least {needed} are needed")]
    TooFewPrompts {
        /// How many are needed.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// A confidence outside the open interval from 0 to 1.
    #[error("a confidence lies between 0 and 1, not at {value}")]
    InvalidConfidence {
        /// What was asked for.
        value: f64,
    },
    /// A rule with a value that makes no sense.
    #[error("the rule {rule} needs {needed}")]
    InvalidRule {
        /// Which.
        rule: &'static str,
        /// What it may be.
        needed: &'static str,
    },
    /// Not the name of a round.
    #[error("{text} is not a round: a block number, a dash and 32 lower-case hexadecimal digits are needed")]
    InvalidRoundId {
        /// What was given.
        text: String,
    },
    /// A plan that can't have been made by the rules.
    #[error("this is no plan of a round: {problem}")]
    InvalidPlan {
        /// What is wrong.
        problem: &'static str,
    },
    /// Two entries of one miner.
    #[error("there is more than one entry of miner {miner}")]
    MinerTwice {
        /// Who.
        miner: MinerKey,
    },
    /// A result of another round.
    #[error("the result of miner {miner} is of round {found}, not of round {needed}")]
    WrongRound {
        /// Whose result.
        miner: MinerKey,
        /// The round it is of.
        found: RoundId,
        /// The round it was offered to.
        needed: RoundId,
    },
    /// A result of a student that was not to be measured.
    #[error("there is a result of miner {miner}, which is no student of the round")]
    NotInPlan {
        /// Who.
        miner: MinerKey,
    },
    /// A student without a result.
    #[error("the round is not finished: there is no result of miner {miner}")]
    NoResult {
        /// Who.
        miner: MinerKey,
    },
    /// A result that the round can't have given.
    #[error("the result of miner {miner} is not usable: {problem}")]
    InvalidResult {
        /// Whose.
        miner: MinerKey,
        /// What is wrong.
        problem: &'static str,
    },
    /// A recorded round that can't be read.
    #[error("{place}: {problem}")]
    InvalidRecord {
        /// The field, as `students[3].prompts[0].mean`.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A king whose score may not steer an early stop.
    #[error("a score of {kl_nats} nats is at or below the floor of {floor_nats}: it may not stop others")]
    BelowFloor {
        /// The score of the king.
        kl_nats: f64,
        /// The floor.
        floor_nats: f64,
    },
}
