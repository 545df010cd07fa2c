//! Every fault to order.

use crate::client::{NETUID, open_subnet, settings, with_neurons};
use crate::raw::Raw;
use distil_devnet::{DevNet, DevNetSettings, Fault, FaultKind, Neuron};
use distil_types::Hotkey;
use serde_json::json;
use std::time::{Duration, Instant};

fn net() -> DevNet {
    with_neurons(settings(), open_subnet())
}

/// A remark by nobody in particular: any transaction that the pool takes will do.
async fn transaction(net: &DevNet) -> String {
    let client = crate::client::connect(net).await;
    let at = client.at_current_block().await.unwrap();
    let one = || subxt::dynamic::Value::unnamed_composite([subxt::dynamic::Value::u128(1)]);
    let arguments = vec![crate::client::number(97_u16), one(), one(), crate::client::number(0_u64)];
    let payload = subxt::dynamic::tx("SubtensorModule", "set_weights", arguments);
    let signer = subxt_signer::sr25519::dev::alice();
    let signed = at.transactions().create_signed(&payload, &signer, Default::default()).await.unwrap();
    signed.encoded().iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[tokio::test]
async fn a_connection_breaks_after_so_many_requests() {
    let net = net();
    net.admin().order(Fault::new(FaultKind::Drop).after(2).times(1));
    let mut raw = Raw::connect(&net).await;
    assert!(raw.call("system_chain", json!([])).await.is_ok());
    assert!(raw.call("system_chain", json!([])).await.is_ok());
    raw.send("system_chain", json!([])).await;
    assert_eq!(raw.next().await, None);
    assert!(Raw::connect(&net).await.call("system_chain", json!([])).await.is_ok());
    let answered: Vec<bool> = net.admin().requests().iter().map(|request| request.answer_bytes.is_some()).collect();
    assert_eq!(answered, [true, true, false, true]);
}

#[tokio::test]
async fn all_connections_break_at_once() {
    let net = net();
    let (mut one, mut other) = (Raw::connect(&net).await, Raw::connect(&net).await);
    assert!(one.call("system_chain", json!([])).await.is_ok() && other.call("system_chain", json!([])).await.is_ok());
    assert_eq!(net.admin().open_connections(), 2);
    net.admin().break_connections();
    assert_eq!((one.next().await, other.next().await), (None, None));
    while net.admin().open_connections() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_answer_to_a_submission_is_lost_but_the_transaction_is_not() {
    for (kind, breaks) in [(FaultKind::LoseAnswer, true), (FaultKind::SwallowAnswer, false)] {
        let net = net();
        let transaction = transaction(&net).await;
        net.admin().order(Fault::new(kind).on("author_submitAndWatchExtrinsic").times(1));
        let mut raw = Raw::connect(&net).await;
        let before = net.admin().best_block().number;
        raw.send("author_submitAndWatchExtrinsic", json!([transaction])).await;
        if breaks {
            assert_eq!(raw.next().await, None);
        } else {
            // Messages of a subscription whose answer never came.
            while !raw.is_silent().await {}
        }
        assert_eq!(net.admin().best_block().number, before + 1);
        let error = Raw::connect(&net).await.call("author_submitExtrinsic", json!([transaction])).await.unwrap_err();
        assert_eq!(error["data"], "Transaction is outdated", "it was taken the first time");
    }
}

#[tokio::test]
async fn a_request_is_never_answered_or_the_whole_connection_falls_silent() {
    let net = net();
    net.admin().order(Fault::new(FaultKind::NeverAnswer).on("system_name"));
    let mut raw = Raw::connect(&net).await;
    raw.send("system_name", json!([])).await;
    assert!(raw.is_silent().await);
    assert!(raw.call("system_chain", json!([])).await.is_ok(), "the connection goes on");

    net.admin().order(Fault::new(FaultKind::Silence).on("system_version").times(1));
    raw.send("system_version", json!([])).await;
    raw.send("system_chain", json!([])).await;
    assert!(raw.is_silent().await);
    assert!(Raw::connect(&net).await.call("system_version", json!([])).await.is_ok(), "another connection is fine");
}

#[tokio::test]
async fn an_answer_comes_late_and_others_go_ahead() {
    let net = net();
    let delay = Duration::from_millis(150);
    net.admin().order(Fault::new(FaultKind::Delay(delay)).on("system_name").times(1));
    let mut raw = Raw::connect(&net).await;
    let begun = Instant::now();
    let slow = raw.send("system_name", json!([])).await;
    assert!(raw.call("system_chain", json!([])).await.is_ok());
    assert_eq!(raw.next().await.unwrap()["id"], json!(slow));
    assert!(begun.elapsed() >= delay);
}

#[tokio::test]
async fn pool_errors_come_to_order_and_leave_the_pool_alone() {
    let net = with_neurons(DevNetSettings::default(), open_subnet());
    let transaction = transaction(&net).await;
    let mut raw = Raw::connect(&net).await;
    for code in [1010, 1012, 1013, 1014, 1016] {
        net.admin().order(Fault::new(FaultKind::PoolError(code)).times(1));
        let error = raw.call("author_submitAndWatchExtrinsic", json!([transaction])).await.unwrap_err();
        assert_eq!(error["code"], code);
        assert_eq!(net.admin().pending_transactions(), 0);
        net.admin().clear_faults();
    }
    assert!(raw.call("author_submitExtrinsic", json!([transaction])).await.is_ok());
}

#[tokio::test]
async fn messages_come_twice_or_not_at_all() {
    let net = net();
    let mut raw = Raw::connect(&net).await;
    raw.call("chain_subscribeNewHeads", json!([])).await.unwrap();
    raw.next().await.unwrap();
    net.admin().order(Fault::new(FaultKind::DuplicateMessage).on("chain_newHead").times(1));
    net.admin().produce_blocks(1).unwrap();
    let first = raw.next().await.unwrap();
    assert_eq!(raw.next().await.unwrap(), first);
    net.admin().order(Fault::new(FaultKind::LoseMessage).on("chain_newHead").times(1));
    net.admin().produce_blocks(2).unwrap();
    // Of two blocks one is told.
    assert_eq!(raw.next().await.unwrap()["params"]["result"]["number"], "0x5");
    assert!(raw.is_silent().await);
}

#[tokio::test]
async fn a_metagraph_shrinks_to_one_neuron_on_both_ways_to_read_it() {
    let net = net();
    let neurons = (0..20).map(|byte| Neuron::miner(Hotkey::from_account_id([byte + 1; 32])));
    net.admin().register_neurons(NETUID, neurons).unwrap();
    let mut raw = Raw::connect(&net).await;
    // Netuid 97, indexes [30, 52]: number of UIDs and hotkeys.
    let call = json!(["SubnetInfoRuntimeApi_get_selective_metagraph", "0x6100081e003400"]);
    let whole = raw.call("state_call", call.clone()).await.unwrap();
    net.admin().order(Fault::new(FaultKind::Neurons(1)));
    let shrunk = raw.call("state_call", call.clone()).await.unwrap();
    assert_eq!(whole.as_str().unwrap().len() - shrunk.as_str().unwrap().len(), 22 * 64, "22 hotkeys less");
    // SubtensorModule.Keys, netuid 97.
    let prefix = format!("{}6100", crate::conformance::prefix("SubtensorModule", "Keys"));
    let keys = raw.call("state_getKeysPaged", json!([prefix, 100])).await.unwrap();
    assert_eq!(keys.as_array().unwrap().len(), 1);
    let number = format!("{}6100", crate::conformance::prefix("SubtensorModule", "SubnetworkN"));
    assert_eq!(raw.call("state_getStorage", json!([number])).await.unwrap(), "0x0100");
    net.admin().clear_faults();
    assert_eq!(raw.call("state_call", call).await.unwrap(), whole);
    assert_eq!(raw.call("state_getStorage", json!([number])).await.unwrap(), "0x1700");
}

#[tokio::test]
async fn new_connections_are_refused_or_ignored() {
    let net = net();
    net.admin().refuse_connections();
    assert!(tokio_tungstenite::connect_async(net.endpoint()).await.is_err());
    net.admin().ignore_connections();
    let wait = tokio::time::timeout(Duration::from_millis(300), tokio_tungstenite::connect_async(net.endpoint()));
    assert!(wait.await.is_err(), "no answer to the handshake");
    net.admin().accept_connections();
    assert!(Raw::connect(&net).await.call("system_chain", json!([])).await.is_ok());
}

#[tokio::test]
async fn a_server_that_stops_ends_its_connections_and_its_port_is_free() {
    let net = net();
    let address = net.endpoint().replace("ws://", "").parse().unwrap();
    let mut raw = Raw::connect(&net).await;
    drop(net);
    assert_eq!(raw.next().await, None);
    let net = DevNet::start(DevNetSettings { listen: address, ..settings() }).unwrap();
    assert!(Raw::connect(&net).await.call("system_chain", json!([])).await.is_ok());
}
