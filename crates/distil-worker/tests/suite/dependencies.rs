//! What the program must not be able to do, it does not even contain.

use std::process::Command;

#[test]
fn the_worker_links_neither_chain_nor_wallets() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "distil-worker", "--edges", "normal", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"distil-eval"), "{tree}");
    for forbidden in ["distil-chain", "distil-validator", "distil-store", "distil-cli", "subxt", "schnorrkel", "bip39"]
    {
        assert!(!names.contains(&forbidden), "{forbidden}");
    }
}
