use std::collections::BTreeMap;

use distil_hub::{RepoAt, RepoFile, Sha256Digest, Snapshot};
use serde::{Deserialize, Serialize};

use crate::text::quoted;

/// True for the files at the top of a repository that decide what a loader makes of it: `config.json`,
/// `generation_config.json`, the index, and every safetensors file, since a new `model.safetensors` would be taken before
/// the shards that an index names.
pub fn is_loader_file(path: &str) -> bool {
    let is_named = matches!(path, "config.json" | "generation_config.json" | "model.safetensors.index.json");
    is_named || path.ends_with(".safetensors") && !path.contains('/')
}

/// What a repository held when it was judged, to hold later looks against. To be stored with the judgement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectedRepository {
    /// The repository and the commit.
    pub at: RepoAt,
    /// Its [loader's files](is_loader_file), by path.
    pub files: BTreeMap<String, ExpectedFile>,
    /// It was private already.
    pub private: bool,
    /// It was gated already.
    pub gated: bool,
    /// The mark of the Hub's answer, for a conditional request.
    pub etag: Option<String>,
}

/// One file as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedFile {
    /// Its length.
    pub size_bytes: u64,
    /// SHA-256 of its LFS record, where there is one.
    pub sha256: Option<Sha256Digest>,
    /// Git's id of its blob, where the Hub tells it.
    pub git_oid: Option<String>,
}

impl ExpectedRepository {
    /// What a snapshot holds.
    pub fn of(snapshot: &Snapshot) -> Self {
        Self {
            at: snapshot.at.clone(),
            files: loader_files(snapshot),
            private: snapshot.private,
            gated: snapshot.gated,
            etag: snapshot.etag.clone(),
        }
    }

    /// The loader's files, as the Hub listed them.
    pub(super) fn listed(&self) -> impl Iterator<Item = RepoFile> {
        self.files.iter().map(|(path, file)| RepoFile {
            path: path.clone(),
            size: file.size_bytes,
            sha256: file.sha256,
            git_oid: file.git_oid.clone(),
        })
    }

    /// The first difference to another look at the same commit, if any; an error if the Hub tells too little to say.
    pub(super) fn difference(&self, snapshot: &Snapshot) -> Result<Option<String>, String> {
        let now = loader_files(snapshot);
        if let Some(path) = self.files.keys().find(|path| !now.contains_key(*path)) {
            return Ok(Some(format!("{} is gone", quoted(path))));
        }
        let mut unknown = None;
        for (path, file) in &now {
            let Some(expected) = self.files.get(path) else {
                return Ok(Some(format!("{} is new", quoted(path))));
            };
            if expected.size_bytes != file.size_bytes {
                let (was, is) = (expected.size_bytes, file.size_bytes);
                return Ok(Some(format!("{} had {was} bytes and has {is}", quoted(path))));
            }
            match (&expected.sha256, &file.sha256, &expected.git_oid, &file.git_oid) {
                (Some(was), Some(is), _, _) if was != is => {
                    return Ok(Some(format!("{} had SHA-256 {was} and has {is}", quoted(path))));
                }
                (Some(_), Some(_), _, _) => {}
                (None, None, Some(was), Some(is)) if was != is => {
                    return Ok(Some(format!("{} had git's id {} and has {}", quoted(path), quoted(was), quoted(is))));
                }
                (None, None, Some(_), Some(_)) => {}
                _ => unknown = unknown.or(Some(path)),
            }
        }
        match unknown {
            Some(path) => Err(format!("the Hub tells no hash of {} that could be compared", quoted(path))),
            None => Ok(None),
        }
    }
}

fn loader_files(snapshot: &Snapshot) -> BTreeMap<String, ExpectedFile> {
    let expected =
        |file: &RepoFile| ExpectedFile { size_bytes: file.size, sha256: file.sha256, git_oid: file.git_oid.clone() };
    snapshot
        .files
        .iter()
        .filter(|file| is_loader_file(&file.path))
        .map(|file| (file.path.clone(), expected(file)))
        .collect()
}
