//! The types that the chain's metadata describes: what is stored, sent and emitted, byte for byte.
//!
//! Their order of variants and fields is that of the real chain. The metadata gives each the path that clients know it
//! by (see `metadata::paths`).

pub(crate) mod account;
pub(crate) mod bounded;
pub(crate) mod commitments;
pub(crate) mod dispatch;
pub(crate) mod drand;
pub(crate) mod extrinsic;
pub(crate) mod identity;
pub(crate) mod metagraph;
pub(crate) mod neuron;
pub(crate) mod system;
