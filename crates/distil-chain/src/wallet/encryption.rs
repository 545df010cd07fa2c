//! How a key file is encrypted, and the one way that is opened here.

use super::{Password, WalletError};
use argon2::{Algorithm, Argon2, Params, Version};
use crypto_secretbox::{AeadInPlace, KeyInit, Nonce, Tag, XSalsa20Poly1305};
use std::path::Path;
use zeroize::Zeroizing;

const NACL_PREFIX: &[u8] = b"$NACL";
const ANSIBLE_PREFIX: &[u8] = b"$ANSIBLE_VAULT";
const FERNET_PREFIX: &[u8] = b"gAAAAA";

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// The same for every wallet; the original's choice.
const SALT: [u8; 16] = *b"\x13q\x83\xdf\xf1Z\t\xbc\x9c\x90\xb5Q\x879\xe9\xb1";

/// What a guess of the password costs: libsodium's "sensitive" for argon2i.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    memory_kib: u32,
    passes: u32,
}

impl Cost {
    pub(super) const BITTENSOR: Self = Self { memory_kib: 512 * 1024, passes: 8 };
}

/// What a file's first bytes say of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form<'a> {
    Plain,
    /// What follows the prefix.
    Nacl(&'a [u8]),
    Unsupported(&'static str),
}

pub(super) fn form(content: &[u8]) -> Form<'_> {
    if let Some(sealed) = content.strip_prefix(NACL_PREFIX) {
        Form::Nacl(sealed)
    } else if content.starts_with(ANSIBLE_PREFIX) {
        Form::Unsupported("Ansible's vault ($ANSIBLE_VAULT)")
    } else if content.starts_with(FERNET_PREFIX) {
        Form::Unsupported("Fernet (gAAAAA)")
    } else {
        Form::Plain
    }
}

/// Tells a file that is cut off before its password is asked for.
pub(super) fn check_length(file: &Path, sealed: &[u8]) -> Result<(), WalletError> {
    if sealed.len() < NONCE_BYTES + TAG_BYTES {
        let problem = "encrypted, but cut off".to_owned();
        return Err(WalletError::Malformed { file: file.to_owned(), problem });
    }
    Ok(())
}

/// Opens nonce and secretbox. `origin` is where the password comes from, for the error.
pub(super) fn open(
    file: &Path,
    sealed: &[u8],
    password: &Password,
    origin: String,
    cost: Cost,
) -> Result<Zeroizing<Vec<u8>>, WalletError> {
    check_length(file, sealed)?;
    let (nonce, sealed) = sealed.split_at(NONCE_BYTES);
    let (tag, encrypted) = sealed.split_at(TAG_BYTES);
    let key = derive_key(password, cost)
        .map_err(|_| WalletError::NoMemory { file: file.to_owned(), needed_mib: cost.memory_kib / 1024 })?;
    let mut plain = Zeroizing::new(encrypted.to_vec());
    XSalsa20Poly1305::new((&*key).into())
        .decrypt_in_place_detached(Nonce::from_slice(nonce), b"", &mut plain, Tag::from_slice(tag))
        .map_err(|_| WalletError::WrongPassword { file: file.to_owned(), origin })?;
    Ok(plain)
}

fn derive_key(password: &Password, cost: Cost) -> Result<Zeroizing<[u8; 32]>, argon2::Error> {
    let params = Params::new(cost.memory_kib, cost.passes, 1, Some(32))?;
    let mut key = Zeroizing::new([0; 32]);
    // With these parameters and a password of less than 4 GiB, the only way to fail is for want of memory.
    Argon2::new(Algorithm::Argon2i, Version::V0x13, params).hash_password_into(
        password.as_bytes(),
        &SALT,
        &mut key[..],
    )?;
    Ok(key)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As Bittensor's, but for the cost, so that a test takes no time.
    pub(in crate::wallet) const CHEAP: Cost = Cost { memory_kib: 8, passes: 1 };

    fn password(text: &str) -> Password {
        Password::from(text.to_owned())
    }

    /// An encrypted file: prefix, nonce, secretbox.
    pub(in crate::wallet) fn seal(plain: &[u8], by: &str, cost: Cost) -> Vec<u8> {
        let nonce = [7; NONCE_BYTES];
        let mut encrypted = plain.to_vec();
        let key = derive_key(&password(by), cost).unwrap();
        let tag = XSalsa20Poly1305::new((&*key).into())
            .encrypt_in_place_detached(Nonce::from_slice(&nonce), b"", &mut encrypted)
            .unwrap();
        [NACL_PREFIX, &nonce, &tag, &encrypted].concat()
    }

    fn open_file(content: &[u8], by: &str) -> Result<Zeroizing<Vec<u8>>, WalletError> {
        let Form::Nacl(sealed) = form(content) else { panic!("not encrypted") };
        open(Path::new("key"), sealed, &password(by), "the prompt".to_owned(), CHEAP)
    }

    #[test]
    fn the_right_password_opens_and_another_does_not() {
        let file = seal(b"{}", "Test-Passw0rd!", CHEAP);
        assert_eq!(open_file(&file, "Test-Passw0rd!").unwrap()[..], b"{}"[..]);
        for wrong in ["", "Test-Passw0rd", "test-passw0rd!"] {
            assert!(matches!(open_file(&file, wrong), Err(WalletError::WrongPassword { .. })), "{wrong}");
        }
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let file = seal(b"secret", "p", CHEAP);
        for position in NACL_PREFIX.len()..file.len() {
            let mut changed = file.clone();
            changed[position] ^= 0x80;
            assert!(matches!(open_file(&changed, "p"), Err(WalletError::WrongPassword { .. })), "byte {position}");
            assert!(open_file(&file[..position], "p").is_err(), "cut to {position}");
        }
        let cut = open_file(&file[..NACL_PREFIX.len() + 39], "p").unwrap_err();
        assert!(matches!(cut, WalletError::Malformed { .. }), "{cut}");
    }

    #[test]
    fn the_older_encryptions_are_known_by_name() {
        for (content, name) in
            [(&b"$ANSIBLE_VAULT;1.1;AES256\n3638"[..], "$ANSIBLE_VAULT"), (&b"gAAAAABkQ0"[..], "Fernet")]
        {
            assert!(matches!(form(content), Form::Unsupported(method) if method.contains(name)), "{name}");
        }
        assert_eq!(form(b"{}"), Form::Plain);
        assert_eq!(form(b""), Form::Plain);
        assert_eq!(form(b"$NACL"), Form::Nacl(b""));
    }

    proptest! {
        #[test]
        fn any_content_is_opened_or_an_error(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let content = [NACL_PREFIX, &content].concat();
            prop_assert!(open_file(&content, "p").is_err());
        }
    }
}
