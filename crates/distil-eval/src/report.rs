use std::collections::BTreeMap;

use distil_scoring::PromptStatistics;
use serde::{Deserialize, Serialize};

/// The rules that scores are made by; scores of different protocols are not compared.
pub const PROTOCOL: &str = "distil/1";

/// The result of a run, in the shape that `distil score-local --format json` prints.
///
/// KL divergences are in nats, times in seconds. No number is NaN or infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreReport {
    /// [`PROTOCOL`].
    pub protocol: String,
    /// The teacher.
    pub teacher: TeacherReport,
    /// One entry a prompt.
    pub prompts: Vec<PromptReport>,
    /// One entry a student, in the order of the request.
    pub students: Vec<StudentReport>,
    /// Seconds that each phase took: `tokenize`, `teacher_load`, `teacher_generate`, `teacher_forward`, and for
    /// each student `load.<model>` and `score.<model>`; `teacher_digest` and `digest.<model>` where digests were taken.
    pub seconds: BTreeMap<String, f64>,
    /// The most memory the process has held, in bytes; null where the system doesn't tell (only Linux does).
    pub peak_rss_bytes: Option<u64>,
}

/// The teacher in a [`ScoreReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeacherReport {
    /// Its name.
    pub model: String,
    /// Commit of its repository.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<String>,
}

/// A prompt in a [`ScoreReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptReport {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens the teacher continued it by; the positions that are scored.
    pub continuation_tokens: usize,
    /// [`TokenSequence::digest`](crate::TokenSequence::digest).
    pub digest: String,
}

/// How a student's scoring ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StudentStatus {
    /// Scored on all prompts.
    Scored,
    /// Stopped because it trailed the reference; its figures cover the prompts up to there.
    EarlyStopped,
    /// Scored on all prompts, and a functional copy of an earlier student.
    FunctionalCopy,
    /// Could not be scored; see the reason.
    Failed,
}

/// A student in a [`ScoreReport`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudentReport {
    /// Its name.
    pub model: String,
    /// Commit of its repository.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<String>,
    /// How its scoring ended.
    pub status: StudentStatus,
    /// Mean KL(teacher ‖ student) over all scored positions, in nats; null if it failed.
    pub kl: Option<f64>,
    /// Positions scored.
    pub positions: usize,
    /// Standard error of `kl`, clustered by prompt; null with fewer than two prompts.
    pub standard_error: Option<f64>,
    /// One entry a scored prompt.
    pub prompts: Vec<PromptStatistics>,
    /// The earlier student that this one is a functional copy of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub copy_of: Option<String>,
    /// Why a figure is null or the student stopped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}
