//! Blocks, events, the runtime's version.

use super::account::H256;
use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum DigestItem {
    #[codec(index = 6)]
    PreRuntime([u8; 4], Vec<u8>),
    #[codec(index = 4)]
    Consensus([u8; 4], Vec<u8>),
    #[codec(index = 5)]
    Seal([u8; 4], Vec<u8>),
    #[codec(index = 0)]
    Other(Vec<u8>),
    #[codec(index = 8)]
    RuntimeEnvironmentUpdated,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode, TypeInfo)]
pub(crate) struct Digest {
    pub(crate) logs: Vec<DigestItem>,
}

/// A block's header. The block's hash is the BLAKE2b-256 of its SCALE encoding, as clients compute it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Header {
    pub(crate) parent_hash: H256,
    #[codec(compact)]
    pub(crate) number: u32,
    pub(crate) state_root: H256,
    pub(crate) extrinsics_root: H256,
    pub(crate) digest: Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum Phase {
    ApplyExtrinsic(u32),
    Finalization,
    Initialization,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) struct EventRecord<Event, Hash> {
    pub(crate) phase: Phase,
    pub(crate) event: Event,
    pub(crate) topics: Vec<Hash>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) struct LastRuntimeUpgradeInfo {
    #[codec(compact)]
    pub(crate) spec_version: u32,
    pub(crate) spec_name: String,
}

/// The runtime's version, as `Core_version` gives it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) struct RuntimeVersion {
    pub(crate) spec_name: String,
    pub(crate) impl_name: String,
    pub(crate) authoring_version: u32,
    pub(crate) spec_version: u32,
    pub(crate) impl_version: u32,
    /// The runtime APIs: the first 8 bytes of the BLAKE2b-64 of the name, and a version.
    pub(crate) apis: Vec<([u8; 8], u32)>,
    pub(crate) transaction_version: u32,
    pub(crate) system_version: u8,
}

/// Metadata as an answer of a runtime API: opaque bytes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) struct OpaqueMetadata(pub(crate) Vec<u8>);
