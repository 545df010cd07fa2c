//! What is asked of a worker, and what comes back.

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    str::FromStr,
};

use distil_model::DType;
use distil_types::{RepoId, Revision};

use crate::{GenerationRules, ModelIdentity, Prompt, ScoredPrompt, TeacherIdentity, record::RunEnvironment};

/// A request that no worker could do anything with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct InvalidRequest {
    /// What is wrong, such as a field's name.
    pub what: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl InvalidRequest {
    pub(crate) fn new(what: &'static str, reason: impl Into<String>) -> Self {
        Self { what, reason: reason.into() }
    }
}

/// Where a worker finds a model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelLocation {
    /// A folder of the worker's host.
    Folder {
        /// The name it is shown and recorded under.
        name: String,
        /// The folder.
        path: PathBuf,
    },
    /// A repository at a commit; the worker brings it to itself and verifies it.
    Hub {
        /// The repository.
        repo: RepoId,
        /// The commit.
        revision: Revision,
    },
}

impl ModelLocation {
    /// A folder of the worker's host.
    pub fn folder(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self::Folder { name: name.into(), path: path.into() }
    }

    /// A repository at a commit.
    pub fn hub(repo: RepoId, revision: Revision) -> Self {
        Self::Hub { repo, revision }
    }

    /// The name it is shown and recorded under.
    pub fn name(&self) -> &str {
        match self {
            Self::Folder { name, .. } => name,
            Self::Hub { repo, .. } => repo.as_str(),
        }
    }

    /// The commit, where it comes from a repository.
    pub fn revision(&self) -> Option<&Revision> {
        match self {
            Self::Folder { .. } => None,
            Self::Hub { revision, .. } => Some(revision),
        }
    }
}

/// Where a worker computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ComputeDevice {
    /// On the CPU.
    #[default]
    Cpu,
    /// On the NVIDIA device of this number.
    Cuda(usize),
}

/// `cpu`, `cuda:0`.
impl fmt::Display for ComputeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for ComputeDevice {
    type Err = InvalidRequest;

    fn from_str(text: &str) -> Result<Self, InvalidRequest> {
        let number = |text: &str| (text.len() <= 3).then(|| text.parse().ok()).flatten();
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", text)) if number(text).is_some() => Ok(Self::Cuda(number(text).unwrap_or(0))),
            _ => {
                let reason = format!("{} is none; cpu, cuda and cuda:NUMBER are", super::protocol::excerpt(text));
                Err(InvalidRequest::new("device", reason))
            }
        }
    }
}

/// How a pass is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassSettings {
    /// Where.
    pub device: ComputeDevice,
    /// In what: f32, bf16 or f16.
    pub dtype: DType,
    /// With how many threads on the worker's host.
    pub threads: NonZeroUsize,
    /// Tokens that go through a model at once; a longer sequence goes alone.
    pub batch_tokens: usize,
    /// Memory for the states of prompts that the teacher continues at once.
    pub cache_budget_bytes: usize,
}

impl PassSettings {
    /// The protocol's values on the CPU in f32, those of [`ScoreSettings::cpu`](crate::ScoreSettings::cpu).
    pub fn cpu(threads: NonZeroUsize) -> Self {
        let settings = crate::ScoreSettings::cpu(threads);
        Self {
            device: ComputeDevice::Cpu,
            dtype: settings.dtype,
            threads,
            batch_tokens: settings.batch_tokens,
            cache_budget_bytes: settings.cache_budget_bytes,
        }
    }
}

/// What a worker keeps a teacher's states under, such as the id of a round: 1 to 64 of `a-z`, `0-9`, `-`, `_` and `.`,
/// the first a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheKey(String);

impl CacheKey {
    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CacheKey {
    type Err = InvalidRequest;

    fn from_str(text: &str) -> Result<Self, InvalidRequest> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
            && text.starts_with(|first: char| first.is_ascii_alphanumeric());
        match fits {
            true => Ok(Self(text.to_owned())),
            false => {
                let reason = format!(
                    "{} is none; 1 to 64 of a-z, 0-9, - _ and . are, beginning with a letter or a digit",
                    super::protocol::excerpt(text)
                );
                Err(InvalidRequest::new("cache key", reason))
            }
        }
    }
}

/// A teacher's states as a worker keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeacherCacheId {
    /// The key given in the request.
    pub key: CacheKey,
    /// SHA-256 of the file, in hex: students are scored against exactly these states or not at all.
    pub digest: String,
}

/// What the teacher runs over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TeacherPrompts {
    /// Texts, which the teacher continues.
    Continue(Vec<Prompt>),
    /// Tokens of an earlier pass: nothing is generated, the recorded tokens are the truth.
    Recorded(Vec<ScoredPrompt>),
}

/// A teacher pass.
#[derive(Debug, Clone)]
pub struct TeacherRequest {
    /// The teacher.
    pub model: ModelLocation,
    /// What the worker keeps its states under, for the students.
    pub cache_key: CacheKey,
    /// What it runs over.
    pub prompts: TeacherPrompts,
    /// How continuations come about, or came about.
    pub generation: GenerationRules,
    /// How it is computed.
    pub settings: PassSettings,
}

impl TeacherRequest {
    /// The same pass over recorded tokens.
    pub fn over(&self, prompts: Vec<ScoredPrompt>) -> Self {
        Self { prompts: TeacherPrompts::Recorded(prompts), ..self.clone() }
    }
}

/// What a teacher pass gave.
#[derive(Debug, Clone)]
pub struct TeacherResult {
    /// What the teacher is.
    pub teacher: TeacherIdentity,
    /// The prompts with the teacher's continuations.
    pub prompts: Vec<ScoredPrompt>,
    /// Where the worker keeps its states.
    pub cache: TeacherCacheId,
    /// What it was computed with.
    pub environment: RunEnvironment,
    /// Seconds that each stage took.
    pub seconds: BTreeMap<String, f64>,
    /// The most memory that the process held, in bytes, where its system tells.
    pub peak_rss_bytes: Option<u64>,
}

impl TeacherResult {
    /// The pass of a student over these tokens.
    pub fn student_request(&self, model: ModelLocation, settings: &PassSettings) -> StudentRequest {
        StudentRequest {
            model,
            teacher_cache: self.cache.clone(),
            positions: self.prompts.iter().map(|prompt| prompt.sequence.continuation().len()).collect(),
            settings: settings.clone(),
        }
    }
}

/// A student pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudentRequest {
    /// The student.
    pub model: ModelLocation,
    /// The teacher's states.
    pub teacher_cache: TeacherCacheId,
    /// Scored positions of each prompt, which the answer has to have.
    pub positions: Vec<usize>,
    /// How it is computed.
    pub settings: PassSettings,
}

/// What a student pass gave.
#[derive(Debug, Clone)]
pub struct StudentResult {
    /// What the student is.
    pub identity: ModelIdentity,
    /// KL in nats at each position of each prompt, in order; as many prompts as were asked for, or up to the one at
    /// which the pass was stopped.
    pub positions_kl_nats: Vec<Vec<f64>>,
    /// The pass was stopped by who looks at its prompts.
    pub stopped: bool,
    /// What it was computed with.
    pub environment: RunEnvironment,
    /// Seconds that each stage took; those of a stopped pass are not known.
    pub seconds: BTreeMap<String, f64>,
    /// The most memory that the process held, in bytes, where its system tells; not known of a stopped pass.
    pub peak_rss_bytes: Option<u64>,
}

/// A path as text, which is all that JSON can hold.
pub(super) fn path_text(path: &Path) -> Result<&str, InvalidRequest> {
    path.to_str().ok_or_else(|| InvalidRequest::new("model", "its folder is not valid UTF-8"))
}
