//! The safetensors files: whether they are sound, are the model that the configuration describes, and how large it is.

use std::collections::{BTreeMap, HashMap};

use distil_hub::RepoFile;
use serde_json::{Value, json};

use super::SHOWN;
use crate::{
    Code, Parameters, Requirements,
    config::{ConfigReading, ModelConfig},
    expected::{EMBEDDING, HEAD},
    findings::Findings,
    repository::Repository,
    text::{counted, first_few, grouped},
    weights::{self, Layout, MAX_WEIGHT_FILES, SINGLE_FILE, Used, WeightFile, WeightIndex},
};

#[derive(Default)]
pub(super) struct Weights {
    /// `config.json`, `generation_config.json`, the index and the weights, as far as they are there.
    pub(super) loader_files: Vec<String>,
    pub(super) parameters: Parameters,
    pub(super) dtypes: BTreeMap<String, u64>,
}

pub(super) fn check_weights(
    repository: &dyn Repository,
    requirements: &Requirements,
    reading: &ConfigReading,
    foreign_bytes: u64,
    findings: &mut Findings,
) -> Weights {
    let mut all: Vec<&RepoFile> =
        repository.files().iter().filter(|file| weights::is_safetensors(&file.path)).collect();
    if all.len() > MAX_WEIGHT_FILES {
        let message = format!(
            "there are {} safetensors files; at most {MAX_WEIGHT_FILES} are looked at",
            grouped(all.len() as u64)
        );
        findings.error(Code::HeaderInvalid, message, json!({"count": all.len(), "max": MAX_WEIGHT_FILES}));
        all.truncate(MAX_WEIGHT_FILES);
    }
    let layout = Layout::of(repository);
    let mut cannot_tell = false;
    let index = match layout {
        Layout::Index => weights::read_index(repository, findings).unwrap_or_else(|error| {
            findings.failure(&error);
            cannot_tell = true;
            None
        }),
        Layout::Single | Layout::None => None,
    };
    let shards = index.as_ref().map(WeightIndex::shards);
    let is_used = |file: &RepoFile| match &layout {
        Layout::Single => file.path == SINGLE_FILE,
        Layout::Index => shards.as_ref().is_some_and(|shards| shards.contains(file.path.as_str())),
        Layout::None => false,
    };
    let mut files = Vec::with_capacity(all.len());
    let (mut is_complete, mut is_used_complete) = (true, true);
    for (file, header) in all.iter().zip(weights::read_headers(repository, &all)) {
        match header {
            Ok(header) => files.push(WeightFile { file, header, is_used: is_used(file) }),
            Err(error) => {
                is_complete = false;
                is_used_complete &= !is_used(file);
                cannot_tell |= is_used(file) && error.is_transient();
                findings.failure(&error);
            }
        }
    }
    check_layout(repository, &layout, &all, is_used, cannot_tell, findings);
    if let Some(index) = &index {
        weights::check_index(index, repository, &files, findings);
    }
    weights::check_duplicates(&files, findings);
    weights::check_names(&files, findings);
    weights::check_dtypes(&files, reading.config.as_ref().map(|config| config.architecture), findings);

    let used = weights::used_tensors(&files);
    let mut weights = Weights { loader_files: loader_files(repository, &layout, &all, is_used), ..Weights::default() };
    if is_used_complete && !used.is_empty() {
        let counted = match &reading.config {
            Some(config) => {
                let counted = weights::compare(config, &used, findings);
                (Some(counted.text), Some(counted.active))
            }
            // Without a configuration nobody knows which experts are chosen.
            None => (Some(used.values().fold(0, |sum: u64, used| sum.saturating_add(used.tensor.elements()))), None),
        };
        (weights.parameters.text, weights.parameters.active) = counted;
    }
    if !cannot_tell {
        let used_files: Vec<&RepoFile> = all.iter().copied().filter(|file| is_used(file)).collect();
        let is_known = is_used_complete.then_some(&used);
        check_decoy(&used_files, is_known, reading.config.as_ref(), foreign_bytes, findings);
    }
    check_vocabulary(requirements, reading, &used, findings);

    let total = files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.header.elements()));
    for file in &files {
        for tensor in file.header.tensors() {
            let count = weights.dtypes.entry(weights::dtype_name(tensor.dtype)).or_default();
            *count = count.saturating_add(tensor.elements());
        }
    }
    if is_complete {
        weights.parameters.total = Some(total);
    }
    check_total(repository, requirements, total, is_complete, &files, findings);
    weights
}

fn loader_files(
    repository: &dyn Repository,
    layout: &Layout,
    all: &[&RepoFile],
    is_used: impl Fn(&RepoFile) -> bool,
) -> Vec<String> {
    let used: Vec<&str> = all.iter().filter(|file| is_used(file)).map(|file| file.path.as_str()).collect();
    if used.is_empty() {
        return Vec::new();
    }
    let mut paths = vec!["config.json", "generation_config.json"];
    if matches!(layout, Layout::Index) {
        paths.push(weights::INDEX_FILE);
    }
    paths.retain(|path| repository.file(path).is_some());
    paths.extend(used);
    paths.into_iter().map(str::to_owned).collect()
}

/// Whether there is anything that a loader would read, and what it would leave.
fn check_layout(
    repository: &dyn Repository,
    layout: &Layout,
    all: &[&RepoFile],
    is_used: impl Fn(&RepoFile) -> bool,
    cannot_tell: bool,
    findings: &mut Findings,
) {
    let unused: Vec<&str> = all.iter().filter(|file| !is_used(file)).map(|file| file.path.as_str()).collect();
    let evidence = json!({"files": unused.iter().take(SHOWN).collect::<Vec<_>>(), "count": unused.len()});
    match layout {
        Layout::None if all.is_empty() => {
            let message = "there are no safetensors weights; save the model with safe_serialization=True";
            findings.error(Code::NoSafetensors, message, Value::Null);
        }
        Layout::None => {
            let message = format!(
                "there is neither model.safetensors nor model.safetensors.index.json, so no loader would read {}; give the file that name, or add the index",
                first_few(&unused, SHOWN)
            );
            findings.error(Code::NoSafetensors, message, evidence);
        }
        // Without its index nobody knows what would be used.
        Layout::Index if cannot_tell && unused.len() == all.len() => {}
        Layout::Single | Layout::Index if !unused.is_empty() => {
            let message = format!(
                "{} that no loader reads ({}); the parameters in them count, remove them",
                counted(unused.len(), "safetensors file"),
                first_few(&unused, SHOWN)
            );
            findings.warning(Code::IndexMismatch, message, evidence);
        }
        Layout::Single | Layout::Index => {}
    }
    if matches!(layout, Layout::Single) && repository.file(weights::INDEX_FILE).is_some() && all.len() > 1 {
        let message =
            "there are model.safetensors and an index of shards: tools differ in which of them they read; keep one";
        findings.warning(Code::IndexMismatch, message, json!({"files": [SINGLE_FILE, weights::INDEX_FILE]}));
    }
}

/// Weights that are far too small for what the configuration describes, or for what lies beside them.
///
/// Two comparisons, none of them with a fixed size. The shapes: fewer than half of the parameters that the configuration
/// calls for. What is packed by a quantiser (reported as such) may have an eighth, so there less than a sixteenth counts;
/// the same part, in bytes, where a header cannot be read. And the neighbours: pickled or GGUF weights of more than four
/// times the size (the same model in F32 has twice that of BF16).
fn check_decoy(
    used_files: &[&RepoFile],
    used: Option<&HashMap<&str, Used<'_>>>,
    config: Option<&ModelConfig>,
    foreign_bytes: u64,
    findings: &mut Findings,
) {
    if used_files.is_empty() {
        return;
    }
    let bytes = used_files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size));
    let present = used.map(|used| used.values().fold(0, |sum: u64, used| sum.saturating_add(used.tensor.elements())));
    let needed = config.map(|config| config.parameters().total);
    let is_short = |present: u64, needed: u64, part: u64| present < needed / part;
    let is_short_of_shapes = match (present, needed) {
        (Some(present), Some(needed)) => {
            is_short(present, needed, if findings.has_error(Code::Quantized) { 16 } else { 2 })
        }
        (None, Some(needed)) => is_short(bytes, needed, 16),
        (_, None) => false,
    };
    let is_short_of_neighbours = is_short(bytes, foreign_bytes, 4);
    if !is_short_of_shapes && !is_short_of_neighbours {
        return;
    }
    let mut message = format!("the safetensors weights have {} bytes", grouped(bytes));
    if let Some(present) = present {
        message.push_str(&format!(" and {} parameters", grouped(present)));
    }
    if let (true, Some(needed)) = (is_short_of_shapes, needed) {
        message.push_str(&format!("; config.json describes a model of {} parameters", grouped(needed)));
    }
    if is_short_of_neighbours {
        message.push_str(&format!("; weights of other formats beside them have {} bytes", grouped(foreign_bytes)));
    }
    message.push_str(": they are not the model; upload the whole of it in safetensors");
    let evidence = json!({
        "safetensors_bytes": bytes, "safetensors_parameters": present, "needed_parameters": needed, "other_weights_bytes": foreign_bytes
    });
    findings.error(Code::DecoyWeights, message, evidence);
}

/// Columns of the logits: what the configuration says, and what embedding and head have.
fn check_vocabulary(
    requirements: &Requirements,
    reading: &ConfigReading,
    used: &HashMap<&str, Used<'_>>,
    findings: &mut Findings,
) {
    let needed = requirements.vocab_size();
    let rows = |name: &str| used.get(name).and_then(|used| used.tensor.shape.first().copied());
    let is_tied = reading.config.as_ref().is_some_and(|config| config.tie_word_embeddings);
    let values = [
        ("vocab_size of config.json", reading.vocab_size),
        ("rows of the embedding", rows(EMBEDDING)),
        ("rows of the output head", rows(HEAD).filter(|_| !is_tied)),
    ];
    let wrong: Vec<String> = values
        .iter()
        .filter_map(|(name, value)| {
            value.filter(|value| *value != needed).map(|value| format!("{name}: {}", grouped(value)))
        })
        .collect();
    if wrong.is_empty() {
        return;
    }
    let message = format!(
        "the vocabulary is not the teacher's: {} needed, {}; resize the model to it, padding included",
        grouped(needed),
        wrong.join(", ")
    );
    let evidence =
        json!({"needed": needed, "config": values[0].1, "embedding_rows": values[1].1, "head_rows": values[2].1});
    findings.error(Code::VocabMismatch, message, evidence);
}

/// The number of all parameters against the limit and against the Hub's own count.
/// BF16 has two; a vision tower in F32 fits in as well. All validators bring all challengers' files.
const MAX_BYTES_PER_PARAMETER: u64 = 3;

fn check_total(
    repository: &dyn Repository,
    requirements: &Requirements,
    total: u64,
    is_complete: bool,
    files: &[WeightFile<'_>],
    findings: &mut Findings,
) {
    let limit = requirements.max_parameters();
    if total > limit {
        let message = format!(
            "{} parameters in the safetensors files, at most {} are allowed{}",
            grouped(total),
            grouped(limit),
            if is_complete { "" } else { " (more in files whose headers cannot be read)" }
        );
        findings.error(Code::TooManyParameters, message, json!({"total": total, "max": limit}));
    }
    let used_bytes =
        files.iter().filter(|file| file.is_used).fold(0_u64, |sum, file| sum.saturating_add(file.file.size));
    let max_bytes = limit.saturating_mul(MAX_BYTES_PER_PARAMETER);
    if used_bytes > max_bytes {
        let message = format!(
            "the files that a loader reads have {} bytes, at most {} are fetched ({MAX_BYTES_PER_PARAMETER} for each parameter that is allowed); leave out tensors of F64, I64 and the like",
            grouped(used_bytes),
            grouped(max_bytes)
        );
        findings.error(Code::UnsupportedDtype, message, json!({"bytes": used_bytes, "max_bytes": max_bytes}));
    }
    let Some(hub_total) = repository.hub_parameter_total().filter(|_| is_complete) else { return };
    let used =
        files.iter().filter(|file| file.is_used).fold(0, |sum: u64, file| sum.saturating_add(file.header.elements()));
    if hub_total != total && hub_total != used {
        let message = format!(
            "the Hub counts {} parameters, the headers {}; the headers are counted",
            grouped(hub_total),
            grouped(total)
        );
        findings.warning(Code::DecoyWeights, message, json!({"hub": hub_total, "headers": total}));
    }
}
