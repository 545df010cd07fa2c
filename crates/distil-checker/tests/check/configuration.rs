//! `config.json`: every field that is wrong is named, with its value and what it has to be.

use distil_checker::{Code, ModelConfig, Severity};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::*;

#[track_caller]
fn must_be_refused(model: Model, words: &[&str]) {
    let report = model.save_and_check();
    assert!(report.has(Code::ConfigInvalid, Severity::Error), "{:#?}", report.findings());
    must_say(&message(&report, Code::ConfigInvalid), words);
}

#[test]
fn each_field_is_told_of() {
    for (field, value, words) in [
        ("model_type", json!(null), &["model_type", "null"][..]),
        ("model_type", json!(7), &["model_type", "is 7", "a string"]),
        ("hidden_size", json!(u64::MAX), &["hidden_size", "18446744073709551615", "16777216"]),
        ("hidden_size", json!(-1), &["hidden_size", "-1"]),
        ("hidden_size", json!(0), &["hidden_size", "is 0"]),
        ("hidden_size", json!(1.5), &["hidden_size", "1.5"]),
        ("num_attention_heads", json!("4"), &["num_attention_heads", "\"4\""]),
        ("num_key_value_heads", json!(3), &["num_key_value_heads", "divisor"]),
        ("num_hidden_layers", json!(1_000_000), &["num_hidden_layers", "1024"]),
        ("hidden_act", json!("gelu"), &["hidden_act", "gelu", "silu"]),
        ("rope_parameters", json!({"rope_type": "yarn", "factor": 4.0}), &["rope_parameters.rope_type", "yarn"]),
        ("rope_scaling", json!({"type": "linear"}), &["rope_scaling.factor", "missing"]),
        ("rope_theta", json!(0), &["rope_theta", "above 0"]),
        ("partial_rotary_factor", json!(1.5), &["partial_rotary_factor", "even number"]),
        ("tie_word_embeddings", json!("yes"), &["tie_word_embeddings", "true or false"]),
        ("attention_bias", json!(1), &["attention_bias"]),
        ("mlp_bias", json!(1), &["mlp_bias"]),
        ("eos_token_id", json!("x"), &["eos_token_id"]),
        ("eos_token_id", json!(-1), &["eos_token_id"]),
        ("text_config", json!([]), &["text_config", "an object"]),
        ("layer_types", json!(["full_attention"]), &["layer_types", "a list of 1"]),
        ("layer_types", json!(["full_attention", "linear_attention"]), &["layer_types", "linear_attention", "llama"]),
        ("intermediate_size", json!(null), &["intermediate_size"]),
        ("rms_norm_eps", json!(-1.0), &["rms_norm_eps"]),
        ("layer_types", json!(["full_attention", "sliding_attention"]), &["use_sliding_window", "true"]),
        // Few parameters, and more values for each token than a machine has.
        ("hidden_size", json!(1 << 19), &["hidden_size", "524288", "262144"]),
        ("head_dim", json!(1 << 18), &["num_attention_heads", "262144"]),
        ("intermediate_size", json!(1 << 19), &["intermediate_size", "524288", "262144"]),
    ] {
        must_be_refused(Model::llama().with(field, value), words);
    }
    for (field, value, words) in [
        ("linear_num_key_heads", json!(3), &["linear_num_value_heads", "multiple", "3"][..]),
        ("linear_conv_kernel_dim", json!(65), &["linear_conv_kernel_dim", "64"]),
        ("num_experts_per_tok", json!(9), &["num_experts_per_tok", "at most", "8"]),
        ("num_experts", json!(0), &["num_experts"]),
        ("num_experts", json!(4097), &["num_experts", "4097", "4096"]),
        ("moe_intermediate_size", json!(1 << 18), &["moe_intermediate_size", "262144"]),
        ("shared_expert_intermediate_size", json!(1 << 19), &["shared_expert_intermediate_size", "524288"]),
        ("linear_key_head_dim", json!(1 << 21), &["linear_num_key_heads", "262144"]),
        ("linear_value_head_dim", json!(1 << 18), &["linear_num_value_heads", "262144"]),
        ("shared_expert_intermediate_size", json!(null), &["shared_expert_intermediate_size"]),
        ("layer_types", json!(["sliding_attention", "full_attention"]), &["layer_types", "sliding_attention"]),
    ] {
        must_be_refused(Model::mixture().with(field, value), words);
    }
}

#[test]
fn all_fields_are_told_of_and_not_the_first() {
    let report = Model::llama()
        .with("hidden_size", json!("x"))
        .with("num_hidden_layers", json!(0))
        .with("intermediate_size", json!(-3))
        .with("rope_theta", json!("y"))
        .with("vocab_size", json!(null))
        .save_and_check();
    let fields: Vec<&str> = report
        .findings()
        .iter()
        .filter(|finding| finding.code == Code::ConfigInvalid)
        .map(|finding| finding.evidence["field"].as_str().unwrap())
        .collect();
    for field in ["hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size"] {
        assert!(fields.contains(&field), "{field} is not among {fields:?}");
    }
    // The weights are judged all the same.
    assert_eq!(report.parameters.total, Some(LLAMA_PARAMETERS));
}

#[test]
fn files_that_are_no_configuration() {
    let model = Model::llama();
    model.save();
    for (text, words) in [
        ("", &["config.json"][..]),
        ("[]", &["not a JSON object"]),
        ("{\"a\": 1, \"a\": 2}", &["\"a\" is there twice"]),
        ("{\"a\": NaN}", &["config.json"]),
        (&"[".repeat(100_000), &["recursion"]),
        (&format!("[{}0]", "0,".repeat(200_000)), &["too many values"]),
        (&format!("{{\"a\": \"{}\"}}", "x".repeat(5 << 20)), &["at most 4194304"]),
    ] {
        model.write("config.json", text);
        let report = model.check();
        assert_eq!(errors(&report), ["config_invalid"]);
        must_say(&message(&report, Code::ConfigInvalid), words);
    }
    std::fs::remove_file(model.path("config.json")).unwrap();
    must_say(&message(&model.check(), Code::ConfigInvalid), &["no config.json"]);
    // The loader reads the generation's configuration too, and stops at a broken one.
    model.save();
    model.write("generation_config.json", "{");
    assert_eq!(errors(&model.check()), ["config_invalid"]);
    model.write("generation_config.json", r#"{"eos_token_id": "x"}"#);
    must_say(&message(&model.check(), Code::ConfigInvalid), &["generation_config.json", "eos_token_id"]);
    model.write("generation_config.json", r#"{"eos_token_id": [1, 2]}"#);
    model.write("preprocessor_config.json", "{");
    let report = model.check();
    assert!(report.pass());
    assert_eq!(codes(&report, Severity::Warning), ["config_invalid"]);
}

#[test]
fn an_unknown_architecture_is_named() {
    let report = Model::llama().with("model_type", json!("qwen4_exp\u{1b}[31m")).save_and_check();
    assert_eq!(errors(&report), ["unsupported_architecture"]);
    must_say(&message(&report, Code::UnsupportedArchitecture), &["qwen4_exp", "qwen3_5"]);
    assert_eq!(report.parameters.text, Some(LLAMA_PARAMETERS), "counted by name");
    assert_eq!(report.parameters.active, None);
    assert_eq!(report.vocab_size, Some(VOCABULARY));
}

#[test]
fn a2_s0_16_fields_are_read_where_transformers_reads_them() {
    let flat = Model::mixture();
    // All fields one level down, the tie at the wrapper's level.
    let mut nested = Model::mixture();
    let mut text = nested.config.as_object().unwrap().clone();
    text.remove("tie_word_embeddings");
    nested.config = json!({"model_type": "qwen3_5_moe", "tie_word_embeddings": true, "hidden_size": 7, "vision_config": {}, "text_config": text});
    let (flat, nested) = (flat.save_and_check(), nested.save_and_check());
    assert!(nested.pass(), "{:#?}", nested.findings());
    assert_eq!(flat.parameters, nested.parameters);
    // The nearer level decides where both speak.
    let mut both = Model::mixture();
    both.config = json!({"model_type": "qwen3_5_moe", "tie_word_embeddings": true, "text_config": both.config});
    both.config["text_config"]["tie_word_embeddings"] = json!(false);
    must_say(&message(&both.save_and_check(), Code::MissingTensors), &["lm_head.weight"]);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_u64..40).prop_map(Value::from),
        "(full|linear|sliding)_attention|qwen3_5|llama|yarn|linear|\\PC{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::hash_map("rope_type|factor|[a-z]{1,3}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A sound configuration with some fields replaced.
fn any_config() -> impl Strategy<Value = Value> {
    let base = prop_oneof![Just(true), Just(false)];
    (base, any::<bool>(), proptest::collection::vec((0_usize..60, any_json()), 0..5)).prop_map(
        |(is_llama, is_nested, changes)| {
            let mut config = if is_llama { Model::llama().config } else { Model::mixture().config };
            let mut names: Vec<String> = config.as_object().unwrap().keys().cloned().collect();
            for more in [
                "rope_scaling",
                "rope_parameters",
                "rope_theta",
                "head_dim",
                "num_local_experts",
                "mlp_only_layers",
                "decoder_sparse_step",
                "use_sliding_window",
                "sliding_window",
                "max_window_layers",
                "full_attention_interval",
                "text_config",
                "partial_rotary_factor",
                "quantization_config",
                "auto_map",
                "attention_bias",
            ] {
                names.push(more.to_owned());
            }
            for (index, value) in changes {
                config[&names[index % names.len()]] = value;
            }
            if is_nested { json!({"text_config": config}) } else { config }
        },
    )
}

proptest! {
    #[test]
    fn any_configuration_is_read_or_refused(config in any_config()) {
        if let Ok(config) = ModelConfig::from_json(config.to_string().as_bytes()) {
            prop_assert!(config.parameters().active <= config.parameters().total);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = ModelConfig::from_json(&bytes);
    }
}

proptest! {
    // Each case writes and checks a folder.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_repository_gets_a_report(
        config in any_config(),
        index in any_json(),
        header in prop_oneof![any_json().prop_map(|json| json.to_string().into_bytes()), proptest::collection::vec(any::<u8>(), 0..60)],
        tokenizer in any_json(),
        data_bytes in 0_u64..100,
    ) {
        let model = Model::llama();
        model.write("config.json", &config.to_string());
        model.write("model.safetensors.index.json", &json!({"weight_map": index}).to_string());
        model.write("tokenizer.json", &json!({"model": tokenizer}).to_string());
        write_raw(&model.path("model-1.safetensors"), &header, data_bytes);
        check_folder(model.folder(), &requirements_of(&tiny("teacher")));
        model.save();
        model.write("config.json", &config.to_string());
        model.check();
    }
}
