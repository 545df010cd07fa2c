use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use distil_hub::{Hub, RepoFile, RepoKind, Snapshot};
use distil_types::{RepoId, Revision};

use super::{MAX_FILES, Repository, Traffic, check_range};
use crate::CheckerError;

/// A model's repository on the Hub, at one commit.
#[derive(Debug)]
pub struct HubRepository {
    hub: Hub,
    snapshot: Snapshot,
    folder: Option<PathBuf>,
    /// The client's traffic before the repository was opened.
    before: Traffic,
}

impl HubRepository {
    /// Lists a repository at a commit, or at the newest of its main branch: one request.
    ///
    /// # Errors
    ///
    /// The Hub does not answer with a listing, or with one of more than [`MAX_FILES`](crate::MAX_FILES) files.
    pub fn open(hub: &Hub, repo: &RepoId, revision: Option<&Revision>) -> Result<Self, CheckerError> {
        let before = traffic(hub);
        let snapshot = hub.snapshot(RepoKind::Model, repo, revision)?;
        let mut repository = Self::from_snapshot(hub, snapshot)?;
        repository.before = before;
        Ok(repository)
    }

    /// A repository whose listing is at hand.
    ///
    /// # Errors
    ///
    /// It has more than [`MAX_FILES`](crate::MAX_FILES) files.
    pub fn from_snapshot(hub: &Hub, snapshot: Snapshot) -> Result<Self, CheckerError> {
        if snapshot.files.len() > MAX_FILES {
            let repository = snapshot.at.repo.to_string();
            return Err(CheckerError::TooManyFiles { repository, limit: MAX_FILES });
        }
        let cached = hub.cached_folder(RepoKind::Model, &snapshot.at.repo, Some(&snapshot.at.revision))?;
        // Files come into the cache one by one; only a whole repository is one on disk.
        let is_whole = |folder: &PathBuf| {
            let is_there = |file: &RepoFile| {
                std::fs::metadata(folder.join(&file.path))
                    .is_ok_and(|found| found.is_file() && found.len() == file.size)
            };
            snapshot.files.iter().filter(|file| file.path.ends_with(".safetensors")).all(is_there)
                && snapshot.file("config.json").is_none_or(is_there)
        };
        let folder = cached.map(|(_, folder)| folder).filter(is_whole);
        Ok(Self { hub: hub.clone(), snapshot, folder, before: traffic(hub) })
    }

    /// The listing.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Repository for HubRepository {
    fn name(&self) -> &str {
        self.snapshot.at.repo.as_str()
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.snapshot.at.revision)
    }

    fn files(&self) -> &[RepoFile] {
        &self.snapshot.files
    }

    fn read(&self, file: &RepoFile, range: Range<u64>) -> Result<Vec<u8>, CheckerError> {
        check_range(file, &range)?;
        if range.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.hub.read_range(&self.snapshot.at, file, range)?)
    }

    fn hub_parameter_total(&self) -> Option<u64> {
        self.snapshot.safetensors_total
    }

    fn is_restricted(&self) -> bool {
        self.snapshot.private || self.snapshot.gated
    }

    fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Exact as long as nobody else uses the client at the same time.
    fn traffic(&self) -> Traffic {
        let now = traffic(&self.hub);
        Traffic {
            requests: now.requests.saturating_sub(self.before.requests),
            bytes: now.bytes.saturating_sub(self.before.bytes),
        }
    }
}

fn traffic(hub: &Hub) -> Traffic {
    let distil_hub::Traffic { requests, bytes_received } = hub.traffic();
    Traffic { requests, bytes: bytes_received }
}
