//! The conversion on a GGUF file of a few kilobytes, and on files that are broken.

use super::{Args, convert};
use candle_core::{
    DType, Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Value},
    },
};
use proptest::prelude::*;
use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

const HIDDEN: usize = 8;
const INNER: usize = 12;
const LAYERS: usize = 3;
const VOCAB: usize = 260;

/// The content of a GGUF file, to be changed before it is written.
struct Content {
    metadata: BTreeMap<&'static str, Value>,
    tensors: BTreeMap<String, Tensor>,
}

impl Content {
    fn new() -> Self {
        let texts = |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::String).collect());
        let mut tokens: Vec<String> = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(String::from).to_vec();
        let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
        alphabet.sort_unstable();
        tokens.extend(alphabet.into_iter().map(String::from));
        tokens.push("he".to_owned());
        let types = (0..VOCAB).map(|id| Value::I32(if id < 3 { 3 } else { 1 })).collect();
        let metadata = BTreeMap::from([
            ("general.architecture", Value::String("llama".to_owned())),
            ("llama.block_count", Value::U32(LAYERS as u32)),
            ("llama.context_length", Value::U32(64)),
            ("llama.embedding_length", Value::U32(HIDDEN as u32)),
            ("llama.feed_forward_length", Value::U32(INNER as u32)),
            ("llama.attention.head_count", Value::U32(2)),
            ("llama.attention.head_count_kv", Value::U32(1)),
            ("llama.rope.dimension_count", Value::U32(4)),
            ("llama.rope.freq_base", Value::F32(100_000.0)),
            ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            ("llama.vocab_size", Value::U32(VOCAB as u32)),
            ("tokenizer.ggml.model", Value::String("gpt2".to_owned())),
            ("tokenizer.ggml.pre", Value::String("smollm".to_owned())),
            ("tokenizer.ggml.tokens", texts(tokens)),
            ("tokenizer.ggml.token_type", Value::Array(types)),
            ("tokenizer.ggml.merges", texts(vec!["h e".to_owned()])),
            ("tokenizer.ggml.bos_token_id", Value::U32(1)),
            ("tokenizer.ggml.eos_token_id", Value::U32(2)),
            ("tokenizer.ggml.padding_token_id", Value::U32(2)),
            ("tokenizer.ggml.unknown_token_id", Value::U32(0)),
            ("tokenizer.chat_template", Value::String("{{ messages }}".to_owned())),
        ]);
        let mut content = Content { metadata, tensors: BTreeMap::new() };
        content.tensor("token_embd.weight", &[VOCAB, HIDDEN], 0.5);
        content.tensor("output_norm.weight", &[HIDDEN], 1.0);
        for layer in 0..LAYERS {
            for (part, shape) in [
                ("attn_norm", &[HIDDEN][..]),
                ("attn_q", &[HIDDEN, HIDDEN]),
                ("attn_k", &[4, HIDDEN]),
                ("attn_v", &[4, HIDDEN]),
                ("attn_output", &[HIDDEN, HIDDEN]),
                ("ffn_norm", &[HIDDEN]),
                ("ffn_gate", &[INNER, HIDDEN]),
                ("ffn_up", &[INNER, HIDDEN]),
                ("ffn_down", &[HIDDEN, INNER]),
            ] {
                content.tensor(&format!("blk.{layer}.{part}.weight"), shape, layer as f64);
            }
        }
        content
    }

    /// A tensor that holds one number throughout.
    fn tensor(&mut self, name: &str, shape: &[usize], number: f64) {
        let tensor = Tensor::full(number as f32, shape, &Device::Cpu).unwrap();
        self.tensors.insert(name.to_owned(), tensor);
    }

    fn write(&self, path: &Path) {
        let tensors: Vec<(&str, QTensor)> = self
            .tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), QTensor::quantize(tensor, GgmlDType::F32).unwrap()))
            .collect();
        let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let metadata: Vec<(&str, &Value)> = self.metadata.iter().map(|(key, value)| (*key, value)).collect();
        gguf_file::write(&mut fs::File::create(path).unwrap(), &metadata, &tensors).unwrap();
    }
}

/// Converts, and when that fails makes sure that nothing is left behind.
fn try_convert(gguf: impl FnOnce(&Path), drop_layers: &[usize]) -> Result<tempfile::TempDir, String> {
    let folder = tempfile::tempdir().unwrap();
    let args = Args {
        gguf: folder.path().join("model.gguf"),
        out: folder.path().join("made/out"),
        drop_layers: drop_layers.to_vec(),
    };
    gguf(&args.gguf);
    match convert(&args) {
        Ok(_) => {
            let left: Vec<_> = fs::read_dir(folder.path().join("made")).unwrap().collect();
            assert_eq!(left.len(), 1, "{left:?}");
            Ok(folder)
        }
        Err(error) => {
            let left = fs::read_dir(folder.path().join("made")).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{error:#}");
            Err(format!("{error:#}"))
        }
    }
}

#[test]
fn the_pruned_model_has_the_other_layers_in_their_order() {
    let folder = try_convert(|path| Content::new().write(path), &[1]).unwrap();
    for (name, layers) in [("whole", vec![0.0, 1.0, 2.0]), ("pruned", vec![0.0, 2.0])] {
        let model = folder.path().join("made/out").join(name);
        let config: serde_json::Value = serde_json::from_slice(&fs::read(model.join("config.json")).unwrap()).unwrap();
        assert_eq!(config["num_hidden_layers"], layers.len());
        assert_eq!(config["rms_norm_eps"], 1e-5);
        assert_eq!(config["tie_word_embeddings"], true);
        let tensors = candle_core::safetensors::load(model.join("model.safetensors"), &Device::Cpu).unwrap();
        assert_eq!(tensors.len(), 2 + 9 * layers.len());
        for (layer, number) in layers.into_iter().enumerate() {
            let tensor = &tensors[&format!("model.layers.{layer}.self_attn.v_proj.weight")];
            assert_eq!((tensor.dtype(), tensor.dims()), (DType::BF16, &[4, HIDDEN][..]));
            let first = tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
            assert_eq!(first, number);
        }
        assert!(model.join("tokenizer.json").exists() && model.join("generation_config.json").exists());
    }
}

#[test]
fn what_is_wrong_is_named() {
    type Change = fn(&mut Content);
    let faults: [(Change, &str); 11] = [
        (|c| drop(c.metadata.remove("llama.block_count")), "no key llama.block_count"),
        (|c| drop(c.metadata.insert("llama.block_count", Value::U32(0))), "llama.block_count is 0"),
        (|c| drop(c.metadata.insert("llama.block_count", Value::Bool(true))), "value of another type"),
        (|c| drop(c.metadata.insert("general.architecture", Value::String("qwen2".into()))), "the architecture is"),
        (|c| drop(c.metadata.insert("llama.attention.head_count", Value::U32(3))), "do not make a hidden size"),
        (|c| drop(c.metadata.insert("tokenizer.ggml.pre", Value::String("llama3".into()))), "tokenizer.ggml.pre"),
        (|c| drop(c.metadata.insert("tokenizer.ggml.eos_token_id", Value::U32(260))), "beyond 260 tokens"),
        (
            |c| drop(c.metadata.insert("tokenizer.ggml.merges", Value::Array(vec![Value::String("he".into())]))),
            "the merge",
        ),
        (|c| drop(c.metadata.insert("llama.rope.freq_base", Value::F32(f32::NAN))), "llama.rope.freq_base is NaN"),
        (|c| drop(c.tensors.remove("blk.2.ffn_up.weight")), "no tensor blk.2.ffn_up.weight"),
        (|c| c.tensor("blk.1.attn_k.weight", &[8, 4], 0.0), "blk.1.attn_k.weight has the shape [8, 4]"),
    ];
    for (change, expected) in faults {
        let mut content = Content::new();
        change(&mut content);
        let error = try_convert(|path| content.write(path), &[1]).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    for (layers, expected) in [(&[3][..], "layers 0 to 2"), (&[0, 1, 2], "leaves no layer of 3")] {
        let error = try_convert(|path| Content::new().write(path), layers).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let error = try_convert(|_| {}, &[]).unwrap_err();
    assert!(error.contains("cannot open"), "{error}");
    let error = try_convert(|path| fs::write(path, "no model").unwrap(), &[]).unwrap_err();
    assert!(error.contains("not a usable GGUF file"), "{error}");
}

#[test]
fn an_existing_folder_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let args = Args { gguf: folder.path().join("none"), out: folder.path().to_owned(), drop_layers: vec![] };
    assert!(convert(&args).unwrap_err().to_string().contains("exists already"));
}

static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    Content::new().write(&path);
    fs::read(path).unwrap()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cut_file_is_an_error(length in 0..BYTES.len()) {
        // The last tensor may be followed by padding; what is cut there is not missed.
        let result = try_convert(|path| fs::write(path, &BYTES[..length]).unwrap(), &[1]);
        prop_assert!(result.is_err() || length + 32 > BYTES.len());
    }

    #[test]
    fn changed_bytes_are_an_error_or_another_model(
        changes in prop::collection::vec((0..12_000_usize, any::<u8>()), 1..4)
    ) {
        let mut bytes = BYTES.clone();
        for (place, byte) in changes {
            bytes[place] = byte;
        }
        let _ = try_convert(|path| fs::write(path, bytes).unwrap(), &[1]);
    }
}
