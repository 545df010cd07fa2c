//! What miners and attackers really did (part A), and failures of our own (part C), on folders.

use std::fs;

use distil_checker::{
    CheckReport, CheckerError, Code, FolderRepository, Repository, Severity, Verdict, check, check_model,
};
use distil_hub::{Hub, HubSettings};
use serde_json::json;

use crate::common::*;

#[test]
fn a1_code_is_refused_wherever_it_lies() {
    for path in [
        "tokenizer.py",
        "modeling_llama.py",
        "a/b/c/x.PY",
        "custom_generate/generate.py",
        "__pycache__/x.pyc",
        "kernel.so",
    ] {
        let model = Model::llama();
        model.write(path, "print('hello')");
        let report = model.save_and_check();
        assert_eq!(errors(&report), ["remote_code"], "{path}");
        must_say(&message(&report, Code::RemoteCode), &[path, "remove"]);
    }
    let model = Model::llama();
    model.write("notes.py.md", "no code");
    assert!(model.save_and_check().pass());
}

#[test]
fn a1_s0_4_auto_map_is_refused_at_every_level_of_every_configuration() {
    let map = json!({"AutoModelForCausalLM": "modeling_x.Model"});
    for pointer in ["", "text_config", "vision_config", "a/b"] {
        let mut model = Model::llama();
        let mut place = &mut model.config;
        for part in pointer.split('/').filter(|part| !part.is_empty()) {
            place = &mut place[part];
        }
        place["auto_map"] = map.clone();
        if pointer == "text_config" {
            let mut text = model.config.as_object().unwrap().clone();
            text.insert("auto_map".into(), map.clone());
            text.remove("text_config");
            model.config["text_config"] = text.into();
        }
        let report = model.save_and_check();
        assert_eq!(errors(&report), ["remote_code"], "{pointer}: {:#?}", report.findings());
        let place =
            format!("config.json: {}{}auto_map", pointer.replace('/', "."), if pointer.is_empty() { "" } else { "." });
        must_say(&message(&report, Code::RemoteCode), &[&place]);
    }
    for file in [
        "tokenizer_config.json",
        "generation_config.json",
        "processor_config.json",
        "preprocessor_config.json",
        "video_preprocessor_config.json",
        "any_other_config.json",
    ] {
        let model = Model::llama();
        model.write(file, &json!({"x": {"auto_map": map}}).to_string());
        let report = model.save_and_check();
        assert_eq!(errors(&report), ["remote_code"], "{file}");
        must_say(&message(&report, Code::RemoteCode), &[file, "x.auto_map"]);
    }
    let null = Model::llama().with("auto_map", json!(null));
    assert!(null.save_and_check().pass(), "null asks for nothing");
}

/// The recorded case: a teacher of 72 GB in fourteen pickles, a safetensors file of 624 bytes beside them, and a
/// configuration whose mixture stands one level down, so that the top looks like a model of 3B.
#[test]
fn a2_decoy_safetensors_beside_pickle_weights() {
    let model = Model::llama();
    let text = json!({
        "model_type": "qwen3_5_moe_text", "vocab_size": VOCABULARY, "hidden_size": 2048, "num_hidden_layers": 40,
        "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256, "linear_num_key_heads": 16,
        "linear_num_value_heads": 32, "num_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512
    });
    model.write(
        "config.json",
        &json!({"model_type": "qwen3_5_moe", "hidden_size": 2560, "num_hidden_layers": 20, "text_config": text})
            .to_string(),
    );
    let embedding = tensor("model.embed_tokens.weight", "BF16", &[VOCABULARY, 4]);
    write_safetensors(&model.path("model.safetensors"), &[embedding]);
    assert!(fs::metadata(model.path("model.safetensors")).unwrap().len() < 700);
    for shard in 1..=14 {
        write_sparse(&model.path(&format!("pytorch_model-{shard:05}-of-00014.bin")), 5_142_857_142);
    }
    let report = model.check();
    assert_eq!(errors(&report), ["decoy_weights", "missing_tensors", "pickle_weights"]);
    must_say(&message(&report, Code::PickleWeights), &["pytorch_model-00001-of-00014.bin", "71,999,999,988 bytes"]);
    let decoy = finding(&report, Code::DecoyWeights);
    must_say(&decoy.message, &["256 parameters", "33,643,754,112", "upload"]);
    assert_eq!(decoy.evidence["safetensors_parameters"], json!(256));
    assert_eq!(decoy.evidence["other_weights_bytes"], json!(14 * 5_142_857_142_u64));
    assert!(decoy.evidence["needed_parameters"].as_u64().unwrap() > 33_000_000_000);
    assert_eq!(report.parameters.total, Some(256));
    assert_eq!(report.verdict(), Verdict::Refused);
}

/// The configuration describes the decoy, so only what lies beside it gives it away.
#[test]
fn a2_a_decoy_whose_configuration_fits_is_seen_by_its_neighbours() {
    let model = Model::llama();
    write_sparse(&model.path("pytorch_model.bin"), 72_000_000_000);
    let report = model.save_and_check();
    assert_eq!(errors(&report), ["decoy_weights", "pickle_weights"]);
    must_say(&message(&report, Code::DecoyWeights), &["72,000,000,000"]);
}

/// A threshold on the size alone would call every small model a decoy.
#[test]
fn a2_a_small_model_is_no_decoy_and_a_model_without_a_tensor_neither() {
    let mut model = Model::llama();
    assert!(model.save_and_check().pass());
    model.remove("layers.1.mlp.up_proj");
    assert_eq!(errors(&model.save_and_check()), ["missing_tensors"]);
    // The same weights in F32 pickles are twice as large.
    let bytes = fs::metadata(model.path("model.safetensors")).unwrap().len();
    write_sparse(&model.path("pytorch_model.bin"), 2 * bytes);
    assert_eq!(errors(&model.save_and_check()), ["missing_tensors", "pickle_weights"]);
}

#[test]
fn a2_a_decoy_without_a_sound_header_is_both() {
    let model = Model::llama().with("hidden_size", json!(4096)).with("intermediate_size", json!(16384));
    model.save_config();
    model.write("model.safetensors", &"x".repeat(624));
    assert_eq!(errors(&model.check()), ["decoy_weights", "header_invalid"]);
}

#[test]
fn a2_pickles_and_gguf_are_refused_by_name() {
    for path in ["pytorch_model.bin", "model.pt", "a/model.pth", "x.ckpt", "x.PKL", "x.pickle", "unknown.bin"] {
        let model = Model::llama();
        model.write(path, "x");
        let report = model.save_and_check();
        assert_eq!(errors(&report), ["pickle_weights"], "{path}");
        must_say(&message(&report, Code::PickleWeights), &[path]);
    }
    for path in ["model-q4.gguf", "a/b.GGUF", "ggml-model.bin"] {
        let model = Model::llama();
        model.write(path, "x");
        let report = model.save_and_check();
        assert_eq!(errors(&report), ["gguf_weights"], "{path}");
        must_say(&message(&report, Code::GgufWeights), &[path]);
    }
    for path in ["training_args.bin", "optimizer.pt", "checkpoint-1/rng_state_0.pth", "scheduler.pt"] {
        let model = Model::llama();
        model.write(path, "x");
        let report = model.save_and_check();
        assert!(report.pass(), "{path}");
        assert_eq!(codes(&report, Severity::Warning), ["pickle_weights"]);
    }
}

#[test]
fn a2_without_safetensors_there_is_nothing_to_load() {
    let model = Model::llama();
    model.save_config();
    assert_eq!(errors(&model.check()), ["no_safetensors"]);
    model.write("pytorch_model.bin", "x");
    assert_eq!(errors(&model.check()), ["no_safetensors", "pickle_weights"]);

    // Shards without their index, or weights under another name, are read by nobody.
    let model = Model::llama();
    model.save_config();
    write_safetensors(&model.path("model-00001-of-00001.safetensors"), &model.tensors);
    let report = model.check();
    assert_eq!(errors(&report), ["no_safetensors"]);
    must_say(&message(&report, Code::NoSafetensors), &["model-00001-of-00001.safetensors", "index"]);
    assert_eq!(report.parameters.total, Some(LLAMA_PARAMETERS));
    assert_eq!(report.parameters.text, None);
}

#[test]
fn a2_the_file_has_to_be_as_long_as_its_header_says() {
    let model = Model::llama();
    model.save();
    let path = model.path("model.safetensors");
    let length = fs::metadata(&path).unwrap().len();
    for wrong in [length - 1, length + 1, length / 2, 9, 8, 7, 0] {
        fs::File::options().write(true).open(&path).unwrap().set_len(wrong).unwrap();
        let report = model.check();
        assert!(errors(&report).contains(&"header_invalid".to_owned()), "{wrong}: {:#?}", report.findings());
        must_say(&message(&report, Code::HeaderInvalid), &["model.safetensors"]);
        assert_eq!(report.parameters.total, None);
        model.save();
    }
}

#[test]
fn a2_overlaps_gaps_and_double_names_are_refused() {
    let entry =
        |start: u64, end: u64| json!({"dtype": "BF16", "shape": [(end - start) / 2], "data_offsets": [start, end]});
    let text = |first: (u64, u64), second: (u64, u64)| {
        json!({"a": entry(first.0, first.1), "b": entry(second.0, second.1)}).to_string()
    };
    for (header, data_bytes, words) in [
        (text((0, 8), (4, 12)), 12, &["overlap"][..]),
        (text((0, 8), (10, 14)), 14, &["2 bytes belong to no tensor"]),
        (text((2, 8), (8, 14)), 14, &["2 bytes belong to no tensor"]),
        (r#"{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"a":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]}}"#.to_owned(), 8, &["\"a\" twice"]),
        (r#"{"a":{"dtype":"BF16","shape":[18446744073709551615,4],"data_offsets":[0,8]}}"#.to_owned(), 8, &["more elements"]),
        (r#"{"a":{"dtype":"BF17","shape":[2],"data_offsets":[0,4]}}"#.to_owned(), 4, &["BF17"]),
        ("[".repeat(5000), 4, &["{"]),
        (format!("{{\"a\":{}", "[".repeat(5000)), 4, &["header"]),
    ] {
        let model = Model::llama();
        model.save();
        write_raw(&model.path("model.safetensors"), header.as_bytes(), data_bytes);
        let report = model.check();
        assert!(report.has(Code::HeaderInvalid, Severity::Error), "{header}");
        must_say(&message(&report, Code::HeaderInvalid), words);
    }
}

#[test]
fn a2_headers_that_claim_too_much_are_not_read() {
    for claimed in [1_u64 << 63, u64::MAX, 100_000_001, 17 << 20] {
        let model = Model::llama();
        model.save();
        let path = model.path("model.safetensors");
        fs::write(&path, claimed.to_le_bytes()).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(200 << 20).unwrap();
        let report = model.check();
        assert!(report.has(Code::HeaderInvalid, Severity::Error));
        assert!(report.bytes_read < 5_000, "{}", report.bytes_read);
    }
    // Many files whose headers are within the bound one by one, but not together.
    let model = Model::llama();
    model.save();
    for file in 0..4 {
        write_raw(&model.path(&format!("extra-{file}.safetensors")), &vec![b' '; 15 << 20], 0);
    }
    let report = model.check();
    assert_eq!(report.findings().iter().filter(|finding| finding.code == Code::HeaderInvalid).count(), 4);
    assert!(report.bytes_read < (33 << 20), "{}", report.bytes_read);
}

/// One tensor under two names: which of them a reader takes is its own affair.
#[test]
fn a2_a_tensor_under_two_names_is_refused() {
    let mut model = Model::llama();
    model.tensors.push(tensor("language_model.model.norm.weight", "BF16", &[16]));
    let report = model.save_and_check();
    assert_eq!(errors(&report), ["header_invalid"]);
    must_say(&message(&report, Code::HeaderInvalid), &["model.norm.weight", "twice"]);
}

#[test]
fn a15_markers_of_quantisation_are_found_with_the_configuration_stripped() {
    let up = "model.layers.0.mlp.up_proj";
    for (marker, dtype) in [
        ("weight.absmax", "F32"),
        ("weight.quant_map", "F32"),
        ("weight.nested_absmax", "F32"),
        ("weight.quant_state.bitsandbytes__nf4", "U8"),
        ("qweight", "I32"),
        ("qzeros", "I32"),
        ("scales", "F16"),
        ("g_idx", "I32"),
        ("SCB", "F32"),
        ("weight_scale", "BF16"),
        ("weight_scale_inv", "F32"),
        ("input_scale", "BF16"),
        ("weight_packed", "I32"),
    ] {
        let mut model = Model::llama();
        model.tensors.push(tensor(&format!("{up}.{marker}"), dtype, &[4]));
        let report = model.save_and_check();
        assert_eq!(errors(&report), ["quantized"], "{marker}: {:#?}", report.findings());
        must_say(&message(&report, Code::Quantized), &[marker, "whatever the configuration says"]);
    }
}

#[test]
fn a15_integer_and_fp8_weights_are_quantised() {
    for dtype in ["U8", "I8", "I32", "F8_E4M3"] {
        let mut model = Model::llama();
        model.tensor("embed_tokens.weight").dtype = dtype;
        let report = model.save_and_check();
        assert_eq!(errors(&report), ["quantized"], "{dtype}");
        must_say(&message(&report, Code::Quantized), &[dtype, "model.embed_tokens.weight"]);
    }
    // Four-bit weights packed into bytes: half the columns are gone too, which is not called a decoy.
    let mut model = Model::llama();
    for tensor in &mut model.tensors {
        if tensor.name.contains("_proj") {
            tensor.dtype = "U8";
            tensor.shape = vec![tensor.shape.iter().product::<u64>() / 2, 1];
        }
    }
    assert_eq!(errors(&model.save_and_check()), ["missing_tensors", "quantized"]);
}

#[test]
fn a15_a_quantised_model_says_so_in_its_configuration() {
    for (field, value) in
        [("quantization_config", json!({"quant_method": "bitsandbytes"})), ("compression_config", json!({}))]
    {
        let report = Model::llama().with(field, value.clone()).save_and_check();
        assert_eq!(errors(&report), ["quantized"]);
        must_say(&message(&report, Code::Quantized), &[field]);
        let nested = Model::llama().with("vision_config", json!({"deep": {field: value}})).save_and_check();
        assert_eq!(errors(&nested), ["quantized"]);
    }
    let model = Model::llama();
    model.write("quantize_config.json", r#"{"bits": 4}"#);
    assert_eq!(errors(&model.save_and_check()), ["quantized"]);
    assert_eq!(
        errors(&Model::llama().with("torch_dtype", json!("torch.float8_e4m3fn")).save_and_check()),
        ["quantized"]
    );
}

#[test]
fn a15_rows_and_widths_have_to_be_those_of_the_configuration() {
    let mut model = Model::llama();
    model.tensor("embed_tokens.weight").shape[0] = VOCABULARY - 1;
    let report = model.save_and_check();
    assert_eq!(errors(&report), ["vocab_mismatch"]);
    must_say(&message(&report, Code::VocabMismatch), &["rows of the embedding: 63", "64"]);

    let mut model = Model::llama();
    model.tensor("lm_head.weight").shape[0] = VOCABULARY + 1;
    let report = model.save_and_check();
    assert_eq!(errors(&report), ["vocab_mismatch"]);
    assert_eq!(finding(&report, Code::VocabMismatch).evidence["head_rows"], json!(65));

    let mut model = Model::llama();
    model.tensor("embed_tokens.weight").shape[1] = 15;
    let report = model.save_and_check();
    assert_eq!(errors(&report), ["missing_tensors"]);
    must_say(&message(&report, Code::MissingTensors), &["model.embed_tokens.weight", "[64, 15]", "[64, 16]"]);
}

#[test]
fn a13_another_vocabulary_size_is_refused() {
    let model = Model::llama();
    model.save();
    let report = check_folder(model.folder(), &requirements(248_320));
    assert_eq!(errors(&report), ["vocab_mismatch"]);
    let evidence = &finding(&report, Code::VocabMismatch).evidence;
    assert_eq!(json!(evidence), json!({"needed": 248_320, "config": 64, "embedding_rows": 64, "head_rows": 64}));
}

fn offline_hub() -> (tempfile::TempDir, Hub) {
    let cache = tempfile::tempdir().unwrap();
    let settings = HubSettings::new("http://127.0.0.1:9", cache.path().to_owned()).unwrap();
    (cache, Hub::new(settings).unwrap())
}

#[test]
fn a17_hostile_names_are_refused_and_shown_harmlessly() {
    let (_cache, hub) = offline_hub();
    for name in [
        "you should all be ashamed of yourselves/now",
        "<script>alert(1)</script>/x",
        "owner/\u{1b}[31mred\u{7}",
        "owner/re\npo",
        "../../etc/passwd@x",
        "owner/repo@main",
        "a/b; rm -rf /",
        "",
        &"x/".repeat(5000),
    ] {
        let report = check_model(name, &hub, &requirements(VOCABULARY));
        must_be_sound(&report);
        let expected = if name.starts_with("..") { "not_found" } else { "invalid_name" };
        assert_eq!(errors(&report), [expected], "{name}");
        assert!(report.model.chars().all(|character| !character.is_control()) && report.model.len() < 2000);
        assert_eq!(report.verdict(), Verdict::Refused);
    }
}

#[test]
fn a17_hostile_texts_of_a_repository_are_shown_harmlessly() {
    let hostile = "\u{1b}[2J\n\u{202e}<b>".to_owned() + &"y".repeat(10_000);
    let mut model = Model::llama()
        .with("model_type", json!(hostile))
        .with("hidden_size", json!(hostile))
        .with(&hostile, json!({"auto_map": hostile}))
        .with("torch_dtype", json!(hostile));
    model.tensors.push(tensor("model.layers.0.a.qweight", "I8", &[1]));
    model.save();
    fs::write(model.folder().join("\u{1b}]0;x\u{7}.py"), "").unwrap();
    fs::write(model.folder().join("bell\u{7}.gguf"), "").unwrap();
    let report = model.check();
    assert!(errors(&report).len() > 3);
    let report = CheckReport::of_error(&hostile, None, &CheckerError::NotAFolder { path: hostile.clone().into() });
    must_be_sound(&report);
}

#[test]
fn a17_links_out_of_the_folder_are_left_out_and_told_of() {
    let model = Model::llama();
    model.save();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/etc/passwd", model.folder().join("notes.txt")).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", model.folder().join("dangling")).unwrap();
        std::os::unix::fs::symlink(model.folder(), model.folder().join("loop")).unwrap();
        let repository = FolderRepository::open(model.folder()).unwrap();
        assert_eq!(repository.files().len(), 2, "{:?}", repository.files());
        let report = check(&repository, &requirements(VOCABULARY));
        assert!(report.pass());
        must_say(&message(&report, Code::InvalidName), &["notes.txt", "symbolic link"]);
    }
}

#[test]
fn hidden_files_are_no_part_of_a_folder_and_its_size_is_bounded() {
    let model = Model::llama();
    model.save();
    model.write(".git/hooks/x.py", "");
    model.write(".hidden.py", "");
    assert!(model.check().pass());
    for file in 0..distil_checker::MAX_FILES {
        fs::write(model.folder().join(format!("{file}")), "").unwrap();
    }
    let error = FolderRepository::open(model.folder()).unwrap_err();
    assert!(matches!(error, CheckerError::TooManyFiles { .. }) && !error.is_transient(), "{error}");
}

#[test]
fn adapters_are_refused() {
    let model = Model::llama();
    model.write("adapter_config.json", r#"{"peft_type": "LORA"}"#);
    write_safetensors(
        &model.path("adapter_model.safetensors"),
        &[tensor("base_model.model.q.lora_A.weight", "BF16", &[2, 2])],
    );
    model.save_config();
    assert_eq!(errors(&model.check()), ["adapter", "no_safetensors"]);

    let mut model = Model::llama();
    model.tensors.push(tensor("model.layers.0.mlp.up_proj.lora_B.default.weight", "BF16", &[2, 2]));
    let report = model.save_and_check();
    assert_eq!(errors(&report), ["adapter"]);
    must_say(&message(&report, Code::Adapter), &["lora_B", "merge"]);
}

#[test]
fn c3_our_own_failure_to_read_is_no_refusal() {
    let model = Model::llama();
    model.save();
    // The file shrinks between the listing and the reading: a disk of ours, not a fault of the model.
    let repository = FolderRepository::open(model.folder()).unwrap();
    fs::write(model.path("model.safetensors"), [0; 4]).unwrap();
    let report = check(&repository, &requirements(VOCABULARY));
    must_be_sound(&report);
    assert_eq!(errors(&report), ["transient"]);
    assert_eq!(report.verdict(), Verdict::CannotTell);
    assert!(!report.pass());
    must_say(&message(&report, Code::Transient), &["cannot tell", "model.safetensors"]);
    assert_eq!(report.parameters.total, None);
}

#[test]
fn c3_a_model_that_is_wrong_is_refused_also_where_something_could_not_be_read() {
    let model = Model::llama();
    model.write("x.py", "");
    model.save();
    let repository = FolderRepository::open(model.folder()).unwrap();
    fs::write(model.path("model.safetensors"), [0; 4]).unwrap();
    let report = check(&repository, &requirements(VOCABULARY));
    assert_eq!(errors(&report), ["remote_code", "transient"]);
    assert_eq!(report.verdict(), Verdict::Refused);
}

#[test]
fn a_folder_that_is_not_there_is_not_found() {
    let (_cache, hub) = offline_hub();
    let report = check_model("./no/such/folder", &hub, &requirements(VOCABULARY));
    assert_eq!(errors(&report), ["not_found"]);
    must_say(&message(&report, Code::NotFound), &["no/such/folder"]);
}
