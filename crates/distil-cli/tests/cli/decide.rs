//! `distil decide`: a recorded round in, who is king and why out.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::Place;

/// A student with prompts that a real run can give, around this mean.
fn student(model: &str, kl: f64, prompts: usize) -> Value {
    let prompts: Vec<Value> = (0..prompts)
        .map(|prompt| {
            let mean = kl * (0.9 + 0.2 * prompt as f64 / 3.0);
            json!({ "mean": mean, "std": mean, "min": mean / 100.0, "max": mean * 9.0, "positions": 512 })
        })
        .collect();
    json!({ "model": model, "kl": kl, "prompts": prompts, "early_stopped": false, "functional_copy_of": null, "status": null })
}

fn round(king: Value, students: &[Value]) -> Value {
    json!({ "n_prompts": 4, "king": king, "students": students })
}

#[test]
fn a_round_is_decided_as_json_and_as_a_table() {
    let place = Place::new();
    let recorded = round(
        json!("alice/king"),
        &[student("alice/king", 0.1, 4), student("bob/near", 0.0995, 4), student("carol/best", 0.09, 4)],
    );
    place.write("round.json", &recorded.to_string());
    let document = place.run(&["--format", "json", "decide", "round.json"]).expect_code(0).json();
    assert_eq!((&document["king"], &document["dethroned"]), (&json!("carol/best"), &json!(true)));
    let verdicts = document["verdicts"].as_array().unwrap();
    assert_eq!(verdicts.len(), 2);
    assert_eq!((&verdicts[0]["model"], &verdicts[0]["verdict"]), (&json!("bob/near"), &json!("not_enough")));
    assert_eq!((&verdicts[1]["model"], &verdicts[1]["verdict"]), (&json!("carol/best"), &json!("beats_king")));
    assert_eq!(verdicts[1]["margin"], 1.0 - 0.09 / 0.1);
    assert_eq!(verdicts[1]["paired"]["n"], 4);
    assert!(verdicts[1]["paired"]["mean_difference"].as_f64().unwrap() < 0.0);

    let text = place.run(&["decide", "round.json"]).expect_code(0);
    for part in ["new king: carol/best", "not_enough", "beats_king", "10.00%"] {
        assert!(text.stdout.contains(part), "{part}:\n{}", text.stdout);
    }
    assert_eq!(text.stderr, "");
}

#[test]
fn names_cannot_drive_the_terminal() {
    let place = Place::new();
    let recorded = round(json!("a\u{1b}[2Jb"), &[student("a\u{1b}[2Jb", 0.1, 4), student("x\u{202e}y", 0.2, 4)]);
    place.write("round.json", &recorded.to_string());
    for format in ["text", "json"] {
        let run = place.run(&["--format", format, "decide", "round.json"]).expect_code(0);
        assert!(!run.stdout.contains(['\u{1b}', '\u{202e}']), "{}", run.stdout);
    }
}

#[test]
fn a_bad_file_is_named_with_the_field() {
    let place = Place::new();
    place.run(&["decide"]).expect_code(2).expect_error(&["ROUND"]);
    place.run(&["decide", "nowhere.json"]).expect_code(2).expect_error(&["nowhere.json"]);
    place.run(&["decide", "."]).expect_code(2).expect_error(&["folder"]);
    for (content, parts) in [
        ("", &["round.json", "EOF"][..]),
        ("[]", &["round.json"]),
        (r#"{"king": null, "students": []}"#, &["n_prompts"]),
        (
            r#"{"n_prompts": 1, "king": null, "students": [{"model": "a", "kl": NaN, "prompts": []}]}"#,
            &["students[0].kl"],
        ),
        (
            r#"{"n_prompts": 1, "king": null, "students": [{"model": "a", "prompts": [{"mean": 1e999}]}]}"#,
            &["students[0].prompts[0].mean"],
        ),
        (r#"{"n_prompts": 1, "king": null, "students": [{"model": 7, "prompts": []}]}"#, &["students[0].model"]),
        (r#"{"n_prompts": 1, "king": null, "students": []} x"#, &["trailing"]),
    ] {
        place.write("round.json", content);
        let run = place.run(&["decide", "round.json"]).expect_code(2).expect_error(parts);
        assert_eq!(run.stdout, "", "{content}");
    }
}

/// Recorded rounds of the original validator, where they are at hand.
fn replay() -> Option<PathBuf> {
    let folder = match std::env::var_os("DISTIL_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
    };
    Some(folder.join("replay")).filter(|folder| folder.is_dir())
}

#[test]
fn recorded_rounds_decide_as_the_rules_say() {
    let Some(folder) = replay() else {
        println!("skipped: the recorded rounds are not here");
        return;
    };
    let place = Place::new();
    let mut cases = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let document = place.run(&["--format", "json", "decide", path.to_str().unwrap()]).expect_code(0).json();
        assert_eq!(document["king"], case["expected"]["king"], "{}", path.display());
        assert_eq!(document["dethroned"], case["expected"]["dethroned"], "{}", path.display());
        cases += 1;
    }
    assert!(cases > 0);
}
