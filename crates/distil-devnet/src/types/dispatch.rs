//! What became of a call.

use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) struct ModuleError {
    /// The pallet's index in the runtime of that block.
    pub(crate) index: u8,
    /// The error's index in that pallet, then zeros.
    pub(crate) error: [u8; 4],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum TokenError {
    FundsUnavailable,
    OnlyProvider,
    BelowMinimum,
    CannotCreate,
    UnknownAsset,
    Frozen,
    Unsupported,
    CannotCreateHold,
    NotExpendable,
    Blocked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum ArithmeticError {
    Underflow,
    Overflow,
    DivisionByZero,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum TransactionalError {
    LimitReached,
    NoLayer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum DispatchError {
    Other,
    CannotLookup,
    BadOrigin,
    Module(ModuleError),
    ConsumerRemaining,
    NoProviders,
    TooManyConsumers,
    Token(TokenError),
    Arithmetic(ArithmeticError),
    Transactional(TransactionalError),
    Exhausted,
    Corruption,
    Unavailable,
    RootNotAllowed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum DispatchClass {
    Normal,
    Operational,
    Mandatory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum Pays {
    Yes,
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode, TypeInfo)]
pub(crate) struct Weight {
    #[codec(compact)]
    pub(crate) ref_time: u64,
    #[codec(compact)]
    pub(crate) proof_size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) struct DispatchEventInfo {
    pub(crate) weight: Weight,
    pub(crate) class: DispatchClass,
    pub(crate) pays_fee: Pays,
}

/// Why a transaction cannot be included, as the runtime tells the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum InvalidTransaction {
    Call,
    Payment,
    Future,
    Stale,
    BadProof,
    AncientBirthBlock,
    ExhaustsResources,
    Custom(u8),
    BadMandatory,
    MandatoryValidation,
    BadSigner,
    IndeterminateImplicit,
    UnknownOrigin,
}

impl InvalidTransaction {
    /// The words that Substrate's RPC puts into `data` of error 1010.
    pub(crate) fn reason(&self) -> String {
        match self {
            InvalidTransaction::Call => "Transaction call is not expected",
            InvalidTransaction::Payment => "Inability to pay some fees (e.g. account balance too low)",
            InvalidTransaction::Future => "Transaction will be valid in the future",
            InvalidTransaction::Stale => "Transaction is outdated",
            InvalidTransaction::BadProof => "Transaction has a bad signature",
            InvalidTransaction::AncientBirthBlock => "Transaction has an ancient birth block",
            InvalidTransaction::ExhaustsResources => "Transaction would exhaust the block limits",
            InvalidTransaction::Custom(code) => return format!("Custom error: {code}"),
            InvalidTransaction::BadMandatory => "A call was labelled as mandatory, but resulted in an Error.",
            InvalidTransaction::MandatoryValidation => {
                "Transaction dispatch is mandatory; transactions must not be validated."
            }
            InvalidTransaction::BadSigner => "Invalid signing address",
            InvalidTransaction::IndeterminateImplicit => "The implicit data was unable to be calculated",
            InvalidTransaction::UnknownOrigin => "The transaction extension did not authorize any origin",
        }
        .to_owned()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum UnknownTransaction {
    CannotLookup,
    NoUnsignedValidator,
    Custom(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum TransactionValidityError {
    Invalid(InvalidTransaction),
    Unknown(UnknownTransaction),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum TransactionSource {
    InBlock,
    Local,
    External,
}

/// What the runtime says of a transaction that may be included.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) struct ValidTransaction {
    pub(crate) priority: u64,
    pub(crate) requires: Vec<Vec<u8>>,
    pub(crate) provides: Vec<Vec<u8>>,
    pub(crate) longevity: u64,
    pub(crate) propagate: bool,
}
