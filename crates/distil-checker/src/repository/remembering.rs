use std::{
    collections::HashMap,
    ops::Range,
    path::Path,
    sync::{Mutex, PoisonError},
};

use distil_hub::{RepoFile, Sha256Digest};
use distil_types::Revision;
use sha2::{Digest, Sha256};

use super::{Repository, Traffic};
use crate::CheckerError;

/// A repository that keeps the SHA-256 of every file that is read whole, so that none is read again for its digest.
pub(crate) struct Remembering<'a> {
    inner: &'a dyn Repository,
    digests: Mutex<HashMap<String, Sha256Digest>>,
}

impl<'a> Remembering<'a> {
    pub(crate) fn new(inner: &'a dyn Repository) -> Self {
        Self { inner, digests: Mutex::default() }
    }

    /// The SHA-256 of a file: from the listing, else of what was read.
    pub(crate) fn sha256(&self, path: &str) -> Option<Sha256Digest> {
        let listed = self.inner.file(path).and_then(|file| file.sha256);
        listed.or_else(|| self.digests.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied())
    }
}

impl Repository for Remembering<'_> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn revision(&self) -> Option<Revision> {
        self.inner.revision()
    }

    fn files(&self) -> &[RepoFile] {
        self.inner.files()
    }

    fn read(&self, file: &RepoFile, range: Range<u64>) -> Result<Vec<u8>, CheckerError> {
        let is_whole = range == (0..file.size);
        let bytes = self.inner.read(file, range)?;
        if is_whole && file.sha256.is_none() {
            let digest = Sha256Digest(Sha256::digest(&bytes).into());
            self.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(file.path.clone(), digest);
        }
        Ok(bytes)
    }

    fn hub_parameter_total(&self) -> Option<u64> {
        self.inner.hub_parameter_total()
    }

    fn is_restricted(&self) -> bool {
        self.inner.is_restricted()
    }

    fn folder(&self) -> Option<&Path> {
        self.inner.folder()
    }

    fn left_out(&self) -> &[String] {
        self.inner.left_out()
    }

    fn traffic(&self) -> Traffic {
        self.inner.traffic()
    }
}
