//! What happens in a block.

mod accounts;
mod admin;
mod api;
mod commitments;
mod dispatch;
mod drand;
mod epochs;
mod metagraph;
mod weights;

pub(crate) use admin::CommandResult;
pub(crate) use api::{RuntimeApiError, call as call_api};
pub(crate) use dispatch::{Dispatched, pool_check};
pub(crate) use drand::Beacon;

use crate::metadata::{Layout, Metadata, RuntimeFeatures, api_versions};
use crate::pallets::{RuntimeError, RuntimeEvent, system, timestamp};
use crate::settings::EpochModel;
use crate::state::{Changes, Execution, Read, View};
use crate::types::account::H256;
use crate::types::dispatch::{DispatchError, ModuleError};
use crate::types::system::{Digest, LastRuntimeUpgradeInfo, Phase, RuntimeVersion};
use parity_scale_codec::{Compact, Encode};

/// The name of the real runtime.
const SPEC_NAME: &str = "node-subtensor";

/// The version as `Core_version` and `state_getRuntimeVersion` give it.
pub(crate) fn version(spec_version: u32, features: RuntimeFeatures) -> RuntimeVersion {
    RuntimeVersion {
        spec_name: SPEC_NAME.to_owned(),
        impl_name: SPEC_NAME.to_owned(),
        authoring_version: 1,
        spec_version,
        impl_version: 1,
        apis: api_versions(features),
        transaction_version: 1,
        system_version: 1,
    }
}

/// A runtime: between two upgrades it stays the same.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) version: RuntimeVersion,
    pub(crate) features: RuntimeFeatures,
    pub(crate) layout: Layout,
    pub(crate) metadata: Metadata,
}

impl Runtime {
    /// The runtime after so many upgrades of one with this version.
    pub(crate) fn new(first_spec_version: u32, upgrades: u8, features: RuntimeFeatures) -> Self {
        let layout = Layout::new(upgrades);
        let version = version(first_spec_version.saturating_add(upgrades.into()), features);
        let metadata = Metadata::new(layout, features, &version);
        Runtime { version, features, layout, metadata }
    }

    pub(crate) fn epoch_model(&self) -> EpochModel {
        if self.features.stateful_epochs { EpochModel::Stateful } else { EpochModel::BlockArithmetic }
    }
}

/// Why a call failed: one of a pallet's errors, or one that any call can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    Pallet(RuntimeError),
    Other(DispatchError),
}

impl<E: Into<RuntimeError>> From<E> for CallError {
    fn from(error: E) -> Self {
        CallError::Pallet(error.into())
    }
}

impl CallError {
    fn placed(&self, layout: Layout) -> DispatchError {
        match self {
            CallError::Other(error) => *error,
            CallError::Pallet(error) => {
                let mut indices = error.encode();
                layout.place(&mut indices);
                DispatchError::Module(ModuleError { index: indices[0], error: [indices[1], 0, 0, 0] })
            }
        }
    }
}

/// A block in the making.
pub(crate) struct BlockExecution<'a> {
    pub(crate) storage: Execution<'a>,
    pub(crate) runtime: &'a Runtime,
    pub(crate) beacon: &'a Beacon,
    pub(crate) number: u32,
    phase: Phase,
    /// Encoded records.
    events: Vec<Vec<u8>>,
    /// How many of them are there to stay, whatever becomes of the call that is executed.
    committed_events: usize,
}

impl<'a> BlockExecution<'a> {
    pub(crate) fn new(parent: Option<View<'a>>, runtime: &'a Runtime, beacon: &'a Beacon, number: u32) -> Self {
        BlockExecution {
            storage: Execution::new(parent),
            runtime,
            beacon,
            number,
            phase: Phase::Initialization,
            events: Vec::new(),
            committed_events: 0,
        }
    }

    /// What comes before all extrinsics.
    pub(crate) fn initialize(&mut self, parent_hash: H256, digest: &Digest) {
        let storage = &mut self.storage;
        system::NUMBER.put(storage, (), &self.number);
        system::PARENT_HASH.put(storage, (), &parent_hash);
        system::DIGEST.put(storage, (), digest);
        if let Some(parent) = self.number.checked_sub(1) {
            system::BLOCK_HASH.put(storage, (parent,), &parent_hash);
            // That of block 0 stays: immortal transactions are signed with it.
            if let Some(too_old) = parent.checked_sub(system::BLOCK_HASH_COUNT).filter(|number| *number > 0) {
                system::BLOCK_HASH.remove(storage, (too_old,));
            }
        }
        timestamp::DID_UPDATE.remove(storage, ());

        let spec_version = self.runtime.version.spec_version;
        let before = system::LAST_RUNTIME_UPGRADE.find(&self.storage, ());
        if before.as_ref().is_none_or(|upgrade| upgrade.spec_version != spec_version) {
            let upgrade = LastRuntimeUpgradeInfo { spec_version, spec_name: SPEC_NAME.to_owned() };
            system::LAST_RUNTIME_UPGRADE.put(&mut self.storage, (), &upgrade);
        }
        if self.number > 0 {
            self.reveal_commitments();
            self.step_subnets();
        }
        self.commit();
    }

    /// Sets the block's time, which is its first extrinsic.
    pub(crate) fn set_time(&mut self, now_ms: u64) {
        self.phase = Phase::ApplyExtrinsic(0);
        timestamp::NOW.put(&mut self.storage, (), &now_ms);
        timestamp::DID_UPDATE.put(&mut self.storage, (), &true);
        self.deposit_success(dispatch::INHERENT);
        self.commit();
    }

    pub(crate) fn deposit(&mut self, event: impl Into<RuntimeEvent>) {
        let mut encoded = event.into().encode();
        self.runtime.layout.place(&mut encoded);
        let mut record = self.phase.encode();
        record.extend(encoded);
        // No topics.
        record.push(0);
        self.events.push(record);
    }

    fn commit(&mut self) {
        self.storage.commit();
        self.committed_events = self.events.len();
    }

    fn roll_back(&mut self) {
        self.storage.roll_back();
        self.events.truncate(self.committed_events);
    }

    /// What comes after all extrinsics. Returns what the block wrote.
    pub(crate) fn finish(mut self, extrinsics: u32, round_times: drand::Published<'_>) -> Changes {
        self.phase = Phase::Finalization;
        self.store_pulses(round_times);
        system::EXTRINSIC_COUNT.put(&mut self.storage, (), &extrinsics);
        system::EVENT_COUNT.put(&mut self.storage, (), &(self.events.len() as u32));
        let mut records = Compact(self.events.len() as u32).encode();
        records.extend(self.events.concat());
        self.storage.put(system::EVENTS.key(()), records);
        self.storage.finish()
    }
}

/// The time that a block's storage holds.
pub(crate) fn now_ms(storage: &impl Read) -> u64 {
    timestamp::NOW.get(storage, ())
}

pub(crate) use drand::Published;
