//! What became of a commitment: revealed, waiting for its round, or lost.

use super::commit::CommitPlan;
use super::pending::{HotkeyCommitments, hotkey_commitments_at};
use super::transaction::TransactionWait;
use super::{ChainClient, ChainError, after};
use distil_types::{Hotkey, NetUid};

/// What became of a commitment that was in a final block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevealState {
    /// Everybody can read it.
    Revealed {
        /// The block that revealed it.
        block: u64,
    },
    /// It waits for its round.
    NotYet {
        /// The round of drand.
        reveal_round: u64,
        /// When it is published, in milliseconds since 1970. The chain has it some seconds later.
        due_unix_ms: u64,
    },
    /// It will not be revealed.
    Lost {
        /// Why.
        reason: LostReason,
    },
}

/// Why a commitment will not be revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LostReason {
    /// The hotkey has no seat any more.
    #[error("the hotkey has no seat on the subnet any more")]
    NotRegistered,
    /// The chain has rounds after this one, and takes no older ones.
    #[error("the chain went past drand's round {reveal_round} without storing it; the commitment can be made anew")]
    RoundSkipped {
        /// The round.
        reveal_round: u64,
    },
    /// A later commitment of the same hotkey took its place before it was opened.
    #[error("the hotkey committed something else in block {block}, before this was opened")]
    Replaced {
        /// The block of the later one.
        block: u64,
    },
    /// The chain has dropped it without revealing anything.
    #[error("the chain could not open it and has dropped it; the commitment can be made anew")]
    DidNotOpen,
}

impl ChainClient {
    /// What became of a commitment that [`ChainClient::commit`] made in this block, by the newest final block. By a block
    /// before that, of a node that lags behind, it waits for its round.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn reveal_state(
        &self,
        netuid: NetUid,
        hotkey: Hotkey,
        plan: &CommitPlan,
        committed_block: u64,
    ) -> Result<RevealState, ChainError> {
        self.read("looking for the reveal", move |connection| async move {
            let at = connection.at_finalized().await?;
            let seen = hotkey_commitments_at(&connection, &at, netuid, hotkey).await?;
            Ok(state_of(plan, seen, committed_block))
        })
        .await
    }

    /// Looks again and again until the commitment is revealed or lost, or the time is up.
    ///
    /// # Errors
    /// Those of reading, where they lasted for all of the time.
    pub async fn wait_for_reveal(
        &self,
        netuid: NetUid,
        hotkey: Hotkey,
        plan: &CommitPlan,
        committed_block: u64,
        wait: TransactionWait,
    ) -> Result<RevealState, ChainError> {
        let until = after(wait.at_most);
        let mut last_state = None;
        loop {
            let looked = match self.reveal_state(netuid, hotkey, plan, committed_block).await {
                Ok(state @ RevealState::NotYet { .. }) => {
                    last_state = Some(state);
                    Ok(state)
                }
                Ok(state) => return Ok(state),
                Err(error) if !error.is_transient() => return Err(error),
                // Whatever was seen before is better than an error that may pass.
                Err(error) => last_state.ok_or(error),
            };
            if after(wait.poll_interval) >= until {
                return looked;
            }
            tokio::time::sleep(wait.poll_interval).await;
        }
    }
}

fn state_of(plan: &CommitPlan, seen: HotkeyCommitments, committed_block: u64) -> RevealState {
    let CommitPlan { reveal_round, reveal_unix_ms: due_unix_ms, .. } = *plan;
    let lost = |reason| RevealState::Lost { reason };
    if seen.block.number < committed_block {
        return RevealState::NotYet { reveal_round, due_unix_ms };
    }
    if seen.registration_block.is_none() {
        return lost(LostReason::NotRegistered);
    }
    if plan.is_pending_in(&seen) {
        if seen.skipped_rounds.contains(&reveal_round) {
            return lost(LostReason::RoundSkipped { reveal_round });
        }
        return RevealState::NotYet { reveal_round, due_unix_ms };
    }
    if let Some(block) = plan.reveal_in(&seen) {
        return RevealState::Revealed { block };
    }
    match seen.pending.filter(|pending| pending.is_timelocked() || !pending.has_failed_reveal()) {
        Some(other) => lost(LostReason::Replaced { block: other.block }),
        None => lost(LostReason::DidNotOpen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{PendingCommitment, PendingField};
    use crate::timelock::{DrandNetwork, Randomness};
    use distil_types::{BlockHash, BlockRef};

    #[test]
    fn what_is_in_the_place_of_a_commitment_says_why_it_is_lost() {
        let text = format!(r#"{{"model":"alice/a","revision":"{}"}}"#, "0a".repeat(20));
        let randomness = Randomness::from_bytes(&[1; Randomness::BYTES]);
        let commitment = serde_json::from_str(&text).unwrap();
        let plan = CommitPlan::seal(commitment, DrandNetwork::quicknet(), 1_760_000_000_000, randomness).unwrap();
        let seen = |fields: Vec<PendingField>| HotkeyCommitments {
            block: BlockRef { number: 100, hash: BlockHash::from_bytes([1; 32]) },
            registration_block: Some(50),
            revealed: vec![],
            pending: (!fields.is_empty()).then_some(PendingCommitment { block: 90, fields }),
            skipped_rounds: [].into(),
        };
        let other = |kind: &str| PendingField::Other { kind: kind.to_owned() };
        let failed = || other("TimelockRevealFailed");
        let later = || PendingField::Timelocked { encrypted: vec![1], reveal_round: plan.reveal_round + 9 };
        let state = |fields| state_of(&plan, seen(fields), 80);
        let lost = |reason| RevealState::Lost { reason };
        assert_eq!(state(vec![]), lost(LostReason::DidNotOpen));
        assert_eq!(state(vec![failed()]), lost(LostReason::DidNotOpen));
        assert_eq!(state(vec![failed(), other("Raw5")]), lost(LostReason::DidNotOpen));
        assert_eq!(state(vec![other("Raw5")]), lost(LostReason::Replaced { block: 90 }));
        assert_eq!(state(vec![failed(), later()]), lost(LostReason::Replaced { block: 90 }));
        // Seen from before it was made, nothing is known yet, not even a seat.
        let not_yet = RevealState::NotYet { reveal_round: plan.reveal_round, due_unix_ms: plan.reveal_unix_ms };
        assert_eq!(state_of(&plan, seen(vec![]), 101), not_yet);
        let behind = HotkeyCommitments { registration_block: None, ..seen(vec![]) };
        assert_eq!(state_of(&plan, behind, 101), not_yet);
        assert_eq!(state_of(&plan, seen(vec![]), 100), lost(LostReason::DidNotOpen));
    }
}
