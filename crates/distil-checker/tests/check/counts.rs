//! Parameters, counted from the shapes.

use distil_checker::{Code, ModelConfig, Severity};
use serde_json::{Value, json};

use crate::common::*;

/// The sizes of a model of the Qwen3.5 family, as its published configuration gives them.
struct Sizes {
    hidden: u64,
    layers: u64,
    intermediate: u64,
    query_heads: u64,
    key_value_heads: u64,
    value_heads: u64,
    is_tied: bool,
}

impl Sizes {
    fn config(&self) -> Value {
        json!({
            "model_type": "qwen3_5_text", "vocab_size": 248_320, "hidden_size": self.hidden, "num_hidden_layers": self.layers,
            "intermediate_size": self.intermediate, "num_attention_heads": self.query_heads, "head_dim": 256,
            "num_key_value_heads": self.key_value_heads, "linear_num_key_heads": 16, "linear_key_head_dim": 128,
            "linear_num_value_heads": self.value_heads, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
            "full_attention_interval": 4, "hidden_act": "silu", "tie_word_embeddings": self.is_tied,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000_000, "partial_rotary_factor": 0.25,
                "mrope_section": [11, 11, 10], "mrope_interleaved": true}
        })
    }
}

fn sizes(hidden: u64, layers: u64, intermediate: u64, heads: [u64; 3], is_tied: bool) -> Sizes {
    let [query_heads, key_value_heads, value_heads] = heads;
    Sizes { hidden, layers, intermediate, query_heads, key_value_heads, value_heads, is_tied }
}

fn parameters(config: &Value) -> (u64, u64) {
    let counted = ModelConfig::from_json(config.to_string().as_bytes()).unwrap().parameters();
    (counted.total, counted.active)
}

/// The counts are those of the transformers library for the same configurations.
#[test]
fn a2_the_qwen_family_has_the_parameters_that_transformers_counts() {
    for (name, model, expected) in [
        ("0.8B", sizes(1024, 24, 3584, [8, 2, 16], true), 752_393_024),
        ("2B", sizes(2048, 24, 6144, [8, 2, 16], true), 1_881_825_088),
        ("4B", sizes(2560, 32, 9216, [16, 4, 32], true), 4_205_751_296),
        ("9B", sizes(4096, 32, 12288, [16, 4, 32], false), 8_953_803_264),
        ("27B", sizes(5120, 64, 17408, [24, 4, 48], false), 26_895_998_464),
    ] {
        assert_eq!(parameters(&model.config()), (expected, expected), "{name}");
        // The wrapper keeps the same fields one level down.
        let wrapper =
            json!({"model_type": "qwen3_5", "text_config": model.config(), "vision_config": {"hidden_size": 1}});
        assert_eq!(parameters(&wrapper).0, expected, "{name} in a wrapper");
    }
}

#[test]
fn a2_a_mixture_has_the_parameters_that_transformers_counts() {
    let mut config = sizes(2048, 40, 1, [16, 2, 32], false).config();
    config["model_type"] = json!("qwen3_5_moe_text");
    config["num_experts"] = json!(256);
    config["num_experts_per_tok"] = json!(8);
    config["moe_intermediate_size"] = json!(512);
    config["shared_expert_intermediate_size"] = json!(512);
    let (total, active) = parameters(&config);
    assert_eq!(total, 34_660_610_688);
    // 248 of 256 experts of 3 matrices of 512 × 2048 in 40 layers are not passed.
    assert_eq!(total - active, 40 * 248 * 3 * 512 * 2048);
    // The fields that made a teacher look like a small model stand one level down.
    let wrapper = json!({"model_type": "qwen3_5_moe", "hidden_size": 64, "num_experts": 1, "text_config": config});
    assert_eq!(parameters(&wrapper), (total, active));
}

/// One tensor more than a model has, so large that the sum is the limit, or one above it.
fn with_so_many(total: u64) -> Model {
    let mut model = Model::llama();
    model.tensors.push(tensor("mtp.fc.weight", "BF16", &[total - LLAMA_PARAMETERS]));
    model
}

#[test]
fn a2_the_limit_is_on_all_parameters_of_all_files() {
    let limit = 5_250_000_000;
    let report = with_so_many(limit).save_and_check();
    assert_eq!((report.parameters.total, errors(&report)), (Some(limit), Vec::new()), "{:#?}", report.findings());

    let report = with_so_many(limit + 1).save_and_check();
    assert_eq!(errors(&report), ["too_many_parameters"]);
    must_say(&message(&report, Code::TooManyParameters), &["5,250,000,001", "5,250,000,000"]);
    assert_eq!(finding(&report, Code::TooManyParameters).evidence["total"], json!(limit + 1));
    // What was read of these ten gigabytes.
    assert!(report.bytes_read < 10_000, "{}", report.bytes_read);

    // A file that no loader reads, in a folder of its own, counts as well.
    let model = Model::llama();
    model.save();
    write_safetensors(&model.path("old/Weights.SAFETENSORS"), &[tensor("a", "BF16", &[limit])]);
    let report = model.check();
    assert_eq!(errors(&report), ["too_many_parameters"]);
    assert_eq!(report.parameters.total, Some(limit + LLAMA_PARAMETERS));
    assert_eq!(report.parameters.text, Some(LLAMA_PARAMETERS));
    must_say(&message(&report, Code::IndexMismatch), &["old/Weights.SAFETENSORS", "no loader reads"]);
    assert_eq!(codes(&report, Severity::Warning), ["index_mismatch"]);
}

#[test]
fn c5_the_limit_is_on_bytes_as_well() {
    // Few enough elements, in a dtype that is checked only in the language model, and 40 GB to bring.
    let mut model = Model::llama();
    model.tensors.push(tensor("mtp.fc.weight", "F64", &[5_000_000_000]));
    let report = model.save_and_check();
    assert_eq!(errors(&report), ["unsupported_dtype"]);
    must_say(&message(&report, Code::UnsupportedDtype), &["40,000,0", "15,750,000,000", "F64"]);
    // A vision tower in F32 beside a language model in BF16 is nothing special.
    let mut model = Model::llama();
    model.tensors.push(tensor("mtp.fc.weight", "BF16", &[4_500_000_000]));
    model.tensors.push(tensor("visual.blocks.0.mlp.weight", "F32", &[700_000_000]));
    assert_eq!(errors(&model.save_and_check()), [""; 0]);
}

#[test]
fn a_tied_head_counts_once() {
    let mut model = Model::llama().with("tie_word_embeddings", json!(true));
    let report = model.save_and_check();
    assert_eq!(errors(&report), [""; 0]);
    assert_eq!(report.parameters.total, Some(LLAMA_PARAMETERS), "it is in the file");
    assert_eq!(report.parameters.text, Some(LLAMA_PARAMETERS - VOCABULARY * 16), "but not in the model");
    must_say(&message(&report, Code::MissingTensors), &["lm_head.weight", "tie_word_embeddings"]);
    model.remove("lm_head");
    let report = model.save_and_check();
    assert_eq!(codes(&report, Severity::Warning), [""; 0]);
    assert_eq!(report.parameters.total, report.parameters.text);
}

#[test]
fn sizes_beyond_every_model_are_refused_before_they_are_multiplied() {
    let largest = 1 << 24;
    let mut model = Model::mixture();
    for field in ["hidden_size", "num_experts", "moe_intermediate_size"] {
        model.config[field] = json!(largest);
    }
    let report = model.save_and_check();
    assert!(errors(&report).contains(&"config_invalid".to_owned()), "{:#?}", report.findings());
    must_say(&message(&report, Code::ConfigInvalid), &["hidden_size", "16777216", "262144"]);
}

#[test]
fn a_configuration_may_claim_thousands_of_experts() {
    let mut model = Model::mixture().with("num_experts", json!(1 << 12));
    model.remove("mlp.experts.");
    for expert in [0, 1, 3, 1 << 11] {
        model.tensors.push(tensor(&format!("model.layers.0.mlp.experts.{expert}.up_proj.weight"), "BF16", &[12, 16]));
    }
    let report = model.save_and_check();
    assert!(report.has(Code::MissingTensors, Severity::Error) && report.has(Code::DecoyWeights, Severity::Error));
    let evidence = &finding(&report, Code::MissingTensors).evidence;
    // 2 layers of 2¹² experts of 3 matrices, less the four that are there. (The router has a wrong shape: 8 rows.)
    assert_eq!(evidence["missing"], json!(2 * 3 * (1_u64 << 12) - 4));
}
