//! Models by their names: folders, and repositories of the Hub brought into its cache.

use std::io::Write;
use std::path::PathBuf;

use anyhow::anyhow;
use distil_checker::{CheckerError, HubRepository, Repository as _, loader_files};
use distil_hub::{RepoFile, RepoKind};
use distil_types::{ModelRef, RepoId, Revision};

use crate::exit::CommandError;
use crate::hub::{HubAccess, hub_error};
use crate::settings::Common;

/// A model whose files are on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalFiles {
    /// Where they are.
    pub(crate) folder: PathBuf,
    /// `owner/repo` and the commit, where it came from the Hub.
    pub(crate) origin: Option<(RepoId, Revision)>,
}

/// What a teacher needs beside its weights, for its tokens.
pub(crate) const TOKENIZER_FILES: [&str; 5] =
    ["tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "chat_template.jinja"];

/// Brings a model to this machine, with a bar: what its loader reads, and `also` where the repository has it.
///
/// # Errors
///
/// A usage error where there is no such model, "try again" where it may be the network's.
pub(crate) fn bring(
    model: &ModelRef,
    also: &[&str],
    access: &HubAccess,
    common: Common,
    progress_out: &mut dyn Write,
) -> Result<LocalFiles, CommandError> {
    let (repo, revision) = match model {
        ModelRef::Folder(folder) => return Ok(LocalFiles { folder: folder.clone(), origin: None }),
        ModelRef::Hub { repo, revision } => (repo, revision.as_ref()),
        other => return Err(CommandError::ours(anyhow!("{other} is neither a folder nor a repository"))),
    };
    let hub = access.get()?;
    if hub.settings().offline {
        return match hub.cached_folder(RepoKind::Model, repo, revision).map_err(hub_error)? {
            Some((commit, folder)) => Ok(LocalFiles { folder, origin: Some((repo.clone(), commit)) }),
            None => Err(CommandError::usage(anyhow!("{model} is not in the cache, and HF_HUB_OFFLINE is set"))
                .with_hint("unset HF_HUB_OFFLINE, or download the model first")),
        };
    }
    let repository = HubRepository::open(hub, repo, revision).map_err(checker_error)?;
    let needed: Vec<String> =
        loader_files(&repository).map_err(checker_error)?.iter().map(|file| file.path.clone()).collect();
    if !needed.iter().any(|path| path.ends_with(".safetensors")) {
        return Err(CommandError::usage(anyhow!(
            "{} holds no safetensors weights that a loader reads",
            repository.name()
        ))
        .with_hint(format!("distil check {repo} tells what is wrong with it")));
    }
    let wanted = |file: &RepoFile| needed.contains(&file.path) || also.contains(&file.path.as_str());
    let snapshot = repository.snapshot();
    let folder = access.download(snapshot, &wanted, common, progress_out)?;
    if revision.is_none() {
        hub.note_main(&snapshot.at).map_err(hub_error)?;
    }
    Ok(LocalFiles { folder, origin: Some((repo.clone(), snapshot.revision)) })
}

/// What the checker's trouble means to the caller.
pub(crate) fn checker_error(error: CheckerError) -> CommandError {
    match error {
        CheckerError::Hub(error) => hub_error(error),
        error if error.is_transient() => CommandError::try_again(error),
        error => CommandError::usage(error),
    }
}
