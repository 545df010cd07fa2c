//! How weights are stored: dtypes, shards and their index, and whether all of the model is there.

use std::fs;

use distil_checker::{Code, Severity};
use serde_json::json;

use crate::common::*;

#[test]
fn f32_is_for_two_tensors_of_qwen3_5_alone() {
    let mixture = Model::mixture();
    assert!(mixture.tensors.iter().any(|tensor| tensor.dtype == "F32"));
    assert!(mixture.save_and_check().pass());
    for name in ["linear_attn.dt_bias", "model.norm.weight", "layers.1.self_attn.q_norm.weight", "mlp.gate.weight"] {
        let mut model = Model::mixture();
        model.tensor(name).dtype = "F32";
        let report = model.save_and_check();
        assert_eq!(errors(&report), ["unsupported_dtype"], "{name}");
        must_say(&message(&report, Code::UnsupportedDtype), &[name, "F32", "BF16 or F16"]);
    }
    for dtype in ["F64", "BOOL"] {
        let mut model = Model::llama();
        model.tensor("model.norm.weight").dtype = dtype;
        assert_eq!(errors(&model.save_and_check()), ["unsupported_dtype"], "{dtype}");
    }
    // In another family the names mean nothing; there they are tensors that nobody calls for.
    let mut model = Model::llama();
    model.tensors.push(tensor("model.layers.0.linear_attn.A_log", "F32", &[2]));
    assert_eq!(errors(&model.save_and_check()), ["unsupported_dtype"]);
}

#[test]
fn what_no_language_model_reads_may_be_f32_and_is_warned_of_when_quantised() {
    let mut model = Model::llama();
    model.tensors.push(tensor("model.visual.merger.norm.weight", "F32", &[4]));
    assert_eq!(codes(&model.save_and_check(), Severity::Warning), [""; 0]);
    model.tensors.push(tensor("mtp.fc.weight", "F8_E4M3", &[4]));
    let report = model.save_and_check();
    assert!(report.pass());
    assert_eq!(codes(&report, Severity::Warning), ["quantized"]);
}

#[test]
fn missing_tensors_are_named_and_counted() {
    let mut model = Model::llama();
    model.remove("layers.1.");
    let report = model.save_and_check();
    assert_eq!(errors(&report), ["missing_tensors"]);
    let found = finding(&report, Code::MissingTensors);
    must_say(&found.message, &["layers.1.input_layernorm.weight", "9 tensors"]);
    assert_eq!((&found.evidence["missing"], &found.evidence["missing_parameters"]), (&json!(9), &json!(1952)));

    let mut model = Model::mixture();
    model.remove("layers.0.mlp.experts.down_proj");
    assert_eq!(errors(&model.save_and_check()), ["missing_tensors"]);
    let mut model = Model::mixture();
    model.remove("layers.0.mlp.experts.");
    let report = model.save_and_check();
    assert_eq!(finding(&report, Code::MissingTensors).evidence["missing"], json!(24));
}

#[test]
fn tensors_that_nobody_calls_for_are_told_of() {
    let mut model = Model::llama();
    model.tensors.push(tensor("model.layers.2.mlp.up_proj.weight", "BF16", &[24, 16]));
    let report = model.save_and_check();
    assert!(report.pass());
    assert_eq!(codes(&report, Severity::Info), ["missing_tensors", "tokenizer_mismatch"]);
    must_say(&message(&report, Code::MissingTensors), &["layers.2.mlp.up_proj.weight", "1 tensor"]);
    assert_eq!(report.parameters.text, Some(LLAMA_PARAMETERS));
    assert_eq!(report.parameters.total, Some(LLAMA_PARAMETERS + 384));
}

/// Shards whose index was spoiled.
#[track_caller]
fn spoiled(edit: impl FnOnce(&mut serde_json::Value)) -> distil_checker::CheckReport {
    let model = Model::llama();
    model.save_shards(2, edit);
    model.check()
}

#[test]
fn a2_an_index_and_its_shards_have_to_agree() {
    const FIRST: &str = "model-00001-of-00002.safetensors";
    const SECOND: &str = "model-00002-of-00002.safetensors";
    let says = |report: &distil_checker::CheckReport, words: &[&str]| {
        assert_eq!(errors(report), ["index_mismatch"], "{:#?}", report.findings());
        must_say(&message(report, Code::IndexMismatch), words);
    };
    let report = spoiled(|index| index["weight_map"]["model.extra.weight"] = json!(FIRST));
    says(&report, &["in no shard", "model.extra.weight", FIRST]);
    let report = spoiled(|index| drop(index["weight_map"].as_object_mut().unwrap().remove("model.norm.weight")));
    says(&report, &["not in the index", "model.norm.weight"]);
    let report = spoiled(|index| index["weight_map"]["model.embed_tokens.weight"] = json!(SECOND));
    says(&report, &["another shard", "model.embed_tokens.weight"]);
    let report = spoiled(|index| index["weight_map"]["model.norm.weight"] = json!("model-00003-of-00002.safetensors"));
    must_say(&message(&report, Code::IndexMismatch), &["model-00003-of-00002.safetensors", "does not hold"]);

    for bad in
        ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "a\\b.safetensors", "x.bin", "", "\0.safetensors"]
    {
        let report = spoiled(|index| index["weight_map"]["model.norm.weight"] = json!(bad));
        assert_eq!(errors(&report), ["index_mismatch"], "{bad}");
        must_say(&message(&report, Code::IndexMismatch), &["model.norm.weight", "beside it"]);
    }
    for bad in
        [json!([]), json!({}), json!({"weight_map": {}}), json!({"weight_map": []}), json!({"weight_map": {"a": 7}})]
    {
        let report = spoiled(|index| *index = bad.clone());
        assert_eq!(errors(&report), ["index_mismatch"], "{bad}");
    }
    let model = Model::llama();
    model.save_shards(2, |_| {});
    model.write(
        "model.safetensors.index.json",
        &format!(r#"{{"weight_map": {{"a": "{FIRST}", "\u0061": "{SECOND}"}}}}"#),
    );
    says(&model.check(), &["\"a\" is there twice"]);
    model.write("model.safetensors.index.json", &"[".repeat(1000));
    says(&model.check(), &["recursion"]);
}

#[test]
fn a2_a_missing_shard_is_named() {
    let model = Model::llama();
    model.save_shards(3, |_| {});
    fs::remove_file(model.path("model-00002-of-00003.safetensors")).unwrap();
    let report = model.check();
    assert_eq!(errors(&report), ["index_mismatch", "missing_tensors"]);
    must_say(&message(&report, Code::IndexMismatch), &["model-00002-of-00003.safetensors", "upload every shard"]);
}

#[test]
fn a2_a_tensor_in_two_shards_is_refused() {
    let model = Model::llama();
    model.save_shards(2, |_| {});
    write_safetensors(&model.path("model-00002-of-00002.safetensors"), &model.tensors);
    let report = model.check();
    assert_eq!(errors(&report), ["index_mismatch"]);
    let twice = report.findings().iter().find(|finding| finding.evidence.contains_key("twice")).unwrap();
    must_say(&twice.message, &["model.embed_tokens.weight in model-00001-of-00002.safetensors", "twice"]);
}

#[test]
fn totals_of_an_index_are_held_against_the_headers() {
    let report = spoiled(|index| index["metadata"]["total_size"] = json!(7));
    assert!(report.pass());
    assert_eq!(codes(&report, Severity::Warning), ["index_mismatch"]);
    must_say(&message(&report, Code::IndexMismatch), &["total_size as 7"]);
    let report = spoiled(|index| index["metadata"]["total_parameters"] = json!(LLAMA_PARAMETERS));
    assert_eq!(codes(&report, Severity::Warning), [""; 0]);
}

#[test]
fn one_file_goes_before_an_index() {
    let model = Model::llama();
    model.save_shards(2, |_| {});
    model.save();
    let report = model.check();
    assert!(report.pass());
    assert_eq!(report.parameters.text, Some(LLAMA_PARAMETERS));
    assert_eq!(report.parameters.total, Some(2 * LLAMA_PARAMETERS));
    let warnings: Vec<&str> = report.findings().iter().map(|finding| finding.message.as_str()).collect();
    must_say(&warnings.join("\n"), &["model-00001-of-00002.safetensors", "tools differ"]);
}
