//! `distil prompts`: the same block gives the same prompts, whatever they are read from and by how many threads.

use std::fmt::Write as _;

use distil_devhub::{DevHub, RepoKind};

use crate::common::{Place, ended};

/// Documents that can all be prompts, a line of JSON each.
pub(crate) fn documents(count: usize) -> String {
    let mut lines = String::new();
    for number in 0..count {
        let text = format!("Document {number}. {}", "It was a dark and stormy night. ".repeat(20));
        let _ = writeln!(lines, "{}", serde_json::json!({ "text": text }));
    }
    lines
}

const HASH: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

#[test]
fn a_block_decides_the_prompts() {
    let place = Place::new();
    place.write("corpus.jsonl", &documents(100));
    let draw = |hash: &str, threads: &str| {
        let arguments = ["--format", "json", "prompts", "--source", "corpus.jsonl", "--block", "7855150"];
        place
            .run(&[&arguments[..], &["--block-hash", hash, "--count", "5", "--threads", threads]].concat())
            .expect_code(0)
    };
    let first = draw(HASH, "1");
    assert!(first.stderr.contains("read ") && first.stderr.contains("documents "), "{}", first.stderr);
    let document = first.json();
    for field in ["block", "block_hash", "seed", "sampler", "source", "prompts"] {
        assert!(!document[field].is_null(), "{field}");
    }
    assert_eq!((&document["block"], &document["sampler"]), (&7_855_150.into(), &"distil".into()));
    let prompts = document["prompts"].as_array().unwrap();
    assert_eq!(prompts.len(), 5);
    assert!(prompts.iter().all(|prompt| prompt["id"].as_str().unwrap().starts_with("corpus.jsonl#L")));
    assert_eq!(draw(HASH, "7").json()["prompts"], document["prompts"]);
    assert_eq!(draw(&format!("0x{HASH}"), "2").json()["prompts"], document["prompts"]);
    // a19: a hash that begins with zeros is not the same as one without them.
    let zeros = format!("00{}", &HASH[2..]);
    assert_ne!(draw(&zeros, "1").json()["seed"], document["seed"]);
}

#[test]
fn the_reference_sampler_is_cpythons() {
    let place = Place::new();
    place.write("corpus.jsonl", &documents(100));
    let run = place.run(&[
        "--format",
        "json",
        "prompts",
        "--source",
        "corpus.jsonl",
        "--block",
        "7855150",
        "--block-hash",
        HASH,
        "--count",
        "5",
        "--sampler",
        "reference",
    ]);
    let document = run.expect_code(0).json();
    let ids: Vec<&str> =
        document["prompts"].as_array().unwrap().iter().map(|prompt| prompt["id"].as_str().unwrap()).collect();
    // random.Random(7855150).sample(range(100), 5) in CPython; lines are counted from 1.
    assert_eq!(ids, EXPECTED);
}

const EXPECTED: [&str; 5] =
    ["corpus.jsonl#L38", "corpus.jsonl#L13", "corpus.jsonl#L58", "corpus.jsonl#L47", "corpus.jsonl#L23"];

#[test]
fn a_dataset_without_a_commit_is_pinned_and_says_so() {
    let place = Place::new();
    let hub = DevHub::start().unwrap();
    let folder = place.path("dataset");
    std::fs::create_dir_all(folder.join("data/dump")).unwrap();
    let parquet = concat!(env!("CARGO_MANIFEST_DIR"), "/../distil-dataset/tests/fixtures/pyarrow.parquet");
    std::fs::copy(parquet, folder.join("data/dump/000.parquet")).unwrap();
    let commit = hub.publish(RepoKind::Dataset, "lab/corpus", &folder).unwrap();
    let draw = |source: &str| {
        let mut command = place.distil_with(&hub);
        command.args(["--format", "json", "prompts", "--block", "100", "--block-hash", HASH, "--count", "2"]);
        ended(command.args(["--source", source]))
    };
    let cold = draw("hub:lab/corpus").expect_code(0);
    assert!(cold.stderr.contains("names no commit") && cold.stderr.contains(&commit), "{}", cold.stderr);
    assert!(cold.stderr.contains("1 fetched, 0 from the cache"), "{}", cold.stderr);
    let document = cold.json();
    assert_eq!(document["source"], format!("hub:lab/corpus@{commit}"));
    let warm = draw(&format!("hub:lab/corpus@{commit}")).expect_code(0);
    assert!(warm.stderr.contains("0 fetched, 1 from the cache"), "{}", warm.stderr);
    assert_eq!(warm.json()["prompts"], document["prompts"]);
    draw("hub:lab/nothing").expect_code(2).expect_error(&["lab/nothing"]);
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let place = Place::new();
    place.run(&["prompts"]).expect_code(2).expect_error(&["no block", "--block"]);
    place.run(&["prompts", "--block", "1"]).expect_code(2).expect_error(&["block hash", "--block-hash"]);
    let arguments = ["prompts", "--block", "1", "--block-hash", HASH];
    place.run(&[&arguments[..], &["--source", "nowhere"]].concat()).expect_code(2).expect_error(&["nowhere"]);
    place.run(&["prompts", "--block", "1", "--block-hash", "abc"]).expect_code(2).expect_error(&["block-hash"]);
    place.run(&[&arguments[..], &["--count", "0"]].concat()).expect_code(2).expect_error(&["from 1 to"]);
    place.write("few.jsonl", &documents(3));
    place
        .run(&[&arguments[..], &["--source", "few.jsonl", "--count", "4"]].concat())
        .expect_code(2)
        .expect_error(&["3 of 4"]);
    // Nobody answers at the Hub's address.
    place.run(&arguments).expect_code(3).expect_error(&["Hugging Face Hub"]);
}
