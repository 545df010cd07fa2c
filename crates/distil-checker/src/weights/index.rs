//! `model.safetensors.index.json`: which tensor is in which shard.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::{INDEX_FILE, MAX_INDEX_BYTES, MAX_INDEXED_TENSORS, WeightFile, tensors};
use crate::{
    CheckerError, Code, canonical_name,
    findings::Findings,
    json,
    repository::Repository,
    text::{Sample, counted, first_few, grouped, quoted},
};

/// Tensors and files that a message names.
const SHOWN: usize = 5;

/// What an index says.
#[derive(Debug, Default)]
pub(crate) struct WeightIndex {
    /// Tensor to shard.
    pub(crate) weight_map: BTreeMap<String, String>,
    total_size: Option<u64>,
    total_parameters: Option<u64>,
}

impl WeightIndex {
    pub(crate) fn shards(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }
}

/// Reads the index; what is wrong with it is among the findings, and `None` comes back. The outer error is a failure to
/// read it.
pub(crate) fn read_index(
    repository: &dyn Repository,
    findings: &mut Findings,
) -> Result<Option<WeightIndex>, CheckerError> {
    let Some(file) = repository.file(INDEX_FILE) else { return Ok(None) };
    let bytes = match repository.read_whole(file, MAX_INDEX_BYTES) {
        Err(error @ CheckerError::TooLarge { .. }) => {
            findings.error(Code::IndexMismatch, error.to_string(), json!({"file": INDEX_FILE, "bytes": file.size}));
            return Ok(None);
        }
        read => read?,
    };
    match parse_index(&bytes) {
        Ok(index) => Ok(Some(index)),
        Err(reason) => {
            let message = format!("{INDEX_FILE} cannot be used: {reason}");
            findings.error(Code::IndexMismatch, message, json!({"file": INDEX_FILE, "reason": reason}));
            Ok(None)
        }
    }
}

fn parse_index(bytes: &[u8]) -> Result<WeightIndex, String> {
    // Each tensor is one value; a few more for the rest.
    let mut root = json::parse_object(bytes, MAX_INDEXED_TENSORS + 100)?;
    let Some(Value::Object(map)) = root.remove("weight_map") else {
        return Err("it has no object \"weight_map\"".to_owned());
    };
    if map.is_empty() {
        return Err("its \"weight_map\" is empty".to_owned());
    }
    let mut weight_map = BTreeMap::new();
    for (tensor, file) in map {
        let Value::String(file) = file else {
            return Err(format!("it maps {} to something that is no text", quoted(&tensor)));
        };
        let is_plain_name = !file.is_empty() && !file.contains(['/', '\\', '\0']) && file.ends_with(".safetensors");
        if !is_plain_name {
            let (tensor, file) = (quoted(&tensor), quoted(&file));
            return Err(format!("it maps {tensor} to {file}, which is not the name of a .safetensors file beside it"));
        }
        weight_map.insert(tensor, file);
    }
    let metadata = |name: &str| {
        let value = root.get("metadata")?.get(name)?;
        // Some tools write it as 1e9 or 9.0.
        value.as_u64().or_else(|| value.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as u64))
    };
    let (total_size, total_parameters) = (metadata("total_size"), metadata("total_parameters"));
    Ok(WeightIndex { weight_map, total_size, total_parameters })
}

/// Holds the index against the shards, in both directions.
pub(crate) fn check_index(
    index: &WeightIndex,
    repository: &dyn Repository,
    files: &[WeightFile<'_>],
    findings: &mut Findings,
) {
    let absent: Vec<&str> = index.shards().into_iter().filter(|shard| repository.file(shard).is_none()).collect();
    if !absent.is_empty() {
        let message = format!(
            "{INDEX_FILE} names {} that the repository does not hold: {}; upload every shard",
            counted(absent.len(), "file"),
            first_few(&absent, SHOWN)
        );
        findings.error(
            Code::IndexMismatch,
            message,
            json!({"missing_files": absent.iter().take(SHOWN).collect::<Vec<_>>(), "count": absent.len()}),
        );
    }
    check_tensors(index, files, findings);
    check_totals(index, files, findings);
}

fn check_tensors(index: &WeightIndex, files: &[WeightFile<'_>], findings: &mut Findings) {
    let mut places: HashMap<&str, &str> = HashMap::new();
    let (mut unlisted, mut elsewhere, mut absent) = (Sample::default(), Sample::default(), Sample::default());
    for (file, tensor) in tensors(files) {
        places.insert(&tensor.name, file);
        match index.weight_map.get(&tensor.name) {
            None => unlisted.add(|| format!("{} in {file}", tensor.name)),
            Some(said) if said != file => elsewhere.add(|| format!("{} in {file}, not {said}", tensor.name)),
            Some(_) => {}
        }
    }
    // A shard that is missing or has no sound header is told of elsewhere; its tensors are not reported one by one.
    let readable: BTreeSet<&str> = files.iter().map(|file| file.file.path.as_str()).collect();
    for (tensor, shard) in &index.weight_map {
        if readable.contains(shard.as_str()) && !places.contains_key(tensor.as_str()) {
            absent.add(|| format!("{tensor} in {shard}"));
        }
    }
    let mut report = |sample: &Sample, what: &str, key: &str| {
        if sample.count > 0 {
            let message = format!(
                "{INDEX_FILE} and the shards disagree: {} {what}: {}; save the model again",
                counted(sample.count, "tensor"),
                sample.shown()
            );
            findings.error(Code::IndexMismatch, message, json!({"count": sample.count, key: sample.first}));
        }
    };
    report(&absent, "named by the index and in no shard", "not_in_shards");
    report(&elsewhere, "in another shard than the index says", "in_another_shard");
    report(&unlisted, "in a shard and not in the index", "not_in_index");
}

fn check_totals(index: &WeightIndex, files: &[WeightFile<'_>], findings: &mut Findings) {
    let is_complete = index.shards().iter().all(|shard| files.iter().any(|file| file.file.path == *shard));
    if !is_complete {
        return;
    }
    let used = || tensors(files).map(|(_, tensor)| tensor);
    // Headers are sound, so these are bounded by the files' sizes.
    let bytes: u64 = used().map(|tensor| tensor.size_bytes()).fold(0, u64::saturating_add);
    let parameters: u64 = used().map(|tensor| tensor.elements()).fold(0, u64::saturating_add);
    for (name, said, found) in
        [("total_size", index.total_size, bytes), ("total_parameters", index.total_parameters, parameters)]
    {
        if let Some(said) = said
            && said != found
        {
            let message = format!(
                "{INDEX_FILE} gives {name} as {}, the shards' headers add up to {}; the headers are counted",
                grouped(said),
                grouped(found)
            );
            findings.warning(Code::IndexMismatch, message, json!({"field": name, "index": said, "headers": found}));
        }
    }
}

/// Tensors that stand in two places: under one name in two shards, or under two names that mean the same one.
pub(crate) fn check_duplicates(files: &[WeightFile<'_>], findings: &mut Findings) {
    let mut places: HashMap<&str, (&str, &str)> = HashMap::new();
    let mut doubles = Sample::default();
    let mut is_within_a_file = true;
    for (file, tensor) in tensors(files) {
        let name = canonical_name(&tensor.name).unwrap_or(&tensor.name);
        if let Some((other_file, other_name)) = places.insert(name, (file, &tensor.name)) {
            is_within_a_file &= other_file == file;
            doubles.add(|| format!("{other_name} in {other_file} and {} in {file}", tensor.name));
        }
    }
    if doubles.count == 0 {
        return;
    }
    let code = if is_within_a_file { Code::HeaderInvalid } else { Code::IndexMismatch };
    let message = format!(
        "{} there twice, so that it depends on the reader which one counts: {}; keep one of each",
        if doubles.count == 1 { "1 tensor is".to_owned() } else { format!("{} are", counted(doubles.count, "tensor")) },
        doubles.shown()
    );
    findings.error(code, message, json!({"count": doubles.count, "twice": doubles.first}));
}
