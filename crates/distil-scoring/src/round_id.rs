use crate::Error;
use distil_types::{BlockRef, NetUid, RepoId, Revision};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// All that decides how the numbers of a round come about, besides its block and its students.
///
/// It is part of the [`RoundId`], so a result that was measured under other settings or by another version of the code
/// belongs to another round and can't be taken for one of this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundSettings {
    /// The protocol, as `distil/1`.
    pub protocol: String,
    /// The version of the program that measures.
    pub code_version: String,
    /// The subnet.
    pub netuid: NetUid,
    /// The model to distil.
    pub teacher: RepoId,
    /// The commit of the teacher's repository.
    pub teacher_revision: Revision,
    /// Where the prompts come from, pinned: for example `hub:HuggingFaceFW/fineweb@REV`.
    pub source: String,
    /// How they are drawn: `distil` or `reference`.
    pub sampler: String,
    /// How many there are.
    pub prompts: usize,
    /// The most tokens of a prompt.
    pub max_prompt_tokens: usize,
    /// The most tokens of a continuation.
    pub max_new_tokens: usize,
    /// How the teacher continues: `greedy`, or the parameters of its sampling.
    pub continuation: String,
}

/// The name of one round: its block's number, and a digest of the block's hash and the [`RoundSettings`].
///
/// Written as `7855150-` and 32 hexadecimal digits, so it can name a folder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoundId {
    block: u64,
    digest: [u8; 16],
}

impl RoundId {
    /// The round of a block under these settings.
    ///
    /// # Formula
    ///
    /// The first 16 bytes of SHA-256 over `distil round`, a zero byte, the block's number as 8 bytes (little-endian),
    /// the 32 bytes of its hash, and the settings as JSON without spaces, fields in the order of [`RoundSettings`].
    pub fn new(block: BlockRef, settings: &RoundSettings) -> Self {
        let settings = serde_json::to_vec(settings).expect("texts and whole numbers are always JSON");
        let whole = Sha256::new()
            .chain_update(b"distil round\0")
            .chain_update(block.number.to_le_bytes())
            .chain_update(block.hash.as_bytes())
            .chain_update(settings)
            .finalize();
        let mut digest = [0; 16];
        digest.copy_from_slice(&whole[..16]);
        RoundId { block: block.number, digest }
    }

    /// The number of the round's block.
    pub fn block(&self) -> u64 {
        self.block
    }
}

impl fmt::Display for RoundId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.block)?;
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RoundId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoundId({self})")
    }
}

impl FromStr for RoundId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = || {
            let (number, digits) = text.split_once('-')?;
            let block = number.parse().ok()?;
            let mut digest = [0; 16];
            if digits.len() != 32 || !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
                return None;
            }
            for (index, byte) in digest.iter_mut().enumerate() {
                *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
            }
            let id = RoundId { block, digest };
            // One spelling for each round: no sign, no leading zeros.
            (id.to_string() == text).then_some(id)
        };
        parse().ok_or_else(|| Error::InvalidRoundId { text: crate::text::excerpt(text) })
    }
}

impl Serialize for RoundId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RoundId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block, settings};
    use proptest::prelude::*;

    #[test]
    fn d7_a_round_is_bound_to_block_hash_settings_and_code() {
        // The original took results left over from an earlier run for those of this round.
        let id = RoundId::new(block(100), &settings());
        assert_eq!(id, RoundId::new(block(100), &settings()));
        let mut other_hash = block(100);
        other_hash.hash = block(101).hash;
        let mut others = vec![RoundId::new(block(150), &settings()), RoundId::new(other_hash, &settings())];
        let changes: [fn(&mut RoundSettings); 5] = [
            |settings| settings.code_version.push('1'),
            |settings| settings.protocol.push('1'),
            |settings| settings.prompts += 1,
            |settings| settings.source.push('1'),
            |settings| settings.continuation = "temperature 0.7, top_p 0.9".to_owned(),
        ];
        for change in changes {
            let mut changed = settings();
            change(&mut changed);
            others.push(RoundId::new(block(100), &changed));
        }
        assert!(others.iter().all(|other| *other != id), "{others:?}");
    }

    #[test]
    fn other_spellings_are_refused() {
        let digits = "0a".repeat(16);
        assert!(format!("100-{digits}").parse::<RoundId>().is_ok());
        for bad in [
            format!("0100-{digits}"),
            format!("+100-{digits}"),
            format!("100-{}", digits.to_uppercase()),
            format!("100-{digits}0"),
            format!("-{digits}"),
            "é".repeat(20),
            format!("100-{}", "é".repeat(16)),
            String::new(),
        ] {
            assert!(bad.parse::<RoundId>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_round_goes_there_and_back(number in any::<u64>(), digest in any::<[u8; 16]>()) {
            let id = RoundId { block: number, digest };
            prop_assert_eq!(id.to_string().parse::<RoundId>().unwrap(), id);
            prop_assert_eq!(serde_json::from_str::<RoundId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        }

        #[test]
        fn what_is_taken_is_canonical(text in "\\PC{0,60}|[0-9]{1,21}-[0-9a-f]{31,33}") {
            if let Ok(id) = text.parse::<RoundId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
