use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::StudentReport;

/// A stretch of a run that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// The teacher's tokenizer is loaded and encodes the prompts.
    Tokenize,
    /// Digests of the teacher's files are taken.
    TeacherDigest,
    /// The teacher is loaded.
    TeacherLoad,
    /// The teacher continues the prompts.
    TeacherGenerate,
    /// The teacher's hidden states over prompts and continuations are computed.
    TeacherForward,
    /// Digests of a student's files are taken.
    StudentDigest {
        /// Place of the student in the request, from 0.
        student: usize,
    },
    /// A student is loaded.
    StudentLoad {
        /// Place of the student in the request, from 0.
        student: usize,
    },
    /// A student is scored.
    StudentScore {
        /// Place of the student in the request, from 0.
        student: usize,
    },
}

/// An amount of work, done or to be done.
///
/// Tokens are what a phase puts through a model: new ones in [`Phase::TeacherGenerate`], those of prompt and
/// continuation in the others. Bytes are what loads and digests read. What does not apply to a phase is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Tokens.
    pub tokens: u64,
    /// Prompts that are finished.
    pub prompts: u64,
    /// Bytes of a model's files.
    pub bytes: u64,
}

/// What happens during a run, in order. `elapsed` is the time since its phase started.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A phase begins.
    PhaseStarted {
        /// Which.
        phase: Phase,
        /// How much there is to do; tokens of [`Phase::TeacherGenerate`] are an upper bound, and the bytes of loads
        /// and digests are not known yet.
        total: Work,
    },
    /// A phase goes on.
    PhaseProgress {
        /// Which.
        phase: Phase,
        /// How much is done.
        done: Work,
        /// As in [`Event::PhaseStarted`], with the bytes of loads and digests.
        total: Work,
        /// Time since the phase started.
        elapsed: Duration,
    },
    /// A phase is over, done or failed.
    PhaseFinished {
        /// Which.
        phase: Phase,
        /// How much was done.
        done: Work,
        /// Time it took.
        elapsed: Duration,
    },
    /// A student's result stands.
    StudentFinished {
        /// Place of the student in the request, from 0.
        student: usize,
        /// The result.
        report: StudentReport,
    },
}
