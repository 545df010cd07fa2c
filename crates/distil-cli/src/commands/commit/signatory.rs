//! Whose commitment it is: the hotkey's address without a password where that is possible, and its key when it signs.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use distil_chain::wallet::{HotkeySigner, LoadedHotkey, Password, Passwords, Wallet, WalletError};
use distil_types::Hotkey;
use serde::Deserialize;

use crate::exit::CommandError;
use crate::files::read_text;
use crate::settings::Commit;
use crate::text::visible;

/// The files of Bittensor's tools have about 200 bytes.
const MAX_PUBLIC_FILE_BYTES: u64 = 64 * 1024;

/// A hotkey, with its key where that was there to be read.
#[derive(Debug)]
pub(super) struct Signatory {
    /// Its address.
    pub(super) hotkey: Hotkey,
    signer: Option<HotkeySigner>,
}

impl Signatory {
    /// Finds out whose commitment it is. An encrypted key is left alone where the file beside it, `{hotkey}pub.txt`, has
    /// the address.
    pub(super) fn find(settings: &Commit, notes: &mut dyn Write) -> Result<Self, CommandError> {
        let mut nobody = |_: &Path| Err(io::Error::other("nobody is asked yet"));
        let plain = Passwords { environment: &|_| None, ask: &mut nobody };
        match settings.wallet.load_hotkey(&settings.hotkey, plain) {
            Ok(loaded) => Ok(Self::of(loaded, notes)),
            Err(WalletError::NoPassword { .. }) => match public_address(settings)? {
                Some(hotkey) => Ok(Self { hotkey, signer: None }),
                None => Ok(Self::of(open(settings)?, notes)),
            },
            Err(error) => Err(wallet_error(error)),
        }
    }

    fn of(loaded: LoadedHotkey, notes: &mut dyn Write) -> Self {
        for warning in &loaded.warnings {
            // A reader that has gone misses a warning and nothing else.
            let _ = writeln!(notes, "warning: {}", visible(&warning.to_string()));
        }
        Self { hotkey: loaded.signer.public_key(), signer: Some(loaded.signer) }
    }

    /// The key; its password is looked up or asked for now, where it has one.
    pub(super) fn into_signer(self, settings: &Commit, notes: &mut dyn Write) -> Result<HotkeySigner, CommandError> {
        if let Some(signer) = self.signer {
            return Ok(signer);
        }
        let opened = Self::of(open(settings)?, notes);
        match opened.signer {
            Some(signer) if opened.hotkey == self.hotkey => Ok(signer),
            _ => Err(CommandError::usage(anyhow!(
                "hotkey {}: its file holds the key of {}, but {}pub.txt names {}",
                settings.hotkey,
                opened.hotkey,
                settings.hotkey,
                self.hotkey
            ))
            .with_hint("one of the two files belongs to another hotkey; nothing was sent")),
        }
    }
}

/// Reads the key, with the password from the environment or from a terminal.
fn open(settings: &Commit) -> Result<LoadedHotkey, CommandError> {
    open_in(&settings.wallet, &settings.hotkey)
}

/// A hotkey's key, for whoever signs with it; its password is looked up or asked for, where it has one.
pub(crate) fn open_hotkey(wallet: &Wallet, hotkey: &str, notes: &mut dyn Write) -> Result<HotkeySigner, CommandError> {
    let loaded = open_in(wallet, hotkey)?;
    for warning in &loaded.warnings {
        // A reader that has gone misses a warning and nothing else.
        let _ = writeln!(notes, "warning: {}", visible(&warning.to_string()));
    }
    Ok(loaded.signer)
}

fn open_in(wallet: &Wallet, hotkey: &str) -> Result<LoadedHotkey, CommandError> {
    let mut ask = |file: &Path| {
        if !io::stdin().is_terminal() {
            return Err(io::Error::other("there is no terminal to ask for it at"));
        }
        let prompt = format!("Password of {}: ", visible(&file.display().to_string()));
        rpassword::prompt_password(prompt).map(Password::from)
    };
    let passwords = Passwords { environment: &|name| std::env::var(name).ok(), ask: &mut ask };
    wallet.load_hotkey(hotkey, passwords).map_err(wallet_error)
}

/// What is needed of the file with a hotkey's public values.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicFile {
    ss58_address: Hotkey,
}

/// The address in the file beside the key, where there is one.
fn public_address(settings: &Commit) -> Result<Option<Hotkey>, CommandError> {
    let Ok(file) = settings.wallet.hotkey_file(&format!("{}pub.txt", settings.hotkey)) else { return Ok(None) };
    if !file.is_file() {
        return Ok(None);
    }
    let read = || {
        let text = read_text(&file, MAX_PUBLIC_FILE_BYTES)?;
        serde_json::from_str::<PublicFile>(&text)
            .with_context(|| format!("{}: not the public file of a hotkey", file.display()))
    };
    read().map(|public| Some(public.ss58_address)).map_err(CommandError::usage)
}

fn wallet_error(error: WalletError) -> CommandError {
    match error {
        error @ WalletError::NoMemory { .. } => CommandError::try_again(error),
        error => CommandError::usage(error),
    }
}
