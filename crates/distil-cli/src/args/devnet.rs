//! What `devnet` takes.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use distil_types::NetUid;

use crate::settings::{EpochChoice, Seconds};

/// What `devnet` takes. Everything is optional here: the environment or the file may have it.
#[derive(Debug, Args)]
pub(crate) struct DevnetArgs {
    /// Where it listens: a loopback address, with port 0 for one of the system's choice [default: 127.0.0.1:9944]
    #[arg(long, env = "DISTIL_LISTEN", value_name = "ADDRESS:PORT", hide_env_values = true)]
    pub(crate) listen: Option<SocketAddr>,
    /// The folder in which the chain is kept; it goes on from there at the next start [default: it is not kept]
    #[arg(long, env = "DISTIL_STATE", value_name = "DIR", hide_env_values = true)]
    pub(crate) state: Option<PathBuf>,
    /// From one block to the next [default: 12]
    #[arg(long, env = "DISTIL_BLOCK_TIME", value_name = "SECONDS", hide_env_values = true)]
    pub(crate) block_time: Option<Seconds>,
    /// How many blocks the final one is behind the newest one [default: 2]
    #[arg(long, env = "DISTIL_FINALITY_LAG", value_name = "BLOCKS", hide_env_values = true)]
    pub(crate) finality_lag: Option<u32>,
    /// How a subnet's epochs are counted [default: block-arithmetic]
    #[arg(long, env = "DISTIL_EPOCH_MODEL", value_enum, value_name = "MODEL", hide_env_values = true)]
    pub(crate) epoch_model: Option<EpochChoice>,
    /// The subnet that there is from the start [default: 97]
    #[arg(long, env = "DISTIL_NETUID", value_name = "N", hide_env_values = true)]
    pub(crate) netuid: Option<NetUid>,
    /// Blocks of an epoch of that subnet [default: 360]
    #[arg(long, env = "DISTIL_TEMPO", value_name = "BLOCKS", hide_env_values = true)]
    pub(crate) tempo: Option<u16>,
    /// Weights on that subnet are committed first and revealed later [default: true]
    #[arg(long, env = "DISTIL_COMMIT_REVEAL", value_name = "BOOL", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub(crate) commit_reveal: Option<bool>,
    /// A hotkey that gets a miner's seat, by its address; may be repeated (in the environment several are separated as
    /// in PATH)
    #[arg(long, env = "DISTIL_REGISTER", value_name = "SS58", hide_env_values = true)]
    pub(crate) register: Option<Vec<String>>,
    /// A hotkey that gets a validator's seat, with a permit and a stake of 1,000 alpha; may be repeated (in the
    /// environment several are separated as in PATH)
    #[arg(long, env = "DISTIL_REGISTER_VALIDATOR", value_name = "SS58", hide_env_values = true)]
    pub(crate) register_validator: Option<Vec<String>>,
}
