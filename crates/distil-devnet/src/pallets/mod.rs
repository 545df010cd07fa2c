//! The pallets: what each one stores, and its calls, events and errors, with the indices of the real chain.

pub(crate) mod balances;
pub(crate) mod commitments;
pub(crate) mod drand;
pub(crate) mod errors;
pub(crate) mod subtensor;
pub(crate) mod system;
pub(crate) mod timestamp;

use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;

/// Defines storage items, and a function that gives the metadata of all of them.
macro_rules! storage {
    ($pallet:literal, $all:ident; $($constant:ident: $name:literal [$($hasher:ident),*] $key:ty => $value:ty $(= $default:expr)?;)*) => {
        $(pub(crate) const $constant: storage!(@type $key, $value $(, $default)?) =
            crate::state::Entry::new($pallet, $name, &[$(crate::state::Hasher::$hasher),*], storage!(@query $value $(, $default)?));)*

        pub(crate) fn $all() -> Vec<frame_metadata::v14::StorageEntryMetadata> {
            vec![$($constant.metadata()),*]
        }
    };
    (@type $key:ty, $value:ty) => { crate::state::Entry<$key, $value, crate::state::Optional> };
    (@type $key:ty, $value:ty, $default:expr) => { crate::state::Entry<$key, $value, crate::state::Defaulted<$value>> };
    (@query $value:ty) => { crate::state::Optional };
    (@query $value:ty, $default:expr) => {{
        fn default() -> $value { $default }
        crate::state::Defaulted(default)
    }};
}
pub(crate) use storage;

/// A call of any pallet.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum RuntimeCall {
    #[codec(index = 0)]
    System(system::Call),
    #[codec(index = 2)]
    Timestamp(timestamp::Call),
    #[codec(index = 5)]
    Balances(balances::Call),
    #[codec(index = 7)]
    SubtensorModule(subtensor::Call),
    #[codec(index = 18)]
    Commitments(commitments::Call),
}

/// An event of any pallet.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum RuntimeEvent {
    #[codec(index = 0)]
    System(system::Event),
    #[codec(index = 5)]
    Balances(balances::Event),
    #[codec(index = 7)]
    SubtensorModule(subtensor::Event),
    #[codec(index = 18)]
    Commitments(commitments::Event),
    #[codec(index = 26)]
    Drand(drand::Event),
}

/// An error of any pallet.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum RuntimeError {
    #[codec(index = 0)]
    System(system::Error),
    #[codec(index = 5)]
    Balances(balances::Error),
    #[codec(index = 7)]
    SubtensorModule(subtensor::Error),
    #[codec(index = 18)]
    Commitments(commitments::Error),
    #[codec(index = 26)]
    Drand(drand::Error),
}

macro_rules! from_pallet {
    ($outer:ident, $inner:ident, $($pallet:ident = $module:ident),*) => {
        $(impl From<$module::$inner> for $outer {
            fn from(inner: $module::$inner) -> Self {
                $outer::$pallet(inner)
            }
        })*
    };
}

from_pallet!(
    RuntimeEvent,
    Event,
    System = system,
    Balances = balances,
    SubtensorModule = subtensor,
    Commitments = commitments,
    Drand = drand
);
from_pallet!(
    RuntimeError,
    Error,
    System = system,
    Balances = balances,
    SubtensorModule = subtensor,
    Commitments = commitments,
    Drand = drand
);
