//! Metadata, storage and runtime APIs as a generic client reads them.

use crate::client::{NETUID, connect, hotkey, number, open_subnet, settings, stored_as, with_neurons};
use distil_devnet::{DevNetSettings, EpochModel, NeuronChange};
use distil_types::Uid;
use subxt::dynamic::Value;
use subxt::ext::scale_decode::DecodeAsType;
use subxt_signer::sr25519::dev;

/// As a client would define it: the fields it needs, by name.
#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Metagraph {
    netuid: u16,
    block: Option<u64>,
    tempo: Option<u16>,
    num_uids: Option<u16>,
    hotkeys: Option<Vec<[u8; 32]>>,
    coldkeys: Option<Vec<[u8; 32]>>,
    validator_permit: Option<Vec<bool>>,
    last_update: Option<Vec<u64>>,
    incentives: Option<Vec<u16>>,
    block_at_registration: Option<Vec<u64>>,
    total_stake: Option<Vec<u64>>,
    min_allowed_weights: Option<u16>,
    commit_reveal_weights_enabled: Option<bool>,
    commit_reveal_period: Option<u64>,
    rho: Option<u16>,
}

const INDEXES: [u16; 14] = [7, 8, 24, 30, 46, 47, 52, 53, 57, 59, 62, 66, 69, 200];

#[tokio::test]
async fn the_selective_metagraph_decodes_into_the_fields_that_were_asked_for() {
    let net = with_neurons(settings(), open_subnet());
    let change = NeuronChange { incentive: Some(65_535), ..NeuronChange::default() };
    net.admin().set_neuron(NETUID, Uid(1), change).unwrap();
    let client = connect(&net).await;
    let at = client.at_current_block().await.unwrap();
    net.admin().clear_requests();
    let call = subxt::dynamic::runtime_api_call::<_, Option<Metagraph>>(
        "SubnetInfoRuntimeApi",
        "get_selective_metagraph",
        (NETUID.0, INDEXES.to_vec()),
    );
    let graph = at.runtime_apis().call(call).await.unwrap().unwrap();
    assert_eq!(net.admin().requests().len(), 1, "one round trip");
    let keys = [dev::alice(), dev::bob(), dev::charlie()].map(|signer| *hotkey(&signer).account_id());
    assert_eq!((graph.netuid, graph.block, graph.tempo, graph.num_uids), (97, Some(3), Some(10), Some(3)));
    assert_eq!(graph.hotkeys.unwrap(), keys);
    assert_eq!(graph.coldkeys.unwrap(), keys);
    assert_eq!(graph.validator_permit.unwrap(), [true, false, false]);
    assert_eq!(graph.last_update.unwrap(), [2, 2, 2]);
    assert_eq!(graph.block_at_registration.unwrap(), [2, 2, 2]);
    assert_eq!(graph.incentives.unwrap(), [0, 65_535, 0]);
    assert_eq!(graph.total_stake.unwrap(), [1_000_000_000_000, 0, 0]);
    assert_eq!((graph.min_allowed_weights, graph.commit_reveal_weights_enabled), (Some(1), Some(false)));
    assert_eq!(graph.commit_reveal_period, Some(1));
    assert_eq!(graph.rho, None, "it was not asked for");

    let missing = subxt::dynamic::runtime_api_call::<_, Option<Metagraph>>(
        "SubnetInfoRuntimeApi",
        "get_selective_metagraph",
        (1_u16, INDEXES.to_vec()),
    );
    assert!(at.runtime_apis().call(missing).await.unwrap().is_none());
}

#[tokio::test]
async fn neurons_are_found_by_iterating_storage() {
    let net = with_neurons(DevNetSettings { selective_metagraph: false, ..settings() }, open_subnet());
    let client = connect(&net).await;
    let at = client.at_current_block().await.unwrap();
    assert!(at.metadata_ref().runtime_api_trait_by_name("SubnetInfoRuntimeApi").is_none());
    let address = subxt::dynamic::storage::<(u16, u16), [u8; 32]>("SubtensorModule", "Keys");
    let mut keys = at.storage().iter(address, (NETUID.0,)).await.unwrap();
    let mut found = Vec::new();
    while let Some(entry) = keys.next().await {
        let entry = entry.unwrap();
        let (netuid, uid): (u16, u16) = entry.key().unwrap().decode().unwrap();
        found.push((netuid, uid, entry.value().decode().unwrap()));
    }
    let signers = [dev::alice(), dev::bob(), dev::charlie()];
    let expected: Vec<_> =
        signers.iter().zip(0..).map(|(signer, uid)| (97, uid, *hotkey(signer).account_id())).collect();
    assert_eq!(found, expected);

    let bob = *hotkey(&dev::bob()).account_id();
    let uid = stored_as::<u16>(&client, "SubtensorModule", "Uids", vec![number(97_u16), Value::from_bytes(bob)]).await;
    assert_eq!(uid, Some(1));
    let registered =
        stored_as::<u64>(&client, "SubtensorModule", "BlockAtRegistration", vec![number(97_u16), number(1_u16)]);
    assert_eq!(registered.await, Some(2));
}

#[tokio::test]
async fn a_replaced_neuron_is_gone_and_its_seat_counts_from_now() {
    let net = with_neurons(settings(), open_subnet());
    let dave = hotkey(&dev::dave());
    net.admin().replace_neuron(NETUID, Uid(1), distil_devnet::Neuron::miner(dave)).unwrap();
    let again = net.admin().register_neurons(NETUID, [distil_devnet::Neuron::miner(dave)]);
    assert!(again.unwrap_err().to_string().contains("already registered"));
    let client = connect(&net).await;
    let uids = |account: [u8; 32]| {
        stored_as::<u16>(&client, "SubtensorModule", "Uids", vec![number(97_u16), Value::from_bytes(account)])
    };
    assert_eq!(uids(*dave.account_id()).await, Some(1));
    assert_eq!(uids(*hotkey(&dev::bob()).account_id()).await, None);
    let registered =
        stored_as::<u64>(&client, "SubtensorModule", "BlockAtRegistration", vec![number(97_u16), number(1_u16)]);
    assert_eq!(registered.await, Some(3));
}

#[tokio::test]
async fn each_block_answers_with_its_own_state() {
    let net = with_neurons(settings(), open_subnet());
    net.admin()
        .set_hyperparameters(NETUID, distil_devnet::Hyperparameters { tempo: Some(20), ..Default::default() })
        .unwrap();
    let client = connect(&net).await;
    let mut tempos = Vec::new();
    for block in [1_u32, 2, 3] {
        let at = client.at_block(block).await.unwrap();
        let address = subxt::dynamic::storage::<(u16,), u16>("SubtensorModule", "Tempo");
        tempos.push(at.storage().fetch(address, (97,)).await.unwrap().decode().unwrap());
    }
    assert_eq!(tempos, [10, 10, 20]);
}

#[tokio::test]
async fn metadata_shows_which_model_of_epochs_runs() {
    for (epoch_model, stateful) in [(EpochModel::BlockArithmetic, false), (EpochModel::Stateful, true)] {
        let net = with_neurons(DevNetSettings { epoch_model, ..settings() }, open_subnet());
        let client = connect(&net).await;
        let at = client.at_current_block().await.unwrap();
        let storage = at.metadata_ref().pallet_by_name("SubtensorModule").unwrap().storage().unwrap();
        assert_eq!(storage.entry_by_name("SubnetEpochIndex").is_some(), stateful);
        assert_eq!(storage.entry_by_name("LastEpochBlock").is_some(), stateful);
        let call = subxt::dynamic::runtime_api_call::<_, Option<u64>>(
            "SubnetInfoRuntimeApi",
            "get_next_epoch_start_block",
            (NETUID.0,),
        );
        let next = at.runtime_apis().call(call).await;
        // Registered in block 1, with a tempo of 10 and a stagger of 97 mod 10, cut at block 0.
        assert_eq!(next.ok(), stateful.then_some(Some(10)));
    }
}

#[tokio::test]
async fn neurons_come_one_by_one_too() {
    #[derive(Debug, DecodeAsType)]
    #[decode_as_type(crate_path = "subxt::ext::scale_decode")]
    struct Neuron {
        hotkey: [u8; 32],
        uid: u16,
        validator_permit: bool,
    }
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    let at = client.at_current_block().await.unwrap();
    let call =
        subxt::dynamic::runtime_api_call::<_, Vec<Neuron>>("NeuronInfoRuntimeApi", "get_neurons_lite", (97_u16,));
    let neurons = at.runtime_apis().call(call).await.unwrap();
    let seen: Vec<_> = neurons.iter().map(|neuron| (neuron.uid, neuron.validator_permit)).collect();
    assert_eq!(seen, [(0, true), (1, false), (2, false)]);
    assert_eq!(neurons[2].hotkey, *hotkey(&dev::charlie()).account_id());
    let call = subxt::dynamic::runtime_api_call::<_, Option<Neuron>>(
        "NeuronInfoRuntimeApi",
        "get_neuron_lite",
        (97_u16, 3_u16),
    );
    assert!(at.runtime_apis().call(call).await.unwrap().is_none());
}
