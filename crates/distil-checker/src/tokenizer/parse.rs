//! `tokenizer.json`, `vocab.json` and `merges.txt`, every list bounded.

use std::{cell::Cell, collections::BTreeMap, collections::HashMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{AddedToken, MAX_ADDED_TOKENS, MAX_VOCABULARY, Tokenizer};
use crate::{
    json::Bounded,
    text::{printable, quoted},
};

/// The most values of the smaller parts: normaliser, pre-tokenizer, decoder, settings.
const MAX_VALUES: usize = 20_000;
/// The most duplicates that are kept to be shown.
const MAX_DUPLICATES: usize = 8;

/// Reads `tokenizer.json`. The error is printable.
pub(super) fn tokenizer_json(bytes: &[u8]) -> Result<Tokenizer, String> {
    let left = Cell::new(MAX_VALUES);
    let tokenizer = read(bytes, TokenizerSeed { left: &left })?;
    Ok(Tokenizer { source: "tokenizer.json", ..tokenizer })
}

/// Reads `vocab.json`: texts to ids, and what is there twice.
pub(super) fn vocab_json(bytes: &[u8]) -> Result<(HashMap<String, u32>, Vec<String>), String> {
    let Vocabulary { ids, duplicates } = read(bytes, VocabularySeed)?;
    Ok((ids, duplicates))
}

/// Reads `merges.txt`: a pair on each line, parted by a space.
pub(super) fn merges_txt(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("it is not UTF-8: {error}"))?;
    let mut merges = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.is_empty() || (number == 1 && line.starts_with("#version")) {
            continue;
        }
        if merges.len() == MAX_VOCABULARY {
            return Err(format!("it has more than {MAX_VOCABULARY} merges"));
        }
        merges.push(pair(line).ok_or_else(|| format!("line {number} is {}, two texts are needed", quoted(line)))?);
    }
    Ok(merges)
}

fn read<'de, S: DeserializeSeed<'de>>(bytes: &'de [u8], seed: S) -> Result<S::Value, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = seed.deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| printable(&error.to_string()))
}

fn pair(line: &str) -> Option<(String, String)> {
    let (first, second) = line.split_once(' ')?;
    let is_pair = !first.is_empty() && !second.is_empty() && !second.contains(' ');
    is_pair.then(|| (first.to_owned(), second.to_owned()))
}

/// A type whose only way to be read is its visitor.
macro_rules! seed_by_visitor {
    ($type:ty => $value:ty, $method:ident) => {
        impl<'de> DeserializeSeed<'de> for $type {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<$value, D::Error> {
                deserializer.$method(self)
            }
        }
    };
}

struct TokenizerSeed<'a> {
    left: &'a Cell<usize>,
}

seed_by_visitor!(TokenizerSeed<'_> => Tokenizer, deserialize_map);

impl<'de> Visitor<'de> for TokenizerSeed<'_> {
    type Value = Tokenizer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tokenizer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tokenizer, A::Error> {
        let value = Bounded { left: self.left };
        let (mut tokenizer, mut model, mut added) = (Tokenizer::default(), None, None);
        while let Some(key) = map.next_key::<String>()? {
            let is_second = match key.as_str() {
                "model" => model.replace(map.next_value_seed(ModelSeed { left: self.left })?).is_some(),
                "added_tokens" => added.replace(map.next_value_seed(AddedTokensSeed)?).is_some(),
                "normalizer" => tokenizer.normalizer.replace(map.next_value_seed(value)?).is_some(),
                "pre_tokenizer" => tokenizer.pre_tokenizer.replace(map.next_value_seed(value)?).is_some(),
                "decoder" => tokenizer.decoder.replace(map.next_value_seed(value)?).is_some(),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    false
                }
            };
            if is_second {
                return Err(A::Error::custom(format_args!("{} is there twice", quoted(&key))));
            }
        }
        let Some(Model { kind, vocabulary, merges, settings }) = model else {
            return Err(A::Error::custom("it has no \"model\""));
        };
        let (added_tokens, mut duplicates) = added.unwrap_or_default();
        duplicates.extend(vocabulary.duplicates);
        duplicates.truncate(MAX_DUPLICATES);
        Ok(Tokenizer {
            model_type: kind,
            vocabulary: vocabulary.ids,
            merges,
            settings,
            added_tokens: Some(added_tokens),
            duplicates,
            // Absent and null are the same: there is none.
            normalizer: Some(tokenizer.normalizer.unwrap_or_default()),
            pre_tokenizer: Some(tokenizer.pre_tokenizer.unwrap_or_default()),
            decoder: Some(tokenizer.decoder.unwrap_or_default()),
            ..tokenizer
        })
    }
}

struct Model {
    kind: String,
    vocabulary: Vocabulary,
    merges: Vec<(String, String)>,
    settings: Map<String, Value>,
}

struct ModelSeed<'a> {
    left: &'a Cell<usize>,
}

seed_by_visitor!(ModelSeed<'_> => Model, deserialize_map);

impl<'de> Visitor<'de> for ModelSeed<'_> {
    type Value = Model;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the model of a tokenizer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Model, A::Error> {
        let (mut kind, mut vocabulary, mut merges, mut settings) = (None, None, None, Map::new());
        while let Some(key) = map.next_key::<String>()? {
            let is_second = match key.as_str() {
                "type" => kind.replace(map.next_value::<String>()?).is_some(),
                "vocab" => vocabulary.replace(map.next_value_seed(VocabularySeed)?).is_some(),
                "merges" => merges.replace(map.next_value_seed(MergesSeed)?).is_some(),
                _ => {
                    let value = map.next_value_seed(Bounded { left: self.left })?;
                    // Older files leave out what newer ones say, or say it as an empty text.
                    let is_default = matches!(&value, Value::Null | Value::Bool(false)) || value.as_str() == Some("");
                    !is_default && settings.insert(key.clone(), value).is_some()
                }
            };
            if is_second {
                return Err(A::Error::custom(format_args!("{} is there twice", quoted(&key))));
            }
        }
        let Some(vocabulary) = vocabulary else { return Err(A::Error::custom("its model has no \"vocab\"")) };
        // Files of the first years do not name the model's type; merges are what BPE has.
        let kind = kind.unwrap_or_else(|| if merges.is_some() { "BPE" } else { "WordLevel" }.to_owned());
        Ok(Model { kind, vocabulary, merges: merges.unwrap_or_default(), settings })
    }
}

#[derive(Default)]
struct Vocabulary {
    ids: HashMap<String, u32>,
    duplicates: Vec<String>,
}

struct VocabularySeed;

seed_by_visitor!(VocabularySeed => Vocabulary, deserialize_map);

impl<'de> Visitor<'de> for VocabularySeed {
    type Value = Vocabulary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vocabulary that maps texts to ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
        let mut vocabulary = Vocabulary::default();
        while let Some((text, id)) = map.next_entry::<String, u32>()? {
            if vocabulary.ids.len() == MAX_VOCABULARY {
                return Err(A::Error::custom(format_args!("the vocabulary has more than {MAX_VOCABULARY} tokens")));
            }
            if vocabulary.ids.contains_key(&text) && vocabulary.duplicates.len() < MAX_DUPLICATES {
                vocabulary.duplicates.push(quoted(&text));
            }
            vocabulary.ids.insert(text, id);
        }
        Ok(vocabulary)
    }
}

struct MergesSeed;

seed_by_visitor!(MergesSeed => Vec<(String, String)>, deserialize_seq);

impl<'de> Visitor<'de> for MergesSeed {
    type Value = Vec<(String, String)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of merges")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut merges = Vec::new();
        while let Some(merge) = sequence.next_element_seed(MergeSeed)? {
            if merges.len() == MAX_VOCABULARY {
                return Err(A::Error::custom(format_args!("there are more than {MAX_VOCABULARY} merges")));
            }
            merges.push(merge);
        }
        Ok(merges)
    }
}

/// A merge: `"a b"`, or `["a", "b"]` in newer files.
struct MergeSeed;

seed_by_visitor!(MergeSeed => (String, String), deserialize_any);

impl<'de> Visitor<'de> for MergeSeed {
    type Value = (String, String);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a merge, \"a b\" or [\"a\", \"b\"]")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        pair(text).ok_or_else(|| E::custom(format_args!("the merge {} is not two texts", quoted(text))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let two = (sequence.next_element()?, sequence.next_element()?, sequence.next_element::<IgnoredAny>()?);
        match two {
            (Some(first), Some(second), None) => Ok((first, second)),
            _ => Err(A::Error::custom("a merge is not two texts")),
        }
    }
}

/// An added token with its id. Not flattened: serde would then keep the fields nobody asked for, at sixteen times their
/// size in the file.
#[derive(serde::Deserialize)]
struct Numbered {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

impl Numbered {
    fn into_parts(self) -> (u32, AddedToken) {
        let Self { id, content, single_word, lstrip, rstrip, normalized, special } = self;
        (id, AddedToken { content, single_word, lstrip, rstrip, normalized, special })
    }
}

struct AddedTokensSeed;

seed_by_visitor!(AddedTokensSeed => (BTreeMap<u32, AddedToken>, Vec<String>), deserialize_seq);

impl<'de> Visitor<'de> for AddedTokensSeed {
    type Value = (BTreeMap<u32, AddedToken>, Vec<String>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of added tokens")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let (mut tokens, mut duplicates) = (BTreeMap::new(), Vec::new());
        while let Some((id, token)) = sequence.next_element()?.map(Numbered::into_parts) {
            if tokens.len() == MAX_ADDED_TOKENS {
                return Err(A::Error::custom(format_args!("there are more than {MAX_ADDED_TOKENS} added tokens")));
            }
            if let Some(first) = tokens.insert(id, token)
                && duplicates.len() < MAX_DUPLICATES
            {
                duplicates.push(format!("added token {id} ({})", quoted(&first.content)));
            }
        }
        Ok((tokens, duplicates))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn merges_are_read_in_either_form() {
        let with = |merges: Value| {
            let json = json!({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": merges}});
            tokenizer_json(json.to_string().as_bytes())
        };
        let expected = vec![("a".to_owned(), "b".to_owned()), ("ab".to_owned(), "a".to_owned())];
        assert_eq!(with(json!(["a b", "ab a"])).unwrap().merges, expected);
        assert_eq!(with(json!([["a", "b"], ["ab", "a"]])).unwrap().merges, expected);
        assert_eq!(merges_txt(b"#version: 0.2\na b\n\nab a\n").unwrap(), expected);
        for bad in [json!(["ab"]), json!(["a b c"]), json!([["a"]]), json!([["a", "b", "c"]]), json!([7]), json!("a b")]
        {
            assert!(with(bad.clone()).is_err(), "{bad}");
        }
        assert!(merges_txt(b"a b\nab\n").unwrap_err().contains("line 2"));
    }

    #[test]
    fn what_is_there_twice_is_seen() {
        let tokenizer = tokenizer_json(
            br#"{"added_tokens": [{"id": 5, "content": "<x>"}, {"id": 5, "content": "<y>"}],
            "model": {"type": "BPE", "vocab": {"a": 0, "\u0061": 1}, "merges": []}}"#,
        );
        assert_eq!(tokenizer.unwrap().duplicates, ["added token 5 (\"<x>\")", "\"a\""]);
        let twice = tokenizer_json(br#"{"model": {"vocab": {}, "vocab": {}}}"#).unwrap_err();
        assert!(twice.contains("\"vocab\" is there twice"), "{twice}");
        assert_eq!(vocab_json(br#"{"a": 0, "a": 0}"#).unwrap().1, ["\"a\""]);
    }

    #[test]
    fn lists_are_bounded() {
        let many: String = (0..=MAX_ADDED_TOKENS).map(|id| format!(",{{\"id\":{id},\"content\":\"\"}}")).collect();
        let json = format!("{{\"added_tokens\":[{}]}}", &many[1..]);
        assert!(tokenizer_json(json.as_bytes()).unwrap_err().contains("more than 65536 added tokens"));
        let json = format!("{{\"normalizer\":[{}0]}}", "0,".repeat(MAX_VALUES));
        assert!(tokenizer_json(json.as_bytes()).unwrap_err().contains("too many values"));
        let json = format!("{{\"x\":{}", "[".repeat(100_000));
        assert!(tokenizer_json(json.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = tokenizer_json(&bytes);
            let _ = vocab_json(&bytes);
            let _ = merges_txt(&bytes);
        }

        #[test]
        fn any_small_tokenizer_is_read_or_refused(
            vocab in proptest::collection::hash_map("\\PC{0,3}", any::<i64>(), 0..5),
            merges in proptest::collection::vec("[ab ]{0,4}", 0..4),
            kind in "BPE|Unigram|",
        ) {
            let json = json!({"model": {"type": kind, "vocab": vocab, "merges": merges}});
            let _ = tokenizer_json(json.to_string().as_bytes());
        }
    }
}
