//! Epochs: when timelocked weights are revealed and quotas begin anew.

use super::BlockExecution;
use crate::pallets::subtensor::{
    BLOCKS_SINCE_LAST_STEP, LAST_EPOCH_BLOCK, LAST_MECHANSIM_STEP_BLOCK, MAX_TEMPO, NETWORKS_ADDED, PENDING_EPOCH_AT,
    SUBNET_EPOCH_INDEX, TEMPO,
};
use crate::settings::EpochModel;
use crate::state::Read;
use parity_scale_codec::Decode;

/// `(block + netuid + 1) / (tempo + 1)`, of the first model.
pub(super) fn epoch_of_block(netuid: u16, tempo: u16, block: u64) -> u64 {
    (block + u64::from(netuid) + 1) / (u64::from(tempo) + 1)
}

/// Whether an epoch ends with this block, before it is made.
fn should_run(storage: &impl Read, model: EpochModel, netuid: u16, block: u64) -> bool {
    let tempo = TEMPO.get(storage, (netuid,));
    if tempo == 0 {
        return false;
    }
    match model {
        EpochModel::BlockArithmetic => (block + u64::from(netuid) + 1) % (u64::from(tempo) + 1) == u64::from(tempo),
        EpochModel::Stateful => {
            let pending = PENDING_EPOCH_AT.get(storage, (netuid,));
            let since = block.saturating_sub(LAST_EPOCH_BLOCK.get(storage, (netuid,)));
            (pending > 0 && block >= pending)
                || BLOCKS_SINCE_LAST_STEP.get(storage, (netuid,)) > MAX_TEMPO
                || since >= u64::from(tempo)
        }
    }
}

/// The epoch that the block in the making counts to.
///
/// In the second model that is the stored number, and one more where the epoch ends with this block but has not been run
/// yet: so it is while commits are revealed, and no longer when extrinsics are executed.
pub(super) fn epoch_index(execution: &BlockExecution<'_>, netuid: u16) -> u64 {
    let storage = &execution.storage;
    let block = u64::from(execution.number);
    match execution.runtime.epoch_model() {
        EpochModel::BlockArithmetic => epoch_of_block(netuid, TEMPO.get(storage, (netuid,)), block),
        EpochModel::Stateful => {
            let index = SUBNET_EPOCH_INDEX.get(storage, (netuid,));
            index + u64::from(should_run(storage, EpochModel::Stateful, netuid, block))
        }
    }
}

/// The epoch that a commit of weights made in this block counts to: in the first model the next one, when the epoch ends
/// with this block.
pub(super) fn commit_epoch(execution: &BlockExecution<'_>, netuid: u16) -> u64 {
    let model = execution.runtime.epoch_model();
    let index = epoch_index(execution, netuid);
    match model {
        EpochModel::BlockArithmetic => {
            index + u64::from(should_run(&execution.storage, model, netuid, execution.number.into()))
        }
        EpochModel::Stateful => index,
    }
}

/// The netuids that exist, in order.
pub(crate) fn netuids(storage: &impl Read) -> Vec<u16> {
    let keys = storage.keys(&NETWORKS_ADDED.prefix(), None, usize::MAX);
    let netuid = |key: &Vec<u8>| u16::decode(&mut key.get(32..)?).ok();
    let mut netuids: Vec<u16> = keys.iter().filter_map(netuid).collect();
    netuids.retain(|netuid| NETWORKS_ADDED.get(storage, (*netuid,)));
    netuids.sort_unstable();
    netuids
}

/// The block at which the next epoch begins, of the second model.
pub(super) fn next_epoch_start(storage: &impl Read, netuid: u16) -> Option<u64> {
    let tempo = TEMPO.get(storage, (netuid,));
    if tempo == 0 || !NETWORKS_ADDED.get(storage, (netuid,)) {
        return None;
    }
    let scheduled = LAST_EPOCH_BLOCK.get(storage, (netuid,)) + u64::from(tempo);
    match PENDING_EPOCH_AT.get(storage, (netuid,)) {
        0 => Some(scheduled),
        pending => Some(pending.min(scheduled)),
    }
}

impl BlockExecution<'_> {
    /// What every block does for every subnet: reveal weights, then count on.
    pub(super) fn step_subnets(&mut self) {
        for netuid in netuids(&self.storage) {
            self.reveal_timelocked_weights(netuid);
            let model = self.runtime.epoch_model();
            let block = u64::from(self.number);
            let since = BLOCKS_SINCE_LAST_STEP.get(&self.storage, (netuid,)) + 1;
            BLOCKS_SINCE_LAST_STEP.put(&mut self.storage, (netuid,), &since);
            if !should_run(&self.storage, model, netuid, block) {
                continue;
            }
            BLOCKS_SINCE_LAST_STEP.put(&mut self.storage, (netuid,), &0);
            LAST_MECHANSIM_STEP_BLOCK.put(&mut self.storage, (netuid,), &block);
            if model == EpochModel::Stateful {
                let index = SUBNET_EPOCH_INDEX.get(&self.storage, (netuid,));
                SUBNET_EPOCH_INDEX.put(&mut self.storage, (netuid,), &(index + 1));
                LAST_EPOCH_BLOCK.put(&mut self.storage, (netuid,), &block);
                PENDING_EPOCH_AT.put(&mut self.storage, (netuid,), &0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_epoch_of_the_first_model_has_tempo_and_one_blocks(netuid in 0..2000_u16, tempo in 1..2000_u16, epoch in 1..1000_u64) {
            let length = u64::from(tempo) + 1;
            let offset = u64::from(netuid) + 1;
            let first = (epoch * length).saturating_sub(offset);
            prop_assert_eq!(epoch_of_block(netuid, tempo, first.max(1)), epoch.max((first.max(1) + offset) / length));
            prop_assert_eq!(epoch_of_block(netuid, tempo, first + length), epoch_of_block(netuid, tempo, first) + 1);
        }
    }
}
