//! A drand network: its key, and when it publishes which round.

use super::{BeaconPublicKey, BeaconSignature, TimelockError};
use std::sync::LazyLock;

/// The name of the quicknet in drand's HTTP interface: `https://api.drand.sh/{hash}/public/{round}`.
pub const QUICKNET_CHAIN_HASH: &str = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971";

const QUICKNET_PUBLIC_KEY: &str = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3a\
     c6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a";
const QUICKNET_GENESIS_UNIX_S: u64 = 1_692_803_367;
const QUICKNET_PERIOD_S: u64 = 3;

/// A drand network whose signatures are points of G1 and do not chain: the quicknet, or one run for development.
///
/// Times are milliseconds since 1970, as the chain's `Timestamp.Now`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrandNetwork {
    public_key: BeaconPublicKey,
    genesis_unix_ms: u64,
    period_ms: u64,
}

impl DrandNetwork {
    /// The network that Bittensor uses: a round every 3 seconds since 2023-08-23.
    pub fn quicknet() -> &'static Self {
        static QUICKNET: LazyLock<DrandNetwork> = LazyLock::new(|| DrandNetwork {
            public_key: QUICKNET_PUBLIC_KEY.parse().expect("a constant that the tests verify a signature with"),
            genesis_unix_ms: QUICKNET_GENESIS_UNIX_S * 1000,
            period_ms: QUICKNET_PERIOD_S * 1000,
        });
        &QUICKNET
    }

    /// A network with another key or clock. Round 1 is published at `genesis_unix_ms`, each further one `period_ms`
    /// later.
    ///
    /// # Errors
    ///
    /// [`TimelockError::PeriodZero`].
    pub fn new(public_key: BeaconPublicKey, genesis_unix_ms: u64, period_ms: u64) -> Result<Self, TimelockError> {
        if period_ms == 0 {
            return Err(TimelockError::PeriodZero);
        }
        Ok(Self { public_key, genesis_unix_ms, period_ms })
    }

    /// What is encrypted for.
    pub fn public_key(&self) -> &BeaconPublicKey {
        &self.public_key
    }

    /// When round 1 is published, in ms since 1970.
    pub fn genesis_unix_ms(&self) -> u64 {
        self.genesis_unix_ms
    }

    /// The time between two rounds, in ms.
    pub fn period_ms(&self) -> u64 {
        self.period_ms
    }

    /// When a round is published, in ms since 1970: `genesis + (round − 1) · period`.
    ///
    /// # Errors
    ///
    /// [`TimelockError::RoundZero`]; [`TimelockError::OutOfRange`] where the time has no 64-bit number.
    pub fn time_of(&self, round: u64) -> Result<u64, TimelockError> {
        round
            .checked_sub(1)
            .ok_or(TimelockError::RoundZero)?
            .checked_mul(self.period_ms)
            .and_then(|elapsed| elapsed.checked_add(self.genesis_unix_ms))
            .ok_or(TimelockError::OutOfRange { what: "round", value: round })
    }

    /// The first round that is published at this time or later: `⌈elapsed / period⌉ + 1`, and 1 before the genesis.
    ///
    /// What is encrypted for it can be read by nobody before the time, and by everybody less than a period after it.
    /// This is the round for a commitment, and what `timelock.round_at` of Bittensor's SDK 11 gives.
    ///
    /// # Errors
    ///
    /// [`TimelockError::OutOfRange`] where the round has no 64-bit number.
    pub fn round_at(&self, unix_ms: u64) -> Result<u64, TimelockError> {
        let elapsed_ms = unix_ms.saturating_sub(self.genesis_unix_ms);
        elapsed_ms
            .div_ceil(self.period_ms)
            .checked_add(1)
            .ok_or(TimelockError::OutOfRange { what: "time", value: unix_ms })
    }

    /// The round that Bittensor's SDK 10 (`bittensor-drand`) would take: `⌊elapsed / period⌋` in whole seconds, which
    /// is published 1 to 2 periods before the time. To compare with its commitments; for our own, see
    /// [`round_at`](Self::round_at).
    ///
    /// # Errors
    ///
    /// [`TimelockError::OutOfRange`] where there is no such round: less than a period after the genesis.
    pub fn round_at_by_sdk_10(&self, unix_ms: u64) -> Result<u64, TimelockError> {
        let elapsed_ms = unix_ms.saturating_sub(self.genesis_unix_ms);
        match (elapsed_ms / 1000 * 1000) / self.period_ms {
            0 => Err(TimelockError::OutOfRange { what: "time", value: unix_ms }),
            round => Ok(round),
        }
    }

    /// The newest round that is published by this time: `⌊elapsed / period⌋ + 1`; `None` before the genesis.
    pub fn latest_round(&self, unix_ms: u64) -> Option<u64> {
        (unix_ms.checked_sub(self.genesis_unix_ms)? / self.period_ms).checked_add(1)
    }

    /// Checks that this is the network's signature of the round.
    ///
    /// # Errors
    ///
    /// As [`BeaconPublicKey::verify`].
    pub fn verify(&self, round: u64, signature: &BeaconSignature) -> Result<(), TimelockError> {
        self.public_key.verify(round, signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    const GENESIS_MS: u64 = 1_692_803_367_000;

    #[test]
    fn the_constants_hash_to_the_name_of_the_chain() {
        // drand's chain hash covers period, genesis, key, the hash of the founding group, and the name.
        let mut group_hash = [0; 32];
        hex::decode_into("f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e", &mut group_hash).unwrap();
        let quicknet = DrandNetwork::quicknet();
        let hash = Sha256::new()
            .chain_update(u32::try_from(quicknet.period_ms() / 1000).unwrap().to_be_bytes())
            .chain_update((quicknet.genesis_unix_ms() / 1000).to_be_bytes())
            .chain_update(quicknet.public_key().to_bytes())
            .chain_update(group_hash)
            .chain_update("quicknet")
            .finalize();
        assert_eq!(hex::encode(&hash), QUICKNET_CHAIN_HASH);
    }

    #[test]
    fn rounds_of_known_times() {
        let quicknet = DrandNetwork::quicknet();
        assert_eq!(quicknet.time_of(1), Ok(GENESIS_MS));
        assert_eq!(quicknet.time_of(1000), Ok(GENESIS_MS + 2_997_000));
        for (elapsed_ms, first, sdk_10, latest) in [
            (0, 1, None, 1),
            (1, 2, None, 1),
            (2_999, 2, None, 1),
            (3_000, 2, Some(1), 2),
            (3_001, 3, Some(1), 2),
            (6_000, 3, Some(2), 3),
            (299_999, 101, Some(99), 100),
        ] {
            let time = GENESIS_MS + elapsed_ms;
            assert_eq!(quicknet.round_at(time), Ok(first), "{elapsed_ms}");
            assert_eq!(quicknet.round_at_by_sdk_10(time).ok(), sdk_10, "{elapsed_ms}");
            assert_eq!(quicknet.latest_round(time), Some(latest), "{elapsed_ms}");
        }
        assert_eq!(quicknet.round_at(0), Ok(1));
        assert_eq!(quicknet.latest_round(GENESIS_MS - 1), None);
    }

    #[test]
    fn what_has_no_number_is_an_error() {
        let quicknet = DrandNetwork::quicknet();
        assert_eq!(quicknet.time_of(0), Err(TimelockError::RoundZero));
        assert_eq!(quicknet.time_of(u64::MAX), Err(TimelockError::OutOfRange { what: "round", value: u64::MAX }));
        let fast = DrandNetwork::new(*quicknet.public_key(), 0, 1).unwrap();
        assert_eq!(fast.round_at(u64::MAX), Err(TimelockError::OutOfRange { what: "time", value: u64::MAX }));
        assert_eq!(fast.latest_round(u64::MAX), None);
        assert_eq!(DrandNetwork::new(*quicknet.public_key(), 0, 0), Err(TimelockError::PeriodZero));
    }

    proptest! {
        #[test]
        fn a_round_is_never_published_before_the_time_it_was_chosen_for(
            genesis in any::<u64>(), period in 1..=u64::MAX, time in any::<u64>()
        ) {
            let network = DrandNetwork::new(*DrandNetwork::quicknet().public_key(), genesis, period).unwrap();
            let Ok(round) = network.round_at(time) else { return Ok(()) };
            if let Ok(published) = network.time_of(round) {
                prop_assert!(published >= time);
                prop_assert!(time < genesis || published - time < period);
                prop_assert_eq!(network.round_at(published), Ok(round));
                prop_assert_eq!(network.latest_round(published), Some(round));
            }
            if round > 1 {
                prop_assert!(network.time_of(round - 1).unwrap() < time);
            }
        }

        #[test]
        fn sdk_10_takes_a_round_of_the_past(time in GENESIS_MS + 3_000..4_000_000_000_000_u64) {
            let quicknet = DrandNetwork::quicknet();
            let early = time - quicknet.time_of(quicknet.round_at_by_sdk_10(time).unwrap()).unwrap();
            prop_assert!((3_000..6_000).contains(&early), "{}", early);
        }
    }
}
