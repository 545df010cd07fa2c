//! Between what the rules speak of and what the store keeps.

use distil_eval::record::RunEnvironment;
use distil_eval::worker::TeacherCacheId;
use distil_eval::{ModelIdentity, ScoredPrompt, TeacherIdentity, TokenSequence};
use distil_scoring::Integrity;
use distil_store::{RoundPrompt, TeacherRecord, TokenRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::{ValidatorError, told};

/// What is kept of a student's pass beside its result and its positions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Details {
    /// What the worker loaded, where it did.
    pub(crate) model: Option<Value>,
    /// What it was computed with, where it was.
    pub(crate) environment: Option<Value>,
    /// How long each stage took.
    pub(crate) seconds: BTreeMap<String, f64>,
}

/// What a model is, as records have it.
pub(crate) fn model_json(identity: &ModelIdentity) -> Value {
    let files: Vec<Value> = identity
        .files
        .iter()
        .map(|file| json!({ "name": file.name, "bytes": file.bytes, "sha256": file.sha256 }))
        .collect();
    json!({ "architecture": identity.architecture, "files": files })
}

/// What a pass was computed with, as records have it.
pub(crate) fn environment_json(environment: &RunEnvironment) -> Value {
    json!({
        "device": environment.device,
        "dtype": environment.dtype,
        "threads": environment.threads,
        "kernels": { "kl": environment.kl_kernel },
        "versions": environment.versions,
    })
}

/// What the teacher is, as records have it.
pub(crate) fn teacher_json(identity: &TeacherIdentity, environment: &RunEnvironment) -> Value {
    json!({
        "model": identity.name,
        "revision": identity.revision,
        "architecture": identity.model.architecture,
        "files": model_json(&identity.model)["files"],
        "head_digest": identity.head_digest,
        "tokenizer_digest": identity.tokenizer_digest,
        "vocab_size": identity.vocab_size,
        "environment": environment_json(environment),
    })
}

/// A teacher pass as the store keeps it. The name of the worker's cache is its key, a blank, and its digest.
pub(crate) fn teacher_record(identity: Value, prompts: &[ScoredPrompt], cache: &TeacherCacheId) -> TeacherRecord {
    let tokens = |prompt: &ScoredPrompt| TokenRecord {
        prompt: prompt.sequence.prompt().to_vec(),
        continuation: prompt.sequence.continuation().to_vec(),
    };
    TeacherRecord {
        identity,
        sequences: prompts.iter().map(tokens).collect(),
        cache_key: Some(format!("{} {}", cache.key, cache.digest)),
    }
}

/// The worker's cache of a stored teacher pass, where its name is known.
pub(crate) fn cache_of(record: &TeacherRecord) -> Option<TeacherCacheId> {
    let (key, digest) = record.cache_key.as_deref()?.split_once(' ')?;
    Some(TeacherCacheId { key: key.parse().ok()?, digest: digest.to_owned() })
}

/// The prompts of a stored round with the teacher's continuations.
pub(crate) fn scored_prompts(
    prompts: &[RoundPrompt],
    teacher: &TeacherRecord,
) -> Result<Vec<ScoredPrompt>, ValidatorError> {
    prompts
        .iter()
        .zip(&teacher.sequences)
        .enumerate()
        .map(|(index, (prompt, tokens))| {
            Ok(ScoredPrompt {
                id: prompt.id.clone(),
                text: prompt.text.clone(),
                sequence: TokenSequence::new(index, &tokens.prompt, &tokens.continuation)?,
            })
        })
        .collect()
}

/// What the checker's look at a repository means for the rules.
pub(crate) fn integrity(found: distil_checker::Integrity) -> Integrity {
    use distil_checker::Integrity as Found;
    match found {
        Found::Unchanged => Integrity::Same,
        Found::Changed { difference } => Integrity::Changed { evidence: json!({ "difference": difference }) },
        Found::Removed(absence) | Found::Private(absence) => {
            Integrity::Gone { proven: absence.is_final, evidence: told::document(json!(absence)) }
        }
        Found::CantTell { reason, .. } => Integrity::CantTell { reason: told::without_paths(&reason) },
    }
}
