//! What became of committed weights: revealed, waiting for their epoch, or lost.

use super::storage::{self, SUBTENSOR, block_ref};
use super::subnet_weights::{commits_of, row_of};
use super::weights::CommittedWeights;
use super::{ChainClient, ChainError, NeuronInfo, SubnetParameters, beacon, neurons};
use crate::weights::WeightRow;
use distil_types::{BlockRef, Hotkey, NetUid};

/// What became of committed weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightsConfirmation {
    /// The chain has them.
    Revealed {
        /// The block that was read.
        block: BlockRef,
    },
    /// They wait.
    NotYet {
        /// The block that was read.
        block: BlockRef,
        /// The epoch in which they are revealed begins with this block.
        reveal_block: u64,
        /// Their round of drand is not on the chain, though it has later ones: it will not come, and they will be lost.
        round_skipped: bool,
    },
    /// They do not wait any more and are not there.
    Lost {
        /// The block that was read.
        block: BlockRef,
        /// What the chain has instead; empty where it has no row.
        on_chain: WeightRow,
        /// What is known to be in the way; the chain itself says nothing. Empty where nothing is.
        reasons: Vec<LostWeights>,
    },
}

/// What is known of why committed weights were not revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LostWeights {
    /// The hotkey has no seat any more.
    #[error("the hotkey has no seat on the subnet any more")]
    NotRegistered,
    /// The round never came.
    #[error("the chain went past drand's round {reveal_round} without storing it")]
    RoundSkipped {
        /// The round.
        reveal_round: u64,
    },
    /// The hotkey may not set weights for others any more.
    #[error("the hotkey has no validator permit any more")]
    NoValidatorPermit,
    /// The chain now demands a higher version.
    #[error("the subnet demands version {demanded} of weights, and they were committed with {committed}")]
    VersionTooLow {
        /// What the chain demands.
        demanded: u64,
        /// What was committed.
        committed: u64,
    },
    /// The chain now demands longer rows.
    #[error("the subnet demands rows of {demanded} weights, and {committed} were committed")]
    RowTooShort {
        /// What the chain demands.
        demanded: u16,
        /// What was committed.
        committed: usize,
    },
    /// The subnet has fewer seats now.
    #[error("the subnet has {neurons} neurons, and weight was committed for others")]
    NoSuchUid {
        /// How many there are.
        neurons: usize,
    },
    /// Weights of a later commit are there instead, or of one that was set in the open.
    #[error("weights were set or committed again in block {block}")]
    Replaced {
        /// The last update.
        block: u64,
    },
}

impl ChainClient {
    /// What became of weights that [`ChainClient::send_weights`] committed, by the newest final block.
    ///
    /// # Errors
    /// Those of reading, and [`ChainError::Snapshot`] for a metagraph that cannot be true.
    pub async fn confirm_weights(
        &self,
        netuid: NetUid,
        hotkey: Hotkey,
        committed: &CommittedWeights,
    ) -> Result<WeightsConfirmation, ChainError> {
        self.read("confirming the weights", move |connection| async move {
            let at = connection.at_finalized().await?;
            let block = block_ref(&at);
            let reveal_round = committed.reveal_round;
            let commits = commits_of(&connection, &at, netuid, hotkey).await?;
            // This node has not seen the block of the commit yet.
            let is_behind = block.number < committed.block.number;
            let round_skipped = !is_behind && beacon::is_skipped(&connection, &at, reveal_round).await?;
            if is_behind || commits.has(committed.block.number, reveal_round) {
                let reveal_block = committed.reveal_block;
                return Ok(WeightsConfirmation::NotYet { block, reveal_block, round_skipped });
            }
            let uid: Option<u16> =
                storage::find(&connection, &at, SUBTENSOR, "Uids", (netuid.0, *hotkey.account_id())).await?;
            let Some(uid) = uid else {
                let (on_chain, reasons) = (WeightRow::default(), vec![LostWeights::NotRegistered]);
                return Ok(WeightsConfirmation::Lost { block, on_chain, reasons });
            };
            let on_chain = row_of(&connection, &at, netuid, distil_types::Uid(uid)).await?;
            if on_chain.gives_the_same_as(&committed.row) {
                return Ok(WeightsConfirmation::Revealed { block });
            }
            let (parameters, neurons) = neurons::read(&connection, &at, netuid).await?;
            let mut reasons = reasons(committed, hotkey, &parameters, &neurons);
            if round_skipped {
                reasons.push(LostWeights::RoundSkipped { reveal_round });
            }
            Ok(WeightsConfirmation::Lost { block, on_chain, reasons })
        })
        .await
    }
}

fn reasons(
    committed: &CommittedWeights,
    hotkey: Hotkey,
    parameters: &SubnetParameters,
    neurons: &[NeuronInfo],
) -> Vec<LostWeights> {
    let mut reasons = Vec::new();
    let own = neurons.iter().find(|neuron| neuron.hotkey == hotkey);
    match own {
        None => reasons.push(LostWeights::NotRegistered),
        Some(own) if !own.validator_permit => reasons.push(LostWeights::NoValidatorPermit),
        Some(_) => {}
    }
    if parameters.weights_version > committed.version_key {
        let (demanded, committed) = (parameters.weights_version, committed.version_key);
        reasons.push(LostWeights::VersionTooLow { demanded, committed });
    }
    let count = committed.row.entries().len();
    let demanded = parameters.min_allowed_weights;
    if count < usize::from(demanded).min(neurons.len()) {
        reasons.push(LostWeights::RowTooShort { demanded, committed: count });
    }
    if committed.row.entries().iter().any(|(uid, _)| usize::from(uid.0) >= neurons.len()) {
        reasons.push(LostWeights::NoSuchUid { neurons: neurons.len() });
    }
    if let Some(block) = own.map(|own| own.last_update_block).filter(|block| *block > committed.block.number) {
        reasons.push(LostWeights::Replaced { block });
    }
    reasons
}
