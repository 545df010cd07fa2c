//! What the pool takes, what it refuses, and how transactions are followed.

use crate::client::{Client, Outcome, connect, failed, hotkey, number, open_subnet, settings, submit, with_neurons};
use crate::raw::Raw;
use distil_devnet::{BlockProduction, DevNet, DevNetSettings};
use parity_scale_codec::Decode;
use serde_json::json;
use subxt::config::DefaultExtrinsicParamsBuilder;
use subxt::config::polkadot::PolkadotExtrinsicParamsBuilder;
use subxt::dynamic::Value;
use subxt_signer::sr25519::{Keypair, dev};

/// A net on which blocks are made by hand.
fn on_demand() -> DevNet {
    with_neurons(DevNetSettings { finality_lag: 2, ..DevNetSettings::default() }, open_subnet())
}

/// A free call, signed; the weight tells one from another.
async fn signed(
    client: &Client,
    signer: &Keypair,
    weight: u16,
    parameters: PolkadotExtrinsicParamsBuilder<subxt::PolkadotConfig>,
) -> String {
    let at = client.at_current_block().await.unwrap();
    let list = |number| Value::unnamed_composite([Value::u128(number)]);
    let arguments = vec![number(97_u16), list(1), list(weight.into()), number(0_u64)];
    let payload = subxt::dynamic::tx("SubtensorModule", "set_weights", arguments);
    let signed = at.transactions().create_signed(&payload, signer, parameters.build()).await.unwrap();
    signed.encoded().iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn plain() -> PolkadotExtrinsicParamsBuilder<subxt::PolkadotConfig> {
    DefaultExtrinsicParamsBuilder::new()
}

async fn reason(raw: &mut Raw, transaction: &str) -> (i64, String) {
    let error = raw.call("author_submitExtrinsic", json!([transaction])).await.unwrap_err();
    (error["code"].as_i64().unwrap(), error["data"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_transaction_is_followed_from_the_pool_to_finality() {
    let net = on_demand();
    let client = connect(&net).await;
    let mut raw = Raw::connect(&net).await;
    let transaction = signed(&client, &dev::alice(), 1, plain()).await;
    let id = raw.call("author_submitAndWatchExtrinsic", json!([transaction])).await.unwrap();
    let ready = raw.next().await.unwrap();
    assert_eq!(ready["method"], "author_extrinsicUpdate");
    assert_eq!(ready["params"], json!({ "subscription": id, "result": "ready" }));
    assert_eq!(raw.call("author_pendingExtrinsics", json!([])).await.unwrap(), json!([transaction]));
    net.admin().produce_blocks(1).unwrap();
    let block = raw.next().await.unwrap()["params"]["result"]["inBlock"].clone();
    assert_eq!(block, json!(net.admin().best_block().hash));
    assert_eq!(raw.call("author_pendingExtrinsics", json!([])).await.unwrap(), json!([]));
    let body = raw.call("chain_getBlock", json!([block])).await.unwrap();
    assert_eq!(body["block"]["extrinsics"][1], json!(transaction));
    net.admin().produce_blocks(1).unwrap();
    assert!(raw.is_silent().await);
    net.admin().produce_blocks(1).unwrap();
    assert_eq!(raw.next().await.unwrap()["params"]["result"], json!({ "finalized": block }));
    // That was the last message: there is nothing to unwatch.
    assert_eq!(raw.call("author_unwatchExtrinsic", json!([id])).await.unwrap(), false);
}

#[tokio::test]
async fn each_refusal_has_the_code_and_the_words_of_a_real_node() {
    let net = on_demand();
    let client = connect(&net).await;
    let mut raw = Raw::connect(&net).await;
    let alice = dev::alice();
    net.admin().produce_blocks(80).unwrap();

    let first = signed(&client, &alice, 1, plain().nonce(0)).await;
    raw.call("author_submitExtrinsic", json!([first])).await.unwrap();
    assert_eq!(reason(&mut raw, &first).await.0, 1013);
    let same_nonce = signed(&client, &alice, 2, plain().nonce(0)).await;
    assert_eq!(reason(&mut raw, &same_nonce).await.0, 1014);
    net.admin().produce_blocks(1).unwrap();
    assert_eq!(reason(&mut raw, &same_nonce).await, (1010, "Transaction is outdated".to_owned()));

    let good = signed(&client, &alice, 3, plain().nonce(1)).await;
    // The last digit belongs to the version key that was signed.
    let forged = format!("{}1", &good[..good.len() - 1]);
    assert_eq!(reason(&mut raw, &forged).await, (1010, "Transaction has a bad signature".to_owned()));

    // Alive for 16 blocks from here on; then the era's block of birth is another one, so the signature does not fit.
    let mortal = signed(&client, &alice, 4, plain().nonce(1).mortal(16)).await;
    net.admin().produce_blocks(20).unwrap();
    assert_eq!(reason(&mut raw, &mortal).await, (1010, "Transaction has a bad signature".to_owned()));

    let elsewhere =
        with_neurons(DevNetSettings { chain_name: "another".to_owned(), ..DevNetSettings::default() }, open_subnet());
    let foreign = signed(&connect(&elsewhere).await, &alice, 5, plain().nonce(1).immortal()).await;
    assert_eq!(reason(&mut raw, &foreign).await, (1010, "Transaction has a bad signature".to_owned()));

    let truncated = format!("0x{}", &good[4..]);
    assert_eq!(reason(&mut raw, &truncated).await.0, 1001);
    raw.call("author_submitExtrinsic", json!([good])).await.unwrap();
}

#[tokio::test]
async fn what_is_not_free_has_to_be_paid() {
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    let bob = dev::bob();
    let remark = || vec![Value::from_bytes(b"hello")];
    let outcome = submit(&client, &bob, "System", "remark_with_event", remark()).await;
    let Outcome::Refused(reason) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("Inability to pay some fees"), "{reason}");

    net.admin().fund(hotkey(&bob), 10_000_000).unwrap();
    let events = submit(&client, &bob, "System", "remark_with_event", remark()).await.events();
    assert_eq!(events, ["Balances.Withdraw", "System.Remarked", "System.ExtrinsicSuccess"]);

    let to = |account: &Keypair| Value::unnamed_variant("Id", [Value::from_bytes(hotkey(account).account_id())]);
    let transfer = |value: u64| vec![to(&dev::charlie()), number(value)];
    let events = submit(&client, &bob, "Balances", "transfer_keep_alive", transfer(1_000_000)).await.events();
    assert!(events.contains(&"Balances.Transfer".to_owned()) && events.contains(&"System.NewAccount".to_owned()));
    let outcome = submit(&client, &bob, "Balances", "transfer_keep_alive", transfer(1_000_000_000)).await;
    assert!(matches!(&outcome, Outcome::Failed(error) if error.contains("Token")), "{outcome:?}");
    let account = crate::client::stored(
        &client,
        "System",
        "Account",
        vec![Value::from_bytes(hotkey(&dev::charlie()).account_id())],
    );
    let account = account.await.unwrap();
    assert_eq!(u64::decode(&mut &account[16..24]).unwrap(), 1_000_000);
    // Only the root origin may set limits, and nobody has it here.
    let outcome = submit(&client, &bob, "Commitments", "set_max_space", vec![number(1_u32)]).await;
    assert_eq!(outcome, failed("Bad origin."));
}

#[tokio::test]
async fn transactions_wait_for_their_nonce_and_give_way_to_a_higher_tip() {
    let net = on_demand();
    net.admin().fund(hotkey(&dev::alice()), 1_000_000).unwrap();
    let client = connect(&net).await;
    let mut raw = Raw::connect(&net).await;
    let alice = dev::alice();
    let account = json!([hotkey(&alice)]);
    let second = signed(&client, &alice, 2, plain().nonce(1)).await;
    raw.call("author_submitAndWatchExtrinsic", json!([second])).await.unwrap();
    assert_eq!(raw.next().await.unwrap()["params"]["result"], "future");
    net.admin().produce_blocks(1).unwrap();
    assert_eq!(net.admin().pending_transactions(), 1);
    assert_eq!(raw.call("system_accountNextIndex", account.clone()).await.unwrap(), 0);

    let better = signed(&client, &alice, 3, plain().nonce(1).tip(5)).await;
    let mut other = Raw::connect(&net).await;
    let hash = other.call("author_submitExtrinsic", json!([better])).await.unwrap();
    assert_eq!(raw.next().await.unwrap()["params"]["result"], json!({ "usurped": hash }));

    let first = signed(&client, &alice, 1, plain().nonce(0)).await;
    raw.call("author_submitExtrinsic", json!([first])).await.unwrap();
    assert_eq!(raw.call("system_accountNextIndex", account).await.unwrap(), 2);
    net.admin().produce_blocks(1).unwrap();
    let block = raw.call("chain_getBlock", json!([])).await.unwrap();
    assert_eq!(block["block"]["extrinsics"].as_array().unwrap()[1..], [json!(first), json!(better)]);
}

#[tokio::test]
async fn blocks_come_by_themselves_at_an_interval() {
    let production = BlockProduction::Every(std::time::Duration::from_millis(5));
    let net = with_neurons(DevNetSettings { production, ..DevNetSettings::default() }, open_subnet());
    let client = connect(&net).await;
    let mut blocks = client.stream_blocks().await.unwrap();
    let mut numbers = Vec::new();
    while numbers.len() < 3 {
        numbers.push(blocks.next().await.unwrap().unwrap().number());
    }
    assert!(numbers.is_sorted_by(|one, next| one + 1 == *next), "{numbers:?}");
    let (time, block) = (net.admin().time_ms(), net.admin().best_block().number);
    assert!(time >= 1_760_000_000_000 + 12_000 * (block - 1), "time is the model's");
}

#[tokio::test]
async fn the_clock_gives_blocks_its_own_time() {
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    let begun = now();
    let settings =
        DevNetSettings { production: BlockProduction::Clock, block_time_ms: 20, ..DevNetSettings::default() };
    let net = DevNet::start(settings).unwrap();
    let mut raw = Raw::connect(&net).await;
    raw.call("chain_subscribeNewHeads", json!([])).await.unwrap();
    for _ in 0..3 {
        raw.next().await.unwrap();
    }
    let time = net.admin().time_ms();
    let end = now();
    assert!((begun..=end).contains(&time), "{begun} {time} {end}");
    net.admin().advance_time(3_600_000);
    raw.next().await.unwrap();
    net.admin().produce_blocks(1).unwrap();
    assert!(net.admin().time_ms() >= begun + 3_600_000);
}
