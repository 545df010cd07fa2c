//! `distil score-local` on the tiny models: what it prints, writes and answers.

use std::fs;
use std::path::Path;

use crate::common::{Place, ended, tiny};
use serde_json::Value;

/// The figures of a table with everything that may differ from run to run replaced.
fn without_speeds(table: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let line = match words.as_slice() {
            [name, kl, half, positions, _speed, status @ ..] if kl.parse::<f64>().is_ok() => {
                format!("{name} {kl} {half} {positions} SPEED {}", status.join(" "))
            }
            [.., "of", "memory"] => "TIME AND MEMORY".to_owned(),
            [rule] if rule.chars().all(|character| character == '─') => "RULE".to_owned(),
            words => words.join(" "),
        };
        lines.push(line);
    }
    lines.join("\n")
}

#[test]
fn the_table_in_a_pipe() {
    let place = Place::new();
    let run = place.score(&tiny("teacher"), &[&tiny("student-a"), &tiny("student-b")], &[]).expect_code(0);
    assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "no colours in a pipe");
    let table = without_speeds(&run.stdout);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[..6],
        [
            "KL(teacher ‖ student) in nats per token, over 24 positions of 2 prompts",
            "teacher: teacher",
            "",
            "RULE",
            "student KL ± 95% positions tokens/s status",
            "RULE",
        ]
    );
    assert!(lines[6].starts_with("student-a 0.") && lines[6].ends_with(" 24 SPEED scored"), "{}", lines[6]);
    assert!(lines[7].starts_with("student-b 0.") && lines[7].ends_with(" 24 SPEED scored"), "{}", lines[7]);
    assert_eq!(lines[8..], ["RULE", "", "TIME AND MEMORY"]);
    for line in ["teacher: loaded in ", "teacher: wrote 24 tokens in ", "student-a: loaded in ", "student-b: read "] {
        assert!(run.stderr.contains(line), "{line:?} is not in\n{}", run.stderr);
    }
}

#[test]
fn quiet_says_nothing_but_the_result() {
    let place = Place::new();
    let run = place.score(&tiny("teacher"), &[&tiny("student-a")], &["--quiet"]).expect_code(0);
    assert_eq!(run.stderr, "");
    assert!(run.stdout.contains("student-a"));
}

#[test]
fn the_json_document_has_its_fields() {
    let place = Place::new();
    let run =
        place.score(&tiny("teacher"), &[&tiny("student-a"), &tiny("student-b")], &["--format", "json"]).expect_code(0);
    let document = run.json();
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&document), ["peak_rss_bytes", "prompts", "protocol", "seconds", "students", "teacher"]);
    assert_eq!(document["protocol"], "distil/1");
    assert_eq!(document["teacher"], serde_json::json!({ "model": "teacher" }));
    let prompts = document["prompts"].as_array().expect("a list of prompts");
    assert_eq!(prompts.len(), 2);
    for prompt in prompts {
        assert_eq!(keys(prompt), ["continuation_tokens", "digest", "prompt_tokens"]);
        assert!(prompt["prompt_tokens"].as_u64() > Some(0));
        assert_eq!(prompt["continuation_tokens"], 12);
        let digest = prompt["digest"].as_str().expect("a digest");
        assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    }
    let students = document["students"].as_array().expect("a list of students");
    let names: Vec<_> = students.iter().map(|student| student["model"].as_str()).collect();
    assert_eq!(names, [Some("student-a"), Some("student-b")]);
    for student in students {
        assert_eq!(keys(student), ["kl", "model", "positions", "prompts", "standard_error", "status"]);
        assert_eq!(student["status"], "scored");
        assert_eq!(student["positions"], 24);
        assert!(student["standard_error"].is_f64());
        let kl = student["kl"].as_f64().expect("a number");
        let prompts = student["prompts"].as_array().expect("a list of prompts");
        let mean = prompts.iter().filter_map(|prompt| prompt["mean"].as_f64()).sum::<f64>() / 2.0;
        assert!((kl - mean).abs() < 1e-12, "both prompts have 12 positions: {kl} {mean}");
        for prompt in prompts {
            assert_eq!(keys(prompt), ["max", "mean", "min", "positions", "std"]);
            let figure = |name: &str| prompt[name].as_f64().expect("a number");
            assert!(figure("min") <= figure("mean") && figure("mean") <= figure("max") && figure("std") >= 0.0);
            assert_eq!(prompt["positions"], 12);
        }
    }
    for phase in ["teacher_load", "teacher_generate", "teacher_forward", "load.student-a", "score.student-b"] {
        assert!(document["seconds"][phase].is_f64(), "{phase}");
    }
    if cfg!(target_os = "linux") {
        assert!(document["peak_rss_bytes"].as_u64() > Some(1 << 20));
    }
}

#[test]
fn out_holds_a_record_and_a_page_and_may_be_replaced() {
    let place = Place::new();
    let out = place.path("runs/first");
    let out_argument = out.to_str().expect("a path in UTF-8");
    let students = [&*tiny("student-a"), &*tiny("student-b")];
    let arguments = ["--format", "json", "--out", out_argument];
    let run = place.score(&tiny("teacher"), &students, &arguments).expect_code(0);
    let read = |name: &str| fs::read(out.join(name)).expect("a file of the record");
    let record: Value = serde_json::from_slice(&read("record.json")).expect("the record is JSON");
    assert_eq!(record["settings"]["max_new_tokens"], serde_json::json!({ "value": 12, "origin": "flag" }));
    assert_eq!(record["settings"]["device"], serde_json::json!({ "value": "cpu", "origin": "default" }));
    assert_eq!(record["students"][0]["kl"], run.json()["students"][0]["kl"]);
    let text = record.to_string();
    assert!(!text.contains(out_argument) && !text.contains(env!("CARGO_MANIFEST_DIR")), "a record names no places");
    let table = std::fs::read(out.join("positions.parquet")).expect("the table");
    let rows = distil_eval::record::read_positions(table, 1 << 20).expect("the table reads back");
    let rows: Vec<_> = rows.map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), 2 * 24);

    let page = String::from_utf8(read("report.html")).expect("the page is text");
    assert!(page.contains("<h1><bdi>student-a</bdi> is closest to <bdi>teacher</bdi></h1>"));
    assert!(page.contains("Where ") && page.contains("Call me Ishmael. Some years ago"));
    assert!(!page.contains(env!("CARGO_MANIFEST_DIR")), "a page names no places");

    // An earlier record may be replaced; a folder with anything else may not.
    let empty = place.path("empty");
    fs::create_dir(&empty).expect("a folder");
    place.score(&tiny("teacher"), &[&tiny("student-a"), &empty], &arguments).expect_code(0);
    let record: Value = serde_json::from_slice(&read("record.json")).expect("the record is JSON");
    assert_eq!(record["students"][1]["status"], "failed");
    let here = place.path("");
    let here = here.to_str().expect("a path in UTF-8").trim_end_matches('/');
    assert!(!record.to_string().contains(here), "a reason names no place either: {record}");
    let page = String::from_utf8(read("report.html")).expect("the page is text");
    assert!(!page.contains(here), "nor on the page");
    fs::write(out.join("thesis.tex"), "years of work").expect("a file in the folder");
    let run = place.score(&tiny("teacher"), &students, &arguments).expect_code(2);
    let run = run.expect_error(&["thesis.tex", "no part of a record", "hint: "]);
    assert!(!run.stderr.contains("loaded"), "refused before any model is touched");
}

#[test]
fn a_copy_is_named_and_scored_in_full() {
    let place = Place::new();
    let copy = place.copy_model("student-a", "renamed");
    // Two prompts of 32 positions: copies are looked for over 64.
    let arguments = ["--max-new-tokens", "32", "--format", "json"];
    let mut command = place.distil();
    let prompts = place.write("p.json", r#"["Call me Ishmael. Some years ago", "It was the whiteness of the whale"]"#);
    command.arg("score-local").arg("--teacher").arg(tiny("teacher")).arg("--prompts").arg(prompts);
    command.arg("--student").arg(tiny("student-a")).arg("--student").arg(&copy);
    let document = ended(command.args(arguments)).expect_code(0).json();
    let [first, second] = document["students"].as_array().expect("a list").as_slice() else {
        panic!("two students: {document}")
    };
    assert_eq!(first["status"], "scored");
    assert_eq!(second["status"], "functional_copy");
    assert_eq!(second["copy_of"], "student-a");
    assert_eq!(first["kl"], second["kl"]);
    assert_eq!(second["positions"], 64);
}

#[test]
fn sampled_continuations_depend_on_the_seed_alone() {
    let place = Place::new();
    let digests = |seed: &str| {
        let arguments = ["--format", "json", "--temperature", "0.9", "--top-p", "0.95", "--seed", seed];
        let run = place.score(&tiny("teacher"), &[&tiny("student-a")], &arguments).expect_code(0);
        run.json()["prompts"].clone()
    };
    let (one, again, two) = (digests("1"), digests("1"), digests("2"));
    assert_eq!(one, again);
    assert_ne!(one, two);
}

#[test]
#[cfg(unix)]
fn names_cannot_drive_a_terminal_or_a_page() {
    let place = Place::new();
    let name = "s\u{1b}[31m\u{202e}<script>alert(1)</script>".replace('/', "_");
    let student = place.copy_model("student-a", &name);
    let broken = place.path("b\u{1b}[2J");
    fs::create_dir(&broken).expect("an empty folder");
    let out = place.path("out");
    let run = place
        .score(&tiny("teacher"), &[&student, &broken], &["--out", out.to_str().expect("a path in UTF-8")])
        .expect_code(0);
    let page = fs::read_to_string(out.join("report.html")).expect("the page is text");
    for text in [&run.stdout, &run.stderr, &page] {
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    }
    assert!(run.stdout.contains("s\\u{1b}[31m\\u{202e}<script>"));
    assert!(!page.contains("<script"));
}

/// The most threads a run is seen to have, and its result.
#[cfg(target_os = "linux")]
fn most_threads(place: &Place, threads: &str) -> (usize, Value) {
    use std::process::{Command, Stdio};
    let prompts = place.write("p.json", r#"["Call me Ishmael. Some years ago"]"#);
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("distil"))
        .current_dir(place.path(""))
        .args(["score-local", "--quiet", "--format", "json", "--max-new-tokens", "64", "--threads", threads])
        .arg("--teacher")
        .arg(tiny("teacher"))
        .arg("--student")
        .arg(tiny("student-a"))
        .arg("--prompts")
        .arg(prompts)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let tasks = format!("/proc/{}/task", child.id());
    let mut most = 0;
    while child.try_wait().expect("the child can be asked").is_none() {
        most = most.max(fs::read_dir(Path::new(&tasks)).map_or(0, Iterator::count));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let output = child.wait_with_output().expect("the child's output");
    (most, serde_json::from_slice(&output.stdout).expect("one JSON document"))
}

#[test]
#[cfg(target_os = "linux")]
fn the_number_of_threads_is_kept_and_changes_no_figure() {
    let place = Place::new();
    let (few, one) = most_threads(&place, "1");
    let (many, seven) = most_threads(&place, "7");
    assert!(many >= 8, "seven to compute with beside the main one, seen: {many}");
    assert!(few <= 3, "one to compute with beside the main one, seen: {few}");
    assert_eq!(one["prompts"], seven["prompts"], "the same tokens");
    let kl = |document: &Value| document["students"][0]["kl"].as_f64().expect("a number");
    assert!((kl(&one) / kl(&seven) - 1.0).abs() < 1e-6);
}
