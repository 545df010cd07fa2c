//! `Commitments`: what miners commit, in the open or timelocked, and what was revealed of it.

use super::storage;
use crate::types::account::AccountId32;
use crate::types::commitments::{CommitmentInfo, Registration, UsageTracker};
use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;
use std::collections::BTreeSet;

/// How many fields a commitment may have.
pub(crate) const MAX_FIELDS: u32 = 3;
/// What any commitment is charged at least, in bytes of the quota.
pub(crate) const MIN_CHARGED_BYTES: u64 = 100;
/// How many revealed entries are kept for a hotkey.
pub(crate) const MAX_REVEALS: usize = 10;

storage! { "Commitments", entries;
    TIMELOCKED_INDEX: "TimelockedIndex" [] () => BTreeSet<(u16, AccountId32)> = BTreeSet::new();
    COMMITMENT_OF: "CommitmentOf" [Identity, Twox64Concat] (u16, AccountId32) => Registration<u64, u32>;
    LAST_COMMITMENT: "LastCommitment" [Identity, Twox64Concat] (u16, AccountId32) => u32;
    LAST_BONDS_RESET: "LastBondsReset" [Identity, Twox64Concat] (u16, AccountId32) => u32;
    REVEALED_COMMITMENTS: "RevealedCommitments" [Identity, Twox64Concat] (u16, AccountId32) => Vec<(Vec<u8>, u64)>;
    USED_SPACE_OF: "UsedSpaceOf" [Identity, Twox64Concat] (u16, AccountId32) => UsageTracker;
    MAX_SPACE: "MaxSpace" [] () => u32 = 3100;
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
#[allow(non_camel_case_types, reason = "the chain's names")]
pub(crate) enum Call {
    #[codec(index = 0)]
    set_commitment { netuid: u16, info: Box<CommitmentInfo> },
    #[codec(index = 2)]
    set_max_space { new_limit: u32 },
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum Event {
    #[codec(index = 0)]
    Commitment { netuid: u16, who: AccountId32 },
    #[codec(index = 1)]
    TimelockCommitment { netuid: u16, who: AccountId32, reveal_round: u64 },
    #[codec(index = 2)]
    CommitmentRevealed { netuid: u16, who: AccountId32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum Error {
    TooManyFieldsInCommitmentInfo,
    AccountNotAllowedCommit,
    SpaceLimitExceeded,
    UnexpectedUnreserveLeftover,
}
