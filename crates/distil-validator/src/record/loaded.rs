//! What was loaded, then and now.

use super::Problem;
use super::verify::quoted;
use crate::stored::model_json;
use distil_eval::ModelIdentity;
use serde_json::Value;
use std::collections::BTreeMap;

/// Holds a model that was loaded to score a record's student or teacher again to what the record says was loaded.
/// `recorded` has its `architecture` and `files`; a digest that either side does not have is not compared.
pub fn compare_loaded(place: &str, recorded: &Value, loaded: &ModelIdentity) -> Vec<Problem> {
    let ours = model_json(loaded);
    let mut problems = Vec::new();
    if recorded["architecture"] != ours["architecture"] {
        let problem = format!("it is not {}, which was loaded now", ours["architecture"]);
        problems.push(Problem { place: format!("{place}.architecture"), problem });
    }
    let files = |model: &Value| -> BTreeMap<String, (Value, Value)> {
        let files = model["files"].as_array().into_iter().flatten();
        let name = |file: &Value| file["name"].as_str().unwrap_or_default().to_owned();
        files.map(|file| (name(file), (file["bytes"].clone(), file["sha256"].clone()))).collect()
    };
    let (theirs, ours) = (files(recorded), files(&ours));
    for (name, (bytes, sha256)) in &ours {
        let is_same = theirs.get(name).is_some_and(|(their_bytes, their_sha256)| {
            bytes == their_bytes && (sha256 == their_sha256 || sha256.is_null() || their_sha256.is_null())
        });
        if !is_same {
            let problem = format!("it does not have {} with the digest that was loaded now", quoted(name));
            problems.push(Problem { place: format!("{place}.files"), problem });
        }
    }
    for name in theirs.keys().filter(|name| !ours.contains_key(*name)) {
        let problem = format!("it has {}, which was not loaded now", quoted(name));
        problems.push(Problem { place: format!("{place}.files"), problem });
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use distil_model::FileDigest;

    fn model(files: &[(&str, u64, &str)]) -> ModelIdentity {
        let digest = |&(name, bytes, sha256): &(&str, u64, &str)| FileDigest {
            name: name.to_owned(),
            bytes,
            sha256: sha256.to_owned(),
        };
        ModelIdentity { architecture: "llama".to_owned(), files: files.iter().map(digest).collect() }
    }

    #[test]
    fn other_files_are_named() {
        let recorded = model_json(&model(&[("config.json", 3, "aa"), ("model.safetensors", 9, "bb")]));
        let places = |loaded: &ModelIdentity| -> Vec<String> {
            compare_loaded("teacher", &recorded, loaded).iter().map(ToString::to_string).collect()
        };
        assert!(places(&model(&[("config.json", 3, "aa"), ("model.safetensors", 9, "bb")])).is_empty());
        for other in [("model.safetensors", 9, "cc"), ("model.safetensors", 8, "bb"), ("other.safetensors", 9, "bb")] {
            let found = places(&model(&[("config.json", 3, "aa"), other]));
            assert!(found[0].starts_with("teacher.files: ") && found[0].contains(other.0), "{found:?}");
        }
        let mut other = model(&[("config.json", 3, "aa"), ("model.safetensors", 9, "bb")]);
        other.architecture = "qwen3".to_owned();
        assert_eq!(places(&other), ["teacher.architecture: it is not \"qwen3\", which was loaded now"]);
        // A forged record may have anything there.
        assert_eq!(compare_loaded("teacher", &Value::Null, &other).len(), 3);
    }
}
