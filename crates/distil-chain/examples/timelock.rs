//! Timelock encryption from the command line, for the drand quicknet. All bytes are hexadecimal.
//!
//! ```text
//! timelock encrypt ROUND PLAINTEXT          the inner bytes, as the chain takes them
//! timelock envelope ROUND PLAINTEXT         the same with their round, as Bittensor's Python tools take them
//! timelock decrypt SIGNATURE CIPHERTEXT     the plaintext of inner bytes
//! timelock open-envelope SIGNATURE ENVELOPE the same of an envelope
//! timelock verify ROUND SIGNATURE           whether this is the round's signature
//! timelock round UNIX_MS                    the first round published then or later, and SDK 10's
//! ```
//!
//! A line of standard input holds the arguments, a line of standard output the answer.

#![allow(clippy::print_stdout)]

use distil_chain::timelock::{DrandNetwork, Randomness, UserData, decrypt, encrypt};
use std::{error::Error, io};

fn main() -> Result<(), Box<dyn Error>> {
    for line in io::stdin().lines() {
        println!("{}", answer(&line?)?);
    }
    Ok(())
}

fn answer(line: &str) -> Result<String, Box<dyn Error>> {
    let quicknet = DrandNetwork::quicknet();
    let seal = |round: u64, plaintext: &str| -> Result<Vec<u8>, Box<dyn Error>> {
        Ok(encrypt(&unhex(plaintext)?, round, quicknet.public_key(), Randomness::from_system()?)?)
    };
    Ok(match *line.split(' ').collect::<Vec<_>>() {
        ["encrypt", round, plaintext] => hex(&seal(round.parse()?, plaintext)?),
        ["envelope", round, plaintext] => {
            let reveal_round = round.parse()?;
            hex(&UserData { encrypted: seal(reveal_round, plaintext)?, reveal_round }.encode()?)
        }
        ["decrypt", signature, ciphertext] => hex(&decrypt(&unhex(ciphertext)?, &signature.parse()?)?),
        ["open-envelope", signature, envelope] => {
            hex(&decrypt(&UserData::decode(&unhex(envelope)?)?.encrypted, &signature.parse()?)?)
        }
        ["verify", round, signature] => quicknet.verify(round.parse()?, &signature.parse()?).is_ok().to_string(),
        ["round", unix_ms] => {
            let unix_ms = unix_ms.parse()?;
            format!("{} {}", quicknet.round_at(unix_ms)?, quicknet.round_at_by_sdk_10(unix_ms)?)
        }
        _ => return Err(format!("not a command: {}", line.chars().take(40).collect::<String>().escape_debug()).into()),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err("an even number of hexadecimal digits is needed".into());
    }
    (0..text.len()).step_by(2).map(|start| Ok(u8::from_str_radix(&text[start..start + 2], 16)?)).collect()
}
