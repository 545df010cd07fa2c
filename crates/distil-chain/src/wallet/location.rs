//! Where a wallet's files are, and what they hold.

use super::{
    HotkeySigner, Passwords, WalletError, WalletWarning,
    encryption::{self, Cost, Form},
    file, keyfile,
};
use distil_types::Hotkey;
use std::path::{Path, PathBuf};

/// A wallet: a coldkey's public address, and hotkeys that sign.
///
/// See the [module](super) for its files and an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wallet {
    folder: PathBuf,
}

/// A hotkey that was read, and what should be changed about its file.
#[derive(Debug)]
pub struct LoadedHotkey {
    /// Signs.
    pub signer: HotkeySigner,
    /// To be shown to the user.
    pub warnings: Vec<WalletWarning>,
}

impl Wallet {
    /// The wallet of this name in a folder of wallets. Nothing is looked for yet.
    ///
    /// Bittensor's tools name a file's password after its path, so the folder should be written as it is for them:
    /// `~/.bittensor/wallets` as [`default_folder`](Self::default_folder) gives it.
    ///
    /// # Errors
    ///
    /// [`WalletError::InvalidName`] where the name could lead out of the folder.
    pub fn new(wallets: impl AsRef<Path>, name: &str) -> Result<Self, WalletError> {
        Ok(Self { folder: wallets.as_ref().join(checked("wallet", name)?) })
    }

    /// `~/.bittensor/wallets`, where Bittensor's tools keep wallets if they are not told otherwise.
    ///
    /// # Errors
    ///
    /// [`WalletError::NoHome`] where the environment has no `HOME`.
    pub fn default_folder(environment: impl Fn(&str) -> Option<String>) -> Result<PathBuf, WalletError> {
        let home = environment("HOME").filter(|home| !home.is_empty()).ok_or(WalletError::NoHome)?;
        Ok(PathBuf::from(home).join(".bittensor").join("wallets"))
    }

    /// The file of a hotkey.
    ///
    /// # Errors
    ///
    /// [`WalletError::InvalidName`] where the name could lead out of the folder.
    pub fn hotkey_file(&self, hotkey: &str) -> Result<PathBuf, WalletError> {
        Ok(self.folder.join("hotkeys").join(checked("hotkey", hotkey)?))
    }

    /// The file of the coldkey's public address.
    pub fn coldkey_address_file(&self) -> PathBuf {
        self.folder.join("coldkeypub.txt")
    }

    /// The coldkey's public address; the coldkey itself is never read. The type is that of any account.
    ///
    /// # Errors
    ///
    /// The variants of [`WalletError`] on files and their JSON.
    pub fn coldkey_address(&self) -> Result<Hotkey, WalletError> {
        let file = self.coldkey_address_file();
        keyfile::address(&file, &file::read(&file)?.bytes)
    }

    /// Reads a hotkey. For an encrypted one the password is looked up or asked for; to open it takes 512 MiB and
    /// seconds.
    ///
    /// # Errors
    ///
    /// All variants of [`WalletError`] but [`NoHome`](WalletError::NoHome).
    pub fn load_hotkey(&self, hotkey: &str, passwords: Passwords<'_>) -> Result<LoadedHotkey, WalletError> {
        load(&self.hotkey_file(hotkey)?, passwords, Cost::BITTENSOR)
    }
}

fn load(file: &Path, mut passwords: Passwords<'_>, cost: Cost) -> Result<LoadedHotkey, WalletError> {
    let content = file::read(file)?;
    let signer = match encryption::form(&content.bytes) {
        Form::Plain => keyfile::signer(file, &content.bytes)?,
        Form::Nacl(sealed) => {
            encryption::check_length(file, sealed)?;
            let (password, origin) = passwords.get(file)?;
            keyfile::signer(file, &encryption::open(file, sealed, &password, origin, cost)?)?
        }
        Form::Unsupported(method) => {
            return Err(WalletError::UnsupportedEncryption { file: file.to_owned(), method });
        }
    };
    Ok(LoadedHotkey { signer, warnings: content.warning.into_iter().collect() })
}

/// A name is one file's or folder's name, on every system.
fn checked<'a>(kind: &'static str, name: &'a str) -> Result<&'a str, WalletError> {
    const MAX_BYTES: usize = 255;
    let problem = if name.is_empty() {
        "a name is needed"
    } else if name.len() > MAX_BYTES {
        "at most 255 bytes are allowed"
    } else if name == "." || name == ".." {
        "this is a folder of its own"
    } else if name.contains(['/', '\\', ':']) {
        "a name, not a path, is needed: / \\ and : are not allowed"
    } else if name.contains(char::is_control) {
        "control characters are not allowed"
    } else {
        return Ok(name);
    };
    let mut shown: String = name.chars().take(80).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    Err(WalletError::InvalidName { kind, name: format!("{shown:?}"), problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::{
        Password,
        encryption::tests::{CHEAP, seal},
    };
    use proptest::prelude::*;
    use std::{cell::Cell, fs, io};

    const JSON: &str = r#"{"secretSeed": "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e",
        "ss58Address": "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV"}"#;

    /// Loads a sealed key with what the environment and the user say; tells how often the user was asked.
    fn load_sealed(environment: Option<&str>, answer: Option<&str>) -> (Result<LoadedHotkey, WalletError>, u32) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, seal(JSON.as_bytes(), "Test", CHEAP)).unwrap();
        let variable = crate::wallet::password_variable(&file);
        let asked = Cell::new(0);
        let environment = |name: &str| environment.filter(|_| name == variable).map(|value| masked(value, name));
        let mut ask = |_: &Path| {
            asked.set(asked.get() + 1);
            answer.map(|text| Password::from(text.to_owned())).ok_or_else(|| io::Error::other("no terminal"))
        };
        let result = load(&file, Passwords { environment: &environment, ask: &mut ask }, CHEAP);
        (result, asked.get())
    }

    fn masked(password: &str, variable: &str) -> String {
        use base64::Engine as _;
        let bytes: Vec<u8> = password.bytes().zip(variable.bytes().cycle()).map(|(one, other)| one ^ other).collect();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    #[test]
    fn the_environment_goes_before_the_prompt() {
        let (result, asked) = load_sealed(Some("Test"), None);
        assert_eq!(result.unwrap().signer.public_key().to_string(), "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV");
        assert_eq!(asked, 0);
        let (result, asked) = load_sealed(None, Some("Test"));
        assert!(result.is_ok());
        assert_eq!(asked, 1);
    }

    #[test]
    fn a_wrong_password_names_where_it_comes_from() {
        let wrong = |environment, answer| load_sealed(environment, answer).0.unwrap_err().to_string();
        assert!(wrong(Some("hunter2"), None).contains("BT_PW_"));
        assert!(wrong(None, Some("hunter2")).contains("the prompt"));
        let nobody = wrong(None, None);
        assert!(nobody.contains("BT_PW_") && nobody.contains("no terminal"), "{nobody}");
        // An empty variable is none.
        assert!(wrong(Some(""), None).contains("no terminal"));
    }

    #[test]
    fn a_name_never_leads_out_of_its_folder() {
        for bad in ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\\b", "C:x", "a\0b", "a\nb", &"x".repeat(256)] {
            let error = Wallet::new("w", bad).unwrap_err().to_string();
            assert!(
                error.starts_with("wallet name") && error.len() < 200 && !error.contains(char::is_control),
                "{error}"
            );
            let wallet = Wallet::new("w", "good").unwrap();
            assert!(wallet.hotkey_file(bad).unwrap_err().to_string().starts_with("hotkey name"));
        }
        for good in ["default", "a.b", "..a", "my wallet", "é", "-x", &"x".repeat(255)] {
            let file = Wallet::new("w", good).unwrap().hotkey_file(good).unwrap();
            assert_eq!(file, Path::new("w").join(good).join("hotkeys").join(good));
        }
    }

    #[test]
    fn the_default_folder_is_in_the_home() {
        let home = |value: Option<&'static str>| {
            Wallet::default_folder(move |name| value.filter(|_| name == "HOME").map(str::to_owned))
        };
        assert_eq!(home(Some("/home/me")).unwrap(), Path::new("/home/me/.bittensor/wallets"));
        assert!(home(None).is_err() && home(Some("")).is_err());
    }

    proptest! {
        #[test]
        fn any_name_is_refused_or_is_one_component(name in any::<String>()) {
            if let Ok(file) = Wallet::new("w", "good").unwrap().hotkey_file(&name) {
                prop_assert_eq!(file.components().count(), 4);
                prop_assert_eq!(file.file_name().unwrap().to_str().unwrap(), name);
            }
        }
    }
}
