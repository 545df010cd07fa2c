//! The rules by which Distil compares students of one teacher: the statistics of their scores, and who is crowned.
//!
//! A student is measured by its KL divergence from the teacher, in nats, at every position by which the teacher
//! continued every prompt. From those numbers this crate makes summaries, scores with their uncertainty, and the
//! decisions of a round. Everything is a pure function: no input or output, no clock, no chance, one thread, a fixed
//! order of summation. So the same numbers give the same bits everywhere, and anyone can decide a round anew.
//!
//! ```
//! use distil_scoring::{ModelScore, PairedTest, PromptStatistics};
//!
//! // Per-position KL of two students on the same three prompts.
//! let king = [vec![0.10, 0.12], vec![0.30, 0.28, 0.33], vec![0.07]];
//! let challenger = [vec![0.09, 0.10], vec![0.25, 0.26, 0.27], vec![0.06]];
//!
//! let summarise = |student: &[Vec<f64>]| -> Result<Vec<_>, _> {
//!     student.iter().map(|prompt| PromptStatistics::from_positions(prompt)).collect()
//! };
//! let (king, challenger) = (summarise(&king)?, summarise(&challenger)?);
//!
//! let score = ModelScore::from_prompts(&challenger)?;
//! assert_eq!(score.positions, 6);
//! let test = PairedTest::new(&challenger, &king)?;
//! assert!(test.mean_difference < 0.0, "the challenger is closer to the teacher");
//! # Ok::<(), distil_scoring::Error>(())
//! ```
//!
//! # Scores
//!
//! - **Position-weighted**: a model's score is the mean over all positions of all prompts, so a prompt weighs as much
//!   as the teacher had to say to it. [`PairedTest`] weighs in the same way, so score and test cannot point in
//!   different directions.
//! - **Clustered by prompt**: positions of one prompt resemble each other, so the prompt, not the position, is the unit
//!   of every standard error.
//! - [`EarlyStop`] gives up on a challenger that is clearly behind the king on the prompts both have done.
//! - [`CopyTest`] finds a student that computes the same function as an earlier one, however its weights are stored.
//!
//! Numbers that are not finite are refused with an [`Error`] that names the place: they are a finding about a student,
//! never a part of a mean.
//!
//! # A round, from one type to the next
//!
//! 1. [`plan`] takes what is known of each [`Miner`] at a block and says where it stands ([`Standing`]), who holds the
//!    crown ([`Throne`]), and which students a round has, if one is needed ([`RoundPlan`]).
//! 2. [`FinishedRound`] takes the plan and one [`StudentRun`] for each of its students, all of this very round, which
//!    its [`RoundId`] tells. Nothing else can be decided.
//! 3. [`decide`] gives every student a [`Verdict`] with its reason. Whoever wins is a [`PendingCrown`] until another
//!    look at its repository ([`Integrity`]) makes a [`ConfirmedDecision`] of it, whose [`Outcome`] is all that is to be
//!    written: disqualifications, failures that count, evaluations that are done, the crown.
//! 4. [`weights`] says to which seat all weight goes, or that nothing is sent.
//!
//! [`RecordedRound`] applies the same rules to a round that another program recorded.
//!
//! # Who
//!
//! A miner is a hotkey with the block of its commitment ([`MinerKey`](distil_types::MinerKey)). Scores, verdicts and
//! bans are kept by it and by nothing else; a UID is where weight is sent. The king is a fact that is handed in and that
//! only a decision changes: no function here looks for one among old scores.

#![forbid(unsafe_code)]

mod copy;
mod decide;
mod decision;
mod early_stop;
mod error;
mod finished;
mod integrity;
mod judge;
mod miner;
mod moments;
mod paired;
mod plan;
mod plausible;
mod recorded;
mod round_id;
mod rules;
mod run;
mod score;
mod standing;
mod student_t;
#[cfg(test)]
mod testing;
mod text;
mod weights;

pub use copy::{CopyEvidence, CopyTest};
pub use decide::{Decision, PendingCrown, decide};
pub use decision::{ConfirmedDecision, CountedFailure, Crown, Evaluated, MinerVerdict, Outcome, Verdict};
pub use early_stop::{EarlyStop, EarlyStopAnswer, EarlyStopEvidence};
pub use error::Error;
pub use finished::FinishedRound;
pub use integrity::Integrity;
pub use miner::{
    Attribution, Author, CheckVerdict, CopyMatch, Disqualification, DisqualificationCode, Evaluation, EvaluationResult,
    Miner, NearCopy, Seat,
};
pub use paired::PairedTest;
pub use plan::{
    Plan, PlannedStudent, Role, RoundPlan, Throne, Vacancy, challengers_in_turn, interruption_wait_s, plan,
};
pub use recorded::{RecordedDecision, RecordedRound, RecordedVerdict};
pub use round_id::{RoundId, RoundSettings};
pub use rules::Rules;
pub use run::{CopyProof, Failure, FailureKind, StudentResult, StudentRun};
pub use score::{Interval, ModelScore, PromptStatistics};
pub use standing::{NotEligible, Standing, standings};
pub use weights::{NoWeights, Weights, WeightsInput, weights};
