//! The chat template: text that says how a conversation is written. It has no part in scoring, but a changed one tells
//! where a copy came from.

use serde_json::{Map, Value};

use crate::{CheckerError, repository::Repository, tokenizer::MAX_TEMPLATE_BYTES};

const FILE: &str = "chat_template.jinja";

/// A chat template, as far as there is one.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Template {
    #[default]
    None,
    /// A text, or a list of named texts.
    Given(Value),
    /// Larger than what is read.
    TooLarge,
}

/// Finds the template where transformers does: a file of its own, else a field of `tokenizer_config.json`.
///
/// # Errors
///
/// The file cannot be read.
pub(crate) fn read(
    repository: &dyn Repository,
    tokenizer_config: Option<&Map<String, Value>>,
) -> Result<Template, CheckerError> {
    if let Some(file) = repository.file(FILE) {
        return Ok(match repository.read_whole(file, MAX_TEMPLATE_BYTES) {
            Ok(bytes) => Template::Given(normal(&String::from_utf8_lossy(&bytes))),
            Err(CheckerError::TooLarge { .. }) => Template::TooLarge,
            Err(error) => return Err(error),
        });
    }
    Ok(match tokenizer_config.and_then(|config| config.get("chat_template")) {
        None | Some(Value::Null) => Template::None,
        Some(Value::String(text)) => Template::Given(normal(text)),
        Some(other) => Template::Given(other.clone()),
    })
}

/// Editors add a line break at the end.
fn normal(text: &str) -> Value {
    text.trim_end_matches(['\n', '\r']).into()
}
