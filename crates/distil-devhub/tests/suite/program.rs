//! The program `distil-devhub`, as a process.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use reqwest::blocking::Client;
use serde_json::Value;

use crate::common::{client, write};

/// Ended by force when a test fails before it is ended in good order.
struct Program {
    child: Child,
    endpoint: String,
    log: BufReader<ChildStderr>,
    client: Client,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(folder: &Path, arguments: &[&str]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_distil-devhub"))
            .args(arguments)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut endpoint = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut endpoint).unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Program { child, endpoint: endpoint.trim().to_owned(), log, client: client() }
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -s {name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &command]).status().unwrap();
        assert!(status.success());
    }

    fn log_line(&mut self) -> String {
        let mut line = String::new();
        self.log.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn head_of(&self, repo: &str) -> String {
        let info: Value = self.client.get(format!("{}/api/{repo}", self.endpoint)).send().unwrap().json().unwrap();
        info["sha"].as_str().unwrap().to_owned()
    }

    fn status_of(&self, path: &str) -> u16 {
        self.client.get(format!("{}{path}", self.endpoint)).send().unwrap().status().as_u16()
    }
}

fn repositories() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "models/alice/tiny/config.json", b"{}");
    write(folder.path(), "models/alice/secret/config.json", b"{}");
    write(folder.path(), "datasets/bob/rows/data.parquet", b"PAR1");
    folder
}

#[test]
fn it_serves_a_folder_and_stops_on_sigterm() {
    let folder = repositories();
    let arguments =
        ["--private", "models/alice/secret", "--token", "hf_good", "--fault", "status=503;on=/api/datasets/;times=1"];
    let mut program = Program::start(folder.path(), &arguments);
    assert!(program.endpoint.starts_with("http://127.0.0.1:"), "{}", program.endpoint);
    assert_eq!(program.status_of("/alice/tiny/resolve/main/config.json"), 200);
    assert_eq!(program.status_of("/alice/secret/resolve/main/config.json"), 401);
    let secret = program.client.get(format!("{}/api/models/alice/secret", program.endpoint)).bearer_auth("hf_good");
    assert_eq!(secret.send().unwrap().status(), 200);
    assert_eq!(program.status_of("/api/datasets/bob/rows"), 503);
    assert_eq!(program.status_of("/api/datasets/bob/rows"), 200);

    program.signal("TERM");
    assert!(program.child.wait().unwrap().success());
}

#[test]
fn sighup_publishes_what_has_changed() {
    let folder = repositories();
    let mut program = Program::start(folder.path(), &[]);
    let first = program.head_of("models/alice/tiny");
    let untouched = program.head_of("datasets/bob/rows");
    let announced: Vec<String> = (0..3).map(|_| program.log_line()).collect();
    assert!(announced.contains(&format!("models/alice/tiny {first}")), "{announced:?}");

    write(folder.path(), "models/alice/tiny/config.json", b"{\"changed\": true}");
    program.signal("HUP");
    let line = program.log_line();
    let second = line.strip_prefix("models/alice/tiny ").unwrap();
    assert_ne!(second, first);
    assert_eq!(program.head_of("models/alice/tiny"), second);
    assert_eq!(program.head_of("datasets/bob/rows"), untouched);
    assert_eq!(program.status_of(&format!("/alice/tiny/resolve/{first}/config.json")), 200);

    program.signal("INT");
    assert!(program.child.wait().unwrap().success());
}

#[test]
fn it_stops_when_standard_input_closes() {
    let folder = repositories();
    let mut program = Program::start(folder.path(), &["--until-stdin-closes"]);
    assert_eq!(program.status_of("/api/models/alice/tiny"), 200);
    drop(program.child.stdin.take());
    assert!(program.child.wait().unwrap().success());
}

#[test]
fn what_it_cannot_do_it_says() {
    let folder = repositories();
    let empty = tempfile::tempdir().unwrap();
    for (folder, arguments, said) in [
        (folder.path(), ["--listen", "0.0.0.0:0"], "is not a loopback address"),
        (folder.path(), ["--private", "alice/tiny"], "does not begin with models/"),
        (folder.path(), ["--gated", "models/alice/none"], "no model alice/none"),
        (folder.path(), ["--fault", "boom"], "is no kind of fault"),
        (empty.path(), ["--page-size", "5"], "has neither a folder models"),
    ] {
        let mut program = Program::start(folder, &arguments);
        assert!(!program.child.wait().unwrap().success(), "{arguments:?}");
        let mut log = String::new();
        program.log.read_to_string(&mut log).unwrap();
        assert!(log.contains(said), "{arguments:?}: {log}");
    }
}
