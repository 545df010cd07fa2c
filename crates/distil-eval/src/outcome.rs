use distil_model::FileDigest;

use crate::{ScoreReport, TokenSequence};

/// All that a run found: the report, and what records and pages need beyond it.
#[derive(Debug, Clone)]
pub struct ScoreOutcome {
    /// The report.
    pub report: ScoreReport,
    /// What the teacher is.
    pub teacher: TeacherIdentity,
    /// The prompts, with the teacher's continuations.
    pub prompts: Vec<ScoredPrompt>,
    /// One entry a student, in the order of the request.
    pub students: Vec<StudentOutcome>,
}

/// What was found out about a model.
#[derive(Debug, Clone)]
pub struct ModelIdentity {
    /// Its architecture, as the model library names it.
    pub architecture: String,
    /// Digests of its files; empty unless [`ScoreSettings::digest_weights`](crate::ScoreSettings) is on.
    pub files: Vec<FileDigest>,
}

/// What was found out about the teacher.
#[derive(Debug, Clone)]
pub struct TeacherIdentity {
    /// Its name.
    pub name: String,
    /// Commit of its repository.
    pub revision: Option<String>,
    /// Architecture and files.
    pub model: ModelIdentity,
    /// SHA-256 of its output head.
    pub head_digest: String,
    /// SHA-256 of its `tokenizer.json`.
    pub tokenizer_digest: String,
    /// Columns of its output head.
    pub vocab_size: usize,
}

/// A prompt as it was scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoredPrompt {
    /// Its id in the request.
    pub id: String,
    /// Its text in the request.
    pub text: String,
    /// Its tokens and those of the teacher's continuation.
    pub sequence: TokenSequence,
}

/// What a student did, beyond its [`StudentReport`](crate::StudentReport) of the same place.
#[derive(Debug, Clone)]
pub struct StudentOutcome {
    /// What it is; none if it could not be loaded.
    pub identity: Option<ModelIdentity>,
    /// KL in nats at each continuation position of each scored prompt: `positions_kl_nats[prompt][position]`.
    /// As many prompts as the report has.
    pub positions_kl_nats: Vec<Vec<f64>>,
}
