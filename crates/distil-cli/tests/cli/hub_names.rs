//! Models by their names on the Hub, for `distil score-local`.

use distil_devhub::{Fault, FaultKind};

use crate::common::{Place, ended, hub, tiny};

fn score(place: &Place, hub: &distil_devhub::DevHub, arguments: &[&str]) -> crate::common::Ended {
    place.write("prompts.json", r#"["Call me Ishmael. Some years ago", "It was the whiteness of the whale"]"#);
    let mut command = place.distil_with(hub);
    command.args(["--format", "json", "score-local", "--prompts", "prompts.json", "--max-new-tokens", "12"]);
    ended(command.args(arguments))
}

#[test]
fn models_of_the_hub_score_as_their_folders_do() {
    let (place, hub) = (Place::new(), hub());
    let named = score(&place, &hub, &["--teacher", "lab/teacher", "--student", "lab/student-a"]).expect_code(0);
    assert!(named.stderr.contains("downloading lab/teacher: "), "{}", named.stderr);
    let named = named.json();
    let (teacher, student) = (tiny("teacher"), tiny("student-a"));
    let folders = ["--teacher", teacher.to_str().unwrap(), "--student", student.to_str().unwrap()];
    let from_folders = score(&place, &hub, &folders).expect_code(0).json();
    assert_eq!(named["students"][0]["kl"], from_folders["students"][0]["kl"]);
    assert_eq!(named["students"][0]["model"], "lab/student-a");
    assert_eq!(named["teacher"]["model"], "lab/teacher");
    assert_eq!(named["teacher"]["revision"].as_str().map(str::len), Some(40));
    // From the cache, without a server.
    let mut offline = place.distil();
    offline.env("HF_HUB_OFFLINE", "1").args(["--format", "json", "score-local", "--prompts", "prompts.json"]);
    offline.args(["--max-new-tokens", "12", "--teacher", "lab/teacher", "--student", "lab/student-a"]);
    assert_eq!(ended(&mut offline).expect_code(0).json()["students"], named["students"]);
}

#[test]
fn a_name_that_is_not_there_is_told_before_the_work_begins() {
    let (place, hub) = (Place::new(), hub());
    score(&place, &hub, &["--teacher", "lab/teacher", "--student", "lab/nothing"])
        .expect_code(2)
        .expect_error(&["lab/nothing", "check the name"]);
    let mut offline = place.distil_with(&hub);
    offline.env("HF_HUB_OFFLINE", "1").args(["score-local", "--prompts", "prompts.json"]);
    ended(offline.args(["--teacher", "lab/student-b", "--student", "lab/student-a"]))
        .expect_code(2)
        .expect_error(&["lab/student-b", "HF_HUB_OFFLINE"]);
}

#[test]
fn c8_an_interrupted_download_is_gone_on_with() {
    let (place, hub) = (Place::new(), hub());
    let on_weights = |kind| Fault::new(kind).on("/cdn/").on("student-a").on("model.safetensors");
    hub.order(on_weights(FaultKind::CutBodyAfter(1_000_000)).times(1));
    hub.order(on_weights(FaultKind::Status { status: 503, retry_after: Some("600".to_owned()) }).after(1));
    score(&place, &hub, &["--teacher", "lab/teacher", "--student", "lab/student-a"])
        .expect_code(3)
        .expect_error(&["503", "run the same command again"]);
    hub.clear_faults();
    hub.clear_requests();
    score(&place, &hub, &["--teacher", "lab/teacher", "--student", "lab/student-a"]).expect_code(0);
    let moved: u64 = hub
        .requests()
        .iter()
        .filter(|request| request.path.contains("/cdn/") && request.path.contains("model.safetensors"))
        .map(|request| request.body_bytes)
        .sum();
    assert!(moved < 900_000, "{moved} bytes were moved of the 855,848 that were missing");
}

#[test]
fn prompts_are_drawn_from_a_dataset_and_named_in_the_record() {
    let (place, hub) = (Place::new(), hub());
    let corpus = place.write("corpus.jsonl", &crate::prompts::documents(30));
    let mut command = place.distil_with(&hub);
    command.args(["--format", "json", "score-local", "--max-new-tokens", "4", "--max-prompt-tokens", "16"]);
    command.args(["--teacher", "lab/teacher", "--student", "lab/student-a", "--out", "out", "--count", "3"]);
    command.args(["--block", "100", "--block-hash", &"ab".repeat(32), "--source"]).arg(&corpus);
    let document = ended(&mut command).expect_code(0).json();
    assert_eq!(document["prompts"].as_array().unwrap().len(), 3);
    let record = std::fs::read_to_string(place.path("out/record.json")).unwrap();
    assert!(record.contains("corpus.jsonl#L"), "the record names each document");
    assert!(!record.contains(place.path("").to_str().unwrap()), "and no path of this machine");
    let both = ["--prompts", "prompts.json", "--block", "1", "--teacher", "lab/teacher", "--student", "lab/student-a"];
    place.write("prompts.json", "[\"one\"]");
    let mut command = place.distil_with(&hub);
    ended(command.arg("score-local").args(both)).expect_code(2).expect_error(&["--block asks to draw others"]);
}

// A limit on the size of files stands for a full disk: it fails a write just so, and needs no rights.
#[test]
#[cfg(unix)]
fn c5_a_full_disk_is_told_and_leaves_no_half_of_a_model() {
    let (place, hub) = (Place::new(), hub());
    place.write("prompts.json", r#"["Call me Ishmael. Some years ago"]"#);
    let mut command = place.distil_with(&hub);
    let program = command.get_program().to_owned();
    let mut limited = std::process::Command::new("sh");
    limited.current_dir(place.path("")).args(["-c", "trap '' XFSZ; ulimit -f 600; exec \"$@\"", "sh"]).arg(program);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.args([
        "score-local",
        "--prompts",
        "prompts.json",
        "--teacher",
        "lab/teacher",
        "--student",
        "lab/student-a",
    ]);
    ended(&mut limited.into()).expect_code(3).expect_error(&["make room"]);
    let snapshots = place.path("huggingface/hub/models--lab--teacher/snapshots");
    let mut folders = std::fs::read_dir(snapshots).into_iter().flatten().flatten();
    assert!(folders.all(|folder| !folder.path().join("model.safetensors").exists()), "only whole files have a name");
    // With room again the same command goes on.
    command.args(["score-local", "--prompts", "prompts.json", "--max-new-tokens", "4"]);
    ended(command.args(["--teacher", "lab/teacher", "--student", "lab/student-a"])).expect_code(0);
}
