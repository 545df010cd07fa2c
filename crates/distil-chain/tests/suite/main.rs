//! Timelock encryption and wallets from outside, against what other programs wrote; the client against a chain that
//! answers over a real socket.

mod chain;
mod commit;
mod faults;
mod resumed;
mod reveal;
mod snapshot;
mod timelock;
mod wallet;
mod weight_vectors;
mod weights;
