//! Weights in storage: rows, and commits that wait for their reveal.

use super::ChainError;
use super::connection::{ClientAt, Connection};
use super::storage::{self, SUBTENSOR, decoded, failed, unsupported};
use crate::weights::WeightRow;
use distil_types::{Hotkey, NetUid, Uid};

const COMMITS: &str = "TimelockedWeightCommits";
/// A subnet has at most 4096 seats, each with ten commits for each of a hundred epochs; nobody has seen more than a few.
const MAX_COMMITS: usize = 100_000;
/// No row has an entry more than there are seats.
const MAX_ROW_ENTRIES: usize = 4096;

/// The row that a validator has; empty where it has none.
pub(super) async fn row_of(
    connection: &Connection,
    at: &ClientAt,
    netuid: NetUid,
    uid: Uid,
) -> Result<WeightRow, ChainError> {
    let key = (netuid.0, uid.0);
    let row: Option<Vec<(u16, u16)>> = storage::find(connection, at, SUBTENSOR, "Weights", key).await?;
    let row = row.unwrap_or_default();
    if row.len() > MAX_ROW_ENTRIES {
        let problem = format!("a row of {} weights, more than there are seats", row.len());
        return Err(ChainError::Malformed { what: "Weights", problem });
    }
    Ok(WeightRow::from_chain(row))
}

/// One hotkey's commits that wait for their reveal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Commits(Vec<Commit>);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) epoch: u64,
    pub(super) block: u64,
    pub(super) reveal_round: u64,
    sealed: Vec<u8>,
}

impl Commits {
    /// The one that is revealed last.
    pub(super) fn latest(&self) -> Option<&Commit> {
        self.0.iter().max_by_key(|commit| commit.block)
    }

    pub(super) fn in_epoch(&self, epoch: u64) -> usize {
        self.0.iter().filter(|commit| commit.epoch == epoch).count()
    }

    /// Whether a commit of this block and round is there.
    pub(super) fn has(&self, block: u64, reveal_round: u64) -> bool {
        self.0.iter().any(|commit| (commit.block, commit.reveal_round) == (block, reveal_round))
    }

    /// The one with this content.
    pub(super) fn find(&self, reveal_round: u64, sealed: &[u8]) -> Option<&Commit> {
        self.0.iter().find(|commit| commit.reveal_round == reveal_round && commit.sealed == sealed)
    }
}

pub(super) type StoredCommit = ([u8; 32], u64, Vec<u8>, u64);

pub(super) async fn commits_of(
    connection: &Connection,
    at: &ClientAt,
    netuid: NetUid,
    hotkey: Hotkey,
) -> Result<Commits, ChainError> {
    let address = subxt::dynamic::storage::<(u16, u64), Vec<StoredCommit>>(SUBTENSOR, COMMITS);
    let listed = at.storage().iter(address, (netuid.0,)).await;
    let mut listed = listed.map_err(|error| failed(connection, at, COMMITS, &error))?;
    let (mut found, mut count) = (Vec::new(), 0);
    while let Some(item) = listed.next().await {
        let item = item.map_err(|error| failed(connection, at, COMMITS, &error))?;
        let (_, epoch) = item.key().and_then(|key| key.decode()).map_err(|error| unsupported(at, &error))?;
        let commits = decoded(at, COMMITS, item.value())?;
        count += commits.len();
        if count > MAX_COMMITS {
            let problem = format!("there are more than {MAX_COMMITS}");
            return Err(ChainError::Malformed { what: COMMITS, problem });
        }
        let ours = commits.into_iter().filter(|(account, ..)| account == hotkey.account_id());
        found.extend(ours.map(|(_, block, sealed, reveal_round)| Commit { epoch, block, reveal_round, sealed }));
    }
    Ok(Commits(found))
}
