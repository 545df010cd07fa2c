//! What a commitment is sealed for: the beacon, and the time that it goes by.

use std::time::{Duration, SystemTime};

use distil_chain::CommitPlan;
use distil_chain::timelock::{DrandNetwork, Randomness, TimelockError};
use distil_types::Commitment;

use super::page::Beacon;

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
    /// With the beacon that the chain goes by.
    pub(super) fn new(beacon: DrandNetwork) -> Self {
        Self { beacon }
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
