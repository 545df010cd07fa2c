//! `distil commit`: what it checks, shows and refuses, and that a commitment is sent once, is final and is revealed.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use distil_chain::wallet::HotkeySigner;
use distil_devhub::{DevHub, Fault as HubFault, FaultKind as HubFaultKind};
use distil_devnet::{
    BlockProduction, DevNet, DevNetSettings, DrandSettings, Fault, FaultKind, Hyperparameters, Neuron,
};
use distil_types::{Hotkey, NetUid};
use serde_json::{Value, json};

#[cfg(unix)]
use crate::common::plain;
use crate::common::{Ended, Place, ended, hub, tiny};

const NETUID: NetUid = NetUid(97);
const SUBMIT: &str = "author_submitExtrinsic";

/// The seed of the miner's hotkey.
pub(crate) const SEED: [u8; 32] = [41; 32];

/// Its address.
pub(crate) fn miner() -> Hotkey {
    HotkeySigner::from_seed(&SEED).public_key()
}

/// Blocks by the clock, five a second; two of them are not final. A round of the beacon is published each second. The
/// miner has a seat.
fn chain() -> DevNet {
    let net = DevNet::start(DevNetSettings {
        production: BlockProduction::Clock,
        block_time_ms: 200,
        finality_lag: 2,
        drand: DrandSettings { period_s: 1, ..DrandSettings::default() },
        ..DevNetSettings::default()
    })
    .expect("a chain on loopback");
    net.admin().register_subnet(NETUID, Hyperparameters::default()).expect("a subnet");
    let validator = Neuron::validator(Hotkey::from_account_id([1; 32]));
    net.admin().register_neurons(NETUID, [validator, Neuron::miner(miner())]).expect("two seats");
    net.admin().produce_blocks(2).expect("blocks");
    net
}

/// Writes a wallet with plain hotkeys `miner`, which has a seat, and `stranger`, which has none.
pub(crate) fn wallet(place: &Place) {
    let folder = place.path("wallets/alpha/hotkeys");
    fs::create_dir_all(&folder).expect("a folder for the wallet");
    for (name, seed) in [("miner", SEED), ("stranger", [42; 32])] {
        let address = HotkeySigner::from_seed(&seed).public_key();
        let seed: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
        write_key(&folder.join(name), &json!({ "secretSeed": seed, "ss58Address": address, "cryptoType": 1 }));
    }
}

fn write_key(file: &Path, content: &Value) {
    fs::write(file, content.to_string()).expect("a key file");
    readable_by_its_owner(file);
}

#[cfg(unix)]
fn readable_by_its_owner(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("permissions of a key file");
}

#[cfg(not(unix))]
fn readable_by_its_owner(_: &Path) {}

/// `distil commit` of `lab/student-a` by the miner, held against the tiny teacher.
pub(crate) fn commit(place: &Place, hub: &DevHub, network: &str, arguments: &[&str]) -> Command {
    let mut command = place.distil_with(hub);
    command.args(["commit", "--wallet", "alpha", "--wallet-path", "wallets", "--network", network]);
    if !arguments.contains(&"--model") {
        command.args(["--model", "lab/student-a"]);
    }
    if !arguments.contains(&"--hotkey") {
        command.args(["--hotkey", "miner"]);
    }
    command.arg("--teacher").arg(tiny("teacher")).args(arguments);
    command
}

fn run(place: &Place, hub: &DevHub, net: &DevNet, arguments: &[&str]) -> Ended {
    ended(&mut commit(place, hub, &net.endpoint(), arguments))
}

fn submissions(net: &DevNet) -> usize {
    net.admin().requests().iter().filter(|request| request.method == SUBMIT).count()
}

fn prepared() -> (Place, DevHub, DevNet) {
    let place = Place::new();
    wallet(&place);
    (place, hub(), chain())
}

#[test]
fn a_dry_run_tells_what_would_be_committed_and_sends_nothing() {
    let (place, hub, net) = prepared();
    let ended = run(&place, &hub, &net, &["--dry-run", "--format", "json"]).expect_code(0);
    let document = ended.json();
    let revision = document["revision"].as_str().expect("a commit").to_owned();
    assert!(revision.len() == 40 && ended.stderr.contains(&format!("the newest commit is {revision}")));
    let payload = document["payload"].as_str().expect("a payload");
    let said: Value = serde_json::from_str(payload).expect("the payload is JSON");
    assert_eq!(said, json!({ "model": "lab/student-a", "revision": revision }));
    assert_eq!(document["payload_bytes"], payload.len());
    assert_eq!(document["network"], net.endpoint());
    assert_eq!((&document["netuid"], &document["hotkey"]), (&json!(97), &json!(miner())));
    assert_eq!((&document["existing"], &document["would_submit"]), (&Value::Null, &json!(true)));
    assert_eq!(document.get("reason"), None);
    assert_eq!(document["beacon"]["source"], "chain");
    // A round each second.
    let round = document["reveal_round"].as_u64().expect("a round");
    let now = net.admin().drand_round();
    assert!((now + 4200..now + 4330).contains(&round), "{round} at {now}");

    let text = run(&place, &hub, &net, &["--dry-run", "--revision", &revision]).expect_code(0).stdout;
    for part in ["lab/student-a", &revision, &miner().to_string(), "subnet 97", "it would be submitted"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert_eq!((submissions(&net), net.admin().pending_transactions()), (0, 0));
}

#[test]
fn a_dry_run_needs_no_password_where_the_address_stands_beside_the_key() {
    let (place, hub, net) = prepared();
    let folder = place.path("wallets/alpha/hotkeys");
    fs::write(folder.join("sealed"), [&b"$NACL"[..], &[7; 400]].concat()).expect("an encrypted key file");
    readable_by_its_owner(&folder.join("sealed"));
    let arguments = ["--dry-run", "--format", "json", "--hotkey", "sealed"];
    let unknown = run(&place, &hub, &net, &arguments).expect_code(2);
    unknown.expect_error(&["sealed", "BT_PW_", "no terminal"]);
    write_key(&folder.join("sealedpub.txt"), &json!({ "accountId": "0x00", "ss58Address": miner() }));
    let document = run(&place, &hub, &net, &arguments).expect_code(0).json();
    assert_eq!(document["hotkey"], json!(miner()));
    // To sign it is needed, and its absence is told before anything is sent.
    let arguments = ["--yes", "--hotkey", "sealed"];
    run(&place, &hub, &net, &arguments).expect_code(2).expect_error(&["BT_PW_", "no terminal"]);
    fs::write(folder.join("sealedpub.txt"), "[]").expect("a public file");
    run(&place, &hub, &net, &arguments).expect_code(2).expect_error(&["sealedpub.txt", "not the public file"]);
    assert_eq!(submissions(&net), 0);
}

#[test]
fn without_a_terminal_and_without_yes_it_fails_at_once() {
    let (place, hub, net) = prepared();
    run(&place, &hub, &net, &[]).expect_code(2).expect_error(&["cannot be undone", "no terminal", "--yes"]);
    assert!(hub.requests().is_empty() && net.admin().requests().is_empty(), "nobody was asked");
}

#[test]
fn a_commitment_goes_through_to_its_reveal_and_a_second_one_is_refused() {
    let (place, hub, net) = prepared();
    let arguments = ["--yes", "--format", "json", "--reveal-after", "2"];
    let ended = run(&place, &hub, &net, &arguments).expect_code(0);
    let document = ended.json();
    let (in_block, last) = (document["in_block"]["number"].as_u64(), document["finalized"]["number"].as_u64());
    let revealed = document["revealed"].as_u64().expect("the block of the reveal");
    assert!(in_block.is_some() && last >= in_block && revealed > in_block.unwrap(), "{document}");
    assert!(document["submitted"].as_str().is_some_and(|hash| hash.starts_with("0x") && hash.len() == 66));
    assert_eq!((&document["would_submit"], submissions(&net)), (&json!(true), 1));
    for part in ["This cannot be undone", "submitted as 0x", "final in block", &format!("revealed in block {revealed}")]
    {
        assert!(ended.stderr.contains(part), "{part} is not in\n{}", ended.stderr);
    }

    // The first one's block and content, whatever is committed now.
    let content = format!("lab/student-a@{}", document["revision"].as_str().unwrap());
    for arguments in [&["--yes"][..], &["--dry-run"], &["--yes", "--model", "lab/student-b"]] {
        let refused = run(&place, &hub, &net, arguments).expect_code(1);
        for part in [&content, &format!("block {revealed}")] {
            assert!(refused.stdout.contains(part.as_str()), "{part} is not in\n{}", refused.stdout);
        }
        let again = run(&place, &hub, &net, &[arguments, &["--format", "json"]].concat()).expect_code(1).json();
        assert_eq!(again["existing"]["block"], revealed);
        assert_eq!(
            (&again["existing"]["state"], &again["existing"]["model"]),
            (&json!("revealed"), &json!("lab/student-a"))
        );
        assert_eq!(again["existing"]["revision"], document["revision"]);
        assert_eq!(again["would_submit"], false);
        assert!(again["reason"].as_str().is_some_and(|reason| reason.contains("committed already")), "{again}");
    }
    assert_eq!(submissions(&net), 1, "nothing is sent twice");
}

#[test]
fn what_is_not_revealed_yet_is_committed_all_the_same() {
    let (place, hub, net) = prepared();
    let arguments = ["--yes", "--wait-reveal=false"];
    let text = run(&place, &hub, &net, &arguments).expect_code(0).stdout;
    assert!(text.contains("not yet: it is due with drand's round") && text.contains("GMT"), "{text}");
    // A commitment that is sealed counts as one.
    let arguments = ["--yes", "--wait-reveal=false", "--format", "json"];
    let refused = run(&place, &hub, &net, &arguments).expect_code(1).json();
    assert_eq!(refused["existing"]["state"], "sealed");
    assert!(refused["existing"]["block"].is_u64() && refused.get("revealed").is_none(), "{refused}");
}

#[test]
fn a_model_that_does_not_pass_is_not_committed() {
    let (place, hub, net) = prepared();
    let refused = run(&place, &hub, &net, &["--yes", "--format", "json", "--model", "lab/nothing"]).expect_code(1);
    let document = refused.json();
    assert_eq!((&document["check"]["pass"], &document["payload"]), (&json!(false), &Value::Null));
    assert!(document["reason"].as_str().is_some_and(|reason| reason.contains("does not let us see it")), "{document}");
    let model = place.copy_model("student-a", "bad");
    fs::write(model.join("modeling_custom.py"), "import os").expect("a file of the model");
    hub.publish(distil_devhub::RepoKind::Model, "lab/bad", &model).expect("a model to serve");
    let text = run(&place, &hub, &net, &["--yes", "--model", "lab/bad"]).expect_code(1);
    assert!(text.stdout.contains("nothing was sent") && text.stdout.contains("remote_code"), "{}", text.stdout);
    // Trouble of the Hub is no refusal.
    let busy = HubFaultKind::Status { status: 429, retry_after: Some("900".to_owned()) };
    hub.order(HubFault::new(busy).on("/api/models/lab/student-a"));
    run(&place, &hub, &net, &["--yes"]).expect_code(3);
    assert_eq!(submissions(&net), 0);
}

#[test]
fn a_hotkey_without_a_seat_cannot_commit() {
    let (place, hub, net) = prepared();
    let document =
        run(&place, &hub, &net, &["--yes", "--format", "json", "--hotkey", "stranger"]).expect_code(1).json();
    assert!(document["reason"].as_str().is_some_and(|reason| reason.contains("not registered on subnet 97")));
    run(&place, &hub, &net, &["--yes", "--hotkey", "nobody"]).expect_code(2).expect_error(&["nobody", "no such file"]);
    run(&place, &hub, &net, &["--yes", "--hotkey", "../miner"]).expect_code(2).expect_error(&["hotkey name"]);
    assert_eq!(submissions(&net), 0);
}

#[test]
fn trouble_with_the_chain_has_its_exit_code() {
    let (place, hub, net) = prepared();
    for wrong in ["finnney", "http://127.0.0.1:9944", "ws://"] {
        ended(&mut commit(&place, &hub, wrong, &["--dry-run"])).expect_code(2).expect_error(&["no such network"]);
    }
    // Nobody listens there.
    ended(&mut commit(&place, &hub, "ws://127.0.0.1:9", &["--dry-run"])).expect_code(3).expect_error(&["127.0.0.1:9"]);
    net.admin().order(Fault::new(FaultKind::PoolError(1012)).on(SUBMIT).times(1));
    run(&place, &hub, &net, &["--yes"]).expect_code(3).expect_error(&["1012"]);
    // Refused by the pool is not committed: now it is.
    run(&place, &hub, &net, &["--yes", "--wait-reveal=false"]).expect_code(0);
}

#[test]
fn a_quota_that_is_too_small_is_told_before_anything_is_sent() {
    let (place, hub, net) = prepared();
    let space = distil_devnet::Command::SetGlobals {
        stake_threshold_rao: None,
        commit_reveal_version: None,
        max_commitment_space: Some(50),
    };
    net.admin().apply(vec![space]).expect("a quota");
    net.admin().produce_blocks(2).expect("blocks");
    let document = run(&place, &hub, &net, &["--yes", "--format", "json"]).expect_code(1).json();
    assert!(document["reason"].as_str().is_some_and(|reason| reason.contains("quota")), "{document}");
    assert_eq!((&document["existing"], submissions(&net)), (&Value::Null, 0));
}

#[test]
fn a_commitment_whose_round_never_comes_is_told_to_be_lost() {
    let (place, hub, net) = prepared();
    let now = net.admin().drand_round();
    (now..now + 60).for_each(|round| net.admin().skip_round(round));
    let arguments = ["--yes", "--format", "json", "--reveal-after", "1"];
    let document = run(&place, &hub, &net, &arguments).expect_code(1).json();
    assert!(document["in_block"]["number"].is_u64() && document["revealed"].is_null(), "{document}");
    assert!(document["lost"].as_str().is_some_and(|reason| reason.contains("without storing it")), "{document}");
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let place = Place::new();
    place.run(&["commit"]).expect_code(2).expect_error(&["no model", "--model", "DISTIL_MODEL", "[commit]"]);
    let model = ["commit", "--model", "lab/student-a"];
    place.run(&model).expect_code(2).expect_error(&["no wallet", "--wallet"]);
    place.run(&[&model[..], &["--wallet", "alpha"]].concat()).expect_code(2).expect_error(&["no hotkey", "--hotkey"]);
    for name in ["./model", "just-a-name", "lab/student-a@main"] {
        place.run(&["commit", "--model", name]).expect_code(2).expect_error(&["owner/repo"]);
    }
    place.run(&["commit", "--reveal-after", "0"]).expect_code(2).expect_error(&["not a number of seconds"]);
}

/// The confirmation as it is typed, on a terminal.
#[cfg(unix)]
#[test]
fn on_a_terminal_the_repositorys_name_has_to_be_typed() {
    let (place, hub, net) = prepared();
    let (code, shown) = on_a_terminal(&place, &hub, &net, "yes\n");
    assert_eq!((code, submissions(&net)), (Some(1), 0), "{shown}");
    assert!(shown.contains("This cannot be undone") && shown.contains("not confirmed: nothing was sent"), "{shown}");
    let (code, shown) = on_a_terminal(&place, &hub, &net, "lab/student-a\n");
    assert_eq!((code, submissions(&net)), (Some(0), 1), "{shown}");
}

/// Runs `distil commit` with standard input and standard error on a terminal at which this is typed.
#[cfg(unix)]
fn on_a_terminal(place: &Place, hub: &DevHub, net: &DevNet, typed: &str) -> (Option<i32>, String) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use std::fs::{File, OpenOptions};
    use std::io::{Read as _, Write as _};
    use std::process::Stdio;

    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&controller).expect("a terminal of ours");
    unlockpt(&controller).expect("an open terminal");
    let name = ptsname(&controller, Vec::new()).expect("its name").into_string().expect("a plain name");
    let terminal = OpenOptions::new().read(true).write(true).open(name).expect("its other side");
    let prepared = commit(place, hub, &net.endpoint(), &["--wait-reveal=false"]);
    let mut command = plain(&prepared);
    let mut child = command
        .stdin(Stdio::from(terminal.try_clone().expect("a second handle")))
        .stderr(Stdio::from(terminal))
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    // The program's side is closed here, or the reading below would not end.
    drop(command);
    let mut controller = File::from(controller);
    controller.write_all(typed.as_bytes()).expect("somebody types");
    let mut shown = Vec::new();
    // Linux ends a terminal without programs with an error.
    let _ = controller.read_to_end(&mut shown);
    let code = child.wait().expect("the program ends").code();
    (code, String::from_utf8_lossy(&shown).into_owned())
}
