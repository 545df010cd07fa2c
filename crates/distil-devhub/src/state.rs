//! All that a running server knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::DevHubError;
use crate::fault::FaultBook;
use crate::name::{RepoKind, RepoName};
use crate::record::RequestLog;
use crate::repository::{Commit, Repository, Visibility, take_folder};
use crate::store::BlobStore;

/// Entries of one page of a file list, as the Hub has it.
const PAGE_ENTRIES: usize = 1000;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: BlobStore,
    pub(crate) log: RequestLog,
    /// `http://address` of the Hub's server and of the content server.
    pub(crate) hub_origin: String,
    pub(crate) cdn_origin: String,
    shelf: Mutex<Shelf>,
    faults: Mutex<FaultBook>,
}

#[derive(Debug)]
pub(crate) struct Shelf {
    repositories: BTreeMap<(RepoKind, RepoName), Repository>,
    renamed: BTreeMap<(RepoKind, RepoName), RepoName>,
    tokens: BTreeSet<String>,
    pub(crate) page_entries: usize,
    pub(crate) small_files_redirect: bool,
}

/// Whether a repository shows itself.
pub(crate) enum Seen<'a> {
    Repository(&'a Repository),
    RenamedTo(&'a RepoName),
    /// There is none, or it is not for this client.
    Nothing,
}

impl State {
    pub(crate) fn new(store: BlobStore, hub_origin: String, cdn_origin: String) -> Self {
        let shelf = Shelf {
            repositories: BTreeMap::new(),
            renamed: BTreeMap::new(),
            tokens: BTreeSet::new(),
            page_entries: PAGE_ENTRIES,
            small_files_redirect: false,
        };
        let (shelf, faults) = (Mutex::new(shelf), Mutex::new(FaultBook::default()));
        State { store, log: RequestLog::default(), hub_origin, cdn_origin, shelf, faults }
    }

    pub(crate) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, FaultBook> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a folder and adds a commit, unless `only_changes` is set and the head holds just this. Returns the head and
    /// whether it is new.
    pub(crate) fn publish(
        &self,
        kind: RepoKind,
        repo: &str,
        folder: &Path,
        only_changes: bool,
    ) -> Result<(Arc<Commit>, bool), DevHubError> {
        let name = RepoName::parse(repo)?;
        let taken = take_folder(folder, &self.store)?;
        let mut shelf = self.shelf();
        shelf.renamed.remove(&(kind, name.clone()));
        let repository = shelf.repositories.entry((kind, name)).or_insert_with(Repository::new);
        repository.removed = false;
        repository.content_lost = false;
        match repository.head() {
            Some(head) if only_changes && head.holds(&taken) => Ok((Arc::clone(head), false)),
            _ => Ok((repository.commit_folder(taken, &self.store), true)),
        }
    }
}

impl Shelf {
    pub(crate) fn repository_mut(&mut self, kind: RepoKind, repo: &str) -> Result<&mut Repository, DevHubError> {
        let name = RepoName::parse(repo)?;
        let unknown = || DevHubError::UnknownRepository { kind: kind.singular(), name: repo.to_owned() };
        self.repositories.get_mut(&(kind, name)).ok_or_else(unknown)
    }

    pub(crate) fn rename(&mut self, kind: RepoKind, from: &str, to: &str) -> Result<(), DevHubError> {
        let (from, to) = (RepoName::parse(from)?, RepoName::parse(to)?);
        let singular = kind.singular();
        if self.repositories.contains_key(&(kind, to.clone())) {
            return Err(DevHubError::RepositoryExists { kind: singular, name: to.to_string() });
        }
        let Some(repository) = self.repositories.remove(&(kind, from.clone())) else {
            return Err(DevHubError::UnknownRepository { kind: singular, name: from.to_string() });
        };
        // Older names lead straight to the newest one, and the newest one leads nowhere.
        self.renamed.remove(&(kind, to.clone()));
        for target in self.renamed.iter_mut().filter(|((of, _), target)| *of == kind && **target == from) {
            *target.1 = to.clone();
        }
        self.renamed.insert((kind, from), to.clone());
        self.repositories.insert((kind, to), repository);
        Ok(())
    }

    pub(crate) fn accept_token(&mut self, token: &str) {
        self.tokens.insert(token.to_owned());
    }

    /// True where the value of `Authorization` bears an accepted token.
    pub(crate) fn is_accepted(&self, authorization: Option<&str>) -> bool {
        authorization.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(|token| self.tokens.contains(token))
    }

    /// True where the content server has lost what LFS holds of a repository.
    pub(crate) fn has_lost_content(&self, kind: RepoKind, name: &RepoName) -> bool {
        self.repositories.get(&(kind, name.clone())).is_some_and(|repository| repository.content_lost)
    }

    pub(crate) fn see(&self, kind: RepoKind, name: &RepoName, accepted: bool) -> Seen<'_> {
        let key = (kind, name.clone());
        match self.repositories.get(&key) {
            Some(repository) if repository.removed => Seen::Nothing,
            Some(repository) if repository.visibility == Visibility::Private && !accepted => Seen::Nothing,
            Some(repository) => Seen::Repository(repository),
            None => self.renamed.get(&key).map_or(Seen::Nothing, Seen::RenamedTo),
        }
    }
}
