//! Weights as a signed transaction: it can be kept before it is sent, so that a program that ends in between finds out
//! later what became of it, and nothing is sent a second time.

use super::connection::{ClientAt, Connection};
use super::subnet_weights::{commits_of, row_of};
use super::transaction::{self, Signed, TransactionStage, TransactionWait, block_numbered};
use super::weights::{Action, WeightsCheck, WeightsStep};
use super::{ChainClient, ChainError, CommittedWeights, WeightsOptions, neurons, schedule};
use crate::timelock::{self, Randomness};
use crate::wallet::HotkeySigner;
use crate::weights::{WeightPlan, WeightRow};
use distil_types::{BlockRef, Hotkey, NetUid};
use serde::{Deserialize, Serialize};

/// Weights that are signed, and may have been sent. Kept by who signed them until it is known what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedWeights {
    netuid: NetUid,
    hotkey: Hotkey,
    row: WeightRow,
    version_key: u64,
    sealed: Option<Sealed>,
    transaction: Signed,
}

/// A row as it is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sealed {
    #[serde(with = "crate::hex::text")]
    bytes: Vec<u8>,
    reveal_round: u64,
}

impl SignedWeights {
    /// The transaction: `0x` and its hash.
    pub fn transaction(&self) -> &str {
        &self.transaction.hash
    }

    /// It is void if it is in no block up to this one.
    pub fn last_block(&self) -> u64 {
        self.transaction.last_block
    }

    /// The weights.
    pub fn row(&self) -> &WeightRow {
        &self.row
    }
}

/// What signing weights came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightsSigning {
    /// The chain has these weights, and the last update is recent. There is nothing to send.
    AlreadyThere {
        /// The block that was read.
        block: BlockRef,
        /// When the weights were last set or committed.
        last_update_block: u64,
    },
    /// These weights are committed and wait for their reveal. There is nothing to send.
    AwaitingReveal {
        /// The block that was read.
        block: BlockRef,
        /// The first block in which they can be revealed.
        reveal_block: u64,
    },
    /// To be sent.
    Signed(Box<SignedWeights>),
}

/// What sending weights came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightsOutcome {
    /// The chain has these weights.
    Set {
        /// The transaction: `0x` and its hash.
        transaction: String,
        /// The block that was seen to have them: the one that holds the transaction, or a later one.
        block: BlockRef,
        /// The row.
        row: WeightRow,
    },
    /// The chain has them sealed.
    Committed(CommittedWeights),
}

/// What the newest final block says of signed weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedWeightsFate {
    /// The chain has them.
    Shown(WeightsOutcome),
    /// It does not have them, and may yet: they can be sent, or sent again, which is the same.
    Open,
    /// It does not have them, and the transaction can be in no block any more.
    Void,
}

impl ChainClient {
    /// Signs weights as the chain takes them, in the open or sealed, unless they are there already. Nothing is sent.
    ///
    /// # Errors
    /// As [`ChainClient::check_weights`]; [`ChainError::InFlight`] where another transaction of this hotkey is not final
    /// yet; [`ChainError::Timelock`].
    pub async fn sign_weights(
        &self,
        netuid: NetUid,
        plan: &WeightPlan,
        signer: &HotkeySigner,
        options: &WeightsOptions<'_>,
        randomness: Randomness,
    ) -> Result<WeightsSigning, ChainError> {
        let hotkey = signer.public_key();
        let WeightsCheck { block, row, version_key, step, last_update_block, .. } =
            self.check_weights(netuid, plan, hotkey, options).await?;
        let action = match step {
            WeightsStep::AlreadyThere => return Ok(WeightsSigning::AlreadyThere { block, last_update_block }),
            WeightsStep::AwaitingReveal { reveal_block } => {
                return Ok(WeightsSigning::AwaitingReveal { block, reveal_block });
            }
            WeightsStep::Set => Action::Set { row: &row, version_key },
            WeightsStep::Commit { reveal_round, commit_reveal_version, .. } => {
                let payload = row.payload(hotkey, version_key);
                let sealed = timelock::encrypt(&payload, reveal_round, options.drand.public_key(), randomness)?;
                Action::Commit { sealed, reveal_round, commit_reveal_version }
            }
        };
        let action_ref = &action;
        let signing = self.read("signing the weights", move |connection| async move {
            let at = connection.at_finalized().await?;
            transaction::sign(&connection, &at, action_ref.call(at.metadata_ref(), netuid), signer).await
        });
        let transaction = signing.await?;
        let sealed = match action {
            Action::Set { .. } => None,
            Action::Commit { sealed: bytes, reveal_round, .. } => Some(Sealed { bytes, reveal_round }),
        };
        Ok(WeightsSigning::Signed(Box::new(SignedWeights { netuid, hotkey, row, version_key, sealed, transaction })))
    }

    /// Sends signed weights once, and follows them until a final block shows the transaction and what it did; `progress`
    /// is told each stage. Where the answer to the submission is lost, the blocks are searched for it until it is void.
    ///
    /// Sealed weights show much later whether they count: see [`ChainClient::confirm_weights`].
    ///
    /// # Errors
    /// [`ChainError::Pool`] where they were refused at once, [`ChainError::Dispatch`] where they failed in their block,
    /// [`ChainError::NotIncluded`] where they are void, [`ChainError::FateUnknown`] where that is not known within the
    /// time.
    pub async fn send_weights(
        &self,
        signed: &SignedWeights,
        wait: TransactionWait,
        progress: &mut (dyn FnMut(TransactionStage) + Send),
    ) -> Result<WeightsOutcome, ChainError> {
        let block = self.send(&signed.transaction, signed.netuid, wait, progress).await?;
        self.read_back(signed, block).await
    }

    /// As [`ChainClient::send_weights`] for weights that may have been sent before: where a block has them, final or
    /// not, they are not sent again.
    ///
    /// # Errors
    /// As there.
    pub async fn resume_weights(
        &self,
        signed: &SignedWeights,
        wait: TransactionWait,
        progress: &mut (dyn FnMut(TransactionStage) + Send),
    ) -> Result<WeightsOutcome, ChainError> {
        let block = self.resume(&signed.transaction, signed.netuid, wait, progress).await?;
        self.read_back(signed, block).await
    }

    /// What the newest final block says of signed weights. It is asked once it is not known whether they were sent.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_weights(&self, signed: &SignedWeights) -> Result<SignedWeightsFate, ChainError> {
        self.read("looking for the weights", move |connection| async move {
            let at = connection.at_finalized().await?;
            Ok(match effect(&connection, &at, signed).await? {
                Some(outcome) => SignedWeightsFate::Shown(outcome),
                None if at.block_number() < signed.transaction.last_block => SignedWeightsFate::Open,
                None => SignedWeightsFate::Void,
            })
        })
        .await
    }

    async fn read_back(&self, signed: &SignedWeights, block: BlockRef) -> Result<WeightsOutcome, ChainError> {
        let reading = self.read("reading the weights back", move |connection| async move {
            let at = connection.at_number(block.number).await?;
            effect(&connection, &at, signed).await
        });
        let problem = match reading.await {
            Ok(Some(outcome)) => return Ok(outcome),
            Ok(None) => format!("block {block} holds it, but storage does not show what it did"),
            Err(error) => format!("block {block} holds it, but storage could not be read: {error}"),
        };
        Err(ChainError::FateUnknown { hash: signed.transaction.hash.clone(), problem })
    }
}

/// What storage shows of them in one block.
async fn effect(
    connection: &Connection,
    at: &ClientAt,
    signed: &SignedWeights,
) -> Result<Option<WeightsOutcome>, ChainError> {
    let SignedWeights { netuid, hotkey, row, version_key, sealed, transaction } = signed;
    let (parameters, neurons) = neurons::read(connection, at, *netuid).await?;
    if let Some(Sealed { bytes, reveal_round }) = sealed {
        let commits = commits_of(connection, at, *netuid, *hotkey).await?;
        if let Some(commit) = commits.find(*reveal_round, bytes) {
            let schedule = schedule::read(connection, at, *netuid, parameters.tempo).await?;
            let reveal_epoch = commit.epoch.saturating_add(parameters.commit_reveal_period_epochs);
            let reveal_block = schedule.first_block_of(reveal_epoch);
            let block = block_numbered(connection, commit.block).await?.ok_or_else(|| ChainError::Malformed {
                what: "a commit of weights",
                problem: format!("it is of block {}, which is not there", commit.block),
            })?;
            return Ok(Some(WeightsOutcome::Committed(CommittedWeights {
                transaction: transaction.hash.clone(),
                block,
                row: row.clone(),
                version_key: *version_key,
                reveal_round: *reveal_round,
                epoch: commit.epoch,
                reveal_block,
                expiry_block: reveal_block.saturating_add(schedule.epoch_blocks()),
            })));
        }
    }
    // Set in the open, or revealed since. The same row may have been there before, but not an update since then.
    let Some(own) = neurons.iter().find(|neuron| neuron.hotkey == *hotkey) else { return Ok(None) };
    if own.last_update_block <= transaction.born_block {
        return Ok(None);
    }
    let is_there = row_of(connection, at, *netuid, own.uid).await?.gives_the_same_as(row);
    let (transaction, block) = (transaction.hash.clone(), super::storage::block_ref(at));
    Ok(is_there.then(|| WeightsOutcome::Set { transaction, block, row: row.clone() }))
}
