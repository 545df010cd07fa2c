use std::path::{Path, PathBuf};

use crate::config::read_bounded;
use crate::digest::sha256_hex;
use crate::error::{ModelError, Result};

/// The largest `tokenizer.json` that is read; Qwen3.5's has 20 MB.
const MAX_TOKENIZER_BYTES: u64 = 256 << 20;

/// A teacher's tokenizer: `tokenizer.json`, and nothing else of the folder.
///
/// Text becomes ids with no special token added, and added tokens that stand in the text are recognised as such, as
/// the `tokenizers` library does by default.
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    digest: String,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("path", &self.path).field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a folder.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is larger than 256 MiB, or is not a tokenizer.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let bytes = read_bounded(&path, MAX_TOKENIZER_BYTES)?;
        let digest = sha256_hex(&bytes);
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes)
            .map_err(|e| ModelError::Tokenizer { path: path.clone(), reason: format!("is not a tokenizer: {e}") })?;
        drop(bytes);
        // A file may ask for padding or truncation of its own; a score must not depend on it.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| ModelError::Tokenizer { path: path.clone(), reason: e.to_string() })?;
        Ok(Self { path, inner, digest })
    }

    /// The ids of a text, without any special token added before or after it.
    ///
    /// # Errors
    ///
    /// The tokenizer has no id for a part of the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false);
        encoding.map(|encoding| encoding.get_ids().to_vec()).map_err(|e| self.error(&e))
    }

    /// The text of some ids, special tokens included.
    ///
    /// # Errors
    ///
    /// The tokenizer's decoder refuses the ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, false).map_err(|e| self.error(&e))
    }

    /// The number of ids, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// SHA-256 of `tokenizer.json`, in hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    fn error(&self, error: &tokenizers::Error) -> ModelError {
        ModelError::Tokenizer { path: self.path.clone(), reason: error.to_string() }
    }
}
