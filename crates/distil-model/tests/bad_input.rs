//! Broken and hostile model folders: each is an error that names what is at fault, never a panic.

use std::fs;
use std::path::{Path, PathBuf};

use distil_model::{CausalLm, Generation, HiddenStatesRequest, LoadOptions, ModelError, Sampling, Tokenizer};
use serde_json::{Value, json};

/// A copy of a good model that a test then spoils.
struct Spoiled {
    folder: tempfile::TempDir,
}

impl Spoiled {
    fn new(name: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(source).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        Self { folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn config(self, field: &str, value: Value) -> Self {
        self.json("config.json", |config| config[field] = value)
    }

    fn json(self, file: &str, edit: impl FnOnce(&mut Value)) -> Self {
        let mut value: Value = serde_json::from_slice(&fs::read(self.path(file)).unwrap()).unwrap();
        edit(&mut value);
        fs::write(self.path(file), value.to_string()).unwrap();
        self
    }

    /// Rewrites the header of the weights.
    fn header(self, edit: impl FnOnce(&mut Value)) -> Self {
        let bytes = fs::read(self.path("model.safetensors")).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        edit(&mut header);
        let header = header.to_string().into_bytes();
        let mut out = (header.len() as u64).to_le_bytes().to_vec();
        out.extend(header);
        out.extend(&bytes[8 + length..]);
        fs::write(self.path("model.safetensors"), out).unwrap();
        self
    }

    fn weights(self, edit: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Self {
        let bytes = fs::read(self.path("model.safetensors")).unwrap();
        fs::write(self.path("model.safetensors"), edit(bytes)).unwrap();
        self
    }

    #[track_caller]
    fn must_fail_saying(self, words: &[&str]) -> ModelError {
        let error = CausalLm::load(self.folder.path(), &LoadOptions::cpu_f32()).expect_err("the model was loaded");
        let message = error.to_string();
        for word in words {
            assert!(message.contains(word), "«{message}» does not say «{word}»");
        }
        assert!(!message.chars().any(char::is_control), "«{message:?}» has control characters");
        error
    }
}

#[test]
fn configurations() {
    let llama = || Spoiled::new("llama");
    let unknown = llama().config("model_type", json!("qwen4_exp\u{1b}[31m")).must_fail_saying(&[
        "config.json",
        "qwen4_exp",
        "supported",
    ]);
    assert!(matches!(unknown, ModelError::UnsupportedArchitecture { .. }));
    llama().config("model_type", Value::Null).must_fail_saying(&["model_type", "null"]);
    llama().config("hidden_size", json!(u64::MAX)).must_fail_saying(&["hidden_size", "18446744073709551615"]);
    llama().config("hidden_size", json!(-1)).must_fail_saying(&["hidden_size", "-1"]);
    llama().config("num_attention_heads", json!("4")).must_fail_saying(&["num_attention_heads"]);
    llama().config("num_key_value_heads", json!(3)).must_fail_saying(&["num_key_value_heads", "divisor"]);
    llama().config("num_hidden_layers", json!(1_000_000)).must_fail_saying(&["num_hidden_layers", "1024"]);
    llama().config("hidden_act", json!("gelu")).must_fail_saying(&["hidden_act", "gelu", "silu"]);
    llama()
        .config("rope_parameters", json!({"rope_type": "yarn", "factor": 4.0}))
        .must_fail_saying(&["rope_type", "yarn"]);
    llama().config("quantization_config", json!({"quant_method": "fp8"})).must_fail_saying(&["quantization_config"]);
    llama().json("config.json", |config| *config = json!([1])).must_fail_saying(&["config.json", "not a JSON object"]);
    llama()
        .config("eos_token_id", json!("x"))
        .json("generation_config.json", |c| *c = json!({}))
        .must_fail_saying(&["eos_token_id"]);
    let qwen = || Spoiled::new("qwen3_5-dense");
    qwen().config("layer_types", json!(["full_attention"])).must_fail_saying(&["layer_types", "1 entries", "4"]);
    qwen().config("layer_types", json!(["a", "b", "c", "d"])).must_fail_saying(&["layer_types", "qwen3_5"]);
    qwen().config("linear_num_value_heads", json!(3)).must_fail_saying(&["linear_num_value_heads", "multiple"]);
    Spoiled::new("qwen3_moe").config("num_experts_per_tok", json!(9)).must_fail_saying(&["num_experts_per_tok", "8"]);
}

#[test]
fn files_that_are_not_there() {
    let spoiled = Spoiled::new("llama");
    fs::remove_file(spoiled.path("config.json")).unwrap();
    spoiled.must_fail_saying(&["cannot read", "config.json"]);
    let spoiled = Spoiled::new("llama");
    fs::rename(spoiled.path("model.safetensors"), spoiled.path("pytorch_model.bin")).unwrap();
    spoiled.must_fail_saying(&["model.safetensors", "only safetensors"]);
    let spoiled = Spoiled::new("qwen3_5-moe");
    fs::remove_file(spoiled.path("model-00002-of-00004.safetensors")).unwrap();
    spoiled.must_fail_saying(&["cannot read", "model-00002-of-00004.safetensors"]);
    assert!(Tokenizer::load(Spoiled::new("llama").folder.path()).unwrap_err().to_string().contains("tokenizer.json"));
}

#[test]
fn headers() {
    let llama = || Spoiled::new("llama");
    llama().weights(|_| Vec::new()).must_fail_saying(&["model.safetensors", "0 bytes"]);
    llama().weights(|bytes| bytes[..5].to_vec()).must_fail_saying(&["5 bytes"]);
    let huge = |mut bytes: Vec<u8>| {
        bytes[..8].copy_from_slice(&(1_u64 << 60).to_le_bytes());
        bytes
    };
    llama().weights(huge).must_fail_saying(&["model.safetensors", "1152921504606846976", "cut short"]);
    llama()
        .weights(|bytes| bytes[..bytes.len() - 1].to_vec())
        .must_fail_saying(&["model.safetensors", "not a sound safetensors file"]);
    llama()
        .weights(|mut bytes| {
            bytes[9] = b'{';
            bytes
        })
        .must_fail_saying(&["model.safetensors", "JSON"]);
    let name = "model.norm.weight";
    llama()
        .header(|header| header[name]["data_offsets"] = json!([0, u64::MAX]))
        .must_fail_saying(&["model.safetensors"]);
    llama().header(|header| header[name]["shape"] = json!([1u64 << 62, 8])).must_fail_saying(&["model.safetensors"]);
}

#[test]
fn tensors() {
    let llama = || Spoiled::new("llama");
    let renamed = |from: &'static str, to: &'static str| {
        move |header: &mut Value| {
            let entry = header.as_object_mut().unwrap().remove(from).unwrap();
            header[to] = entry;
        }
    };
    let missing = llama()
        .header(renamed("model.norm.weight", "model.other.weight"))
        .must_fail_saying(&["norm.weight", "missing"]);
    assert!(matches!(missing, ModelError::MissingTensor { .. }));
    let shape =
        llama().config("vocab_size", json!(511)).must_fail_saying(&["embed_tokens.weight", "[512, 64]", "[511, 64]"]);
    assert!(matches!(shape, ModelError::TensorShape { .. }));
    let dtype = llama()
        .header(|header| header["model.norm.weight"]["dtype"] = json!("I16"))
        .must_fail_saying(&["norm.weight", "I16"]);
    assert!(matches!(dtype, ModelError::TensorDtype { .. }));
    // The same tensor twice, under two of the names that saves have used.
    llama()
        .header(renamed("lm_head.weight", "model.language_model.norm.weight"))
        .must_fail_saying(&["norm.weight", "two names"]);
}

#[test]
fn indices_over_shards() {
    let moe = || Spoiled::new("qwen3_5-moe");
    let index = "model.safetensors.index.json";
    for escape in ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "", "weights.bin"] {
        moe()
            .json(index, |index| index["weight_map"]["lm_head.weight"] = json!(escape))
            .must_fail_saying(&["index.json", "lm_head.weight"]);
    }
    moe().json(index, |index| index["weight_map"] = json!({})).must_fail_saying(&["index.json", "empty"]);
    moe().json(index, |index| *index = json!({})).must_fail_saying(&["index.json", "weight_map"]);
    moe()
        .json(index, |index| index["weight_map"]["model.extra"] = json!("model-00001-of-00004.safetensors"))
        .must_fail_saying(&["model.extra", "missing"]);
    // A shard whose tensors stand in another one too.
    let twice = moe();
    fs::copy(twice.path("model-00001-of-00004.safetensors"), twice.path("model-00009-of-00004.safetensors")).unwrap();
    twice
        .json(index, |index| index["weight_map"]["x"] = json!("model-00009-of-00004.safetensors"))
        .must_fail_saying(&["another shard"]);
}

#[test]
fn requests() {
    let spoiled = Spoiled::new("llama");
    let model = CausalLm::load(spoiled.folder.path(), &LoadOptions::cpu_f32()).unwrap();
    let states = |tokens: &[u32], positions| {
        model.hidden_states(&[HiddenStatesRequest { tokens, positions }]).unwrap_err().to_string()
    };
    assert!(states(&[1, 2], 0..3).contains("0..3"));
    assert!(states(&[1, 2], 1..1).contains("1..1"));
    assert!(states(&[1, 512], 0..2).contains("512"));
    assert!(model.hidden_states(&[]).is_err());
    let generation =
        |sampling| Generation { max_new_tokens: 2, sampling, end_of_sequence: vec![], cache_budget_bytes: 0 };
    let error = |prompts: &[&[u32]], generation: &Generation| {
        model.generate(prompts, generation, &mut |_| {}).unwrap_err().to_string()
    };
    assert!(error(&[&[1], &[]], &generation(Sampling::Greedy)).contains("empty"));
    assert!(error(&[&[1], &[1, 9999]], &generation(Sampling::Greedy)).contains("position 1 of sequence 1"));
    let draws = |temperature, top_p| Sampling::TopP { temperature, top_p, seed: [0; 32] };
    assert!(error(&[&[1]], &generation(draws(0.0, 0.9))).contains("temperature"));
    assert!(error(&[&[1]], &generation(draws(f64::NAN, 0.9))).contains("temperature"));
    assert!(error(&[&[1]], &generation(draws(0.7, 1.1))).contains("top_p"));
    assert!(
        error(&[&[1]], &Generation { max_new_tokens: 0, ..generation(Sampling::Greedy) }).contains("max_new_tokens")
    );
    assert!(
        model
            .head()
            .logits_tile(
                &model.hidden_states(&[HiddenStatesRequest { tokens: &[1], positions: 0..1 }]).unwrap()[0],
                500..513
            )
            .is_err()
    );
}

#[test]
fn weights_that_are_not_numbers_are_told_when_tokens_are_chosen() {
    let spoiled = Spoiled::new("llama").weights(|mut bytes| {
        // The last value of the file belongs to some tensor that every forward pass uses.
        let end = bytes.len();
        bytes[end - 2..].copy_from_slice(&[0xc0, 0x7f]);
        bytes
    });
    let model = CausalLm::load(spoiled.folder.path(), &LoadOptions::cpu_f32()).unwrap();
    let generation =
        Generation { max_new_tokens: 2, sampling: Sampling::Greedy, end_of_sequence: vec![], cache_budget_bytes: 0 };
    let error = model.generate(&[&[1, 2, 3]], &generation, &mut |_| {}).unwrap_err();
    assert!(matches!(error, ModelError::NotFinite { sequence: 0, .. }), "{error}");
}

#[test]
fn configurations_in_the_form_of_transformers_4_mean_the_same() {
    let logits = |spoiled: &Spoiled| -> Vec<Vec<f32>> {
        let model = CausalLm::load(spoiled.folder.path(), &LoadOptions::cpu_f32()).unwrap();
        let hidden =
            model.hidden_states(&[HiddenStatesRequest { tokens: &[5, 6, 7, 8], positions: 0..4 }]).unwrap().remove(0);
        model.head().logits_tile(&hidden, 0..512).unwrap().to_vec2().unwrap()
    };
    for name in ["llama", "qwen2", "qwen3", "qwen3_moe", "qwen3_5-dense"] {
        let old = Spoiled::new(name).json("config.json", |config| {
            let config = config.as_object_mut().unwrap();
            for (field, value) in config.remove("rope_parameters").unwrap().as_object().unwrap() {
                config.insert(field.clone(), value.clone());
            }
            config.remove("rope_type");
            config.remove("layer_types");
            if let Some(experts) = config.remove("num_local_experts") {
                config.insert("num_experts".into(), experts);
            }
            let dtype = config.remove("dtype").unwrap();
            config.insert("torch_dtype".into(), dtype);
            config.insert("rope_scaling".into(), Value::Null);
        });
        assert_eq!(logits(&old), logits(&Spoiled::new(name)), "{name}");
    }
}

proptest::proptest! {
    /// Any bytes in place of a configuration, a header or an index: an error or a model, never a panic.
    #[test]
    fn noise_never_panics(noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), at in 0usize..2000) {
        for file in ["config.json", "model.safetensors", "generation_config.json"] {
            let spoiled = Spoiled::new("qwen2");
            let mut bytes = fs::read(spoiled.path(file)).unwrap();
            let at = at % bytes.len();
            let end = bytes.len().min(at + noise.len());
            bytes[at..end].copy_from_slice(&noise[..end - at]);
            fs::write(spoiled.path(file), bytes).unwrap();
            let _ = CausalLm::load(spoiled.folder.path(), &LoadOptions::cpu_f32());
        }
    }
}
