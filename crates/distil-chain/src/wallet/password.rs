//! Passwords, and the environment variables that Bittensor's tools keep them in.

use super::WalletError;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{fmt, io, path::Path};
use zeroize::Zeroizing;

/// A password: zeroized when dropped, and never shown.
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text.into_bytes()))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// Where the password of an encrypted file comes from. Nothing is asked for a file that is not encrypted.
pub struct Passwords<'a> {
    /// Looks up an environment variable: `|name| std::env::var(name).ok()`.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// Asks the user for the password of this file; an error where there is nobody to ask.
    pub ask: &'a mut dyn FnMut(&Path) -> io::Result<Password>,
}

impl Passwords<'_> {
    /// The password for a file, and where it comes from.
    pub(super) fn get(&mut self, file: &Path) -> Result<(Password, String), WalletError> {
        let variable = password_variable(file);
        if let Some(value) = (self.environment)(&variable).map(Zeroizing::new).filter(|value| !value.is_empty()) {
            return match unmask(&variable, &value) {
                Some(password) => Ok((password, variable)),
                None => Err(WalletError::InvalidPasswordVariable { variable }),
            };
        }
        match (self.ask)(file) {
            Ok(password) => Ok((password, "the prompt".to_owned())),
            Err(source) => Err(WalletError::NoPassword { file: file.to_owned(), variable, source }),
        }
    }
}

/// The environment variable in which Bittensor's tools keep the password of a key file: `BT_PW_` and the file's path
/// with `/` and `.` replaced by `_`, in capitals.
///
/// Its value is not the password but base64 of the password's bytes, each xor a byte of the variable's name, which is
/// repeated as often as needed: it keeps the password from a glance, not from a reader.
///
/// ```
/// use distil_chain::wallet::password_variable;
///
/// let file = "/home/me/.bittensor/wallets/default/hotkeys/default";
/// assert_eq!(password_variable(file.as_ref()), "BT_PW__HOME_ME__BITTENSOR_WALLETS_DEFAULT_HOTKEYS_DEFAULT");
/// ```
pub fn password_variable(file: &Path) -> String {
    format!("BT_PW_{}", file.to_string_lossy().replace(['/', '.'], "_")).to_uppercase()
}

fn unmask(variable: &str, value: &str) -> Option<Password> {
    // Room for all of it at once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(value.len()));
    STANDARD.decode_vec(value.trim(), &mut bytes).ok()?;
    bytes.iter_mut().zip(variable.bytes().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    // The tools take text for a password; anything else was masked with another name.
    std::str::from_utf8(&bytes).ok()?;
    Some(Password(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_bittensor_stored_is_read() {
        // Written by bittensor_wallet 4.1.1 and bittensor_core 0.1.5 (PyPI).
        let variable = password_variable(Path::new("/tmp/Some.dir-x/k"));
        assert_eq!(variable, "BT_PW__TMP_SOME_DIR-X_K");
        assert_eq!(unmask(&variable, "Mpf7IyQoMCYp").unwrap().as_bytes(), "pässword".as_bytes());
        assert_eq!(unmask("BT_PW_X_Y", "FjEsJA==").unwrap().as_bytes(), b"Test");
    }

    #[test]
    fn neither_a_plain_password_nor_another_files_is_taken() {
        for value in ["not base64!", "Test", "FjEsJA", "////"] {
            assert!(
                unmask("BT_PW_X_Y", value).is_none_or(|password| password.as_bytes() != value.as_bytes()),
                "{value}"
            );
        }
        assert!(unmask("BT_PW_X_Y", "Test-Passw0rd!").is_none());
        assert!(unmask("BT_PW_X_Y", "////").is_none());
    }

    proptest! {
        #[test]
        fn any_password_is_unmasked(password in "\\PC{0,40}", path in "\\PC{0,40}") {
            let variable = password_variable(Path::new(&path));
            let mask = variable.bytes().cycle();
            let masked: Vec<u8> = password.bytes().zip(mask).map(|(one, other)| one ^ other).collect();
            let read = unmask(&variable, &STANDARD.encode(masked)).unwrap();
            prop_assert_eq!(read.as_bytes(), password.as_bytes());
            prop_assert_eq!(format!("{read:?}"), "Password(hidden)");
        }

        #[test]
        fn any_value_is_a_password_or_none(value in any::<String>()) {
            unmask("BT_PW_X_Y", &value);
        }
    }
}
