use distil_chain::wallet::*;
use schnorrkel::{PublicKey, Signature};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const PHRASE: &str = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
const SEED: &str = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";
const PRIVATE: &str = "0x05d65584630d16cd4af6d0bec10f34bb504a5dcb62dba2122d49f5a663763d0a\
                       fd190cce74df356432b410bd64682309d6dedb27c76845daf388557cbac3ca34";
const ADDRESS: &str = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV";
const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wallets")
}

/// Loads a hotkey where nobody can be asked for a password.
fn load(wallets: &Path, hotkey: &str) -> Result<LoadedHotkey, WalletError> {
    let mut ask = |_: &Path| Err(io::Error::other("no terminal"));
    Wallet::new(wallets, "alpha")?.load_hotkey(hotkey, Passwords { environment: &|_| None, ask: &mut ask })
}

/// A folder of wallets whose wallet "alpha" has the hotkey "key" with this content, readable by its owner only.
fn with_key(content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let wallets = tempfile::tempdir().unwrap();
    let file = wallets.path().join("alpha/hotkeys/key");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, content).unwrap();
    set_mode(&file, 0o600);
    (wallets, file)
}

#[cfg(unix)]
fn set_mode(file: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_file: &Path, _mode: u32) {}

fn assert_signs(signer: &HotkeySigner, address: &str) {
    assert_eq!(signer.public_key().to_string(), address);
    let signature = Signature::from_bytes(&signer.sign(b"message")).unwrap();
    let key = PublicKey::from_bytes(signer.public_key().account_id()).unwrap();
    key.verify_simple(b"substrate", b"message", &signature).unwrap();
    assert!(key.verify_simple(b"substrate", b"another", &signature).is_err());
}

#[test]
fn a_wallet_by_bittensors_own_library_signs() {
    let wallet = Wallet::new(fixtures(), "alpha").unwrap();
    assert_eq!(wallet.coldkey_address().unwrap().to_string(), ALICE);
    let loaded = load(&fixtures(), "hk0").unwrap();
    assert_signs(&loaded.signer, ADDRESS);
    let shown = format!("{loaded:?}");
    assert!(shown.contains(ADDRESS) && !shown.contains("key:") && !shown.contains("05d6"), "{shown}");
}

/// Takes 512 MiB and some seconds, as every opening of such a file: it is the only test to do so.
#[test]
fn an_encrypted_key_by_bittensors_own_library_signs() {
    let (wallets, file) = with_key(fs::read(fixtures().join("alpha/coldkey")).unwrap());
    let variable = password_variable(&file);
    let mut asked = Vec::new();
    let mut ask = |path: &Path| {
        asked.push(path.to_owned());
        Ok(Password::from("Test-Passw0rd!".to_owned()))
    };
    let environment = |name: &str| {
        assert_eq!(name, variable);
        None
    };
    let wallet = Wallet::new(wallets.path(), "alpha").unwrap();
    let loaded = wallet.load_hotkey("key", Passwords { environment: &environment, ask: &mut ask }).unwrap();
    assert_signs(&loaded.signer, ALICE);
    assert_eq!(loaded.warnings, []);
    assert_eq!(asked, [file]);
}

#[test]
fn each_plain_form_signs() {
    for secret in [
        format!(r#""secretPhrase": "{PHRASE}""#),
        format!(r#""secretSeed": "{SEED}""#),
        format!(r#""privateKey": "{PRIVATE}""#),
    ] {
        let (wallets, _) = with_key(format!(r#"{{{secret}, "ss58Address": "{ADDRESS}", "cryptoType": 1}}"#));
        let loaded = load(wallets.path(), "key").unwrap();
        assert_signs(&loaded.signer, ADDRESS);
        assert_eq!(loaded.warnings, []);
    }
}

#[test]
fn a_file_that_cannot_be_one_is_refused_by_name() {
    for (content, name) in [
        (b"$ANSIBLE_VAULT;1.1;AES256\n36383632".to_vec(), "Ansible"),
        (b"gAAAAABkQ0x0".to_vec(), "Fernet"),
        (b"$NACL".to_vec(), "cut off"),
        ([&b"$NACL"[..], &[0; 39]].concat(), "cut off"),
        ([&b"$NACL"[..], &[0; 40]].concat(), "no terminal"),
        (fs::read(fixtures().join("alpha/hotkeys/hk0")).unwrap()[..400].to_vec(), "damaged JSON"),
        (b"\xff\xfe{}".to_vec(), "not a Bittensor key file"),
        (b"{\"secretSeed\": \"\xff\"}".to_vec(), "damaged JSON"),
        (vec![], "not a Bittensor key file"),
        (vec![b' '; 10 << 20], "10485760 bytes"),
        (vec![b' '; (64 << 10) + 1], "65537 bytes"),
    ] {
        let (wallets, file) = with_key(&content);
        let error = load(wallets.path(), "key").unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(file.to_str().unwrap()), "{name}: {error}");
    }
}

#[test]
fn what_is_missing_or_no_file_is_said() {
    let (wallets, file) = with_key("{}");
    assert!(matches!(load(wallets.path(), "other"), Err(WalletError::Missing { .. })));
    assert!(matches!(Wallet::new(wallets.path(), "beta").unwrap().coldkey_address(), Err(WalletError::Missing { .. })));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(matches!(load(wallets.path(), "key"), Err(WalletError::NotAFile { .. })));
    assert!(matches!(load(wallets.path(), ".."), Err(WalletError::InvalidName { .. })));
}

#[test]
fn public_files_do_not_sign() {
    let (wallets, _) = with_key(fs::read(fixtures().join("alpha/coldkeypub.txt")).unwrap());
    assert!(matches!(load(wallets.path(), "key"), Err(WalletError::NoSecret { .. })));
}

#[cfg(unix)]
#[test]
fn a_link_is_followed_to_a_file_and_nowhere_else() {
    use std::os::unix::fs::symlink;
    let (wallets, file) = with_key(format!(r#"{{"secretSeed": "{SEED}", "ss58Address": "{ADDRESS}"}}"#));
    let link = |target: &Path| {
        let link = file.with_file_name("link");
        let _ = fs::remove_file(&link);
        symlink(target, &link).unwrap();
        load(wallets.path(), "link")
    };
    assert_signs(&link(&file).unwrap().signer, ADDRESS);
    // What counts is who can read the file, not the link.
    set_mode(&file, 0o644);
    let file = fs::canonicalize(&file).unwrap();
    let warnings = link(&file).unwrap().warnings;
    assert_eq!(warnings, [WalletWarning::LoosePermissions { file: file.clone(), mode: 0o644 }]);

    assert!(matches!(link(Path::new("/dev/zero")), Err(WalletError::NotAFile { .. })));
    assert!(matches!(link(Path::new("link")), Err(WalletError::Unreadable { .. })), "a link to itself");
    assert!(matches!(link(Path::new("nowhere")), Err(WalletError::Missing { .. })));
}

#[cfg(unix)]
#[test]
fn permissions_that_let_others_read_are_a_warning() {
    let (wallets, file) = with_key(format!(r#"{{"secretSeed": "{SEED}", "ss58Address": "{ADDRESS}"}}"#));
    for (mode, loose) in [(0o600, false), (0o400, false), (0o700, false), (0o640, true), (0o604, true), (0o660, true)] {
        set_mode(&file, mode);
        let warnings = load(wallets.path(), "key").unwrap().warnings;
        assert_eq!(!warnings.is_empty(), loose, "{mode:o}");
        for warning in warnings {
            let text = warning.to_string();
            assert!(text.contains(&format!("{mode:04o}")) && text.contains("chmod 600"), "{text}");
        }
    }
}
