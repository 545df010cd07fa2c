use crate::{
    Error,
    text::{excerpt, serde_as_text},
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The hash of a block: 32 bytes.
///
/// Written as `0x` and 64 lower-case hexadecimal digits. Read with or without *one* leading `0x`, which is taken off
/// exactly once: the zeros after it belong to the hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHash([u8; 32]);

impl BlockHash {
    /// The hash that has these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        BlockHash(bytes)
    }

    /// The bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for BlockHash {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::InvalidBlockHash { text: excerpt(text) };
        let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
        if digits.len() != 64 {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (Some(high), Some(low)) = (hex_digit(pair[0]), hex_digit(pair[1])) else {
                return Err(invalid());
            };
            *byte = high << 4 | low;
        }
        Ok(BlockHash(bytes))
    }
}

fn hex_digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockHash({self})")
    }
}

serde_as_text!(BlockHash, "a block hash: 64 hexadecimal digits, with or without a leading 0x");

/// A block, by number and by hash: the number says when, the hash says on which chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockRef {
    /// How many blocks came before it.
    pub number: u64,
    /// Its hash.
    pub hash: BlockHash,
}

impl fmt::Display for BlockRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number, self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn leading_zeros_belong_to_the_hash() {
        let digits = format!("00{}", "ab".repeat(31));
        let mut bytes = [0xab; 32];
        bytes[0] = 0;
        assert_eq!(digits.parse::<BlockHash>().unwrap().as_bytes(), &bytes);
        assert_eq!(format!("0x{digits}").parse::<BlockHash>().unwrap().as_bytes(), &bytes);
        // Taking off any leading mix of "0" and "x" would leave 62 digits of these.
        assert!(format!("0x{}", "ab".repeat(31)).parse::<BlockHash>().is_err());
    }

    #[test]
    fn one_prefix_is_taken_off_and_no_more() {
        let digits = "12".repeat(32);
        assert!(format!("0x{digits}").parse::<BlockHash>().is_ok());
        for bad in [
            format!("0x0x{digits}"),
            format!("0X{digits}"),
            format!("x{digits}"),
            format!("0x{}", "12".repeat(31)),
            format!("{digits}0"),
            format!(" {digits}"),
            format!("{}+1", "12".repeat(31)),
            "é".repeat(32),
            String::new(),
        ] {
            assert!(bad.parse::<BlockHash>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_block_goes_through_json() {
        let block = BlockRef { number: 7_855_174, hash: BlockHash::from_bytes([7; 32]) };
        let json = serde_json::to_string(&block).unwrap();
        assert_eq!(json, format!(r#"{{"number":7855174,"hash":"0x{}"}}"#, "07".repeat(32)));
        assert_eq!(serde_json::from_str::<BlockRef>(&json).unwrap(), block);
        let error = serde_json::from_str::<BlockRef>(r#"{"number":1,"hash":"0x12"}"#).unwrap_err().to_string();
        assert!(error.contains("64 hexadecimal digits"), "{error}");
    }

    proptest! {
        #[test]
        fn any_hash_goes_there_and_back(bytes in any::<[u8; 32]>()) {
            let hash = BlockHash::from_bytes(bytes);
            let text = hash.to_string();
            prop_assert_eq!(text.parse::<BlockHash>().unwrap(), hash);
            prop_assert_eq!(text[2..].parse::<BlockHash>().unwrap(), hash);
            prop_assert_eq!(text[2..].to_uppercase().parse::<BlockHash>().unwrap(), hash);
            prop_assert_eq!(serde_json::from_str::<BlockHash>(&serde_json::to_string(&hash).unwrap()).unwrap(), hash);
        }

        #[test]
        fn what_is_taken_is_written_as_it_was_read(text in "(0x)?[0-9a-fA-F]{62,66}|\\PC{0,70}") {
            if let Ok(hash) = text.parse::<BlockHash>() {
                let digits = text.strip_prefix("0x").unwrap_or(&text).to_lowercase();
                prop_assert_eq!(hash.to_string(), format!("0x{digits}"));
            }
        }
    }
}
