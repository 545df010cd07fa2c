//! The beacon, whose secret key is ours, and its rounds on the chain.

use super::BlockExecution;
use crate::pallets::{commitments, drand, subtensor};
use crate::settings::DrandSettings;
use crate::state::Read;
use crate::types::account::AccountId32;
use crate::types::bounded::BoundedVec;
use crate::types::commitments::Data;
use crate::types::drand::{BeaconConfiguration, Metadata, Pulse};
use distil_chain::timelock::{BeaconPublicKey, BeaconSecretKey, BeaconSignature};
use parity_scale_codec::Decode;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::ops::Range;

/// The most rounds that one block stores. After a jump in time the newest are stored, and those that something waits for.
const MAX_ROUNDS_PER_BLOCK: u64 = 600;

/// The beacon.
#[derive(Debug)]
pub(crate) struct Beacon {
    key: BeaconSecretKey,
    settings: DrandSettings,
}

/// Which rounds are published when a block ends.
pub(crate) struct Published<'a> {
    pub(crate) now_ms: u64,
    /// Rounds that never reach the chain.
    pub(crate) skipped: &'a BTreeSet<u64>,
}

impl Beacon {
    pub(crate) fn new(settings: &DrandSettings) -> Self {
        Beacon { key: BeaconSecretKey::from_seed(settings.seed.as_bytes()), settings: settings.clone() }
    }

    pub(crate) fn public_key(&self) -> BeaconPublicKey {
        self.key.public_key()
    }

    /// The newest round published at this time: round 1 at the beginning, then one each period. 0 before.
    pub(crate) fn round_at(&self, now_ms: u64) -> u64 {
        let since = now_ms.checked_sub(u64::from(self.settings.genesis_unix_s) * 1000);
        since.map_or(0, |since| since / (u64::from(self.settings.period_s) * 1000) + 1)
    }

    fn pulse(&self, round: u64) -> Pulse {
        let signature = self.key.sign_round(round).to_bytes().to_vec();
        let randomness = Sha256::digest(&signature).to_vec();
        Pulse { round, randomness: BoundedVec(randomness), signature: BoundedVec(signature) }
    }

    /// What the chain says of its beacon.
    pub(crate) fn configuration(&self) -> BeaconConfiguration {
        let public_key = self.public_key().to_bytes().to_vec();
        BeaconConfiguration {
            // There is no chain info file to hash, as drand has: the key stands for it.
            hash: BoundedVec(Sha256::digest(&public_key).to_vec()),
            group_hash: BoundedVec(vec![0; 32]),
            public_key: BoundedVec(public_key),
            period: self.settings.period_s,
            genesis_time: self.settings.genesis_unix_s,
            scheme_id: BoundedVec(b"bls-unchained-g1-rfc9380".to_vec()),
            metadata: Metadata { beacon_id: BoundedVec(b"distil-devnet".to_vec()) },
        }
    }
}

/// Opens what was encrypted for this round: none while the round is not stored, an error where it does not open.
pub(super) fn open(storage: &impl Read, round: u64, ciphertext: &[u8]) -> Option<Result<Vec<u8>, String>> {
    let pulse = drand::PULSES.find(storage, (round,))?;
    let open = || {
        let signature =
            <[u8; BeaconSignature::BYTES]>::try_from(&pulse.signature.0[..]).map_err(|error| error.to_string())?;
        let signature = BeaconSignature::from_bytes(&signature).map_err(|error| error.to_string())?;
        distil_chain::timelock::decrypt(ciphertext, &signature).map_err(|error| error.to_string())
    };
    Some(open())
}

impl BlockExecution<'_> {
    /// Says which beacon is followed, and that no round before this time is stored.
    pub(crate) fn begin_beacon(&mut self, now_ms: u64) {
        drand::BEACON_CONFIG.put(&mut self.storage, (), &self.beacon.configuration());
        let round = self.beacon.round_at(now_ms);
        drand::LAST_STORED_ROUND.put(&mut self.storage, (), &round);
        drand::OLDEST_STORED_ROUND.put(&mut self.storage, (), &(round + 1));
    }

    /// Stores the rounds published since the last block.
    pub(super) fn store_pulses(&mut self, published: Published<'_>) {
        let last = drand::LAST_STORED_ROUND.get(&self.storage, ());
        let newest = self.beacon.round_at(published.now_ms);
        if newest <= last {
            return;
        }
        let first = (last + 1).max(newest.saturating_sub(MAX_ROUNDS_PER_BLOCK - 1));
        let waited_for = if first > last + 1 { self.waited_for() } else { BTreeSet::new() };
        let rounds = waited_for.range(last + 1..first).copied().chain(first..=newest);
        let rounds: Vec<u64> = rounds.filter(|round| !published.skipped.contains(round)).collect();
        for round in &rounds {
            drand::PULSES.put(&mut self.storage, (*round,), &self.beacon.pulse(*round));
        }
        drand::LAST_STORED_ROUND.put(&mut self.storage, (), &newest);

        let oldest = drand::OLDEST_STORED_ROUND.get(&self.storage, ());
        let keep_from = newest.saturating_sub(self.beacon.settings.kept_rounds - 1);
        if oldest < keep_from {
            self.forget_pulses(oldest..keep_from, &rounds);
            // What was stored just now for those who wait is there for one block at least.
            let oldest = rounds.first().map_or(keep_from, |first| keep_from.min(*first));
            drand::OLDEST_STORED_ROUND.put(&mut self.storage, (), &oldest);
        }
        if !rounds.is_empty() {
            self.deposit(drand::Event::NewPulse { rounds });
        }
    }

    /// Deletes these rounds, but for some.
    fn forget_pulses(&mut self, forgotten: Range<u64>, but: &[u64]) {
        let is_forgotten = |round: &u64| forgotten.contains(round) && but.binary_search(round).is_err();
        // There are no more keys than that to look at; as a rule a block is a few rounds beyond the one before.
        let rounds: Vec<u64> = if forgotten.end - forgotten.start <= self.beacon.settings.kept_rounds {
            forgotten.clone().filter(is_forgotten).collect()
        } else {
            let keys = self.storage.keys(&drand::PULSES.prefix(), None, usize::MAX);
            // The round is the last part of the key.
            let round = |key: &Vec<u8>| u64::decode(&mut &key[key.len().checked_sub(8)?..]).ok();
            keys.iter().filter_map(round).filter(is_forgotten).collect()
        };
        for round in rounds {
            drand::PULSES.remove(&mut self.storage, (round,));
        }
    }

    /// The rounds that commitments and weights were encrypted for and that are not stored.
    fn waited_for(&self) -> BTreeSet<u64> {
        let mut rounds = BTreeSet::new();
        for (netuid, who) in commitments::TIMELOCKED_INDEX.get(&self.storage, ()) {
            let registration = commitments::COMMITMENT_OF.find(&self.storage, (netuid, who));
            for field in registration.map(|registration| registration.info.fields.0).unwrap_or_default() {
                if let Data::TimelockEncrypted { reveal_round, .. } = field {
                    rounds.insert(reveal_round);
                }
            }
        }
        for key in self.storage.keys(&subtensor::TIMELOCKED_WEIGHT_COMMITS.prefix(), None, usize::MAX) {
            let commits = self.storage.get(&key).unwrap_or_default();
            type Commits = Vec<(AccountId32, u64, Vec<u8>, u64)>;
            rounds.extend(Commits::decode(&mut &commits[..]).unwrap_or_default().iter().map(|commit| commit.3));
        }
        rounds
    }
}
