//! Blocks, forks, upgrades, metadata versions.

use crate::client::{NETUID, connect, failed, hotkey, open_subnet, set_weights, settings, with_neurons};
use crate::raw::Raw;
use distil_devnet::{BlockProduction, DevNet, DevNetSettings, Hyperparameters, Retracted};
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use parity_scale_codec::{Decode, Encode};
use serde_json::{Value, json};
use subxt_signer::sr25519::dev;

fn bytes(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().trim_start_matches("0x");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_same_settings_and_calls_give_the_same_blocks() {
    let run = || {
        let net = with_neurons(DevNetSettings::default(), open_subnet());
        net.admin().produce_blocks(5).unwrap();
        net.admin().best_block()
    };
    assert_eq!(run(), run());
    let other =
        with_neurons(DevNetSettings { genesis_unix_ms: 1_760_000_000_001, ..DevNetSettings::default() }, open_subnet());
    other.admin().produce_blocks(5).unwrap();
    assert_ne!(run(), other.admin().best_block());
}

#[tokio::test]
async fn a_hash_is_that_of_the_header_and_finality_stays_behind() {
    let net = with_neurons(DevNetSettings { finality_lag: 3, ..DevNetSettings::default() }, open_subnet());
    net.admin().produce_blocks(10).unwrap();
    let mut raw = Raw::connect(&net).await;
    assert_eq!(net.admin().best_block().number, 12);
    assert_eq!(net.admin().finalized_block().number, 9);
    let hash = raw.call("chain_getFinalizedHead", json!([])).await.unwrap();
    let header = raw.call("chain_getHeader", json!([hash])).await.unwrap();
    assert_eq!(header["number"], "0x9");
    let mut encoded = bytes(&header["parentHash"]);
    encoded.extend(parity_scale_codec::Compact(9_u32).encode());
    encoded.extend(bytes(&header["stateRoot"]));
    encoded.extend(bytes(&header["extrinsicsRoot"]));
    let logs: Vec<Vec<u8>> = header["digest"]["logs"].as_array().unwrap().iter().map(bytes).collect();
    encoded.extend(parity_scale_codec::Compact(logs.len() as u32).encode());
    encoded.extend(logs.concat());
    let hasher = subxt::config::substrate::BlakeTwo256;
    assert_eq!(subxt::config::Hasher::hash(&hasher, &encoded).as_bytes(), bytes(&hash));
}

#[tokio::test]
async fn all_versions_of_the_metadata_decode() {
    let net = DevNet::start(settings()).unwrap();
    let mut raw = Raw::connect(&net).await;
    let versions = raw.call("state_call", json!(["Metadata_metadata_versions", "0x"])).await.unwrap();
    assert_eq!(Vec::<u32>::decode(&mut &bytes(&versions)[..]).unwrap(), [14, 15, 16]);
    for version in [14_u32, 15, 16] {
        let parameter = format!("0x{:02x}000000", version);
        let answer = raw.call("state_call", json!(["Metadata_metadata_at_version", parameter])).await.unwrap();
        let opaque = Option::<Vec<u8>>::decode(&mut &bytes(&answer)[..]).unwrap().unwrap();
        let metadata = RuntimeMetadataPrefixed::decode(&mut &opaque[..]).unwrap().1;
        assert_eq!(metadata.version(), version);
        // subxt reads each of them whole.
        subxt::Metadata::decode_from(&opaque).unwrap();
        if let RuntimeMetadata::V14(metadata) = metadata {
            assert_eq!(metadata.pallets.iter().find(|pallet| pallet.name == "Commitments").unwrap().index, 18);
        }
    }
    let none = raw.call("state_call", json!(["Metadata_metadata_at_version", "0x0d000000"])).await.unwrap();
    assert_eq!(none, "0x00");
}

#[tokio::test]
async fn an_upgrade_moves_indices_and_ends_old_transactions() {
    let net = with_neurons(settings(), Hyperparameters { commit_reveal: Some(true), ..open_subnet() });
    let client = connect(&net).await;
    let before = client.at_current_block().await.unwrap();
    let old = before.metadata_ref().pallet_by_name("SubtensorModule").unwrap();
    let old_index = old.call_variant_by_name("set_weights").unwrap().index;
    assert_eq!((old.call_index(), old_index), (7, 0));
    // Signed before, sent after.
    let payload = subxt::dynamic::tx(
        "SubtensorModule",
        "set_weights",
        vec![crate::client::number(97_u16), list(&[1]), list(&[1]), crate::client::number(0_u64)],
    );
    let signed = before.transactions().create_signed(&payload, &dev::alice(), Default::default()).await.unwrap();

    assert_eq!(net.admin().upgrade_runtime().unwrap(), 366);
    let error = format!("{:?}", signed.submit().await.unwrap_err());
    assert!(error.contains("1010") || error.contains("1002"), "{error}");

    // The same client finds everything where it is now, and reads errors by their new indices.
    let outcome = set_weights(&client, &dev::alice(), &[1], &[1], 0).await;
    assert_eq!(outcome, failed("SubtensorModule::CommitRevealEnabled"));
    net.admin().set_hyperparameters(NETUID, open_subnet()).unwrap();
    let events = set_weights(&client, &dev::alice(), &[1], &[1], 0).await.events();
    assert_eq!(events, ["SubtensorModule.WeightsSet", "System.ExtrinsicSuccess"]);
    let after = client.at_current_block().await.unwrap();
    let new = after.metadata_ref().pallet_by_name("SubtensorModule").unwrap();
    assert_eq!((new.call_index(), new.call_variant_by_name("set_weights").unwrap().index), (8, 1));
    // Blocks before still say what they said.
    let past = client.at_block(2_u32).await.unwrap();
    assert_eq!(past.metadata_ref().pallet_by_name("SubtensorModule").unwrap().call_index(), 7);
}

fn list(values: &[u16]) -> subxt::dynamic::Value {
    subxt::dynamic::Value::unnamed_composite(values.iter().map(|value| subxt::dynamic::Value::u128((*value).into())))
}

#[tokio::test]
async fn a_reorganization_takes_blocks_back_and_keeps_or_loses_their_transactions() {
    for retracted in [Retracted::Reincluded, Retracted::Lost] {
        let net = with_neurons(DevNetSettings { finality_lag: 4, ..DevNetSettings::default() }, open_subnet());
        net.admin().produce_blocks(5).unwrap();
        let client = connect(&net).await;
        let mut raw = Raw::connect(&net).await;
        let at = client.at_current_block().await.unwrap();
        let arguments = vec![crate::client::number(97_u16), list(&[1]), list(&[1]), crate::client::number(0_u64)];
        let payload = subxt::dynamic::tx("SubtensorModule", "set_weights", arguments);
        let signed = at.transactions().create_signed(&payload, &dev::alice(), Default::default()).await.unwrap();
        let text = signed.encoded().iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"));
        raw.call("author_submitAndWatchExtrinsic", json!([text])).await.unwrap();
        assert_eq!(raw.next().await.unwrap()["params"]["result"], "ready");
        net.admin().produce_blocks(1).unwrap();
        // What the operator did on the branch is done again.
        net.admin().register_neurons(NETUID, [distil_devnet::Neuron::miner(hotkey(&dev::dave()))]).unwrap();
        let old = net.admin().best_block();
        let included = raw.next().await.unwrap()["params"]["result"]["inBlock"].clone();

        assert!(net.admin().reorganize(5, retracted).is_err(), "that far it is final");
        net.admin().reorganize(2, retracted).unwrap();
        let new = net.admin().best_block();
        assert_eq!(new.number, old.number + 1);
        assert_eq!(raw.next().await.unwrap()["params"]["result"], json!({ "retracted": included }));
        let uid = crate::client::stored_as::<u16>;
        if retracted == Retracted::Reincluded {
            let again = raw.next().await.unwrap()["params"]["result"]["inBlock"].clone();
            assert_ne!(again, included);
            net.admin().produce_blocks(4).unwrap();
            assert_eq!(raw.next().await.unwrap()["params"]["result"], json!({ "finalized": again }));
        } else {
            net.admin().produce_blocks(4).unwrap();
            assert!(raw.is_silent().await);
        }
        let dave = subxt::dynamic::Value::from_bytes(hotkey(&dev::dave()).account_id());
        assert_eq!(uid(&client, "SubtensorModule", "Uids", vec![crate::client::number(97_u16), dave]).await, Some(3));
        let weights = crate::client::stored_as::<Vec<(u16, u16)>>;
        let keys = vec![crate::client::number(97_u16), crate::client::number(0_u16)];
        let row = weights(&client, "SubtensorModule", "Weights", keys).await.unwrap();
        assert_eq!(row.is_empty(), retracted == Retracted::Lost);

        // The block is still known, its state is not.
        assert_ne!(raw.call("chain_getHeader", json!([old.hash])).await.unwrap(), json!(null));
        let hash = raw.call("chain_getBlockHash", json!([old.number])).await.unwrap();
        assert_ne!(hash, json!(old.hash));
        let error = raw.call("state_getStorage", json!(["0x00", old.hash])).await.unwrap_err();
        assert!(error["message"].as_str().unwrap().contains("State already discarded"), "{error}");
    }
}

#[tokio::test]
async fn only_so_many_blocks_are_kept() {
    let net = with_neurons(
        DevNetSettings { kept_blocks: 8, production: BlockProduction::OnDemand, ..DevNetSettings::default() },
        open_subnet(),
    );
    net.admin().produce_blocks(40).unwrap();
    let mut raw = Raw::connect(&net).await;
    assert_eq!(raw.call("chain_getBlockHash", json!([20])).await.unwrap(), json!(null));
    assert!(
        raw.call("chain_getBlockHash", json!([0])).await.unwrap().is_string(),
        "the first one's is asked for by all"
    );
    let kept = raw.call("chain_getBlockHash", json!([40])).await.unwrap();
    assert!(raw.call("state_call", json!(["Core_version", "0x", kept])).await.is_ok());
}

#[test]
fn settings_that_make_no_chain_are_refused() {
    let wrong = |settings: DevNetSettings| DevNet::start(settings).unwrap_err().to_string();
    let default = DevNetSettings::default;
    assert!(wrong(DevNetSettings { listen: "0.0.0.0:0".parse().unwrap(), ..default() }).contains("loopback"));
    assert!(wrong(DevNetSettings { block_time_ms: 0, ..default() }).contains("block_time_ms"));
    assert!(wrong(DevNetSettings { kept_blocks: 5, finality_lag: 5, ..default() }).contains("finality_lag"));
    assert!(wrong(DevNetSettings { genesis_unix_ms: 5, ..default() }).contains("genesis_unix_ms"));
    let production = BlockProduction::Every(std::time::Duration::ZERO);
    assert!(wrong(DevNetSettings { production, ..default() }).contains("production"));
}
