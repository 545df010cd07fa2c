//! `Timestamp`: the time of the block, set by its author.

use super::storage;
use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;

storage! { "Timestamp", entries;
    NOW: "Now" [] () => u64 = 0;
    DID_UPDATE: "DidUpdate" [] () => bool = false;
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
#[allow(non_camel_case_types, reason = "the chain's names")]
pub(crate) enum Call {
    #[codec(index = 0)]
    set {
        #[codec(compact)]
        now: u64,
    },
}
