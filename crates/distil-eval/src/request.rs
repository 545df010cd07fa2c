use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf};

use distil_model::{DType, Device, Sampling};
use distil_types::SubnetProfile;

/// Where a model lies, and what it is called in reports and records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSource {
    /// The name it is shown and recorded under; never a host's absolute path (see [`ModelSource::name_folders`]).
    pub name: String,
    /// Commit of its repository, when it came from one.
    pub revision: Option<String>,
    /// The folder with its `config.json` and safetensors files.
    pub folder: PathBuf,
}

impl ModelSource {
    /// Names folders by as few of their last path components as tell them apart.
    ///
    /// `runs/a/final` and `runs/b/final` become `a/final` and `b/final`; a folder with a last component of its
    /// own is called by that alone. The same folder named twice keeps one name.
    ///
    /// ```
    /// use distil_eval::ModelSource;
    /// let named = ModelSource::name_folders(["/data/teacher", "/data/a/final", "/data/b/final/"]);
    /// let names: Vec<_> = named.iter().map(|model| model.name.as_str()).collect();
    /// assert_eq!(names, ["teacher", "a/final", "b/final"]);
    /// ```
    pub fn name_folders<P: Into<PathBuf>>(folders: impl IntoIterator<Item = P>) -> Vec<Self> {
        let folders: Vec<PathBuf> = folders.into_iter().map(Into::into).collect();
        let components: Vec<Vec<String>> = folders.iter().map(|folder| components(folder)).collect();
        let mut depth = vec![1_usize; folders.len()];
        loop {
            let names: Vec<String> =
                components.iter().zip(&depth).map(|(parts, depth)| suffix(parts, *depth)).collect();
            let mut holders: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for (index, name) in names.iter().enumerate() {
                holders.entry(name).or_default().push(index);
            }
            let mut grew = false;
            for indices in holders.values() {
                let same = indices.iter().all(|index| components[*index] == components[indices[0]]);
                if same {
                    continue;
                }
                for index in indices {
                    if depth[*index] < components[*index].len() {
                        depth[*index] += 1;
                        grew = true;
                    }
                }
            }
            if !grew {
                return names
                    .into_iter()
                    .zip(folders)
                    .map(|(name, folder)| Self { name, revision: None, folder })
                    .collect();
            }
        }
    }
}

/// The names in a path, `.` and `..` resolved where the folder exists.
fn components(folder: &std::path::Path) -> Vec<String> {
    let plain = |path: &std::path::Path| -> Vec<String> {
        path.components()
            .filter_map(|part| match part {
                std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
                _ => None,
            })
            .collect()
    };
    let has_dots =
        folder.components().any(|part| matches!(part, std::path::Component::CurDir | std::path::Component::ParentDir));
    if (has_dots || plain(folder).is_empty())
        && let Ok(resolved) = folder.canonicalize()
    {
        return plain(&resolved);
    }
    plain(folder)
}

fn suffix(parts: &[String], depth: usize) -> String {
    if parts.is_empty() {
        return "model".to_owned();
    }
    parts[parts.len() - depth.min(parts.len())..].join("/")
}

/// A text for the teacher to continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// What the prompt is known by, for example its file and row.
    pub id: String,
    /// The text, taken as it is.
    pub text: String,
}

impl Prompt {
    /// Prompts with their place in the list as id: `"0"`, `"1"`, …
    pub fn numbered<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Vec<Self> {
        texts.into_iter().enumerate().map(|(index, text)| Self { id: index.to_string(), text: text.into() }).collect()
    }
}

/// How a run is done. [`ScoreSettings::cpu`] gives the protocol's values.
#[derive(Debug, Clone)]
pub struct ScoreSettings {
    /// Prompts longer than this many tokens are cut to it.
    pub max_prompt_tokens: usize,
    /// The teacher continues a prompt by up to this many tokens.
    pub max_new_tokens: usize,
    /// How the teacher picks tokens; greedy by the protocol.
    pub sampling: Sampling,
    /// Whether a student that trails the reference beyond doubt stops early.
    pub early_stop: bool,
    /// Whose rules hold: its floor says which reference may stop others.
    pub profile: SubnetProfile,
    /// Where the models run.
    pub device: Device,
    /// What the models compute in.
    pub dtype: DType,
    /// Threads of the KL kernel. The models' own products run on rayon's threads.
    pub threads: NonZeroUsize,
    /// Tokens that go through a model at once; bounds the memory of a pass. A longer sequence goes alone.
    pub batch_tokens: usize,
    /// Memory for the states of prompts that are continued at once.
    pub cache_budget_bytes: usize,
    /// Whether to take SHA-256 digests of every model's files, which a record needs and costs a read of them.
    pub digest_weights: bool,
}

impl ScoreSettings {
    /// The protocol's values on the CPU in f32: 1,024 prompt tokens, 512 new tokens, greedy, no early stop.
    pub fn cpu(threads: NonZeroUsize) -> Self {
        Self {
            max_prompt_tokens: 1024,
            max_new_tokens: 512,
            sampling: Sampling::Greedy,
            early_stop: false,
            profile: SubnetProfile::sn97(),
            device: Device::Cpu,
            dtype: DType::F32,
            threads,
            batch_tokens: 2048,
            cache_budget_bytes: 512 << 20,
            digest_weights: false,
        }
    }
}

/// All that a run needs.
#[derive(Debug, Clone)]
pub struct ScoreRequest {
    /// The model to be matched.
    pub teacher: ModelSource,
    /// The models to be scored, in the order of their commitment.
    pub students: Vec<ModelSource>,
    /// What the teacher continues.
    pub prompts: Vec<Prompt>,
    /// How.
    pub settings: ScoreSettings,
}
