//! Bittensor for Distil: a client that reads a subnet, commits a model to it and sets weights on it. What a miner commits
//! can be read by nobody before its time, and is signed by the miner's own wallet.
//!
//! ```no_run
//! use distil_chain::{ChainClient, ChainSettings, SnapshotExpectation, select_submission};
//! use distil_types::NetUid;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = ChainSettings::new(vec!["wss://entrypoint-finney.opentensor.ai".parse()?], 1);
//! let client = ChainClient::new(settings)?;
//! let snapshot = client.snapshot(NetUid(97), SnapshotExpectation::default()).await?;
//! for neuron in &snapshot.neurons {
//!     let entries = snapshot.revealed.get(&neuron.hotkey).map_or(&[][..], |entries| entries);
//!     match select_submission(entries, neuron.registration_block, None) {
//!         Ok(submission) => println!("{} competes with {}", neuron.hotkey, submission.commitment),
//!         Err(reason) => println!("{} does not compete: {reason}", neuron.hotkey),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Sealing for a round of drand needs no chain:
//!
//! ```
//! use distil_chain::timelock::{self, DrandNetwork, Randomness};
//!
//! let quicknet = DrandNetwork::quicknet();
//! let payload = timelock::commitment_payload(r#"{"model":"alice/qwen-4b"}"#)?;
//! let round = quicknet.round_at(1_760_000_000_000)?;
//! let sealed = timelock::encrypt(&payload, round, quicknet.public_key(), Randomness::from_system()?)?;
//! # Ok::<(), timelock::TimelockError>(())
//! ```
//!
//! # Concepts
//!
//! - [`ChainClient`]: reads a subnet at one final block ([`Snapshot`]), commits a model to it ([`CommitPlan`]) and follows
//!   it to its reveal. Every await has a deadline, endpoints take turns, a transaction is sent once and looked for, and
//!   every [`ChainError`] says whether to try again, to wait, or to give up. It stays with one chain, known by its block 0
//!   ([`FINNEY_GENESIS`] is Bittensor's).
//! - [`WeightPlan`]: who gets weight. [`ChainClient::sign_weights`] makes a transaction of it as the chain takes it, in the
//!   open or sealed, unless it is there; kept, it can be found again whatever happens ([`ChainClient::find_weights`]).
//!   [`ChainClient::send_weights`] sends it; [`ChainClient::confirm_weights`] says later what became of sealed weights.
//!   [`EpochSchedule`] has the arithmetic of epochs.
//! - [`select_submission`]: which of a miner's revealed entries counts. [`oldest_for_certain`]: what to remember of them,
//!   so that a later look can tell whether one is gone.
//! - [`timelock`]: encryption for a future round of the drand quicknet, in the chain's format.
//! - [`wallet`]: the keys that Bittensor's tools keep in files, and signatures by a hotkey.
//!
//! Only the client uses a network, and a clock for its deadlines alone.

#![forbid(unsafe_code)]

mod client;
mod commitments;
mod epochs;
mod hex;
pub mod timelock;
pub mod wallet;
mod weights;

pub use client::{
    Backoff, ChainClient, ChainError, ChainSettings, CommitPlan, Committed, CommittedContent, CommittedWeights,
    ErrorClass, ExistingCommitment, FINNEY_GENESIS, HotkeyCommitments, LostReason, LostWeights, NeuronInfo,
    PendingCommitment, PendingField, Refresh, RevealState, SignedWeights, SignedWeightsFate, Snapshot,
    SnapshotExpectation, SnapshotRefusal, SubnetParameters, TEST_GENESIS, TransactionStage, TransactionWait,
    WeightsCheck, WeightsConfirmation, WeightsOptions, WeightsOutcome, WeightsSigning, WeightsStep,
};
pub use commitments::{
    KEPT_REVEALS, NotEligible, NotOurs, PassedOver, PassedOverReason, RevealedEntry, Submission, oldest_for_certain,
    parse_commitment, select_submission,
};
pub use epochs::EpochSchedule;
pub use weights::{WeightPlan, WeightRow, WeightTarget, WeightsError};
