//! Models that load are taken, whatever their layout.

use std::{
    fs,
    path::{Path, PathBuf},
};

use distil_checker::{Code, Finding, Severity, Verdict};
use serde_json::{Value, json};

use crate::common::*;

/// `vocab_size` of a folder's configuration.
fn vocabulary_of(folder: &Path) -> u64 {
    let config: Value = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
    let size = config["vocab_size"].as_u64().or(config["text_config"]["vocab_size"].as_u64());
    size.unwrap()
}

/// Checks a folder that the model loader loads.
#[track_caller]
fn must_be_taken(folder: &Path) {
    let report = check_folder(folder, &requirements(vocabulary_of(folder)));
    let is_f32 = folder.ends_with("qwen3_5-dense-f32");
    let expected: Vec<&str> = if is_f32 { vec!["unsupported_dtype"] } else { Vec::new() };
    assert_eq!(errors(&report), expected, "{}: {:#?}", folder.display(), report.findings());
    let parameters = report.parameters;
    assert!(parameters.text.unwrap() <= parameters.total.unwrap(), "{parameters:?}");
    assert!(parameters.active.unwrap() <= parameters.text.unwrap(), "{parameters:?}");
    assert_eq!(report.vocab_size, Some(vocabulary_of(folder)));
    assert!(!report.has(Code::MissingTensors, Severity::Info), "{:#?}", report.findings());
}

fn models_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.join("config.json").exists()).collect()
}

#[test]
fn a4_models_that_load_are_taken() {
    let models = models_in(&loadable());
    assert!(models.len() >= 6, "{models:?}");
    models.iter().for_each(|folder| must_be_taken(folder));
}

#[test]
fn a4_the_tiny_models_are_taken_with_their_tokenizers() {
    let requirements = requirements_of(&tiny("teacher"));
    for name in ["teacher", "student-a", "student-b"] {
        let report = check_folder(&tiny(name), &requirements);
        assert_eq!(report.findings(), [], "{name}");
        assert!(report.pass());
    }
    let teacher = check_folder(&tiny("teacher"), &requirements).parameters;
    assert!(teacher.active < teacher.text, "a mixture has fewer active parameters: {teacher:?}");
}

#[test]
#[allow(clippy::print_stdout)] // says what was checked, or that nothing was
fn a4_a_larger_collection_is_taken() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    let fixtures = std::env::var_os("DISTIL_FIXTURES").map_or(beside, PathBuf::from);
    if !fixtures.join("models").is_dir() {
        println!("skipped: no larger collection of models is here; set DISTIL_FIXTURES to its folder");
        return;
    }
    let mut models = models_in(&fixtures.join("models"));
    models.extend(models_in(&fixtures.join("parity")));
    println!("{} models", models.len());
    models.iter().for_each(|folder| must_be_taken(folder));
}

#[test]
fn a_model_written_by_hand_is_taken_in_every_layout() {
    let model = Model::llama();
    let report = model.save_and_check();
    assert_eq!(errors(&report), [""; 0], "{:#?}", report.findings());
    assert_eq!(report.parameters.total, Some(LLAMA_PARAMETERS));
    assert_eq!(report.parameters.text, Some(LLAMA_PARAMETERS));
    assert_eq!(report.parameters.active, Some(LLAMA_PARAMETERS));
    assert_eq!(report.dtypes.iter().collect::<Vec<_>>(), [(&"BF16".to_owned(), &LLAMA_PARAMETERS)]);

    let sharded = Model::llama();
    sharded.save_shards(3, |_| {});
    let report = sharded.check();
    assert_eq!(errors(&report), [""; 0], "{:#?}", report.findings());
    assert_eq!(report.parameters.total, Some(LLAMA_PARAMETERS));

    let mut prefixed = Model::llama();
    for tensor in &mut prefixed.tensors {
        tensor.name = tensor.name.replace("model.", "model.language_model.");
        tensor.dtype = "F16";
    }
    let report = prefixed.save_and_check();
    assert_eq!(errors(&report), [""; 0], "{:#?}", report.findings());
}

#[test]
fn both_layouts_of_experts_count_the_same() {
    let fused = Model::mixture();
    let first = fused.save_and_check();
    assert_eq!(errors(&first), [""; 0], "{:#?}", first.findings());

    let mut apart = Model::mixture();
    apart.remove("mlp.experts.");
    for layer in 0..2 {
        for expert in 0..8 {
            for (name, shape) in [("gate_proj", [12, 16]), ("up_proj", [12, 16]), ("down_proj", [16, 12])] {
                let name = format!("model.layers.{layer}.mlp.experts.{expert}.{name}.weight");
                apart.tensors.push(tensor(&name, "BF16", &shape));
            }
        }
    }
    let second = apart.save_and_check();
    assert_eq!(errors(&second), [""; 0], "{:#?}", second.findings());
    assert_eq!(first.parameters, second.parameters);
    // Two of eight experts are chosen: three quarters of 2 layers of 8 experts of 3 matrices are not passed.
    let (text, active) = (first.parameters.text.unwrap(), first.parameters.active.unwrap());
    assert_eq!(text - active, 2 * 8 * 3 * 12 * 16 * 3 / 4);
}

#[test]
fn vision_and_prediction_towers_count_in_the_total_alone() {
    let mut model = Model::llama();
    model.tensors.push(tensor("model.visual.blocks.0.attn.qkv.weight", "F32", &[100]));
    model.tensors.push(tensor("mtp.fc.weight", "BF16", &[50]));
    let report = model.save_and_check();
    assert_eq!(errors(&report), [""; 0], "{:#?}", report.findings());
    assert_eq!(report.parameters.total, Some(LLAMA_PARAMETERS + 150));
    assert_eq!(report.parameters.text, Some(LLAMA_PARAMETERS));
    assert_eq!(report.dtypes["F32"], 100);
}

#[test]
fn a_folder_of_the_hubs_cache_is_read_through_its_links() {
    let cache = tempfile::tempdir().unwrap();
    let (blobs, snapshot) = (cache.path().join("blobs"), cache.path().join("snapshots").join("0".repeat(40)));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    let model = Model::llama();
    model.save();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(model.path(name), blobs.join(format!("blob-of-{name}"))).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(format!("../../blobs/blob-of-{name}"), snapshot.join(name)).unwrap();
    }
    let report = check_folder(&snapshot, &requirements(VOCABULARY));
    #[cfg(unix)]
    assert_eq!(errors(&report), [""; 0], "{:#?}", report.findings());
}

#[test]
fn the_report_has_the_shape_that_scripts_lean_on() {
    let model = Model::llama();
    let json = serde_json::to_value(model.save_and_check()).unwrap();
    assert_eq!(json["model"], json!(model.folder().to_str().unwrap()));
    assert_eq!(json["pass"], json!(true));
    assert_eq!(
        json["parameters"],
        json!({"total": LLAMA_PARAMETERS, "active": LLAMA_PARAMETERS, "text": LLAMA_PARAMETERS})
    );
    assert_eq!(json["dtypes"], json!({"BF16": LLAMA_PARAMETERS}));
    assert_eq!(json["vocab_size"], json!(VOCABULARY));
    assert!(json.get("revision").is_none());
    assert!(json["digest"].as_object().unwrap().contains_key("tensors"));
    assert!(json["digest"]["tensors_reason"].is_string(), "null comes with its reason");
    let bytes: u64 =
        ["config.json", "model.safetensors"].iter().map(|name| fs::metadata(model.path(name)).unwrap().len()).sum();
    assert_eq!(json["bytes"], json!(bytes));
    let finding = &json["findings"][0];
    assert_eq!((&finding["code"], &finding["severity"]), (&json!("tokenizer_mismatch"), &json!("info")));
    assert!(finding["message"].as_str().unwrap().contains("not compared"));
}

#[test]
fn checking_twice_says_the_same() {
    let model = Model::llama().with("vocab_size", json!(0)).with("auto_map", json!({"a": "b"}));
    model.save_shards(4, |index| index["weight_map"]["x"] = json!("model-00001-of-00004.safetensors"));
    model.write("a.py", "");
    assert_eq!(model.check(), model.check());
}

#[test]
fn weights_that_cannot_be_loaded_have_no_digest_and_a_reason() {
    let mut model = Model::llama();
    model.remove("model.norm");
    let mut report = model.save_and_check();
    let repository = distil_checker::FolderRepository::open(model.folder()).unwrap();
    assert_eq!(report.add_digests(&repository, std::num::NonZeroUsize::MIN, &mut |_| {}).unwrap(), None);
    assert_eq!((report.digest.tensors, report.digest.files), (None, None));
    must_say(&report.digest.tensors_reason.unwrap(), &["cannot be loaded", "norm.weight"]);
}

/// What a later look finds becomes a part of the answer.
#[test]
fn findings_can_be_added() {
    let mut report = Model::llama().save_and_check();
    report.add_finding(Finding::new(Code::NearCopy, Severity::Warning, "near", json!({"distance": 0.1})));
    assert!(report.pass());
    report.add_finding(Finding::new(Code::ExactCopy, Severity::Error, "a copy", json!({})));
    must_be_sound(&report);
    assert_eq!((errors(&report), report.verdict()), (vec!["exact_copy".to_owned()], Verdict::Refused));
}
