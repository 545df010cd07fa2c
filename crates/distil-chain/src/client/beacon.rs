//! The randomness beacon as the chain has it.

use super::connection::{ClientAt, Connection};
use super::storage::{self, exists};
use super::{ChainClient, ChainError};
use crate::timelock::{BeaconPublicKey, DrandNetwork};
use subxt::ext::scale_decode::DecodeAsType;

const PALLET: &str = "Drand";

/// What is needed of the chain's `BeaconConfiguration`.
#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct BeaconConfiguration {
    public_key: Vec<u8>,
    period: u32,
    genesis_time: u32,
}

impl ChainClient {
    /// The beacon that the chain says it follows.
    ///
    /// For a chain of one's own. On Bittensor's public chains take [`DrandNetwork::quicknet`]: a node that lies about the
    /// beacon could open everything that is encrypted for it.
    ///
    /// # Errors
    /// [`ChainError::Malformed`] for a key that is none, and those of reading.
    pub async fn drand_network(&self) -> Result<DrandNetwork, ChainError> {
        self.read("reading the beacon's configuration", move |connection| async move {
            let at = connection.at_finalized().await?;
            let beacon: BeaconConfiguration = storage::fetch(&connection, &at, PALLET, "BeaconConfig", ()).await?;
            let malformed = |problem: String| ChainError::Malformed { what: "the beacon's configuration", problem };
            let bytes = <[u8; BeaconPublicKey::BYTES]>::try_from(&beacon.public_key[..])
                .map_err(|_| malformed(format!("a key of {} bytes", beacon.public_key.len())))?;
            let key = BeaconPublicKey::from_bytes(&bytes).map_err(|error| malformed(error.to_string()))?;
            let (genesis_ms, period_ms) = (u64::from(beacon.genesis_time) * 1000, u64::from(beacon.period) * 1000);
            DrandNetwork::new(key, genesis_ms, period_ms).map_err(|error| malformed(error.to_string()))
        })
        .await
    }
}

/// Whether the chain went past a round without storing it; it takes none that is older than its newest.
pub(super) async fn is_skipped(connection: &Connection, at: &ClientAt, round: u64) -> Result<bool, ChainError> {
    if !exists(at, PALLET, "LastStoredRound") {
        return Ok(false);
    }
    let newest: u64 = storage::fetch(connection, at, PALLET, "LastStoredRound", ()).await?;
    if newest <= round {
        return Ok(false);
    }
    let pulse: Option<Pulse> = storage::find(connection, at, PALLET, "Pulses", (round,)).await?;
    Ok(pulse.is_none_or(|pulse| pulse.round != round))
}

/// What is needed of a stored round.
#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct Pulse {
    round: u64,
}
