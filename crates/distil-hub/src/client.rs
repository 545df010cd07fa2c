use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use distil_types::{RepoId, Revision};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_RANGE, ETAG, IF_NONE_MATCH, LINK, RANGE};
use url::Url;

use crate::answers::{self, MAX_ANSWER_BYTES, Pages};
use crate::cache::Cache;
use crate::download::{self, DownloadProgress};
use crate::repo::{RepoAt, RepoFile, RepoKind, Snapshot};
use crate::settings::HubSettings;
use crate::transport::{Request, Transport};
use crate::{HubError, error::Result};

/// The most files that one listing may have: the largest datasets have some 100,000.
const MAX_TREE_FILES: usize = 1_000_000;
/// A server that ignores a range sends the file from its beginning; up to here we read on to what was asked for.
const MAX_SKIPPED_BYTES: u64 = 1 << 20;

/// How much went over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Requests sent, tries that failed included; a redirect is part of its request.
    pub requests: u64,
    /// Bytes of bodies received.
    pub bytes_received: u64,
}

/// A client of the Hub. Cheap to clone; may be used from many threads at once.
///
/// Its methods block. Call them from a thread of your own, never from within an async runtime.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    settings: HubSettings,
    transport: Arc<Transport>,
    cache: Cache,
    runtime: Runtime,
}

/// A runtime that may be dropped anywhere.
struct Runtime(Option<tokio::runtime::Runtime>);

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl Hub {
    /// A client with these settings. No request is made yet.
    ///
    /// # Errors
    ///
    /// [`HubError::Setting`] when TLS cannot be set up or no thread can be started.
    pub fn new(settings: HubSettings) -> Result<Self> {
        let transport = Arc::new(Transport::new(&settings)?);
        let cache = Cache::new(&settings)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("distil-hub")
            .enable_all()
            .build()
            .map_err(|error| HubError::Setting { setting: "threads", reason: error.to_string() })?;
        Ok(Self { inner: Arc::new(Inner { settings, transport, cache, runtime: Runtime(Some(runtime)) }) })
    }

    /// What it was made with.
    pub fn settings(&self) -> &HubSettings {
        &self.inner.settings
    }

    /// What went over the network since this client was made.
    pub fn traffic(&self) -> Traffic {
        let (requests, bytes_received) = self.inner.transport.counts();
        Traffic { requests, bytes_received }
    }

    /// What a repository holds, with sizes and hashes, in one request. No revision is the newest commit of the main
    /// branch.
    ///
    /// # Errors
    ///
    /// Any of [`HubError`]; [`is_absence`](HubError::is_absence) tells that the Hub says it is not there for us.
    pub fn snapshot(&self, kind: RepoKind, repo: &RepoId, revision: Option<&Revision>) -> Result<Snapshot> {
        let what = name(repo, revision);
        let snapshot = self.look(&what, kind, repo, revision, None)?;
        // Only a conditional request can be answered with "as before".
        snapshot.ok_or_else(|| HubError::bad(&what, "status 304"))
    }

    /// The same commit looked at again, in one request: `None` where the Hub says that nothing has changed since the
    /// answer that had this `etag`.
    ///
    /// # Errors
    ///
    /// As [`snapshot`](Hub::snapshot).
    pub fn snapshot_if_changed(&self, known: &RepoAt, etag: Option<&str>) -> Result<Option<Snapshot>> {
        self.look(&known.to_string(), known.kind, &known.repo, Some(&known.revision), etag)
    }

    fn look(
        &self,
        what: &str,
        kind: RepoKind,
        repo: &RepoId,
        revision: Option<&Revision>,
        etag: Option<&str>,
    ) -> Result<Option<Snapshot>> {
        let route = match revision {
            Some(revision) => format!("api/{}/{repo}/revision/{revision}?blobs=true", kind.plural()),
            None => format!("api/{}/{repo}?blobs=true", kind.plural()),
        };
        let mut headers = vec![(ACCEPT, "application/json".to_owned())];
        if let Some(etag) = etag {
            headers.push((IF_NONE_MATCH, etag.to_owned()));
        }
        let url = self.url(what, &route)?;
        let answer = self.fetch(&Request { what, url, headers, max_body_bytes: MAX_ANSWER_BYTES })?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let etag = answer.header(ETAG).map(str::to_owned);
        let at = |revision| RepoAt { kind, repo: repo.clone(), revision };
        answers::snapshot(what, at, revision, &answer.body, etag).map(Some)
    }

    /// Which commit the main branch is, in one small request whatever the size of the repository.
    ///
    /// # Errors
    ///
    /// As [`snapshot`](Hub::snapshot).
    pub fn main_commit(&self, kind: RepoKind, repo: &RepoId) -> Result<RepoAt> {
        let what = format!("{repo} (branches)");
        let url = self.url(&what, &format!("api/{}/{repo}/refs", kind.plural()))?;
        let headers = vec![(ACCEPT, "application/json".to_owned())];
        let answer = self.fetch(&Request { what: &what, url, headers, max_body_bytes: MAX_ANSWER_BYTES })?;
        Ok(RepoAt { kind, repo: repo.clone(), revision: answers::main_branch(&what, &answer.body)? })
    }

    /// All files below a folder (`""` is the whole repository), page by page: for repositories with more files than
    /// [`snapshot`](Hub::snapshot) should bring at once.
    ///
    /// # Errors
    ///
    /// As [`snapshot`](Hub::snapshot); also when there are more than a million files.
    pub fn tree(&self, at: &RepoAt, folder: &str) -> Result<Vec<RepoFile>> {
        let what = format!("{at}/{folder}");
        let mut url = self.url(&what, &format!("api/{}/{}/tree/{}", at.kind.plural(), at.repo, at.revision))?;
        push_path(&mut url, folder);
        url.set_query(Some("recursive=true"));
        let first = url.clone();
        let mut pages = Pages::default();
        let mut files = Vec::new();
        loop {
            if !pages.is_new(&url) {
                return Err(HubError::bad(&what, "its pages go round in a circle"));
            }
            let headers = vec![(ACCEPT, "application/json".to_owned())];
            let answer = self.fetch(&Request { what: &what, url, headers, max_body_bytes: MAX_ANSWER_BYTES })?;
            files.extend(answers::tree_page(&what, &answer.body)?);
            if files.len() > MAX_TREE_FILES {
                return Err(HubError::bad(&what, format!("it has more than {MAX_TREE_FILES} files")));
            }
            match answer.header(LINK).map(|link| answers::next_page(&what, link, &first)).transpose()?.flatten() {
                Some(next) => url = next,
                None => break,
            }
        }
        answers::sort(&what, &mut files)?;
        Ok(files)
    }

    /// Exactly these bytes of a file.
    ///
    /// # Errors
    ///
    /// As [`snapshot`](Hub::snapshot); [`HubError::BadAnswer`] when the range ends beyond the file's listed size, or the
    /// server speaks of another size, sends other bytes, or ignores a range that lies far within a file.
    pub fn read_range(&self, at: &RepoAt, file: &RepoFile, range: Range<u64>) -> Result<Vec<u8>> {
        let what = format!("{at}/{}", file.path);
        if range.start > range.end || range.end > file.size {
            let reason = format!("bytes {}..{} of {} cannot be read", range.start, range.end, file.size);
            return Err(HubError::bad(&what, reason));
        }
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.refuse_offline(&what)?;
        let request = Request {
            what: &what,
            url: self.file_url(&what, at, &file.path)?,
            headers: vec![(RANGE, format!("bytes={}-{}", range.start, range.end - 1))],
            max_body_bytes: range.end - range.start,
        };
        self.wait(async {
            let mut waits = crate::transport::Waits::new(self.inner.transport.patience(), request.url.as_str());
            loop {
                let attempt = tokio::time::timeout(
                    self.inner.transport.deadline(range.end - range.start),
                    read_range_once(&self.inner.transport, &request, file.size, &range),
                );
                let error = match attempt.await {
                    Ok(Ok(bytes)) => return Ok(bytes),
                    Ok(Err(error)) => error,
                    Err(_) => HubError::Timeout {
                        what: what.clone(),
                        waited: self.inner.transport.deadline(range.end - range.start),
                    },
                };
                waits.before_next_try(error).await?;
            }
        })
    }

    /// Brings the files that are wanted into the cache and gives the folder where they lie, below their own paths. What
    /// an earlier run left unfinished is gone on with, and what came is held against the listing: SHA-256 for LFS files,
    /// git's object id for small ones.
    ///
    /// # Errors
    ///
    /// As [`snapshot`](Hub::snapshot); also [`HubError::HashMismatch`] and [`HubError::File`]. What was brought until
    /// then stays for the next run.
    pub fn download(
        &self,
        snapshot: &Snapshot,
        wanted: &dyn Fn(&RepoFile) -> bool,
        progress: &mut dyn FnMut(DownloadProgress),
    ) -> Result<PathBuf> {
        let files: Vec<download::Wanted> = snapshot
            .files
            .iter()
            .filter(|file| wanted(file))
            .map(|file| {
                let what = format!("{}/{}", snapshot.at, file.path);
                let url = self.file_url(&what, &snapshot.at, &file.path)?;
                Ok(download::Wanted { what, url, file: file.clone() })
            })
            .collect::<Result<_>>()?;
        if self.inner.settings.offline {
            return self.offline_folder(&snapshot.at, &files);
        }
        let transport = Arc::clone(&self.inner.transport);
        let folder = self.inner.cache.repository(&snapshot.at);
        self.wait(download::download(transport, folder, files, progress))
    }

    fn offline_folder(&self, at: &RepoAt, files: &[download::Wanted]) -> Result<PathBuf> {
        let repository = self.inner.cache.repository(at);
        match files.iter().find(|wanted| !repository.holds(&wanted.file)) {
            None => Ok(repository.snapshot_folder().to_owned()),
            Some(missing) => {
                Err(HubError::Offline { what: missing.what.clone(), cache: self.inner.settings.cache.clone() })
            }
        }
    }

    /// The folder of a commit if the cache holds one, with whichever of its files were downloaded, without a request. No
    /// revision is the commit that main was when it was last asked for.
    ///
    /// # Errors
    ///
    /// [`HubError::File`] when the cache cannot be read.
    pub fn cached_folder(
        &self,
        kind: RepoKind,
        repo: &RepoId,
        revision: Option<&Revision>,
    ) -> Result<Option<(Revision, PathBuf)>> {
        self.wait(self.inner.cache.find(kind, repo, revision))
    }

    /// Notes in the cache which commit main is, so that its name alone finds it offline.
    ///
    /// # Errors
    ///
    /// [`HubError::File`] when the cache cannot be written.
    pub fn note_main(&self, at: &RepoAt) -> Result<()> {
        self.inner.cache.repository(at).note_main()
    }

    fn fetch(&self, request: &Request<'_>) -> Result<crate::transport::Answer> {
        self.refuse_offline(request.what)?;
        self.wait(self.inner.transport.fetch(request))
    }

    fn refuse_offline(&self, what: &str) -> Result<()> {
        if self.inner.settings.offline {
            return Err(HubError::Offline { what: what.to_owned(), cache: self.inner.settings.cache.clone() });
        }
        Ok(())
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let runtime = self.inner.runtime.0.as_ref().expect("taken only when dropped");
        runtime.block_on(future)
    }

    fn url(&self, what: &str, route: &str) -> Result<Url> {
        let text = format!("{}/{route}", self.inner.settings.endpoint);
        Url::parse(&text).map_err(|error| HubError::bad(what, error.to_string()))
    }

    fn file_url(&self, what: &str, at: &RepoAt, path: &str) -> Result<Url> {
        let mut url = self.url(what, &format!("{}{}/resolve/{}", at.kind.file_prefix(), at.repo, at.revision))?;
        push_path(&mut url, path);
        Ok(url)
    }
}

/// `owner/repo`, with the revision where one is given.
fn name(repo: &RepoId, revision: Option<&Revision>) -> String {
    match revision {
        Some(revision) => format!("{repo}@{revision}"),
        None => repo.to_string(),
    }
}

/// Adds a path of a listing, each part escaped.
fn push_path(url: &mut Url, path: &str) {
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(path.split('/').filter(|part| !part.is_empty()));
    }
}

async fn read_range_once(
    transport: &Transport,
    request: &Request<'_>,
    size: u64,
    range: &Range<u64>,
) -> Result<Vec<u8>> {
    let what = request.what;
    let mut body = transport.open(request).await?;
    let mut to_skip = match body.status {
        StatusCode::PARTIAL_CONTENT => {
            let found = body.headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
            let expected = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            if found != Some(&expected) {
                let found = crate::text::excerpt(found.unwrap_or("nothing"));
                return Err(HubError::bad(what, format!("it sends \"{found}\" for \"{expected}\"")));
            }
            0
        }
        StatusCode::OK => {
            if body.announced.is_some_and(|announced| announced != size) {
                let reason = format!("the file has {} bytes, though {size} are listed", body.announced.unwrap_or(0));
                return Err(HubError::bad(what, reason));
            }
            if range.start > MAX_SKIPPED_BYTES {
                return Err(HubError::bad(what, "it sends the whole file when asked for a range"));
            }
            range.start
        }
        status => return Err(HubError::bad(what, format!("status {}", status.as_u16()))),
    };
    let wanted = (range.end - range.start) as usize;
    let mut bytes = Vec::new();
    while bytes.len() < wanted {
        let Some(chunk) = body.next().await? else { break };
        let skipped = to_skip.min(chunk.len() as u64);
        to_skip -= skipped;
        let rest = &chunk[skipped as usize..];
        bytes.extend_from_slice(&rest[..rest.len().min(wanted - bytes.len())]);
    }
    if bytes.len() < wanted {
        return Err(HubError::CutOff { what: what.to_owned(), received: bytes.len() as u64, expected: wanted as u64 });
    }
    Ok(bytes)
}
