//! The weights of a model's folder: one or several safetensors files, mapped into memory, looked up by canonical name
//! and converted tensor by tensor to the dtype and device that the model runs with.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorInfo};
use serde_json::Value;

use crate::config::{read_bounded, shorten};
use crate::error::{ModelError, Result};

const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";
const MAX_INDEX_BYTES: u64 = 64 << 20;
const MAX_SHARDS: usize = 4096;
/// Values converted by one task of the thread pool.
const CONVERT_CHUNK: usize = 1 << 16;

/// The name of a tensor without the prefixes that the various ways of saving a model put before it, or `None` for the
/// parts that a causal language model does not use (vision tower, multi-token prediction, stored rotary frequencies).
///
/// Seen in the wild: `model.`, `model.language_model.`, `language_model.model.` and `model.language_model.language_model.`.
pub(crate) fn canonical_name(name: &str) -> Option<&str> {
    let mut rest = name;
    while let Some(stripped) = rest.strip_prefix("model.").or_else(|| rest.strip_prefix("language_model.")) {
        rest = stripped;
    }
    let is_foreign = rest.starts_with("visual.") || rest.starts_with("mtp.") || rest.ends_with("rotary_emb.inv_freq");
    (!is_foreign).then_some(rest)
}

/// The safetensors files that make up the weights of a folder, in the order in which transformers looks for them:
/// `model.safetensors`, else the shards that `model.safetensors.index.json` names (in the order of their names).
///
/// # Errors
///
/// Neither exists, or the index is not JSON, names no file, or names one outside the folder.
pub(crate) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(WeightFiles::find(folder)?.files)
}

struct WeightFiles {
    files: Vec<PathBuf>,
    /// What the index says: tensor name to file. Empty for a single file.
    weight_map: BTreeMap<String, String>,
}

impl WeightFiles {
    fn find(folder: &Path) -> Result<Self> {
        let exists = |path: &Path| match std::fs::metadata(path) {
            Ok(metadata) => Ok(metadata.is_file()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(ModelError::Read { path: path.to_owned(), source }),
        };
        let single = folder.join(SINGLE_FILE);
        if exists(&single)? {
            return Ok(Self { files: vec![single], weight_map: BTreeMap::new() });
        }
        let index = folder.join(INDEX_FILE);
        if !exists(&index)? {
            return Err(ModelError::NoSafetensors { folder: folder.to_owned() });
        }
        let weight_map = read_index(&index)?;
        let names: BTreeSet<&String> = weight_map.values().collect();
        if names.len() > MAX_SHARDS {
            let reason = format!("names {} shards; at most {MAX_SHARDS} are read", names.len());
            return Err(ModelError::Weights { path: index, reason });
        }
        let files = names.into_iter().map(|name| folder.join(name)).collect();
        Ok(Self { files, weight_map })
    }
}

fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    let error = |reason: String| ModelError::Weights { path: path.to_owned(), reason };
    let bytes = read_bounded(path, MAX_INDEX_BYTES)?;
    let index: Value = serde_json::from_slice(&bytes).map_err(|e| error(format!("is not valid JSON: {e}")))?;
    let Some(Value::Object(map)) = index.get("weight_map") else {
        return Err(error("has no object \"weight_map\"".into()));
    };
    if map.is_empty() {
        return Err(error("has an empty \"weight_map\"".into()));
    }
    let mut weight_map = BTreeMap::new();
    for (tensor, file) in map {
        let file = file.as_str().unwrap_or_default();
        let is_plain_name = !file.is_empty() && !file.contains(['/', '\\', '\0']) && file.ends_with(".safetensors");
        if !is_plain_name {
            let reason = format!(
                "maps {} to \"{}\", which is not the name of a .safetensors file in the folder",
                shorten(tensor),
                shorten(file)
            );
            return Err(error(reason));
        }
        weight_map.insert(tensor.clone(), file.to_owned());
    }
    Ok(weight_map)
}

struct Shard {
    path: PathBuf,
    map: Mmap,
    /// Where the tensors' bytes begin.
    data_start: usize,
}

struct Entry {
    shard: usize,
    /// The name in the file.
    name: String,
    info: TensorInfo,
}

impl Entry {
    fn bytes(&self) -> u64 {
        (self.info.data_offsets.1 - self.info.data_offsets.0) as u64
    }
}

/// How much of some files has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteProgress {
    /// Bytes read so far.
    pub done: u64,
    /// Bytes to read in all; where a model leaves tensors of its files alone, somewhat more than it reads.
    pub total: u64,
}

/// The opened weights of one model.
pub(crate) struct Checkpoint<'p> {
    folder: PathBuf,
    shards: Vec<Shard>,
    entries: HashMap<String, Entry>,
    loaded: Cell<u64>,
    total: u64,
    progress: RefCell<&'p mut dyn FnMut(ByteProgress)>,
}

impl<'p> Checkpoint<'p> {
    /// Opens the weights of a folder; `progress` is called after each tensor that is loaded.
    pub(crate) fn open(folder: &Path, progress: &'p mut dyn FnMut(ByteProgress)) -> Result<Self> {
        let WeightFiles { files, weight_map } = WeightFiles::find(folder)?;
        let mut shards = Vec::with_capacity(files.len());
        let mut entries: HashMap<String, Entry> = HashMap::new();
        let mut raw_names = BTreeSet::new();
        for path in files {
            let (shard, tensors) = open_shard(path)?;
            for (name, info) in tensors {
                let error = |reason: String| ModelError::Weights { path: shard.path.clone(), reason };
                if !raw_names.insert(name.clone()) {
                    return Err(error(format!("tensor {} is in another shard too", shorten(&name))));
                }
                let Some(canonical) = canonical_name(&name) else { continue };
                let entry = Entry { shard: shards.len(), name: name.clone(), info };
                if let Some(other) = entries.insert(canonical.to_owned(), entry) {
                    return Err(error(format!(
                        "tensors {} and {} are the same one under two names",
                        shorten(&name),
                        shorten(&other.name)
                    )));
                }
            }
            shards.push(shard);
        }
        for (tensor, file) in &weight_map {
            if !raw_names.contains(tensor) {
                let reason = format!("tensor {} is missing, though {INDEX_FILE} says it is here", shorten(tensor));
                return Err(ModelError::Weights { path: folder.join(file), reason });
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            shards,
            total: entries.values().map(|entry| entry.bytes()).sum(),
            entries,
            loaded: Cell::new(0),
            progress: RefCell::new(progress),
        })
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The tensor of a canonical name, converted. The pages it was read from are given back to the system.
    pub(crate) fn load(&self, name: &str, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        let Some(entry) = self.entries.get(name) else {
            return Err(ModelError::MissingTensor { folder: self.folder.clone(), name: name.to_owned() });
        };
        let shard = &self.shards[entry.shard];
        if entry.info.shape != shape {
            return Err(ModelError::TensorShape {
                path: shard.path.clone(),
                name: shorten(&entry.name),
                found: entry.info.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        let (start, end) = entry.info.data_offsets;
        let range = shard.data_start + start..shard.data_start + end;
        let bytes = &shard.map[range.clone()];
        let tensor = match entry.info.dtype {
            Dtype::BF16 => convert(bytes, shape, dtype, device, bf16::from_le_bytes, bf16::to_f32)?,
            Dtype::F16 => convert(bytes, shape, dtype, device, f16::from_le_bytes, f16::to_f32)?,
            Dtype::F32 => convert(bytes, shape, dtype, device, f32::from_le_bytes, |value| value)?,
            other => {
                return Err(ModelError::TensorDtype {
                    path: shard.path.clone(),
                    name: shorten(&entry.name),
                    dtype: format!("{other:?}"),
                });
            }
        };
        shard.release(range);
        self.loaded.set(self.loaded.get() + entry.bytes());
        (self.progress.borrow_mut())(ByteProgress { done: self.loaded.get(), total: self.total });
        Ok(tensor)
    }
}

fn open_shard(path: PathBuf) -> Result<(Shard, BTreeMap<String, TensorInfo>)> {
    let read_error = |source| ModelError::Read { path: path.clone(), source };
    let file = File::open(&path).map_err(read_error)?;
    let length = file.metadata().map_err(read_error)?.len();
    let error = |reason: String| ModelError::Weights { path: path.clone(), reason };
    if length < 8 {
        return Err(error(format!("has {length} bytes, too few for a safetensors header")));
    }
    // SAFETY: the map is only read. As with every memory map, another process that shortens the file while we read it
    // can end ours; weights come from a folder that its owner is asked to leave alone, and students of strangers are
    // downloaded by us into a folder of ours.
    let map = unsafe { Mmap::map(&file) }.map_err(read_error)?;
    let header_bytes = u64::from_le_bytes(map[..8].try_into().unwrap_or_default());
    if header_bytes > length - 8 {
        return Err(error(format!(
            "its header claims {header_bytes} bytes, the whole file has {length}: damaged or cut short"
        )));
    }
    let (header_bytes, metadata) =
        SafeTensors::read_metadata(&map).map_err(|e| error(format!("is not a sound safetensors file: {e}")))?;
    let tensors = metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
    Ok((Shard { data_start: 8 + header_bytes, path: path.clone(), map }, tensors))
}

impl Shard {
    /// Gives pages back that have been copied out, so that a model is never in memory twice.
    fn release(&self, range: std::ops::Range<usize>) {
        #[cfg(unix)]
        {
            const PAGE: usize = 4096;
            let start = range.start.next_multiple_of(PAGE);
            let end = range.end / PAGE * PAGE;
            if start < end {
                // SAFETY: the map is private, read-only and backed by a file, so pages dropped here are read from the
                // file again should anyone look.
                // The advice is only advice: a system that refuses it keeps the pages.
                let _ =
                    unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start) };
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

fn convert<T, const N: usize>(
    bytes: &[u8],
    shape: &[usize],
    dtype: DType,
    device: &Device,
    from_bytes: fn([u8; N]) -> T,
    to_f32: fn(T) -> f32,
) -> Result<Tensor>
where
    T: Copy + Send + Sync,
{
    let value = |chunk: &[u8]| from_bytes(chunk.try_into().unwrap_or([0; N]));
    let tensor = match dtype {
        DType::F32 => Tensor::from_vec(fill(bytes, N, 0.0, &|chunk| to_f32(value(chunk))), shape, device)?,
        DType::BF16 => {
            let values = fill(bytes, N, bf16::ZERO, &|chunk| bf16::from_f32(to_f32(value(chunk))));
            Tensor::from_vec(values, shape, device)?
        }
        DType::F16 => {
            let values = fill(bytes, N, f16::ZERO, &|chunk| f16::from_f32(to_f32(value(chunk))));
            Tensor::from_vec(values, shape, device)?
        }
        other => return Err(ModelError::InvalidRequest(format!("models run in f32, f16 or bf16, not {other:?}"))),
    };
    Ok(tensor)
}

fn fill<U: Copy + Send + Sync>(bytes: &[u8], width: usize, zero: U, value: &(dyn Fn(&[u8]) -> U + Sync)) -> Vec<U> {
    let mut out = vec![zero; bytes.len() / width];
    out.par_chunks_mut(CONVERT_CHUNK).zip(bytes.par_chunks(CONVERT_CHUNK * width)).for_each(|(out, bytes)| {
        for (out, chunk) in out.iter_mut().zip(bytes.chunks_exact(width)) {
            *out = value(chunk);
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::canonical_name;

    #[test]
    fn every_known_prefix_is_stripped_and_foreign_parts_are_left_out() {
        for name in [
            "layers.0.mlp.up_proj.weight",
            "model.layers.0.mlp.up_proj.weight",
            "model.language_model.layers.0.mlp.up_proj.weight",
            "language_model.model.layers.0.mlp.up_proj.weight",
            "model.language_model.language_model.layers.0.mlp.up_proj.weight",
        ] {
            assert_eq!(canonical_name(name), Some("layers.0.mlp.up_proj.weight"), "{name}");
        }
        assert_eq!(canonical_name("lm_head.weight"), Some("lm_head.weight"));
        assert_eq!(canonical_name("language_model.lm_head.weight"), Some("lm_head.weight"));
        for name in [
            "mtp.fc.weight",
            "model.visual.pos_embed.weight",
            "visual.merger.norm.weight",
            "model.layers.0.self_attn.rotary_emb.inv_freq",
        ] {
            assert_eq!(canonical_name(name), None, "{name}");
        }
    }
}
