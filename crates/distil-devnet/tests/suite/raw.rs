//! JSON-RPC by hand, as any client in any language sends it.

use crate::client::{NETUID, hotkey, open_subnet, settings, with_neurons};
use distil_devnet::DevNet;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use subxt_signer::sr25519::dev;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A connection.
pub(crate) struct Raw {
    socket: Socket,
    last_id: u64,
}

/// Long enough for a busy machine; what is expected not to come is waited for as `SOON`.
const LATE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(300);

impl Raw {
    pub(crate) async fn connect(net: &DevNet) -> Self {
        let (socket, _) = tokio_tungstenite::connect_async(net.endpoint()).await.unwrap();
        Raw { socket, last_id: 0 }
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let request = json!({ "jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params });
        self.send_text(&request.to_string()).await;
        self.last_id
    }

    /// The next message; none where the connection ends.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        match timeout(LATE, self.socket.next()).await.expect("nothing came for a long time")? {
            Ok(Message::Text(text)) => Some(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(_)) | Err(_) => None,
            Ok(other) => panic!("{other:?}"),
        }
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) -> bool {
        timeout(SOON, self.socket.next()).await.is_err()
    }

    /// The answer to a request: its result, or its error.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.send(method, params).await;
        let mut answer = self.next().await.expect("the connection is open");
        assert_eq!(answer["id"], json!(id), "{answer}");
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(answer["error"].take()),
        }
    }
}

#[tokio::test]
async fn a_node_says_what_it_is() {
    let net = with_neurons(settings(), open_subnet());
    let mut raw = Raw::connect(&net).await;
    let methods = raw.call("rpc_methods", json!([])).await.unwrap();
    let methods: Vec<&str> = methods["methods"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(methods.contains(&"state_call") && methods.contains(&"author_submitAndWatchExtrinsic"));
    // Clients take these names as a sign of newer interfaces.
    assert!(!methods.iter().any(|name| name.starts_with("chainHead_v1_") || name.starts_with("archive_v1_")));
    assert_eq!(raw.call("system_chain", json!([])).await.unwrap(), "Distil devnet");
    assert_eq!(raw.call("system_chainType", json!([])).await.unwrap(), "Development");
    assert_eq!(raw.call("system_name", json!([])).await.unwrap(), "distil-devnet");
    assert_eq!(raw.call("system_version", json!([])).await.unwrap(), env!("CARGO_PKG_VERSION"));
    assert_eq!(raw.call("system_health", json!([])).await.unwrap()["isSyncing"], false);
    assert_eq!(raw.call("system_properties", json!([])).await.unwrap()["ss58Format"], 42);
    let version = raw.call("state_getRuntimeVersion", json!([])).await.unwrap();
    assert_eq!((&version["specName"], &version["specVersion"]), (&json!("node-subtensor"), &json!(365)));
    let metadata = raw.call("state_getMetadata", json!([])).await.unwrap();
    assert!(metadata.as_str().unwrap().starts_with("0x6d6574610e"), "version 14");
    let alice = hotkey(&dev::alice()).to_string();
    assert_eq!(raw.call("system_accountNextIndex", json!([alice])).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let net = with_neurons(settings(), open_subnet());
    let mut raw = Raw::connect(&net).await;
    for (method, params, code) in [
        ("chain_boom", json!([]), -32601),
        ("state_getStorage", json!([]), -32602),
        ("state_getStorage", json!(["zz"]), -32602),
        ("state_getStorage", json!(["0x00", "0x12"]), -32602),
        ("state_getStorage", json!(["0x00", format!("0x{}", "12".repeat(32))]), 4003),
        ("state_getKeysPaged", json!(["0x", 1001]), -32602),
        ("state_call", json!(["Core_boom", "0x"]), 4003),
        ("state_call", json!(["AccountNonceApi_account_nonce", "0x00"]), 4003),
        ("chain_getBlockHash", json!(["x"]), -32602),
        ("system_accountNextIndex", json!(["5"]), -32602),
        ("author_submitExtrinsic", json!(["0x0c"]), 1001),
        ("author_submitExtrinsic", json!(["0x0404"]), 1001),
        ("devnet_orderFault", json!(["boom"]), -32602),
        ("devnet_apply", json!([[{ "command": "boom" }]]), -32602),
        ("state_subscribeStorage", json!([[]]), -32602),
        ("rpc_methods", json!("x"), -32602),
    ] {
        let error = raw.call(method, params.clone()).await.unwrap_err();
        assert_eq!(error["code"], code, "{method} {params}: {error}");
    }
    raw.send_text("{").await;
    assert_eq!(raw.next().await.unwrap()["error"]["code"], -32700);
    raw.send_text("{}").await;
    assert_eq!(raw.next().await.unwrap()["error"]["code"], -32600);
    raw.send_text("[]").await;
    assert_eq!(raw.next().await.unwrap()["error"]["code"], -32600);
    // A notification has no answer.
    raw.send_text(r#"{"jsonrpc":"2.0","method":"system_chain"}"#).await;
    assert!(raw.is_silent().await);
    raw.send_text(r#"[{"id":1,"method":"system_chain"},{"id":"two","method":"boom"}]"#).await;
    let batch = raw.next().await.unwrap();
    assert_eq!((&batch[0]["result"], &batch[1]["id"]), (&json!("Distil devnet"), &json!("two")));
}

#[tokio::test]
async fn storage_is_paged_and_queried_at_a_block() {
    let net = with_neurons(settings(), open_subnet());
    let neurons =
        (0..30_u8).map(|byte| distil_devnet::Neuron::miner(distil_types::Hotkey::from_account_id([byte + 1; 32])));
    net.admin().register_neurons(NETUID, neurons).unwrap();
    let mut raw = Raw::connect(&net).await;
    // SubtensorModule.Keys of subnet 97.
    let prefix = "0x658faa385070e074c85bf6b568cf0555"; // twox128("SubtensorModule")
    let before = raw.call("chain_getBlockHash", json!([2])).await.unwrap();
    let mut keys = Vec::new();
    loop {
        let params = json!([prefix, 7, keys.last()]);
        let page = raw.call("state_getKeysPaged", params).await.unwrap();
        let page: Vec<String> = serde_json::from_value(page).unwrap();
        assert!(page.len() <= 7 && page.is_sorted());
        if page.is_empty() {
            break;
        }
        keys.extend(page);
    }
    assert!(keys.len() > 33 * 4 && keys.is_sorted());
    let seats: Vec<&String> =
        keys.iter().filter(|key| key.len() == 2 + 72 && key.ends_with("6100") || key.len() == 74).collect();
    assert!(!seats.is_empty());

    let change = raw.call("state_queryStorageAt", json!([[keys[0], "0x1234"]])).await.unwrap();
    let changes = &change[0]["changes"];
    assert_eq!(changes[0][0], json!(keys[0]));
    assert!(changes[0][1].is_string());
    assert_eq!(changes[1], json!(["0x1234", null]));
    assert_eq!(change[0]["block"], raw.call("chain_getBlockHash", json!([])).await.unwrap());
    let fewer = raw.call("state_getKeysPaged", json!([prefix, 1000, null, before])).await.unwrap();
    assert!(fewer.as_array().unwrap().len() < keys.len());
}

#[tokio::test]
async fn heads_storage_and_versions_are_told_as_they_change() {
    let net = with_neurons(settings(), open_subnet());
    let mut raw = Raw::connect(&net).await;
    let heads = raw.call("chain_subscribeNewHeads", json!([])).await.unwrap();
    let first = raw.next().await.unwrap();
    assert_eq!((&first["method"], &first["params"]["subscription"]), (&json!("chain_newHead"), &heads));
    assert_eq!(first["params"]["result"]["number"], "0x2");
    net.admin().produce_blocks(1).unwrap();
    let second = raw.next().await.unwrap();
    assert_eq!(second["params"]["result"]["number"], "0x3");
    let parent = raw.call("chain_getBlockHash", json!(["0x2"])).await.unwrap();
    assert_eq!(second["params"]["result"]["parentHash"], parent);
    let block = raw.call("chain_getBlock", json!([])).await.unwrap();
    assert_eq!(block["block"]["header"], second["params"]["result"]);
    assert_eq!(raw.call("chain_unsubscribeNewHeads", json!([heads])).await.unwrap(), true);
    assert_eq!(raw.call("chain_unsubscribeNewHeads", json!([heads])).await.unwrap(), false);

    // System.Number.
    let key = "0x26aa394eea5630e07c48ae0c9558cef702a5c1b19ab7a04f536c519aca4983ac";
    raw.call("state_subscribeStorage", json!([[key]])).await.unwrap();
    assert_eq!(raw.next().await.unwrap()["params"]["result"]["changes"], json!([[key, "0x03000000"]]));
    net.admin().produce_blocks(1).unwrap();
    let change = raw.next().await.unwrap();
    assert_eq!(change["params"]["result"]["changes"], json!([[key, "0x04000000"]]));

    let mut other = Raw::connect(&net).await;
    other.call("state_subscribeRuntimeVersion", json!([])).await.unwrap();
    assert_eq!(other.next().await.unwrap()["params"]["result"]["specVersion"], 365);
    net.admin().upgrade_runtime().unwrap();
    assert_eq!(other.next().await.unwrap()["params"]["result"]["specVersion"], 366);
}

#[tokio::test]
async fn the_operator_can_be_another_process() {
    let net = DevNet::start(settings()).unwrap();
    let mut raw = Raw::connect(&net).await;
    let alice = hotkey(&dev::alice());
    let commands = json!([
        { "command": "registerSubnet", "netuid": 97, "parameters": { "tempo": 12 } },
        { "command": "registerNeuron", "netuid": 97, "neuron": { "hotkey": alice, "coldkey": alice, "validator_permit": true } },
        { "command": "fund", "account": alice, "amountRao": 1000 },
        { "command": "setGlobals", "maxCommitmentSpace": 500 },
    ]);
    assert_eq!(raw.call("devnet_apply", json!([commands])).await.unwrap(), json!([null, 0, null, null]));
    let error = raw.call("devnet_apply", json!([[{ "command": "registerSubnet", "netuid": 97 }]])).await.unwrap_err();
    assert!(error["data"].as_str().unwrap().contains("already is a subnet 97"), "{error}");
    assert_eq!(raw.call("devnet_produceBlocks", json!([3])).await.unwrap(), 5);
    raw.call("devnet_advanceTime", json!([60_000])).await.unwrap();
    assert_eq!(raw.call("devnet_upgradeRuntime", json!([])).await.unwrap(), 366);
    let drand = raw.call("devnet_drand", json!([])).await.unwrap();
    assert_eq!(drand["latestRound"], net.admin().drand_round());
    assert_eq!(drand["publicKey"], net.admin().drand_public_key().to_string());
    raw.call("devnet_skipRound", json!([1])).await.unwrap();
    let error = raw.call("devnet_reorganize", json!([1])).await.unwrap_err();
    assert!(error["data"].as_str().unwrap().contains("not final"), "{error}");
    raw.call("devnet_orderFault", json!(["error=-32000;on=system_chain;times=1"])).await.unwrap();
    assert_eq!(raw.call("system_chain", json!([])).await.unwrap_err()["code"], -32000);
    assert!(raw.call("system_chain", json!([])).await.is_ok());
    raw.call("devnet_clearFaults", json!([])).await.unwrap();
    raw.send("devnet_breakConnections", json!([])).await;
    while raw.next().await.is_some() {}
}

#[test]
fn single_requests_come_over_http_too() {
    let net = DevNet::start(settings()).unwrap();
    let address = net.endpoint().replace("ws://", "");
    let body = r#"{"jsonrpc":"2.0","id":7,"method":"system_chain","params":[]}"#;
    let mut stream = TcpStream::connect(&address).unwrap();
    let head = format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""result":"Distil devnet""#), "{answer}");
}
