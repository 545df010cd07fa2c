//! `Balances`: funds, in rao (10⁻⁹ TAO).

use super::storage;
use crate::types::account::{AccountId32, Address};
use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;

/// What an account must hold at least to exist.
pub(crate) const EXISTENTIAL_DEPOSIT: u64 = 500;

storage! { "Balances", entries;
    TOTAL_ISSUANCE: "TotalIssuance" [] () => u64 = 0;
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
#[allow(non_camel_case_types, reason = "the chain's names")]
pub(crate) enum Call {
    #[codec(index = 0)]
    transfer_allow_death {
        dest: Address,
        #[codec(compact)]
        value: u64,
    },
    #[codec(index = 3)]
    transfer_keep_alive {
        dest: Address,
        #[codec(compact)]
        value: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum Event {
    #[codec(index = 0)]
    Endowed { account: AccountId32, free_balance: u64 },
    #[codec(index = 2)]
    Transfer { from: AccountId32, to: AccountId32, amount: u64 },
    #[codec(index = 3)]
    BalanceSet { who: AccountId32, free: u64 },
    #[codec(index = 8)]
    Withdraw { who: AccountId32, amount: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum Error {
    VestingBalance,
    LiquidityRestrictions,
    InsufficientBalance,
    ExistentialDeposit,
    Expendability,
    ExistingVestingSchedule,
    DeadAccount,
    TooManyReserves,
    TooManyHolds,
    TooManyFreezes,
    IssuanceDeactivated,
    DeltaZero,
}
