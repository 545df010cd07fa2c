//! The safetensors files of a repository: which of them a loader reads, what their headers hold, and whether that is the
//! model that the configuration describes.

mod compare;
mod headers;
mod index;
mod stored;

pub(crate) use compare::compare;
pub(crate) use headers::read_headers;
pub(crate) use index::{WeightIndex, check_duplicates, check_index, read_index};
pub(crate) use stored::{check_dtypes, check_names, check_stored_form};

use std::collections::HashMap;

use distil_hub::RepoFile;
use safetensors::Dtype;

use crate::{SafetensorsHeader, TensorEntry, canonical_name, repository::Repository};

pub(crate) const SINGLE_FILE: &str = "model.safetensors";
pub(crate) const INDEX_FILE: &str = "model.safetensors.index.json";

/// The most safetensors files that are looked at. A model within the limit on parameters has a handful.
pub const MAX_WEIGHT_FILES: usize = 1024;
/// The most bytes of headers that are read of one repository: 32 MiB, some 200,000 tensors. With that, and with what
/// becomes of it when it is parsed, a check stays within a few hundred megabytes.
pub const MAX_ALL_HEADER_BYTES: u64 = 32 << 20;
/// The most tensors that an index may name.
pub const MAX_INDEXED_TENSORS: usize = 200_000;
/// The largest `model.safetensors.index.json` that is read.
pub const MAX_INDEX_BYTES: u64 = 32 << 20;

/// True for the name of a safetensors file, in upper or lower case.
pub(crate) fn is_safetensors(path: &str) -> bool {
    crate::files::has_extension(path, &["safetensors"])
}

/// Where a loader finds the weights, in the order in which transformers looks.
#[derive(Debug)]
pub(crate) enum Layout {
    /// `model.safetensors`, whatever else there is.
    Single,
    /// The shards that the index names.
    Index,
    /// There is neither.
    None,
}

impl Layout {
    pub(crate) fn of(repository: &dyn Repository) -> Self {
        if repository.file(SINGLE_FILE).is_some() {
            Layout::Single
        } else if repository.file(INDEX_FILE).is_some() {
            Layout::Index
        } else {
            Layout::None
        }
    }
}

/// One safetensors file whose header could be read.
#[derive(Debug)]
pub(crate) struct WeightFile<'a> {
    pub(crate) file: &'a RepoFile,
    pub(crate) header: SafetensorsHeader,
    /// A loader reads it.
    pub(crate) is_used: bool,
}

/// A tensor in a file that a loader reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used<'a> {
    pub(crate) file: &'a str,
    pub(crate) tensor: &'a TensorEntry,
}

/// The tensors of a language model in the files that a loader reads, by canonical name; of several with one name, the
/// first.
pub(crate) fn used_tensors<'a>(files: &'a [WeightFile<'_>]) -> HashMap<&'a str, Used<'a>> {
    let mut used = HashMap::new();
    for (file, tensor) in tensors(files) {
        if let Some(name) = canonical_name(&tensor.name) {
            used.entry(name).or_insert(Used { file, tensor });
        }
    }
    used
}

/// All tensors in the files that a loader reads.
pub(crate) fn tensors<'a>(files: &'a [WeightFile<'_>]) -> impl Iterator<Item = (&'a str, &'a TensorEntry)> {
    let used = files.iter().filter(|file| file.is_used);
    used.flat_map(|file| file.header.tensors().iter().map(|tensor| (file.file.path.as_str(), tensor)))
}

/// The name of a dtype as the format writes it: `BF16`, `F8_E4M3`.
pub(crate) fn dtype_name(dtype: Dtype) -> String {
    match serde_json::to_value(dtype) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{dtype:?}"),
    }
}
