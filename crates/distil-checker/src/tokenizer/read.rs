//! Finding a tokenizer's files in a repository.

use std::collections::BTreeMap;

use distil_hub::Sha256Digest;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{AddedToken, MAX_ADDED_TOKENS, MAX_TOKENIZER_BYTES, Tokenizer, parse};
use crate::{CheckerError, repository::Repository, text::quoted};

const TOKENIZER: &str = "tokenizer.json";
const VOCABULARY: &str = "vocab.json";
const MERGES: &str = "merges.txt";

/// What was found.
#[derive(Debug)]
pub(crate) enum TokenizerReading {
    /// A tokenizer.
    Read(Box<Tokenizer>),
    /// The very file that the caller knows, by its SHA-256 in the listing; it was not read.
    Known,
    /// There is none.
    None,
    /// A file that is no tokenizer: its name and the reason.
    Invalid { file: &'static str, reason: String },
}

/// Reads `tokenizer.json`, else `vocab.json` and `merges.txt` with the added tokens of `tokenizer_config.json`.
///
/// `known` is the SHA-256 of a `tokenizer.json` that need not be read again.
///
/// # Errors
///
/// A file cannot be read.
pub(crate) fn read_tokenizer(
    repository: &dyn Repository,
    tokenizer_config: Option<&Map<String, Value>>,
    known: Option<Sha256Digest>,
) -> Result<TokenizerReading, CheckerError> {
    if let Some(file) = repository.file(TOKENIZER) {
        if known.is_some() && file.sha256 == known {
            return Ok(TokenizerReading::Known);
        }
        let bytes = match read(repository, TOKENIZER)? {
            Ok(bytes) => bytes,
            Err(invalid) => return Ok(invalid),
        };
        return Ok(match parse::tokenizer_json(&bytes) {
            Ok(tokenizer) => {
                let sha256 = Some(Sha256Digest(Sha256::digest(&bytes).into()));
                TokenizerReading::Read(Box::new(Tokenizer { sha256, ..tokenizer }))
            }
            Err(reason) => TokenizerReading::Invalid { file: TOKENIZER, reason },
        });
    }
    if repository.file(VOCABULARY).is_none() || repository.file(MERGES).is_none() {
        return Ok(TokenizerReading::None);
    }
    let (vocabulary, merges) = match (read(repository, VOCABULARY)?, read(repository, MERGES)?) {
        (Ok(vocabulary), Ok(merges)) => (vocabulary, merges),
        (Err(invalid), _) | (_, Err(invalid)) => return Ok(invalid),
    };
    let (vocabulary, duplicates) = match parse::vocab_json(&vocabulary) {
        Ok(parsed) => parsed,
        Err(reason) => return Ok(TokenizerReading::Invalid { file: VOCABULARY, reason }),
    };
    let merges = match parse::merges_txt(&merges) {
        Ok(merges) => merges,
        Err(reason) => return Ok(TokenizerReading::Invalid { file: MERGES, reason }),
    };
    let added_tokens = match tokenizer_config.and_then(|config| config.get("added_tokens_decoder")).map(added_tokens) {
        None => None,
        Some(Ok(tokens)) => Some(tokens),
        Some(Err(reason)) => return Ok(TokenizerReading::Invalid { file: "tokenizer_config.json", reason }),
    };
    Ok(TokenizerReading::Read(Box::new(Tokenizer {
        source: VOCABULARY,
        model_type: "BPE".to_owned(),
        vocabulary,
        merges,
        added_tokens,
        duplicates,
        ..Tokenizer::default()
    })))
}

/// A file's bytes, or why they are too many.
fn read(repository: &dyn Repository, name: &'static str) -> Result<Result<Vec<u8>, TokenizerReading>, CheckerError> {
    let Some(file) = repository.file(name) else { return Ok(Err(TokenizerReading::None)) };
    match repository.read_whole(file, MAX_TOKENIZER_BYTES) {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(error @ CheckerError::TooLarge { .. }) => {
            Ok(Err(TokenizerReading::Invalid { file: name, reason: error.to_string() }))
        }
        Err(error) => Err(error),
    }
}

/// `added_tokens_decoder` of `tokenizer_config.json`: ids, as texts, to tokens.
fn added_tokens(value: &Value) -> Result<BTreeMap<u32, AddedToken>, String> {
    let Value::Object(map) = value else { return Err("added_tokens_decoder is not an object".to_owned()) };
    if map.len() > MAX_ADDED_TOKENS {
        return Err(format!("added_tokens_decoder has more than {MAX_ADDED_TOKENS} tokens"));
    }
    let one = |(id, token): (&String, &Value)| -> Option<(u32, AddedToken)> {
        Some((id.parse().ok()?, serde::Deserialize::deserialize(token).ok()?))
    };
    let invalid = |id: &String| format!("added_tokens_decoder has an entry {} that is no token", quoted(id));
    map.iter().map(|entry| one(entry).ok_or_else(|| invalid(entry.0))).collect()
}
