//! The same numbers as an evaluation in transformers: tokens, and the KL of every position, prompt and student.

use std::{fs, path::Path};

use safetensors::SafeTensors;
use serde_json::Value;

use crate::common::{close, request, score, settings, tiny, tiny_prompts};

#[test]
fn tokens_and_scores_are_those_of_transformers() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity");
    let reference: Value = serde_json::from_slice(&fs::read(fixtures.join("reference.json")).unwrap()).unwrap();
    let positions = fs::read(fixtures.join("positions.safetensors")).unwrap();
    let positions = SafeTensors::deserialize(&positions).unwrap();

    let students = ["student-a", "student-b"];
    let folders = students.map(tiny);
    let outcome = score(&request(&[&folders[0], &folders[1]], tiny_prompts(), settings(128)));

    let prompts = reference["prompts"].as_array().unwrap();
    assert_eq!(outcome.prompts.len(), prompts.len());
    for (ours, theirs) in outcome.prompts.iter().zip(prompts) {
        assert_eq!(ours.sequence.prompt().len(), theirs["prompt_tokens"]);
        assert_eq!(Value::from(ours.sequence.tokens()), theirs["ids"], "prompt {}", ours.id);
    }
    let mut worst: f64 = 0.0;
    for (index, name) in students.iter().enumerate() {
        let (report, theirs) = (&outcome.report.students[index], &reference["students"][name]);
        assert_eq!(report.model, *name);
        assert_eq!(report.positions, theirs["positions"]);
        let mut compare = |what: &str, ours: f64, theirs: &Value| {
            let theirs = theirs.as_f64().unwrap();
            worst = worst.max((ours - theirs).abs() / theirs);
            assert!(close(ours, theirs, 1e-4), "{name} {what}: {ours} and {theirs}");
        };
        compare("total", report.kl.unwrap(), &theirs["kl"]);
        for (prompt, ours) in report.prompts.iter().enumerate() {
            let theirs = &theirs["prompts"][prompt];
            assert_eq!(ours.positions, theirs["positions"]);
            compare(&format!("prompt {prompt} mean"), ours.mean, &theirs["mean"]);
            compare(&format!("prompt {prompt} std"), ours.std, &theirs["std"]);
            compare(&format!("prompt {prompt} max"), ours.max, &theirs["max"]);

            let tensor = positions.tensor(&format!("{name}.{prompt}")).unwrap();
            let theirs = tensor.data().chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()));
            let ours = &outcome.students[index].positions_kl_nats[prompt];
            assert_eq!(ours.len(), theirs.len());
            for (position, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                // Two honest runs in f32 differ by some 1e-6 in a logit, so a small KL has no exact value.
                let tolerance = 2e-6 + 1e-4 * theirs;
                assert!((ours - theirs).abs() <= tolerance, "{name}.{prompt}[{position}]: {ours} and {theirs}");
            }
        }
    }
    println!("largest relative difference of a mean, deviation or maximum: {worst:.1e}");
}
