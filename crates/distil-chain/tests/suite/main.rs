//! Timelock encryption and wallets from outside, against what other programs wrote; the client against a chain that
//! answers over a real socket.

mod chain;
mod commit;
mod snapshot;
mod timelock;
mod wallet;
