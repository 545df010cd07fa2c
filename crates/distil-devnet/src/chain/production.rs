//! How a block is made.

use super::{Block, Chain};
use crate::DevNetError;
use crate::command::Command;
use crate::extrinsic::{CheckError, Checked, Conditions, SignedExtrinsic, check};
use crate::hashing::blake2_256;
use crate::pallets::{RuntimeCall, system, timestamp};
use crate::runtime::{BlockExecution, CommandResult, Dispatched, Published, now_ms};
use crate::settings::{BlockProduction, DevNetSettings};
use crate::state::Changes;
use crate::types::account::H256;
use crate::types::system::{Digest, DigestItem, Header};
use parity_scale_codec::Encode;
use std::sync::Arc;

/// The most transactions in a block.
const MAX_TRANSACTIONS: usize = 1000;
const UNSIGNED_V4: u8 = 4;

/// A block that was made but is not on the chain yet.
struct Made {
    block: Block,
    changes: Changes,
    results: Vec<CommandResult>,
    included: Vec<SignedExtrinsic>,
    invalid: Vec<SignedExtrinsic>,
}

fn root(parts: &[Vec<u8>]) -> H256 {
    H256(blake2_256(&parts.encode()))
}

impl Chain {
    /// A chain with its first block.
    pub(super) fn begin(settings: DevNetSettings) -> Self {
        let mut chain = Chain::empty(settings);
        let runtime = Arc::clone(&chain.runtimes[0].1);
        let mut execution = BlockExecution::new(None, &runtime, &chain.beacon, 0);
        let now = chain.settings.genesis_unix_ms;
        let digest = Digest { logs: vec![DigestItem::Other(chain.settings.chain_name.as_bytes().to_vec())] };
        execution.initialize(H256::default(), &digest);
        execution.begin_beacon(now);
        execution.begin_root();
        execution.set_time(now);
        let changes = execution.finish(0, Published { now_ms: now, skipped: &chain.skipped_rounds });
        let header = Header {
            parent_hash: H256::default(),
            number: 0,
            state_root: H256(blake2_256(&changes.encode())),
            extrinsics_root: root(&[]),
            digest,
        };
        let block = Block::new(header, Vec::new(), Vec::new());
        chain.genesis_hash = block.hash;
        chain.append(block, changes);
        chain
    }

    fn append(&mut self, block: Block, changes: Changes) {
        self.store.append(block.number(), changes);
        self.numbers.insert(block.hash, block.number());
        self.blocks.push_back(block);
    }

    /// Makes one block of what waits in the pool and of these commands, and tells who listens.
    pub(crate) fn produce(&mut self, commands: Vec<Command>) -> Vec<CommandResult> {
        let made = self.make(commands);
        let Made { block, changes, results, included, invalid } = made;
        self.time_jump_ms = 0;
        let upgraded = self.runtime_at(block.number()).version != self.runtime().version;
        let hash = block.hash;
        self.append(block, changes);
        let Chain { subscribers, blocks, .. } = self;
        subscribers.block_imported(blocks.back().expect("it was just appended"));
        for extrinsic in included {
            subscribers.in_block(extrinsic.hash, hash);
        }
        for extrinsic in invalid {
            subscribers.invalid(extrinsic.hash);
        }
        if upgraded {
            let version = Arc::clone(self.runtime());
            self.subscribers.runtime_upgraded(&version.version);
        }
        self.notify_storage();
        self.advance_finality();
        self.forget_old();
        results
    }

    fn notify_storage(&mut self) {
        let mut subscribers = std::mem::take(&mut self.subscribers);
        subscribers.storage_changed(self.best().hash, &self.best_storage());
        self.subscribers = subscribers;
    }

    /// Makes blocks until there are so many more, and keeps the chain in its file.
    pub(crate) fn produce_blocks(&mut self, count: u32) -> Result<(), DevNetError> {
        for _ in 0..count {
            self.produce(Vec::new());
        }
        self.save()
    }

    fn advance_finality(&mut self) {
        let finalized = self.best().number().saturating_sub(self.settings.finality_lag);
        while self.finalized < finalized {
            self.finalized += 1;
            let Some(block) = self.by_number(self.finalized).cloned() else { continue };
            self.subscribers.block_finalized(&block);
        }
    }

    fn forget_old(&mut self) {
        let kept = self.settings.kept_blocks;
        let best = self.best().number();
        while self.blocks.len() > kept as usize {
            if let Some(block) = self.blocks.pop_front() {
                self.numbers.remove(&block.hash);
            }
        }
        // Walking through all keys is worth it only once in a while.
        let oldest = (best + 1).saturating_sub(kept);
        if oldest >= self.store.oldest() + kept.div_ceil(4).max(1) {
            self.store.prune(oldest);
        }
    }

    /// The time of the next block.
    fn next_time(&self) -> u64 {
        let before = now_ms(&self.best_storage());
        match self.settings.production {
            BlockProduction::Clock => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
                now.saturating_add(self.time_moved_ms).max(before + 1)
            }
            _ => before.saturating_add(self.settings.block_time_ms).saturating_add(self.time_jump_ms),
        }
    }

    fn make(&mut self, commands: Vec<Command>) -> Made {
        let number = self.best().number() + 1;
        let now = self.next_time();
        let parent_hash = self.best().hash;
        let parent_root = self.best().header.state_root;
        let mut logs = vec![DigestItem::PreRuntime(*b"slot", (now / self.settings.block_time_ms).encode())];
        if self.forks > 0 {
            // So that a block made again is another block.
            logs.push(DigestItem::Other(self.forks.encode()));
        }
        let digest = Digest { logs };
        // A block that brings a new runtime is still made by the one before.
        let runtime = Arc::clone(self.runtime_at(number - 1));
        let is_upgrade = self.runtime_at(number).version != runtime.version;
        let genesis_hash = self.genesis_hash;

        let storage = self.store.at(number - 1).expect("the best block's storage is kept");
        let mut execution = BlockExecution::new(Some(storage), &runtime, &self.beacon, number);
        execution.initialize(parent_hash, &digest);
        if is_upgrade {
            execution.deposit(system::Event::CodeUpdated);
        }
        let results = commands.iter().map(|command| execution.command(command)).collect();
        execution.set_time(now);
        let mut inherent = RuntimeCall::Timestamp(timestamp::Call::set { now }).encode();
        runtime.layout.place(&mut inherent);
        inherent.insert(0, UNSIGNED_V4);
        let mut extrinsics = vec![inherent.encode()];

        let hash_of = |other: u32| match other {
            other if other + 1 == number => Some(parent_hash),
            other => system::BLOCK_HASH.find(&storage, (other,)),
        };
        let check_now = |execution: &BlockExecution<'_>, extrinsic: &SignedExtrinsic| -> Result<Checked, CheckError> {
            let conditions = Conditions {
                storage: &execution.storage,
                runtime: &runtime,
                number,
                genesis_hash,
                hash_of: &hash_of,
                // What the pool refuses early is left to the call in a block.
                pool_checks_weights: false,
            };
            check(extrinsic, &conditions)
        };
        let (mut included, mut invalid) = (Vec::new(), Vec::new());
        while included.len() < MAX_TRANSACTIONS {
            let next_nonce = |who| system::ACCOUNT.get(&execution.storage, (who,)).nonce;
            let Some(extrinsic) = self.pool.take_ready(next_nonce) else { break };
            match check_now(&execution, &extrinsic) {
                Ok(checked) => match execution.apply(extrinsics.len() as u32, &extrinsic, checked.call) {
                    Dispatched::Success | Dispatched::Failed => {
                        extrinsics.push(extrinsic.bytes.clone());
                        included.push(extrinsic);
                    }
                    Dispatched::Unpaid => invalid.push(extrinsic),
                },
                Err(_) => invalid.push(extrinsic),
            }
        }
        // Those that wait for a nonce are checked too: a new runtime or an era that is over ends their wait.
        invalid.extend(self.pool.take_failing(|extrinsic| check_now(&execution, extrinsic).is_ok()));

        let published = Published { now_ms: now, skipped: &self.skipped_rounds };
        let changes = execution.finish(extrinsics.len() as u32, published);
        let header = Header {
            parent_hash,
            number,
            // Not a trie's root, but as good a name for the state: it follows from all that was ever written.
            state_root: H256(blake2_256(&(parent_root, &changes).encode())),
            extrinsics_root: root(&extrinsics),
            digest,
        };
        Made { block: Block::new(header, extrinsics, commands), changes, results, included, invalid }
    }

    /// Carries out commands in a block of their own.
    pub(crate) fn command(&mut self, commands: Vec<Command>) -> Result<Vec<Option<u16>>, DevNetError> {
        let results = self.produce(commands);
        self.save()?;
        results.into_iter().map(|result| result.map_err(|problem| DevNetError::refused("command", problem))).collect()
    }

    /// Makes a block that brings a runtime with a higher spec version and moved indices, as a block does that sets the
    /// code: it is made by the old runtime, all after it are made by the new one, and who asks at it is told of the new
    /// one.
    pub(crate) fn upgrade_runtime(&mut self) -> Result<u32, DevNetError> {
        let upgrades = self.runtimes.len();
        if upgrades > usize::from(crate::metadata::Layout::MAX_SHIFT) {
            return Err(DevNetError::refused("upgrade", "it was upgraded as often as indices have room"));
        }
        let runtime = Self::runtime_after(&self.settings, upgrades as u8);
        let spec_version = runtime.version.spec_version;
        self.runtimes.push((self.best().number() + 1, runtime));
        self.produce(Vec::new());
        self.save()?;
        Ok(spec_version)
    }
}
