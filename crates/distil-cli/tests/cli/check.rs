//! `distil check`: what it says of models in folders and on the Hub, and what it moves for that.

use std::fs;

use distil_devhub::{DevHub, Fault, FaultKind, RepoKind, Visibility};
use serde_json::{Value, json};

use crate::common::{Ended, Place, ended, hub, tiny};

fn codes(document: &Value, severity: &str) -> Vec<String> {
    let findings = document["findings"].as_array().expect("a list of findings");
    findings
        .iter()
        .filter(|finding| finding["severity"] == severity)
        .map(|finding| finding["code"].as_str().expect("a code").to_owned())
        .collect()
}

/// `distil check` on a model of the server, held against the tiny teacher, as JSON.
fn check(place: &Place, hub: &DevHub, model: &str, arguments: &[&str]) -> Ended {
    let mut command = place.distil_with(hub);
    ended(command.args(["--format", "json", "check", model, "--teacher"]).arg(tiny("teacher")).args(arguments))
}

#[test]
fn a_folder_is_judged_and_digested() {
    let place = Place::new();
    let mut command = place.distil();
    command.args(["check", "--format", "json", "--teacher"]).arg(tiny("teacher")).arg(tiny("student-a"));
    let run = ended(&mut command).expect_code(0);
    let document = run.json();
    assert_eq!(document["pass"], true);
    assert_eq!(codes(&document, "error"), [""; 0]);
    assert_eq!(document["vocab_size"], 2048);
    let total = document["parameters"]["total"].as_u64().expect("a count");
    assert_eq!(document["parameters"]["text"].as_u64(), Some(total));
    let counted: u64 = document["dtypes"].as_object().unwrap().values().map(|number| number.as_u64().unwrap()).sum();
    assert_eq!(counted, total);
    for digest in ["tensors", "tensors_bf16", "files"] {
        assert_eq!(document["digest"][digest].as_str().map(str::len), Some(64), "{digest}");
    }
}

#[test]
fn a_mixtures_active_parameters_are_fewer() {
    let place = Place::new();
    let mut command = place.distil();
    command.args(["check", "--format", "json", "--teacher"]).arg(tiny("teacher")).arg(tiny("teacher"));
    let parameters = &ended(&mut command).expect_code(0).json()["parameters"];
    assert!(parameters["active"].as_u64() < parameters["text"].as_u64(), "{parameters}");
}

#[test]
fn a_repository_is_judged_from_its_headers() {
    let (place, hub) = (Place::new(), hub());
    let run = check(&place, &hub, "lab/student-a", &[]).expect_code(0);
    let document = run.json();
    assert_eq!((&document["model"], &document["pass"]), (&json!("lab/student-a"), &json!(true)));
    assert_eq!(document["revision"].as_str().map(str::len), Some(40));
    assert_eq!(document["digest"]["tensors"], Value::Null);
    assert!(document["digest"]["tensors_reason"].as_str().unwrap().contains("--download"));
    assert_eq!(document["digest"]["files"].as_str().map(str::len), Some(64), "the Hub gives the hashes");
    let weights: u64 = hub
        .requests()
        .iter()
        .filter(|request| request.path.contains("model.safetensors"))
        .map(|request| request.body_bytes)
        .sum();
    assert!(weights < 20_000, "{weights} bytes of 1,855,848 were moved");
}

#[test]
fn a_download_is_verified_and_digested_as_the_folder_is() {
    let (place, hub) = (Place::new(), hub());
    let downloaded = check(&place, &hub, "lab/student-a", &["--download"]).expect_code(0).json();
    let mut command = place.distil();
    command.args(["check", "--format", "json", "--teacher"]).arg(tiny("teacher")).arg(tiny("student-a"));
    let folder = ended(&mut command).expect_code(0).json();
    assert_eq!(downloaded["digest"], folder["digest"]);
    // What is in the cache is digested without being asked for.
    assert_eq!(check(&place, &hub, "lab/student-a", &[]).expect_code(0).json()["digest"], folder["digest"]);
}

#[test]
fn the_answer_no_has_an_exit_code_and_reasons() {
    let place = Place::new();
    let model = place.copy_model("student-a", "bad");
    fs::write(model.join("modeling_custom.py"), "import os").unwrap();
    fs::write(model.join("pytorch_model.bin"), vec![0; 4096]).unwrap();
    let mut command = place.distil();
    let run = ended(command.args(["check", "bad", "--teacher"]).arg(tiny("teacher"))).expect_code(1);
    assert!(run.stdout.contains("is refused") && run.stdout.contains("remote_code: "), "{}", run.stdout);
    assert!(run.stdout.contains("pickle_weights: "), "{}", run.stdout);
}

#[test]
fn a17_a_hostile_name_is_a_finding_and_drives_no_terminal() {
    let place = Place::new();
    for name in ["a sentence/that should not be read", "../../etc/passwd\u{1b}[2J", "owner/repo@main", "x"] {
        let run = place.run(&["check", "--format", "json", name]);
        if name.starts_with("..") {
            run.expect_code(2);
            continue;
        }
        let document = run.expect_code(1).json();
        assert_eq!(codes(&document, "error"), ["invalid_name"], "{name}");
    }
    let text = place.run(&["check", "evil/\u{1b}[31mname"]).expect_code(1);
    assert!(!text.stdout.contains('\u{1b}') && !text.stderr.contains('\u{1b}'));
}

#[test]
fn c2_what_is_not_there_or_not_public_is_told_apart() {
    let (place, hub) = (Place::new(), hub());
    hub.accept_token("hf_member");
    let mut member = place.distil_with(&hub);
    member.env("HF_TOKEN", "hf_member").args(["--format", "json", "check", "lab/nothing"]);
    assert_eq!(codes(&ended(&mut member).expect_code(1).json(), "error"), ["not_found"]);
    let unknown = format!("lab/student-a@{}", "0".repeat(40));
    assert_eq!(codes(&check(&place, &hub, &unknown, &[]).expect_code(1).json(), "error"), ["not_found"]);
    hub.set_visibility(RepoKind::Model, "lab/student-a", Visibility::Private).unwrap();
    assert_eq!(codes(&check(&place, &hub, "lab/student-a", &[]).expect_code(1).json(), "error"), ["private"]);
    // Seen with a token of ours it is still private to others.
    let mut member = place.distil_with(&hub);
    member.env("HF_TOKEN", "hf_member").args(["--format", "json", "check", "lab/student-a", "--teacher"]);
    let document = ended(member.arg(tiny("teacher"))).expect_code(1).json();
    assert_eq!(codes(&document, "error"), ["private"]);
}

#[test]
fn c1_trouble_of_the_hub_is_no_refusal() {
    let (place, hub) = (Place::new(), hub());
    hub.order(
        Fault::new(FaultKind::Status { status: 429, retry_after: Some("900".to_owned()) })
            .on("/api/models/lab/student-a"),
    );
    let run = check(&place, &hub, "lab/student-a", &[]).expect_code(3);
    let document = run.json();
    assert_eq!((codes(&document, "error"), &document["pass"]), (vec!["transient".to_owned()], &json!(false)));
    assert!(document["findings"][0]["message"].as_str().unwrap().contains("429"), "{}", run.stdout);
}

#[test]
fn without_the_profiles_teacher_the_check_goes_on_and_says_so() {
    let (place, hub) = (Place::new(), hub());
    let mut command = place.distil_with(&hub);
    let document = ended(command.args(["--format", "json", "check", "lab/student-a"])).expect_code(1).json();
    assert_eq!(codes(&document, "error"), ["vocab_mismatch"], "the profile's vocabulary is not the tiny one");
    assert!(codes(&document, "warning").contains(&"tokenizer_mismatch".to_owned()));
}

#[test]
fn a7_copies_are_found_by_hash_by_tensors_and_by_distance() {
    let (place, hub) = (Place::new(), hub());
    // (a) The same files under another name: nothing has to be downloaded.
    hub.publish(RepoKind::Model, "other/upload", &tiny("student-a")).unwrap();
    hub.clear_requests();
    let document = check(&place, &hub, "other/upload", &["--against", "lab/student-a"]).expect_code(1).json();
    assert!(codes(&document, "error").contains(&"exact_copy".to_owned()));
    // (b) A header of another length: other files, the same tensors.
    let again = place.copy_model("student-a", "again");
    pad_header(&again.join("model.safetensors"));
    hub.publish(RepoKind::Model, "other/resaved", &again).unwrap();
    let document = check(&place, &hub, "other/resaved", &["--against", "lab/student-a"]).expect_code(1).json();
    assert_eq!(codes(&document, "error"), ["exact_copy"]);
    assert!(document["findings"][0]["evidence"]["tensors"].is_string());
    // Another student is none.
    let document = check(&place, &hub, "lab/student-b", &["--against", "lab/student-a"]).expect_code(0).json();
    let note = &document["findings"].as_array().unwrap().iter().find(|finding| finding["code"] == "near_copy").unwrap();
    assert_eq!(note["severity"], "info");
}

/// Blanks at the end of a safetensors header change nothing but the file.
fn pad_header(path: &std::path::Path) {
    let bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut padded = ((length + 8) as u64).to_le_bytes().to_vec();
    padded.extend_from_slice(&bytes[8..8 + length]);
    padded.extend_from_slice(&[b' '; 8]);
    padded.extend_from_slice(&bytes[8 + length..]);
    fs::write(path, padded).unwrap();
}

#[test]
fn usage_is_told_from_findings() {
    let place = Place::new();
    place.run(&["check"]).expect_code(2).expect_error(&["no model to check", "distil check owner/repo"]);
    place.run(&["check", "./nowhere"]).expect_code(2).expect_error(&["no such folder"]);
    let model = place.copy_model("student-a", "model");
    let sha = "0".repeat(40);
    place.run(&["check", "model", "--revision", &sha]).expect_code(2).expect_error(&["is a folder"]);
    place.run(&["check", "model", "--revision", "main"]).expect_code(2).expect_error(&["40"]);
    let conflict = format!("lab/student-a@{}", "1".repeat(40));
    place.run(&["check", &conflict, "--revision", &sha]).expect_code(2).expect_error(&["another commit"]);
    drop(model);
}
