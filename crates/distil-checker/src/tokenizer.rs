//! A tokenizer as data: vocabulary, merges and added tokens, read and compared, never run.
//!
//! A student's tokenizer has no part in scoring: tokens are the teacher's. But a model that was trained with another one
//! predicts other ids, and a repository whose tokenizer is not the teacher's is of no use to whoever downloads it.

mod compare;
mod parse;
mod read;

use std::collections::{BTreeMap, HashMap};

use distil_hub::Sha256Digest;
use serde_json::{Map, Value};

pub(crate) use compare::compare;
pub(crate) use read::{TokenizerReading, read_tokenizer};

/// The largest `tokenizer.json` (or `vocab.json`, or `merges.txt`) that is read; Qwen3.5's has 20 MB.
pub const MAX_TOKENIZER_BYTES: u64 = 64 << 20;
/// The most tokens of a vocabulary, and the most merges; Qwen3.5 has a quarter of it.
pub const MAX_VOCABULARY: usize = 1 << 20;
/// The most added tokens.
pub(crate) const MAX_ADDED_TOKENS: usize = 1 << 16;
/// The largest chat template.
pub(crate) const MAX_TEMPLATE_BYTES: u64 = 1 << 20;

/// What a tokenizer's files say.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Tokenizer {
    /// `tokenizer.json`, or `vocab.json`.
    pub(crate) source: &'static str,
    /// SHA-256 of `tokenizer.json`.
    pub(crate) sha256: Option<Sha256Digest>,
    /// `BPE`, `WordPiece`, `WordLevel`.
    pub(crate) model_type: String,
    pub(crate) vocabulary: HashMap<String, u32>,
    pub(crate) merges: Vec<(String, String)>,
    /// By id. `None` where no file says which there are.
    pub(crate) added_tokens: Option<BTreeMap<u32, AddedToken>>,
    /// Other fields of the model, without those that say the default.
    pub(crate) settings: Map<String, Value>,
    /// `None` where the files do not say.
    pub(crate) normalizer: Option<Value>,
    pub(crate) pre_tokenizer: Option<Value>,
    pub(crate) decoder: Option<Value>,
    /// What stands there twice: texts of the vocabulary, ids.
    pub(crate) duplicates: Vec<String>,
}

/// A token beside the vocabulary, found in the text before it is split.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct AddedToken {
    pub(crate) content: String,
    #[serde(default)]
    pub(crate) single_word: bool,
    #[serde(default)]
    pub(crate) lstrip: bool,
    #[serde(default)]
    pub(crate) rstrip: bool,
    #[serde(default)]
    pub(crate) normalized: bool,
    #[serde(default)]
    pub(crate) special: bool,
}

impl Tokenizer {
    /// The id of a text, be it of the vocabulary or an added token: files differ in where they put those.
    pub(crate) fn id_of(&self, text: &str, added: &HashMap<&str, u32>) -> Option<u32> {
        self.vocabulary.get(text).copied().or_else(|| added.get(text).copied())
    }

    /// The added tokens by text.
    pub(crate) fn added_by_text(&self) -> HashMap<&str, u32> {
        self.added_tokens.iter().flatten().map(|(id, token)| (token.content.as_str(), *id)).collect()
    }
}
