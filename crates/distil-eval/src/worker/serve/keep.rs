//! What a worker keeps of teachers between passes: their states, and their output heads apart from all else of them.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use distil_model::{Device, LoadOptions, ModelConfig, OutputHead};
use sha2::{Digest as _, Sha256};

use super::failure::Failure;
use crate::{
    EvalError, TeacherCache, TeacherPass,
    atomic::{staging_folder, sync_folder},
    sequence::hex,
    worker::{CacheKey, TeacherCacheId},
};

/// How many teachers' states are kept, and how many heads; the oldest go first.
const KEPT_STATES: usize = 4;
const KEPT_HEADS: usize = 2;
const STATES: &str = "safetensors";
const HEAD: &str = "head";

/// A folder with `KEY.safetensors` for each teacher pass and `DIGEST-DTYPE.head` for each output head: a folder that is
/// a model's with all tensors but one left out, so that a head is loaded from it in the usual way.
pub(super) struct Keep {
    root: PathBuf,
}

impl Keep {
    pub(super) fn open() -> Result<Self, Failure> {
        let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = folder("DISTIL_WORKER_CACHE")
            .or_else(|| folder("XDG_CACHE_HOME").map(|caches| caches.join("distil/worker")))
            .or_else(|| folder("HOME").map(|home| home.join(".cache/distil/worker")));
        let Some(root) = root else {
            return Err(Failure::host(
                "neither DISTIL_WORKER_CACHE nor HOME is set: there is no folder to keep states in",
            ));
        };
        fs::create_dir_all(&root).map_err(|error| Failure::host(format!("can't make {}: {error}", root.display())))?;
        Ok(Self { root })
    }

    fn states(&self, key: &CacheKey) -> PathBuf {
        self.root.join(format!("{key}.{STATES}"))
    }

    fn head(&self, digest: &str, dtype: &str) -> PathBuf {
        self.root.join(format!("{digest}-{dtype}.{HEAD}"))
    }

    /// Keeps a teacher's states and head, and gives the digest of the states' file.
    pub(super) fn save(&self, key: &CacheKey, pass: &TeacherPass, teacher: &Path) -> Result<String, EvalError> {
        let cache = pass.cache();
        let head = self.head(&cache.teacher().head_digest, cache.dtype().as_str());
        if !head.is_dir() {
            write_head(&self.root, &head, pass.head(), teacher)?;
        }
        let states = self.states(key);
        cache.save(&states)?;
        let digest = file_digest(&states).map_err(|source| EvalError::Read { path: states.clone(), source })?;
        self.forget(STATES, KEPT_STATES, &states);
        self.forget(HEAD, KEPT_HEADS, &head);
        Ok(digest)
    }

    /// What stands for the teacher, if it is all there and just what was asked for.
    pub(super) fn load(&self, id: &TeacherCacheId, device: &Device) -> Result<TeacherPass, Failure> {
        let states = self.states(&id.key);
        match file_digest(&states) {
            Ok(found) if found == id.digest => {}
            Ok(_) => return Err(Failure::cache_missing(format!("what it keeps under {} are others", id.key))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::cache_missing(format!("it keeps nothing under {}", id.key)));
            }
            Err(error) => return Err(Failure::host(format!("can't read {}: {error}", states.display()))),
        }
        let cache = TeacherCache::load(&states, device).map_err(|error| match error {
            EvalError::Cache { .. } => Failure::cache_missing(error.to_string()),
            error => Failure::host(error.to_string()),
        })?;
        let folder = self.head(&cache.teacher().head_digest, cache.dtype().as_str());
        if !folder.is_dir() {
            return Err(Failure::cache_missing("the teacher's output head is not there"));
        }
        let options = LoadOptions { device: device.clone(), dtype: cache.dtype() };
        let head = OutputHead::load(&folder, &options).map_err(EvalError::from);
        head.and_then(|head| TeacherPass::from_cache(cache, head)).map_err(|error| match error {
            EvalError::Model(distil_model::ModelError::Tensor(error)) => Failure::host(error.to_string()),
            EvalError::Tensor(error) => Failure::host(error.to_string()),
            error => {
                // Else the next teacher pass would take it for a good one.
                let _ = fs::remove_dir_all(&folder);
                Failure::cache_missing(error.to_string())
            }
        })
    }

    /// Removes the oldest of a kind; what can't be removed stays.
    fn forget(&self, extension: &str, kept: usize, newest: &Path) {
        let Ok(entries) = fs::read_dir(&self.root) else { return };
        let mut found: Vec<(SystemTime, PathBuf)> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path != newest && path.extension().is_some_and(|found| found == extension))
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        found.sort();
        let surplus = (found.len() + 1).saturating_sub(kept);
        for (_, path) in found.into_iter().take(surplus) {
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
}

/// Writes a folder from which [`OutputHead::load`] reads a head.
fn write_head(root: &Path, folder: &Path, head: &OutputHead, teacher: &Path) -> Result<(), EvalError> {
    let name = if ModelConfig::load(teacher)?.tie_word_embeddings { "embed_tokens.weight" } else { "lm_head.weight" };
    let weight = head.weight().to_device(&Device::Cpu)?;
    let run = || -> io::Result<()> {
        let staging = staging_folder(root)?;
        for file in ["config.json", "generation_config.json"] {
            match fs::copy(teacher.join(file), staging.path().join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let weights = staging.path().join("model.safetensors");
        safetensors::serialize_to_file([(name, &weight)], None, &weights).map_err(io::Error::other)?;
        File::open(&weights)?.sync_all()?;
        match fs::rename(staging.path(), folder) {
            // Another worker was faster; its head has the same digest.
            Err(_) if folder.is_dir() => Ok(()),
            other => other,
        }?;
        sync_folder(root)
    };
    run().map_err(|source| EvalError::Write { path: folder.to_owned(), source })
}

fn file_digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            count => hasher.update(&buffer[..count]),
        }
    }
}
