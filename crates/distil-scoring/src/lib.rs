//! The statistics by which Distil compares students of one teacher.
//!
//! A student is measured by its KL divergence from the teacher, in nats, at every position by which the teacher
//! continued every prompt. From those numbers this crate makes summaries, scores with their uncertainty, and the
//! answers a round needs. Everything is a pure function: no input or output, no clock, no chance, one thread, a fixed
//! order of summation. So the same numbers give the same bits everywhere.
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
//! # Concepts
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

#![forbid(unsafe_code)]

mod copy;
mod early_stop;
mod error;
mod moments;
mod paired;
mod score;
mod student_t;

pub use copy::{CopyEvidence, CopyTest};
pub use early_stop::{EarlyStop, EarlyStopAnswer, EarlyStopEvidence};
pub use error::Error;
pub use paired::PairedTest;
pub use score::{Interval, ModelScore, PromptStatistics};
