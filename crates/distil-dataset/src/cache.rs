//! What was learnt of a dataset at one commit, kept on disk: its list of files, and the footers of those drawn.

use crate::DatasetError;
use distil_hub::{Hub, RepoAt};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

/// Larger entries are not read: a listing of 100,000 files takes 20 MB.
const MAX_ENTRY_BYTES: u64 = 512 << 20;
const FORMAT: &str = "distil-dataset cache 1";

/// The folder of one commit. An entry that is damaged counts as absent; it is never believed.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Of a commit, as a Hub tells it: what a mirror says is kept apart.
    pub(crate) fn new(root: &Path, hub: &Hub, at: &RepoAt) -> Cache {
        let endpoint = &digest(hub.settings().endpoint.as_bytes())[..16];
        let repo = format!("{}--{}", at.repo.owner(), at.repo.name());
        Cache { folder: root.join(endpoint).join(repo).join(at.revision.as_str()) }
    }

    fn path(&self, kind: &str, key: &str) -> PathBuf {
        self.folder.join(kind).join(format!("{}.json", digest(key.as_bytes())))
    }

    /// What is kept under a key, if it is whole.
    pub(crate) fn read<T: DeserializeOwned>(&self, kind: &str, key: &str) -> Option<T> {
        let mut text = Vec::new();
        File::open(self.path(kind, key)).ok()?.take(MAX_ENTRY_BYTES).read_to_end(&mut text).ok()?;
        let end = text.iter().position(|byte| *byte == b'\n')?;
        let (head, body) = (&text[..end], &text[end + 1..]);
        if head != header(body).as_bytes() {
            return None;
        }
        serde_json::from_slice(body).ok()
    }

    /// Keeps a value under a key, as a whole or not at all.
    pub(crate) fn write<T: Serialize>(&self, kind: &str, key: &str, value: &T) -> Result<(), DatasetError> {
        let path = self.path(kind, key);
        let body = serde_json::to_vec(value).expect("numbers and strings can be written");
        let write = || -> std::io::Result<()> {
            let folder = path.parent().expect("entries lie in a folder");
            fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(header(&body).as_bytes())?;
            file.write_all(b"\n")?;
            file.write_all(&body)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|source| DatasetError::Write { path: path.clone(), source })
    }
}

fn header(body: &[u8]) -> String {
    format!("{FORMAT} {}", digest(body))
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("strings take all");
        text
    })
}
