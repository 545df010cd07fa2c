//! Models on this host: brought from the Hub, digested, and compared with others.

use crate::ValidatorError;
use distil_checker::{
    CheckerError, Comparison, HubRepository, LocalModel, NearCopyRule, digest_model, loader_files, weight_distance,
};
use distil_hub::{Hub, HubError, RepoFile};
use distil_store::{Bf16Digest, RawDigest, TensorDigests};
use distil_types::Commitment;
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Why a model is not on this host.
#[derive(Debug)]
pub(crate) enum NotFetched {
    /// Another time it may be.
    Later { reason: String },
    /// What came cannot be loaded; it is the model's own.
    Broken { reason: String },
}

/// Brings a commitment's model into the Hub's cache and gives its folder. Every file is verified by its hash.
pub(crate) fn fetch(hub: &Hub, commitment: &Commitment) -> Result<PathBuf, NotFetched> {
    let later = |error: &dyn std::error::Error| NotFetched::Later { reason: error.to_string() };
    if hub.settings().offline {
        let cached = hub.cached_folder(distil_hub::RepoKind::Model, &commitment.model, Some(&commitment.revision));
        return match cached {
            Ok(Some((_, folder))) => Ok(folder),
            Ok(None) => Err(NotFetched::Later { reason: format!("{commitment} is not in the cache") }),
            Err(error) => Err(later(&error)),
        };
    }
    let repository =
        HubRepository::open(hub, &commitment.model, Some(&commitment.revision)).map_err(|error| later(&error))?;
    let needed: Vec<String> =
        loader_files(&repository).map_err(|error| later(&error))?.iter().map(|file| file.path.clone()).collect();
    let wanted = |file: &RepoFile| needed.contains(&file.path);
    hub.download(repository.snapshot(), &wanted, &mut |_| {}).map_err(|error: HubError| later(&error))
}

/// Digests a model on this disk.
pub(crate) fn digest(folder: &Path, threads: NonZeroUsize) -> Result<TensorDigests, NotFetched> {
    let sort = |error: CheckerError| match error.is_transient() {
        true => NotFetched::Later { reason: error.to_string() },
        false => NotFetched::Broken { reason: error.to_string() },
    };
    let model = LocalModel::open(folder).map_err(sort)?;
    let digest = digest_model(&model, threads, &mut |_| {}).map_err(sort)?;
    Ok(TensorDigests { raw: RawDigest(digest.raw.0), bf16: Bf16Digest(digest.bf16.0) })
}

/// Whether the weights in one folder are nearly those in another; the evidence where they are.
pub(crate) fn near_copy(
    folder: &Path,
    other: &Path,
    threads: NonZeroUsize,
) -> Result<Option<(String, Value)>, ValidatorError> {
    let (Ok(one), Ok(two)) = (LocalModel::open(folder), LocalModel::open(other)) else {
        // What cannot be opened is told of elsewhere.
        return Ok(None);
    };
    let comparison = weight_distance(&one, &two, &NearCopyRule::default(), threads, &mut |_| {})?;
    Ok(match &comparison {
        Comparison::Compared(distance) if distance.verdict.is_near_copy => {
            Some((distance.verdict.reason.clone(), json!(comparison)))
        }
        _ => None,
    })
}

/// The folder of a model that is on this host already.
pub(crate) fn cached(hub: &Hub, commitment: &Commitment) -> Option<PathBuf> {
    let found = hub.cached_folder(distil_hub::RepoKind::Model, &commitment.model, Some(&commitment.revision)).ok()?;
    found.map(|(_, folder)| folder)
}
