//! What may be told to anybody: sentences for miners' pages and for records, with nothing of a host in them.
//!
//! What a host says of itself (where its files lie, what it is called, what `ssh` printed) is for its operator: it goes to
//! the log, and to the tries that are stored beside a round.

use distil_checker::CheckerError;
use distil_eval::worker::WorkerError;
use distil_hub::HubError;
use distil_types::Commitment;
use serde_json::Value;
use std::path::Path;

/// The most characters of a file's name that are told.
const MAX_NAME_CHARS: usize = 80;

/// Why a pass gave no result.
pub(crate) fn of_worker(error: &WorkerError) -> String {
    match error {
        WorkerError::Model { reason } | WorkerError::Absent { reason } => without_paths(reason),
        WorkerError::Crashed { .. } | WorkerError::Hung { .. } => error.to_string(),
        WorkerError::Garbage { .. } => "the process that ran the model broke off with words of no meaning".to_owned(),
        WorkerError::Download { .. } => {
            "the model could not be brought to the worker: the Hub or the network did not deliver it".to_owned()
        }
        WorkerError::TeacherCacheMissing { .. } => "the worker does not keep the teacher's states".to_owned(),
        WorkerError::Version { .. } => "the worker is of another release".to_owned(),
        _ => "the validator's worker could not do its part".to_owned(),
    }
}

/// Why the Hub did not give what was asked for.
pub(crate) fn of_hub(error: &HubError) -> String {
    match error {
        HubError::Connection { what, .. } => format!("{what}: no connection to the Hub"),
        HubError::Offline { what, .. } => format!("{what}: not on the validator's host, which works offline"),
        HubError::File { .. } => "the validator's host could not read or write a file of its cache".to_owned(),
        HubError::Setting { .. } => "the validator's connection to the Hub is not set up".to_owned(),
        other => without_paths(&other.to_string()),
    }
}

/// What is wrong with a model on this host: its files are named as in its repository.
pub(crate) fn of_checker(error: &CheckerError, commitment: &Commitment) -> String {
    let model = &commitment.model;
    match error {
        CheckerError::Hub(error) => of_hub(error),
        CheckerError::Read { path, source } => {
            format!("{} could not be read on the validator's host: {}", in_repository(path, commitment), source.kind())
        }
        CheckerError::Weights { path, reason } => format!("{}: {reason}", in_repository(path, commitment)),
        CheckerError::Header { source, .. } => format!("{model}: a safetensors file's header: {source}"),
        other => without_paths(&other.to_string()),
    }
}

/// `owner/repo/file` for a file in the folder of a commit, and `owner/repo` for the folder itself.
fn in_repository(path: &Path, commitment: &Commitment) -> String {
    let model = &commitment.model;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.is_empty() || name == commitment.revision.as_str() {
        return model.to_string();
    }
    let name: String = name.escape_debug().take(MAX_NAME_CHARS).collect();
    format!("{model}/{name}")
}

/// A text with each absolute path in it cut to its last part. Paths of repositories and addresses stay as they are.
pub(crate) fn without_paths(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let (mut at, mut before) = (0, None);
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        if let Some(path) = leading_path(before, rest) {
            let kept = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            told.push_str(kept);
            at += path.len();
            before = path.chars().last();
        } else {
            told.push(next);
            at += next.len_utf8();
            before = Some(next);
        }
    }
    told
}

/// The absolute path of two parts or more that a text begins with, if it does.
fn leading_path(before: Option<char>, rest: &str) -> Option<&str> {
    let begins = rest.starts_with('/') && !rest.starts_with("//") || rest.starts_with("~/");
    let is_inside = before.is_some_and(|before| before.is_alphanumeric() || "_-.~@/…".contains(before));
    if !begins || is_inside {
        return None;
    }
    let ends: &[char] = match before {
        // Whoever quotes a path may have blanks in it.
        Some('"') => &['"'],
        Some('\'') => &['\''],
        Some('`') => &['`'],
        _ => &[' ', '\t', '\n', '\r', '"', '\'', '`', ',', ';', ':', '(', ')', '[', ']', '{', '}', '<', '>', '|'],
    };
    let path = &rest[..rest.find(ends).unwrap_or(rest.len())];
    (path.trim_end_matches('/').matches('/').count() >= 2 || path.starts_with("~/")).then_some(path)
}

/// A document with all its texts [without paths](without_paths).
pub(crate) fn document(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_paths(&text)),
        Value::Array(items) => items.into_iter().map(document).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, document(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    const HOME: &str = "/home/operator/.cache/huggingface/hub/models--alice--student";

    fn commitment() -> Commitment {
        Commitment { model: "alice/student".parse().unwrap(), revision: "ab".repeat(20).parse().unwrap() }
    }

    fn is_clean(told: &str) -> bool {
        !["/home", "huggingface/hub", "gpu-7", "ssh", ".cache"].iter().any(|part| told.contains(part))
    }

    #[test]
    fn paths_are_cut_and_names_of_repositories_stay() {
        for (text, told) in [
            ("cannot read /data/secret/mine/config.json: gone", "cannot read config.json: gone"),
            ("cannot read \"/data/my secret/config.json\": gone", "cannot read \"config.json\": gone"),
            ("holds ~/.cache/x.lock and waits", "holds x.lock and waits"),
            ("alice/student@ab12/config.json: cut off", "alice/student@ab12/config.json: cut off"),
            ("see https://huggingface.co/alice/student", "see https://huggingface.co/alice/student"),
            ("an end token </s>, 3/4 of them", "an end token </s>, 3/4 of them"),
            ("path=/etc/distil/key", "path=key"),
            ("/a/b/c/", "c"),
            ("///", "///"),
            ("", ""),
        ] {
            assert_eq!(without_paths(text), told);
        }
        let evidence = serde_json::json!({ "found": ["/data/secret/x", 3], "at": { "file": "/data/secret/y" } });
        assert_eq!(document(evidence), serde_json::json!({ "found": ["x", 3], "at": { "file": "y" } }));
    }

    #[test]
    fn d17_nothing_of_a_host_is_told() {
        let reason = || format!("ssh: connect to host gpu-7.internal: {HOME}/blobs/ab12 refused");
        for error in [
            WorkerError::Host { reason: reason() },
            WorkerError::CannotStart { reason: reason() },
            WorkerError::Download { reason: reason(), retry_after: None },
            WorkerError::TeacherCacheMissing { reason: reason() },
            WorkerError::Garbage { problem: reason(), stage: None },
            WorkerError::Connection,
            WorkerError::Cancelled,
            WorkerError::Model { reason: format!("cannot read {HOME}/snapshots/x/model.safetensors: too short") },
        ] {
            let told = of_worker(&error);
            assert!(is_clean(&told) && !told.is_empty(), "{told}");
        }
        let file = || format!("{HOME}/snapshots/{}/model-1.safetensors", "ab".repeat(20));
        let read = || io::Error::from(io::ErrorKind::PermissionDenied);
        for error in [
            HubError::File { path: file().into(), source: read() },
            HubError::Offline { what: "alice/student".to_owned(), cache: HOME.into() },
            HubError::Connection { what: "alice/student".to_owned(), reason: reason() },
        ] {
            let told = of_hub(&error);
            assert!(is_clean(&told) && !told.is_empty(), "{told}");
        }
        let weights = |path: String| CheckerError::Weights { path: path.into(), reason: "is not sound".to_owned() };
        assert_eq!(of_checker(&weights(file()), &commitment()), "alice/student/model-1.safetensors: is not sound");
        let folder = format!("{HOME}/snapshots/{}", "ab".repeat(20));
        assert_eq!(of_checker(&weights(folder), &commitment()), "alice/student: is not sound");
        let told = of_checker(&CheckerError::Read { path: file().into(), source: read() }, &commitment());
        assert!(is_clean(&told) && told.contains("alice/student/model-1.safetensors"), "{told}");
    }
}
