//! A Bittensor-like chain in the process, which speaks Substrate's JSON-RPC over a real WebSocket, with faults to order.
//!
//! Whatever reads the chain, commits to it or sets weights on it can be tried against it, over real sockets and without
//! the network: metadata, storage under the real keys, signed transactions with the real checks and errors, commitments
//! and weights that are timelocked and really open at their round, and everything that goes wrong on a bad day.
//!
//! ```
//! use distil_devnet::{DevNet, DevNetSettings, Fault, FaultKind, Hyperparameters, Neuron};
//! use distil_types::{Hotkey, NetUid, Uid};
//!
//! let net = DevNet::start(DevNetSettings::default())?;
//! println!("a client may connect to {}", net.endpoint());
//!
//! // A subnet with a validator and a miner. Each change is part of a block, as everything on a chain is.
//! let netuid = NetUid(97);
//! let subnet = Hyperparameters { tempo: Some(20), ..Hyperparameters::default() };
//! net.admin().register_subnet(netuid, subnet)?;
//! let (alice, bob) = (Hotkey::from_account_id([1; 32]), Hotkey::from_account_id([2; 32]));
//! let uids = net.admin().register_neurons(netuid, [Neuron::validator(alice), Neuron::miner(bob)])?;
//! assert_eq!(uids, [Uid(0), Uid(1)]);
//!
//! // Time goes on when it is told to: 12 seconds a block, and four rounds of the randomness beacon.
//! let (time, round) = (net.admin().time_ms(), net.admin().drand_round());
//! net.admin().produce_blocks(10)?;
//! assert_eq!(net.admin().time_ms(), time + 120_000);
//! assert_eq!(net.admin().drand_round(), round + 40);
//!
//! // The next submission is refused, and the connection of the third request from now on breaks.
//! net.admin().order(Fault::new(FaultKind::PoolError(1012)).times(1));
//! net.admin().order(Fault::new(FaultKind::Drop).after(2).times(1));
//! # Ok::<(), distil_devnet::DevNetError>(())
//! ```
//!
//! # What is here
//!
//! - [`DevNet`]: a running chain, and [`DevNetSettings`], how it is set up: who makes blocks and when, how far finality
//!   is behind, which of the two models of epochs it has, where it is kept.
//! - [`Admin`]: what an operator can do: register subnets and neurons, set parameters, make blocks, move time, reorganize
//!   the chain, upgrade the runtime, break connections. Other processes do the same by the methods `devnet_*`.
//! - [`Command`]: a change that a block makes; many can go into one.
//! - [`Fault`] and [`FaultKind`]: what is to go wrong, for which requests, how often.
//! - [`RequestRecord`]: what was asked, for tests and benchmarks that count requests and bytes.
//!
//! # How far it is the real chain
//!
//! The metadata (versions 14, 15 and 16) is made from the Rust types that the chain runs on. Every pallet, call, event,
//! error, storage item, hasher, default and runtime API in it has the name, index and shape of spec version 365; the
//! tests hold it to the metadata of the real chain. It is a part of that chain, though:
//!
//! | pallet | what is here |
//! |---|---|
//! | `System`, `Timestamp`, `Balances` | accounts, nonces, fees of what is not free, blocks, events, remarks, transfers |
//! | `SubtensorModule` | subnets, neurons, weights in the open, timelocked and hashed, mechanisms, epochs |
//! | `Commitments` | commitments, quotas, the reveal, the newest ten reveals |
//! | `Drand` | the rounds of a beacon of our own, whose key is in `BeaconConfig` |
//!
//! - There is no economy. Stake, incentive, dividends and permits are what the operator says.
//! - State roots name the state but are no trie's: there are no proofs.
//! - Rounds of the beacon are stored at the end of a block and not by an extrinsic; neurons are registered by the
//!   operator and not by a call.
//! - A commitment with more than three fields fails with `TooManyFieldsInCommitmentInfo`; the real chain may refuse it
//!   as one that does not decode.
//! - Of subtensor's pool, the checks that newer chains make before a call is in a block are a setting.
//! - Epochs of the second model end at most one for a subnet and block, with no limit on subnets.
//!
//! # Determinism
//!
//! The same settings and calls give the same blocks, hashes and events. The clock is read with
//! [`BlockProduction::Clock`] alone.

#![forbid(unsafe_code)]

mod admin;
mod chain;
mod command;
mod devnet;
mod error;
mod extrinsic;
mod faults;
mod hashing;
mod hex;
mod metadata;
mod pallets;
mod pool;
mod record;
mod rpc;
mod runtime;
mod settings;
mod state;
mod types;

pub use admin::Admin;
pub use chain::Retracted;
pub use command::{Command, Hyperparameters, Neuron, NeuronChange};
pub use devnet::DevNet;
pub use error::DevNetError;
pub use faults::{Fault, FaultKind};
pub use record::RequestRecord;
pub use settings::{BlockProduction, DevNetSettings, DrandSettings, EpochModel};
