//! What the names of a repository's files say.

use serde_json::json;

use crate::{
    Code,
    findings::Findings,
    repository::Repository,
    text::{counted, first_few, grouped},
};

/// Files that a message names.
const SHOWN: usize = 5;

/// Formats that are, or may hold, Python pickles: reading one runs whatever its author put there.
const PICKLES: &[&str] = &["bin", "pt", "pth", "ckpt", "pkl", "pickle", "joblib", "dill", "ptl"];
/// What a trainer leaves behind: pickles, but no weights of the model.
const TRAINING_STATE: &[&str] = &["training_args", "optimizer", "scheduler", "scaler", "rng_state", "random_states"];
const CODE: &[&str] = &["py", "pyc", "pyo", "pyd", "pyx", "pyz", "so", "dll", "dylib"];
/// Files that quantisers write beside `config.json`.
const QUANTISER_FILES: &[&str] = &["quantize_config.json", "hf_quant_config.json", "quant_config.json"];

/// True where a file's name ends in a dot and one of some endings, in upper or lower case.
pub(crate) fn has_extension(path: &str, extensions: &[&str]) -> bool {
    let name = file_name(path);
    let Some((_, extension)) = name.rsplit_once('.') else { return false };
    extensions.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn is_gguf(path: &str) -> bool {
    let is_old = file_name(path).to_ascii_lowercase().starts_with("ggml") && has_extension(path, &["bin"]);
    is_old || has_extension(path, &["gguf", "ggml", "ggjt"])
}

/// Judges the files by their names. Gives the bytes of weights in formats that no loader of ours opens.
///
/// - Code is refused wherever it lies. It would not be run, but whoever looks at the model with another tool would run
///   it.
/// - Pickled and GGUF weights are refused also beside complete safetensors: a repository with two sets of weights is two
///   models, and which of them one gets is up to the tool (a decoy in safetensors beside a teacher in `.bin` was
///   crowned so). What a trainer leaves, such as `training_args.bin`, is a warning.
pub(crate) fn check_files(repository: &dyn Repository, findings: &mut Findings) -> u64 {
    let paths = |is_sought: &dyn Fn(&str) -> bool| -> Vec<&str> {
        repository.files().iter().map(|file| file.path.as_str()).filter(|path| is_sought(path)).collect()
    };
    let bytes = |paths: &[&str]| -> u64 {
        paths.iter().filter_map(|path| repository.file(path)).fold(0, |sum, file| sum.saturating_add(file.size))
    };
    let evidence = |paths: &[&str]| json!({"files": paths.iter().take(SHOWN).collect::<Vec<_>>(), "count": paths.len(), "bytes": bytes(paths)});

    let code = paths(&|path| has_extension(path, CODE));
    if !code.is_empty() {
        let message = format!(
            "the repository holds code: {} ({}); remove it, a model of a supported architecture needs none",
            counted(code.len(), "file"),
            first_few(&code, SHOWN)
        );
        findings.error(Code::RemoteCode, message, evidence(&code));
    }
    let gguf = paths(&is_gguf);
    if !gguf.is_empty() {
        let message = format!(
            "the repository holds GGUF weights ({}, {} bytes); keep the safetensors alone",
            first_few(&gguf, SHOWN),
            grouped(bytes(&gguf))
        );
        findings.error(Code::GgufWeights, message, evidence(&gguf));
    }
    let is_state =
        |path: &str| TRAINING_STATE.iter().any(|name| file_name(path).to_ascii_lowercase().starts_with(name));
    let is_pickle = |path: &str| has_extension(path, PICKLES) && !is_gguf(path);
    let pickles = paths(&|path| is_pickle(path) && !is_state(path));
    if !pickles.is_empty() {
        let message = format!(
            "the repository holds pickled weights ({}, {} bytes), which are never opened; keep the safetensors alone",
            first_few(&pickles, SHOWN),
            grouped(bytes(&pickles))
        );
        findings.error(Code::PickleWeights, message, evidence(&pickles));
    }
    let state = paths(&|path| is_pickle(path) && is_state(path));
    if !state.is_empty() {
        let message = format!(
            "the repository holds what a trainer left ({}), as pickles; they are never opened and should go",
            first_few(&state, SHOWN)
        );
        findings.warning(Code::PickleWeights, message, evidence(&state));
    }
    let adapters = paths(&|path| {
        let name = file_name(path);
        name == "adapter_config.json" || name.starts_with("adapter_model.")
    });
    if !adapters.is_empty() {
        let message = format!(
            "the repository holds an adapter ({}); merge it into its model and upload that alone",
            first_few(&adapters, SHOWN)
        );
        findings.error(Code::Adapter, message, evidence(&adapters));
    }
    let quantiser = paths(&|path| QUANTISER_FILES.contains(&path));
    if !quantiser.is_empty() {
        let message = format!(
            "{} says that the weights are quantised; upload the BF16 weights, without it",
            first_few(&quantiser, SHOWN)
        );
        findings.error(Code::Quantized, message, evidence(&quantiser));
    }
    if !repository.left_out().is_empty() {
        let message = format!("left out of the check: {}", repository.left_out().join("; "));
        findings.warning(Code::InvalidName, message, json!({"left_out": repository.left_out()}));
    }
    bytes(&gguf).saturating_add(bytes(&pickles))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_those_of_the_file_and_not_of_a_folder() {
        assert!(has_extension("a/b.PY", CODE));
        assert!(has_extension(".py", CODE));
        assert!(!has_extension("a.py/b", CODE));
        assert!(!has_extension("a/py", CODE));
        assert!(!has_extension("config.json", CODE));
        assert!(is_gguf("q/GGML-model-q4.bin") && is_gguf("x.GGUF") && !is_gguf("pytorch_model.bin"));
    }
}
