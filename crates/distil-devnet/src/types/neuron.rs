//! Neurons one by one.

use super::account::AccountId32;
use parity_scale_codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;

/// Where a neuron serves. Nobody serves on the devnet: all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode, TypeInfo)]
pub(crate) struct AxonInfo {
    pub(crate) block: u64,
    pub(crate) version: u32,
    pub(crate) ip: u128,
    pub(crate) port: u16,
    pub(crate) ip_type: u8,
    pub(crate) protocol: u8,
    pub(crate) placeholder1: u8,
    pub(crate) placeholder2: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode, TypeInfo)]
pub(crate) struct PrometheusInfo {
    pub(crate) block: u64,
    pub(crate) version: u32,
    pub(crate) ip: u128,
    pub(crate) port: u16,
    pub(crate) ip_type: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) struct NeuronInfoLite {
    pub(crate) hotkey: AccountId32,
    pub(crate) coldkey: AccountId32,
    pub(crate) uid: Compact<u16>,
    pub(crate) netuid: Compact<u16>,
    pub(crate) active: bool,
    pub(crate) axon_info: AxonInfo,
    pub(crate) prometheus_info: PrometheusInfo,
    pub(crate) stake: Vec<(AccountId32, Compact<u64>)>,
    pub(crate) rank: Compact<u16>,
    pub(crate) emission: Compact<u64>,
    pub(crate) incentive: Compact<u16>,
    pub(crate) consensus: Compact<u16>,
    pub(crate) trust: Compact<u16>,
    pub(crate) validator_trust: Compact<u16>,
    pub(crate) dividends: Compact<u16>,
    pub(crate) last_update: Compact<u64>,
    pub(crate) validator_permit: bool,
    pub(crate) pruning_score: Compact<u16>,
}
