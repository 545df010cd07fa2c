//! The running server.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::DevHubError;
use crate::connection::{ConnectionHandle, EndableListener};
use crate::fault::Fault;
use crate::handler;
use crate::name::RepoKind;
use crate::record::RequestRecord;
use crate::repository::Visibility;
use crate::state::State;
use crate::store::BlobStore;

/// A running server. It has a thread and an asynchronous runtime of its own, so blocking code may use it, and it stops
/// when it is dropped.
#[derive(Debug)]
pub struct DevHub {
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DevHub {
    /// Starts on 127.0.0.1 at ports of the system's choice.
    ///
    /// # Errors
    /// [`DevHubError::Start`] where the system gives no socket, thread or temporary folder.
    pub fn start() -> Result<DevHub, DevHubError> {
        DevHub::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts at this address; port 0 lets the system choose. The server for content of LFS files is at the same
    /// address and a port of the system's choice.
    ///
    /// # Errors
    /// [`DevHubError::NotLoopback`], or [`DevHubError::Start`] where the system gives no socket, thread or temporary
    /// folder.
    pub fn start_at(listen: SocketAddr) -> Result<DevHub, DevHubError> {
        if !listen.ip().is_loopback() {
            return Err(DevHubError::NotLoopback { address: listen });
        }
        start(listen).map_err(|source| DevHubError::Start { address: listen, source })
    }

    /// Where it listens: `http://127.0.0.1:PORT`, for `HF_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        self.state.hub_origin.clone()
    }

    /// Where content of LFS files comes from: another port, so another host to a client.
    pub fn cdn_endpoint(&self) -> String {
        self.state.cdn_origin.clone()
    }

    /// Publishes a folder as it is now: the first call creates the repository, a later one adds a commit that replaces
    /// all files, and brings a removed repository and lost content back. Returns the commit's id, 40 hex digits, a function of the content and the commits before it: the same
    /// calls give the same ids, the ones that git would give.
    ///
    /// # Errors
    /// [`DevHubError::RepositoryName`], [`DevHubError::Content`] or [`DevHubError::File`]; nothing is published then.
    pub fn publish(&self, kind: RepoKind, repo: &str, folder: &Path) -> Result<String, DevHubError> {
        let (commit, _) = self.state.publish(kind, repo, folder, false)?;
        Ok(commit.stamp.id.to_string())
    }

    /// Like [`DevHub::publish`], but where the newest commit holds just this there is no new one: `None`.
    ///
    /// # Errors
    /// As [`DevHub::publish`].
    pub fn publish_changes(&self, kind: RepoKind, repo: &str, folder: &Path) -> Result<Option<String>, DevHubError> {
        let (commit, is_new) = self.state.publish(kind, repo, folder, true)?;
        Ok(is_new.then(|| commit.stamp.id.to_string()))
    }

    /// Takes a repository away: it answers like one that never was.
    ///
    /// # Errors
    /// [`DevHubError::UnknownRepository`].
    pub fn remove(&self, kind: RepoKind, repo: &str) -> Result<(), DevHubError> {
        self.state.shelf().repository_mut(kind, repo)?.removed = true;
        Ok(())
    }

    /// Loses the content of a repository's LFS files, as the deletion of LFS objects does: git still holds their
    /// pointers, so listings stay as they are and `resolve` still leads to the content server, which answers 404.
    ///
    /// # Errors
    /// [`DevHubError::UnknownRepository`].
    pub fn lose_content(&self, kind: RepoKind, repo: &str) -> Result<(), DevHubError> {
        self.state.shelf().repository_mut(kind, repo)?.content_lost = true;
        Ok(())
    }

    /// Brings back a removed repository, and content that was [lost](DevHub::lose_content).
    ///
    /// # Errors
    /// [`DevHubError::UnknownRepository`].
    pub fn restore(&self, kind: RepoKind, repo: &str) -> Result<(), DevHubError> {
        let mut shelf = self.state.shelf();
        let repository = shelf.repository_mut(kind, repo)?;
        repository.removed = false;
        repository.content_lost = false;
        Ok(())
    }

    /// Says who may see a repository.
    ///
    /// # Errors
    /// [`DevHubError::UnknownRepository`].
    pub fn set_visibility(&self, kind: RepoKind, repo: &str, visibility: Visibility) -> Result<(), DevHubError> {
        self.state.shelf().repository_mut(kind, repo)?.visibility = visibility;
        Ok(())
    }

    /// Drops a commit, as a rewritten history does: it answers 404 with `RevisionNotFound`. Where it was the newest one,
    /// `main` goes back to the one before; with none left `main` is not found either.
    ///
    /// # Errors
    /// [`DevHubError::UnknownRepository`] or [`DevHubError::UnknownCommit`].
    pub fn forget_commit(&self, kind: RepoKind, repo: &str, commit: &str) -> Result<(), DevHubError> {
        if self.state.shelf().repository_mut(kind, repo)?.forget(commit) {
            return Ok(());
        }
        Err(DevHubError::UnknownCommit { name: repo.to_owned(), commit: commit.chars().take(80).collect() })
    }

    /// Gives a repository another name; the old one answers 307 to the new one.
    ///
    /// # Errors
    /// [`DevHubError::UnknownRepository`], [`DevHubError::RepositoryExists`] or [`DevHubError::RepositoryName`].
    pub fn rename(&self, kind: RepoKind, from: &str, to: &str) -> Result<(), DevHubError> {
        self.state.shelf().rename(kind, from, to)
    }

    /// Lets who bears this token see private repositories and download from gated ones. Any other token counts as that
    /// of a user without access.
    pub fn accept_token(&self, token: &str) {
        self.state.shelf().accept_token(token);
    }

    /// Sets how many entries a page of a file list has at most: 1,000 unless set, at least 1.
    pub fn set_page_size(&self, entries: usize) {
        self.state.shelf().page_entries = entries.max(1);
    }

    /// Has `resolve` answer small files of public repositories as huggingface.co does: 307 to a path of the same host
    /// that begins with `/api/resolve-cache/` and serves the file. Unless this is set, and always where the repository
    /// is not public or the file is empty, it serves them itself.
    pub fn set_small_files_redirect(&self, redirect: bool) {
        self.state.shelf().small_files_redirect = redirect;
    }

    /// Orders a fault. Of several that replace an answer the one ordered first strikes; those that change an answer all
    /// do.
    pub fn order(&self, fault: Fault) {
        self.state.faults().order(fault);
    }

    /// Takes all orders back. Answers under way keep their faults.
    pub fn clear_faults(&self) {
        self.state.faults().clear();
    }

    /// All requests since the start or the last [`DevHub::clear_requests`], in the order in which they came; of more than
    /// 100,000 the newest ones.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.state.log.all()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.state.log.clear();
    }
}

impl Drop for DevHub {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by its thread; there is nothing to add while dropping.
            let _ = thread.join();
        }
    }
}

fn start(listen: SocketAddr) -> io::Result<DevHub> {
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("distil-devhub").enable_all().build()?;
    let content_address = SocketAddr::new(listen.ip(), 0);
    let (hub, cdn) = runtime.block_on(async {
        Ok::<_, io::Error>((TcpListener::bind(listen).await?, TcpListener::bind(content_address).await?))
    })?;
    let origin = |listener: &TcpListener| Ok::<_, io::Error>(format!("http://{}", listener.local_addr()?));
    let state = Arc::new(State::new(BlobStore::new()?, origin(&hub)?, origin(&cdn)?));

    let hub_router = Router::new().fallback(handler::hub).with_state(Arc::clone(&state));
    let cdn_router = Router::new().fallback(handler::cdn).with_state(Arc::clone(&state));
    for (listener, router) in [(hub, hub_router), (cdn, cdn_router)] {
        let service = router.into_make_service_with_connect_info::<ConnectionHandle>();
        runtime.spawn(async move { axum::serve(EndableListener(listener), service).await });
    }
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new().name("distil-devhub".to_owned()).spawn(move || {
        // An error means that the sender is gone, which is how a server is told to stop.
        let _ = runtime.block_on(stopped);
        // Answers that stay silent to order would hold the runtime for ever.
        runtime.shutdown_timeout(Duration::from_secs(5));
    })?;
    Ok(DevHub { state, stop: Some(stop), thread: Some(thread) })
}
