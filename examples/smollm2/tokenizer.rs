//! The tokenizer that a GGUF file describes, as `tokenizer.json`.

use crate::gguf::Gguf;
use anyhow::{Result, bail, ensure};
use serde_json::{Map, Value, json};
use std::path::Path;
use tokenizers::Tokenizer;

/// The types of tokens in a GGUF file that SmolLM2 has.
const NORMAL: i64 = 1;
const CONTROL: i64 = 3;

/// What a model folder needs to turn text into tokens.
pub(crate) struct Files {
    pub(crate) tokenizer: Value,
    pub(crate) tokenizer_config: Value,
}

impl Files {
    pub(crate) fn build(gguf: &Gguf, vocab_size: usize) -> Result<Self> {
        for (key, expected) in [("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", "smollm")] {
            let value = gguf.text(key)?;
            ensure!(value == expected, "{key} is {value:?}, SmolLM2 has {expected:?}");
        }
        let tokens = gguf.texts("tokenizer.ggml.tokens")?;
        let types = gguf.integers("tokenizer.ggml.token_type")?;
        let merges = gguf.texts("tokenizer.ggml.merges")?;
        ensure!(tokens.len() == vocab_size, "{} tokens, the model has {vocab_size}", tokens.len());
        ensure!(tokens.len() == types.len(), "{} tokens have {} types", tokens.len(), types.len());

        let mut vocabulary = Map::new();
        let mut added = Vec::new();
        for (id, (token, kind)) in tokens.iter().zip(types).enumerate() {
            ensure!(vocabulary.insert((*token).to_owned(), json!(id)).is_none(), "token {id} {token:?} is there twice");
            match kind {
                NORMAL => {}
                CONTROL => added.push(json!({
                    "id": id,
                    "content": token,
                    "single_word": false,
                    "lstrip": false,
                    "rstrip": false,
                    "normalized": false,
                    "special": true,
                })),
                other => bail!("token {id} {token:?} is of type {other}, SmolLM2 has {NORMAL} and {CONTROL} only"),
            }
        }
        let merges: Vec<[&str; 2]> = merges
            .iter()
            .map(|merge| match merge.split_once(' ') {
                Some((left, right)) if !right.contains(' ') => Ok([left, right]),
                _ => bail!("the merge {merge:?} is not two tokens with a space between"),
            })
            .collect::<Result<_>>()?;

        // Each digit is a token of its own; then text is split as for GPT-2 and its bytes become the characters that
        // the vocabulary is written in.
        let tokenizer = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": null,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Digits", "individual_digits": true},
                    {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
                ],
            },
            "post_processor": null,
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": null,
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": false,
                "vocab": vocabulary,
                "merges": merges,
            },
        });
        let token = |key| -> Result<&str> { Ok(tokens[gguf.token_id(key, tokens.len())? as usize]) };
        let tokenizer_config = json!({
            "bos_token": token("tokenizer.ggml.bos_token_id")?,
            "chat_template": gguf.text("tokenizer.chat_template")?,
            "eos_token": token("tokenizer.ggml.eos_token_id")?,
            "pad_token": token("tokenizer.ggml.padding_token_id")?,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": token("tokenizer.ggml.unknown_token_id")?,
        });
        Ok(Files { tokenizer, tokenizer_config })
    }
}

/// Reads the tokenizer back with the library that others will read it with, and sends a text there and back.
pub(crate) fn check(path: &Path, vocab_size: usize) -> Result<()> {
    const TEXT: &str = "Call me Ishmael. Some years ago—never mind how long precisely—in 1851,\n\n\tI'd ¥  sail… 鯨 🐋";
    let readable = |error: tokenizers::Error| anyhow::anyhow!("{}: {error}", path.display());
    let tokenizer = Tokenizer::from_file(path).map_err(readable)?;
    let size = tokenizer.get_vocab_size(true);
    ensure!(size == vocab_size, "{}: {size} tokens, the model has {vocab_size}", path.display());
    let encoding = tokenizer.encode(TEXT, false).map_err(readable)?;
    let text = tokenizer.decode(encoding.get_ids(), false).map_err(readable)?;
    ensure!(text == TEXT, "{}: {TEXT:?} comes back as {text:?}", path.display());
    Ok(())
}
