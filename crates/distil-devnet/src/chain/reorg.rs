//! Another branch becomes the chain.

use super::{Chain, KEPT_RETRACTED};
use crate::DevNetError;
use crate::extrinsic::SignedExtrinsic;

/// What becomes of the transactions of blocks that are taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retracted {
    /// They go back to the pool, and so into the first block of the new branch that can take them.
    Reincluded,
    /// The new branch has never heard of them.
    Lost,
}

impl Chain {
    /// Takes back the newest blocks and makes one more than that anew, with the same commands of the operator.
    pub(crate) fn reorganize(&mut self, depth: u32, retracted: Retracted) -> Result<(), DevNetError> {
        const ACTION: &str = "reorganization";
        let best = self.best().number();
        let unfinalized = best - self.finalized.min(best);
        if depth == 0 || depth > unfinalized {
            let problem = format!("{depth} blocks cannot be taken back: {unfinalized} are not final");
            return Err(DevNetError::refused(ACTION, problem));
        }
        let fork = best - depth;
        if self.store.at(fork).is_none() {
            return Err(DevNetError::refused(ACTION, format!("the storage of block {fork} is not kept")));
        }

        let first = (fork + 1 - self.oldest()) as usize;
        let removed: Vec<_> = self.blocks.drain(first..).collect();
        self.store.roll_back(fork);
        self.forks += 1;
        let waiting = self.pool.clear();
        for block in &removed {
            self.numbers.remove(&block.hash);
            for bytes in &block.extrinsics {
                let Ok(extrinsic) = SignedExtrinsic::decode(bytes) else { continue };
                self.subscribers.retracted(extrinsic.hash, block.hash);
                if retracted == Retracted::Reincluded {
                    // It was in the pool before, so there is room.
                    let _ = self.pool.insert(extrinsic);
                }
            }
        }
        for extrinsic in waiting {
            let _ = self.pool.insert(extrinsic);
        }
        for block in &removed {
            self.produce(block.commands.clone());
        }
        self.produce(Vec::new());
        self.retracted.extend(removed);
        while self.retracted.len() > KEPT_RETRACTED {
            self.retracted.pop_front();
        }
        self.save()
    }
}
