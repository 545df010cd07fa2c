//! A subnet at one final block.

use super::error::ErrorClass;
use super::pending::{PendingCommitment, all_pending, all_revealed};
use super::storage::block_ref;
use super::{ChainClient, ChainError, neurons};
use crate::commitments::RevealedEntry;
use distil_types::{BlockRef, Hotkey, NetUid, Uid};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

/// What the chain sets for a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubnetParameters {
    /// Blocks between two epochs.
    pub tempo: u16,
    /// A row of weights has at least so many entries.
    pub min_allowed_weights: u16,
    /// A row of weights names this version or a later one; 0: any.
    pub weights_version: u64,
    /// Blocks between two rows of weights by one validator.
    pub weights_rate_limit_blocks: u64,
    /// Blocks after which a validator that set no weights counts as inactive, where the chain has such a number.
    pub activity_cutoff_blocks: Option<u16>,
    /// Whether weights are committed first and revealed later.
    pub commit_reveal: bool,
    /// After how many epochs.
    pub commit_reveal_period_epochs: u64,
}

/// Who has a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeuronInfo {
    /// The seat.
    pub uid: Uid,
    /// Who signs.
    pub hotkey: Hotkey,
    /// The account that owns the hotkey.
    pub coldkey: Hotkey,
    /// When the seat was taken.
    pub registration_block: u64,
    /// Whether it may set weights for others.
    pub validator_permit: bool,
    /// Its stake in rao: the total that the runtime reckons with or, where the runtime has no call that says it, the
    /// subnet's alpha alone.
    pub stake_rao: u64,
    /// Its incentive, of 65,535.
    pub incentive: u16,
    /// When it last set or committed weights; the block of the registration where it never did.
    pub last_update_block: u64,
}

/// A subnet at one final block. All of it was read at the same hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The subnet.
    pub netuid: NetUid,
    /// The block.
    pub block: BlockRef,
    /// The runtime's version at the block.
    pub spec_version: u32,
    /// What the chain sets.
    pub parameters: SubnetParameters,
    /// The seats, in their order.
    pub neurons: Vec<NeuronInfo>,
    /// What hotkeys with a seat revealed, the oldest first.
    pub revealed: BTreeMap<Hotkey, Vec<RevealedEntry>>,
    /// What hotkeys with a seat committed and is not revealed.
    pub pending: BTreeMap<Hotkey, PendingCommitment>,
}

/// What a snapshot has to be like to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnapshotExpectation {
    /// Take the newest final block whose number is a multiple of this, instead of the newest one.
    pub block_multiple_of: Option<NonZeroU64>,
    /// The number of the block before; this one has to be beyond it.
    pub previous_block: Option<u64>,
    /// How many neurons there were before; now there are more than half as many.
    pub previous_neurons: Option<usize>,
    /// The hotkey that has to have a seat.
    pub own_hotkey: Option<Hotkey>,
}

/// Why a snapshot cannot be true, or cannot be worked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotRefusal {
    /// A subnet that is alive has a validator and a miner.
    #[error("block {block} has {neurons} neurons, and a subnet that is alive has at least 2")]
    TooFewNeurons {
        /// The block.
        block: BlockRef,
        /// How many.
        neurons: usize,
    },
    /// Half of the neurons are gone, or more.
    #[error("block {block} has {neurons} neurons after {previous} before")]
    NeuronsLost {
        /// The block.
        block: BlockRef,
        /// How many.
        neurons: usize,
        /// How many there were.
        previous: usize,
    },
    /// The chain did not move on, or the node lags behind.
    #[error("block {block} is not beyond block {previous}, which was seen before")]
    BlockNotBeyond {
        /// The block.
        block: BlockRef,
        /// The number of the one before.
        previous: u64,
    },
    /// The own hotkey has no seat any more.
    #[error("{hotkey} has no seat on subnet {netuid} at block {block}")]
    OwnHotkeyGone {
        /// Who.
        hotkey: Hotkey,
        /// Where.
        netuid: NetUid,
        /// When.
        block: BlockRef,
    },
}

impl SnapshotRefusal {
    /// What to do: another node may know better, or a later block.
    pub(super) fn class(&self) -> ErrorClass {
        match self {
            SnapshotRefusal::BlockNotBeyond { block, previous } => {
                ErrorClass::Wait { blocks: previous.saturating_sub(block.number).saturating_add(1) }
            }
            _ => ErrorClass::TryAgain,
        }
    }
}

impl SnapshotExpectation {
    pub(super) fn check_block(&self, block: BlockRef) -> Result<(), SnapshotRefusal> {
        match self.previous_block {
            Some(previous) if block.number <= previous => Err(SnapshotRefusal::BlockNotBeyond { block, previous }),
            _ => Ok(()),
        }
    }

    pub(super) fn check_neurons(
        &self,
        netuid: NetUid,
        block: BlockRef,
        neurons: &[NeuronInfo],
    ) -> Result<(), SnapshotRefusal> {
        let count = neurons.len();
        if count < 2 {
            return Err(SnapshotRefusal::TooFewNeurons { block, neurons: count });
        }
        if let Some(previous) = self.previous_neurons.filter(|previous| count <= previous / 2) {
            return Err(SnapshotRefusal::NeuronsLost { block, neurons: count, previous });
        }
        match self.own_hotkey.filter(|own| neurons.iter().all(|neuron| neuron.hotkey != *own)) {
            Some(hotkey) => Err(SnapshotRefusal::OwnHotkeyGone { hotkey, netuid, block }),
            None => Ok(()),
        }
    }
}

impl ChainClient {
    /// Reads a subnet at one final block.
    ///
    /// Neurons and parameters come in one call of the runtime where it has one. Where it has not, storage is iterated
    /// over. Commitments come in pages.
    ///
    /// # Errors
    /// [`ChainError::Snapshot`] where it is not as expected, [`ChainError::NoSubnet`],
    /// [`ChainError::UnsupportedMetadata`] and [`ChainError::Malformed`] where the runtime or an answer is not as it is
    /// known, and the errors of the way there once all tries are used up.
    pub async fn snapshot(&self, netuid: NetUid, expected: SnapshotExpectation) -> Result<Snapshot, ChainError> {
        self.read("reading the subnet", move |connection| async move {
            let mut at = connection.at_finalized().await?;
            let newest_final = at.block_number();
            if let Some(multiple) = expected.block_multiple_of {
                let wanted = at.block_number() - at.block_number() % multiple;
                if wanted != at.block_number() {
                    at = connection.at_number(wanted).await?;
                }
            }
            let block = block_ref(&at);
            expected.check_block(block).inspect_err(|_| connection.nothing_new(newest_final))?;
            let (parameters, neurons) = neurons::read(&connection, &at, netuid).await?;
            expected.check_neurons(netuid, block, &neurons)?;
            let registered: BTreeSet<Hotkey> = neurons.iter().map(|neuron| neuron.hotkey).collect();
            let revealed = all_revealed(&connection, &at, netuid, &registered).await?;
            let pending = all_pending(&connection, &at, netuid, &registered).await?;
            Ok(Snapshot { netuid, block, spec_version: at.spec_version(), parameters, neurons, revealed, pending })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use distil_types::BlockHash;
    use proptest::prelude::*;

    fn neurons(count: usize) -> Vec<NeuronInfo> {
        let neuron = |uid: u16| NeuronInfo {
            uid: Uid(uid),
            hotkey: Hotkey::from_account_id([uid as u8; 32]),
            coldkey: Hotkey::from_account_id([uid as u8; 32]),
            registration_block: 1,
            validator_permit: false,
            stake_rao: 0,
            incentive: 0,
            last_update_block: 1,
        };
        (0..count as u16).map(neuron).collect()
    }

    const BLOCK: BlockRef = BlockRef { number: 100, hash: BlockHash::from_bytes([3; 32]) };

    #[test]
    fn a_block_that_does_not_move_is_refused() {
        let after = |previous| SnapshotExpectation { previous_block: Some(previous), ..Default::default() };
        assert_eq!(after(99).check_block(BLOCK), Ok(()));
        let refusal = after(100).check_block(BLOCK).unwrap_err();
        assert_eq!(refusal, SnapshotRefusal::BlockNotBeyond { block: BLOCK, previous: 100 });
        assert_eq!(refusal.class(), ErrorClass::Wait { blocks: 1 });
        assert_eq!(after(149).check_block(BLOCK).unwrap_err().class(), ErrorClass::Wait { blocks: 50 });
    }

    proptest! {
        #[test]
        fn counts_that_cannot_be_true_are_refused(count in 0..40_usize, previous in proptest::option::of(0..80_usize)) {
            let expected = SnapshotExpectation { previous_neurons: previous, ..Default::default() };
            let fits = count >= 2 && previous.is_none_or(|previous| 2 * count > previous);
            prop_assert_eq!(expected.check_neurons(NetUid(97), BLOCK, &neurons(count)).is_ok(), fits);
        }
    }
}
