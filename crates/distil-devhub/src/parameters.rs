//! Counts parameters by dtype from safetensors headers, as the Hub's `safetensors` field has them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use crate::repository::TakenFolder;
use crate::store::BlobStore;

/// Longest header that is read.
const LONGEST_HEADER_BYTES: u64 = 25_000_000;
/// Largest index that is read.
const LARGEST_INDEX_BYTES: u64 = 25_000_000;

/// Number of parameters of each dtype.
pub(crate) type ParameterCount = BTreeMap<String, u64>;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<u64>,
}

/// Counts `model.safetensors`, or else all files that `model.safetensors.index.json` names. `None` where there is
/// neither, or anything does not parse: the Hub then leaves the field out.
pub(crate) fn count(files: &TakenFolder, store: &BlobStore) -> Option<ParameterCount> {
    let shards = if files.contains_key("model.safetensors") {
        BTreeSet::from(["model.safetensors".to_owned()])
    } else {
        let index =
            files.get("model.safetensors.index.json").filter(|index| index.size_bytes <= LARGEST_INDEX_BYTES)?;
        let index: Index = serde_json::from_slice(&fs::read(store.path(&index.sha256)).ok()?).ok()?;
        index.weight_map.into_values().collect()
    };
    let mut total = ParameterCount::new();
    for shard in shards {
        let header = read_header(&store.path(&files.get(&shard)?.sha256)).ok()?;
        let header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&header).ok()?;
        for (_, value) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
            let tensor: Tensor = serde_json::from_value(value).ok()?;
            let elements = tensor.shape.iter().try_fold(1u64, |product, length| product.checked_mul(*length))?;
            let sum = total.entry(tensor.dtype).or_default();
            *sum = sum.checked_add(elements)?;
        }
    }
    Some(total)
}

fn read_header(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header)?;
    if header.len() as u64 == length { Ok(header) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
