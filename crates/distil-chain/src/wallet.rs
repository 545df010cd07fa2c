//! Bittensor wallets: the key files that `btcli` and Bittensor's Python libraries write, and signatures by a hotkey.
//!
//! ```
//! use distil_chain::wallet::{Passwords, Wallet};
//!
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/wallets");
//! let wallet = Wallet::new(folder, "alpha")?;
//! let mut ask = |_: &std::path::Path| Err(std::io::Error::other("there is no terminal to ask at"));
//! let environment = |name: &str| std::env::var(name).ok();
//! let loaded = wallet.load_hotkey("hk0", Passwords { environment: &environment, ask: &mut ask })?;
//! for warning in &loaded.warnings {
//!     eprintln!("{warning}");
//! }
//! let signature = loaded.signer.sign(b"message");
//! println!("{} signs; its coldkey is {}", loaded.signer.public_key(), wallet.coldkey_address()?);
//! # Ok::<(), distil_chain::wallet::WalletError>(())
//! ```
//!
//! # What a wallet is
//!
//! ```text
//! ~/.bittensor/wallets/{wallet}/coldkey              owns the funds; never read here
//!                               coldkeypub.txt       its public address
//!                               hotkeys/{hotkey}     signs commitments and weights
//! ```
//!
//! A key file is a JSON object whose values are texts or numbers. The key is taken from the first of `secretPhrase`
//! (BIP-39, English; Substrate's way from its entropy to a seed), `secretSeed` (32 bytes) and `privateKey` (64 bytes:
//! scalar and nonce, as schnorrkel writes them) that is there, and has to be the key that the file itself names in
//! `publicKey`, `accountId` and `ss58Address`. Only sr25519 keys (`cryptoType` 1) sign.
//!
//! An encrypted file is `$NACL`, 24 bytes of nonce, and the JSON in an XSalsa20-Poly1305 secretbox. Its key is argon2i
//! of the password (version 0x13, 8 passes over 512 MiB, one lane, a fixed salt): opening takes that memory and some
//! seconds.
//!
//! # Passwords
//!
//! First the environment variable of the file ([`password_variable`]) as Bittensor's tools set it, then the question to
//! the user. Two older encryptions, Ansible's vault and Fernet, are recognised and refused with what to do.
//!
//! # What is kept secret
//!
//! File contents, passwords and keys are zeroized when they are dropped. They have no `Display`, their `Debug` is
//! "hidden", and no error quotes from a key file. What libraries hold while they work, such as the memory that argon2
//! fills, is only given back.

mod encryption;
mod error;
mod file;
mod keyfile;
mod location;
mod password;
mod signer;

pub use error::{WalletError, WalletWarning};
pub use location::{LoadedHotkey, Wallet};
pub use password::{Password, Passwords, password_variable};
pub use signer::HotkeySigner;
