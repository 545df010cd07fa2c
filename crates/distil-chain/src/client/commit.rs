//! Committing a model: sealed, signed, sent once, and followed until a final block shows it.

use super::connection::{ClientAt, Connection};
use super::existing::check_quota;
use super::pending::{HotkeyCommitments, PendingField, hotkey_commitments_at};
use super::transaction::{self, Call, Signed, TransactionStage, TransactionWait, number};
use super::{ChainClient, ChainError};
use crate::timelock::{self, DrandNetwork, Randomness, TimelockError};
use crate::wallet::HotkeySigner;
use distil_types::{BlockRef, Commitment, Hotkey, NetUid};
use subxt::dynamic::Value;

/// A commitment that is ready to be sent: what it says, sealed until a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPlan {
    /// What is committed.
    pub commitment: Commitment,
    /// The text that the chain will reveal.
    pub text: String,
    /// The ciphertext that is sent.
    pub encrypted: Vec<u8>,
    /// The round of drand that opens it.
    pub reveal_round: u64,
    /// When that round is published, in milliseconds since 1970. The chain reveals it in a block soon after.
    pub reveal_unix_ms: u64,
}

impl CommitPlan {
    /// Seals a commitment for the first round that is published at `reveal_unix_ms` or later.
    ///
    /// # Errors
    /// [`TimelockError`] where the text does not fit, the time has no round, or there is no randomness.
    pub fn seal(
        commitment: Commitment,
        network: &DrandNetwork,
        reveal_unix_ms: u64,
        randomness: Randomness,
    ) -> Result<Self, TimelockError> {
        let text = serde_json::json!({ "model": commitment.model, "revision": commitment.revision }).to_string();
        let payload = timelock::commitment_payload(&text)?;
        let reveal_round = network.round_at(reveal_unix_ms)?;
        let encrypted = timelock::encrypt(&payload, reveal_round, network.public_key(), randomness)?;
        Ok(CommitPlan { commitment, text, encrypted, reveal_round, reveal_unix_ms: network.time_of(reveal_round)? })
    }

    /// Whether it is there as it was sent.
    pub(super) fn is_pending_in(&self, commitments: &HotkeyCommitments) -> bool {
        commitments.pending.iter().flat_map(|pending| &pending.fields).any(|field| {
            matches!(field, PendingField::Timelocked { encrypted, reveal_round }
                if *encrypted == self.encrypted && *reveal_round == self.reveal_round)
        })
    }

    /// The block of its reveal, for the present registration.
    pub(super) fn reveal_in(&self, commitments: &HotkeyCommitments) -> Option<u64> {
        let registered = commitments.registration_block?;
        let ours = |bytes: &[u8]| timelock::commitment_text(bytes) == self.text.as_bytes();
        let mut since = commitments.revealed.iter().filter(|entry| entry.reveal_block >= registered);
        since.find(|entry| ours(&entry.bytes)).map(|entry| entry.reveal_block)
    }
}

/// A commitment that is in a final block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The transaction: `0x` and its hash.
    pub transaction: String,
    /// The block that holds it.
    pub block: BlockRef,
}

impl ChainClient {
    /// Fails where a hotkey cannot commit: it has no seat, its one submission is made, pending or revealed, or its quota
    /// of the epoch is used up. Nothing is sent.
    ///
    /// # Errors
    /// [`ChainError::NotRegistered`], [`ChainError::AlreadyCommitted`], [`ChainError::QuotaExceeded`], and those of
    /// reading.
    pub async fn check_can_commit(&self, netuid: NetUid, hotkey: Hotkey, plan: &CommitPlan) -> Result<(), ChainError> {
        self.read("checking the commitment", move |connection| async move {
            let at = connection.at_finalized().await?;
            check(&connection, &at, netuid, hotkey, plan).await
        })
        .await
    }

    /// Commits a model for good: checks that the hotkey can, signs, sends once, and waits until a final block shows the
    /// transaction and what it did. `progress` is told each stage.
    ///
    /// It is never sent twice. Where the answer to the submission is lost, the blocks are searched for it until it is void.
    ///
    /// # Errors
    /// Before it is sent: as [`ChainClient::check_can_commit`], and [`ChainError::InFlight`] where another transaction of
    /// this hotkey is not final yet. [`ChainError::Pool`] where it was refused at once,
    /// [`ChainError::Dispatch`] where it failed in its block, [`ChainError::NotIncluded`] where it is void and can be
    /// sent anew, [`ChainError::FateUnknown`] where that is not known within the time.
    pub async fn commit(
        &self,
        netuid: NetUid,
        plan: &CommitPlan,
        signer: &HotkeySigner,
        wait: TransactionWait,
        progress: &mut (dyn FnMut(TransactionStage) + Send),
    ) -> Result<Committed, ChainError> {
        let signed = self
            .read("preparing the commitment", move |connection| async move {
                prepare(&connection, netuid, plan, signer).await
            })
            .await?;
        let block = self.send(&signed, netuid, wait, progress).await?;
        let hotkey = signer.public_key();
        let shown = self.read("reading the commitment back", move |connection| async move {
            let at = connection.at_number(block.number).await?;
            let commitments = hotkey_commitments_at(&connection, &at, netuid, hotkey).await?;
            Ok(plan.is_pending_in(&commitments) || plan.reveal_in(&commitments).is_some())
        });
        transaction::shown(shown.await, &signed, block)?;
        Ok(Committed { transaction: signed.hash, block })
    }
}

async fn check(
    connection: &Connection,
    at: &ClientAt,
    netuid: NetUid,
    hotkey: Hotkey,
    plan: &CommitPlan,
) -> Result<(), ChainError> {
    hotkey_commitments_at(connection, at, netuid, hotkey).await?.check(netuid, hotkey)?;
    let next_block = transaction::best_number(connection).await?.max(at.block_number()) + 1;
    check_quota(connection, at, netuid, hotkey, plan.encrypted.len(), next_block).await
}

async fn prepare(
    connection: &Connection,
    netuid: NetUid,
    plan: &CommitPlan,
    signer: &HotkeySigner,
) -> Result<Signed, ChainError> {
    let at = connection.at_finalized().await?;
    check(connection, &at, netuid, signer.public_key(), plan).await?;
    transaction::sign(connection, &at, set_commitment(netuid, plan), signer).await
}

pub(super) fn set_commitment(netuid: NetUid, plan: &CommitPlan) -> Call {
    let field = Value::named_variant(
        "TimelockEncrypted",
        [("encrypted", Value::from_bytes(&plan.encrypted)), ("reveal_round", number(plan.reveal_round))],
    );
    let info = Value::named_composite([("fields", Value::unnamed_composite([field]))]);
    Call {
        pallet: "Commitments",
        name: "set_commitment",
        arguments: vec![("netuid", number(netuid.0)), ("info", info)],
    }
}
