//! A client in another language agrees: `@polkadot/api` reads and writes through nothing but metadata.

use crate::client::{NETUID, connect, hotkey, open_subnet, seal, set_commitment, settings, timelocked, with_neurons};
use serde_json::{Value, json};
use std::process::Command;
use subxt_signer::sr25519::dev;

#[tokio::test]
async fn polkadot_api_decodes_reads_and_submits() {
    // `npm install @polkadot/api` in a folder, and the folder's `node_modules` in this variable.
    let Some(modules) = std::env::var_os("DISTIL_POLKADOT_API") else {
        println!("skipped: DISTIL_POLKADOT_API does not name a node_modules with @polkadot/api");
        return;
    };
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    let round = net.admin().drand_round() + 1;
    let sealed = seal(b"sealed before", round, &net.admin().drand_public_key());
    set_commitment(&client, &dev::bob(), vec![timelocked(&sealed, round)]).await.events();
    net.admin().produce_blocks(1).unwrap();
    let reveal_block = net.admin().best_block().number;

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/polkadot_js.cjs");
    let endpoint = net.endpoint();
    let run = move || Command::new("node").arg(script).arg(endpoint).env("NODE_PATH", modules).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let hotkeys = [dev::alice(), dev::bob(), dev::charlie()].map(|signer| hotkey(&signer));
    let expected = json!({
        "chain": "Distil devnet",
        "specVersion": 365,
        "revealed": ["sealed before", reveal_block],
        "hotkeys": hotkeys,
        "numUids": 3,
        "committed": ["commitments.Commitment", "system.ExtrinsicSuccess"],
        "commitment": { "Raw5": "hello" },
        "weights": ["subtensorModule.WeightsSet", "system.ExtrinsicSuccess"],
        "refused": "subtensorModule.UidVecContainInvalidOne",
    });
    assert_eq!(seen, expected);
    assert_eq!(NETUID.0, 97, "as the script has it");
}
