//! Accounts, addresses, signatures.

use distil_types::Hotkey;
use parity_scale_codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;

/// An account: 32 bytes, which are also its public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode, TypeInfo)]
pub(crate) struct AccountId32(pub(crate) [u8; 32]);

impl From<Hotkey> for AccountId32 {
    fn from(hotkey: Hotkey) -> Self {
        AccountId32(*hotkey.account_id())
    }
}

impl From<AccountId32> for Hotkey {
    fn from(account: AccountId32) -> Self {
        Hotkey::from_account_id(account.0)
    }
}

/// A hash of 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode, TypeInfo)]
pub(crate) struct H256(pub(crate) [u8; 32]);

/// Who signs an extrinsic. Only `Id` is accepted, as on the real chain, which has no index of accounts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum MultiAddress<AccountId, AccountIndex>
where
    AccountIndex: parity_scale_codec::HasCompact,
{
    Id(AccountId),
    Index(#[codec(compact)] AccountIndex),
    Raw(Vec<u8>),
    Address32([u8; 32]),
    Address20([u8; 20]),
}

pub(crate) type Address = MultiAddress<AccountId32, ()>;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum MultiSignature {
    Ed25519([u8; 64]),
    Sr25519([u8; 64]),
    Ecdsa([u8; 65]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) struct ExtraFlags(pub(crate) u128);

impl Default for ExtraFlags {
    /// The highest bit says that the account's balances follow the present rules.
    fn default() -> Self {
        ExtraFlags(1 << 127)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode, TypeInfo)]
pub(crate) struct AccountData<Balance> {
    pub(crate) free: Balance,
    pub(crate) reserved: Balance,
    pub(crate) frozen: Balance,
    pub(crate) flags: ExtraFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode, TypeInfo)]
pub(crate) struct AccountInfo<Nonce, AccountData> {
    pub(crate) nonce: Nonce,
    pub(crate) consumers: Nonce,
    pub(crate) providers: Nonce,
    pub(crate) sufficients: Nonce,
    pub(crate) data: AccountData,
}

pub(crate) type Account = AccountInfo<u32, AccountData<u64>>;

/// A number as SCALE writes it compactly.
pub(crate) fn compact<T>(number: T) -> Compact<T> {
    Compact(number)
}
