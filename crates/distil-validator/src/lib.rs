//! The epoch loop of a validator: read the subnet, check commitments, evaluate challengers against the king, decide, look
//! at the winner again, set weights, write the record.
//!
//! ```no_run
//! use distil_chain::{ChainClient, ChainSettings};
//! use distil_eval::worker::{Worker, WorkerCommand, WorkerLimits};
//! use distil_hub::{Hub, HubSettings};
//! use distil_store::Store;
//! use distil_validator::{Parts, Stop, Validator, ValidatorSettings};
//!
//! # fn example(settings: ValidatorSettings) -> Result<(), Box<dyn std::error::Error>> {
//! # fn unix_ms() -> u64 { 0 }
//! let parts = Parts {
//!     chain: ChainClient::new(ChainSettings::new(vec!["ws://127.0.0.1:9944".parse()?], 1))?,
//!     hub: Hub::new(HubSettings::from_environment(|name| std::env::var(name).ok())?)?,
//!     store: Store::open("state".as_ref())?,
//!     worker: Worker::new(WorkerCommand::this_program(std::env::vars_os())?, WorkerLimits::default()),
//!     signer: None, // evaluates and sets no weights
//!     clock: Box::new(unix_ms),
//!     observer: Box::new(()),
//!     stop: Stop::default(),
//! };
//! let mut validator = Validator::new(settings, parts)?;
//! validator.epoch()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Concepts
//!
//! - **An epoch** ([`Validator::epoch`]) does what is due and no more: it takes up a round that is open, or reads the
//!   subnet at the newest round block, and begins one if the rules want it. No challenger, no evaluation.
//! - **Every step is in the store before the next begins.** An epoch that ends anywhere, also by the process being killed,
//!   is taken up by the next one; what was measured is not measured again, and what was sent is looked for on the chain
//!   before anything is sent again.
//! - **The rules are elsewhere**: [`distil_scoring`] decides, this crate carries out.
//! - **[`Event`]s** are told to an [`Observer`] after each step: for logs, for a display, and for tests that kill the
//!   process right there.
//! - **Records**: [`record::write`] makes the folder of a finished round, [`record::verify`] holds one to
//!   what it says of itself.
//! - **Time** comes from the clock that is given, in milliseconds since 1970.

#![forbid(unsafe_code)]

mod census;
mod compare;
mod error;
mod events;
mod judge;
mod models;
mod prepare;
pub mod record;
mod round;
mod run;
mod send;
mod settings;
mod stop;
mod stored;
mod told;
mod validator;
mod watch;

pub use error::ValidatorError;
pub use events::{Event, Observer, StudentEnd};
pub use settings::{Continuation, ValidatorSettings};
pub use stop::Stop;
pub use validator::{EpochEnd, Parts, Validator};
