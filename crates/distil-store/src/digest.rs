//! Digests, each kind a type of its own: two kinds in one table once let copies through, because they never matched.

use std::fmt;

use serde::{Deserialize, Serialize};

/// SHA-256 of the values of all tensors that a loader uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RawDigest(pub [u8; 32]);

/// SHA-256 of the same values rounded to bf16.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bf16Digest(pub [u8; 32]);

/// SHA-256 of the record of a round.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordDigest(pub [u8; 32]);

/// Both digests of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorDigests {
    /// Of the values as they are.
    pub raw: RawDigest,
    /// Of the values rounded to bf16: a copy saved in another dtype has this one in common.
    pub bf16: Bf16Digest,
}

macro_rules! shown_as_hex {
    ($($type:ident),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }
    )*};
}

shown_as_hex!(RawDigest, Bf16Digest, RecordDigest);
