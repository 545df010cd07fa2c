//! Reads a hotkey of a wallet and signs with it: `hotkey WALLETS WALLET HOTKEY MESSAGE` prints the coldkey's address,
//! the hotkey's and the signature in hexadecimal. An encrypted hotkey's password comes from Bittensor's environment
//! variable.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use distil_chain::wallet::{Passwords, Wallet};
use std::{error::Error, io};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [wallets, wallet, hotkey, message] = arguments.as_slice() else {
        return Err("four arguments are needed: WALLETS WALLET HOTKEY MESSAGE".into());
    };
    let wallet = Wallet::new(wallets, wallet)?;
    let passwords = Passwords {
        environment: &|name| std::env::var(name).ok(),
        ask: &mut |_| Err(io::Error::other("this program does not ask")),
    };
    let loaded = wallet.load_hotkey(hotkey, passwords)?;
    for warning in &loaded.warnings {
        eprintln!("{warning}");
    }
    let signature: String = loaded.signer.sign(message.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{} {} {signature}", wallet.coldkey_address()?, loaded.signer.public_key());
    Ok(())
}
