//! What is said about a repository: a code for programs, a sentence for people, and the figures behind it.

use std::fmt;

use distil_hub::HubError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{CheckerError, text::printable};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The repository is refused, or (for [`Code::Transient`]) nothing can be said about it.
    Error,
    /// The repository is taken; its owner should look at this.
    Warning,
    /// Good to know.
    Info,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Code {
    /// The name is that of no repository.
    InvalidName,
    /// There is no such repository, revision or file (404).
    NotFound,
    /// The repository is not public (401, 403, or seen with a token only).
    Private,
    /// Nothing can be said now: the network, the Hub or this machine failed.
    Transient,
    /// Code in the repository, or a configuration that asks for it.
    RemoteCode,
    /// Weights that are Python pickles.
    PickleWeights,
    /// Weights in the GGUF or GGML format.
    GgufWeights,
    /// An adapter to another model rather than a model.
    Adapter,
    /// No safetensors file that a loader would read.
    NoSafetensors,
    /// A safetensors header, or the file behind it, is not sound.
    HeaderInvalid,
    /// The index and the shards do not say the same.
    IndexMismatch,
    /// `config.json` or another configuration file does not say what it has to.
    ConfigInvalid,
    /// A `model_type` that is not loaded.
    UnsupportedArchitecture,
    /// Quantised weights: by configuration, marker tensors or dtype.
    Quantized,
    /// A dtype other than BF16 or F16.
    UnsupportedDtype,
    /// More parameters than a student may have.
    TooManyParameters,
    /// The safetensors hold far less than the configuration calls for, or than weights of another format beside them.
    DecoyWeights,
    /// The tensors are not those that the configuration calls for.
    MissingTensors,
    /// Another vocabulary size than the teacher's.
    VocabMismatch,
    /// Another tokenizer than the teacher's.
    TokenizerMismatch,
    /// The same weights as another model.
    ExactCopy,
    /// Nearly the same weights as another model.
    NearCopy,
}

/// As in the report's JSON: `missing_tensors`.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub code: Code,
    /// How much it weighs.
    pub severity: Severity,
    /// What was found where, and what to do, in a sentence or two. Printable, whatever the repository holds.
    pub message: String,
    /// The figures behind it: an object whose keys depend on the code.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub evidence: Map<String, Value>,
}

impl Finding {
    /// A finding. `evidence` is a JSON object; anything else is left out.
    pub fn new(code: Code, severity: Severity, message: impl Into<String>, evidence: Value) -> Self {
        let evidence = match evidence {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        Finding { code, severity, message: message.into(), evidence }
    }

    /// What a failure to look at a repository says about it.
    ///
    /// Only 401, 403 and 404, a name that is none, and files that are beyond every bound speak of the repository. All
    /// else, our own failures included, is [`Code::Transient`]: nothing can be said.
    pub fn of_error(error: &CheckerError) -> Self {
        let (code, evidence) = match error {
            CheckerError::Hub(HubError::NotFound { code, .. }) => {
                (Code::NotFound, json!({"status": 404, "hub_code": code}))
            }
            CheckerError::Hub(HubError::Refused { status, code, .. }) => {
                (Code::Private, json!({"status": status, "hub_code": code}))
            }
            CheckerError::Hub(error) => {
                let wait_seconds = error.retry_after().map(|wait| wait.as_secs_f64());
                (Code::Transient, json!({"retry_after_seconds": wait_seconds}))
            }
            CheckerError::NotAFolder { .. } => (Code::NotFound, Value::Null),
            CheckerError::Read { .. } if !error.is_transient() => (Code::NotFound, Value::Null),
            CheckerError::InvalidName(_) => (Code::InvalidName, Value::Null),
            CheckerError::TooManyFiles { limit, .. } => (Code::ConfigInvalid, json!({"max_files": limit})),
            CheckerError::TooLarge { file, size_bytes, limit_bytes } => {
                (Code::ConfigInvalid, json!({"file": file, "bytes": size_bytes, "max_bytes": limit_bytes}))
            }
            CheckerError::Weights { .. } => (Code::MissingTensors, Value::Null),
            CheckerError::Index { file, .. } => (Code::IndexMismatch, json!({"file": file})),
            CheckerError::Header { file, .. } => (Code::HeaderInvalid, json!({"file": file})),
            CheckerError::Read { .. } | CheckerError::OutOfRange { .. } | CheckerError::Teacher { .. } => {
                (Code::Transient, Value::Null)
            }
        };
        let message = match code {
            Code::Transient => format!("cannot tell, try again: {error}"),
            _ => error.to_string(),
        };
        Self::new(code, Severity::Error, printable(&message), evidence)
    }
}

/// `error missing_tensors: …`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.severity.serialize(&mut *f)?;
        write!(f, " {}: {}", self.code, self.message)
    }
}

/// The findings of one check, as they are made.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub(crate) fn error(&mut self, code: Code, message: impl Into<String>, evidence: Value) {
        self.push(Finding::new(code, Severity::Error, message, evidence));
    }

    pub(crate) fn warning(&mut self, code: Code, message: impl Into<String>, evidence: Value) {
        self.push(Finding::new(code, Severity::Warning, message, evidence));
    }

    pub(crate) fn info(&mut self, code: Code, message: impl Into<String>, evidence: Value) {
        self.push(Finding::new(code, Severity::Info, message, evidence));
    }

    pub(crate) fn failure(&mut self, error: &CheckerError) {
        self.push(Finding::of_error(error));
    }

    pub(crate) fn has_error(&self, code: Code) -> bool {
        self.0.iter().any(|finding| finding.code == code && finding.severity == Severity::Error)
    }

    /// Errors first, otherwise in the order in which they were made.
    pub(crate) fn into_sorted(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| finding.severity);
        self.0
    }
}
