//! Input that cannot be used: each kind has its exit code and a message that names what is wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::{Ended, Place, ended, tiny};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// A tensor taken out of a file.
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Rewrites a model's tensors.
fn rewrite(folder: &Path, change: impl FnOnce(&mut BTreeMap<String, Tensor>)) {
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).expect("the model's weights");
    let mut tensors: BTreeMap<String, Tensor> = SafeTensors::deserialize(&bytes)
        .expect("the model is whole")
        .iter()
        .map(|(name, view)| {
            let tensor = Tensor { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() };
            (name.to_owned(), tensor)
        })
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, tensor)| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).expect("shape and bytes agree");
        (name.clone(), view)
    });
    fs::write(&path, safetensors::serialize(views, None).expect("tensors in a file")).expect("a rewritten model");
}

/// Keeps the first `rows` rows of a tensor.
fn keep_rows(tensor: &mut Tensor, rows: usize) {
    tensor.bytes.truncate(tensor.bytes.len() / tensor.shape[0] * rows);
    tensor.shape[0] = rows;
}

/// The same broken model as a student beside a good one (which goes on), alone (no), and as the teacher (unusable).
#[track_caller]
fn expect_everywhere(place: &Place, broken: &Path, parts: &[&str]) {
    let good = tiny("student-b");
    let beside = place.score(&tiny("teacher"), &[broken, &good], &["--format", "json"]).expect_code(0);
    let students = beside.json()["students"].clone();
    assert_eq!(students[0]["status"], "failed");
    assert!(students[0]["kl"].is_null());
    assert_eq!(students[1]["status"], "scored");
    let reason = students[0]["reason"].as_str().expect("a reason").to_owned();
    for part in parts {
        assert!(reason.contains(part), "{part:?} is not in {reason:?}");
    }
    let alone = place.score(&tiny("teacher"), &[broken], &[]).expect_code(1);
    assert!(alone.stdout.contains("failed"), "{}", alone.stdout);
    alone.expect_error(parts);
    place.score(broken, &[&good], &[]).expect_code(2).expect_error(parts).expect_error(&["error: ", "teacher"]);
}

#[test]
fn a_missing_tensor() {
    let place = Place::new();
    let broken = place.copy_model("student-a", "broken");
    rewrite(&broken, |tensors| {
        let name = tensors.keys().find(|name| name.ends_with("layers.1.mlp.up_proj.weight")).cloned();
        tensors.remove(&name.expect("a dense model has it"));
    });
    expect_everywhere(&place, &broken, &["layers.1.mlp.up_proj.weight", "missing"]);
}

#[test]
fn a_tensor_of_another_shape() {
    let place = Place::new();
    let broken = place.copy_model("student-a", "broken");
    let mut found = 0;
    rewrite(&broken, |tensors| {
        let (_, tensor) =
            tensors.iter_mut().find(|(name, _)| name.ends_with("layers.0.mlp.up_proj.weight")).expect("it is there");
        found = tensor.shape[0] - 3;
        keep_rows(tensor, found);
    });
    expect_everywhere(&place, &broken, &["layers.0.mlp.up_proj.weight", "shape", &found.to_string()]);
}

#[test]
fn a_file_cut_short() {
    let place = Place::new();
    let broken = place.copy_model("student-a", "broken");
    let path = broken.join("model.safetensors");
    let bytes = fs::read(&path).expect("the model's weights");
    fs::write(&path, &bytes[..bytes.len() - 1000]).expect("a shorter file");
    expect_everywhere(&place, &broken, &["model.safetensors"]);
}

#[test]
fn a_header_larger_than_any_memory() {
    let place = Place::new();
    let broken = place.copy_model("student-a", "broken");
    let path = broken.join("model.safetensors");
    let mut bytes = fs::read(&path).expect("the model's weights");
    bytes[..8].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    fs::write(&path, bytes).expect("a file with that header");
    expect_everywhere(&place, &broken, &["model.safetensors", "header"]);
}

#[test]
fn an_unknown_architecture() {
    let place = Place::new();
    let broken = place.copy_model("student-a", "broken");
    let path = broken.join("config.json");
    let mut config: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("the configuration")).expect("it is JSON");
    config["model_type"] = "mamba\u{1b}[31m".into();
    fs::write(&path, config.to_string()).expect("a changed configuration");
    expect_everywhere(&place, &broken, &["mamba", "not supported"]);
    let run = place.score(&broken, &[&tiny("student-a")], &[]);
    assert!(!run.stderr.contains('\u{1b}'), "what a file says cannot drive the terminal");
}

#[test]
fn d9_a_vocabulary_of_another_size_is_never_cut_to_fit() {
    let place = Place::new();
    let small = place.copy_model("student-a", "small");
    let path = small.join("config.json");
    let mut config: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("the configuration")).expect("it is JSON");
    config["vocab_size"] = 2040.into();
    fs::write(&path, config.to_string()).expect("a changed configuration");
    rewrite(&small, |tensors| {
        for (_, tensor) in tensors.iter_mut().filter(|(_, tensor)| tensor.shape[0] == 2048) {
            keep_rows(tensor, 2040);
        }
    });
    let run = place.score(&tiny("teacher"), &[&small, &tiny("student-b")], &[]).expect_code(0);
    run.expect_error(&["small: failed: ", "vocabulary", "2040", "2048"]);
    place.score(&tiny("teacher"), &[&small], &[]).expect_code(1);
}

#[test]
fn a_folder_without_a_model() {
    let place = Place::new();
    let empty = place.path("empty");
    fs::create_dir(&empty).expect("a folder");
    expect_everywhere(&place, &empty, &["cannot read", "empty"]);
}

/// A run with this file of prompts.
fn with_prompts(place: &Place, content: &str) -> Ended {
    let prompts = place.write("bad.json", content);
    let mut command = place.distil();
    command.arg("score-local").arg("--teacher").arg(tiny("teacher")).arg("--student").arg(tiny("student-a"));
    ended(command.arg("--prompts").arg(prompts))
}

#[test]
fn prompts_that_are_not_a_list_of_strings() {
    let place = Place::new();
    for (content, parts) in [
        ("{\"prompts\": []}", ["bad.json", "expected a list of strings"]),
        ("[\"a\", 7]", ["bad.json", "element 1: invalid type: integer `7`, expected a string"]),
        ("[\"a\", [\"b\"]]", ["bad.json", "element 1: invalid type: sequence, expected a string"]),
        ("[]", ["bad.json", "the list is empty"]),
        ("[\"a\", \"\"]", ["bad.json", "prompt 1 is empty"]),
        ("[\"a\",", ["bad.json", "EOF"]),
        ("", ["bad.json", "EOF"]),
        ("Call me Ishmael.", ["bad.json", "expected value"]),
    ] {
        let run = with_prompts(&place, content).expect_code(2).expect_error(&parts).expect_error(&["hint: "]);
        assert!(!run.stderr.contains("loaded"), "refused before any model is touched");
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn prompts_that_cannot_be_read() {
    let place = Place::new();
    fs::write(place.path("latin1.json"), b"[\"caf\xe9\"]").expect("a file");
    fs::create_dir(place.path("folder.json")).expect("a folder");
    fs::write(place.path("large.json"), vec![b' '; (16 << 20) + 1]).expect("a file");
    for (name, part) in [
        ("missing.json", "cannot open missing.json"),
        ("latin1.json", "is not text in UTF-8"),
        ("folder.json", "is a folder"),
        ("large.json", "is larger than 16777216 bytes"),
    ] {
        let mut command = place.distil();
        command.arg("score-local").arg("--teacher").arg(tiny("teacher")).arg("--student").arg(tiny("student-a"));
        ended(command.args(["--prompts", name])).expect_code(2).expect_error(&[name, part]);
    }
}

#[test]
fn models_that_are_no_folders() {
    let place = Place::new();
    let file = place.write("weights.bin", "");
    let good = tiny("student-a");
    // Nobody answers at the Hub's address in these tests: that may pass, so it is "try again".
    place.score(Path::new("Qwen/Qwen3-0.6B"), &[&good], &[]).expect_code(3).expect_error(&[
        "Qwen/Qwen3-0.6B",
        "no connection to the Hub",
        "run the same command again",
    ]);
    place.score(&good, &[Path::new("owner/repo@main")], &[]).expect_code(2).expect_error(&["owner/repo@main", "40"]);
    place
        .score(&good, &[Path::new("./nowhere")], &[])
        .expect_code(2)
        .expect_error(&["student ./nowhere: no such folder"]);
    place.score(&good, &[&file], &[]).expect_code(2).expect_error(&["weights.bin: not a folder"]);
}

#[test]
fn an_out_that_cannot_be_written_is_refused_early() {
    let place = Place::new();
    let file = place.write("file", "mine");
    let students = [&*tiny("student-a")];
    let run = place.score(&tiny("teacher"), &students, &["--out", "file"]).expect_code(2);
    let run = run.expect_error(&["--out file", "not a folder"]);
    assert!(!run.stderr.contains("loaded"), "refused before any model is touched");
    assert_eq!(fs::read_to_string(&file).expect("the file is still there"), "mine");
    let run = place.score(&tiny("teacher"), &students, &["--out", "file/below"]).expect_code(2);
    assert!(!run.expect_error(&["--out file/below"]).stderr.contains("loaded"));
    if cfg!(target_os = "linux") {
        let run = place.score(&tiny("teacher"), &students, &["--out", "/proc/no-record-here"]).expect_code(2);
        assert!(!run.expect_error(&["/proc/no-record-here"]).stderr.contains("loaded"));
    }
}

/// Runs the program where no file may grow beyond `blocks` of 512 bytes or 1 KiB, which fails a write as a full disk
/// does.
#[cfg(unix)]
fn with_little_space(place: &Place, blocks: u32) -> Ended {
    let prompts = place.write("prompts.json", r#"["Call me Ishmael. Some years ago"]"#);
    let mut command = assert_cmd::Command::new("sh");
    command
        .current_dir(place.path(""))
        .args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""), "sh"])
        .arg(assert_cmd::cargo::cargo_bin!("distil"))
        .args(["score-local", "--max-new-tokens", "64", "--teacher"])
        .arg(tiny("teacher"))
        .arg("--student")
        .arg(tiny("student-a"))
        .arg("--prompts")
        .arg(prompts)
        .args(["--out", "out"]);
    ended(&mut command)
}

/// Asserts that a failed write left nothing behind.
#[cfg(unix)]
fn expect_nothing_written(place: &Place) {
    let left: Vec<_> = fs::read_dir(place.path("")).expect("the folder").filter_map(Result::ok).collect();
    assert_eq!(left.len(), 1, "the prompts alone are left: {left:?}");
}

#[test]
#[cfg(unix)]
fn no_space_left_for_the_record() {
    let place = Place::new();
    let run = with_little_space(&place, 8).expect_code(3);
    let run = run.expect_error(&["the record could not be written", "can't write", "out", "hint: make room"]);
    assert!(run.stdout.contains("student-a"), "what was found out is not lost:\n{}", run.stdout);
    expect_nothing_written(&place);
}

#[test]
#[cfg(unix)]
fn no_space_from_the_start() {
    let place = Place::new();
    let run = with_little_space(&place, 0).expect_code(3);
    let run = run.expect_error(&["--out out: no record can be written there", "hint: make room"]);
    assert!(!run.stderr.contains("loaded"), "refused before any model is touched");
    expect_nothing_written(&place);
}

/// The device that is always full.
#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_printed_is_no_success() {
    use std::process::Command;
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let output = Command::new(assert_cmd::cargo::cargo_bin!("distil"))
        .args(["completions", "bash"])
        .stdout(full)
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(3));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("cannot write the result to standard output"), "{stderr}");
}

#[test]
fn a_folder_without_a_record_is_told_from_a_record_that_is_none() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).expect("a folder");
    let verify = |folder: &str| ended(place.distil().args(["verify", folder]));
    verify("nowhere").expect_code(2).expect_error(&["nowhere: no such folder"]);
    verify("empty").expect_code(2).expect_error(&["there is no record here", "record.json"]);
    std::fs::create_dir(place.path("long")).expect("a folder");
    std::fs::write(place.path("long/record.json"), vec![b' '; (32 << 20) + 1]).expect("a long file");
    let long = verify("long").expect_code(1);
    assert!(long.stdout.contains("WRONG: record.json: it is longer than"), "{}", long.stdout);
}
