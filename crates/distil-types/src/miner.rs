use crate::{
    Error, Hotkey,
    text::{excerpt, serde_as_text},
};
use std::{fmt, str::FromStr};

/// Who a miner is: its hotkey, and the block that revealed its commitment.
///
/// Scores, verdicts and bans belong to this key, never to a [`Uid`](crate::Uid), which changes hands, and never to a
/// hotkey alone, which may register again with another model. Written as `hotkey@block`. Of two keys the lesser is the
/// one that committed first; within one block the order of the hotkeys' bytes decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MinerKey {
    // The order of the fields is the order of miners.
    /// The block of the reveal, the only one that the chain keeps.
    pub commit_block: u64,
    /// The key that committed.
    pub hotkey: Hotkey,
}

impl MinerKey {
    /// The miner that committed by this hotkey in this block.
    pub const fn new(hotkey: Hotkey, commit_block: u64) -> Self {
        MinerKey { commit_block, hotkey }
    }
}

impl FromStr for MinerKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::InvalidMinerKey { text: excerpt(text) };
        let (hotkey, block) = text.split_once('@').ok_or_else(invalid)?;
        // One spelling for each number: no sign, no leading zero.
        let canonical = block.bytes().all(|byte| byte.is_ascii_digit()) && (block == "0" || !block.starts_with('0'));
        let commit_block = if canonical { block.parse().ok() } else { None }.ok_or_else(invalid)?;
        Ok(MinerKey { commit_block, hotkey: hotkey.parse()? })
    }
}

impl fmt::Display for MinerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.hotkey, self.commit_block)
    }
}

serde_as_text!(MinerKey, "a miner: hotkey@block");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const ADDRESS: &str = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV";

    #[test]
    fn a_miner_is_a_key_of_a_json_object() {
        let key: MinerKey = format!("{ADDRESS}@7855150").parse().unwrap();
        assert_eq!((key.commit_block, key.hotkey.to_string().as_str()), (7_855_150, ADDRESS));
        let json = serde_json::to_string(&BTreeMap::from([(key, 1)])).unwrap();
        assert_eq!(json, format!(r#"{{"{ADDRESS}@7855150":1}}"#));
        assert_eq!(serde_json::from_str::<BTreeMap<MinerKey, i32>>(&json).unwrap(), BTreeMap::from([(key, 1)]));
    }

    #[test]
    fn other_spellings_are_refused() {
        for block in ["", "+1", "-1", "01", "00", " 1", "1 ", "0x1", "18446744073709551616", "1@2"] {
            let text = format!("{ADDRESS}@{block}");
            assert!(text.parse::<MinerKey>().unwrap_err().to_string().contains("hotkey@block"), "{text}");
        }
        assert!(ADDRESS.parse::<MinerKey>().is_err());
        assert!("5@1".parse::<MinerKey>().unwrap_err().to_string().contains("hotkey"));
    }

    proptest! {
        #[test]
        fn any_miner_goes_there_and_back(account in any::<[u8; 32]>(), block in any::<u64>()) {
            let key = MinerKey::new(Hotkey::from_account_id(account), block);
            prop_assert_eq!(key.to_string().parse::<MinerKey>().unwrap(), key);
            prop_assert_eq!(serde_json::from_str::<MinerKey>(&serde_json::to_string(&key).unwrap()).unwrap(), key);
        }

        #[test]
        fn what_is_taken_is_canonical(text in "\\PC{0,70}|5[1-9A-HJ-NP-Za-km-z]{46,47}@[0-9]{0,22}") {
            if let Ok(key) = text.parse::<MinerKey>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }

        #[test]
        fn the_earlier_block_comes_first(a in any::<([u8; 32], u64)>(), b in any::<([u8; 32], u64)>()) {
            let key = |(account, block)| MinerKey::new(Hotkey::from_account_id(account), block);
            prop_assert_eq!(key(a).cmp(&key(b)), (a.1, a.0).cmp(&(b.1, b.0)));
        }
    }
}
