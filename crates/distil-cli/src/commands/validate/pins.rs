//! Which commits a validator works with where its settings name none.
//!
//! Validators agree only on what they all have: prompts of the same commit of the dataset, continuations by the same
//! teacher. The defaults name commits. What is named without one is taken at the commit of the state's last round with it,
//! so that a new commit of the repository does not change the rounds of a validator that is started again; and where there
//! was none, at its newest one. Both are told.

use distil_dataset::{DatasetError, PromptSource};
use distil_hub::{Hub, RepoKind};
use distil_scoring::RoundSettings;
use distil_store::{StoreError, StoreReader};
use distil_types::{RepoId, Revision};
use tracing::warn;

use crate::draw::dataset_error;
use crate::exit::CommandError;
use crate::hub::hub_error;
use crate::settings::Validate;

/// What the state's last round was planned with.
pub(super) fn of_last_round(store: &StoreReader) -> Result<Option<RoundSettings>, StoreError> {
    let Some(last) = store.rounds(0, 1)?.first().map(|round| round.number) else { return Ok(None) };
    Ok(store.round(last)?.map(|round| round.start.plan.settings().clone()))
}

/// The commit of the teacher.
pub(super) fn teacher(settings: &Validate, kept: Option<&RoundSettings>, hub: &Hub) -> Result<Revision, CommandError> {
    let repo = &settings.profile.teacher;
    if let Some(revision) = settings.teacher_revision {
        return Ok(revision);
    }
    let kept = kept.filter(|kept| kept.teacher == *repo).map(|kept| kept.teacher_revision);
    let revision = newest_unless(kept, RepoKind::Model, repo, hub)?;
    tell("teacher", &format!("{repo}@{revision}"), kept.is_some());
    Ok(revision)
}

/// The source of prompts.
pub(super) fn source(text: &str, kept: Option<&RoundSettings>, hub: &Hub) -> Result<PromptSource, CommandError> {
    match PromptSource::parse(text) {
        Err(DatasetError::RevisionMissing { .. }) => {
            let repo: RepoId =
                text.trim_start_matches("hub:").trim_end_matches('@').parse().map_err(CommandError::usage)?;
            let kept = kept.and_then(|kept| pinned(&kept.source, &repo));
            let revision = newest_unless(kept, RepoKind::Dataset, &repo, hub)?;
            let pinned = format!("hub:{repo}@{revision}");
            tell("source", &pinned, kept.is_some());
            PromptSource::parse(&pinned).map_err(dataset_error)
        }
        other => other.map_err(dataset_error),
    }
}

/// The commit of this dataset in a round's source, if it was drawn from as a whole.
fn pinned(source: &str, repo: &RepoId) -> Option<Revision> {
    source.strip_prefix("hub:")?.strip_prefix(repo.as_str())?.strip_prefix('@')?.parse().ok()
}

fn newest_unless(kept: Option<Revision>, kind: RepoKind, repo: &RepoId, hub: &Hub) -> Result<Revision, CommandError> {
    match kept {
        Some(revision) => Ok(revision),
        None => Ok(hub.main_commit(kind, repo).map_err(hub_error)?.revision),
    }
}

fn tell(setting: &str, pinned: &str, is_kept: bool) {
    let why = if is_kept { "its commit in the state's last round" } else { "the newest commit of its main branch" };
    warn!(
        round = "-",
        hotkey = "-",
        setting,
        pinned,
        why,
        "no commit is given: other validators may have another one, so name it, as in `pinned`"
    );
}
