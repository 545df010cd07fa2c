//! A transaction: signed for one block, sent once, and followed until a final block shows it or it is void.

use super::connection::{ClientAt, Config, Connection};
use super::error::{is_limit, shortened};
use super::storage::{self, SUBTENSOR, block_ref, unsupported};
use super::{ChainClient, ChainError, after};
use crate::wallet::HotkeySigner;
use distil_types::{BlockHash, BlockRef, NetUid};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use subxt::config::DefaultExtrinsicParamsBuilder;
use subxt::dynamic::Value;
use subxt::error::DispatchError;
use subxt::events::Phase;
use subxt::ext::scale_value::Composite;
use subxt::utils::{AccountId32, MultiSignature};

/// Blocks for which the transaction is valid. A lost one is void after that, so another one can be sent.
const MORTAL_BLOCKS: u64 = 64;
/// The most blocks that are not final and are searched: a chain whose finality lags further behind stands still.
const MAX_BEST_BLOCKS: u64 = 32;

/// How a transaction is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionWait {
    /// The pause between two looks at the chain; a block time is a good one.
    pub poll_interval: Duration,
    /// For how long it is looked for at most.
    pub at_most: Duration,
}

impl Default for TransactionWait {
    /// A look every 6 s, for up to 15 minutes: longer than a transaction can be valid.
    fn default() -> Self {
        TransactionWait { poll_interval: Duration::from_secs(6), at_most: Duration::from_secs(15 * 60) }
    }
}

/// How far a transaction has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionStage {
    /// It was sent, or may have been.
    Submitted {
        /// `0x` and its hash.
        transaction: String,
        /// It is void if it is in no block up to this one.
        last_block: u64,
    },
    /// A block holds it that may still be taken back. Comes again where it was, and another block holds it.
    InBlock {
        /// The block.
        block: BlockRef,
    },
    /// A final block holds it, and it did not fail there.
    Finalized {
        /// The block.
        block: BlockRef,
    },
}

/// Is told each stage as it is reached.
pub(super) type Progress<'a> = &'a mut (dyn FnMut(TransactionStage) + Send);

/// A signed transaction and where it can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Signed {
    pub(super) hash: String,
    #[serde(with = "crate::hex::text")]
    encoded: Vec<u8>,
    /// It can be in blocks after this one,
    pub(super) born_block: u64,
    /// and in none after this one.
    pub(super) last_block: u64,
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

/// What a pallet's call is given.
pub(super) struct Call {
    pub(super) pallet: &'static str,
    pub(super) name: &'static str,
    /// By name, so that their order does not matter.
    pub(super) arguments: Vec<(&'static str, Value)>,
}

pub(super) fn number(number: impl Into<u128>) -> Value {
    Value::u128(number.into())
}

/// Signs a call for the blocks after this one, unless another transaction of the key is under way.
pub(super) async fn sign(
    connection: &Connection,
    at: &ClientAt,
    call: Call,
    signer: &HotkeySigner,
) -> Result<Signed, ChainError> {
    let hotkey = signer.public_key();
    let account = AccountId32(*hotkey.account_id());
    let transactions = at.transactions();
    let final_nonce = transactions.account_nonce(&account).await;
    let final_nonce = final_nonce.map_err(|error| connection.explain("the account's nonce", &error))?;
    let next_nonce = connection.methods.system_account_next_index(&account).await;
    let next_nonce = next_nonce.map_err(|error| connection.explain("the account's next nonce", &error))?;
    if next_nonce != final_nonce {
        return Err(ChainError::InFlight { hotkey, nonce: final_nonce });
    }
    let call = subxt::dynamic::tx(call.pallet, call.name, Composite::named(call.arguments));
    let parameters = DefaultExtrinsicParamsBuilder::new()
        .mortal_from_unchecked(MORTAL_BLOCKS, at.block_number(), at.block_hash())
        .nonce(next_nonce)
        .build();
    // Nothing is asked of the node from here on, so what fails is the runtime's form and no trouble of the network.
    let signable = transactions.create_signable_offline(&call, parameters);
    let mut signable = signable.map_err(|error| unsupported(at, &error))?;
    let signed = signable.sign(&SubxtSigner(signer)).map_err(|error| unsupported(at, &error))?;
    Ok(Signed {
        hash: format!("{:?}", signed.hash()),
        encoded: signed.into_encoded(),
        born_block: at.block_number(),
        last_block: at.block_number() + MORTAL_BLOCKS,
    })
}

impl ChainClient {
    /// Sends it and follows it to a final block in which it did not fail. `netuid` is whose limits it may hit.
    pub(super) async fn send(
        &self,
        signed: &Signed,
        netuid: NetUid,
        wait: TransactionWait,
        progress: Progress<'_>,
    ) -> Result<BlockRef, ChainError> {
        self.send_once(signed).await?;
        progress(TransactionStage::Submitted { transaction: signed.hash.clone(), last_block: signed.last_block });
        let block = self.follow(signed, netuid, wait, progress).await?;
        progress(TransactionStage::Finalized { block });
        Ok(block)
    }

    /// As [`ChainClient::send`] for one that may have been sent before: it is looked for first.
    pub(super) async fn resume(
        &self,
        signed: &Signed,
        netuid: NetUid,
        wait: TransactionWait,
        progress: Progress<'_>,
    ) -> Result<BlockRef, ChainError> {
        let looked = self.read("looking for the transaction", move |connection| async move {
            look(&connection, signed, signed.born_block + 1, None, netuid).await
        });
        if let Look::NotFinalUpTo(block, None) = looked.await?
            && block < signed.last_block
        {
            self.send_once(signed).await?;
            progress(TransactionStage::Submitted { transaction: signed.hash.clone(), last_block: signed.last_block });
        }
        let block = self.follow(signed, netuid, wait, progress).await?;
        progress(TransactionStage::Finalized { block });
        Ok(block)
    }

    /// Sends it. What may have arrived counts as sent.
    async fn send_once(&self, signed: &Signed) -> Result<(), ChainError> {
        let mut slot = self.connection.lock().await;
        let deadline = after(self.settings.overall_deadline);
        let attempted = AtomicBool::new(false);
        let attempted_ref = &attempted;
        let submitting = self.once("sending the transaction", &mut slot, deadline, |connection| async move {
            attempted_ref.store(true, Ordering::Relaxed);
            let submitted = connection.methods.author_submit_extrinsic(&signed.encoded).await;
            submitted.map(drop).map_err(|error| connection.explain("the answer to the submission", &error))
        });
        match submitting.await {
            // Already imported: then it is there.
            Err(ChainError::Pool { code: 1013, .. }) => Ok(()),
            Err(refused) if is_refusal(&refused) => Err(refused),
            // There was no connection to send it over.
            Err(error) if !attempted.load(Ordering::Relaxed) => Err(error),
            // Lost on the way there or on the way back, or trouble of the node that says nothing about the transaction.
            Err(_) | Ok(()) => Ok(()),
        }
    }

    async fn follow(
        &self,
        signed: &Signed,
        netuid: NetUid,
        wait: TransactionWait,
        progress: Progress<'_>,
    ) -> Result<BlockRef, ChainError> {
        let until = after(wait.at_most);
        let mut next_block = signed.born_block + 1;
        let mut seen_in: Option<BlockRef> = None;
        let mut last_problem = "no block shows it yet".to_owned();
        loop {
            let looked = self.read("looking for the transaction", move |connection| async move {
                look(&connection, signed, next_block, seen_in, netuid).await
            });
            match looked.await {
                Ok(Look::Final(block)) => return Ok(block),
                Ok(Look::NotFinalUpTo(block, _)) if block >= signed.last_block => {
                    return Err(ChainError::NotIncluded { hash: signed.hash.clone(), block: signed.last_block });
                }
                Ok(Look::NotFinalUpTo(block, in_block)) => {
                    next_block = next_block.max(block + 1);
                    if let Some(block) = in_block.filter(|block| Some(*block) != seen_in) {
                        progress(TransactionStage::InBlock { block });
                        last_problem = format!("block {block} holds it and is not final yet");
                    }
                    seen_in = in_block;
                }
                Err(error @ ChainError::Dispatch { .. }) => return Err(error),
                Err(error) => last_problem = error.to_string(),
            }
            if after(wait.poll_interval) >= until {
                return Err(ChainError::FateUnknown { hash: signed.hash.clone(), problem: last_problem });
            }
            tokio::time::sleep(wait.poll_interval).await;
        }
    }
}

/// Whether the answer to a submission says that the transaction was not taken: the pool's own refusals, one that it
/// could not read or verify (1001, 1002), and a request that the node does not answer at all (-32600 to -32602). Any other
/// error may come after it was taken.
fn is_refusal(error: &ChainError) -> bool {
    match error {
        ChainError::Pool { .. } => true,
        ChainError::Node { code, .. } => matches!(code, 1001 | 1002 | -32_602..=-32_600),
        _ => false,
    }
}

enum Look {
    Final(BlockRef),
    /// It is in no final block up to this one; it may be in one that is not final.
    NotFinalUpTo(u64, Option<BlockRef>),
}

/// Searches the final blocks from one on, then those that are not final.
async fn look(
    connection: &Connection,
    signed: &Signed,
    from_block: u64,
    seen_in: Option<BlockRef>,
    netuid: NetUid,
) -> Result<Look, ChainError> {
    let finalized = connection.at_finalized().await?.block_number();
    let last = finalized.min(signed.last_block);
    for number in from_block..=last {
        let at = connection.at_number(number).await?;
        if let Some(position) = position_in(connection, signed, at.block_hash(), number).await? {
            did_not_fail(connection, &at, position, netuid).await?;
            return Ok(Look::Final(block_ref(&at)));
        }
    }
    let best = best_number(connection).await?.min(signed.last_block);
    let mut in_block = None;
    for number in (last + 1..=best).take(MAX_BEST_BLOCKS as usize) {
        // Taken back since.
        let Some(block) = block_numbered(connection, number).await? else { break };
        let hash = subxt::utils::H256(*block.hash.as_bytes());
        if seen_in == Some(block) || position_in(connection, signed, hash, number).await?.is_some() {
            in_block = Some(block);
            break;
        }
    }
    Ok(Look::NotFinalUpTo(last, in_block))
}

/// The number of the best block, which need not be final.
pub(super) async fn best_number(connection: &Connection) -> Result<u64, ChainError> {
    let header = connection.methods.chain_get_header(None).await;
    let header = header.map_err(|error| connection.explain("the best block", &error))?;
    Ok(header.map_or(0, |header| header.number))
}

/// The block with this number on the best chain, whose state need not be kept any more.
pub(super) async fn block_numbered(connection: &Connection, number: u64) -> Result<Option<BlockRef>, ChainError> {
    let hash = connection.methods.chain_get_block_hash(Some(number.into())).await;
    let hash = hash.map_err(|error| connection.explain("a block's hash", &error))?;
    Ok(hash.map(|hash| BlockRef { number, hash: BlockHash::from_bytes(hash.0) }))
}

/// Whether storage shows, in the block that holds the transaction, what it was to do.
pub(super) fn shown(shown: Result<bool, ChainError>, signed: &Signed, block: BlockRef) -> Result<(), ChainError> {
    let problem = match shown {
        Ok(true) => return Ok(()),
        Ok(false) => format!("block {block} holds it, but storage does not show what it did"),
        Err(error) => format!("block {block} holds it, but storage could not be read: {error}"),
    };
    Err(ChainError::FateUnknown { hash: signed.hash.clone(), problem })
}

/// Where in a block the transaction stands.
async fn position_in(
    connection: &Connection,
    signed: &Signed,
    hash: subxt::utils::H256,
    number: u64,
) -> Result<Option<usize>, ChainError> {
    const WHAT: &str = "a block's body";
    let body = connection.methods.chain_get_block(Some(hash)).await;
    let body = body.map_err(|error| connection.explain(WHAT, &error))?;
    let body = body.ok_or_else(|| ChainError::Malformed { what: WHAT, problem: format!("block {number} has none") })?;
    Ok(body.block.extrinsics.iter().position(|bytes| bytes.0 == signed.encoded))
}

async fn did_not_fail(
    connection: &Connection,
    at: &ClientAt,
    position: usize,
    netuid: NetUid,
) -> Result<(), ChainError> {
    let events = at.events().fetch().await.map_err(|error| connection.explain("the block's events", &error))?;
    // They are encoded by the runtime that made the block, which is that of its parent: the block itself may bring a new
    // one.
    let parent = connection.at_number(at.block_number().saturating_sub(1)).await?;
    let events = parent.events().from_bytes(events.bytes().to_vec());
    for event in events.iter() {
        let event = event.map_err(|error| unsupported(at, &error))?;
        let is_ours = event.phase() == Phase::ApplyExtrinsic(position as u32);
        if is_ours && (event.pallet_name(), event.event_name()) == ("System", "ExtrinsicFailed") {
            let error = DispatchError::decode_from(event.field_bytes(), parent.metadata());
            let (pallet, error) = named(&error.map_err(|error| unsupported(at, &error))?);
            let wait_blocks = if is_limit(&error) { limit_blocks(connection, at, netuid, &error).await } else { None };
            return Err(ChainError::Dispatch { pallet, error, block: at.block_number(), wait_blocks });
        }
    }
    Ok(())
}

/// The pallet and the name of an error, by the metadata of its block.
fn named(error: &DispatchError) -> (String, String) {
    let (pallet, error) = match error {
        DispatchError::Module(module) => match module.details() {
            Ok(details) => (details.pallet.name().to_owned(), details.variant.name.clone()),
            Err(_) => ("Unknown".to_owned(), module.details_string()),
        },
        other => ("System".to_owned(), other.to_string()),
    };
    (pallet, shortened(&error))
}

/// The most blocks until a limit is over; nothing where it cannot be read, for the error is not about that.
async fn limit_blocks(connection: &Connection, at: &ClientAt, netuid: NetUid, error: &str) -> Option<u64> {
    if error.ends_with("TooFast") {
        return storage::fetch(connection, at, SUBTENSOR, "WeightsSetRateLimit", (netuid.0,)).await.ok();
    }
    let tempo: u16 = storage::fetch(connection, at, SUBTENSOR, "Tempo", (netuid.0,)).await.ok()?;
    Some(u64::from(tempo) + 1)
}
