//! A worker without models: it speaks the protocol, and its numbers follow from the round's block and the repository's
//! name, `OWNER/qQUALITY-sSEED`. What is to go wrong is in files of the folder `faults`, named as the repository is.

use crate::site::Log;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;
use std::time::Duration;

pub(crate) const VOCABULARY: u64 = 64;

/// A number from 0 to 1 that depends on these.
fn unit(parts: [u64; 4]) -> f64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for part in parts {
        state = (state ^ part).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 32;
    }
    (state >> 11) as f64 / (1_u64 << 53) as f64
}

fn say(line: &Value) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("a reader");
}

fn progress(stage: &str, tokens: u64) {
    let none = json!({ "tokens": 0, "prompts": 0, "bytes": 0 });
    say(
        &json!({ "progress": { "stage": stage, "done": { "tokens": tokens, "prompts": 0, "bytes": 0 }, "total": none } }),
    );
}

fn failed(kind: &str, reason: &str) {
    say(&json!({ "failed": { "kind": kind, "reason": reason } }));
}

/// The block of the round that a cache is of.
fn block_of(cache_key: &str) -> u64 {
    cache_key.split('-').next().and_then(|block| block.parse().ok()).expect("the id of a round")
}

fn positions(block: u64, prompt: usize) -> usize {
    34 + (unit([block, prompt as u64, 1, 1]) * 12.0) as usize
}

fn tokens(block: u64, prompt: usize, count: usize, of: u64) -> Vec<u64> {
    (0..count as u64).map(|at| (unit([block, prompt as u64, of, at]) * VOCABULARY as f64) as u64).collect()
}

/// KL in nats at each position of a prompt.
fn kl(block: u64, prompt: usize, quality: f64, seed: u64) -> Vec<f64> {
    let of_round = 0.7 + 0.6 * unit([block, 2, 2, 2]);
    (0..positions(block, prompt) as u64)
        .map(|at| {
            let hard = 0.2 + unit([block, prompt as u64, at, 3]);
            let noise = 0.7 + 0.6 * unit([block, prompt as u64, at, 1000 + seed]);
            quality * of_round * hard * noise
        })
        .collect()
}

/// Quality and seed from a repository's name.
fn character(repo: &str) -> (f64, u64) {
    let name = repo.split('/').nth(1).expect("owner/name");
    let mut numbers = name.split('-').map(|part| part[1..].parse::<u64>().expect("a number"));
    (numbers.next().expect("a quality") as f64 / 10_000.0, numbers.next().expect("a seed"))
}

/// The file that says what goes wrong with a repository.
pub(crate) fn fault_file(folder: &Path, repo: &str) -> std::path::PathBuf {
    folder.join("faults").join(repo.replace('/', "."))
}

pub(crate) fn work(folder: &Path) {
    say(&json!({ "distil_worker": 1, "release": "synthetic" }));
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).expect("a request");
    if line.is_empty() {
        return;
    }
    // Whoever asked is gone when this ends.
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(0);
    });
    let request: Value = serde_json::from_str(&line).expect("JSON");
    say(
        &json!({ "environment": { "device": "cpu", "dtype": "f32", "threads": 1, "kl_kernel": "synthetic", "versions": {} } }),
    );
    let hub = &request["model"]["hub"];
    let (repo, revision) = (hub["repo"].as_str().expect("a repository"), hub["revision"].as_str().expect("a commit"));
    let (pass, what) = request["pass"].as_object().and_then(|pass| pass.iter().next()).expect("a pass");
    let key = what["cache_key"].as_str().expect("a key");
    let log = Log::of(folder);
    log.line(&format!("begin-{pass}"), &format!("{key} {repo}"));
    match pass.as_str() {
        "teacher" => teacher(folder, repo, revision, key, &what["prompts"]),
        _ => student(folder, repo, revision, key, what["cache_digest"].as_str().expect("a digest"), &log),
    }
}

/// What this worker says a fault of its host is.
pub(crate) const HOST_FAULT: &str =
    "ssh: connect to host gpu-7.internal: /home/operator/.cache/huggingface/hub is not there";

/// A model's files as they lie in this worker's cache, where they stay once they were brought; those of students are
/// taken from the validator's.
fn files(folder: &Path, repo: &str, revision: &str) -> Value {
    let told = folder.join("loaded").join(format!("{}.{revision}", repo.replace('/', ".")));
    if let Ok(text) = fs::read_to_string(&told) {
        return serde_json::from_str(&text).expect("JSON");
    }
    let cached = format!("hub/models--{}/snapshots/{revision}", repo.replace('/', "--"));
    let model = if repo == "teacher/tiny" { folder.join("teacher") } else { folder.join(cached) };
    let file = |name: &str| {
        let bytes = fs::read(model.join(name)).ok()?;
        let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Some(json!({ "name": name, "bytes": bytes.len(), "sha256": sha256 }))
    };
    let Some(files) = ["config.json", "model.safetensors"].into_iter().map(file).collect::<Option<Value>>() else {
        return json!([]);
    };
    fs::create_dir_all(folder.join("loaded")).expect("a folder");
    let unfinished = told.with_extension("unfinished");
    fs::write(&unfinished, files.to_string()).and_then(|()| fs::rename(&unfinished, &told)).expect("a file");
    files
}

fn kept(folder: &Path, key: &str) -> std::path::PathBuf {
    folder.join("kept").join(key)
}

fn teacher(folder: &Path, repo: &str, revision: &str, key: &str, prompts: &Value) {
    if let Ok(fault) = fs::read_to_string(fault_file(folder, repo)) {
        progress("load", 0);
        return go_wrong(fault.trim());
    }
    let block = block_of(key);
    let digest: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    progress("generate", 0);
    say(&json!({ "teacher": { "name": repo, "revision": revision, "architecture": "synthetic",
        "files": files(folder, repo, revision), "head_digest": digest, "tokenizer_digest": digest, "vocab_size": VOCABULARY } }));
    let (way, texts) = prompts.as_object().and_then(|prompts| prompts.iter().next()).expect("prompts");
    for (index, entry) in texts.as_array().expect("a list").iter().enumerate() {
        let (prompt, continuation) = match way.as_str() {
            "recorded" => (entry["prompt"].clone(), entry["continuation"].clone()),
            _ => (json!(tokens(block, index, 8, 5)), json!(tokens(block, index, positions(block, index), 6))),
        };
        say(&json!({ "prompt": { "index": index, "prompt": prompt, "continuation": continuation } }));
    }
    fs::create_dir_all(folder.join("kept")).expect("a folder");
    fs::write(kept(folder, key), &digest).expect("a file");
    say(&json!({ "done": { "cache_digest": digest, "seconds": {}, "peak_rss_bytes": null } }));
}

fn student(folder: &Path, repo: &str, revision: &str, key: &str, digest: &str, log: &Log) {
    if fs::read_to_string(kept(folder, key)).ok().as_deref() != Some(digest) {
        return failed("teacher_cache_missing", "it is not kept");
    }
    let block = block_of(key);
    progress("load", 0);
    let fault = fs::read_to_string(fault_file(folder, repo)).unwrap_or_default();
    if let Some(kind) = fault.trim().strip_prefix("failed-") {
        return failed(kind, HOST_FAULT);
    }
    let mut files = files(folder, repo, revision);
    let is_damaged = fault.trim() == "damaged";
    if is_damaged {
        files[1]["sha256"] = json!("00".repeat(32));
    }
    say(&json!({ "student": { "architecture": "synthetic", "files": files } }));
    progress("score", 0);
    let count = fs::read_to_string(folder.join("prompts")).expect("how many prompts").trim().parse().expect("a number");
    let is_teacher = repo == "teacher/tiny";
    for prompt in 0..count {
        if prompt == 1 && !fault.is_empty() && !is_damaged {
            log.line("fault", fault.trim());
            return go_wrong(fault.trim());
        }
        let nats = match is_teacher {
            true => vec![0.0; positions(block, prompt)],
            false => {
                let (quality, seed) = character(repo);
                kl(block, prompt, quality, seed)
            }
        };
        say(&json!({ "kl": { "prompt": prompt, "nats": nats } }));
    }
    say(&json!({ "done": { "seconds": {}, "peak_rss_bytes": null } }));
}

fn go_wrong(fault: &str) {
    match fault {
        "crash" => std::process::abort(),
        "panic" => panic!("made for this test"),
        "killed" => say(&json!({ "died": { "signal": 9 } })),
        "terminated" => say(&json!({ "died": { "signal": 15 } })),
        "nan" => {
            let mut out = io::stdout().lock();
            writeln!(out, r#"{{"kl":{{"prompt":1,"nats":[NaN]}}}}"#).and_then(|()| out.flush()).expect("a reader");
        }
        "babble" => {
            let mut out = io::stdout().lock();
            writeln!(out, "Traceback (most recent call last):").and_then(|()| out.flush()).expect("a reader");
        }
        "hang" => loop {
            say(&json!({ "heartbeat": { "from": "pass" } }));
            std::thread::sleep(Duration::from_millis(20));
        },
        other => panic!("there is no fault {other}"),
    }
}
