//! A model in a folder: which files its weights are in, and where in them each tensor is that a loader uses, under its
//! canonical name. What needs the tensors themselves reads them through here, piece by piece.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::Dtype;

use crate::config::MAX_CONFIG_BYTES;
use crate::expected::{self, Expected};
use crate::text::quoted;
use crate::{
    CheckerError, ExpertLayout, ExpertMatrix, ModelConfig, SafetensorsHeader, TensorEntry, canonical_name, expert_name,
};

const CONFIG_FILE: &str = "config.json";
const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";
const MAX_INDEX_BYTES: u64 = 64 << 20;
const MAX_SHARDS: usize = 4096;
/// The most experts that one fused tensor is taken apart into, and the most tensors in all: a mixture of 100 layers of
/// 512 experts has 150,000 matrices.
const MAX_EXPERTS: u64 = 1 << 16;
const MAX_TENSORS: usize = 1 << 20;

/// A model in a folder, opened: configuration and headers are read and checked, tensors are not read yet.
///
/// Files are found as transformers and this workspace's loader find them: `model.safetensors`, else the shards that
/// `model.safetensors.index.json` names. Tensors have their [canonical names](canonical_name), the experts of a mixture
/// are taken apart, and only what the loader uses, going by the configuration, is here: tensors beside it are no part of
/// the model. So two folders that hold the same model in other shards, orders or layouts look alike.
#[derive(Debug)]
pub struct LocalModel {
    config: ModelConfig,
    files: Vec<WeightFile>,
    tensors: Vec<LocalTensor>,
}

/// One safetensors file.
#[derive(Debug)]
pub(crate) struct WeightFile {
    pub(crate) path: PathBuf,
    pub(crate) size_bytes: u64,
    file: File,
}

/// One tensor under its canonical name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalTensor {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<u64>,
    /// Place in [`LocalModel::files`].
    pub(crate) file: usize,
    pub(crate) file_range: Range<u64>,
}

impl LocalTensor {
    pub(crate) fn size_bytes(&self) -> u64 {
        self.file_range.end - self.file_range.start
    }

    pub(crate) fn elements(&self) -> u64 {
        // Headers are sound: the product is bounded by the file.
        self.shape.iter().product()
    }
}

impl LocalModel {
    /// Opens a model's folder and reads `config.json` and the headers.
    ///
    /// # Errors
    ///
    /// The configuration, an index or a header is not there, not sound or contradicts another one, a tensor that the
    /// configuration calls for is missing or of another shape, two tensors have one canonical name, or a file cannot be
    /// read.
    pub fn open(folder: &Path) -> Result<Self, CheckerError> {
        let config_path = folder.join(CONFIG_FILE);
        let config = ModelConfig::from_json(&read_bounded(&config_path, MAX_CONFIG_BYTES)?)
            .map_err(|reason| weights_error(&config_path, reason))?;
        let experts: BTreeMap<String, u64> = expected::parts(&config)
            .into_iter()
            .filter_map(|part| match part {
                Expected::Experts { prefix, experts, .. } => Some((prefix, experts)),
                Expected::Tensor { .. } => None,
            })
            .collect();
        let (paths, weight_map) = find_files(folder)?;
        let mut files = Vec::with_capacity(paths.len());
        let mut stored: BTreeMap<String, LocalTensor> = BTreeMap::new();
        let mut stored_names = BTreeSet::new();
        for path in paths {
            let (file, header) = open_file(path)?;
            for entry in header.tensors() {
                let error = |reason| Err(weights_error(&file.path, reason));
                if !stored_names.insert(entry.name.clone()) {
                    return error(format!("tensor {} is in another shard too", quoted(&entry.name)));
                }
                let Some(name) = canonical_name(&entry.name) else { continue };
                let tensors = take_apart(name, entry, files.len(), &experts);
                for tensor in tensors.map_err(|reason| weights_error(&file.path, reason))? {
                    if let Some(twice) = stored.insert(tensor.name.clone(), tensor) {
                        let name = quoted(&twice.name);
                        return error(format!("{name} is stored under two names, one of them {}", quoted(&entry.name)));
                    }
                }
                if stored.len() > MAX_TENSORS {
                    return error(format!("with it the model has more than {MAX_TENSORS} tensors"));
                }
            }
            files.push(file);
        }
        if let Some((tensor, file)) = weight_map.iter().find(|(tensor, _)| !stored_names.contains(*tensor)) {
            let reason = format!("tensor {} is missing, though {INDEX_FILE} says it is here", quoted(tensor));
            return Err(weights_error(&folder.join(file), reason));
        }
        let tensors = select(&config, stored).map_err(|reason| weights_error(folder, reason))?;
        Ok(Self { config, files, tensors })
    }

    /// Its configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The safetensors files, by name.
    pub(crate) fn files(&self) -> &[WeightFile] {
        &self.files
    }

    /// The tensors that a loader uses, in the order of their canonical names.
    pub(crate) fn tensors(&self) -> &[LocalTensor] {
        &self.tensors
    }

    /// Fills `buffer` with the bytes of a file from `offset` on.
    ///
    /// Positioned reads, not a memory map: a file that someone shortens meanwhile gives an error and does not end the
    /// process.
    pub(crate) fn read_exact_at(&self, file: usize, buffer: &mut [u8], offset: u64) -> Result<(), CheckerError> {
        let file = &self.files[file];
        read_exact_at(&file.file, buffer, offset)
            .map_err(|source| CheckerError::Read { path: file.path.clone(), source })
    }
}

/// Of the stored tensors those that the configuration calls for, all of them.
fn select(config: &ModelConfig, mut stored: BTreeMap<String, LocalTensor>) -> Result<Vec<LocalTensor>, String> {
    let mut selected = Vec::with_capacity(stored.len());
    let mut take = |name: &str, shape: &[u64]| {
        let Some(tensor) = stored.remove(name) else {
            return Err(format!("tensor {name} is missing, though config.json calls for it"));
        };
        if tensor.shape != shape {
            return Err(format!("tensor {name} has shape {:?}, config.json calls for {shape:?}", tensor.shape));
        }
        selected.push(tensor);
        Ok(())
    };
    for part in expected::parts(config) {
        match part {
            Expected::Tensor { name, shape } => take(&name, &shape)?,
            // However many experts a stranger's configuration claims, the first that is missing ends this.
            Expected::Experts { prefix, experts, intermediate, hidden } => {
                for expert in 0..experts {
                    take(&expert_name(&prefix, expert, ExpertMatrix::Gate), &[intermediate, hidden])?;
                    take(&expert_name(&prefix, expert, ExpertMatrix::Up), &[intermediate, hidden])?;
                    take(&expert_name(&prefix, expert, ExpertMatrix::Down), &[hidden, intermediate])?;
                }
            }
        }
    }
    selected.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(selected)
}

fn weights_error(path: &Path, reason: String) -> CheckerError {
    CheckerError::Weights { path: path.to_owned(), reason }
}

/// The files, in the order of their names, and what the index says of them.
fn find_files(folder: &Path) -> Result<(Vec<PathBuf>, BTreeMap<String, String>), CheckerError> {
    let is_file = |path: &Path| match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(CheckerError::Read { path: path.to_owned(), source }),
    };
    let single = folder.join(SINGLE_FILE);
    if is_file(&single)? {
        return Ok((vec![single], BTreeMap::new()));
    }
    let index = folder.join(INDEX_FILE);
    if !is_file(&index)? {
        return Err(weights_error(folder, format!("has neither {SINGLE_FILE} nor {INDEX_FILE}")));
    }
    let weight_map = read_index(&index)?;
    let names: BTreeSet<&String> = weight_map.values().collect();
    if names.len() > MAX_SHARDS {
        return Err(weights_error(&index, format!("names {} shards; at most {MAX_SHARDS} are read", names.len())));
    }
    Ok((names.into_iter().map(|name| folder.join(name)).collect(), weight_map))
}

fn read_index(path: &Path) -> Result<BTreeMap<String, String>, CheckerError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }

    let bytes = read_bounded(path, MAX_INDEX_BYTES)?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|error| weights_error(path, format!("is no index: {}", crate::text::printable(&error.to_string()))))?;
    if index.weight_map.is_empty() {
        return Err(weights_error(path, "has an empty \"weight_map\"".into()));
    }
    for (tensor, file) in &index.weight_map {
        let is_plain_name = !file.contains(['/', '\\', '\0']) && file.ends_with(".safetensors");
        if !is_plain_name {
            let reason = format!(
                "maps {} to {}, which is not the name of a .safetensors file in the folder",
                quoted(tensor),
                quoted(file)
            );
            return Err(weights_error(path, reason));
        }
    }
    Ok(index.weight_map)
}

fn read_bounded(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, CheckerError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit_bytes + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| CheckerError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > limit_bytes {
        return Err(weights_error(path, format!("is longer than the {limit_bytes} bytes that are read")));
    }
    Ok(bytes)
}

fn open_file(path: PathBuf) -> Result<(WeightFile, SafetensorsHeader), CheckerError> {
    let read_error = |source| CheckerError::Read { path: path.clone(), source };
    let header_error = |source| CheckerError::Header { file: crate::text::quoted_path(&path), source };
    let file = File::open(&path).map_err(read_error)?;
    let size_bytes = file.metadata().map_err(read_error)?.len();
    let mut first_bytes = [0; 8];
    if size_bytes >= 8 {
        read_exact_at(&file, &mut first_bytes, 0).map_err(read_error)?;
    }
    let header_bytes = SafetensorsHeader::length(first_bytes, size_bytes).map_err(header_error)?;
    let mut json = vec![0; header_bytes as usize];
    read_exact_at(&file, &mut json, 8).map_err(read_error)?;
    let header = SafetensorsHeader::parse(&json, size_bytes).map_err(header_error)?;
    Ok((WeightFile { path, size_bytes, file }, header))
}

/// The tensors that a stored one holds: itself, or the matrices of the experts that are fused in it; none where the
/// configuration calls for no experts of that name. `called_for`: those that it calls for, by prefix,
/// and how many each has.
fn take_apart(
    name: &str,
    entry: &TensorEntry,
    file: usize,
    called_for: &BTreeMap<String, u64>,
) -> Result<Vec<LocalTensor>, String> {
    let dtype = entry.dtype;
    let (experts, matrices): (&str, &[ExpertMatrix]) = match ExpertLayout::of(name) {
        ExpertLayout::FusedGateUp { experts } => (experts, &[ExpertMatrix::Gate, ExpertMatrix::Up]),
        ExpertLayout::FusedDown { experts } => (experts, &[ExpertMatrix::Down]),
        ExpertLayout::Single => {
            let (shape, file_range) = (entry.shape.clone(), entry.file_range.clone());
            return Ok(vec![LocalTensor { name: name.to_owned(), dtype, shape, file, file_range }]);
        }
    };
    let Some(&wanted) = called_for.get(experts) else { return Ok(Vec::new()) };
    let error = |what: String| Err(format!("tensor {} of shape {:?} {what}", quoted(&entry.name), entry.shape));
    let &[count, rows, columns] = entry.shape.as_slice() else {
        return error("should have experts, rows and columns".into());
    };
    if count != wanted || count > MAX_EXPERTS {
        return error(format!("should have {wanted} experts, and at most {MAX_EXPERTS}"));
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    let parts = matrices.len() as u64;
    if !rows.is_multiple_of(parts) {
        return error("should have as many gate rows as up rows".into());
    }
    let shape = vec![rows / parts, columns];
    // Experts, and within them gate and up, follow one another, so each matrix is one run of bytes.
    let matrix_bytes = entry.size_bytes() / (count * parts);
    if !(rows / parts * columns * dtype.bitsize() as u64).is_multiple_of(8) {
        return error("has matrices that do not fill whole bytes".into());
    }
    let mut tensors = Vec::with_capacity((count * parts) as usize);
    for expert in 0..count {
        for (part, matrix) in matrices.iter().enumerate() {
            let start = entry.file_range.start + (expert * parts + part as u64) * matrix_bytes;
            tensors.push(LocalTensor {
                name: expert_name(experts, expert, *matrix),
                dtype,
                shape: shape.clone(),
                file,
                file_range: start..start + matrix_bytes,
            });
        }
    }
    Ok(tensors)
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
