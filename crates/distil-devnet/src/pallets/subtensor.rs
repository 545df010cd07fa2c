//! `SubtensorModule`: subnets, their neurons, parameters and weights.

use super::storage;
use crate::types::account::{AccountId32, H256};
use crate::types::bounded::BoundedVec;
use crate::types::neuron::AxonInfo;
use frame_metadata::v14::StorageEntryMetadata;
use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;

pub(crate) use super::errors::Error;

/// The longest timelocked commit of weights, in bytes.
pub(crate) const MAX_COMMIT_BYTES: usize = 5000;
/// How many commits of one hotkey may wait for their reveal.
pub(crate) const MAX_UNREVEALED_COMMITS: usize = 10;
/// Where the storage of a mechanism's weights stands: its number times this, plus the netuid.
pub(crate) const MECHANISM_STRIDE: u16 = 4096;
/// Longer than this without an epoch, and there is one.
pub(crate) const MAX_TEMPO: u64 = 50_400;

/// A timelocked commit of weights: who, in which block, what, for which round of the beacon.
pub(crate) type TimelockedCommit = (AccountId32, u64, BoundedVec<u8, MAX_COMMIT_BYTES>, u64);
/// A hashed commit of weights: the hash, when it was made (block or epoch, by the model), first and last block of reveal.
pub(crate) type HashedCommit = (H256, u64, u64, u64);

storage! { "SubtensorModule", common_entries;
    TOTAL_NETWORKS: "TotalNetworks" [] () => u16 = 0;
    NETWORKS_ADDED: "NetworksAdded" [Identity] (u16,) => bool = false;
    NETWORK_REGISTERED_AT: "NetworkRegisteredAt" [Identity] (u16,) => u64 = 0;
    SUBNETWORK_N: "SubnetworkN" [Identity] (u16,) => u16 = 0;
    SUBNET_OWNER: "SubnetOwner" [Identity] (u16,) => AccountId32 = AccountId32::default();
    SUBNET_OWNER_HOTKEY: "SubnetOwnerHotkey" [Identity] (u16,) => AccountId32 = AccountId32::default();
    MECHANISM_COUNT_CURRENT: "MechanismCountCurrent" [Twox64Concat] (u16,) => u8 = 1;

    TEMPO: "Tempo" [Identity] (u16,) => u16 = 360;
    MIN_ALLOWED_WEIGHTS: "MinAllowedWeights" [Identity] (u16,) => u16 = 1024;
    MAX_WEIGHTS_LIMIT: "MaxWeightsLimit" [Identity] (u16,) => u16 = u16::MAX;
    WEIGHTS_VERSION_KEY: "WeightsVersionKey" [Identity] (u16,) => u64 = 0;
    WEIGHTS_SET_RATE_LIMIT: "WeightsSetRateLimit" [Identity] (u16,) => u64 = 100;
    COMMIT_REVEAL_WEIGHTS_ENABLED: "CommitRevealWeightsEnabled" [Identity] (u16,) => bool = true;
    COMMIT_REVEAL_WEIGHTS_VERSION: "CommitRevealWeightsVersion" [] () => u16 = 4;
    REVEAL_PERIOD_EPOCHS: "RevealPeriodEpochs" [Twox64Concat] (u16,) => u64 = 1;
    STAKE_THRESHOLD: "StakeThreshold" [] () => u64 = 0;
    ACTIVITY_CUTOFF: "ActivityCutoff" [Identity] (u16,) => u16 = 5000;
    IMMUNITY_PERIOD: "ImmunityPeriod" [Identity] (u16,) => u16 = 4096;
    MAX_ALLOWED_UIDS: "MaxAllowedUids" [Identity] (u16,) => u16 = 4096;
    MAX_ALLOWED_VALIDATORS: "MaxAllowedValidators" [Identity] (u16,) => u16 = 128;
    BLOCKS_SINCE_LAST_STEP: "BlocksSinceLastStep" [Identity] (u16,) => u64 = 0;
    LAST_MECHANSIM_STEP_BLOCK: "LastMechansimStepBlock" [Identity] (u16,) => u64 = 0;

    KEYS: "Keys" [Identity, Identity] (u16, u16) => AccountId32 = AccountId32::default();
    UIDS: "Uids" [Identity, Blake2_128Concat] (u16, AccountId32) => u16;
    OWNER: "Owner" [Blake2_128Concat] (AccountId32,) => AccountId32 = AccountId32::default();
    IS_NETWORK_MEMBER: "IsNetworkMember" [Blake2_128Concat, Identity] (AccountId32, u16) => bool = false;
    BLOCK_AT_REGISTRATION: "BlockAtRegistration" [Identity, Identity] (u16, u16) => u64 = 0;
    TOTAL_HOTKEY_ALPHA: "TotalHotkeyAlpha" [Blake2_128Concat, Identity] (AccountId32, u16) => u64 = 0;
    AXONS: "Axons" [Identity, Blake2_128Concat] (u16, AccountId32) => AxonInfo;

    ACTIVE: "Active" [Identity] (u16,) => Vec<bool> = Vec::new();
    VALIDATOR_PERMIT: "ValidatorPermit" [Identity] (u16,) => Vec<bool> = Vec::new();
    INCENTIVE: "Incentive" [Identity] (u16,) => Vec<u16> = Vec::new();
    DIVIDENDS: "Dividends" [Identity] (u16,) => Vec<u16> = Vec::new();
    CONSENSUS: "Consensus" [Identity] (u16,) => Vec<u16> = Vec::new();
    VALIDATOR_TRUST: "ValidatorTrust" [Identity] (u16,) => Vec<u16> = Vec::new();
    EMISSION: "Emission" [Identity] (u16,) => Vec<u64> = Vec::new();
    LAST_UPDATE: "LastUpdate" [Identity] (u16,) => Vec<u64> = Vec::new();
    WEIGHTS: "Weights" [Identity, Identity] (u16, u16) => Vec<(u16, u16)> = Vec::new();

    WEIGHT_COMMITS: "WeightCommits" [Twox64Concat, Twox64Concat] (u16, AccountId32) => Vec<HashedCommit>;
    TIMELOCKED_WEIGHT_COMMITS: "TimelockedWeightCommits" [Twox64Concat, Twox64Concat] (u16, u64) => Vec<TimelockedCommit> = Vec::new();
}

// The second model of epochs counts them in storage. The newest chain has these, spec version 365 has not.
storage! { "SubtensorModule", stateful_epoch_entries;
    LAST_EPOCH_BLOCK: "LastEpochBlock" [Identity] (u16,) => u64 = 0;
    PENDING_EPOCH_AT: "PendingEpochAt" [Identity] (u16,) => u64 = 0;
    SUBNET_EPOCH_INDEX: "SubnetEpochIndex" [Identity] (u16,) => u64 = 0;
}

pub(crate) fn entries(stateful_epochs: bool) -> Vec<StorageEntryMetadata> {
    let mut entries = common_entries();
    if stateful_epochs {
        entries.extend(stateful_epoch_entries());
    }
    entries
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
#[allow(non_camel_case_types, reason = "the chain's names")]
pub(crate) enum Call {
    #[codec(index = 0)]
    set_weights { netuid: u16, dests: Vec<u16>, weights: Vec<u16>, version_key: u64 },
    #[codec(index = 119)]
    set_mechanism_weights { netuid: u16, mecid: u8, dests: Vec<u16>, weights: Vec<u16>, version_key: u64 },
    #[codec(index = 96)]
    commit_weights { netuid: u16, commit_hash: H256 },
    #[codec(index = 115)]
    commit_mechanism_weights { netuid: u16, mecid: u8, commit_hash: H256 },
    #[codec(index = 97)]
    reveal_weights { netuid: u16, uids: Vec<u16>, values: Vec<u16>, salt: Vec<u16>, version_key: u64 },
    #[codec(index = 116)]
    reveal_mechanism_weights {
        netuid: u16,
        mecid: u8,
        uids: Vec<u16>,
        values: Vec<u16>,
        salt: Vec<u16>,
        version_key: u64,
    },
    #[codec(index = 113)]
    commit_timelocked_weights {
        netuid: u16,
        commit: BoundedVec<u8, MAX_COMMIT_BYTES>,
        reveal_round: u64,
        commit_reveal_version: u16,
    },
    #[codec(index = 118)]
    commit_timelocked_mechanism_weights {
        netuid: u16,
        mecid: u8,
        commit: BoundedVec<u8, MAX_COMMIT_BYTES>,
        reveal_round: u64,
        commit_reveal_version: u16,
    },
    #[codec(index = 117)]
    commit_crv3_mechanism_weights {
        netuid: u16,
        mecid: u8,
        commit: BoundedVec<u8, MAX_COMMIT_BYTES>,
        reveal_round: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum Event {
    #[codec(index = 0)]
    NetworkAdded(u16, u16),
    #[codec(index = 5)]
    WeightsSet(u16, u16),
    #[codec(index = 6)]
    NeuronRegistered(u16, u16, AccountId32),
    #[codec(index = 79)]
    WeightsCommitted(AccountId32, u16, H256),
    #[codec(index = 80)]
    WeightsRevealed(AccountId32, u16, H256),
    #[codec(index = 101)]
    TimelockedWeightsCommitted(AccountId32, u16, H256, u64),
    #[codec(index = 102)]
    TimelockedWeightsRevealed(u16, AccountId32),
}
