//! Committing a model: sealed, signed, sent once, and followed until a final block shows it.

use super::connection::{Config, Connection};
use super::error::{is_limit, shortened};
use super::pending::{HotkeyCommitments, PendingField, block_ref, hotkey_commitments_at};
use super::{ChainClient, ChainError};
use crate::commitments::{NotEligible, select_submission};
use crate::timelock::{self, DrandNetwork, Randomness, TimelockError};
use crate::wallet::HotkeySigner;
use distil_types::{BlockRef, Commitment, Hotkey, NetUid};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use subxt::config::DefaultExtrinsicParamsBuilder;
use subxt::dynamic::Value;
use subxt::error::DispatchError;
use subxt::events::Phase;
use subxt::utils::{AccountId32, MultiSignature};
use tokio::time::Instant;

/// Blocks for which the transaction is valid. A lost one is void after that, so another one can be sent.
const MORTAL_BLOCKS: u64 = 64;

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

    fn is_in(&self, commitments: &HotkeyCommitments) -> bool {
        let sealed = commitments.pending.iter().flat_map(|pending| &pending.fields).any(|field| {
            matches!(field, PendingField::Timelocked { encrypted, reveal_round }
                if *encrypted == self.encrypted && *reveal_round == self.reveal_round)
        });
        let open = |bytes: &[u8]| timelock::commitment_text(bytes) == self.text.as_bytes();
        sealed || commitments.revealed.iter().any(|entry| open(&entry.bytes))
    }
}

/// How a transaction is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitWait {
    /// The pause between two looks at the chain; a block time is a good one.
    pub poll_interval: Duration,
    /// For how long it is looked for at most.
    pub at_most: Duration,
}

/// A commitment that is in a final block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The transaction: `0x` and its hash.
    pub transaction: String,
    /// The block that holds it.
    pub block: BlockRef,
}

/// A signed transaction and where it can be.
struct Sent {
    hash: String,
    encoded: Vec<u8>,
    /// It can be in blocks after this one,
    born_block: u64,
    /// and in none after this one.
    last_block: u64,
}

struct SubxtSigner<'a>(&'a HotkeySigner);

impl subxt::transactions::Signer<Config> for SubxtSigner<'_> {
    fn account_id(&self) -> AccountId32 {
        AccountId32(*self.0.public_key().account_id())
    }

    fn sign(&self, payload: &[u8]) -> MultiSignature {
        MultiSignature::Sr25519(self.0.sign(payload))
    }
}

impl ChainClient {
    /// Fails where a hotkey cannot commit: it has no seat, or its one submission is made, pending or revealed.
    ///
    /// # Errors
    /// [`ChainError::NotRegistered`], [`ChainError::AlreadyCommitted`], and those of reading.
    pub async fn check_can_commit(&self, netuid: NetUid, hotkey: Hotkey) -> Result<(), ChainError> {
        check(netuid, hotkey, &self.hotkey_commitments(netuid, hotkey).await?)
    }

    /// Commits a model for good: checks that the hotkey can, signs, sends once, and waits until a final block shows the
    /// transaction and what it did.
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
        wait: CommitWait,
    ) -> Result<Committed, ChainError> {
        let hotkey = signer.public_key();
        let sent = self
            .read("preparing the commitment", move |connection| async move {
                prepare(&connection, netuid, plan, signer).await
            })
            .await?;
        self.send_once(&sent).await?;
        self.follow(&sent, netuid, hotkey, plan, wait).await
    }

    /// Sends it. What may have arrived counts as sent.
    async fn send_once(&self, sent: &Sent) -> Result<(), ChainError> {
        let mut slot = self.connection.lock().await;
        let deadline = Instant::now() + self.settings.overall_deadline;
        let attempted = AtomicBool::new(false);
        let attempted_ref = &attempted;
        let submitting = self.once("sending the commitment", &mut slot, deadline, |connection| async move {
            attempted_ref.store(true, Ordering::Relaxed);
            let submitted = connection.methods.author_submit_extrinsic(&sent.encoded).await;
            submitted.map(drop).map_err(|error| connection.explain("the answer to the submission", &error))
        });
        match submitting.await {
            // Already imported: then it is there.
            Err(ChainError::Pool { code: 1013, .. }) => Ok(()),
            Err(refused @ (ChainError::Pool { .. } | ChainError::Node { .. })) => Err(refused),
            // There was no connection to send it over.
            Err(error) if !attempted.load(Ordering::Relaxed) => Err(error),
            // Lost on the way there or on the way back.
            Err(_) | Ok(()) => Ok(()),
        }
    }

    async fn follow(
        &self,
        sent: &Sent,
        netuid: NetUid,
        hotkey: Hotkey,
        plan: &CommitPlan,
        wait: CommitWait,
    ) -> Result<Committed, ChainError> {
        let until = Instant::now() + wait.at_most;
        let mut next_block = sent.born_block + 1;
        let mut last_problem = "no block shows it yet".to_owned();
        loop {
            let looked = self.read("looking for the commitment", move |connection| async move {
                look(&connection, sent, next_block, netuid, hotkey, plan).await
            });
            match looked.await {
                Ok(Look::Found(committed)) => return Ok(committed),
                Ok(Look::NotUpTo(block)) if block >= sent.last_block => {
                    return Err(ChainError::NotIncluded { hash: sent.hash.clone(), block: sent.last_block });
                }
                Ok(Look::NotUpTo(block)) => next_block = next_block.max(block + 1),
                Err(error @ ChainError::Dispatch { .. }) => return Err(error),
                Err(error) => last_problem = error.to_string(),
            }
            if Instant::now() + wait.poll_interval >= until {
                return Err(ChainError::FateUnknown { hash: sent.hash.clone(), problem: last_problem });
            }
            tokio::time::sleep(wait.poll_interval).await;
        }
    }
}

fn check(netuid: NetUid, hotkey: Hotkey, commitments: &HotkeyCommitments) -> Result<(), ChainError> {
    let registered = commitments.registration_block.ok_or(ChainError::NotRegistered { hotkey, netuid })?;
    if let Some(pending) = commitments.pending.as_ref().filter(|pending| pending.is_timelocked()) {
        let rounds: Vec<String> = pending
            .fields
            .iter()
            .filter_map(|field| match field {
                PendingField::Timelocked { reveal_round, .. } => Some(reveal_round.to_string()),
                PendingField::Other { .. } => None,
            })
            .collect();
        let what = format!("sealed until drand's round {}", rounds.join(", "));
        return Err(ChainError::AlreadyCommitted { block: pending.block, what });
    }
    // Of a full list it does not matter here which entry counts.
    match select_submission(&commitments.revealed, registered, commitments.revealed.first()) {
        Ok(submission) => {
            let what = submission.commitment.to_string();
            Err(ChainError::AlreadyCommitted { block: submission.reveal_block, what })
        }
        Err(NotEligible::NothingValid { passed_over }) if passed_over.len() + 1 >= crate::KEPT_REVEALS => {
            // One more fills the list, and a full list that nobody saw begin is not eligible.
            let what = format!("{} entries that are no commitments of a model", passed_over.len());
            let block = passed_over.last().map_or(0, |passed| passed.reveal_block);
            Err(ChainError::AlreadyCommitted { block, what })
        }
        Err(_) => Ok(()),
    }
}

async fn prepare(
    connection: &Connection,
    netuid: NetUid,
    plan: &CommitPlan,
    signer: &HotkeySigner,
) -> Result<Sent, ChainError> {
    let at = connection.at_finalized().await?;
    let hotkey = signer.public_key();
    check(netuid, hotkey, &hotkey_commitments_at(connection, &at, netuid, hotkey).await?)?;

    let account = AccountId32(*hotkey.account_id());
    let transactions = at.transactions();
    let final_nonce = transactions.account_nonce(&account).await;
    let final_nonce = final_nonce.map_err(|error| connection.explain("the account's nonce", &error))?;
    let next_nonce = connection.methods.system_account_next_index(&account).await;
    let next_nonce = next_nonce.map_err(|error| connection.explain("the account's next nonce", &error))?;
    if next_nonce != final_nonce {
        return Err(ChainError::InFlight { hotkey, nonce: final_nonce });
    }

    let field = Value::named_variant(
        "TimelockEncrypted",
        [("encrypted", Value::from_bytes(&plan.encrypted)), ("reveal_round", Value::u128(plan.reveal_round.into()))],
    );
    let info = Value::named_composite([("fields", Value::unnamed_composite([field]))]);
    let call = subxt::dynamic::tx("Commitments", "set_commitment", vec![Value::u128(netuid.0.into()), info]);
    let unsupported = |error: &dyn std::error::Error| ChainError::UnsupportedMetadata {
        spec_version: at.spec_version(),
        problem: shortened(&error.to_string()),
    };
    let parameters = DefaultExtrinsicParamsBuilder::new().mortal(MORTAL_BLOCKS).nonce(next_nonce).build();
    let signable = transactions.create_signable(&call, &account, parameters).await;
    let mut signable = signable.map_err(|error| unsupported(&error))?;
    let signed = signable.sign(&SubxtSigner(signer)).map_err(|error| unsupported(&error))?;
    Ok(Sent {
        hash: format!("{:?}", signed.hash()),
        encoded: signed.into_encoded(),
        born_block: at.block_number(),
        last_block: at.block_number() + MORTAL_BLOCKS,
    })
}

enum Look {
    Found(Committed),
    /// It is in no final block up to this one.
    NotUpTo(u64),
}

/// Searches the final blocks from one on.
async fn look(
    connection: &Connection,
    sent: &Sent,
    from_block: u64,
    netuid: NetUid,
    hotkey: Hotkey,
    plan: &CommitPlan,
) -> Result<Look, ChainError> {
    let finalized = connection.at_finalized().await?.block_number();
    let last = finalized.min(sent.last_block);
    for number in from_block..=last {
        let at = connection.at_number(number).await?;
        let body = connection.methods.chain_get_block(Some(at.block_hash())).await;
        let body = body.map_err(|error| connection.explain("a block's body", &error))?;
        let what = "a block's body";
        let body = body.ok_or_else(|| ChainError::Malformed { what, problem: format!("block {number} has none") })?;
        let Some(position) = body.block.extrinsics.iter().position(|bytes| bytes.0 == sent.encoded) else { continue };
        let block = block_ref(&at);
        let events = at.events().fetch().await.map_err(|error| connection.explain("the block's events", &error))?;
        for event in events.iter() {
            let event = event.map_err(|error| super::neurons::unsupported(&at, &error))?;
            let is_ours = event.phase() == Phase::ApplyExtrinsic(position as u32);
            if is_ours && (event.pallet_name(), event.event_name()) == ("System", "ExtrinsicFailed") {
                let error = DispatchError::decode_from(event.field_bytes(), at.metadata());
                let error = error.map_err(|error| super::neurons::unsupported(&at, &error))?;
                return Err(refused(&error, number, epoch_blocks(connection, &at, netuid).await));
            }
        }
        let commitments = hotkey_commitments_at(connection, &at, netuid, hotkey).await?;
        if !plan.is_in(&commitments) {
            let problem = format!("block {number} has the transaction, but storage does not show the commitment");
            return Err(ChainError::Malformed { what: "the commitment", problem });
        }
        return Ok(Look::Found(Committed { transaction: sent.hash.clone(), block }));
    }
    Ok(Look::NotUpTo(last))
}

/// The most blocks until the next epoch; nothing where it cannot be read, for the error is not about that.
async fn epoch_blocks(connection: &Connection, at: &super::connection::ClientAt, netuid: NetUid) -> Option<u64> {
    let tempo = super::neurons::tempo(connection, at, netuid).await.ok()?;
    Some(u64::from(tempo) + 1)
}

fn refused(error: &DispatchError, block: u64, epoch_blocks: Option<u64>) -> ChainError {
    let (pallet, error) = match error {
        DispatchError::Module(module) => match module.details() {
            Ok(details) => (details.pallet.name().to_owned(), details.variant.name.clone()),
            Err(_) => ("Unknown".to_owned(), module.details_string()),
        },
        other => ("System".to_owned(), other.to_string()),
    };
    let wait_blocks = epoch_blocks.filter(|_| is_limit(&error));
    ChainError::Dispatch { pallet, error: shortened(&error), block, wait_blocks }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commitments::RevealedEntry;
    use distil_types::BlockHash;

    fn commitments(revealed: Vec<RevealedEntry>) -> HotkeyCommitments {
        let block = BlockRef { number: 100, hash: BlockHash::from_bytes([1; 32]) };
        HotkeyCommitments { block, registration_block: Some(50), revealed, pending: None }
    }

    fn can(commitments: &HotkeyCommitments) -> Result<(), String> {
        let hotkey = Hotkey::from_account_id([1; 32]);
        check(NetUid(97), hotkey, commitments).map_err(|error| error.to_string())
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
}
