//! Rounds as they were recorded, by the original validator too.

use crate::common::rules;
use distil_scoring::{RecordedDecision, RecordedRound, Verdict};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

fn decide(round: &Value) -> RecordedDecision {
    RecordedRound::from_json(&round.to_string()).unwrap().decide(&rules())
}

fn refusal(text: &str) -> String {
    RecordedRound::from_json(text).unwrap_err().to_string()
}

/// Four prompts around this mean.
fn prompts(kl: f64) -> Vec<Value> {
    let prompt = |index: usize| {
        let mean = kl * (0.7 + 0.2 * index as f64);
        json!({ "mean": mean, "std": mean, "min": mean * 0.01, "max": mean * 8.0, "positions": 512 })
    };
    (0..4).map(prompt).collect()
}

fn student(model: &str, kl: f64) -> Value {
    json!({
        "model": model, "kl": kl, "prompts": prompts(kl), "early_stopped": false, "functional_copy_of": null,
        "status": null,
    })
}

fn round(king: Value, students: Vec<Value>) -> Value {
    json!({ "n_prompts": 4, "king": king, "students": students })
}

fn with(mut student: Value, field: &str, value: Value) -> Value {
    student[field] = value;
    student
}

#[test]
fn each_verdict_is_the_first_that_fits() {
    use Verdict::*;
    let all = |field: &str, value: Value| {
        let mut changed = prompts(0.05);
        changed.iter_mut().for_each(|prompt| prompt[field] = value.clone());
        json!(changed)
    };
    let good = || student("x/y", 0.05);
    let flat = with(with(good(), "prompts", all("min", json!(0.05))), "prompts", all("mean", json!(0.05)));
    let cases = [
        (good(), BeatsKing),
        (student("x/y", 0.0995), NotEnough),
        (student("x/y", 0.2), NotEnough),
        (with(good(), "functional_copy_of", json!("a/king")), Copy),
        (with(with(good(), "functional_copy_of", json!("a/king")), "kl", json!(30.0)), Copy),
        (with(with(good(), "kl", Value::Null), "prompts", json!([])), NotFinite),
        (with(good(), "kl", json!(2.0)), NotEnough),
        (with(good(), "kl", json!(2.0000001)), AboveMaxKl),
        (with(with(good(), "kl", json!(11.4)), "early_stopped", json!(true)), AboveMaxKl),
        (with(good(), "kl", json!(1e-6)), BelowFloor),
        (with(good(), "kl", json!(-0.5)), BelowFloor),
        (flat.clone(), Implausible),
        (with(flat, "early_stopped", json!(true)), Implausible),
        (with(good(), "early_stopped", json!(true)), Incomplete),
        (with(good(), "status", json!("early_stopped")), Incomplete),
        (with(good(), "prompts", json!(prompts(0.05)[..3])), Incomplete),
        (with(good(), "prompts", json!([])), Incomplete),
        (with(good(), "status", json!("a word nobody knows")), BeatsKing),
        (with(good(), "extra", json!({ "nan": [null] })), BeatsKing),
    ];
    for (challenger, expected) in cases {
        let decision = decide(&round(json!("a/king"), vec![student("a/king", 0.1), challenger.clone()]));
        assert_eq!(decision.verdicts[0].verdict, expected, "{challenger}");
        let dethroned = expected == BeatsKing;
        assert_eq!(decision.dethroned, dethroned, "{challenger}");
        assert_eq!(decision.king.as_deref(), Some(if dethroned { "x/y" } else { "a/king" }));
        let written = serde_json::to_string(&decision).unwrap();
        assert!(written.contains(expected.as_str()) && !decision.verdicts[0].reason.is_empty());
    }
}

#[test]
fn a1_the_invented_run_is_not_crowned() {
    let invented = json!({ "mean": 0.04481, "std": 0.04481, "min": 0.04481, "max": 0.04481, "positions": 512 });
    let fraud = with(student("x/fraud", 0.04481), "prompts", json!(vec![invented; 4]));
    let decision = decide(&round(json!("a/king"), vec![student("a/king", 0.059), fraud]));
    assert_eq!((decision.verdicts[0].verdict, decision.dethroned), (Verdict::Implausible, false));
}

#[test]
fn what_is_not_recorded_is_made_from_what_is() {
    let king = student("a/king", 0.1);
    // The recorded KL decides, also against the prompts.
    let decision = decide(&round(json!("a/king"), vec![king.clone(), with(student("x/y", 0.2), "kl", json!(0.05))]));
    assert_eq!(decision.verdicts[0].verdict, Verdict::BeatsKing);
    assert!(decision.verdicts[0].paired.unwrap().mean_difference > 0.0);
    // d3: without one, every position weighs the same; where those are not recorded, every prompt.
    let mut short = prompts(0.1);
    for (index, prompt) in short.iter_mut().enumerate() {
        let (mean, positions) = if index == 0 { (0.07, 512) } else { (0.2, 1) };
        *prompt = json!({ "mean": mean + 1e-3 * index as f64, "positions": positions });
    }
    let weighed = with(with(student("x/y", 0.1), "kl", Value::Null), "prompts", json!(short));
    let kl = decide(&round(json!("a/king"), vec![king.clone(), weighed.clone()])).verdicts[0].kl.unwrap();
    assert!((kl - (512.0 * 0.07 + 0.201 + 0.202 + 0.203) / 515.0).abs() < 1e-15);
    short.iter_mut().for_each(|prompt| prompt["positions"] = Value::Null);
    let plain = with(weighed, "prompts", json!(short));
    let verdict = decide(&round(json!("a/king"), vec![king, plain])).verdicts.remove(0);
    assert!((verdict.kl.unwrap() - (0.07 + 0.201 + 0.202 + 0.203) / 4.0).abs() < 1e-15);
    // Each prompt weighs the same in the comparison, then.
    assert!((verdict.paired.unwrap().mean_difference - (0.169 - 0.1)).abs() < 1e-12);
}

#[test]
fn d4_students_are_compared_on_all_prompts_or_not_at_all() {
    // The original paired the first prompts of one with the first of the other, whatever their number.
    let mut other = prompts(0.05);
    other[2]["positions"] = json!(7);
    for bad in [json!(prompts(0.05)[..3]), json!(other)] {
        let challenger = with(student("x/y", 0.05), "prompts", bad);
        assert!(decide(&round(json!("a/king"), vec![student("a/king", 0.1), challenger])).verdicts[0].paired.is_none());
    }
}

#[test]
fn a_vacant_throne_goes_to_the_lowest_and_dethrones_nobody() {
    let decision = decide(&round(Value::Null, vec![student("x/b", 0.2), student("x/a", 0.1), student("x/c", 0.1)]));
    assert_eq!((decision.king.as_deref(), decision.dethroned), (Some("x/a"), false));
    assert!(decision.verdicts.iter().all(|entry| entry.verdict == Verdict::BeatsKing && entry.margin.is_none()));
    let nobody = decide(&round(Value::Null, vec![student("x/b", 2.2)]));
    assert_eq!((nobody.king, nobody.dethroned), (None, false));
    assert_eq!(decide(&round(Value::Null, Vec::new())).verdicts, []);
}

#[test]
fn a9_a_king_without_a_score_keeps_the_crown() {
    let challenger = student("x/y", 0.05);
    let unscored = with(with(student("a/king", 0.1), "kl", Value::Null), "prompts", json!([]));
    let stopped = with(student("a/king", 0.1), "early_stopped", json!(true));
    let invented = with(student("a/king", 1e-9), "prompts", json!(prompts(1e-9)));
    for students in [
        vec![challenger.clone()],
        vec![unscored, challenger.clone()],
        vec![stopped, challenger.clone()],
        vec![invented, challenger.clone()],
    ] {
        let decision = decide(&round(json!("a/king"), students));
        assert_eq!((decision.king.as_deref(), decision.dethroned), (Some("a/king"), false));
        assert_eq!(decision.verdicts[0].verdict, Verdict::NotEnough);
        assert!(decision.void.is_some() && decision.verdicts[0].margin.is_none());
    }
    // Commit blocks are not recorded, so a king is nobody's copy.
    let accused = with(student("a/king", 0.1), "functional_copy_of", json!("x/y"));
    let decision = decide(&round(json!("a/king"), vec![accused, student("x/y", 0.0999)]));
    assert_eq!((decision.king.as_deref(), decision.void), (Some("a/king"), None));
}

#[test]
fn bad_json_is_named_by_its_field() {
    let good = round(json!("a/king"), vec![student("a/king", 0.1), student("x/y", 0.05)]).to_string();
    for (from, to, parts) in [
        (r#""kl":0.05"#, r#""kl":NaN"#, &["students[1].kl", "line 1"][..]),
        (r#""kl":0.05"#, r#""kl":Infinity"#, &["students[1].kl"]),
        (r#""kl":0.05"#, r#""kl":-1e400"#, &["students[1].kl", "out of range"]),
        (r#""kl":0.05"#, r#""kl":"0.05""#, &["students[1].kl", "string"]),
        (r#""positions":512"#, r#""positions":-1"#, &["students[0].prompts[0].positions"]),
        (r#""positions":512"#, r#""positions":0"#, &["students[0].prompts[0].positions", "at least one"]),
        (r#""positions":512"#, r#""positions":5000000000"#, &["students[0].prompts[0].positions"]),
        (r#""n_prompts":4"#, r#""n_prompts":3"#, &["students[0].prompts", "4 in a round of 3"]),
        (r#""n_prompts":4"#, r#""n_prompts":0"#, &["n_prompts"]),
        (r#""n_prompts":4"#, r#""n":4"#, &["n_prompts"]),
        (r#""model":"x/y""#, r#""model":"a/king""#, &["king", "more than one"]),
        (r#""model":"x/y""#, r#""model":null"#, &["students[1].model"]),
        (r#""n_prompts":4"#, r#""n_prompts":4,"n_prompts":4"#, &["duplicate"]),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let said = refusal(&bad);
        assert!(parts.iter().all(|part| said.contains(part)), "{to}: {said}");
    }
    for cut in (0..good.len()).step_by(7) {
        assert!(!refusal(&good[..cut]).is_empty());
    }
    assert!(refusal(&format!("{good} {good}")).contains("trailing"));
    assert!(refusal(&"[".repeat(100_000)).len() < 1000);
    let long = format!(r#"{{"n_prompts": "{}"}}"#, "\u{1b}x".repeat(10_000));
    let said = refusal(&long);
    assert!(said.len() < 1000 && !said.contains('\u{1b}'), "{said}");
    assert!(refusal(&" ".repeat(RecordedRound::MAX_BYTES + 1)).contains("at most"));
}

/// Recorded rounds, where they are at hand. `DISTIL_FIXTURES` says where, else they are looked for beside the
/// repository.
fn replay() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    let folder = env::var_os("DISTIL_FIXTURES").map_or(beside, PathBuf::from).join("replay");
    folder.is_dir().then_some(folder)
}

#[test]
fn recorded_rounds_decide_as_the_rules_say() {
    let Some(folder) = replay() else {
        println!("skipped: no recorded rounds are here; set DISTIL_FIXTURES to their folder");
        return;
    };
    let mut cases = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let expected = &serde_json::from_str::<Value>(&text).unwrap()["expected"];
        let decision = serde_json::to_value(RecordedRound::from_json(&text).unwrap().decide(&rules())).unwrap();
        assert_eq!(decision["king"], expected["king"], "{}", path.display());
        assert_eq!(decision["dethroned"], expected["dethroned"], "{}", path.display());
        let names = |list: &Value| -> Vec<(Value, Value)> {
            list.as_array().unwrap().iter().map(|entry| (entry["model"].clone(), entry["verdict"].clone())).collect()
        };
        assert_eq!(names(&decision["verdicts"]), names(&expected["verdicts"]), "{}", path.display());
        cases += 1;
    }
    assert!(cases > 0, "the folder of recorded rounds is empty");
    println!("{cases} recorded rounds decided");
}

fn any_value() -> impl Strategy<Value = Value> {
    let number =
        || prop_oneof![Just(Value::Null), any::<f64>().prop_map(|n| json!(n)), (0.0..3.0_f64).prop_map(|n| json!(n))];
    let prompt = (number(), number(), number(), number(), prop::option::of(0..600u32)).prop_map(
        |(mean, std, min, max, positions)| json!({ "mean": mean, "std": std, "min": min, "max": max, "positions": positions }),
    );
    let student = ("[ab]", number(), prop::collection::vec(prompt, 0..4), any::<bool>()).prop_map(
        |(model, kl, prompts, early_stopped)| json!({ "model": model, "kl": kl, "prompts": prompts, "early_stopped": early_stopped }),
    );
    (0..4usize, prop::option::of("[abc]"), prop::collection::vec(student, 0..5))
        .prop_map(|(n_prompts, king, students)| json!({ "n_prompts": n_prompts, "king": king, "students": students }))
}

proptest! {
    #[test]
    fn no_document_panics(text in "\\PC{0,200}") {
        let _ = RecordedRound::from_json(&text);
    }

    #[test]
    fn what_is_read_is_decided_and_written_as_json(document in any_value()) {
        if let Ok(round) = RecordedRound::from_json(&document.to_string()) {
            let decision = round.decide(&rules());
            let king = document["king"].as_str();
            let challengers = document["students"].as_array().unwrap().iter().filter(|student| student["model"].as_str() != king);
            prop_assert_eq!(decision.verdicts.len(), challengers.count());
            let written = serde_json::to_string(&decision).unwrap();
            let read: Value = serde_json::from_str(&written).unwrap();
            for entry in read["verdicts"].as_array().unwrap() {
                prop_assert!(entry["verdict"].is_string() && entry["reason"].is_string());
            }
            if decision.dethroned {
                let winner = decision.verdicts.iter().find(|entry| entry.verdict == Verdict::BeatsKing).unwrap();
                prop_assert!(winner.kl.unwrap() <= 2.0 && winner.kl.unwrap() > 1e-6);
            }
        }
    }
}
