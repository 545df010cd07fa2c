//! What this client names, against the metadata of the real chain (spec version 365): calls with their arguments, items of
//! storage with the hashers and shapes of their keys and values, functions of the runtime, names of errors.

use super::beacon::{BeaconConfiguration, Pulse};
use super::commit::{CommitPlan, set_commitment};
use super::error::LIMITS;
use super::existing::Usage;
use super::neurons::{FIELDS, Metagraph};
use super::pending::Registration;
use super::storage::SUBTENSOR;
use super::subnet_weights::StoredCommit;
use super::transaction::Call;
use super::weights::Action;
use crate::timelock::{DrandNetwork, Randomness};
use crate::weights::WeightPlan;
use distil_types::{NetUid, Uid};
use std::collections::BTreeSet;
use std::sync::Arc;
use subxt::client::OfflineClientAtBlock;
use subxt::config::polkadot::{PolkadotConfig, SpecVersionForRange};
use subxt::dynamic::Value;
use subxt::ext::codec::Decode;
use subxt::ext::frame_decode::storage::{IntoDecodableValues, IntoEncodableValues, StorageHasher};
use subxt::ext::scale_decode::DecodeAsType;
use subxt::ext::scale_value::{Composite, scale::encode_as_type};
use subxt::{Metadata, OfflineClient};

type Finney = OfflineClientAtBlock<PolkadotConfig>;

/// The real chain's metadata, where it lies.
fn finney() -> Option<Finney> {
    let path = std::env::var_os("DISTIL_FINNEY_METADATA").map_or_else(
        || concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/chain/finney.scale").into(),
        std::path::PathBuf::from,
    );
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            println!("skipped: {}: {error}; DISTIL_FINNEY_METADATA names the file", path.display());
            return None;
        }
    };
    let metadata = Arc::new(Metadata::decode(&mut &bytes[..]).unwrap());
    let versions = SpecVersionForRange { block_range: 0..u64::MAX, spec_version: 365, transaction_version: 1 };
    let config = PolkadotConfig::builder()
        .set_metadata_for_spec_versions([(365, metadata)])
        .set_spec_version_for_block_ranges([versions])
        .build();
    Some(OfflineClient::new_with_config(config).at_block(1_u64).unwrap())
}

/// What the client reads of storage. `check` is called with each item.
struct Items<'a> {
    at: &'a Finney,
    seen: BTreeSet<String>,
}

impl Items<'_> {
    /// That keys of this type make a key of storage with these hashers, and that the client's type reads a value of the
    /// chain's.
    fn check<Keys: IntoEncodableValues + IntoDecodableValues, T: DecodeAsType>(
        &mut self,
        (pallet, entry): (&str, &str),
        keys: Keys,
        hashers: &[StorageHasher],
        sample: Value,
    ) {
        let metadata = self.at.metadata_ref();
        let known = metadata.pallet_by_name(pallet).and_then(|pallet| pallet.storage()?.entry_by_name(entry));
        let known = known.unwrap_or_else(|| panic!("{pallet}.{entry} is not there"));
        assert_eq!(known.keys().map(|key| key.hasher).collect::<Vec<_>>(), hashers, "{pallet}.{entry}");
        let address = subxt::dynamic::storage::<Keys, T>(pallet, entry);
        let storage = self.at.storage();
        let key = storage.entry(address).unwrap().fetch_key(keys).unwrap_or_else(|error| panic!("{entry}: {error}"));
        assert!(key.len() >= 32, "{pallet}.{entry}");
        decodes::<T>(metadata, known.value_ty(), &sample, entry);
        self.seen.extend([pallet.to_owned(), entry.to_owned()]);
    }
}

fn decodes<T: DecodeAsType>(metadata: &Metadata, type_id: u32, sample: &Value, what: &str) {
    let mut bytes = Vec::new();
    encode_as_type(sample, type_id, metadata.types(), &mut bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    if let Err(error) = T::decode_as_type(&mut &bytes[..], type_id, metadata.types()) {
        panic!("{what}: {error}");
    }
}

fn number(number: u64) -> Value {
    Value::u128(number.into())
}

fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::unnamed_composite(values)
}

fn named<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::named_composite(fields)
}

/// Every item, with the client's own types of keys and values.
fn check_storage(at: &Finney) -> BTreeSet<String> {
    use StorageHasher::{Blake2_128Concat, Identity, Twox64Concat};
    const ACCOUNT: [u8; 32] = [7; 32];
    let mut items = Items { at, seen: BTreeSet::new() };
    let by_netuid = [Identity];
    for entry in ["Tempo", "MinAllowedWeights", "ActivityCutoff"] {
        items.check::<_, u16>((SUBTENSOR, entry), (97_u16,), &by_netuid, number(5));
    }
    for entry in ["WeightsVersionKey", "WeightsSetRateLimit", "BlocksSinceLastStep"] {
        items.check::<_, u64>((SUBTENSOR, entry), (97_u16,), &by_netuid, number(5));
    }
    for entry in ["NetworksAdded", "CommitRevealWeightsEnabled"] {
        items.check::<_, bool>((SUBTENSOR, entry), (97_u16,), &by_netuid, Value::bool(true));
    }
    items.check::<_, u64>((SUBTENSOR, "RevealPeriodEpochs"), (97_u16,), &[Twox64Concat], number(5));
    items.check::<_, u16>((SUBTENSOR, "CommitRevealWeightsVersion"), (), &[], number(4));
    items.check::<_, [u8; 32]>((SUBTENSOR, "SubnetOwnerHotkey"), (97_u16,), &by_netuid, Value::from_bytes(ACCOUNT));
    items.check::<_, Vec<bool>>((SUBTENSOR, "ValidatorPermit"), (97_u16,), &by_netuid, list([Value::bool(true)]));
    items.check::<_, Vec<u64>>((SUBTENSOR, "LastUpdate"), (97_u16,), &by_netuid, list([number(5)]));
    items.check::<_, Vec<u16>>((SUBTENSOR, "Incentive"), (97_u16,), &by_netuid, list([number(5)]));
    let by_seat = [Identity, Identity];
    items.check::<_, [u8; 32]>((SUBTENSOR, "Keys"), (97_u16, 1_u16), &by_seat, Value::from_bytes(ACCOUNT));
    items.check::<_, u64>((SUBTENSOR, "BlockAtRegistration"), (97_u16, 1_u16), &by_seat, number(5));
    let row = list([list([number(1), number(65_535)])]);
    items.check::<_, Vec<(u16, u16)>>((SUBTENSOR, "Weights"), (97_u16, 1_u16), &by_seat, row);
    items.check::<_, u16>((SUBTENSOR, "Uids"), (97_u16, ACCOUNT), &[Identity, Blake2_128Concat], number(5));
    items.check::<_, [u8; 32]>((SUBTENSOR, "Owner"), (ACCOUNT,), &[Blake2_128Concat], Value::from_bytes(ACCOUNT));
    let by_hotkey = [Blake2_128Concat, Identity];
    items.check::<_, u64>((SUBTENSOR, "TotalHotkeyAlpha"), (ACCOUNT, 97_u16), &by_hotkey, number(5));
    let commit = list([Value::from_bytes(ACCOUNT), number(5), Value::from_bytes([1, 2]), number(9)]);
    items.check::<_, Vec<StoredCommit>>(
        (SUBTENSOR, "TimelockedWeightCommits"),
        (97_u16, 5_u64),
        &[Twox64Concat, Twox64Concat],
        list([commit]),
    );

    let by_miner = [Identity, Twox64Concat];
    let revealed = list([list([Value::from_bytes([1]), number(5)])]);
    let key = || (97_u16, ACCOUNT);
    items.check::<_, Vec<(Vec<u8>, u64)>>(("Commitments", "RevealedCommitments"), key(), &by_miner, revealed);
    let field =
        Value::named_variant("TimelockEncrypted", [("encrypted", Value::from_bytes([1])), ("reveal_round", number(9))]);
    let info = named([("fields", list([field]))]);
    let registration = named([("deposit", number(0)), ("block", number(5)), ("info", info)]);
    items.check::<_, Registration>(("Commitments", "CommitmentOf"), key(), &by_miner, registration);
    let usage = named([("last_epoch", number(5)), ("used_space", number(100))]);
    items.check::<_, Usage>(("Commitments", "UsedSpaceOf"), key(), &by_miner, usage);
    items.check::<_, u32>(("Commitments", "MaxSpace"), (), &[], number(3100));

    items.check::<_, u64>(("Timestamp", "Now"), (), &[], number(5));
    items.check::<_, u64>(("Drand", "LastStoredRound"), (), &[], number(5));
    let pulse = named([
        ("round", number(5)),
        ("randomness", Value::from_bytes([1; 32])),
        ("signature", Value::from_bytes([1; 48])),
    ]);
    items.check::<_, Pulse>(("Drand", "Pulses"), (5_u64,), &[Blake2_128Concat], pulse);
    let beacon = named([
        ("public_key", Value::from_bytes([1; 96])),
        ("period", number(3)),
        ("genesis_time", number(5)),
        ("hash", Value::from_bytes([1; 32])),
        ("group_hash", Value::from_bytes([1; 32])),
        ("scheme_id", Value::from_bytes([1; 4])),
        ("metadata", named([("beacon_id", Value::from_bytes([1; 4]))])),
    ]);
    items.check::<_, BeaconConfiguration>(("Drand", "BeaconConfig"), (), &[], beacon);
    items.seen
}

#[test]
fn what_the_client_reads_is_as_the_real_chain_has_it() {
    let Some(at) = finney() else { return };
    let mut known = check_storage(&at);
    let metadata = at.metadata_ref();

    let api = metadata.runtime_api_trait_by_name("SubnetInfoRuntimeApi").unwrap();
    let method = api.method_by_name("get_selective_metagraph").unwrap();
    let inputs: Vec<&str> = method.inputs().map(|input| &input.name[..]).collect();
    assert_eq!(inputs.len(), 2, "{inputs:?}");
    let inputs = (97_u16, FIELDS.to_vec());
    let call = subxt::dynamic::runtime_api_call::<_, Option<Metagraph>>(api.name(), method.name(), inputs);
    // A compact count of 15 after the netuid, then 15 numbers of two bytes.
    assert_eq!(at.runtime_apis().encode_args(call).unwrap().len(), 2 + 1 + 2 * FIELDS.len());
    check_metagraph(metadata, method.output_ty());

    let address = subxt::dynamic::constant::<u64>("Timestamp", "MinimumPeriod");
    assert_eq!(at.constants().entry(address).unwrap(), 6_000, "half of a block");
    known.insert("MinimumPeriod".to_owned());

    // What a name in the client's sources can mean: an item of storage that was compared, or one of these.
    known.extend([SUBTENSOR, "SubnetInfoRuntimeApi", "TimelockEncrypted", "TimelockRevealFailed"].map(str::to_owned));
    known.extend(["System", "ExtrinsicFailed", "Unknown", "TooFast"].map(str::to_owned));
    known.extend(LIMITS.map(str::to_owned));
    // Only newer chains have these, and the client asks for them where they are.
    known.extend(["SubnetEpochIndex", "LastEpochBlock", "PendingEpochAt"].map(str::to_owned));
    let sources = [
        include_str!("beacon.rs"),
        include_str!("commit.rs"),
        include_str!("confirm.rs"),
        include_str!("existing.rs"),
        include_str!("genesis.rs"),
        include_str!("neurons.rs"),
        include_str!("pending.rs"),
        include_str!("schedule.rs"),
        include_str!("subnet_weights.rs"),
        include_str!("transaction.rs"),
        include_str!("weights.rs"),
    ];
    for source in sources {
        let source = source.split("#[cfg(test)]").next().unwrap();
        for name in source.split('"').skip(1).step_by(2) {
            let is_name = name.len() > 2
                && name.starts_with(|first: char| first.is_ascii_uppercase())
                && name.chars().all(|character| character.is_ascii_alphanumeric());
            assert!(!is_name || known.contains(name), "{name} is named by the client and not compared here");
        }
    }
}

/// That the fields stand where the client asks for them, and that its own struct reads them.
fn check_metagraph(metadata: &Metadata, type_id: u32) {
    use subxt::ext::scale_value::scale::decode_as_type;
    let sample = |field: &str| match field {
        "commit_reveal_weights_enabled" => Value::bool(true),
        "hotkeys" | "coldkeys" => list([Value::from_bytes([1; 32])]),
        "validator_permit" => list([Value::bool(true)]),
        "last_update" | "incentives" | "block_at_registration" | "total_stake" => list([number(5)]),
        _ => number(5),
    };
    // The layout, as the chain's own type says it: an answer in which every field was left out.
    let fields = 74;
    let none = [&[1, 0][..], &[0; 256]].concat();
    let empty = decode_as_type(&mut &none[..], type_id, metadata.types()).unwrap();
    let subxt::ext::scale_value::ValueDef::Variant(variant) = empty.value else { panic!("no option") };
    let Composite::Unnamed(inner) = variant.values else { panic!("no tuple") };
    let subxt::ext::scale_value::ValueDef::Composite(Composite::Named(graph)) = &inner[0].value else {
        panic!("no struct")
    };
    assert!(graph.len() >= fields, "{} fields", graph.len());
    let filled = graph.iter().enumerate().map(|(position, (name, _))| {
        let value = match u16::try_from(position).is_ok_and(|position| FIELDS.contains(&position)) {
            true => Value::unnamed_variant("Some", [sample(name)]),
            false if position == 0 => number(97),
            false => Value::unnamed_variant("None", []),
        };
        (name.clone(), value)
    });
    let answer = Value::unnamed_variant("Some", [Value::named_composite(filled)]);
    let mut bytes = Vec::new();
    encode_as_type(&answer, type_id, metadata.types(), &mut bytes).unwrap();
    let graph = Option::<Metagraph>::decode_as_type(&mut &bytes[..], type_id, metadata.types()).unwrap().unwrap();
    // Every field that the client knows was at a place that it asks for.
    let shown = format!("{graph:?}");
    assert!(!shown.contains("None"), "{shown}");
    assert_eq!(shown.matches("Some(").count(), FIELDS.len(), "{shown}");
}

#[test]
fn what_the_client_sends_is_as_the_real_chain_has_it() {
    let Some(at) = finney() else { return };
    let encoded = |call: Call| {
        let payload = subxt::dynamic::tx(call.pallet, call.name, Composite::named(call.arguments));
        at.transactions().call_data(&payload).unwrap_or_else(|error| panic!("{}: {error}", call.name))
    };
    let row = WeightPlan::winner(Uid(4)).row(9, 2, |_| None).unwrap();
    let set = Action::Set { row: &row, version_key: 3 };
    let sealed = Action::Commit { sealed: vec![1, 2, 3], reveal_round: 9, commit_reveal_version: 4 };
    let metadata = at.metadata_ref();
    // Pallet 7, call 0; netuid, two UIDs, two weights, the version.
    let expected = [&[7, 0, 97, 0][..], &[8, 0, 0, 4, 0], &[8, 0, 0, 255, 255], &[3, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(encoded(set.call(metadata, NetUid(97))), expected);
    let expected = [&[7, 113, 97, 0][..], &[12, 1, 2, 3], &[9, 0, 0, 0, 0, 0, 0, 0], &[4, 0]].concat();
    assert_eq!(encoded(sealed.call(metadata, NetUid(97))), expected);
    for (name, index, arguments) in [
        ("set_mechanism_weights", 119, set.call(metadata, NetUid(97)).arguments),
        ("commit_timelocked_mechanism_weights", 118, sealed.call(metadata, NetUid(97)).arguments),
    ] {
        let arguments = [arguments, vec![("mecid", number(0))]].concat();
        let bytes = encoded(Call { pallet: SUBTENSOR, name, arguments });
        assert_eq!(bytes[..5], [7, index, 97, 0, 0], "{name}");
    }

    let text = format!(r#"{{"model":"alice/a","revision":"{}"}}"#, "0a".repeat(20));
    let commitment = serde_json::from_str(&text).unwrap();
    let randomness = Randomness::from_bytes(&[1; Randomness::BYTES]);
    let plan = CommitPlan::seal(commitment, DrandNetwork::quicknet(), 1_760_000_000_000, randomness).unwrap();
    let bytes = encoded(set_commitment(NetUid(97), &plan));
    // One field, a TimelockEncrypted: its length, the bytes, the round.
    let length = (plan.encrypted.len() as u16) << 2 | 1;
    let expected =
        [&[18, 0, 97, 0, 4, 134][..], &length.to_le_bytes(), &plan.encrypted, &plan.reveal_round.to_le_bytes()];
    assert_eq!(bytes, expected.concat());

    let errors = |pallet: &str| -> BTreeSet<String> {
        let variants = metadata.pallet_by_name(pallet).unwrap().error_variants().unwrap();
        variants.iter().map(|variant| variant.name.clone()).collect()
    };
    let all: BTreeSet<String> = errors(SUBTENSOR).union(&errors("Commitments")).cloned().collect();
    // Newer chains alone have a queue.
    let missing: Vec<&str> = LIMITS.into_iter().filter(|name| !all.contains(*name)).collect();
    assert_eq!(missing, ["CommitQueueFull"]);
}
