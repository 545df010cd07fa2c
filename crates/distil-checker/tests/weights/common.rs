//! What the tests share: models on disk taken apart into tensors, altered, and written again in other ways.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use distil_checker::{LocalModel, ModelDigest, digest_model};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tempfile::TempDir;

pub(crate) fn tiny(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/tiny").join(name)
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../distil-model/tests/fixtures").join(name)
}

pub(crate) fn two() -> NonZeroUsize {
    NonZeroUsize::new(2).unwrap()
}

pub(crate) fn digest(folder: &Path) -> ModelDigest {
    digest_model(&LocalModel::open(folder).unwrap(), two(), &mut |_| {}).unwrap()
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<u8>,
}

impl Tensor {
    pub(crate) fn values(&self) -> Vec<f32> {
        let pairs = self.data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        match self.dtype {
            Dtype::BF16 => pairs.map(|bits| half::bf16::from_bits(bits).to_f32()).collect(),
            Dtype::F16 => pairs.map(|bits| half::f16::from_bits(bits).to_f32()).collect(),
            Dtype::F32 => self.data.chunks_exact(4).map(|quad| f32::from_le_bytes(quad.try_into().unwrap())).collect(),
            other => panic!("{other}"),
        }
    }

    pub(crate) fn with_values(&self, dtype: Dtype, values: &[f32]) -> Tensor {
        let data = match dtype {
            Dtype::BF16 => values.iter().flat_map(|value| half::bf16::from_f32(*value).to_le_bytes()).collect(),
            Dtype::F16 => values.iter().flat_map(|value| half::f16::from_f32(*value).to_le_bytes()).collect(),
            Dtype::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            other => panic!("{other}"),
        };
        Tensor { dtype, shape: self.shape.clone(), data }
    }

    pub(crate) fn to(&self, dtype: Dtype) -> Tensor {
        self.with_values(dtype, &self.values())
    }

    /// `[first, …]` as `first` tensors `[…]`.
    pub(crate) fn unstack(&self) -> Vec<Tensor> {
        let pieces = self.data.chunks_exact(self.data.len() / self.shape[0]);
        pieces
            .map(|piece| Tensor { dtype: self.dtype, shape: self.shape[1..].to_vec(), data: piece.to_vec() })
            .collect()
    }
}

/// A model in memory.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) config: serde_json::Value,
    pub(crate) tensors: BTreeMap<String, Tensor>,
}

impl Model {
    pub(crate) fn load(folder: &Path) -> Model {
        let config = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
        let mut tensors = BTreeMap::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if !name.starts_with("model") || !name.ends_with(".safetensors") {
                continue;
            }
            let content = fs::read(&path).unwrap();
            for (name, view) in SafeTensors::deserialize(&content).unwrap().tensors() {
                let tensor = Tensor { dtype: view.dtype(), shape: view.shape().to_vec(), data: view.data().to_vec() };
                tensors.insert(name, tensor);
            }
        }
        Model { config, tensors }
    }

    /// All names changed.
    pub(crate) fn renamed(&self, rename: impl Fn(&str) -> String) -> Model {
        let tensors = self.tensors.iter().map(|(name, tensor)| (rename(name), tensor.clone())).collect();
        Model { config: self.config.clone(), tensors }
    }

    /// All tensors changed.
    pub(crate) fn map(&self, change: impl Fn(&str, &Tensor) -> Tensor) -> Model {
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.clone(), change(name, tensor))).collect();
        Model { config: self.config.clone(), tensors }
    }

    /// One file, in the order of safetensors.
    pub(crate) fn save(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        self.write_config(folder.path());
        let views = self.tensors.iter().map(|(name, tensor)| (name, view(tensor)));
        fs::write(folder.path().join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
        folder
    }

    /// In shards named by `shard_of`, the tensors of each laid out from the last name to the first, one after the other.
    pub(crate) fn save_in_shards(&self, shard_of: impl Fn(usize) -> String) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        self.write_config(folder.path());
        let mut shards: BTreeMap<String, Vec<(&String, &Tensor)>> = BTreeMap::new();
        let mut weight_map = BTreeMap::new();
        for (index, (name, tensor)) in self.tensors.iter().enumerate() {
            shards.entry(shard_of(index)).or_default().push((name, tensor));
            weight_map.insert(name, shard_of(index));
        }
        for (shard, tensors) in shards {
            let (mut fields, mut data) = (Vec::new(), Vec::new());
            for (name, tensor) in tensors.into_iter().rev() {
                let (start, dtype, shape) = (data.len(), tensor.dtype.to_string(), &tensor.shape);
                data.extend_from_slice(&tensor.data);
                let end = data.len();
                fields.push(format!(
                    r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
                ));
            }
            let header = format!("{{{}}}", fields.join(","));
            let mut file = (header.len() as u64).to_le_bytes().to_vec();
            file.extend_from_slice(header.as_bytes());
            file.extend_from_slice(&data);
            fs::write(folder.path().join(shard), file).unwrap();
        }
        let index = serde_json::json!({"metadata": {}, "weight_map": weight_map});
        fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
        folder
    }

    fn write_config(&self, folder: &Path) {
        fs::write(folder.join("config.json"), self.config.to_string()).unwrap();
    }
}

fn view(tensor: &Tensor) -> TensorView<'_> {
    TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.data).unwrap()
}
