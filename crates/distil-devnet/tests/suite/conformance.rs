//! The devnet's metadata against that of the real chain: whatever ours has, theirs has with the same shape.

use distil_devnet::{DevNet, EpochModel};
use frame_metadata::v16::{RuntimeMetadataV16, StorageEntryType};
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use parity_scale_codec::Decode;
use scale_info::form::PortableForm;
use scale_info::{Field, PortableRegistry, TypeDef, Variant};
use serde_json::json;
use std::collections::HashSet;

/// The digits of a storage item's prefix.
pub(crate) fn prefix(pallet: &str, entry: &str) -> String {
    let hash = |name: &str| {
        let halves = [0, 1].map(|seed| twox_hash::XxHash64::oneshot(seed, name.as_bytes()).to_le_bytes());
        halves.concat().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    format!("0x{}{}", hash(pallet), hash(entry))
}

fn decode(bytes: &[u8]) -> RuntimeMetadataV16 {
    match RuntimeMetadataPrefixed::decode(&mut &bytes[..]).unwrap().1 {
        RuntimeMetadata::V16(metadata) => metadata,
        other => panic!("version {}", other.version()),
    }
}

async fn ours() -> RuntimeMetadataV16 {
    let net = DevNet::start(crate::client::settings()).unwrap();
    assert_eq!(crate::client::settings().epoch_model, EpochModel::BlockArithmetic, "as spec version 365 has it");
    let mut raw = crate::raw::Raw::connect(&net).await;
    let answer = raw.call("state_call", json!(["Metadata_metadata_at_version", "0x10000000"])).await.unwrap();
    let digits = answer.as_str().unwrap().trim_start_matches("0x").to_owned();
    let bytes: Vec<u8> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    decode(&Option::<Vec<u8>>::decode(&mut &bytes[..]).unwrap().unwrap())
}

/// The real chain's metadata, where it lies, or what to say where it does not.
fn finney() -> Result<RuntimeMetadataV16, String> {
    let path = std::env::var_os("DISTIL_FINNEY_METADATA")
        .map(std::path::PathBuf::from)
        .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/chain/finney.scale").into());
    let skipped = |error| format!("skipped: {}: {error}; DISTIL_FINNEY_METADATA names the file", path.display());
    std::fs::read(&path).map(|bytes| decode(&bytes)).map_err(skipped)
}

/// Compares types by shape: names of fields and variants, indices, and what they are made of.
struct Shapes<'a> {
    ours: &'a PortableRegistry,
    theirs: &'a PortableRegistry,
    /// Pairs that are equal, or being compared further up.
    seen: HashSet<(u32, u32)>,
    /// Ours may lack variants of these: enums over pallets, calls, events.
    partial: HashSet<u32>,
    problems: Vec<String>,
}

impl Shapes<'_> {
    /// A struct with one field is its field, whatever it is called.
    fn unwrapped(registry: &PortableRegistry, mut id: u32) -> u32 {
        loop {
            match &registry.resolve(id).unwrap().type_def {
                TypeDef::Composite(composite) if composite.fields.len() == 1 => id = composite.fields[0].ty.id,
                TypeDef::Tuple(tuple) if tuple.fields.len() == 1 => id = tuple.fields[0].id,
                _ => return id,
            }
        }
    }

    fn compare(&mut self, at: &str, ours: u32, theirs: u32) {
        let (ours, theirs) = (Self::unwrapped(self.ours, ours), Self::unwrapped(self.theirs, theirs));
        if !self.seen.insert((ours, theirs)) {
            return;
        }
        let (our_registry, their_registry) = (self.ours, self.theirs);
        let (one, other) = (our_registry.resolve(ours).unwrap(), their_registry.resolve(theirs).unwrap());
        match (&one.type_def, &other.type_def) {
            (TypeDef::Composite(one), TypeDef::Composite(other)) => self.fields(at, &one.fields, &other.fields),
            (TypeDef::Variant(one), TypeDef::Variant(other)) => {
                self.variants(at, self.partial.contains(&ours), &one.variants, &other.variants);
            }
            (TypeDef::Sequence(one), TypeDef::Sequence(other)) => {
                self.compare(&format!("{at}[]"), one.type_param.id, other.type_param.id);
            }
            (TypeDef::Array(one), TypeDef::Array(other)) if one.len == other.len => {
                self.compare(&format!("{at}[]"), one.type_param.id, other.type_param.id);
            }
            (TypeDef::Tuple(one), TypeDef::Tuple(other)) if one.fields.len() == other.fields.len() => {
                for (number, (one, other)) in one.fields.iter().zip(&other.fields).enumerate() {
                    self.compare(&format!("{at}.{number}"), one.id, other.id);
                }
            }
            (TypeDef::Primitive(one), TypeDef::Primitive(other)) if one == other => {}
            (TypeDef::Compact(one), TypeDef::Compact(other)) => {
                self.compare(at, one.type_param.id, other.type_param.id);
            }
            (one, other) => self.problems.push(format!("{at}: {one:?} is {other:?} there")),
        }
    }

    fn fields(&mut self, at: &str, ours: &[Field<PortableForm>], theirs: &[Field<PortableForm>]) {
        let names = |fields: &[Field<PortableForm>]| fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>();
        if names(ours) != names(theirs) {
            self.problems.push(format!("{at}: fields {:?} are {:?} there", names(ours), names(theirs)));
            return;
        }
        for (number, (one, other)) in ours.iter().zip(theirs).enumerate() {
            let name = one.name.clone().unwrap_or_else(|| number.to_string());
            self.compare(&format!("{at}.{name}"), one.ty.id, other.ty.id);
        }
    }

    fn variants(&mut self, at: &str, partial: bool, ours: &[Variant<PortableForm>], theirs: &[Variant<PortableForm>]) {
        if !partial && ours.len() != theirs.len() {
            self.problems.push(format!("{at}: {} variants are {} there", ours.len(), theirs.len()));
        }
        for one in ours {
            let at = format!("{at}::{}", one.name);
            match theirs.iter().find(|other| other.name == one.name) {
                None => self.problems.push(format!("{at} is not there")),
                Some(other) if other.index != one.index => {
                    self.problems.push(format!("{at}: index {} is {} there", one.index, other.index));
                }
                Some(other) => self.fields(&at, &one.fields, &other.fields),
            }
        }
    }
}

/// All that differs, one line each.
fn differences(ours: &RuntimeMetadataV16, theirs: &RuntimeMetadataV16) -> Vec<String> {
    // What the devnet leaves out it may: it is a part of the chain. Errors are whole, since their order is their index.
    let mut partial: HashSet<u32> = ours
        .pallets
        .iter()
        .flat_map(|pallet| {
            [pallet.calls.as_ref().map(|calls| calls.ty.id), pallet.event.as_ref().map(|events| events.ty.id)]
        })
        .flatten()
        .collect();
    partial.extend([
        ours.outer_enums.call_enum_ty.id,
        ours.outer_enums.event_enum_ty.id,
        ours.outer_enums.error_enum_ty.id,
    ]);
    partial.extend(
        ours.types
            .types
            .iter()
            .filter(|entry| {
                let name = entry.ty.path.segments.last().map_or("", String::as_str);
                matches!(name, "DispatchError" | "Data" | "InvalidTransaction")
            })
            .map(|entry| entry.id),
    );
    let mut shapes =
        Shapes { ours: &ours.types, theirs: &theirs.types, seen: HashSet::new(), partial, problems: Vec::new() };

    for pallet in &ours.pallets {
        let at = &pallet.name;
        let Some(other) = theirs.pallets.iter().find(|other| other.name == *at) else {
            shapes.problems.push(format!("{at} is not there"));
            continue;
        };
        if pallet.index != other.index {
            shapes.problems.push(format!("{at}: index {} is {} there", pallet.index, other.index));
        }
        let kinds = [
            ("calls", pallet.calls.as_ref().map(|kind| kind.ty.id), other.calls.as_ref().map(|kind| kind.ty.id)),
            ("events", pallet.event.as_ref().map(|kind| kind.ty.id), other.event.as_ref().map(|kind| kind.ty.id)),
            ("errors", pallet.error.as_ref().map(|kind| kind.ty.id), other.error.as_ref().map(|kind| kind.ty.id)),
        ];
        for (kind, one, other) in kinds {
            match (one, other) {
                (Some(one), Some(other)) => shapes.compare(&format!("{at} {kind}"), one, other),
                (Some(_), None) => shapes.problems.push(format!("{at} has no {kind} there")),
                (None, _) => {}
            }
        }
        let entries = |storage: &Option<frame_metadata::v16::PalletStorageMetadata<PortableForm>>| {
            storage.as_ref().map(|storage| (storage.prefix.clone(), storage.entries.clone())).unwrap_or_default()
        };
        let ((prefix, ours), (their_prefix, theirs)) = (entries(&pallet.storage), entries(&other.storage));
        assert_eq!(prefix, their_prefix);
        for entry in ours {
            let at = format!("{at}.{}", entry.name);
            let Some(other) = theirs.iter().find(|other| other.name == entry.name) else {
                shapes.problems.push(format!("{at} is not there"));
                continue;
            };
            if entry.modifier != other.modifier {
                shapes.problems.push(format!("{at}: {:?} is {:?} there", entry.modifier, other.modifier));
            }
            // The beacon is another one.
            if entry.default != other.default && entry.name != "BeaconConfig" {
                shapes.problems.push(format!("{at}: default {:?} is {:?} there", entry.default, other.default));
            }
            match (&entry.ty, &other.ty) {
                (StorageEntryType::Plain(one), StorageEntryType::Plain(other)) => shapes.compare(&at, one.id, other.id),
                (
                    StorageEntryType::Map { hashers, key, value },
                    StorageEntryType::Map { hashers: their_hashers, key: their_key, value: their_value },
                ) => {
                    if hashers != their_hashers {
                        shapes.problems.push(format!("{at}: {hashers:?} are {their_hashers:?} there"));
                    }
                    shapes.compare(&format!("{at} key"), key.id, their_key.id);
                    shapes.compare(&format!("{at} value"), value.id, their_value.id);
                }
                _ => shapes.problems.push(format!("{at} is a map in one and a single value in the other")),
            }
        }
        for constant in &pallet.constants {
            let at = format!("{at}.{}", constant.name);
            match other.constants.iter().find(|other| other.name == constant.name) {
                None => shapes.problems.push(format!("{at} is not there")),
                Some(other) => {
                    shapes.compare(&at, constant.ty.id, other.ty.id);
                    if constant.value != other.value && constant.name != "Version" {
                        shapes.problems.push(format!("{at}: {:?} is {:?} there", constant.value, other.value));
                    }
                }
            }
        }
    }

    for api in &ours.apis {
        let Some(other) = theirs.apis.iter().find(|other| other.name == api.name) else {
            shapes.problems.push(format!("{} is not there", api.name));
            continue;
        };
        if api.version != other.version {
            shapes.problems.push(format!("{}: version {:?} is {:?} there", api.name, api.version, other.version));
        }
        for method in &api.methods {
            let at = format!("{}.{}", api.name, method.name);
            let Some(other) = other.methods.iter().find(|other| other.name == method.name) else {
                shapes.problems.push(format!("{at} is not there"));
                continue;
            };
            shapes.compare(&at, method.output.id, other.output.id);
            let names = |inputs: &[frame_metadata::v16::FunctionParamMetadata<PortableForm>]| {
                inputs.iter().map(|input| input.name.clone()).collect::<Vec<_>>()
            };
            if names(&method.inputs) != names(&other.inputs) {
                shapes.problems.push(format!("{at}: other parameters"));
            }
            for (one, other) in method.inputs.iter().zip(&other.inputs) {
                shapes.compare(&format!("{at}({})", one.name), one.ty.id, other.ty.id);
            }
        }
    }

    let (one, other) = (&ours.extrinsic, &theirs.extrinsic);
    shapes.compare("address", one.address_ty.id, other.address_ty.id);
    shapes.compare("signature", one.signature_ty.id, other.signature_ty.id);
    let identifiers = |metadata: &RuntimeMetadataV16| {
        metadata
            .extrinsic
            .transaction_extensions
            .iter()
            .map(|extension| extension.identifier.clone())
            .collect::<Vec<_>>()
    };
    if identifiers(ours) != identifiers(theirs) {
        shapes.problems.push(format!("extensions {:?} are {:?} there", identifiers(ours), identifiers(theirs)));
    }
    for (one, other) in one.transaction_extensions.iter().zip(&other.transaction_extensions) {
        shapes.compare(&one.identifier, one.ty.id, other.ty.id);
        shapes.compare(&format!("{} implicit", one.identifier), one.implicit.id, other.implicit.id);
    }
    shapes.problems
}

#[tokio::test]
async fn whatever_the_devnet_has_the_real_chain_has_with_the_same_shape() {
    let finney = match finney() {
        Ok(finney) => finney,
        Err(skipped) => {
            println!("{skipped}");
            return;
        }
    };
    let ours = ours().await;
    let problems = differences(&ours, &finney);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let entries: usize =
        ours.pallets.iter().filter_map(|pallet| pallet.storage.as_ref()).map(|storage| storage.entries.len()).sum();
    assert!(entries > 60, "{entries} storage items were compared");
}

#[tokio::test]
async fn the_comparison_notices_what_differs() {
    let ours = ours().await;
    assert_eq!(differences(&ours, &ours), Vec::<String>::new());
    let mut other = ours.clone();
    let subtensor = other.pallets.iter_mut().find(|pallet| pallet.name == "SubtensorModule").unwrap();
    let errors = subtensor.error.as_ref().unwrap().ty.id;
    subtensor.index = 9;
    let entries = &mut subtensor.storage.as_mut().unwrap().entries;
    entries.iter_mut().find(|entry| entry.name == "Tempo").unwrap().default = vec![1];
    entries.retain(|entry| entry.name != "Keys");
    let TypeDef::Variant(definition) = &mut other.types.types[errors as usize].ty.type_def else { panic!() };
    definition.variants[3].index = 77;
    let problems = differences(&ours, &other);
    for expected in ["SubtensorModule: index 7 is 9", "Tempo: default", "Keys is not there", "index 3 is 77"] {
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:?}");
    }
}
