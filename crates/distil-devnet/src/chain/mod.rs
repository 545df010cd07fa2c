//! The chain: its blocks, storage, runtimes and pool.

mod block;
mod persistence;
mod production;
mod reorg;
mod submission;

pub(crate) use block::Block;
pub use reorg::Retracted;
pub(crate) use submission::SubmitError;

use crate::DevNetError;
use crate::extrinsic::Conditions;
use crate::metadata::RuntimeFeatures;
use crate::pallets::system;
use crate::pool::Pool;
use crate::rpc::Subscribers;
use crate::runtime::{Beacon, Runtime};
use crate::settings::{DevNetSettings, EpochModel};
use crate::state::{Store, View};
use crate::types::account::H256;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// How many blocks that are not on the chain any more can still be asked for.
const KEPT_RETRACTED: usize = 64;

/// The chain.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) settings: DevNetSettings,
    pub(crate) beacon: Beacon,
    pub(crate) subscribers: Subscribers,
    pub(crate) pool: Pool,
    /// From which block on each runtime holds, in order.
    runtimes: Vec<(u32, Arc<Runtime>)>,
    /// The best chain, from the oldest block that is kept.
    blocks: VecDeque<Block>,
    numbers: HashMap<H256, u32>,
    retracted: VecDeque<Block>,
    genesis_hash: H256,
    store: Store,
    finalized: u32,
    /// By how much the clock was moved, in milliseconds, in all.
    time_moved_ms: u64,
    /// What of that the next block has to make up for.
    time_jump_ms: u64,
    skipped_rounds: BTreeSet<u64>,
    /// How often the chain was reorganized.
    forks: u32,
}

impl Chain {
    pub(crate) fn features(settings: &DevNetSettings) -> RuntimeFeatures {
        RuntimeFeatures {
            stateful_epochs: settings.epoch_model == EpochModel::Stateful,
            selective_metagraph: settings.selective_metagraph,
            block_time_ms: settings.block_time_ms,
        }
    }

    fn runtime_after(settings: &DevNetSettings, upgrades: u8) -> Arc<Runtime> {
        Arc::new(Runtime::new(settings.spec_version, upgrades, Self::features(settings)))
    }

    /// A chain with its first block, or the one that the state file holds.
    pub(crate) fn open(settings: DevNetSettings) -> Result<Self, DevNetError> {
        match settings.state_file.clone() {
            Some(path) if path.exists() => persistence::load(settings, &path),
            Some(_) => {
                let chain = Self::begin(settings);
                chain.save()?;
                Ok(chain)
            }
            None => Ok(Self::begin(settings)),
        }
    }

    fn empty(settings: DevNetSettings) -> Self {
        Chain {
            beacon: Beacon::new(&settings.drand),
            subscribers: Subscribers::default(),
            pool: Pool::default(),
            runtimes: vec![(0, Self::runtime_after(&settings, 0))],
            blocks: VecDeque::new(),
            numbers: HashMap::new(),
            retracted: VecDeque::new(),
            genesis_hash: H256::default(),
            store: Store::default(),
            finalized: 0,
            time_moved_ms: 0,
            time_jump_ms: 0,
            skipped_rounds: BTreeSet::new(),
            forks: 0,
            settings,
        }
    }

    pub(crate) fn best(&self) -> &Block {
        self.blocks.back().expect("a chain begins with a block, and a reorganization never takes the last one")
    }

    pub(crate) fn finalized(&self) -> &Block {
        self.by_number(self.finalized).unwrap_or_else(|| self.best())
    }

    fn oldest(&self) -> u32 {
        self.blocks.front().map_or(0, Block::number)
    }

    pub(crate) fn by_number(&self, number: u32) -> Option<&Block> {
        let at = number.checked_sub(self.oldest())?;
        self.blocks.get(at as usize)
    }

    /// The hash of a block by its number; that of the first block is always known.
    pub(crate) fn hash_of(&self, number: u32) -> Option<H256> {
        if number == 0 { Some(self.genesis_hash) } else { self.by_number(number).map(|block| block.hash) }
    }

    /// A block that is on the chain, or was.
    pub(crate) fn by_hash(&self, hash: H256) -> Option<&Block> {
        match self.numbers.get(&hash) {
            Some(number) => self.by_number(*number),
            None => self.retracted.iter().find(|block| block.hash == hash),
        }
    }

    /// The storage of a block of the chain, while it is kept.
    pub(crate) fn storage_at(&self, hash: H256) -> Option<(u32, View<'_>)> {
        let number = *self.numbers.get(&hash)?;
        Some((number, self.store.at(number)?))
    }

    pub(crate) fn best_storage(&self) -> View<'_> {
        self.store.at(self.best().number()).expect("the best block's storage is kept")
    }

    /// The runtime that a block has in its storage: who asks at the block is told of it, and the next block is made by it.
    pub(crate) fn runtime_at(&self, number: u32) -> &Arc<Runtime> {
        let at = self.runtimes.partition_point(|(from, _)| *from <= number);
        &self.runtimes[at.saturating_sub(1)].1
    }

    /// The runtime of the best block.
    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        self.runtime_at(self.best().number())
    }

    /// What a transaction is checked against for the block after this one.
    pub(crate) fn with_conditions<T>(
        &self,
        number: u32,
        use_them: impl FnOnce(&Conditions<'_, View<'_>>) -> T,
    ) -> Option<T> {
        let storage = self.store.at(number)?;
        let hash = self.hash_of(number)?;
        let hash_of = |other: u32| match other {
            other if other == number => Some(hash),
            other => system::BLOCK_HASH.find(&storage, (other,)),
        };
        Some(use_them(&Conditions {
            storage: &storage,
            runtime: self.runtime_at(number),
            number: number + 1,
            genesis_hash: self.genesis_hash,
            hash_of: &hash_of,
            pool_checks_weights: self.settings.pool_checks_weights,
        }))
    }

    /// Moves the time of all blocks from the next one on.
    pub(crate) fn advance_time(&mut self, by_ms: u64) {
        self.time_moved_ms = self.time_moved_ms.saturating_add(by_ms);
        self.time_jump_ms = self.time_jump_ms.saturating_add(by_ms);
    }

    /// Has a round of the beacon never reach the chain, unless it already has.
    pub(crate) fn skip_round(&mut self, round: u64) {
        self.skipped_rounds.insert(round);
    }
}
