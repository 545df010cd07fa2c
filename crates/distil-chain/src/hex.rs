//! Hexadecimal text, with or without a leading `0x`.

use std::fmt::Write as _;

/// Reads exactly `bytes.len()` bytes; `None` for any other length or character. Never says what the text was: it may
/// be a secret.
pub(crate) fn decode_into(text: &str, bytes: &mut [u8]) -> Option<()> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

/// Lower case, without `0x`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes as such text, for serde.
pub(crate) mod text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = vec![0; text.strip_prefix("0x").unwrap_or(&text).len() / 2];
        let problem = "not bytes in hexadecimal";
        super::decode_into(&text, &mut bytes).ok_or_else(|| serde::de::Error::custom(problem))?;
        Ok(bytes)
    }
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn another_length_or_character_is_refused() {
        for bad in ["", "0x", "0", "000", "00000", "0x00000", "zz00", "00 0", "0x0x0000", "é0é", "+1+1"] {
            assert_eq!(decode_into(bad, &mut [0; 2]), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn bytes_go_there_and_back(bytes in any::<[u8; 5]>(), prefixed in any::<bool>(), upper in any::<bool>()) {
            let mut text = encode(&bytes);
            if upper {
                text = text.to_uppercase();
            }
            let mut back = [0; 5];
            prop_assert_eq!(decode_into(&format!("{}{text}", if prefixed { "0x" } else { "" }), &mut back), Some(()));
            prop_assert_eq!(back, bytes);
        }
    }
}
