//! `Drand`: the rounds of the randomness beacon that the chain has seen.

use super::storage;
use crate::types::drand::{BeaconConfiguration, Pulse};
use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;

storage! { "Drand", entries;
    BEACON_CONFIG: "BeaconConfig" [] () => BeaconConfiguration = BeaconConfiguration::default();
    PULSES: "Pulses" [Blake2_128Concat] (u64,) => Pulse;
    LAST_STORED_ROUND: "LastStoredRound" [] () => u64 = 0;
    OLDEST_STORED_ROUND: "OldestStoredRound" [] () => u64 = 0;
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) enum Event {
    #[codec(index = 0)]
    BeaconConfigChanged,
    #[codec(index = 1)]
    NewPulse { rounds: Vec<u64> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
#[expect(clippy::enum_variant_names, reason = "the chain's names")]
pub(crate) enum Error {
    NoneValue,
    StorageOverflow,
    DrandConnectionFailure,
    UnverifiedPulse,
    InvalidRoundNumber,
    PulseVerificationError,
}
