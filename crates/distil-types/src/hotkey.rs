use crate::{
    Error,
    text::{excerpt, serde_as_text},
};
use blake2::{Blake2b512, Digest};
use std::{fmt, str::FromStr};

/// The key a miner or validator signs with: the 32 bytes of its account, written as an SS58 address.
///
/// SS58 is base58 of one byte for the network, the 32 bytes, and the first two bytes of
/// `BLAKE2b-512("SS58PRE" ‖ network ‖ account)`. The checksum is verified, and only the network byte 42, which
/// Bittensor uses, is taken: the same account under another network's byte would be a second name for one miner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hotkey([u8; 32]);

impl Hotkey {
    const NETWORK: u8 = 42;
    /// 35 bytes make at most 48 base58 characters.
    const MAX_CHARS: usize = 48;

    /// The hotkey of this account.
    pub const fn from_account_id(bytes: [u8; 32]) -> Self {
        Hotkey(bytes)
    }

    /// The account, which is also the public key.
    pub const fn account_id(&self) -> &[u8; 32] {
        &self.0
    }

    fn checksum(&self) -> [u8; 2] {
        let digest =
            Blake2b512::new().chain_update(b"SS58PRE").chain_update([Self::NETWORK]).chain_update(self.0).finalize();
        [digest[0], digest[1]]
    }
}

impl FromStr for Hotkey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |problem| Error::InvalidHotkey { text: excerpt(text), problem };
        if text.len() > Self::MAX_CHARS {
            return Err(invalid("it is too long"));
        }
        let mut decoded = [0; Self::MAX_CHARS];
        let length = bs58::decode(text)
            .onto(&mut decoded[..])
            .map_err(|_| invalid("a character is not of the base58 alphabet"))?;
        let Ok([network, middle @ .., first, second]) = <[u8; 35]>::try_from(&decoded[..length]) else {
            return Err(invalid("it does not hold the 35 bytes of an address"));
        };
        if network != Self::NETWORK {
            return Err(invalid("it is of another network"));
        }
        let hotkey = Hotkey(middle);
        if hotkey.checksum() != [first, second] {
            return Err(invalid("its checksum is wrong, a character may be mistyped"));
        }
        Ok(hotkey)
    }
}

impl fmt::Display for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [Self::NETWORK; 35];
        bytes[1..33].copy_from_slice(&self.0);
        bytes[33..].copy_from_slice(&self.checksum());
        f.write_str(&bs58::encode(bytes).into_string())
    }
}

impl fmt::Debug for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hotkey({self})")
    }
}

serde_as_text!(Hotkey, "an ss58 address");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ADDRESS: &str = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV";
    const ACCOUNT: &str = "46ebddef8cd9bb167dc30878d7113b7e168e6f0646beffd77d69d39bad76b47a";

    #[test]
    fn well_known_addresses_are_read_and_written() {
        // The development phrase of Substrate, and its account //Alice.
        for (address, account) in [
            (ADDRESS, ACCOUNT),
            (
                "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY",
                "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d",
            ),
        ] {
            let hotkey: Hotkey = address.parse().unwrap();
            let hex: String = hotkey.account_id().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, account);
            assert_eq!(hotkey.to_string(), address);
        }
    }

    #[test]
    fn each_fault_is_named() {
        // The first is the same account with network byte 0 (Polkadot).
        for (bad, problem) in [
            ("12bzRJfh7arnnfPPUZHeJUaE62QLEwhK48QnH9LXeK2m1iZU", "network"),
            ("5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzW", "checksum"),
            ("5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRz", "35 bytes"),
            ("5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzVV", "too long"),
            ("5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRz0", "alphabet"),
            ("5é", "alphabet"),
            ("", "35 bytes"),
        ] {
            let error = bad.parse::<Hotkey>().unwrap_err().to_string();
            assert!(error.contains(problem), "{bad}: {error}");
        }
    }

    #[test]
    fn json_holds_the_address() {
        let hotkey: Hotkey = ADDRESS.parse().unwrap();
        let json = serde_json::to_string(&hotkey).unwrap();
        assert_eq!(json, format!("\"{ADDRESS}\""));
        assert_eq!(serde_json::from_str::<Hotkey>(&json).unwrap(), hotkey);
        assert!(serde_json::from_str::<Hotkey>("\"5\"").is_err());
        assert!(serde_json::from_str::<Hotkey>("5").is_err());
    }

    proptest! {
        #[test]
        fn any_account_goes_there_and_back(account in any::<[u8; 32]>()) {
            let hotkey = Hotkey::from_account_id(account);
            let text = hotkey.to_string();
            prop_assert!(text.len() == 47 || text.len() == 48, "{}", text);
            prop_assert!(text.starts_with('5'));
            prop_assert_eq!(text.parse::<Hotkey>().unwrap(), hotkey);
        }

        #[test]
        fn a_mistyped_character_is_never_another_spelling(position in 0..48usize, character in "[ -~]") {
            let mut text = ADDRESS.to_owned();
            text.replace_range(position..=position, &character);
            match text.parse::<Hotkey>() {
                // One in 65,536 passes the checksum, and is then a different account.
                Ok(hotkey) => prop_assert_eq!(hotkey.to_string(), text),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }

        #[test]
        fn what_is_taken_is_canonical(text in "\\PC{0,60}|[1-9A-HJ-NP-Za-km-z]{30,50}") {
            if let Ok(hotkey) = text.parse::<Hotkey>() {
                prop_assert_eq!(hotkey.to_string(), text);
            }
        }
    }
}
