//! The JSON of a key file.

use super::{HotkeySigner, WalletError};
use crate::hex;
use bip39::{Language, Mnemonic};
use distil_types::Hotkey;
use serde::{Deserialize, Deserializer, de::Visitor};
use std::{fmt, path::Path};
use zeroize::Zeroizing;

const SR25519: &str = "1";

/// What a key file may hold. Older tools write `null` for what isn't there; fields unknown to us are passed over.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Fields {
    secret_phrase: Text,
    secret_seed: Text,
    private_key: Text,
    public_key: Text,
    account_id: Text,
    ss58_address: Text,
    crypto_type: Text,
}

/// The key that a file's secret gives, held against the public key that the file names.
pub(super) fn signer(file: &Path, content: &[u8]) -> Result<HotkeySigner, WalletError> {
    let fields = Fields::parse(file, content)?;
    if fields.crypto_type.get().is_some_and(|crypto_type| crypto_type != SR25519) {
        return Err(WalletError::UnsupportedKeyType { file: file.to_owned() });
    }
    let (secret_field, signer) = fields.secret(file)?;
    let derived = signer.public_key();
    for (field, account) in fields.accounts(file)? {
        if account != derived {
            return Err(WalletError::Mismatch { file: file.to_owned(), field, secret_field, derived });
        }
    }
    Ok(signer)
}

/// The address that a file with public values names, every field of it the same.
pub(super) fn address(file: &Path, content: &[u8]) -> Result<Hotkey, WalletError> {
    let accounts = Fields::parse(file, content)?.accounts(file)?;
    let (_, first) = accounts[0];
    match accounts.iter().find(|(_, account)| *account != first) {
        None => Ok(first),
        Some((field, _)) => Err(invalid(file, field, "names another key than the file's other fields")),
    }
}

impl Fields {
    fn parse(file: &Path, content: &[u8]) -> Result<Self, WalletError> {
        let malformed = |problem| WalletError::Malformed { file: file.to_owned(), problem };
        // The parser would take a list as the fields in their order.
        if content.trim_ascii_start().first() != Some(&b'{') {
            return Err(malformed(
                "it is no JSON object and has none of the known prefixes of encrypted files".to_owned(),
            ));
        }
        serde_json::from_slice(content).map_err(|error| {
            // Its own message may quote a value.
            let problem = match error.classify() {
                serde_json::error::Category::Data => "a field is there twice, or its value is neither text nor number",
                _ => "damaged JSON",
            };
            malformed(format!("{problem} (line {}, column {})", error.line(), error.column()))
        })
    }

    /// In Bittensor's order, with the name of the field.
    fn secret(&self, file: &Path) -> Result<(&'static str, HotkeySigner), WalletError> {
        if let Some(phrase) = self.secret_phrase.get() {
            let field = "secretPhrase";
            let problem = "is not a BIP-39 phrase of 12 to 24 English words with its checksum";
            let phrase = Mnemonic::parse_in_normalized(Language::English, phrase);
            let entropy = Zeroizing::new(phrase.map_err(|_| invalid(file, field, problem))?.to_entropy());
            let seed = substrate_bip39::mini_secret_from_entropy(&entropy, "");
            let seed = seed.map_err(|_| invalid(file, field, problem))?;
            Ok((field, HotkeySigner::from_mini_secret(&seed)))
        } else if let Some(seed) = self.secret_seed.get() {
            let field = "secretSeed";
            let seed = bytes(seed).ok_or_else(|| invalid(file, field, "is not 32 bytes in hexadecimal"))?;
            Ok((field, HotkeySigner::from_seed(&seed)))
        } else if let Some(key) = self.private_key.get() {
            let field = "privateKey";
            let key = bytes(key).ok_or_else(|| invalid(file, field, "is not 64 bytes in hexadecimal"))?;
            let signer = HotkeySigner::from_private_key(&key)
                .ok_or_else(|| invalid(file, field, "is not the scalar and nonce of an sr25519 key"))?;
            Ok((field, signer))
        } else {
            Err(WalletError::NoSecret { file: file.to_owned() })
        }
    }

    /// The public fields that are there, one at least.
    fn accounts(&self, file: &Path) -> Result<Vec<(&'static str, Hotkey)>, WalletError> {
        let mut accounts = Vec::with_capacity(3);
        for (field, text) in [("publicKey", &self.public_key), ("accountId", &self.account_id)] {
            if let Some(text) = text.get() {
                let account = bytes(text).ok_or_else(|| invalid(file, field, "is not 32 bytes in hexadecimal"))?;
                accounts.push((field, Hotkey::from_account_id(*account)));
            }
        }
        if let Some(text) = self.ss58_address.get() {
            let field = "ss58Address";
            // The error would quote the text.
            let address = text.parse().map_err(|_| invalid(file, field, "is not an ss58 address of Bittensor"))?;
            accounts.push((field, address));
        }
        if accounts.is_empty() {
            let problem = "is missing, and so are accountId and ss58Address: whose key it is cannot be checked";
            return Err(invalid(file, "publicKey", problem));
        }
        Ok(accounts)
    }
}

fn invalid(file: &Path, field: &'static str, problem: &'static str) -> WalletError {
    WalletError::InvalidField { file: file.to_owned(), field, problem }
}

fn bytes<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    hex::decode_into(text, &mut bytes[..])?;
    Some(bytes)
}

/// A text, a number as text, or nothing; zeroized when dropped.
#[derive(Default)]
struct Text(Option<Zeroizing<String>>);

impl Text {
    fn get(&self) -> Option<&str> {
        self.0.as_ref().map(|text| text.as_str())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(Zeroizing::new(text.to_owned()))))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Text, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Text, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Text, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<Text, E> {
                Ok(Text(None))
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The development phrase of Substrate, its seed, its key, and //Alice's address to mix up with.
    const PHRASE: &str = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
    const SEED: &str = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";
    const PRIVATE: &str = "0x05d65584630d16cd4af6d0bec10f34bb504a5dcb62dba2122d49f5a663763d0a\
                           fd190cce74df356432b410bd64682309d6dedb27c76845daf388557cbac3ca34";
    const PUBLIC: &str = "0x46ebddef8cd9bb167dc30878d7113b7e168e6f0646beffd77d69d39bad76b47a";
    const ADDRESS: &str = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV";
    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

    const NAME: &str = "secretSeed|privateKey|secretPhrase|publicKey|ss58Address|cryptoType|x";

    /// Values of a field, most of them none that fits.
    const VALUE: &str = concat!(
        r#""(0x)?[0-9a-f]{0,4}"|"[a-z ]{0,20}"|"\\u00e9"|"#,
        r#"-?[0-9]{1,25}(\.[0-9])?|null|true|\[\]|\{\}|""#
    );

    fn read(json: &str) -> Result<HotkeySigner, WalletError> {
        signer(Path::new("key"), json.as_bytes())
    }

    fn error(json: &str) -> String {
        let error = read(json).unwrap_err();
        let text = format!("{error} {error:?}");
        for secret in ["bottom", "fit walk", &SEED[2..20], &SEED[40..], &PRIVATE[2..20], &PRIVATE[100..]] {
            assert!(!text.contains(secret), "{text}");
        }
        text
    }

    #[test]
    fn each_kind_of_secret_gives_the_same_key() {
        for secret in [
            format!(r#""secretPhrase": "{PHRASE}""#),
            format!(r#""secretSeed": "{SEED}""#),
            format!(r#""secretSeed": "{}""#, &SEED[2..]),
            format!(r#""privateKey": "{PRIVATE}""#),
            format!(r#""secretPhrase": null, "secretSeed": null, "privateKey": "{PRIVATE}""#),
        ] {
            for crypto_type in ["", r#", "cryptoType": 1"#, r#", "cryptoType": "1""#, r#", "cryptoType": null"#] {
                let json = format!(r#"{{{secret}, "ss58Address": "{ADDRESS}", "publicKey": "{PUBLIC}"{crypto_type}}}"#);
                assert_eq!(read(&json).unwrap().public_key().to_string(), ADDRESS, "{json}");
            }
        }
    }

    #[test]
    fn phrase_goes_before_seed_and_seed_before_private_key() {
        let other_seed = "11".repeat(32);
        let other = HotkeySigner::from_seed(&[0x11; 32]).public_key();
        let json = |address: &str| {
            format!(
                r#"{{"privateKey": "{PRIVATE}", "secretSeed": "{other_seed}", "secretPhrase": "{PHRASE}",
                    "ss58Address": "{address}"}}"#
            )
        };
        assert_eq!(read(&json(ADDRESS)).unwrap().public_key().to_string(), ADDRESS);
        assert!(error(&json(ALICE)).contains("secretPhrase"));
        let without_phrase = json(&other.to_string()).replace("secretPhrase", "x");
        assert_eq!(read(&without_phrase).unwrap().public_key(), other);
    }

    #[test]
    fn a_key_that_is_not_the_files_own_is_refused() {
        for field in ["ss58Address", "publicKey", "accountId"] {
            let value = if field == "ss58Address" {
                ALICE.to_owned()
            } else {
                hex::encode(ALICE.parse::<Hotkey>().unwrap().account_id())
            };
            let error = error(&format!(r#"{{"secretSeed": "{SEED}", "{field}": "{value}"}}"#));
            assert!(error.contains("Mismatch") && error.contains(field) && error.contains(ADDRESS), "{error}");
        }
        assert!(error(&format!(r#"{{"secretSeed": "{SEED}"}}"#)).contains("missing"));
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_quoted() {
        for (json, name) in [
            (format!(r#"{{"secretSeed": "{SEED}00", "publicKey": "{PUBLIC}"}}"#), "secretSeed"),
            (format!(r#"{{"secretSeed": "{}", "publicKey": "{PUBLIC}"}}"#, PRIVATE), "secretSeed"),
            (format!(r#"{{"privateKey": "{SEED}", "publicKey": "{PUBLIC}"}}"#), "privateKey"),
            (format!(r#"{{"privateKey": "0x{}", "publicKey": "{PUBLIC}"}}"#, "ff".repeat(64)), "privateKey"),
            (format!(r#"{{"secretPhrase": "{PHRASE} walk", "publicKey": "{PUBLIC}"}}"#), "secretPhrase"),
            (format!(r#"{{"secretPhrase": "{}", "publicKey": "{PUBLIC}"}}"#, &PHRASE[7..]), "secretPhrase"),
            (format!(r#"{{"secretPhrase": "", "secretSeed": "{SEED}", "publicKey": "{PUBLIC}"}}"#), "secretPhrase"),
            (format!(r#"{{"secretSeed": "{SEED}", "publicKey": "{PHRASE}"}}"#), "publicKey"),
            (format!(r#"{{"secretSeed": "{SEED}", "ss58Address": "{PHRASE}"}}"#), "ss58Address"),
            (format!(r#"{{"secretSeed": "{SEED}", "ss58Address": "{SEED}"}}"#), "ss58Address"),
            (format!(r#"{{"secretSeed": "{SEED}", "publicKey": "{PUBLIC}", "cryptoType": 0}}"#), "cryptoType"),
            (format!(r#"{{"secretSeed": "{SEED}", "publicKey": "{PUBLIC}", "cryptoType": 1.5}}"#), "cryptoType"),
            (format!(r#"{{"secretSeed": "{SEED}", "publicKey": "{PUBLIC}", "cryptoType": "{PHRASE}"}}"#), "cryptoType"),
            (format!(r#"{{"secretSeed": ["{SEED}"], "publicKey": "{PUBLIC}"}}"#), "neither text nor number"),
            (format!(r#"{{"secretSeed": {{"a": "{SEED}"}}}}"#), "neither text nor number"),
            (r#"{"secretSeed": true}"#.to_owned(), "neither text nor number"),
            (format!(r#"{{"secretSeed": "{SEED}", "secretSeed": "{SEED}"}}"#), "twice"),
            (format!(r#"{{"secretSeed": "{SEED}""#), "damaged JSON"),
            (format!(r#"{{"secretPhrase": "{PHRASE}"#), "damaged JSON"),
            (format!(r#"{{"publicKey": "{PUBLIC}"}} {{"secretPhrase": "{PHRASE}"}}"#), "damaged JSON"),
            (format!(r#"{{"x": {}}}"#, "[".repeat(10_000)), "damaged JSON"),
            (format!(r#"["{PHRASE}"]"#), "no JSON object"),
            (format!(r#""{PHRASE}""#), "no JSON object"),
            (PHRASE.to_owned(), "no JSON object"),
            (SEED.to_owned(), "no JSON object"),
            (String::new(), "no JSON object"),
            ("{}".to_owned(), "NoSecret"),
            (format!(r#"{{"ss58Address": "{ADDRESS}", "publicKey": "{PUBLIC}"}}"#), "NoSecret"),
        ] {
            let error = error(&json);
            assert!(error.contains(name), "{json}: {error}");
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_without_its_secrets() {
        let real = include_str!("../../tests/fixtures/wallets/alpha/hotkeys/hk0").trim_end();
        for end in 0..real.len() {
            error(&real[..end]);
        }
        for position in 0..real.len() {
            let mut changed = real.as_bytes().to_vec();
            changed[position] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            // What is changed in a name, or in the seed, which is not used beside a phrase, may change nothing.
            match read(&changed) {
                Ok(signer) => assert_eq!(signer.public_key().to_string(), ADDRESS),
                Err(_) => drop(error(&changed)),
            }
        }
    }

    #[test]
    fn an_address_is_read_if_all_fields_agree() {
        let read = |json: &str| address(Path::new("key"), json.as_bytes());
        for json in [format!(r#"{{"ss58Address": "{ADDRESS}"}}"#), format!(r#"{{"publicKey": "{PUBLIC}", "x": [1]}}"#)]
        {
            assert_eq!(read(&json).unwrap().to_string(), ADDRESS);
        }
        let mixed = read(&format!(r#"{{"ss58Address": "{ALICE}", "accountId": "{PUBLIC}"}}"#)).unwrap_err();
        assert!(mixed.to_string().contains("another key"), "{mixed}");
        assert!(read("{}").is_err());
        assert!(read(SEED).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_key_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(signer(Path::new("key"), &bytes).is_err());
        }

        #[test]
        fn any_json_of_these_fields_is_a_key_or_an_error(
            fields in proptest::collection::vec((NAME, VALUE), 0..5)
        ) {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            let result = read(&format!("{{{}}}", fields.join(",")));
            prop_assert!(result.is_err());
        }

        #[test]
        fn every_seed_is_read_back(seed in any::<[u8; 32]>()) {
            let expected = HotkeySigner::from_seed(&seed).public_key();
            let json = format!(r#"{{"secretSeed": "0x{}", "ss58Address": "{expected}"}}"#, hex::encode(&seed));
            prop_assert_eq!(read(&json).unwrap().public_key(), expected);
        }
    }
}
