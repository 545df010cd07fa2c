//! What `record.json` says.

use std::collections::BTreeMap;

use candle_core::DeviceLocation;
use serde_json::{Value, json};

use crate::{EvalError, ModelIdentity, PROTOCOL, ScoreOutcome, ScoreSettings, StudentOutcome, StudentReport};

/// A setting's value and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedSetting {
    /// The value.
    pub value: Value,
    /// For example `flag`, `environment`, `file`, `profile` or `default`.
    pub origin: String,
}

/// The settings of a run by name.
pub type RecordedSettings = BTreeMap<String, RecordedSetting>;

/// What a run was computed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnvironment {
    /// Where models ran, for example `cpu` or `cuda:0`.
    pub device: String,
    /// What they computed in, for example `f32`.
    pub dtype: String,
    /// Threads.
    pub threads: usize,
    /// The KL kernel that was used, for example `avx512`.
    pub kl_kernel: String,
    /// Versions by component: this program and what computes for it.
    pub versions: BTreeMap<String, String>,
}

/// The version of candle that computes; a test holds it against the lock file.
const CANDLE_VERSION: &str = "0.11.1";

impl RunEnvironment {
    /// What a run with these settings is computed with on this machine, and the version of the program around it.
    pub fn of(settings: &ScoreSettings, program: &str, version: &str) -> Self {
        Self {
            device: match settings.device.location() {
                DeviceLocation::Cpu => "cpu".to_owned(),
                DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
                DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
            },
            dtype: settings.dtype.as_str().to_owned(),
            threads: settings.threads.get(),
            kl_kernel: distil_kl::active_path().to_string(),
            versions: [(program, version), ("distil-eval", env!("CARGO_PKG_VERSION")), ("candle", CANDLE_VERSION)]
                .map(|(name, version)| (name.to_owned(), version.to_owned()))
                .into(),
        }
    }
}

/// Everything but the positions.
pub(super) fn document(
    outcome: &ScoreOutcome,
    settings: &RecordedSettings,
    environment: &RunEnvironment,
) -> Result<Value, EvalError> {
    let report = &outcome.report;
    if report.students.len() != outcome.students.len() {
        return Err(EvalError::Record("the report and the outcome differ in the number of students".to_owned()));
    }
    let teacher = &outcome.teacher;
    let prompts: Vec<Value> = outcome
        .prompts
        .iter()
        .map(|prompt| {
            json!({
                "id": prompt.id,
                "text": prompt.text,
                "digest": prompt.sequence.digest(),
                "prompt_tokens": prompt.sequence.prompt(),
                "continuation_tokens": prompt.sequence.continuation(),
            })
        })
        .collect();
    let students = report
        .students
        .iter()
        .zip(&outcome.students)
        .map(|(report, outcome)| student(report, outcome))
        .collect::<Result<Vec<_>, _>>()?;
    let settings: BTreeMap<&str, Value> = settings
        .iter()
        .map(|(name, setting)| (name.as_str(), json!({"value": setting.value, "origin": setting.origin})))
        .collect();
    Ok(json!({
        "protocol": PROTOCOL,
        "kind": "score-local",
        "teacher": {
            "model": teacher.name,
            "revision": teacher.revision,
            "architecture": teacher.model.architecture,
            "files": files(&teacher.model),
            "head_digest": teacher.head_digest,
            "tokenizer_digest": teacher.tokenizer_digest,
            "vocab_size": teacher.vocab_size,
        },
        "prompts": prompts,
        "students": students,
        "settings": settings,
        "device": environment.device,
        "dtype": environment.dtype,
        "threads": environment.threads,
        "kernels": {"kl": environment.kl_kernel},
        "versions": environment.versions,
    }))
}

fn student(report: &StudentReport, outcome: &StudentOutcome) -> Result<Value, EvalError> {
    let mut value = serde_json::to_value(report).map_err(|error| EvalError::Record(error.to_string()))?;
    let identity = outcome.identity.as_ref();
    if let Value::Object(entries) = &mut value {
        entries.insert("architecture".to_owned(), json!(identity.map(|identity| &identity.architecture)));
        entries.insert("files".to_owned(), json!(identity.map(files)));
    }
    Ok(value)
}

fn files(model: &ModelIdentity) -> Vec<Value> {
    model.files.iter().map(|file| json!({"name": file.name, "bytes": file.bytes, "sha256": file.sha256})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_version_of_candle_is_the_one_that_is_built() {
        let lock = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
        let Ok(lock) = std::fs::read_to_string(lock) else {
            return; // built from the registry, without the workspace's lock file
        };
        let built = lock.lines().skip_while(|line| *line != "name = \"candle-core\"").nth(1);
        assert_eq!(built, Some(format!("version = \"{CANDLE_VERSION}\"").as_str()));
    }
}
