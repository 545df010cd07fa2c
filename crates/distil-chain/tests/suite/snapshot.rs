//! Snapshots, and the faults that they survive or name.

use crate::chain::{NETUID, WAIT, client, client_settings, hotkey, plan, requests, signer, subnet};
use distil_chain::{
    ChainClient, ChainError, ChainSettings, ErrorClass, FINNEY_GENESIS, Snapshot, SnapshotExpectation, SnapshotRefusal,
};
use distil_devnet::{DevNet, DevNetSettings, Fault, FaultKind, Neuron, NeuronChange};
use distil_types::{Hotkey, NetUid, Uid};
use std::num::NonZeroU64;
use std::time::Duration;

const ANY: SnapshotExpectation =
    SnapshotExpectation { block_multiple_of: None, previous_block: None, previous_neurons: None, own_hotkey: None };

async fn snapshot(net: &DevNet) -> Snapshot {
    client(net).snapshot(NETUID, ANY).await.unwrap()
}

fn refusal(error: ChainError) -> SnapshotRefusal {
    match error {
        ChainError::Snapshot(refusal) => refusal,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_snapshot_has_all_of_one_block() {
    let net = subnet(DevNetSettings::default());
    let change = NeuronChange { incentive: Some(65_535), last_update: Some(2), ..NeuronChange::default() };
    net.admin().set_neuron(NETUID, Uid(2), change).unwrap();
    let seen = snapshot(&net).await;
    assert_eq!(seen.block, net.admin().finalized_block());
    assert_eq!((seen.netuid, seen.spec_version), (NETUID, 365));
    let parameters = seen.parameters;
    assert_eq!((parameters.tempo, parameters.min_allowed_weights, parameters.weights_version), (10, 3, 7));
    assert_eq!((parameters.weights_rate_limit_blocks, parameters.commit_reveal), (5, true));
    assert_eq!(parameters.commit_reveal_period_epochs, 2);
    assert_eq!(seen.neurons.iter().map(|neuron| neuron.uid.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let (validator, miner) = (seen.neurons[0], seen.neurons[2]);
    assert!(validator.validator_permit && validator.stake_rao == 1_000_000_000_000);
    assert_eq!((miner.hotkey, miner.coldkey), (hotkey(2), hotkey(52)));
    assert_eq!((miner.incentive, miner.registration_block, miner.last_update_block), (65_535, 2, 2));
    assert!(!miner.validator_permit && seen.revealed.is_empty() && seen.pending.is_empty());
}

#[tokio::test]
async fn neurons_and_parameters_are_one_call_and_storage_says_the_same() {
    let by_call = subnet(DevNetSettings::default());
    let by_storage = subnet(DevNetSettings { selective_metagraph: false, ..DevNetSettings::default() });
    let client = client(&by_call);
    client.snapshot(NETUID, ANY).await.unwrap();
    by_call.admin().clear_requests();
    let seen = client.snapshot(NETUID, ANY).await.unwrap();
    // The version of the runtime and the metagraph.
    assert_eq!(requests(&by_call, "state_call") + requests(&by_call, "state_getRuntimeVersion"), 2);
    assert_eq!(requests(&by_call, "state_getStorage"), 0);
    let other = snapshot(&by_storage).await;
    assert_eq!((other.parameters, &other.neurons), (seen.parameters, &seen.neurons));
    let missing = crate::chain::client(&by_storage).snapshot(NetUid(5), ANY).await.unwrap_err();
    assert!(matches!(missing, ChainError::NoSubnet { .. }), "{missing}");
    let missing = client.snapshot(NetUid(5), ANY).await.unwrap_err();
    assert!(matches!(missing, ChainError::NoSubnet { .. }), "{missing}");
    assert_eq!(missing.class(), ErrorClass::Never);
}

#[tokio::test]
async fn the_round_block_is_the_newest_final_multiple() {
    let net = subnet(DevNetSettings { finality_lag: 3, ..DevNetSettings::default() });
    net.admin().produce_until(52).unwrap();
    net.admin().set_neuron(NETUID, Uid(1), NeuronChange { incentive: Some(9), ..NeuronChange::default() }).unwrap();
    let fifty = SnapshotExpectation { block_multiple_of: NonZeroU64::new(50), ..ANY };
    // Block 50 is the final one; 51 and on are not.
    let client = client(&net);
    let first = client.snapshot(NETUID, fifty).await.unwrap();
    assert_eq!((first.block.number, net.admin().finalized_block().number), (50, 50));
    net.admin().produce_until(102).unwrap();
    let second = client.snapshot(NETUID, fifty).await.unwrap();
    assert_eq!(second, first, "the same block, so the same of everything");
    assert_eq!(second.neurons[1].incentive, 0);
    net.admin().produce_until(103).unwrap();
    let third = client.snapshot(NETUID, SnapshotExpectation { previous_block: Some(50), ..fifty }).await.unwrap();
    assert_eq!((third.block.number, third.neurons[1].incentive), (100, 9));
    let stuck = SnapshotExpectation { previous_block: Some(100), ..fifty };
    let error = client.snapshot(NETUID, stuck).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Wait { blocks: 1 });
}

#[tokio::test]
async fn waiting_for_a_round_block_keeps_the_connection_to_a_node_that_goes_on() {
    let net = subnet(DevNetSettings::default());
    net.admin().produce_until(50).unwrap();
    let client = client(&net);
    let fifty = SnapshotExpectation { block_multiple_of: NonZeroU64::new(50), ..ANY };
    client.snapshot(NETUID, fifty).await.unwrap();
    let connection = || net.admin().requests().last().unwrap().connection;
    let first = connection();
    let nothing_new = async |previous| {
        let expected = SnapshotExpectation { previous_block: Some(previous), ..fifty };
        let refused = refusal(client.snapshot(NETUID, expected).await.unwrap_err());
        assert!(matches!(refused, SnapshotRefusal::BlockNotBeyond { .. }), "{refused}");
    };
    for block in 60..63 {
        net.admin().produce_until(block).unwrap();
        nothing_new(50).await;
        assert_eq!(connection(), first, "at block {block}");
    }
    // It has the same newest block as the last time: this may be a node that has stopped.
    nothing_new(50).await;
    client.snapshot(NETUID, fifty).await.unwrap();
    let second = connection();
    assert_ne!(second, first);
    // This node has not even what another one has shown.
    net.admin().produce_until(64).unwrap();
    nothing_new(100).await;
    client.snapshot(NETUID, fifty).await.unwrap();
    assert_ne!(connection(), second);
}

#[tokio::test]
async fn snapshots_that_cannot_be_true_are_refused() {
    let net = subnet(DevNetSettings::default());
    let client = client(&net);
    net.admin().order(Fault::new(FaultKind::Neurons(1)));
    let error = client.snapshot(NETUID, ANY).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::TryAgain);
    assert!(matches!(refusal(error), SnapshotRefusal::TooFewNeurons { neurons: 1, .. }));
    net.admin().clear_faults();
    let expected = SnapshotExpectation { previous_neurons: Some(8), ..ANY };
    let lost = refusal(client.snapshot(NETUID, expected).await.unwrap_err());
    assert!(matches!(lost, SnapshotRefusal::NeuronsLost { neurons: 4, previous: 8, .. }));
    let expected = SnapshotExpectation { previous_neurons: Some(7), own_hotkey: Some(hotkey(0)), ..ANY };
    client.snapshot(NETUID, expected).await.unwrap();
    let expected = SnapshotExpectation { own_hotkey: Some(hotkey(9)), ..ANY };
    let gone = refusal(client.snapshot(NETUID, expected).await.unwrap_err());
    assert!(gone.to_string().contains(&hotkey(9).to_string()), "{gone}");
}

#[tokio::test]
async fn faults_of_a_connection_are_survived() {
    let net = subnet(DevNetSettings::default());
    let settings = distil_chain::ChainSettings {
        call_timeout: Duration::from_millis(500),
        max_attempts: 10,
        ..client_settings(&[net.endpoint()])
    };
    let client = ChainClient::new(settings).unwrap();
    let expected = client.snapshot(NETUID, ANY).await.unwrap();
    let faults = [
        FaultKind::Drop,
        FaultKind::LoseAnswer,
        FaultKind::SwallowAnswer,
        FaultKind::NeverAnswer,
        FaultKind::Silence,
        FaultKind::Error(-32_000),
        FaultKind::Delay(Duration::from_millis(50)),
    ];
    for fault in faults {
        for method in ["chain_getFinalizedHead", "state_call", "state_getKeysPaged"] {
            net.admin().order(Fault::new(fault.clone()).on(method).times(1));
            let seen = client.snapshot(NETUID, ANY).await.unwrap_or_else(|error| panic!("{fault:?} {method}: {error}"));
            assert_eq!(seen, expected, "{fault:?} {method}");
            net.admin().clear_faults();
        }
    }
    net.admin().break_connections();
    assert_eq!(client.snapshot(NETUID, ANY).await.unwrap(), expected);
}

#[tokio::test]
async fn b5_a_node_that_is_dead_or_mute_gives_way_to_the_next() {
    let (mute, good) = (subnet(DevNetSettings::default()), subnet(DevNetSettings::default()));
    mute.admin().ignore_connections();
    // Nobody listens at port 9 of a loopback address.
    let endpoints = ["ws://127.0.0.1:9".to_owned(), mute.endpoint(), good.endpoint()];
    let settings = distil_chain::ChainSettings { call_timeout: Duration::from_secs(2), ..client_settings(&endpoints) };
    let client = ChainClient::new(settings).unwrap();
    assert_eq!(client.snapshot(NETUID, ANY).await.unwrap().neurons.len(), 4);
    good.admin().clear_requests();
    client.snapshot(NETUID, ANY).await.unwrap();
    assert!(requests(&good, "state_call") > 0, "the node that works is kept");
}

#[tokio::test]
async fn what_never_answers_is_named_in_the_end() {
    let net = subnet(DevNetSettings::default());
    let settings = distil_chain::ChainSettings {
        call_timeout: Duration::from_millis(300),
        max_attempts: 2,
        ..client_settings(&[net.endpoint()])
    };
    let client = ChainClient::new(settings).unwrap();
    net.admin().order(Fault::new(FaultKind::NeverAnswer).on("chain_getFinalizedHead"));
    let error = client.snapshot(NETUID, ANY).await.unwrap_err();
    assert!(matches!(&error, ChainError::Timeout { request, .. } if request == "chain_getFinalizedHead"), "{error}");
    assert!(error.is_transient());
    assert_eq!(requests(&net, "chain_getFinalizedHead"), 2);
    net.admin().clear_faults();
    client.snapshot(NETUID, ANY).await.unwrap();
}

#[tokio::test]
async fn a_runtime_upgrade_between_two_snapshots_is_nothing_special() {
    let net = subnet(DevNetSettings::default());
    let client = client(&net);
    let before = client.snapshot(NETUID, ANY).await.unwrap();
    let version = net.admin().upgrade_runtime().unwrap();
    net.admin().produce_blocks(2).unwrap();
    let after = client.snapshot(NETUID, ANY).await.unwrap();
    assert_eq!(after.spec_version, version);
    assert_eq!((after.parameters, after.neurons), (before.parameters, before.neurons));
}

#[tokio::test]
async fn a_snapshot_can_be_taken_by_a_task() {
    let net = subnet(DevNetSettings::default());
    let client = client(&net);
    let taken = tokio::spawn(async move { client.snapshot(NETUID, ANY).await.map(|seen| seen.neurons.len()) });
    assert_eq!(taken.await.unwrap().unwrap(), 4);
}

#[tokio::test]
async fn more_neurons_than_fit_on_a_page_are_all_there() {
    let net = subnet(DevNetSettings { selective_metagraph: false, ..DevNetSettings::default() });
    let more = (0..252_u16).map(|number| {
        let mut account = [7; 32];
        account[..2].copy_from_slice(&number.to_le_bytes());
        Neuron { stake_rao: number.into(), ..Neuron::miner(Hotkey::from_account_id(account)) }
    });
    net.admin().register_neurons(NETUID, more).unwrap();
    let seen = snapshot(&net).await;
    assert_eq!(seen.neurons.iter().map(|neuron| neuron.uid.0).collect::<Vec<_>>(), (0..256).collect::<Vec<_>>());
    assert!(seen.neurons[4..].iter().enumerate().all(|(number, neuron)| neuron.stake_rao == number as u64));
}

#[tokio::test]
async fn a_node_of_another_chain_is_never_read_nor_signed_for() {
    let net = subnet(DevNetSettings::default());
    let other = subnet(DevNetSettings { chain_name: "another one".to_owned(), ..DevNetSettings::default() });
    let genesis = client(&net).genesis_hash().await.unwrap();
    let found = client(&other).genesis_hash().await.unwrap();
    assert_ne!(genesis, found);

    // The second endpoint is not taken for the first, whatever is done.
    let client = ChainClient::new(client_settings(&[net.endpoint(), other.endpoint()])).unwrap();
    let seen = client.snapshot(NETUID, ANY).await.unwrap();
    for fails in [1, 2, 3] {
        net.admin().order(Fault::new(FaultKind::Drop).on("state_call").times(1));
        assert_eq!(client.snapshot(NETUID, ANY).await.unwrap(), seen, "{fails}");
    }
    drop(net);
    other.admin().clear_requests();
    let plan = plan(&other, "alice/qwen-4b", 400);
    let error = client.commit(NETUID, &plan, &signer(1), WAIT, &mut |_| {}).await.unwrap_err();
    assert!(error.is_transient() || matches!(error, ChainError::OtherChain { .. }), "{error}");
    assert_eq!((requests(&other, "system_accountNextIndex"), requests(&other, "author_submitExtrinsic")), (0, 0));

    // A client that is told which chain it is does not take another one in the first place.
    let settings = ChainSettings { genesis: Some(FINNEY_GENESIS), ..client_settings(&[other.endpoint()]) };
    other.admin().clear_requests();
    let error = ChainClient::new(settings).unwrap().snapshot(NETUID, ANY).await.unwrap_err();
    assert!(matches!(&error, ChainError::OtherChain { found: said, .. } if *said == found), "{error}");
    assert!(!error.is_transient() && error.to_string().contains(&FINNEY_GENESIS.to_string()), "{error}");
    assert_eq!(requests(&other, "chain_getBlockHash"), 1, "asking again would not change it");
}

#[tokio::test]
async fn the_block_time_is_that_of_the_chain() {
    let net = subnet(DevNetSettings { block_time_ms: 250, ..DevNetSettings::default() });
    assert_eq!(client(&net).block_time_ms().await.unwrap(), 250);
    let net = subnet(DevNetSettings { block_time_ms: 1, ..DevNetSettings::default() });
    assert!(matches!(client(&net).block_time_ms().await, Err(ChainError::Malformed { .. })));
}
