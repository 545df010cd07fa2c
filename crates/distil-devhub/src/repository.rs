//! A repository: its commits, and what each of them holds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::DevHubError;
use crate::git::{self, ObjectId};
use crate::parameters::{self, ParameterCount};
use crate::store::{Blob, BlobStore};

/// Who may see a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Everyone.
    Public,
    /// Who sends an accepted token; for all others it does not exist.
    Private,
    /// Everyone sees what it holds; who sends an accepted token may download.
    Gated,
}

/// Files of more bytes than this are held by LFS, whatever their name.
const LFS_THRESHOLD_BYTES: u64 = 10_000_000;

/// Extensions that a new repository's `.gitattributes` gives to LFS.
const LFS_EXTENSIONS: [&str; 37] = [
    "7z",
    "arrow",
    "bin",
    "bz2",
    "ckpt",
    "ftz",
    "gguf",
    "gz",
    "h5",
    "joblib",
    "mlmodel",
    "model",
    "msgpack",
    "npy",
    "npz",
    "onnx",
    "ot",
    "parquet",
    "pb",
    "pickle",
    "pkl",
    "pt",
    "pth",
    "rar",
    "safetensors",
    "tar",
    "tfevents",
    "tflite",
    "tgz",
    "wasm",
    "xz",
    "zip",
    "zst",
    "avro",
    "orc",
    "lz4",
    "duckdb",
];

#[derive(Debug, Clone)]
pub(crate) struct FileEntry {
    pub(crate) blob: Blob,
    /// What git holds: the file's own id, or that of its LFS pointer.
    pub(crate) git_id: ObjectId,
    /// Size of the LFS pointer; `None` where git itself holds the file.
    pub(crate) lfs_pointer_bytes: Option<u64>,
    /// The commit that last changed this file.
    pub(crate) changed_in: CommitStamp,
}

#[derive(Debug, Clone)]
pub(crate) struct FolderEntry {
    pub(crate) git_id: ObjectId,
    pub(crate) changed_in: CommitStamp,
}

/// Which commit, and its place in the history, from 0, which also gives its date.
#[derive(Debug, Clone)]
pub(crate) struct CommitStamp {
    pub(crate) id: Arc<str>,
    pub(crate) depth: u64,
}

impl CommitStamp {
    /// The first commit of every repository is made at this moment, each later one a minute after its parent: ids must
    /// not depend on a clock. 2026-01-01T00:00:00Z.
    const FIRST_UNIX_SECONDS: u64 = 1_767_225_600;

    fn unix_seconds(depth: u64) -> u64 {
        Self::FIRST_UNIX_SECONDS + 60 * depth
    }

    pub(crate) fn title(&self) -> &'static str {
        title(self.depth)
    }

    /// As the Hub writes it: `2026-01-01T00:00:00.000Z`.
    pub(crate) fn date(&self) -> String {
        let (minutes, mut days, mut year) = (self.depth % 1440, self.depth / 1440, 2026);
        loop {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for (month, length) in [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].iter().enumerate()
            {
                if days < *length {
                    let (month, day) = (month + 1, days + 1);
                    return format!("{year}-{month:02}-{day:02}T{:02}:{:02}:00.000Z", minutes / 60, minutes % 60);
                }
                days -= length;
            }
            year += 1;
        }
    }
}

fn title(depth: u64) -> &'static str {
    if depth == 0 { "initial commit" } else { "Upload folder" }
}

/// A repository as one commit has it.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) stamp: CommitStamp,
    pub(crate) files: BTreeMap<String, FileEntry>,
    /// Every folder but the root.
    pub(crate) folders: BTreeMap<String, FolderEntry>,
    /// Counted from the safetensors headers, where they parse.
    pub(crate) parameters: Option<ParameterCount>,
}

impl Commit {
    /// True where it has these files and no others.
    pub(crate) fn holds(&self, taken: &TakenFolder) -> bool {
        self.files
            .iter()
            .map(|(path, entry)| (path, &entry.blob.sha256))
            .eq(taken.iter().map(|(path, blob)| (path, &blob.sha256)))
    }
}

#[derive(Debug)]
pub(crate) struct Repository {
    /// All that are still known, oldest first; the last one is the head of `main`.
    commits: Vec<Arc<Commit>>,
    /// Number of commits ever made.
    next_depth: u64,
    pub(crate) visibility: Visibility,
    pub(crate) removed: bool,
    /// The content of its LFS files is gone; what git holds is not.
    pub(crate) content_lost: bool,
}

/// The content of a folder, taken into the store.
pub(crate) type TakenFolder = BTreeMap<String, Blob>;

impl Repository {
    pub(crate) fn new() -> Self {
        let visibility = Visibility::Public;
        Repository { commits: Vec::new(), next_depth: 0, visibility, removed: false, content_lost: false }
    }

    pub(crate) fn head(&self) -> Option<&Arc<Commit>> {
        self.commits.last()
    }

    /// The commit of `main` or of 40 hex digits.
    pub(crate) fn commit(&self, revision: &str) -> Option<&Arc<Commit>> {
        if matches!(revision, "main" | "refs/heads/main") {
            return self.head();
        }
        self.commits.iter().find(|commit| &*commit.stamp.id == revision)
    }

    /// Adds a commit that holds these files and nothing else.
    pub(crate) fn commit_folder(&mut self, taken: TakenFolder, store: &BlobStore) -> Arc<Commit> {
        let parameters = parameters::count(&taken, store);
        let files: BTreeMap<String, (ObjectId, Option<u64>, Blob)> = taken
            .into_iter()
            .map(|(path, blob)| {
                if is_lfs(&path, blob.size_bytes) {
                    let pointer = git::lfs_pointer(&blob.sha256, blob.size_bytes);
                    (path, (git::blob_id(pointer.as_bytes()), Some(pointer.len() as u64), blob))
                } else {
                    (path, (blob.git_id, None, blob))
                }
            })
            .collect();
        let mut trees = git::tree_ids(files.iter().map(|(path, (id, _, _))| (path.as_str(), *id)));
        let root = trees.remove("").unwrap_or_else(git::empty_tree_id);

        let depth = self.next_depth;
        let parent = self.head().cloned();
        let parent_id = parent.as_ref().map(|parent| &*parent.stamp.id);
        let id = git::commit_id(root, parent_id, CommitStamp::unix_seconds(depth), title(depth)).hex();
        let stamp = CommitStamp { id: id.into(), depth };
        let before = parent.as_deref();
        let files = files.into_iter().map(|(path, (git_id, lfs_pointer_bytes, blob))| {
            let same = before.and_then(|commit| commit.files.get(&path)).filter(|entry| entry.git_id == git_id);
            let changed_in = same.map_or_else(|| stamp.clone(), |entry| entry.changed_in.clone());
            (path, FileEntry { blob, git_id, lfs_pointer_bytes, changed_in })
        });
        let folders = trees.into_iter().map(|(path, git_id)| {
            let same = before.and_then(|commit| commit.folders.get(&path)).filter(|entry| entry.git_id == git_id);
            let changed_in = same.map_or_else(|| stamp.clone(), |entry| entry.changed_in.clone());
            (path, FolderEntry { git_id, changed_in })
        });
        let (files, folders) = (files.collect(), folders.collect());
        let commit = Arc::new(Commit { stamp, files, folders, parameters });
        self.commits.push(Arc::clone(&commit));
        self.next_depth += 1;
        commit
    }

    /// Drops a commit from the history; false where there is none of this id.
    pub(crate) fn forget(&mut self, commit: &str) -> bool {
        let before = self.commits.len();
        self.commits.retain(|known| &*known.stamp.id != commit);
        self.commits.len() < before
    }
}

fn is_lfs(path: &str, size_bytes: u64) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    size_bytes > LFS_THRESHOLD_BYTES
        || name == "tokenizer.json"
        || extension.is_some_and(|extension| LFS_EXTENSIONS.contains(&extension.as_str()))
}

/// Takes all files below a folder into the store. Links to files are followed, as an upload does; `.git` folders are
/// passed over.
pub(crate) fn take_folder(folder: &Path, store: &BlobStore) -> Result<TakenFolder, DevHubError> {
    let mut taken = TakenFolder::new();
    let mut waiting: Vec<(PathBuf, String)> = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = waiting.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| DevHubError::file(&folder, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| DevHubError::file(&folder, error))?;
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(DevHubError::Content { path, problem: "its name is not UTF-8" });
            };
            let is_folder = entry.file_type().map_err(|error| DevHubError::file(&path, error))?.is_dir();
            if is_folder {
                if name != ".git" {
                    waiting.push((path, format!("{prefix}{name}/")));
                }
                continue;
            }
            if !fs::metadata(&path).map_err(|error| DevHubError::file(&path, error))?.is_file() {
                return Err(DevHubError::Content {
                    path,
                    problem: "it is neither a file, a link to one, nor a folder",
                });
            }
            taken.insert(format!("{prefix}{name}"), store.add(&path)?);
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        let date = |depth| CommitStamp { id: "".into(), depth }.date();
        assert_eq!(date(0), "2026-01-01T00:00:00.000Z");
        assert_eq!(date(61), "2026-01-01T01:01:00.000Z");
        assert_eq!(date(1440 * 59), "2026-03-01T00:00:00.000Z");
        assert_eq!(date(1440 * (365 + 365 + 59)), "2028-02-29T00:00:00.000Z");
    }

    #[test]
    fn lfs_goes_by_name_and_size() {
        assert!(is_lfs("a/model.safetensors", 1) && is_lfs("tokenizer.json", 1) && is_lfs("notes.txt", 10_000_001));
        assert!(is_lfs("PYTORCH_MODEL.BIN", 1));
        assert!(!is_lfs("config.json", 10_000_000) && !is_lfs("bin", 1) && !is_lfs("x/my_tokenizer.json", 1));
    }
}
