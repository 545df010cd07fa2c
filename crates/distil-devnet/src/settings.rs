//! How a chain is set up.

use crate::DevNetError;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How a subnet's epochs are counted. A client tells by the metadata which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EpochModel {
    /// From the block's number alone: `(block + netuid + 1) / (tempo + 1)`. So it was up to spec version 365.
    #[default]
    BlockArithmetic,
    /// Kept in storage (`LastEpochBlock`, `SubnetEpochIndex`, `PendingEpochAt`), with an epoch every `tempo` blocks. So
    /// it is on newer chains.
    Stateful,
}

/// When blocks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlockProduction {
    /// When [`Admin::produce_blocks`](crate::Admin::produce_blocks) is called. Time is that of the model: it moves by
    /// one block time with every block.
    #[default]
    OnDemand,
    /// Like `OnDemand`, and one block for each transaction that the pool takes.
    OnTransaction,
    /// One after each of these intervals. Time is that of the model, so with an interval shorter than the block time it
    /// runs faster than the wall clock.
    Every(Duration),
    /// One after each block time, with the time of the system's clock: the only setting that reads a clock.
    Clock,
}

/// The randomness beacon whose rounds the chain stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrandSettings {
    /// The secret key is made from this text, so whoever knows it can sign all rounds.
    pub seed: String,
    /// When round 1 is published, in seconds since 1970.
    pub genesis_unix_s: u32,
    /// Seconds from one round to the next.
    pub period_s: u32,
    /// How many rounds are kept.
    pub kept_rounds: u64,
}

impl Default for DrandSettings {
    /// The times of drand's quicknet, with a key of our own.
    fn default() -> Self {
        DrandSettings {
            seed: "distil devnet".to_owned(),
            genesis_unix_s: 1_692_803_367,
            period_s: 3,
            kept_rounds: 20_000,
        }
    }
}

/// How a chain is set up. The same settings and the same calls give the same blocks, unless the clock makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevNetSettings {
    /// Where it listens: a loopback address, port 0 for one of the system's choice.
    pub listen: SocketAddr,
    /// What `system_chain` answers.
    pub chain_name: String,
    /// The time of block 0, in milliseconds since 1970.
    pub genesis_unix_ms: u64,
    /// Milliseconds from one block to the next.
    pub block_time_ms: u64,
    /// When blocks are made.
    pub production: BlockProduction,
    /// How many blocks the finalized one is behind the best one.
    pub finality_lag: u32,
    /// How epochs are counted.
    pub epoch_model: EpochModel,
    /// The spec version at the beginning.
    pub spec_version: u32,
    /// Whether `SubnetInfoRuntimeApi.get_selective_metagraph` is there. Without it a client has to read storage.
    pub selective_metagraph: bool,
    /// Whether the pool refuses weights that would fail, with `Custom error: N`, as newer chains do. Without it they
    /// fail in their block, by name.
    pub pool_checks_weights: bool,
    /// The beacon.
    pub drand: DrandSettings,
    /// For how many blocks bodies and storage are kept.
    pub kept_blocks: u32,
    /// Where the chain is kept. It goes on from there when the file exists; settings that shape the chain must be those
    /// it was begun with.
    pub state_file: Option<PathBuf>,
}

impl Default for DevNetSettings {
    /// A block time of 12 seconds from 2025-10-09 08:53:20 UTC on, blocks on demand, final at once, at any free port.
    fn default() -> Self {
        DevNetSettings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            chain_name: "Distil devnet".to_owned(),
            genesis_unix_ms: 1_760_000_000_000,
            block_time_ms: 12_000,
            production: BlockProduction::OnDemand,
            finality_lag: 0,
            epoch_model: EpochModel::BlockArithmetic,
            spec_version: 365,
            selective_metagraph: true,
            pool_checks_weights: false,
            drand: DrandSettings::default(),
            kept_blocks: 10_000,
            state_file: None,
        }
    }
}

impl DevNetSettings {
    pub(crate) fn check(&self) -> Result<(), DevNetError> {
        if !self.listen.ip().is_loopback() {
            return Err(DevNetError::NotLoopback { address: self.listen });
        }
        let at_least_one = [
            ("block_time_ms", self.block_time_ms),
            ("drand.period_s", self.drand.period_s.into()),
            ("drand.kept_rounds", self.drand.kept_rounds),
            ("kept_blocks", self.kept_blocks.into()),
        ];
        for (setting, value) in at_least_one {
            if value == 0 {
                return Err(DevNetError::Setting { setting, problem: "it is 0, and must be at least 1".to_owned() });
            }
        }
        if matches!(self.production, BlockProduction::Every(Duration::ZERO)) {
            let problem = "blocks cannot follow each other without an interval".to_owned();
            return Err(DevNetError::Setting { setting: "production", problem });
        }
        if self.finality_lag >= self.kept_blocks {
            let problem = format!("it is {}, but only {} blocks are kept", self.finality_lag, self.kept_blocks);
            return Err(DevNetError::Setting { setting: "finality_lag", problem });
        }
        if self.genesis_unix_ms / 1000 < u64::from(self.drand.genesis_unix_s) {
            let problem = "the chain begins before the beacon does".to_owned();
            return Err(DevNetError::Setting { setting: "genesis_unix_ms", problem });
        }
        Ok(())
    }
}
