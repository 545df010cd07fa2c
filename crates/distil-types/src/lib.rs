//! The ids and records that every Distil crate speaks of.
//!
//! Whatever reaches Distil from a chain, a hub, a file or a command line is parsed once, here, into a type that cannot
//! hold an invalid value. [`std::str::FromStr`] and `serde` go through the same parser, and [`std::fmt::Display`]
//! writes the one canonical form.
//!
//! ```
//! use distil_types::{Commitment, Hotkey, SubnetProfile};
//!
//! let hotkey: Hotkey = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV".parse()?;
//! let commitment: Commitment = serde_json::from_str(
//!     r#"{"model": "alice/qwen-4b", "revision": "0123456789abcdef0123456789abcdef01234567"}"#,
//! )?;
//! println!("{hotkey} commits {commitment}");
//!
//! assert!("../etc/passwd".parse::<distil_types::RepoId>().is_err());
//! assert_eq!(SubnetProfile::sn97().vocab_size, 248_320);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is here
//!
//! - **On the chain**: [`Hotkey`] (who), [`MinerKey`] (who, with which commitment), [`Uid`] (a seat, never a key), [`NetUid`] (the subnet), [`BlockRef`] and
//!   [`BlockHash`] (when).
//! - **On the Hub**: [`RepoId`], [`Revision`], and [`Commitment`], the pair that a miner publishes.
//! - **On the command line**: [`ModelRef`], a folder or a repository.
//! - **The subnet**: [`SubnetProfile`], its teacher and its limits.
//!
//! Nothing here reads a file, a clock or a network.

#![forbid(unsafe_code)]

mod block;
mod error;
mod hotkey;
mod miner;
mod model_ref;
mod profile;
mod repo;
mod text;
mod uid;

pub use block::{BlockHash, BlockRef};
pub use error::{Error, RepoIdProblem};
pub use hotkey::Hotkey;
pub use miner::MinerKey;
pub use model_ref::ModelRef;
pub use profile::SubnetProfile;
pub use repo::{Commitment, RepoId, Revision};
pub use uid::{NetUid, Uid};
