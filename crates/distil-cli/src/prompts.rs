//! The file of prompts: a JSON list of strings.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, de};

use crate::exit::CommandError;
use crate::files::read_text;

/// Room for thousands of long prompts.
const MAX_BYTES: u64 = 16 << 20;

/// Reads prompts from a `.json` list of strings.
///
/// # Errors
///
/// A usage error that names the file and what is wrong: it cannot be read, is larger than 16 MiB, is not a list, holds
/// something that is not a string, is empty, or holds an empty prompt. Prompts are counted from 0, as in reports.
pub(crate) fn read(path: &Path) -> Result<Vec<String>, CommandError> {
    read_list(path).with_context(|| format!("cannot use prompts file {}", path.display())).map_err(|error| {
        CommandError::usage(error).with_hint("prompts are a JSON list of strings: [\"Call me Ishmael.\", …]")
    })
}

fn read_list(path: &Path) -> anyhow::Result<Vec<String>> {
    let PromptList(prompts) = parse(&read_text(path, MAX_BYTES)?)?;
    if prompts.is_empty() {
        return Err(anyhow!("the list is empty"));
    }
    if let Some(index) = prompts.iter().position(|prompt| prompt.is_empty()) {
        return Err(anyhow!("prompt {index} is empty"));
    }
    Ok(prompts)
}

fn parse(text: &str) -> Result<PromptList, serde_json::Error> {
    serde_json::from_str(text)
}

struct PromptList(Vec<String>);

impl<'de> Deserialize<'de> for PromptList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;

        impl<'de> Visitor<'de> for ListVisitor {
            type Value = PromptList;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PromptList, A::Error> {
                let mut prompts = Vec::new();
                // The first element that is no string ends it, whatever it is and however much it holds.
                while let Some(prompt) = list.next_element().map_err(|error| at_element(prompts.len(), &error))? {
                    prompts.push(prompt);
                }
                Ok(PromptList(prompts))
            }
        }

        deserializer.deserialize_seq(ListVisitor)
    }
}

fn at_element<E: de::Error>(index: usize, error: &impl fmt::Display) -> E {
    E::custom(format_args!("element {index}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        match parse(text) {
            Ok(PromptList(prompts)) => panic!("taken: {prompts:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_list_of_strings_is_taken_as_it_is() {
        let PromptList(prompts) = parse(r#"["a", "\u00e9\n", ""]"#).expect("a list of strings");
        assert_eq!(prompts, ["a", "é\n", ""]);
    }

    #[test]
    fn anything_else_is_named() {
        assert!(message("{\"a\": 1}").contains("invalid type: map, expected a list of strings"));
        assert!(message("\"one\"").contains("expected a list of strings"));
        assert!(message("[\"a\", 7]").contains("element 1: invalid type: integer `7`, expected a string"));
        assert!(message("[[\"a\"]]").contains("element 0: invalid type: sequence, expected a string"));
        assert!(message("[\"a\", null]").contains("element 1: invalid type: null"));
        assert!(message("[\"a\"").contains("EOF"));
        assert!(message("[\"a\"] x").contains("trailing characters"));
        assert!(message("").contains("EOF"));
    }
}
