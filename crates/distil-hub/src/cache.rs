//! The folder of downloads, in the layout that huggingface_hub and hf-hub share:
//! `models--owner--name/{blobs/<hash>, snapshots/<commit>/<path> -> blob, refs/main}`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use distil_types::{RepoId, Revision};
use hf_hub::{HFClient, HFError};

use crate::repo::{RepoAt, RepoFile, RepoKind};
use crate::settings::HubSettings;
use crate::{HubError, error::Result};

pub(crate) struct Cache {
    folder: PathBuf,
    /// Finds what is there. It is asked about local files only, so it never sends a request.
    reader: HFClient,
}

impl Cache {
    pub(crate) fn new(settings: &HubSettings) -> Result<Self> {
        let reader = HFClient::builder()
            .endpoint(&settings.endpoint)
            .cache_dir(&settings.cache)
            .build()
            .map_err(|error| HubError::Setting { setting: "HF_HUB_CACHE", reason: error.to_string() })?;
        Ok(Self { folder: settings.cache.clone(), reader })
    }

    /// The folder of one commit, whatever is in it.
    pub(crate) async fn find(
        &self,
        kind: RepoKind,
        repo: &RepoId,
        revision: Option<&Revision>,
    ) -> Result<Option<(Revision, PathBuf)>> {
        let revision = revision.map_or("main", Revision::as_str).to_owned();
        let (owner, name) = (repo.owner(), repo.name());
        let found = match kind {
            RepoKind::Model => {
                let repository = self.reader.model(owner, name);
                repository.snapshot_download().revision(revision).local_files_only(true).send().await
            }
            RepoKind::Dataset => {
                let repository = self.reader.dataset(owner, name);
                repository.snapshot_download().revision(revision).local_files_only(true).send().await
            }
        };
        match found {
            Ok(folder) => {
                let commit = folder.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
                Ok(commit.map(|commit| (commit, folder)))
            }
            Err(HFError::LocalEntryNotFound { .. }) => Ok(None),
            Err(HFError::Io(source)) => Err(HubError::File { path: self.folder.clone(), source }),
            Err(error) => {
                let source = io::Error::other(error.to_string());
                Err(HubError::File { path: self.folder.clone(), source })
            }
        }
    }

    pub(crate) fn repository(&self, at: &RepoAt) -> Repository {
        let name = format!("{}--{}--{}", at.kind.plural(), at.repo.owner(), at.repo.name());
        let folder = self.folder.join(&name);
        Repository {
            snapshot: folder.join("snapshots").join(at.revision.as_str()),
            locks: self.folder.join(".locks").join(&name),
            commit: at.revision,
            folder,
        }
    }
}

/// One repository's part of the cache, at one commit.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    folder: PathBuf,
    snapshot: PathBuf,
    locks: PathBuf,
    commit: Revision,
}

impl Repository {
    pub(crate) fn snapshot_folder(&self) -> &Path {
        &self.snapshot
    }

    /// True where a file of this commit is there in its full length.
    pub(crate) fn holds(&self, file: &RepoFile) -> bool {
        fs::metadata(self.snapshot.join(&file.path)).is_ok_and(|data| data.is_file() && data.len() == file.size)
    }

    /// Where a file's bytes lie, named by their hash.
    ///
    /// # Errors
    ///
    /// The listing gives no hash.
    pub(crate) fn blob(&self, what: &str, file: &RepoFile) -> Result<PathBuf> {
        let name = match (&file.sha256, &file.git_oid) {
            (Some(sha256), _) => sha256.to_string(),
            (None, Some(oid)) => oid.clone(),
            (None, None) => return Err(HubError::bad(what, "the listing gives neither SHA-256 nor git object id")),
        };
        Ok(self.folder.join("blobs").join(name))
    }

    /// Makes a file appear below the commit's folder, as a relative link to its bytes.
    pub(crate) fn place(&self, file: &RepoFile, blob: &Path) -> Result<()> {
        let pointer = self.snapshot.join(&file.path);
        let folder = pointer.parent().unwrap_or(&self.snapshot);
        make_folder(folder)?;
        let depth = file.path.split('/').count() + 1;
        let target: PathBuf = std::iter::repeat_n("..", depth)
            .collect::<PathBuf>()
            .join("blobs")
            .join(blob.file_name().unwrap_or_default());
        if fs::read_link(&pointer).is_ok_and(|current| current == target) {
            return Ok(());
        }
        // Made beside and moved over: at no time is there a link to something else.
        let temporary = folder.join(format!(".{}.link", unique()));
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| HubError::File { path, source }
        };
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&temporary)(error)),
            _ => {}
        }
        link(&target, blob, &temporary).map_err(failed(&temporary))?;
        fs::rename(&temporary, &pointer).map_err(failed(&pointer))
    }

    pub(crate) fn note_main(&self) -> Result<()> {
        let folder = self.folder.join("refs");
        make_folder(&folder)?;
        let path = folder.join("main");
        let temporary = folder.join(format!(".main.{}", unique()));
        fs::write(&temporary, self.commit.as_str())
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|source| HubError::File { path, source })
    }

    /// Keeps other programs from bringing the same bytes at the same time; huggingface_hub and hf-hub lock the same file.
    pub(crate) fn lock_file(&self, blob: &Path) -> Result<(fs::File, PathBuf)> {
        make_folder(&self.locks)?;
        let name = format!("{}.lock", blob.file_name().unwrap_or_default().to_string_lossy());
        let path = self.locks.join(name);
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        match file {
            Ok(file) => Ok((file, path)),
            Err(source) => Err(HubError::File { path, source }),
        }
    }
}

/// A word for the name of a temporary file that no other thread or program uses.
fn unique() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|source| HubError::File { path: folder.to_owned(), source })
}

#[cfg(unix)]
fn link(target: &Path, _blob: &Path, pointer: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, pointer)
}

#[cfg(not(unix))]
fn link(_target: &Path, blob: &Path, pointer: &Path) -> io::Result<()> {
    // Links need rights there that a user may not have; hf-hub copies, too.
    fs::hard_link(blob, pointer).or_else(|_| fs::copy(blob, pointer).map(drop))
}
