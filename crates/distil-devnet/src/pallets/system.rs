//! `System`: accounts, blocks, events.

use super::storage;
use crate::pallets::RuntimeEvent;
use crate::types::account::{Account, AccountId32, H256};
use crate::types::dispatch::{DispatchError, DispatchEventInfo};
use crate::types::system::{Digest, EventRecord, LastRuntimeUpgradeInfo};
use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;

/// How many blocks back a block's hash can be looked up in storage, and so how old a mortal transaction may be.
pub(crate) const BLOCK_HASH_COUNT: u32 = 2400;

storage! { "System", entries;
    ACCOUNT: "Account" [Blake2_128Concat] (AccountId32,) => Account = Account::default();
    EXTRINSIC_COUNT: "ExtrinsicCount" [] () => u32;
    BLOCK_HASH: "BlockHash" [Twox64Concat] (u32,) => H256 = H256::default();
    NUMBER: "Number" [] () => u32 = 0;
    PARENT_HASH: "ParentHash" [] () => H256 = H256::default();
    DIGEST: "Digest" [] () => Digest = Digest::default();
    EVENTS: "Events" [] () => Vec<EventRecord<RuntimeEvent, H256>> = Vec::new();
    EVENT_COUNT: "EventCount" [] () => u32 = 0;
    LAST_RUNTIME_UPGRADE: "LastRuntimeUpgrade" [] () => LastRuntimeUpgradeInfo;
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
#[allow(non_camel_case_types, reason = "the chain's names")]
pub(crate) enum Call {
    #[codec(index = 0)]
    remark { remark: Vec<u8> },
    #[codec(index = 7)]
    remark_with_event { remark: Vec<u8> },
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum Event {
    #[codec(index = 0)]
    ExtrinsicSuccess { dispatch_info: DispatchEventInfo },
    #[codec(index = 1)]
    ExtrinsicFailed { dispatch_error: DispatchError, dispatch_info: DispatchEventInfo },
    #[codec(index = 2)]
    CodeUpdated,
    #[codec(index = 3)]
    NewAccount { account: AccountId32 },
    #[codec(index = 5)]
    Remarked { sender: AccountId32, hash: H256 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum Error {
    InvalidSpecName,
    SpecVersionNeedsToIncrease,
    FailedToExtractRuntimeVersion,
    NonDefaultComposite,
    NonZeroRefCount,
    CallFiltered,
    MultiBlockMigrationsOngoing,
    NothingAuthorized,
    Unauthorized,
}
