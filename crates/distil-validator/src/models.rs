//! Models on this host: brought from the Hub, digested, and compared with others.

use crate::compare::{Files, difference};
use crate::told;
use distil_checker::{
    CheckerError, Comparison, HubRepository, LocalModel, NearCopyRule, digest_model, loader_files, weight_distance,
};
use distil_hub::{Hub, HubError, RepoFile};
use distil_store::{Bf16Digest, RawDigest, TensorDigests};
use distil_types::Commitment;
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Why a model is not on this host.
#[derive(Debug)]
pub(crate) enum NotFetched {
    /// Another time it may be.
    Later { reason: String },
    /// What came cannot be loaded; it is the model's own.
    Broken { reason: String },
}

impl NotFetched {
    /// For the miner to read.
    pub(crate) fn reason(&self) -> &str {
        match self {
            NotFetched::Later { reason } | NotFetched::Broken { reason } => reason,
        }
    }

    fn of(error: &CheckerError, commitment: &Commitment) -> Self {
        tracing::warn!(model = %commitment, %error, "a model on this host cannot be used");
        let reason = told::of_checker(error, commitment);
        match error.is_transient() {
            true => NotFetched::Later { reason },
            false => NotFetched::Broken { reason },
        }
    }
}

/// A commitment's model, opened: its configuration and headers are sound and all its files are there. It is brought here
/// first where they are not.
pub(crate) fn open(hub: &Hub, commitment: &Commitment) -> Result<LocalModel, NotFetched> {
    if let Some(folder) = cached(hub, commitment)
        && let Ok(model) = LocalModel::open(&folder)
    {
        return Ok(model);
    }
    let folder = fetch(hub, commitment)?;
    LocalModel::open(&folder).map_err(|error| NotFetched::of(&error, commitment))
}

/// Brings a commitment's model into the Hub's cache and gives its folder. Every file that comes is verified by its hash.
fn fetch(hub: &Hub, commitment: &Commitment) -> Result<PathBuf, NotFetched> {
    let of_hub = |error: HubError| {
        tracing::warn!(model = %commitment, %error, "a model could not be brought to this host");
        NotFetched::Later { reason: told::of_hub(&error) }
    };
    let of_checker = |error: CheckerError| {
        tracing::warn!(model = %commitment, %error, "a model could not be brought to this host");
        NotFetched::Later { reason: told::of_checker(&error, commitment) }
    };
    if hub.settings().offline {
        let cached = hub.cached_folder(distil_hub::RepoKind::Model, &commitment.model, Some(&commitment.revision));
        return match cached {
            Ok(Some((_, folder))) => Ok(folder),
            Ok(None) => Err(NotFetched::Later { reason: format!("{commitment} is not in the cache") }),
            Err(error) => Err(of_hub(error)),
        };
    }
    let repository = HubRepository::open(hub, &commitment.model, Some(&commitment.revision)).map_err(of_checker)?;
    let needed: Vec<String> =
        loader_files(&repository).map_err(of_checker)?.iter().map(|file| file.path.clone()).collect();
    let wanted = |file: &RepoFile| needed.contains(&file.path);
    hub.download(repository.snapshot(), &wanted, &mut |_| {}).map_err(of_hub)
}

/// Digests a model on this disk.
pub(crate) fn digest(
    model: &LocalModel,
    commitment: &Commitment,
    threads: NonZeroUsize,
) -> Result<TensorDigests, NotFetched> {
    let digest = digest_model(model, threads, &mut |_| {}).map_err(|error| NotFetched::of(&error, commitment))?;
    Ok(TensorDigests { raw: RawDigest(digest.raw.0), bf16: Bf16Digest(digest.bf16.0) })
}

/// In what the files on this disk are others than those that were committed, if they are: then nothing that is wrong with
/// them is the model's own.
pub(crate) fn damage(hub: &Hub, commitment: &Commitment, committed: &Files) -> Option<String> {
    let folder = cached(hub, commitment)?;
    match distil_model::weights_digest(&folder, &mut |_| {}) {
        Ok(files) => difference(&files, committed).inspect(|difference| {
            tracing::error!(folder = %folder.display(), difference, "files in the cache are damaged: remove them");
        }),
        Err(error) => {
            tracing::warn!(model = %commitment, %error, "files in the cache cannot be read");
            Some("a file could not be read".to_owned())
        }
    }
}

/// Whether the weights of one model are nearly those of another; the evidence where they are.
pub(crate) fn near_copy(
    one: &LocalModel,
    other: &LocalModel,
    threads: NonZeroUsize,
) -> Result<Option<Value>, CheckerError> {
    let comparison = weight_distance(one, other, &NearCopyRule::default(), threads, &mut |_| {})?;
    Ok(match &comparison {
        Comparison::Compared(distance) if distance.verdict.is_near_copy => Some(json!(comparison)),
        _ => None,
    })
}

/// The folder of a model that is on this host already, at least in part.
fn cached(hub: &Hub, commitment: &Commitment) -> Option<PathBuf> {
    let found = hub.cached_folder(distil_hub::RepoKind::Model, &commitment.model, Some(&commitment.revision)).ok()?;
    found.map(|(_, folder)| folder)
}
