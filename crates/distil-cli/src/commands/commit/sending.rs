//! Sending a commitment, and what becomes of it.

use std::time::Duration;

use distil_chain::wallet::HotkeySigner;
use distil_chain::{ChainClient, CommitPlan, RevealState, TransactionStage, TransactionWait};

use super::page::{Outcome, date};
use super::sealing::now_unix_ms;
use super::{Session, line};
use crate::chain::chain_error;
use crate::exit::CommandError;
use crate::numbers::duration;

/// A transaction is void 64 blocks after it was signed, so by then its fate is known.
const FOLLOW_AT_MOST: Duration = Duration::from_secs(15 * 60);
/// A round is published on time, reaches the chain some blocks later, and is final some blocks after that.
const REVEAL_GRACE: Duration = Duration::from_secs(3 * 60);

impl Session<'_> {
    /// Sends it, and tells each step as it is reached.
    pub(super) async fn send(
        &mut self,
        client: &ChainClient,
        plan: &CommitPlan,
        signer: &HotkeySigner,
        poll_interval: Duration,
    ) -> Result<Outcome, CommandError> {
        let settings = self.settings;
        let wait = TransactionWait { poll_interval, at_most: FOLLOW_AT_MOST };
        let mut in_block = None;
        let (common, notes) = (self.common, &mut *self.notes);
        let mut progress = |stage| {
            let told = match stage {
                TransactionStage::Submitted { transaction, last_block } => {
                    format!("submitted as {transaction}; it is void if no block up to {last_block} holds it")
                }
                TransactionStage::InBlock { block } => {
                    in_block = Some(block);
                    format!("in block {block}, which is not final yet")
                }
                TransactionStage::Finalized { block } => format!("final in block {block}"),
            };
            line(common, notes, &told);
        };
        let committed = client.commit(settings.netuid, plan, signer, wait, &mut progress).await.map_err(chain_error)?;
        let mut outcome = Outcome {
            submitted: committed.transaction,
            // The chain may have been faster than we looked.
            in_block: in_block.unwrap_or(committed.block),
            finalized: committed.block,
            revealed: None,
            lost: None,
        };
        let due = date(plan.reveal_unix_ms.div_ceil(1000));
        if !settings.wait_reveal {
            self.note(&format!("it will be revealed with drand's round {}, {due}", plan.reveal_round));
            return Ok(outcome);
        }
        let left = Duration::from_millis(plan.reveal_unix_ms.saturating_sub(now_unix_ms()));
        self.note(&format!(
            "waiting for the reveal with drand's round {}, {due} (in {}); ctrl-c ends the waiting and changes nothing",
            plan.reveal_round,
            duration(left)
        ));
        let wait = TransactionWait { at_most: left + REVEAL_GRACE, ..wait };
        match client.wait_for_reveal(settings.netuid, signer.public_key(), plan, outcome.finalized.number, wait).await {
            Ok(RevealState::Revealed { block }) => {
                self.note(&format!("revealed in block {block}"));
                outcome.revealed = Some(block);
            }
            Ok(RevealState::NotYet { .. }) => {
                self.note("it is not revealed yet; the commitment stands, and the chain goes on trying");
            }
            Ok(RevealState::Lost { reason }) => {
                self.note(&format!("it will not be revealed: {reason}"));
                outcome.lost = Some(reason.to_string());
            }
            // It is committed, so trouble with looking is no failure.
            Err(error) => self.note(&format!("whether it is revealed cannot be read: {error}")),
        }
        Ok(outcome)
    }
}
