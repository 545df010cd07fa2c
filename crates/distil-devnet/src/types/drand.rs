//! The randomness beacon as the chain stores it.

use super::bounded::BoundedVec;
use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;

type Bytes<const BOUND: usize> = BoundedVec<u8, BOUND>;

/// A published round.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) struct Pulse {
    pub(crate) round: u64,
    /// SHA-256 of the signature.
    pub(crate) randomness: Bytes<32>,
    pub(crate) signature: Bytes<144>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode, TypeInfo)]
pub(crate) struct Metadata {
    pub(crate) beacon_id: Bytes<32>,
}

/// Which beacon the chain follows: here one whose secret key the devnet has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode, TypeInfo)]
pub(crate) struct BeaconConfiguration {
    pub(crate) public_key: Bytes<96>,
    /// In seconds.
    pub(crate) period: u32,
    /// In seconds since 1970.
    pub(crate) genesis_time: u32,
    pub(crate) hash: Bytes<32>,
    pub(crate) group_hash: Bytes<32>,
    pub(crate) scheme_id: Bytes<32>,
    pub(crate) metadata: Metadata,
}
