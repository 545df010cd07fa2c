//! The same description in each version's form.

use super::apis::{Api, Extrinsic};
use super::layout::Layout;
use super::pallets::Pallet;
use super::paths;
use crate::pallets::{RuntimeCall, RuntimeError, RuntimeEvent};
use crate::types::account::{Address, H256, MultiSignature};
use crate::types::extrinsic::{Extra, extensions};
use frame_metadata::{RuntimeMetadataPrefixed, v14, v15, v16};
use parity_scale_codec::{Compact, Encode};
use scale_info::{MetaType, PortableRegistry, TypeInfo, meta_type};
use std::collections::{BTreeMap, BTreeSet};

/// Name, type in the extrinsic, type of what is signed beside it.
fn transaction_extensions() -> [(&'static str, MetaType, MetaType); 12] {
    fn extension<T: TypeInfo + 'static, Implicit: TypeInfo + 'static>(
        name: &'static str,
    ) -> (&'static str, MetaType, MetaType) {
        (name, meta_type::<T>(), meta_type::<Implicit>())
    }
    [
        extension::<extensions::CheckNonZeroSender, ()>("CheckNonZeroSender"),
        extension::<extensions::CheckSpecVersion, u32>("CheckSpecVersion"),
        extension::<extensions::CheckTxVersion, u32>("CheckTxVersion"),
        extension::<extensions::CheckGenesis, H256>("CheckGenesis"),
        extension::<extensions::CheckMortality, H256>("CheckMortality"),
        extension::<extensions::CheckNonce, ()>("CheckNonce"),
        extension::<extensions::CheckWeight, ()>("CheckWeight"),
        extension::<extensions::ChargeTransactionPayment, ()>("ChargeTransactionPayment"),
        extension::<extensions::SudoTransactionExtension, ()>("SudoTransactionExtension"),
        extension::<extensions::SubtensorTransactionExtension, ()>("SubtensorTransactionExtension"),
        extension::<extensions::DrandPriority, ()>("DrandPriority"),
        extension::<extensions::CheckMetadataHash, Option<[u8; 32]>>("CheckMetadataHash"),
    ]
}

/// Moves indices and renames types, once everything has its number in the registry. The versions' types differ in name
/// alone.
macro_rules! finish {
    ($metadata:ident, $layout:ident) => {
        let mut items = BTreeSet::new();
        for pallet in $metadata.pallets.iter().filter(|pallet| pallet.name != "System") {
            items.extend(pallet.calls.as_ref().map(|calls| calls.ty.id));
            items.extend(pallet.event.as_ref().map(|events| events.ty.id));
            items.extend(pallet.error.as_ref().map(|errors| errors.ty.id));
        }
        let outer = outer_enums(&$metadata.types);
        $layout.apply(&mut $metadata.types, &outer, &items);
        paths::apply(&mut $metadata.types);
    };
}

/// The numbers of outer enums by the name of the type.
fn outer_enums(types: &PortableRegistry) -> BTreeSet<u32> {
    let outer = |entry: &&scale_info::PortableType| {
        let name = entry.ty.path.segments.last().map_or("", String::as_str);
        matches!(name, "RuntimeCall" | "RuntimeEvent" | "RuntimeError")
    };
    types.types.iter().filter(outer).map(|entry| entry.id).collect()
}

pub(super) fn v14(pallets: &[Pallet], layout: Layout) -> Vec<u8> {
    let described = pallets
        .iter()
        .map(|pallet| v14::PalletMetadata {
            name: pallet.name,
            storage: Some(v14::PalletStorageMetadata { prefix: pallet.name, entries: pallet.storage.clone() }),
            calls: pallet.calls.map(|ty| v14::PalletCallMetadata { ty }),
            event: pallet.events.map(|ty| v14::PalletEventMetadata { ty }),
            constants: pallet
                .constants
                .iter()
                .map(|constant| v14::PalletConstantMetadata {
                    name: constant.name,
                    ty: constant.ty,
                    value: constant.value.clone(),
                    docs: Vec::new(),
                })
                .collect(),
            error: pallet.errors.map(|ty| v14::PalletErrorMetadata { ty }),
            index: layout.pallet(pallet.index),
        })
        .collect();
    let extrinsic = v14::ExtrinsicMetadata {
        ty: meta_type::<Extrinsic>(),
        version: 4,
        signed_extensions: transaction_extensions()
            .map(|(identifier, ty, additional_signed)| v14::SignedExtensionMetadata {
                identifier,
                ty,
                additional_signed,
            })
            .to_vec(),
    };
    // The type of the runtime itself, which says nothing.
    let mut metadata = v14::RuntimeMetadataV14::new(described, extrinsic, meta_type::<()>());
    finish!(metadata, layout);
    RuntimeMetadataPrefixed::from(metadata).encode()
}

pub(super) fn v15(pallets: &[Pallet], apis: &[Api], layout: Layout) -> Vec<u8> {
    let described = pallets
        .iter()
        .map(|pallet| v15::PalletMetadata {
            name: pallet.name,
            storage: Some(v15::PalletStorageMetadata { prefix: pallet.name, entries: pallet.storage.clone() }),
            calls: pallet.calls.map(|ty| v15::PalletCallMetadata { ty }),
            event: pallet.events.map(|ty| v15::PalletEventMetadata { ty }),
            constants: pallet
                .constants
                .iter()
                .map(|constant| v15::PalletConstantMetadata {
                    name: constant.name,
                    ty: constant.ty,
                    value: constant.value.clone(),
                    docs: Vec::new(),
                })
                .collect(),
            error: pallet.errors.map(|ty| v15::PalletErrorMetadata { ty }),
            index: layout.pallet(pallet.index),
            docs: Vec::new(),
        })
        .collect();
    let extrinsic = v15::ExtrinsicMetadata {
        version: 4,
        address_ty: meta_type::<Address>(),
        call_ty: meta_type::<RuntimeCall>(),
        signature_ty: meta_type::<MultiSignature>(),
        extra_ty: meta_type::<Extra>(),
        signed_extensions: transaction_extensions()
            .map(|(identifier, ty, additional_signed)| v15::SignedExtensionMetadata {
                identifier,
                ty,
                additional_signed,
            })
            .to_vec(),
    };
    let apis = apis
        .iter()
        .map(|api| v15::RuntimeApiMetadata {
            name: api.name,
            methods: api
                .methods
                .iter()
                .map(|method| v15::RuntimeApiMethodMetadata {
                    name: method.name,
                    inputs: method
                        .inputs
                        .iter()
                        .map(|(name, ty)| v15::RuntimeApiMethodParamMetadata { name: *name, ty: *ty })
                        .collect(),
                    output: method.output,
                    docs: Vec::new(),
                })
                .collect(),
            docs: Vec::new(),
        })
        .collect();
    let outer = v15::OuterEnums {
        call_enum_ty: meta_type::<RuntimeCall>(),
        event_enum_ty: meta_type::<RuntimeEvent>(),
        error_enum_ty: meta_type::<RuntimeError>(),
    };
    let custom = v15::CustomMetadata { map: BTreeMap::new() };
    let mut metadata = v15::RuntimeMetadataV15::new(described, extrinsic, meta_type::<()>(), apis, outer, custom);
    finish!(metadata, layout);
    RuntimeMetadataPrefixed::from(metadata).encode()
}

pub(super) fn v16(pallets: &[Pallet], apis: &[Api], layout: Layout) -> Vec<u8> {
    fn current() -> v16::ItemDeprecationInfo {
        v16::ItemDeprecationInfo::NotDeprecated
    }
    let described = pallets
        .iter()
        .map(|pallet| v16::PalletMetadata {
            name: pallet.name,
            storage: Some(v16::PalletStorageMetadata {
                prefix: pallet.name,
                entries: pallet
                    .storage
                    .iter()
                    .map(|entry| v16::StorageEntryMetadata {
                        name: entry.name,
                        modifier: entry.modifier.clone(),
                        ty: entry.ty.clone(),
                        default: entry.default.clone(),
                        docs: Vec::new(),
                        deprecation_info: current(),
                    })
                    .collect(),
            }),
            calls: pallet.calls.map(|ty| v16::PalletCallMetadata {
                ty,
                deprecation_info: v16::EnumDeprecationInfo::nothing_deprecated(),
            }),
            event: pallet.events.map(|ty| v16::PalletEventMetadata {
                ty,
                deprecation_info: v16::EnumDeprecationInfo::nothing_deprecated(),
            }),
            constants: pallet
                .constants
                .iter()
                .map(|constant| v16::PalletConstantMetadata {
                    name: constant.name,
                    ty: constant.ty,
                    value: constant.value.clone(),
                    docs: Vec::new(),
                    deprecation_info: current(),
                })
                .collect(),
            error: pallet.errors.map(|ty| v16::PalletErrorMetadata {
                ty,
                deprecation_info: v16::EnumDeprecationInfo::nothing_deprecated(),
            }),
            associated_types: Vec::new(),
            view_functions: Vec::new(),
            index: layout.pallet(pallet.index),
            docs: Vec::new(),
            deprecation_info: current(),
        })
        .collect();
    let extensions = transaction_extensions();
    let extrinsic = v16::ExtrinsicMetadata {
        versions: vec![4],
        address_ty: meta_type::<Address>(),
        call_ty: meta_type::<RuntimeCall>(),
        signature_ty: meta_type::<MultiSignature>(),
        transaction_extensions_by_version: [(0, (0..extensions.len() as u32).map(Compact).collect())].into(),
        transaction_extensions: extensions
            .map(|(identifier, ty, implicit)| v16::TransactionExtensionMetadata { identifier, ty, implicit })
            .to_vec(),
    };
    let apis = apis
        .iter()
        .map(|api| v16::RuntimeApiMetadata {
            name: api.name,
            methods: api
                .methods
                .iter()
                .map(|method| v16::RuntimeApiMethodMetadata {
                    name: method.name,
                    inputs: method
                        .inputs
                        .iter()
                        .map(|(name, ty)| v16::FunctionParamMetadata { name: *name, ty: *ty })
                        .collect(),
                    output: method.output,
                    docs: Vec::new(),
                    deprecation_info: current(),
                })
                .collect(),
            docs: Vec::new(),
            version: Compact(api.version),
            deprecation_info: current(),
        })
        .collect();
    let outer = v16::OuterEnums {
        call_enum_ty: meta_type::<RuntimeCall>(),
        event_enum_ty: meta_type::<RuntimeEvent>(),
        error_enum_ty: meta_type::<RuntimeError>(),
    };
    let custom = v16::CustomMetadata { map: BTreeMap::new() };
    let mut metadata = v16::RuntimeMetadataV16::new(described, extrinsic, apis, outer, custom);
    finish!(metadata, layout);
    RuntimeMetadataPrefixed::from(metadata).encode()
}
