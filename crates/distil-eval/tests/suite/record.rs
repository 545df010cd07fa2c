//! Records of runs, written and read back.

use std::fs;

use distil_eval::record::{
    self, POSITIONS_PARQUET, RECORD_JSON, RecordedSetting, RecordedSettings, RunEnvironment, read_positions,
    write_folder,
};
use serde_json::{Value, json};

use crate::common::{nan_model, request, score, settings, short_prompts, tiny};

#[test]
fn a_record_says_what_the_run_found_and_nothing_of_the_host() {
    let root = tempfile::tempdir().unwrap();
    let nan = root.path().join("nan");
    nan_model(&nan);
    let mut settings = settings(5);
    settings.digest_weights = true;
    let request = request(&[&tiny("student-a"), &nan, &tiny("student-b")], short_prompts(3), settings);
    let outcome = score(&request);
    let recorded: RecordedSettings =
        [("max_new_tokens".to_owned(), RecordedSetting { value: json!(5), origin: "flag".to_owned() })].into();
    let environment = RunEnvironment::of(&request.settings, "distil", "9.8.7");
    let files = || record::files(&outcome, &recorded, &environment).unwrap();
    let out = root.path().join("out");
    write_folder(&out, &files()).unwrap();

    let text = fs::read_to_string(out.join(RECORD_JSON)).unwrap();
    assert!(!text.contains(&*root.path().to_string_lossy()) && !text.contains(env!("CARGO_MANIFEST_DIR")));
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["protocol"], "distil/1");
    assert_eq!(value["settings"], json!({"max_new_tokens": {"value": 5, "origin": "flag"}}));
    assert_eq!(value["versions"]["distil"], "9.8.7");
    assert_eq!(value["kernels"]["kl"], distil_kl::active_path().name());
    assert_eq!((&value["device"], &value["dtype"], &value["threads"]), (&json!("cpu"), &json!("f32"), &json!(2)));
    let weights = fs::read(tiny("teacher").join("model.safetensors")).unwrap();
    let file = value["teacher"]["files"].as_array().unwrap().iter().find(|file| file["name"] == "model.safetensors");
    assert_eq!(file.unwrap()["bytes"], weights.len());
    assert_eq!(value["teacher"]["head_digest"], outcome.teacher.head_digest);
    for (index, prompt) in outcome.prompts.iter().enumerate() {
        let recorded = &value["prompts"][index];
        assert_eq!(recorded["continuation_tokens"], json!(prompt.sequence.continuation()));
        assert_eq!(recorded["prompt_tokens"], json!(prompt.sequence.prompt()));
        assert_eq!(recorded["digest"], prompt.sequence.digest());
        assert_eq!(recorded["text"], prompt.text);
    }
    let statuses: Vec<_> = value["students"].as_array().unwrap().iter().map(|student| &student["status"]).collect();
    assert_eq!(statuses, ["scored", "failed", "scored"]);
    assert_eq!(value["students"][1]["kl"], Value::Null);
    assert!(value["students"][1]["reason"].as_str().unwrap().contains("NaN"));
    assert_eq!(value["students"][2]["kl"], json!(outcome.report.students[2].kl));

    // The table has every position once, in order, with every bit of its KL.
    let rows = read_positions(&out.join(POSITIONS_PARQUET)).unwrap();
    let mut expected = Vec::new();
    for (report, student) in outcome.report.students.iter().zip(&outcome.students) {
        for (prompt, kl_nats) in student.positions_kl_nats.iter().enumerate() {
            let tokens = outcome.prompts[prompt].sequence.continuation();
            for (position, (kl, token)) in kl_nats.iter().zip(tokens).enumerate() {
                expected.push(record::PositionRow {
                    student: report.model.clone(),
                    prompt: prompt as u32,
                    position: position as u32,
                    token: *token,
                    kl: *kl,
                });
            }
        }
    }
    assert_eq!(rows, expected);
    assert_eq!(rows.len(), 2 * 3 * 5);

    // The same run gives the same bytes.
    let again = record::files(&score(&request), &recorded, &environment).unwrap();
    assert!(again == files());
}

#[test]
fn other_tables_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("table");
    assert!(read_positions(&path).is_err());
    fs::write(&path, b"PAR1 nothing of the kind PAR1").unwrap();
    let message = read_positions(&path).unwrap_err().to_string();
    assert!(message.contains("table"), "{message}");
}
