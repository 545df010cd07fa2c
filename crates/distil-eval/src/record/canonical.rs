//! Canonical JSON.

use serde_json::Value;

/// Writes a value with sorted keys and no blanks, and a line feed at its end.
///
/// Numbers are written by serde_json, floats in the shortest form that reads back as the same value.
pub fn canonical_json(value: &Value) -> Vec<u8> {
    let mut text = String::new();
    write(value, &mut text);
    text.push('\n');
    text.into_bytes()
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(entries) => {
            // Sorted here, since a map keeps the order of insertion when some crate of the build asks for that.
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| key.as_bytes());
            text.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        Value::Array(values) => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(value, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_at_every_level() {
        let value = json!({"b": [1, {"z": null, "a": 0.1}], "a": "x\"\n", "B": true, "ä": 1e300});
        let text = String::from_utf8(canonical_json(&value)).unwrap();
        assert_eq!(text, "{\"B\":true,\"a\":\"x\\\"\\n\",\"b\":[1,{\"a\":0.1,\"z\":null}],\"ä\":1e+300}\n");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
