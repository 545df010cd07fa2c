//! Epochs: when weights that are committed now are revealed, in both ways in which chains count.

use crate::timelock::{DrandNetwork, TimelockError};
use distil_types::NetUid;

/// How many blocks after the first one of an epoch the round of drand is to be out with which weights are opened in it.
/// With the first block it would be a leak if blocks came late; Bittensor's tools take three blocks too.
const MARGIN_BLOCKS: u64 = 3;

/// When a subnet's epochs begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochSchedule {
    /// By the block's number alone: epoch `(block + netuid + 1) / (tempo + 1)`, which thus has `tempo + 1` blocks. So it
    /// was up to spec version 365 and some time after.
    BlockArithmetic {
        /// The subnet.
        netuid: NetUid,
        /// Blocks of an epoch, less one.
        tempo: u16,
    },
    /// Kept in storage, with an epoch every `tempo` blocks: runtimes with `SubnetEpochIndex`.
    Stateful {
        /// The epoch that runs.
        epoch: u64,
        /// The block with which the next one begins.
        next_start: u64,
        /// Blocks of an epoch.
        tempo: u16,
    },
}

impl EpochSchedule {
    /// Blocks of an epoch; 0 where a subnet has no epochs at all.
    pub fn epoch_blocks(&self) -> u64 {
        match *self {
            EpochSchedule::BlockArithmetic { tempo: 0, .. } => 0,
            EpochSchedule::BlockArithmetic { tempo, .. } => u64::from(tempo) + 1,
            EpochSchedule::Stateful { tempo, .. } => tempo.into(),
        }
    }

    /// The epoch that a block counts to.
    pub fn epoch_at(&self, block: u64) -> u64 {
        match *self {
            EpochSchedule::BlockArithmetic { netuid, tempo } => {
                block.saturating_add(u64::from(netuid.0) + 1) / (u64::from(tempo) + 1)
            }
            EpochSchedule::Stateful { epoch, next_start, tempo } => match block.checked_sub(next_start) {
                Some(beyond) if tempo > 0 => epoch.saturating_add(1).saturating_add(beyond / u64::from(tempo)),
                _ => epoch,
            },
        }
    }

    /// The epoch that weights committed in a block count to. By block numbers that is the next one already in the last
    /// block of an epoch, with which the chain reckons the epoch up.
    pub fn commit_epoch(&self, block: u64) -> u64 {
        match self {
            EpochSchedule::BlockArithmetic { tempo, .. } if *tempo > 0 => self.epoch_at(block.saturating_add(1)),
            _ => self.epoch_at(block),
        }
    }

    /// The first block of an epoch; of one that is over or runs, as if none had been begun out of turn.
    pub fn first_block_of(&self, wanted: u64) -> u64 {
        match *self {
            EpochSchedule::BlockArithmetic { netuid, tempo } => {
                wanted.saturating_mul(u64::from(tempo) + 1).saturating_sub(u64::from(netuid.0) + 1)
            }
            EpochSchedule::Stateful { epoch, next_start, tempo } => {
                let next = epoch.saturating_add(1);
                let blocks = wanted.abs_diff(next).saturating_mul(tempo.into());
                if wanted < next { next_start.saturating_sub(blocks) } else { next_start.saturating_add(blocks) }
            }
        }
    }

    /// The first block in which weights are revealed that are committed in this one.
    pub fn reveal_block(&self, commit_block: u64, period_epochs: u64) -> u64 {
        self.first_block_of(self.commit_epoch(commit_block).saturating_add(period_epochs))
    }

    /// The block by which the round is to be out, for weights that are revealed from `reveal_block` on: three blocks
    /// later, as Bittensor's tools have it, or half an epoch where that is shorter.
    pub fn open_block(&self, reveal_block: u64) -> u64 {
        reveal_block.saturating_add(MARGIN_BLOCKS.min(self.epoch_blocks() / 2))
    }
}

/// A block's number and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockTime {
    pub(crate) number: u64,
    /// Milliseconds since 1970.
    pub(crate) unix_ms: u64,
}

/// The round of drand that is out shortly before a later block: what Bittensor's tools choose, `⌊elapsed / period⌋`.
pub(crate) fn round_before(
    network: &DrandNetwork,
    now: BlockTime,
    later_block: u64,
    block_time_ms: u64,
) -> Result<u64, TimelockError> {
    let until_ms = later_block.saturating_sub(now.number).saturating_mul(block_time_ms);
    network.round_at_by_sdk_10(now.unix_ms.saturating_add(until_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_models_of_the_chain() {
        let arithmetic = EpochSchedule::BlockArithmetic { netuid: NetUid(97), tempo: 360 };
        // (1000 + 98) / 361 is 3; the fourth begins at 4 · 361 − 98.
        assert_eq!((arithmetic.epoch_at(1000), arithmetic.first_block_of(4)), (3, 1346));
        assert_eq!(arithmetic.reveal_block(1000, 1), 1346);
        // In block 1345 the third ends, so what is committed in it counts to the fourth.
        assert_eq!((arithmetic.epoch_at(1345), arithmetic.commit_epoch(1345)), (3, 4));
        assert_eq!(arithmetic.reveal_block(1345, 1), 1346 + 361);
        assert_eq!(arithmetic.open_block(1346), 1349);

        let stateful = EpochSchedule::Stateful { epoch: 9, next_start: 1200, tempo: 360 };
        assert_eq!((stateful.epoch_at(1199), stateful.epoch_at(1200), stateful.epoch_at(1560)), (9, 10, 11));
        assert_eq!((stateful.reveal_block(1000, 1), stateful.reveal_block(1000, 3)), (1200, 1920));
        assert_eq!(stateful.reveal_block(1200, 1), 1560);
        assert_eq!((stateful.first_block_of(9), stateful.first_block_of(8)), (840, 480));
        assert_eq!(EpochSchedule::Stateful { epoch: 9, next_start: 12, tempo: 2 }.open_block(12), 13);
    }

    fn schedules() -> impl Strategy<Value = EpochSchedule> {
        prop_oneof![
            (0..4096_u16, 1..2000_u16)
                .prop_map(|(netuid, tempo)| EpochSchedule::BlockArithmetic { netuid: NetUid(netuid), tempo }),
            (0..1000_u64, 4000..9000_u64, 1..2000_u16).prop_map(|(epoch, next_start, tempo)| EpochSchedule::Stateful {
                epoch,
                next_start,
                tempo
            }),
        ]
    }

    proptest! {
        #[test]
        fn the_first_block_of_an_epoch_is_its_first(schedule in schedules(), block in 5000..90_000_u64) {
            let later = schedule.epoch_at(block) + 1;
            let first = schedule.first_block_of(later);
            prop_assert!(first > block && first <= block.max(9000) + schedule.epoch_blocks());
            prop_assert_eq!((schedule.epoch_at(first - 1) + 1, schedule.epoch_at(first)), (later, later));
        }

        #[test]
        fn a_reveal_is_in_the_epoch_that_the_period_says(
            schedule in schedules(), block in 9000..90_000_u64, period in 1..100_u64
        ) {
            let reveal = schedule.reveal_block(block, period);
            prop_assert_eq!(schedule.epoch_at(reveal), schedule.commit_epoch(block) + period);
            prop_assert!(reveal > block + (period - 1) * schedule.epoch_blocks());
            prop_assert!(reveal <= block + 1 + (period + 1) * schedule.epoch_blocks());
            // The round is out while the epoch still runs.
            prop_assert_eq!(schedule.epoch_at(schedule.open_block(reveal)), schedule.epoch_at(reveal));
        }

        #[test]
        fn nothing_overflows(
            netuid in any::<u16>(), epoch in any::<u64>(), next_start in any::<u64>(), tempo in any::<u16>(),
            block in any::<u64>(), period in any::<u64>()
        ) {
            for schedule in [
                EpochSchedule::BlockArithmetic { netuid: NetUid(netuid), tempo },
                EpochSchedule::Stateful { epoch, next_start, tempo },
            ] {
                let reveal = schedule.reveal_block(block, period);
                prop_assert!(schedule.open_block(reveal) >= reveal);
            }
        }

        #[test]
        fn the_round_is_out_before_the_block(
            number in 1..9_000_000_u64, unix_ms in 1_700_000_000_000..1_900_000_000_000_u64, blocks in 0..40_000_u64
        ) {
            let network = DrandNetwork::quicknet();
            let round = round_before(network, BlockTime { number, unix_ms }, number + blocks, 12_000).unwrap();
            let out = network.time_of(round).unwrap();
            let wanted = unix_ms + blocks * 12_000;
            prop_assert!(out <= wanted && wanted - out <= 2 * network.period_ms());
        }
    }
}
