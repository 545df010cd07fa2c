//! Bringing files whole: resumed where an earlier run stopped, hashed on the way, and only then given their name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, RANGE};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::cache::{Repository, make_folder};
use crate::repo::{RepoFile, Sha256Digest};
use crate::transport::{Request, Transport, Waits};
use crate::{HubError, error::Result};

/// Files brought at the same time.
const PARALLEL: usize = 4;
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// How often it is looked whether another program has let go of a file.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadProgress {
    /// Bytes that are there, those of earlier runs included.
    pub bytes_done: u64,
    /// Bytes of all files wanted.
    pub bytes_total: u64,
}

/// A file to bring.
pub(crate) struct Wanted {
    pub(crate) what: String,
    pub(crate) url: Url,
    pub(crate) file: RepoFile,
}

/// Brings all files and gives the folder of their commit.
pub(crate) async fn download(
    transport: Arc<Transport>,
    repository: Repository,
    files: Vec<Wanted>,
    progress: &mut dyn FnMut(DownloadProgress),
) -> Result<PathBuf> {
    let bytes_total = files.iter().map(|wanted| wanted.file.size).sum();
    let done = Arc::new(AtomicU64::new(0));
    let mut tell = |done: &AtomicU64| {
        progress(DownloadProgress { bytes_done: done.load(Ordering::Relaxed), bytes_total });
    };
    // Tasks of their own, since hashing takes a core for itself.
    let tasks = files.into_iter().map(|wanted| {
        let (transport, repository, done) = (Arc::clone(&transport), repository.clone(), Arc::clone(&done));
        async move {
            let task = tokio::spawn(async move { one_file(&transport, &repository, &wanted, &done).await });
            let abort = AbortOnDrop(task.abort_handle());
            let result = task.await;
            drop(abort);
            result.unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(HubError::bad("download", error.to_string())),
            })
        }
    });
    let mut running = stream::iter(tasks).buffer_unordered(PARALLEL);
    let mut clock = tokio::time::interval(TELL_EVERY);
    loop {
        tokio::select! {
            finished = running.next() => match finished {
                None => break,
                Some(result) => result?,
            },
            _ = clock.tick() => tell(&done),
        }
    }
    tell(&done);
    make_folder(repository.snapshot_folder())?;
    Ok(repository.snapshot_folder().to_owned())
}

/// One failed file ends the download of the others.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn one_file(transport: &Transport, repository: &Repository, wanted: &Wanted, done: &AtomicU64) -> Result<()> {
    let blob = repository.blob(&wanted.what, &wanted.file)?;
    let is_there = || fs::metadata(&blob).is_ok_and(|data| data.len() == wanted.file.size);
    if is_there() {
        done.fetch_add(wanted.file.size, Ordering::Relaxed);
        return repository.place(&wanted.file, &blob);
    }
    if let Some(folder) = blob.parent() {
        make_folder(folder)?;
    }
    let incomplete = blob.with_extension("incomplete");
    let (lock, lock_path) = repository.lock_file(&blob)?;
    wait_for(&lock, &lock_path, &incomplete, transport, &wanted.what).await?;
    if is_there() {
        // Another program brought it while we waited.
        done.fetch_add(wanted.file.size, Ordering::Relaxed);
    } else {
        bring(transport, wanted, &incomplete, done).await?;
        fs::rename(&incomplete, &blob).map_err(|source| HubError::File { path: blob.clone(), source })?;
    }
    repository.place(&wanted.file, &blob)
}

/// Waits until we have a file's lock, for as long as whoever has it makes progress.
async fn wait_for(lock: &File, lock_path: &Path, incomplete: &Path, transport: &Transport, what: &str) -> Result<()> {
    let patience = transport.patience().silence * 2;
    let mut seen = None;
    let mut idle = Duration::ZERO;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(source)) => return Err(HubError::File { path: lock_path.to_owned(), source }),
            Err(TryLockError::WouldBlock) => {}
        }
        let length = fs::metadata(incomplete).map(|data| data.len()).ok();
        idle = if length == seen { idle + LOOK_EVERY } else { Duration::ZERO };
        seen = length;
        if idle > patience {
            let reason = format!("another program holds {} and makes no progress", lock_path.display());
            return Err(HubError::Connection { what: what.to_owned(), reason });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Brings a file's bytes to `incomplete`, going on where it ends, and holds them against the listing.
async fn bring(transport: &Transport, wanted: &Wanted, incomplete: &Path, done: &AtomicU64) -> Result<()> {
    let mut waits = Waits::new(transport.patience(), wanted.url.as_str());
    let mut began_anew = false;
    let mut partial = Partial::open(incomplete, &wanted.file, done)?;
    loop {
        let before = partial.length;
        let result =
            if partial.length == wanted.file.size { Ok(()) } else { append(transport, wanted, &mut partial).await };
        if partial.length > before {
            waits.progressed();
        }
        if let Err(error) = result {
            partial.sync()?;
            waits.before_next_try(error).await?;
            continue;
        }
        match partial.verify(&wanted.what, &wanted.file) {
            Ok(()) => return partial.sync(),
            // What an earlier run left may be wrong: once, all is brought anew.
            Err(_) if partial.resumed && !began_anew => {
                began_anew = true;
                partial.clear()?;
            }
            Err(error) => {
                partial.clear()?;
                return Err(error);
            }
        }
    }
}

async fn append(transport: &Transport, wanted: &Wanted, partial: &mut Partial<'_>) -> Result<()> {
    let what = wanted.what.as_str();
    let size = wanted.file.size;
    let mut headers = Vec::new();
    if partial.length > 0 {
        headers.push((RANGE, format!("bytes={}-", partial.length)));
    }
    let request = Request { what, url: wanted.url.clone(), headers, max_body_bytes: size - partial.length };
    let mut body = transport.open(&request).await?;
    match body.status {
        StatusCode::OK => {
            if body.announced.is_some_and(|announced| announced != size) {
                let reason = format!("the file has {} bytes, though {size} are listed", body.announced.unwrap_or(0));
                return Err(HubError::bad(what, reason));
            }
            partial.clear()?;
        }
        StatusCode::PARTIAL_CONTENT => {
            let found = body.headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let expected = format!("bytes {}-{}/{size}", partial.length, size - 1);
            if found != expected {
                let found = crate::text::excerpt(found);
                return Err(HubError::bad(what, format!("it sends \"{found}\" for \"{expected}\"")));
            }
        }
        status => return Err(HubError::bad(what, format!("status {}", status.as_u16()))),
    }
    while let Some(chunk) = body.next().await? {
        if partial.length + chunk.len() as u64 > size {
            return Err(HubError::bad(what, format!("more than the {size} bytes listed came")));
        }
        partial.append(&chunk)?;
    }
    if partial.length < size {
        return Err(HubError::CutOff { what: what.to_owned(), received: partial.length, expected: size });
    }
    Ok(())
}

/// The part of a file that is on disk, hashed as it grows.
struct Partial<'a> {
    path: PathBuf,
    file: File,
    length: u64,
    /// Some of it is of an earlier run.
    resumed: bool,
    hasher: Hasher,
    done: &'a AtomicU64,
}

impl<'a> Partial<'a> {
    fn open(path: &Path, listed: &RepoFile, done: &'a AtomicU64) -> Result<Self> {
        let failed = |source| HubError::File { path: path.to_owned(), source };
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(failed)?;
        let hasher = Hasher::new(listed);
        let mut partial = Self { path: path.to_owned(), file, length: 0, resumed: false, hasher, done };
        let length = partial.file.metadata().map_err(failed)?.len();
        if length > listed.size {
            partial.clear()?;
        } else {
            let mut buffer = vec![0; 1 << 20];
            loop {
                match partial.file.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(read) => {
                        partial.hasher.update(&buffer[..read]);
                        partial.count(read as u64);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            partial.resumed = partial.length > 0;
        }
        Ok(partial)
    }

    fn count(&mut self, bytes: u64) {
        self.length += bytes;
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|source| HubError::File { path: self.path.clone(), source })?;
        self.hasher.update(bytes);
        self.count(bytes.len() as u64);
        Ok(())
    }

    /// Forgets all bytes.
    fn clear(&mut self) -> Result<()> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(|source| HubError::File { path: self.path.clone(), source })?;
        self.done.fetch_sub(self.length, Ordering::Relaxed);
        self.length = 0;
        self.resumed = false;
        self.hasher.reset();
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_all().map_err(|source| HubError::File { path: self.path.clone(), source })
    }

    fn verify(&self, what: &str, listed: &RepoFile) -> Result<()> {
        let (algorithm, expected, found) = match (&self.hasher, &listed.sha256, &listed.git_oid) {
            (Hasher::Sha256(hasher), Some(sha256), _) => {
                let found = Sha256Digest(hasher.clone().finalize().into());
                ("SHA-256", sha256.to_string(), found.to_string())
            }
            (Hasher::GitBlob { hasher, .. }, None, Some(oid)) => {
                let found = hasher.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
                ("git object id", oid.clone(), found)
            }
            _ => return Err(HubError::bad(what, "the listing gives neither SHA-256 nor git object id")),
        };
        if expected == found {
            return Ok(());
        }
        Err(HubError::HashMismatch { what: what.to_owned(), algorithm, expected, found })
    }
}

/// LFS files are known by their SHA-256, the others by what git makes of them: the SHA-1 of `blob <length>`, a zero byte
/// and the content.
enum Hasher {
    Sha256(Sha256),
    GitBlob { hasher: Sha1, size: u64 },
}

impl Hasher {
    fn new(listed: &RepoFile) -> Self {
        if listed.sha256.is_some() {
            return Self::Sha256(Sha256::new());
        }
        let mut hasher = Self::GitBlob { hasher: Sha1::new(), size: listed.size };
        hasher.reset();
        hasher
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::GitBlob { hasher, .. } => hasher.update(bytes),
        }
    }

    fn reset(&mut self) {
        match self {
            Self::Sha256(hasher) => *hasher = Sha256::new(),
            Self::GitBlob { hasher, size } => {
                *hasher = Sha1::new();
                hasher.update(format!("blob {size}\0"));
            }
        }
    }
}
