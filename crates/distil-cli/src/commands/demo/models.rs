//! The models of the demo: two trained students and their teacher, which are part of the program, and what others make of
//! them: a pruned one, a copy in other files, a copy with a little noise.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use half::bf16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};

/// A repository's files by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelFiles(BTreeMap<String, Cow<'static, [u8]>>);

/// A tensor's name, dtype, shape and bytes.
type StoredTensor = (String, Dtype, Vec<usize>, Vec<u8>);

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

macro_rules! embedded {
    ($folder:literal) => {
        ModelFiles(
            [
                (CONFIG, &include_bytes!(concat!("../../../assets/tiny/", $folder, "/config.json"))[..]),
                (
                    "generation_config.json",
                    &include_bytes!(concat!("../../../assets/tiny/", $folder, "/generation_config.json"))[..],
                ),
                ("tokenizer.json", &include_bytes!(concat!("../../../assets/tiny/", $folder, "/tokenizer.json"))[..]),
                (WEIGHTS, &include_bytes!(concat!("../../../assets/tiny/", $folder, "/model.safetensors"))[..]),
            ]
            .map(|(name, bytes)| (name.to_owned(), Cow::Borrowed(bytes)))
            .into(),
        )
    };
}

/// The teacher: 2.2 million parameters, a mixture of eight experts.
pub(crate) fn teacher() -> ModelFiles {
    embedded!("teacher")
}

/// The better student.
pub(crate) fn good_student() -> ModelFiles {
    embedded!("student-a")
}

/// The worse student.
pub(crate) fn fair_student() -> ModelFiles {
    embedded!("student-b")
}

/// Passages to draw prompts from, as a list of strings.
pub(crate) const PROMPTS: &[u8] = include_bytes!("../../../assets/tiny/prompts.json");

impl ModelFiles {
    /// Writes the files into a folder, which is made.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (name, bytes) in &self.0 {
            let path = folder.join(name);
            std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn tensors(&self) -> anyhow::Result<Vec<StoredTensor>> {
        let bytes = self.0.get(WEIGHTS).ok_or_else(|| anyhow!("the model has no {WEIGHTS}"))?;
        let stored = SafeTensors::deserialize(bytes)?;
        let mut tensors: Vec<_> = stored
            .iter()
            .map(|(name, tensor)| (name.to_owned(), tensor.dtype(), tensor.shape().to_vec(), tensor.data().to_vec()))
            .collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(tensors)
    }

    fn with_config(mut self, change: impl FnOnce(&mut Value) -> anyhow::Result<()>) -> anyhow::Result<Self> {
        let mut config: Value = serde_json::from_slice(self.0.get(CONFIG).map_or(&[][..], |bytes| bytes))?;
        change(&mut config)?;
        self.0.insert(CONFIG.to_owned(), Cow::Owned(serde_json::to_vec_pretty(&config)?));
        Ok(self)
    }

    /// The model with one layer taken out, which leaves a smaller and worse one.
    pub(crate) fn without_layer(self, gone: usize) -> anyhow::Result<Self> {
        let mut kept = Vec::new();
        for (name, dtype, shape, bytes) in self.tensors()? {
            let Some((before, after)) = name.split_once(".layers.") else {
                kept.push((name, dtype, shape, bytes));
                continue;
            };
            let (number, rest) = after.split_once('.').ok_or_else(|| anyhow!("{name} names no layer"))?;
            let number: usize = number.parse().with_context(|| format!("{name} names no layer"))?;
            if number != gone {
                let number = if number > gone { number - 1 } else { number };
                kept.push((format!("{before}.layers.{number}.{rest}"), dtype, shape, bytes));
            }
        }
        let mut pruned = self.with_config(|config| {
            let types = config["layer_types"].as_array_mut().ok_or_else(|| anyhow!("no layer_types"))?;
            types.remove(gone);
            config["num_hidden_layers"] = json!(types.len());
            Ok(())
        })?;
        pruned.0.insert(WEIGHTS.to_owned(), Cow::Owned(stored(&kept)?));
        Ok(pruned)
    }

    /// The same weights in two files with an index: a copy, whatever its files are called.
    pub(crate) fn in_two_files(mut self) -> anyhow::Result<Self> {
        let tensors = self.tensors()?;
        let (first, second) = tensors.split_at(tensors.len() / 2);
        let mut weight_map = serde_json::Map::new();
        for (number, part) in [first, second].into_iter().enumerate() {
            let name = format!("model-{:05}-of-00002.safetensors", number + 1);
            weight_map.extend(part.iter().map(|(tensor, ..)| (tensor.clone(), json!(name))));
            self.0.insert(name, Cow::Owned(stored(part)?));
        }
        self.0.remove(WEIGHTS);
        let index = serde_json::to_vec_pretty(&json!({ "metadata": {}, "weight_map": weight_map }))?;
        self.0.insert("model.safetensors.index.json".to_owned(), Cow::Owned(index));
        Ok(self)
    }

    /// The same weights, each moved by at most `amount` of itself, up or down in turn: a copy that no hash finds.
    pub(crate) fn with_noise(mut self, amount: f32) -> anyhow::Result<Self> {
        let mut tensors = self.tensors()?;
        // A small linear congruential generator (Knuth's MMIX constants); any noise would do.
        let mut state = 1_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 24) as f32 * 2.0 - 1.0
        };
        for (_, dtype, _, bytes) in &mut tensors {
            if *dtype != Dtype::BF16 {
                continue;
            }
            for pair in bytes.chunks_exact_mut(2) {
                let value = bf16::from_le_bytes([pair[0], pair[1]]).to_f32();
                pair.copy_from_slice(&bf16::from_f32(value * (1.0 + amount * random())).to_le_bytes());
            }
        }
        self.0.insert(WEIGHTS.to_owned(), Cow::Owned(stored(&tensors)?));
        Ok(self)
    }
}

fn stored(tensors: &[StoredTensor]) -> anyhow::Result<Vec<u8>> {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    Ok(safetensors::serialize(views, Some(metadata))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_what_they_are_called() {
        let whole = fair_student();
        let pruned = whole.clone().without_layer(1).unwrap();
        let names = |model: &ModelFiles| -> Vec<String> {
            model.tensors().unwrap().into_iter().map(|(name, ..)| name).collect()
        };
        assert!(names(&whole).iter().any(|name| name.contains(".layers.3.")));
        assert!(!names(&pruned).iter().any(|name| name.contains(".layers.3.")));
        assert!(names(&pruned).len() < names(&whole).len());
        let config: Value = serde_json::from_slice(&pruned.0[CONFIG]).unwrap();
        assert_eq!((&config["num_hidden_layers"], config["layer_types"].as_array().unwrap().len()), (&json!(3), 3));

        let noisy = whole.clone().with_noise(0.01).unwrap();
        let (before, after) = (whole.tensors().unwrap(), noisy.tensors().unwrap());
        let changed = before.iter().zip(&after).filter(|(before, after)| before.3 != after.3).count();
        assert!(changed > before.len() / 2, "{changed} of {}", before.len());

        let split = whole.clone().in_two_files().unwrap();
        assert!(!split.0.contains_key(WEIGHTS));
        let parts: usize = split
            .0
            .iter()
            .filter(|(name, _)| name.ends_with(".safetensors"))
            .map(|(_, bytes)| SafeTensors::deserialize(bytes).unwrap().len())
            .sum();
        assert_eq!(parts, before.len());
    }
}
