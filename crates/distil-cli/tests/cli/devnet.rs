//! `distil devnet`: a chain in a process of its own.

use std::io::Read as _;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::commit::{commit, miner, wallet};
use crate::common::{Place, ended, hub, plain};

/// A running `distil devnet`, which ends with the test.
struct Running {
    child: Child,
    document: Value,
}

impl Running {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut child = plain(&place.distil())
            .args(["devnet", "--listen", "127.0.0.1:0", "--block-time", "0.2", "--format", "json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("its standard output");
        let document = serde_json::Deserializer::from_reader(stdout).into_iter().next();
        match document {
            Some(Ok(document)) => Self { child, document },
            other => {
                let _ = child.kill();
                let mut said = String::new();
                let _ = child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said));
                panic!("{other:?}: {said}");
            }
        }
    }

    fn endpoint(&self) -> &str {
        self.document["endpoint"].as_str().expect("an endpoint")
    }

    /// Sends SIGTERM; gives the exit code and what was said.
    #[cfg(unix)]
    fn stop(mut self) -> (Option<i32>, String) {
        use rustix::process::{Pid, Signal, kill_process};
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("a signal");
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().expect("its standard error");
        stderr.read_to_string(&mut said).expect("text");
        (self.child.wait().expect("it ends").code(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
#[test]
fn a_chain_is_committed_to_stopped_and_goes_on_with_its_state() {
    let (place, hub) = (Place::new(), hub());
    wallet(&place);
    let address = miner().to_string();
    let settings = ["--state", "chain", "--register", &address, "--tempo", "50"];
    let net = Running::start(&place, &settings);
    assert_eq!(net.document["registered"][0]["hotkey"], address);
    assert_eq!(net.document["drand"]["public_key"].as_str().map(str::len), Some(192));
    let arguments = ["--yes", "--format", "json", "--wait-reveal=false", "--reveal-after", "600"];
    let committed = ended(&mut commit(&place, &hub, net.endpoint(), &arguments)).expect_code(0).json();
    assert!(committed["reveal_due_unix_seconds"].is_u64() && committed["revealed"].is_null(), "{committed}");
    let (code, said) = net.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stopped at block"), "{said}");

    let net = Running::start(&place, &settings);
    assert_eq!(net.document["resumed"], true);
    assert_eq!(net.document["registered"], serde_json::json!([]), "the seat is there");
    let refused = ended(&mut commit(&place, &hub, net.endpoint(), &arguments)).expect_code(1).json();
    assert_eq!(refused["existing"]["block"], committed["in_block"]["number"]);
    net.stop();
    // The chain in the file was begun with other settings.
    let other = ["devnet", "--listen", "127.0.0.1:0", "--state", "chain", "--epoch-model", "stateful"];
    place.run(&other).expect_code(2).expect_error(&["chain.scale", "other settings"]);
}

#[cfg(unix)]
#[test]
fn a_chain_reveals_by_the_clock() {
    let (place, hub) = (Place::new(), hub());
    wallet(&place);
    let net = Running::start(&place, &["--register", &miner().to_string(), "--epoch-model", "stateful"]);
    let arguments = ["--yes", "--format", "json", "--reveal-after", "0.5"];
    let committed = ended(&mut commit(&place, &hub, net.endpoint(), &arguments)).expect_code(0).json();
    assert!(committed["revealed"].as_u64() > committed["in_block"]["number"].as_u64(), "{committed}");
    assert_eq!(net.stop().0, Some(0));
}

#[cfg(unix)]
#[test]
fn a_chain_that_cannot_be_kept_any_more_ends_and_says_why() {
    let place = Place::new();
    let mut net = Running::start(&place, &["--state", "chain"]);
    std::fs::rename(place.path("chain"), place.path("elsewhere")).expect("the folder of the state");
    let mut said = String::new();
    net.child.stderr.take().expect("its standard error").read_to_string(&mut said).expect("text");
    assert_eq!(net.child.wait().expect("it ends").code(), Some(2), "{said}");
    assert!(said.contains("chain.scale"), "{said}");
}

#[test]
fn settings_that_make_no_chain_are_named() {
    let place = Place::new();
    place.run(&["devnet", "--listen", "0.0.0.0:0"]).expect_code(2).expect_error(&["not a loopback address"]);
    place.run(&["devnet", "--listen", "here"]).expect_code(2).expect_error(&["--listen"]);
    place.run(&["devnet", "--register", "5abc"]).expect_code(2).expect_error(&["register", "5abc"]);
    let address = miner().to_string();
    let twice = ["devnet", "--listen", "127.0.0.1:0", "--register", &address, "--register-validator", &address];
    place.run(&twice).expect_code(2).expect_error(&["registered twice"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    place.run(&["devnet", "--listen", &address]).expect_code(3).expect_error(&["another program listens there"]);
}
