//! Settings and their layers, help, completions, and how the program ends.

use crate::common::{Place, ended};
use serde_json::json;

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const HASH: &str = "0x5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

#[test]
fn flags_go_before_the_environment_before_the_file_before_defaults() {
    let place = Place::new();
    place.write(
        "distil.toml",
        "quiet = true\n[score-local]\nthreads = 3\nmax-new-tokens = 33\ntop-p = 0.5\nstudent = [\"a\", \"b\"]\nprompts = \"p.json\"\n",
    );
    let mut command = place.distil();
    command.args(["config", "show", "--format", "json"]).env("DISTIL_THREADS", "5").env("DISTIL_FORMAT", "text");
    let document = ended(&mut command).expect_code(0).json();
    let setting = |key: &str| document["settings"][key].clone();
    assert_eq!(setting("format"), json!({ "value": "json", "origin": "flag", "from": "--format" }));
    assert_eq!(
        setting("score-local.threads"),
        json!({ "value": 5, "origin": "environment", "from": "DISTIL_THREADS" })
    );
    assert_eq!(setting("score-local.max-new-tokens"), json!({ "value": 33, "origin": "file", "from": "distil.toml" }));
    assert_eq!(setting("quiet"), json!({ "value": true, "origin": "file", "from": "distil.toml" }));
    assert_eq!(setting("score-local.max-prompt-tokens"), json!({ "value": 1024, "origin": "default" }));
    assert_eq!(setting("score-local.student")["value"], json!(["a", "b"]));
    assert_eq!(setting("score-local.out"), json!({ "value": null, "origin": "default" }));
}

#[test]
fn every_option_has_its_environment_variable() {
    let place = Place::new();
    let students = std::env::join_paths(["x", "y"]).expect("two plain names");
    let given = [
        ("DISTIL_QUIET", "true", "quiet", json!(true)),
        ("DISTIL_NO_PROGRESS", "1", "no-progress", json!(true)),
        ("DISTIL_TEACHER", "t", "score-local.teacher", json!("t")),
        ("DISTIL_STUDENT", students.to_str().expect("text"), "score-local.student", json!(["x", "y"])),
        ("DISTIL_PROMPTS", "p.json", "score-local.prompts", json!("p.json")),
        ("DISTIL_MAX_PROMPT_TOKENS", "11", "score-local.max-prompt-tokens", json!(11)),
        ("DISTIL_MAX_NEW_TOKENS", "12", "score-local.max-new-tokens", json!(12)),
        ("DISTIL_TEMPERATURE", "0.7", "score-local.temperature", json!(0.7)),
        ("DISTIL_TOP_P", "0.9", "score-local.top-p", json!(0.9)),
        ("DISTIL_SEED", "18446744073709551615", "score-local.seed", json!(u64::MAX)),
        ("DISTIL_DEVICE", "cuda:1", "score-local.device", json!("cuda:1")),
        ("DISTIL_DTYPE", "f32", "score-local.dtype", json!("f32")),
        ("DISTIL_THREADS", "2", "score-local.threads", json!(2)),
        ("DISTIL_EARLY_STOP", "yes", "score-local.early-stop", json!(true)),
        ("DISTIL_OUT", "o", "score-local.out", json!("o")),
        ("DISTIL_MODEL", "lab/student", "check.model", json!("lab/student")),
        ("DISTIL_REVISION", SHA, "check.revision", json!(SHA)),
        ("DISTIL_TEACHER", "t", "check.teacher", json!("t")),
        ("DISTIL_AGAINST", "lab/king:x", "check.against", json!(["lab/king", "x"])),
        ("DISTIL_PROFILE", "sn97", "check.profile", json!("sn97")),
        ("DISTIL_DOWNLOAD", "true", "check.download", json!(true)),
        ("DISTIL_THREADS", "2", "check.threads", json!(2)),
        ("DISTIL_THREADS", "2", "prompts.threads", json!(2)),
        ("DISTIL_OUT", "o", "demo.out", json!("o")),
        ("DISTIL_THREADS", "2", "demo.threads", json!(2)),
        ("DISTIL_NETWORK", "test", "validate.network", json!("test")),
        ("DISTIL_NETUID", "12", "validate.netuid", json!(12)),
        ("DISTIL_WALLET", "alpha", "validate.wallet", json!("alpha")),
        ("DISTIL_HOTKEY", "hk0", "validate.hotkey", json!("hk0")),
        ("DISTIL_WALLET_PATH", "/wallets", "validate.wallet-path", json!("/wallets")),
        ("DISTIL_STATE", "s", "validate.state", json!("s")),
        ("DISTIL_ONCE", "1", "validate.once", json!(true)),
        ("DISTIL_TEACHER", "t", "validate.teacher", json!("t")),
        ("DISTIL_MAX_PROMPT_TOKENS", "11", "validate.max-prompt-tokens", json!(11)),
        ("DISTIL_MAX_NEW_TOKENS", "12", "validate.max-new-tokens", json!(12)),
        ("DISTIL_TEMPERATURE", "0.7", "validate.temperature", json!(0.7)),
        ("DISTIL_TOP_P", "0.9", "validate.top-p", json!(0.9)),
        ("DISTIL_WORKER", "ssh host distil-worker", "validate.worker", json!("ssh host distil-worker")),
        ("DISTIL_DEVICE", "cuda:1", "validate.device", json!("cuda:1")),
        ("DISTIL_DTYPE", "f32", "validate.dtype", json!("f32")),
        ("DISTIL_THREADS", "2", "validate.threads", json!(2)),
        ("DISTIL_MAX_CHALLENGERS", "4", "validate.max-challengers", json!(4)),
        ("DISTIL_CHECKS_AT_ONCE", "3", "validate.checks-at-once", json!(3)),
        ("DISTIL_MIN_CONFIDENCE", "0.95", "validate.min-confidence", json!(0.95)),
        ("DISTIL_LOG_FORMAT", "json", "validate.log-format", json!("json")),
        ("DISTIL_RECORD", "r", "verify.record", json!("r")),
        ("DISTIL_RESCORE", "1", "verify.rescore", json!(true)),
        ("DISTIL_DRAW", "no", "verify.draw", json!(false)),
        ("DISTIL_WORKER", "ssh host distil-worker", "verify.worker", json!("ssh host distil-worker")),
        ("DISTIL_DEVICE", "cuda:1", "verify.device", json!("cuda:1")),
        ("DISTIL_DTYPE", "f32", "verify.dtype", json!("f32")),
        ("DISTIL_THREADS", "2", "verify.threads", json!(2)),
        ("DISTIL_MODEL", "lab/student", "commit.model", json!("lab/student")),
        ("DISTIL_REVISION", SHA, "commit.revision", json!(SHA)),
        ("DISTIL_WALLET", "alpha", "commit.wallet", json!("alpha")),
        ("DISTIL_HOTKEY", "hk0", "commit.hotkey", json!("hk0")),
        ("DISTIL_WALLET_PATH", "/wallets", "commit.wallet-path", json!("/wallets")),
        ("DISTIL_NETWORK", "test", "commit.network", json!("test")),
        ("DISTIL_NETUID", "12", "commit.netuid", json!(12)),
        ("DISTIL_TEACHER", "t", "commit.teacher", json!("t")),
        ("DISTIL_PROFILE", "sn97", "commit.profile", json!("sn97")),
        ("DISTIL_REVEAL_AFTER", "60.5", "commit.reveal-after", json!(60.5)),
        ("DISTIL_WAIT_REVEAL", "no", "commit.wait-reveal", json!(false)),
        ("DISTIL_DRY_RUN", "1", "commit.dry-run", json!(true)),
        ("DISTIL_YES", "true", "commit.yes", json!(true)),
        ("DISTIL_LISTEN", "[::1]:7000", "devnet.listen", json!("[::1]:7000")),
        ("DISTIL_STATE", "s", "devnet.state", json!("s")),
        ("DISTIL_BLOCK_TIME", "0.5", "devnet.block-time", json!(0.5)),
        ("DISTIL_FINALITY_LAG", "3", "devnet.finality-lag", json!(3)),
        ("DISTIL_EPOCH_MODEL", "stateful", "devnet.epoch-model", json!("stateful")),
        ("DISTIL_NETUID", "12", "devnet.netuid", json!(12)),
        ("DISTIL_TEMPO", "20", "devnet.tempo", json!(20)),
        ("DISTIL_COMMIT_REVEAL", "false", "devnet.commit-reveal", json!(false)),
        ("DISTIL_REGISTER", "a:b", "devnet.register", json!(["a", "b"])),
        ("DISTIL_REGISTER_VALIDATOR", "c", "devnet.register-validator", json!(["c"])),
        ("HF_ENDPOINT", "https://hub.example", "hub.endpoint", json!("https://hub.example")),
        ("HF_TOKEN", "hf_secret", "hub.token", json!("(hidden)")),
        ("HF_HUB_CACHE", "/models", "hub.cache", json!("/models")),
        ("HF_HUB_OFFLINE", "1", "hub.offline", json!(true)),
        ("DISTIL_FORMAT", "json", "format", json!("json")),
    ];
    let draw = [
        ("DISTIL_SOURCE", "corpus.jsonl", "source", json!("corpus.jsonl")),
        ("DISTIL_BLOCK", "7855150", "block", json!(7_855_150)),
        ("DISTIL_BLOCK_HASH", HASH, "block-hash", json!(HASH)),
        ("DISTIL_COUNT", "12", "count", json!(12)),
        ("DISTIL_SAMPLER", "reference", "sampler", json!("reference")),
        ("DISTIL_NETUID", "12", "netuid", json!(12)),
        ("DISTIL_CACHE", "c", "cache", json!("c")),
    ];
    let mut expected: Vec<(&str, &str, String, serde_json::Value)> =
        given.into_iter().map(|(variable, value, key, json)| (variable, value, key.to_owned(), json)).collect();
    for section in ["score-local", "prompts"] {
        expected.extend(
            draw.iter()
                .map(|(variable, value, key, json)| (*variable, *value, format!("{section}.{key}"), json.clone())),
        );
    }
    for (section, keys) in [("validate", &["source", "count", "cache"][..]), ("verify", &["source", "cache"])] {
        let of_draw = draw.iter().filter(|(_, _, key, _)| keys.contains(key));
        expected.extend(
            of_draw.map(|(variable, value, key, json)| (*variable, *value, format!("{section}.{key}"), json.clone())),
        );
    }
    let mut command = place.distil();
    command.args(["config", "show"]);
    for (variable, value, _, _) in &expected {
        command.env(variable, value);
    }
    let run = ended(&mut command).expect_code(0);
    assert!(!run.stdout.contains("hf_secret"), "a token is never shown");
    let document = run.json();
    for (variable, _, key, value) in &expected {
        let shown = json!({ "value": value, "origin": "environment", "from": variable });
        assert_eq!(document["settings"][key], shown, "{key}");
    }
    // Nothing that `config show` lists is left out above.
    assert_eq!(document["settings"].as_object().map(serde_json::Map::len), Some(expected.len()));
}

#[test]
fn a_file_may_be_named_and_its_paths_stand_beside_it() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("lab/teacher")).expect("a folder");
    place.write("lab/settings.toml", "[score-local]\nprompts = \"p.json\"\nteacher = \"teacher\"\nout = \"/abs\"\n");
    let run = place.run(&["config", "show", "--format=json", "--config", "lab/settings.toml"]).expect_code(0);
    let document = run.json();
    assert_eq!(document["settings"]["score-local.prompts"]["value"], "lab/p.json");
    assert_eq!(document["settings"]["score-local.teacher"]["value"], "lab/teacher");
    assert_eq!(document["settings"]["score-local.out"]["value"], "/abs");
    place.run(&["config", "show", "--config", "none.toml"]).expect_code(2).expect_error(&["none.toml", "cannot open"]);
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let place = Place::new();
    for (content, parts) in [
        ("[score-local]\nmax-tokens = 5\n", ["distil.toml", "unknown field `max-tokens`"]),
        ("colour = true\n", ["distil.toml", "unknown field `colour`"]),
        ("[score-local]\nthreads = 0\n", ["distil.toml", "not a whole number of threads"]),
        ("[score-local]\ndevice = \"gpu\"\n", ["distil.toml", "no such device"]),
        ("[score-local]\nstudent = \"a\"\n", ["distil.toml", "expected a sequence"]),
        ("[score-local\n", ["distil.toml", "line 1"]),
    ] {
        place.write("distil.toml", content);
        place.run(&["config", "show"]).expect_code(2).expect_error(&parts);
    }
    place.write("distil.toml", "");
    let mut command = place.distil();
    command.args(["config", "show"]).env("DISTIL_THREADS", "none");
    ended(&mut command).expect_code(2).expect_error(&["not a whole number of threads from 1 to 4096", "threads"]);
}

#[test]
fn what_is_missing_is_told_with_the_ways_to_give_it() {
    let place = Place::new();
    place.run(&["score-local"]).expect_code(2).expect_error(&[
        "error: no teacher",
        "--teacher",
        "DISTIL_TEACHER",
        "distil.toml",
    ]);
    place.run(&["score-local", "--teacher", "."]).expect_code(2).expect_error(&["error: no student", "--student"]);
    place
        .run(&["score-local", "--teacher", ".", "--student", "."])
        .expect_code(2)
        .expect_error(&["error: no prompts", "--prompts"]);
    place
        .run(&["score-local", "--teacher", ".", "--student", ".", "--prompts", "p", "--top-p", "0.9"])
        .expect_code(2)
        .expect_error(&["top-p has no effect on greedy continuations"]);
    place
        .run(&["score-local", "--teacher", ".", "--student", ".", "--prompts", "p", "--device", "tpu"])
        .expect_code(2)
        .expect_error(&["no such device; give cpu, cuda or cuda:N"]);
    place
        .run(&["score-local", "--out", "a", "--out", "b"])
        .expect_code(2)
        .expect_error(&["'--out <DIR>' cannot be used multiple times"]);
    place.run(&["score-all"]).expect_code(2).expect_error(&["unrecognized subcommand"]);
    place.run(&[]).expect_code(2);
}

#[test]
fn help_says_what_there_is() {
    let place = Place::new();
    for (arguments, expected) in [
        (&["--help"][..], include_str!("snapshots/help.txt")),
        (&["score-local", "--help"][..], include_str!("snapshots/help-score-local.txt")),
        (&["check", "--help"][..], include_str!("snapshots/help-check.txt")),
        (&["decide", "--help"][..], include_str!("snapshots/help-decide.txt")),
        (&["prompts", "--help"][..], include_str!("snapshots/help-prompts.txt")),
        (&["commit", "--help"][..], include_str!("snapshots/help-commit.txt")),
        (&["devnet", "--help"][..], include_str!("snapshots/help-devnet.txt")),
    ] {
        let run = place.run(arguments).expect_code(0);
        assert_eq!(run.stderr, "");
        assert!(run.stdout == expected, "{arguments:?} now says:\n{}", run.stdout);
    }
    let version = place.run(&["--version"]).expect_code(0);
    assert_eq!(version.stdout, concat!("distil ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn completions_for_each_shell_name_the_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let run = place.run(&["completions", shell]).expect_code(0);
        assert!(run.stdout.contains("score-local") && run.stdout.contains("max-new-tokens"), "{shell}");
        assert_eq!(run.stderr, "");
    }
}

#[test]
#[cfg(unix)]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("distil"))
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
