//! `distil validate`: one epoch, a run that a signal ends, and what it refuses.

use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use distil_devnet::{BlockProduction, DevNet, DevNetSettings, Hyperparameters, Neuron};
use distil_types::{Hotkey, NetUid};
use serde_json::{Value, json};

use crate::commit::{miner, wallet};
use crate::common::{Place, ended, hub, tiny};

const NETUID: NetUid = NetUid(97);

/// A chain beyond its first round block, on which the wallet's hotkey is the validator.
fn chain() -> DevNet {
    chain_named("one")
}

fn chain_named(name: &str) -> DevNet {
    let production = BlockProduction::OnDemand;
    let settings = DevNetSettings { production, chain_name: name.to_owned(), ..DevNetSettings::default() };
    let net = DevNet::start(settings).expect("a chain on loopback");
    net.admin().register_subnet(NETUID, Hyperparameters::default()).expect("a subnet");
    let other = Neuron::miner(Hotkey::from_account_id([1; 32]));
    net.admin().register_neurons(NETUID, [Neuron::validator(miner()), other]).expect("two seats");
    net.admin().produce_until(60).expect("blocks");
    net
}

fn prompts() -> String {
    tiny("prompts.json").to_str().expect("text").to_owned()
}

fn validate(place: &Place, hub: &distil_devhub::DevHub, network: &str) -> Command {
    let mut command = place.distil_with(hub);
    command.args(["validate", "--network", network, "--teacher", "lab/teacher", "--state", "state"]);
    command.args(["--source", &prompts()]);
    command
}

#[test]
fn an_epoch_without_a_challenger_evaluates_nothing() {
    let (place, hub, net) = (Place::new(), hub(), chain());
    wallet(&place);
    let arguments = [
        "--once",
        "--wallet",
        "alpha",
        "--wallet-path",
        "wallets",
        "--hotkey",
        "miner",
        "--log-format",
        "json",
        "--format",
        "json",
    ];
    let first = ended(validate(&place, &hub, &net.endpoint()).args(arguments)).expect_code(0);
    assert_eq!(first.json(), json!({ "epoch": "no_round", "round": null, "king": null }));
    // Each line is a JSON object that names round and hotkey.
    let lines: Vec<Value> =
        first.stderr.lines().map(|line| serde_json::from_str(line).expect("a log line of JSON")).collect();
    assert!(lines.iter().all(|line| line["round"].is_string() && line["hotkey"].is_string()), "{}", first.stderr);
    assert!(lines.iter().any(|line| line["message"] == "subnet read" && line["block"] == 50), "{}", first.stderr);
    // The teacher was named without a commit: which one it is, and what to write to keep it, is told.
    let pinned = lines.iter().find(|line| line["setting"] == "teacher").expect("a line about the teacher's commit");
    let (repo, revision) =
        pinned["pinned"].as_str().and_then(|name| name.split_once('@')).expect("owner/repo@revision");
    assert_eq!((repo, revision.len(), &pinned["level"]), ("lab/teacher", 40, &json!("WARN")), "{pinned}");
    // Started again, it finds the same block and again nothing to do: no commitment, no round.
    let second = ended(validate(&place, &hub, &net.endpoint()).args(arguments)).expect_code(0);
    assert_eq!((&second.json()["epoch"], &second.json()["king"]), (&json!("no_round"), &Value::Null));
    let sent = net.admin().requests().iter().filter(|request| request.method.starts_with("author_submit")).count();
    assert_eq!(sent, 0, "with no king nothing is sent");
}

/// A new commit of the teacher's repository does not change the rounds of a validator that is started again.
#[test]
fn the_commit_of_the_last_round_is_kept_where_none_is_given() {
    use distil_devhub::RepoKind;
    let (place, hub, net) = (Place::new(), hub(), chain());
    let revision = |name: &str| name.split_once('@').map(|(_, revision)| revision.to_owned()).expect("a revision");
    let pinned = |place: &Place| -> String {
        let mut command = validate(place, &hub, &net.endpoint());
        let run = ended(command.args(["--once", "--log-format", "json", "--format", "json"])).expect_code(0);
        let lines = run.stderr.lines().map(|line| serde_json::from_str::<Value>(line).expect("a log line of JSON"));
        let lines: Vec<Value> = lines.filter(|line| line["setting"] == "teacher").collect();
        lines[0]["pinned"].as_str().expect("text").to_owned()
    };
    let first = pinned(&place);
    // A round of this state, with that commit.
    let mut store = distil_store::Store::open(&place.path("state")).expect("a store");
    store.begin_round(&round(&revision(&first)), 1).expect("a round");
    store.void_round(distil_store::RoundNumber(1), "of no use", 2).expect("an end");
    drop(store);
    let folder = place.path("other");
    std::fs::create_dir(&folder).expect("a folder");
    for entry in std::fs::read_dir(tiny("teacher")).expect("a model") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, folder.join(path.file_name().expect("a name"))).expect("a copy");
    }
    std::fs::write(folder.join("README.md"), "another commit").expect("a file");
    let newest = hub.publish(RepoKind::Model, "lab/teacher", &folder).expect("a commit");
    assert_ne!(newest, revision(&first));
    assert_eq!(pinned(&place), first, "the state's last round has it");
    assert_eq!(revision(&pinned(&Place::new())), newest, "a new state begins with the newest");
}

/// A round of this teacher.
fn round(teacher_revision: &str) -> distil_store::NewRound {
    use distil_scoring::{CheckVerdict, Miner, Rules, Seat};
    use distil_types::{BlockHash, BlockRef, MinerKey, SubnetProfile, Uid};
    let settings = distil_scoring::RoundSettings {
        protocol: "distil/1".to_owned(),
        code_version: "0.1.0".to_owned(),
        netuid: NETUID,
        teacher: "lab/teacher".parse().expect("a name"),
        teacher_revision: teacher_revision.parse().expect("40 digits"),
        source: "path:prompts.json".to_owned(),
        sampler: "distil".to_owned(),
        prompts: 1,
        max_prompt_tokens: 1024,
        max_new_tokens: 512,
        continuation: "greedy".to_owned(),
    };
    let commitment = distil_types::Commitment {
        model: "lab/student".parse().expect("a name"),
        revision: "0a".repeat(20).parse().expect("40 digits"),
    };
    let key = MinerKey::new(Hotkey::from_account_id([5; 32]), 1);
    let mut miner = Miner::new(key, commitment);
    miner.check = CheckVerdict::Passed;
    miner.seat = Some(Seat { uid: Uid(1), hotkey: key.hotkey, registered_at_block: 0 });
    let block = BlockRef { number: 1, hash: BlockHash::from_bytes([7; 32]) };
    let rules = Rules::of(&SubnetProfile::sn97());
    let plan = distil_scoring::plan(block, &settings, None, &[miner], &rules).expect("a plan").round.expect("a round");
    let prompt =
        distil_store::RoundPrompt { id: "prompts:0".to_owned(), digest: "0".repeat(64), text: "a text".to_owned() };
    distil_store::NewRound { plan, prompts: vec![prompt], settings: json!({}) }
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_done() {
    let (place, hub, net) = (Place::new(), hub(), chain());
    wallet(&place);
    let run = |arguments: &[&str]| {
        let mut command = place.distil_with(&hub);
        ended(command.args(["validate", "--network", &net.endpoint()]).args(arguments))
    };
    run(&["--once"]).expect_code(2).expect_error(&["no folder for the state", "--state", "DISTIL_STATE"]);
    run(&["--state", "s", "--wallet", "alpha"]).expect_code(2).expect_error(&["no hotkey of it", "--hotkey"]);
    run(&["--state", "s", "--teacher", "./models"]).expect_code(2).expect_error(&["owner/repo"]);
    run(&["--state", "s", "--top-p", "0.5"]).expect_code(2).expect_error(&["top-p", "--temperature"]);
    let arguments = ["--wallet", "alpha", "--wallet-path", "wallets", "--hotkey", "stranger", "--once"];
    // A hotkey without a seat is told so, and not that the subnet is broken.
    let stranger = ended(validate(&place, &hub, &net.endpoint()).args(arguments));
    assert_ne!(stranger.code, Some(0));
    stranger.expect_error(&["no seat"]);
    let nowhere = ended(validate(&place, &hub, "ws://127.0.0.1:9").args(["--once"])).expect_code(3);
    nowhere.expect_error(&["127.0.0.1:9"]);
}

#[test]
fn a_state_of_another_chain_is_refused() {
    let (place, hub, net) = (Place::new(), hub(), chain());
    ended(validate(&place, &hub, &net.endpoint()).arg("--once")).expect_code(0);
    let other = chain_named("another");
    let refused = ended(validate(&place, &hub, &other.endpoint()).arg("--once")).expect_code(2);
    refused.expect_error(&["subnet 97 of the chain with genesis", "a folder of its own"]);
    ended(validate(&place, &hub, &net.endpoint()).arg("--once")).expect_code(0);
}

#[test]
fn sigterm_ends_a_validator_cleanly_and_a_second_one_is_refused() {
    let (place, hub, net) = (Place::new(), hub(), chain());
    let command = validate(&place, &hub, &net.endpoint());
    let mut process = Process::new(command.get_program());
    process.args(command.get_args()).current_dir(place.path(""));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => process.env(name, value),
            None => process.env_remove(name),
        };
    }
    let mut running = process.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let state = place.path("state/distil.sqlite");
    let begun = Instant::now();
    while !state.exists() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = ended(validate(&place, &hub, &net.endpoint()).arg("--once"));
    assert!(matches!(second.code, Some(2 | 3)), "{:?}: {}", second.code, second.stderr);
    second.expect_error(&[&running.id().to_string()]);
    let kill = Process::new("kill").args(["-TERM", &running.id().to_string()]).status().expect("kill runs");
    assert!(kill.success());
    let status = running.wait().expect("the program ends");
    assert_eq!(status.code(), Some(0));
}
