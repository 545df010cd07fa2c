//! What a commitment is sealed for: the beacon, and the time that it goes by.

use std::time::{Duration, SystemTime};

use distil_chain::CommitPlan;
use distil_chain::timelock::{DrandNetwork, Randomness, TimelockError};
use distil_types::Commitment;

use super::page::Beacon;
use crate::exit::CommandError;
use crate::settings::Network;

/// The beacon whose rounds open what is sealed.
#[derive(Debug)]
pub(super) struct Sealing {
    beacon: DrandNetwork,
}

/// The time by this machine's clock, in milliseconds since 1970.
pub(super) fn now_unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    milliseconds(now)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Sealing {
    /// The quicknet on Bittensor's own networks; on any other what the chain says.
    ///
    /// On Bittensor's networks nobody is asked: a node could name a key of its own and read what nobody should.
    ///
    /// # Errors
    ///
    /// Those of asking the chain.
    pub(super) async fn new(
        network: &Network,
        of_chain: impl AsyncFnOnce() -> Result<DrandNetwork, CommandError>,
    ) -> Result<Self, CommandError> {
        let beacon = if network.is_bittensors() { DrandNetwork::quicknet().clone() } else { of_chain().await? };
        Ok(Self { beacon })
    }

    /// Seals a commitment that nobody can read for so long from now.
    pub(super) fn seal(&self, commitment: &Commitment, reveal_after: Duration) -> Result<CommitPlan, TimelockError> {
        let reveal_unix_ms = now_unix_ms().saturating_add(milliseconds(reveal_after));
        CommitPlan::seal(commitment.clone(), &self.beacon, reveal_unix_ms, Randomness::from_system()?)
    }

    /// The beacon, to be shown.
    pub(super) fn beacon(&self) -> Beacon {
        let is_quicknet = self.beacon == *DrandNetwork::quicknet();
        Beacon {
            source: if is_quicknet { "quicknet" } else { "chain" },
            public_key: self.beacon.public_key().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use distil_chain::timelock::BeaconSecretKey;

    fn sealing(network: &str) -> Sealing {
        let of_node = async || {
            let key = BeaconSecretKey::from_seed(b"a node's own").public_key();
            Ok(DrandNetwork::new(key, 1_692_803_367_000, 3_000).unwrap())
        };
        let runtime = crate::chain::runtime().unwrap();
        runtime.block_on(Sealing::new(&network.parse().unwrap(), of_node)).unwrap()
    }

    #[test]
    fn a_node_cannot_choose_the_key_on_bittensors_networks() {
        for network in ["finney", "test", "wss://entrypoint-finney.opentensor.ai:443"] {
            assert_eq!(&sealing(network).beacon, DrandNetwork::quicknet(), "{network}");
        }
        // A chain for development has its own.
        for network in ["local", "ws://127.0.0.1:9945"] {
            assert_eq!(sealing(network).beacon().source, "chain", "{network}");
        }
    }
}
