//! The pallets as the metadata lists them.

use super::RuntimeFeatures;
use crate::pallets::{balances, commitments, drand, subtensor, system, timestamp};
use crate::types::system::RuntimeVersion;
use frame_metadata::v14::StorageEntryMetadata;
use parity_scale_codec::Encode;
use scale_info::{MetaType, TypeInfo, meta_type};

/// One pallet, whatever version of metadata it goes into.
pub(super) struct Pallet {
    pub(super) name: &'static str,
    pub(super) index: u8,
    pub(super) storage: Vec<StorageEntryMetadata>,
    pub(super) calls: Option<MetaType>,
    pub(super) events: Option<MetaType>,
    pub(super) errors: Option<MetaType>,
    pub(super) constants: Vec<Constant>,
}

pub(super) struct Constant {
    pub(super) name: &'static str,
    pub(super) ty: MetaType,
    pub(super) value: Vec<u8>,
}

fn constant<T: Encode + TypeInfo + 'static>(name: &'static str, value: T) -> Constant {
    Constant { name, ty: meta_type::<T>(), value: value.encode() }
}

pub(super) fn all(features: RuntimeFeatures, version: &RuntimeVersion) -> Vec<Pallet> {
    vec![
        Pallet {
            name: "System",
            index: 0,
            storage: system::entries(),
            calls: Some(meta_type::<system::Call>()),
            events: Some(meta_type::<system::Event>()),
            errors: Some(meta_type::<system::Error>()),
            constants: vec![
                constant("BlockHashCount", system::BLOCK_HASH_COUNT),
                constant("Version", version.clone()),
                constant("SS58Prefix", 42_u16),
            ],
        },
        Pallet {
            name: "Timestamp",
            index: 2,
            storage: timestamp::entries(),
            calls: Some(meta_type::<timestamp::Call>()),
            events: None,
            errors: None,
            constants: vec![constant("MinimumPeriod", features.block_time_ms / 2)],
        },
        Pallet {
            name: "Balances",
            index: 5,
            storage: balances::entries(),
            calls: Some(meta_type::<balances::Call>()),
            events: Some(meta_type::<balances::Event>()),
            errors: Some(meta_type::<balances::Error>()),
            constants: vec![constant("ExistentialDeposit", balances::EXISTENTIAL_DEPOSIT)],
        },
        Pallet {
            name: "SubtensorModule",
            index: 7,
            storage: subtensor::entries(features.stateful_epochs),
            calls: Some(meta_type::<subtensor::Call>()),
            events: Some(meta_type::<subtensor::Event>()),
            errors: Some(meta_type::<subtensor::Error>()),
            constants: Vec::new(),
        },
        Pallet {
            name: "Commitments",
            index: 18,
            storage: commitments::entries(),
            calls: Some(meta_type::<commitments::Call>()),
            events: Some(meta_type::<commitments::Event>()),
            errors: Some(meta_type::<commitments::Error>()),
            constants: vec![
                constant("MaxFields", commitments::MAX_FIELDS),
                constant("InitialDeposit", 0_u64),
                constant("FieldDeposit", 0_u64),
            ],
        },
        Pallet {
            name: "Drand",
            index: 26,
            storage: drand::entries(),
            calls: None,
            events: Some(meta_type::<drand::Event>()),
            errors: Some(meta_type::<drand::Error>()),
            constants: Vec::new(),
        },
    ]
}
