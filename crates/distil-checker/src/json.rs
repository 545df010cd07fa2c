//! JSON of a stranger, bounded before it is allocated.
//!
//! `serde_json` bounds the depth (128) and takes the last of two values under one key without a word. Here the number of
//! values is bounded too, since `[0,0,0,…` grows sixteenfold when it is parsed, and a key that is there twice is refused:
//! which of the two counts is the reader's choice, and readers differ.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::text::{printable, quoted};

/// Reads JSON of at most `max_values` values, keys not counted.
///
/// The error says what is wrong and where, and is printable.
pub(crate) fn parse(bytes: &[u8], max_values: usize) -> Result<Value, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let left = Cell::new(max_values);
    let value = Bounded { left: &left }.deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| printable(&error.to_string()))
}

/// [`parse`] where only an object will do.
pub(crate) fn parse_object(bytes: &[u8], max_values: usize) -> Result<Map<String, Value>, String> {
    match parse(bytes, max_values)? {
        Value::Object(map) => Ok(map),
        _ => Err("it is not a JSON object".to_owned()),
    }
}

/// Reads a value as long as there are any left to be read.
#[derive(Clone, Copy)]
pub(crate) struct Bounded<'a> {
    /// How many more values may be read.
    pub(crate) left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(D::Error::custom("it holds too many values")),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if values.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {} is there twice", quoted(&key))));
            }
            let value = map.next_value_seed(self)?;
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

/// The places, as `text_config.auto_map`, where any of some keys stands with a value other than null. At most `limit`.
pub(crate) fn places_of(root: &Value, keys: &[&str], limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    find(root, keys, &mut String::new(), limit, &mut found);
    found
}

fn find(value: &Value, keys: &[&str], path: &mut String, limit: usize, found: &mut Vec<String>) {
    if found.len() >= limit {
        return;
    }
    let length = path.len();
    let mut visit = |part: &str, value: &Value, is_sought: bool| {
        if length > 0 {
            path.push('.');
        }
        path.push_str(&part.chars().take(80).flat_map(char::escape_debug).collect::<String>());
        if is_sought && found.len() < limit {
            found.push(path.clone());
        }
        find(value, keys, path, limit, found);
        path.truncate(length);
    };
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                visit(key, value, keys.contains(&key.as_str()) && !value.is_null());
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                visit(&index.to_string(), value, false);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_depth_and_keys_are_bounded() {
        assert_eq!(parse(b"[1, 2, {\"a\": null}]", 5).unwrap(), json!([1, 2, {"a": null}]));
        assert!(parse(b"[1, 2, {\"a\": null}]", 4).unwrap_err().contains("too many values"));
        assert!(parse(&[b'['; 100_000], usize::MAX).unwrap_err().contains("recursion"));
        let twice = parse(br#"{"a": 1, "\u0061": 2}"#, 9).unwrap_err();
        assert!(twice.contains("\"a\" is there twice"), "{twice}");
        assert!(parse(b"{} {}", 9).is_err());
        assert!(parse(b"", 9).is_err());
        assert!(parse_object(b"[]", 9).unwrap_err().contains("not a JSON object"));
    }

    #[test]
    fn keys_are_found_at_any_depth() {
        let value = json!({"auto_map": null, "a": [{"auto_map": {}}], "b": {"c": {"auto_map": 1, "other": 2}}});
        assert_eq!(places_of(&value, &["auto_map"], 9), ["a.0.auto_map", "b.c.auto_map"]);
        assert_eq!(places_of(&value, &["auto_map", "other"], 9).len(), 3);
        assert_eq!(places_of(&value, &["auto_map"], 1).len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, 100);
        }

        #[test]
        fn what_serde_json_writes_is_read_alike(text in "\\PC{0,20}", number in any::<f64>(), whole in any::<i64>()) {
            let value = json!({"a": [text, number, whole, null, true], "b": {}});
            prop_assert_eq!(parse(value.to_string().as_bytes(), 100).unwrap(), value);
        }
    }
}
