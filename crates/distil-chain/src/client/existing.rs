//! Whether a hotkey may commit: its seat, what it committed before, and its quota.

use super::connection::{ClientAt, Connection};
use super::pending::{HotkeyCommitments, PendingField};
use super::storage::{self, SUBTENSOR};
use super::{ChainError, schedule};
use crate::commitments::{NotEligible, select_submission};
use distil_types::{Commitment, Hotkey, NetUid};
use serde::Serialize;
use std::fmt;
use subxt::ext::scale_decode::DecodeAsType;

/// Whatever a commitment is, the chain charges so many bytes at least.
const LEAST_CHARGE_BYTES: u64 = 100;

/// The submission that a hotkey has made for its registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExistingCommitment {
    /// The block of the commitment where it is not revealed yet, of its reveal where it is.
    pub block: u64,
    /// What is known of it.
    #[serde(flatten)]
    pub content: CommittedContent,
}

/// What is known of a commitment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CommittedContent {
    /// Nobody can read it before its round.
    Sealed {
        /// The round of drand that opens it.
        reveal_round: u64,
    },
    /// It counts.
    Revealed(Commitment),
    /// No model, but so many entries that with one more the list would be full, and a full list that nobody saw begin is
    /// not eligible.
    OtherEntries {
        /// How many.
        entries: usize,
    },
}

impl fmt::Display for ExistingCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            CommittedContent::Sealed { reveal_round } => write!(f, "sealed until drand's round {reveal_round}"),
            CommittedContent::Revealed(commitment) => commitment.fmt(f),
            CommittedContent::OtherEntries { entries } => {
                write!(f, "{entries} entries that are no commitments of a model")
            }
        }
    }
}

impl HotkeyCommitments {
    /// The submission that stands in the way of another one: the revealed one that counts, whatever was committed after
    /// it; else one that waits for its round. One whose round the chain went past cannot be opened any more, and does not.
    pub fn existing(&self) -> Option<ExistingCommitment> {
        // Of a full list it does not matter here which entry counts.
        let counts = |registration_block| select_submission(&self.revealed, registration_block, self.revealed.first());
        let revealed = self.registration_block.map(counts);
        if let Some(Ok(submission)) = revealed {
            let content = CommittedContent::Revealed(submission.commitment);
            return Some(ExistingCommitment { block: submission.reveal_block, content });
        }
        let waits = |field: &PendingField| match field {
            PendingField::Timelocked { reveal_round, .. } if !self.skipped_rounds.contains(reveal_round) => {
                Some(*reveal_round)
            }
            _ => None,
        };
        if let Some(pending) = &self.pending
            && let Some(reveal_round) = pending.fields.iter().find_map(waits)
        {
            let content = CommittedContent::Sealed { reveal_round };
            return Some(ExistingCommitment { block: pending.block, content });
        }
        match revealed {
            Some(Err(NotEligible::NothingValid { passed_over })) if passed_over.len() + 1 >= crate::KEPT_REVEALS => {
                Some(ExistingCommitment {
                    block: passed_over.last().map_or(0, |passed| passed.reveal_block),
                    content: CommittedContent::OtherEntries { entries: passed_over.len() },
                })
            }
            _ => None,
        }
    }

    /// Fails where the hotkey has no seat, or has committed.
    pub(super) fn check(&self, netuid: NetUid, hotkey: Hotkey) -> Result<(), ChainError> {
        if self.registration_block.is_none() {
            return Err(ChainError::NotRegistered { hotkey, netuid });
        }
        self.existing().map_or(Ok(()), |existing| Err(ChainError::AlreadyCommitted { existing }))
    }
}

/// What is needed of the chain's `UsageTracker`.
#[derive(Debug, Default, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct Usage {
    last_epoch: u64,
    used_space: u64,
}

/// Fails where so many bytes are more than the hotkey may commit in the epoch that `block` counts to.
pub(super) async fn check_quota(
    connection: &Connection,
    at: &ClientAt,
    netuid: NetUid,
    hotkey: Hotkey,
    bytes: usize,
    block: u64,
) -> Result<(), ChainError> {
    const PALLET: &str = "Commitments";
    let key = (netuid.0, *hotkey.account_id());
    let usage: Option<Usage> = storage::find(connection, at, PALLET, "UsedSpaceOf", key).await?;
    let max_bytes: u32 = storage::fetch(connection, at, PALLET, "MaxSpace", ()).await?;
    let tempo = storage::fetch(connection, at, SUBTENSOR, "Tempo", (netuid.0,)).await?;
    let schedule = schedule::read(connection, at, netuid, tempo).await?;
    let epoch = schedule.epoch_at(block);
    let used_bytes = usage.filter(|usage| usage.last_epoch == epoch).map_or(0, |usage| usage.used_space);
    let needed_bytes = LEAST_CHARGE_BYTES.max(bytes as u64);
    let max_bytes = u64::from(max_bytes);
    if used_bytes.saturating_add(needed_bytes) <= max_bytes {
        return Ok(());
    }
    // Where even an unused quota is too small, waiting does not help.
    let wait_blocks = (needed_bytes <= max_bytes)
        .then(|| schedule.first_block_of(epoch.saturating_add(1)).saturating_sub(block).max(1));
    Err(ChainError::QuotaExceeded { used_bytes, needed_bytes, max_bytes, wait_blocks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::PendingCommitment;
    use crate::commitments::RevealedEntry;
    use distil_types::{BlockHash, BlockRef};

    fn commitments(revealed: Vec<RevealedEntry>) -> HotkeyCommitments {
        let block = BlockRef { number: 100, hash: BlockHash::from_bytes([1; 32]) };
        HotkeyCommitments { block, registration_block: Some(50), revealed, pending: None, skipped_rounds: [].into() }
    }

    fn can(commitments: &HotkeyCommitments) -> Result<(), String> {
        let hotkey = Hotkey::from_account_id([1; 32]);
        commitments.check(NetUid(97), hotkey).map_err(|error| error.to_string())
    }

    #[test]
    fn one_submission_counts_for_each_registration() {
        let text = format!(r#"{{"model":"alice/a","revision":"{}"}}"#, "0a".repeat(20));
        let entry = |reveal_block, text: &str| RevealedEntry { reveal_block, bytes: text.as_bytes().to_vec() };
        assert_eq!(can(&commitments(vec![])), Ok(()));
        assert_eq!(can(&commitments(vec![entry(49, &text), entry(60, "other")])), Ok(()));
        let problem = can(&commitments(vec![entry(60, &text)])).unwrap_err();
        assert!(problem.contains("block 60") && problem.contains("alice/a@0a0a"), "{problem}");
        assert!(can(&commitments(vec![entry(60, "other"); 8])).is_ok());
        assert!(can(&commitments(vec![entry(60, "other"); 9])).unwrap_err().contains("9 entries"));
        let gone = HotkeyCommitments { registration_block: None, ..commitments(vec![]) };
        assert!(can(&gone).unwrap_err().contains("not registered"));
    }

    #[test]
    fn what_exists_is_said_in_json() {
        let text = format!(r#"{{"model":"alice/a","revision":"{}"}}"#, "0a".repeat(20));
        let revealed = commitments(vec![RevealedEntry { reveal_block: 60, bytes: text.into_bytes() }]);
        let json = serde_json::to_value(revealed.existing()).unwrap();
        let expected = serde_json::json!({
            "block": 60, "state": "revealed", "model": "alice/a", "revision": "0a".repeat(20),
        });
        assert_eq!(json, expected);
        let fields = vec![PendingField::Timelocked { encrypted: vec![1], reveal_round: 7 }];
        let pending = Some(PendingCommitment { block: 70, fields });
        let sealed = HotkeyCommitments { pending, ..commitments(vec![]) };
        let json = serde_json::to_value(sealed.existing()).unwrap();
        assert_eq!(json, serde_json::json!({ "block": 70, "state": "sealed", "reveal_round": 7 }));
        // The first one is named, though a second one waits.
        let both = HotkeyCommitments { revealed: revealed.revealed, ..sealed.clone() };
        assert_eq!(serde_json::to_value(both.existing()).unwrap(), expected);
        // What waits is named before entries that are no model.
        let entry = RevealedEntry { reveal_block: 60, bytes: b"other".to_vec() };
        let others = HotkeyCommitments { revealed: vec![entry; 9], ..sealed.clone() };
        assert_eq!(serde_json::to_value(others.existing()).unwrap(), json);
        // A round that the chain went past opens nothing.
        assert_eq!(can(&HotkeyCommitments { skipped_rounds: [7].into(), ..sealed }), Ok(()));
    }
}
