//! Models by their location: folders of this host, and repositories brought into its cache.

use std::env;

use distil_checker::{HubRepository, loader_files};
use distil_hub::{Hub, HubSettings, RepoFile, RepoKind};
use distil_types::{RepoId, Revision};

use super::{failure::Failure, tell::Teller};
use crate::{
    ModelSource, Work,
    worker::{Stage, protocol::ModelEntry},
};

/// What a teacher needs beside what its loader reads.
pub(super) const TOKENIZER: &[&str] = &["tokenizer.json"];

/// Brings a model to this host: what its loader reads, and `also`.
pub(super) fn bring(model: &ModelEntry, also: &[&str], teller: &mut Teller) -> Result<ModelSource, Failure> {
    teller.enter(Stage::Download);
    match model {
        ModelEntry::Folder { name, path } => {
            Ok(ModelSource { name: name.clone(), revision: None, folder: path.into() })
        }
        ModelEntry::Hub { repo, revision } => {
            let invalid = |error: distil_types::Error| Failure::request(error.to_string());
            let repo: RepoId = repo.parse().map_err(invalid)?;
            let revision: Revision = revision.parse().map_err(invalid)?;
            let folder = bring_repository(&repo, &revision, also, teller)?;
            Ok(ModelSource { name: repo.to_string(), revision: Some(revision.to_string()), folder })
        }
    }
}

fn bring_repository(
    repo: &RepoId,
    revision: &Revision,
    also: &[&str],
    teller: &mut Teller,
) -> Result<std::path::PathBuf, Failure> {
    let hub = Hub::new(HubSettings::from_environment(|name| env::var(name).ok())?)?;
    if hub.settings().offline {
        return match hub.cached_folder(RepoKind::Model, repo, Some(revision))? {
            Some((_, folder)) => Ok(folder),
            None => Err(Failure::host(format!("{repo}@{revision} is not in its cache, and HF_HUB_OFFLINE is set"))),
        };
    }
    let repository = HubRepository::open(&hub, repo, Some(revision))?;
    let needed: Vec<String> = loader_files(&repository)?.iter().map(|file| file.path.clone()).collect();
    if !needed.iter().any(|path| path.ends_with(".safetensors")) {
        return Err(Failure::model(format!("{repo} holds no safetensors weights that a loader reads")));
    }
    let wanted = |file: &RepoFile| needed.contains(&file.path) || also.contains(&file.path.as_str());
    let folder = hub.download(repository.snapshot(), &wanted, &mut |now| {
        let bytes = |bytes| Work { bytes, ..Work::default() };
        teller.progress(Stage::Download, bytes(now.bytes_done), bytes(now.bytes_total));
    })?;
    Ok(folder)
}
