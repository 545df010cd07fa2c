//! Every configuration file: what `config.json` says, and what none of them may say.

use distil_hub::RepoFile;
use serde_json::{Map, Value, json};

use super::SHOWN;
use crate::{
    CheckerError, Code, Finding, Severity,
    config::{self, Architecture, ConfigReading, MAX_CONFIG_BYTES, MAX_CONFIG_VALUES},
    findings::Findings,
    json,
    repository::Repository,
    text::first_few,
    weights,
};

/// The most configuration files that are read.
const MAX_CONFIG_FILES: usize = 16;

pub(super) struct Configs {
    pub(super) reading: ConfigReading,
    pub(super) tokenizer_config: Option<Map<String, Value>>,
}

/// Reads every configuration file: `config.json` for what it says, all of them for code and quantisation.
pub(super) fn check_configs(repository: &dyn Repository, findings: &mut Findings) -> Configs {
    let mut configs = Configs { reading: ConfigReading::default(), tokenizer_config: None };
    if repository.file("config.json").is_none() {
        let message = "there is no config.json: without it nobody knows what the weights are; upload it";
        findings.error(Code::ConfigInvalid, message, json!({"file": "config.json"}));
    }
    let is_config = |file: &&RepoFile| !file.path.contains('/') && file.path.ends_with("config.json");
    let mut files: Vec<&RepoFile> = repository.files().iter().filter(is_config).collect();
    // The ones that are read by name come first, should there be too many.
    files.sort_by_key(|file| {
        !matches!(file.path.as_str(), "config.json" | "generation_config.json" | "tokenizer_config.json")
    });
    if files.len() > MAX_CONFIG_FILES {
        let message = format!("there are {} configuration files; {MAX_CONFIG_FILES} are read", files.len());
        findings.warning(Code::ConfigInvalid, message, json!({"count": files.len()}));
        files.truncate(MAX_CONFIG_FILES);
    }
    let (mut with_code, mut quantised) = (Vec::new(), Vec::new());
    for file in files {
        let map = match read_object(repository, file) {
            Ok(Ok(map)) => map,
            Ok(Err(reason)) => {
                let message = format!("{} cannot be used: {reason}", file.path.escape_debug());
                // A model loader reads the first two and stops at them.
                let severity = match file.path.as_str() {
                    "config.json" | "generation_config.json" => Severity::Error,
                    _ => Severity::Warning,
                };
                let evidence = json!({"file": file.path, "reason": reason});
                findings.push(Finding::new(Code::ConfigInvalid, severity, message, evidence));
                continue;
            }
            Err(error) => {
                findings.failure(&error);
                continue;
            }
        };
        let root = Value::Object(map);
        let places = |keys: &[&str]| {
            let places = json::places_of(&root, keys, 2 * SHOWN);
            places.into_iter().map(|place| format!("{}: {place}", file.path)).collect::<Vec<_>>()
        };
        with_code.extend(places(&["auto_map"]));
        if file.path == "config.json" {
            quantised.extend(places(&["quantization_config", "compression_config"]));
        }
        let Value::Object(map) = root else { continue };
        match file.path.as_str() {
            "config.json" => configs.reading = ConfigReading::of(&map),
            "generation_config.json" => {
                report_problems("generation_config.json", &config::generation_problems(&map), findings)
            }
            "tokenizer_config.json" => configs.tokenizer_config = Some(map),
            _ => {}
        }
    }
    if !with_code.is_empty() {
        let message = format!(
            "the configuration asks for code of the repository ({}); remove auto_map, a supported architecture needs none",
            first_few(&with_code, SHOWN)
        );
        findings.error(Code::RemoteCode, message, json!({"fields": with_code}));
    }
    if !quantised.is_empty() {
        let message = format!(
            "the configuration says that the weights are quantised ({}); upload the BF16 weights, without it",
            first_few(&quantised, SHOWN)
        );
        findings.error(Code::Quantized, message, json!({"fields": quantised}));
    }
    let reading = &configs.reading;
    if let Some(model_type) = &reading.unsupported {
        let message =
            format!("config.json: model_type {model_type} is not supported; supported are {}", Architecture::SUPPORTED);
        findings.error(Code::UnsupportedArchitecture, message, json!({"model_type": model_type}));
    }
    report_problems("config.json", &reading.problems, findings);
    weights::check_stored_form(reading.dtype.as_deref(), findings);
    configs
}

fn report_problems(file: &str, problems: &[config::ConfigProblem], findings: &mut Findings) {
    for problem in problems {
        let evidence = json!({"file": file, "field": problem.field, "value": problem.found, "needed": problem.needed});
        findings.error(Code::ConfigInvalid, format!("{file}: {problem}"), evidence);
    }
}

/// A file's object, or what is wrong with it; the outer error is a failure to read it.
fn read_object(
    repository: &dyn Repository,
    file: &RepoFile,
) -> Result<Result<Map<String, Value>, String>, CheckerError> {
    match repository.read_whole(file, MAX_CONFIG_BYTES) {
        Ok(bytes) => Ok(json::parse_object(&bytes, MAX_CONFIG_VALUES)),
        Err(error @ CheckerError::TooLarge { .. }) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}
