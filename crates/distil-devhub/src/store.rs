//! The bytes of all files ever published, each once, in a temporary folder under the SHA-256 of its content.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::DevHubError;
use crate::git::{BlobHasher, ObjectId, hex};

#[derive(Debug)]
pub(crate) struct BlobStore {
    folder: tempfile::TempDir,
    next_temporary: AtomicU64,
    sizes_bytes: Mutex<BTreeMap<String, u64>>,
}

/// A file of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    /// 64 hex digits.
    pub(crate) sha256: String,
    pub(crate) git_id: ObjectId,
    pub(crate) size_bytes: u64,
}

impl BlobStore {
    pub(crate) fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("distil-devhub-").tempdir()?;
        Ok(BlobStore { folder, next_temporary: AtomicU64::new(0), sizes_bytes: Mutex::default() })
    }

    /// Takes a file's content as it is now. It is copied, never linked: a file that is later written in place would
    /// change under its name. Where the file system can share blocks between files the copy costs nothing.
    pub(crate) fn add(&self, source: &Path) -> Result<Blob, DevHubError> {
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.path().join(format!("taking-{number}"));
        let size_bytes = fs::copy(source, &temporary).map_err(|error| DevHubError::file(source, error))?;
        let blob = hash(&temporary, size_bytes).map_err(|error| DevHubError::file(&temporary, error))?;
        let place = self.path(&blob.sha256);
        fs::rename(&temporary, &place).map_err(|error| DevHubError::file(&place, error))?;
        self.sizes().insert(blob.sha256.clone(), blob.size_bytes);
        Ok(blob)
    }

    fn sizes(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u64>> {
        self.sizes_bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The size of a blob; `None` where there is none of this digest.
    pub(crate) fn size_bytes(&self, sha256: &str) -> Option<u64> {
        self.sizes().get(sha256).copied()
    }

    /// Where a blob lies. The digest is one that [`BlobStore::size_bytes`] or [`BlobStore::add`] knows: one from a
    /// request may be any text.
    pub(crate) fn path(&self, sha256: &str) -> PathBuf {
        self.folder.path().join(sha256)
    }
}

fn hash(path: &Path, size_bytes: u64) -> io::Result<Blob> {
    let mut file = File::open(path)?;
    let mut sha256 = Sha256::new();
    let mut git = BlobHasher::new(size_bytes);
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                sha256.update(&buffer[..count]);
                git.update(&buffer[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Blob { sha256: hex(&sha256.finalize()), git_id: git.finish(), size_bytes })
}
