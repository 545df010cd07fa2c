//! Drawing prompts by a block, for every command that needs some.

use std::io::Write;
use std::num::NonZeroUsize;

use anyhow::anyhow;
use distil_dataset::{Corpus, DatasetError, DrawRequest, Drawn, PromptSource};
use distil_hub::RepoKind;

use crate::exit::CommandError;
use crate::hub::{HubAccess, hub_error};
use crate::progress::{Unit, WorkProgress, megabytes, watch};
use crate::settings::{Common, Draw};

/// Draws prompts, with progress, and tells what was moved for it.
///
/// # Errors
///
/// A usage error for a source that cannot be used; "try again" for what may be the network's.
pub(crate) fn draw(
    draw: &Draw,
    threads: usize,
    access: &HubAccess,
    common: Common,
    progress_out: &mut dyn Write,
) -> Result<Drawn, CommandError> {
    let source = source(&draw.source, access, common, progress_out)?;
    // The client is made first, so that a variable of the Hub's that is wrong is told by its name.
    let hub = match &source {
        PromptSource::Hub { .. } => Some(access.get()?.clone()),
        PromptSource::Path(_) => None,
    };
    let corpus = Corpus::open(
        &source,
        || hub.ok_or_else(|| unreachable!("made above for every source on the Hub")),
        draw.cache.as_deref(),
    )
    .map_err(dataset_error)?;
    let request =
        DrawRequest { netuid: draw.netuid, block: draw.block, count: draw.count, sampler: draw.sampler.into() };
    let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
    let progress = WorkProgress::new(common, Unit::Prompts, "drawing prompts", progress_out);
    let drawn = watch(progress, |meter| corpus.draw(&request, threads, &|now| meter.set(now.accepted, now.wanted)));
    let drawn = drawn.map_err(dataset_error)?;
    if !common.quiet {
        // Progress is a courtesy: a reader that has gone does not end the run.
        let _ = writeln!(progress_out, "{}", traffic(&drawn));
    }
    Ok(drawn)
}

/// The source as given; a dataset without a commit is pinned to the one its main branch is now.
pub(crate) fn source(
    text: &str,
    access: &HubAccess,
    common: Common,
    progress_out: &mut dyn Write,
) -> Result<PromptSource, CommandError> {
    match PromptSource::parse(text) {
        Err(DatasetError::RevisionMissing { .. }) => {
            let repo = text.trim_start_matches("hub:").trim_end_matches('@').parse().map_err(CommandError::usage)?;
            let at = access.get()?.main_commit(RepoKind::Dataset, &repo).map_err(hub_error)?;
            let pinned = format!("hub:{repo}@{}", at.revision);
            if !common.quiet {
                let _ = writeln!(
                    progress_out,
                    "{text} names no commit: drawing from {pinned}, which its main branch is now. Name it to draw the same again."
                );
            }
            PromptSource::parse(&pinned).map_err(dataset_error)
        }
        other => other.map_err(dataset_error),
    }
}

/// What was read for a draw, in a line: what the caches held is told apart.
fn traffic(drawn: &Drawn) -> String {
    let traffic = &drawn.traffic;
    let total = traffic.total();
    let footers = match (traffic.footers_cached, traffic.footers_fetched) {
        (0, 0) => String::new(),
        (cached, fetched) => {
            format!(", footers {} ({fetched} fetched, {cached} from the cache)", megabytes(traffic.footers.bytes))
        }
    };
    let listing = if traffic.listing_cached { "from the cache".to_owned() } else { megabytes(traffic.listing.bytes) };
    format!(
        "read {} in {} requests: list of files {listing}{footers}, documents {}",
        megabytes(total.bytes),
        total.requests,
        megabytes(traffic.data.bytes)
    )
}

/// What a source's trouble means to the caller.
pub(crate) fn dataset_error(error: DatasetError) -> CommandError {
    match error {
        DatasetError::Hub(error) => hub_error(error),
        error if error.is_transient() => CommandError::try_again(anyhow!(error)),
        error => CommandError::usage(anyhow!(error)),
    }
}
