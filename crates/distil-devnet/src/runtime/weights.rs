//! Weights: set at once, or committed and revealed later. The checks stand in the chain's order.

use super::{BlockExecution, CallError, drand, epochs};
use crate::hashing::blake2_256;
use crate::pallets::subtensor::{
    COMMIT_REVEAL_WEIGHTS_ENABLED, COMMIT_REVEAL_WEIGHTS_VERSION, Error, Event, HashedCommit, KEYS, LAST_UPDATE,
    MAX_COMMIT_BYTES, MAX_UNREVEALED_COMMITS, MECHANISM_COUNT_CURRENT, MECHANISM_STRIDE, MIN_ALLOWED_WEIGHTS,
    NETWORKS_ADDED, REVEAL_PERIOD_EPOCHS, STAKE_THRESHOLD, SUBNET_OWNER_HOTKEY, SUBNETWORK_N, TEMPO,
    TIMELOCKED_WEIGHT_COMMITS, TOTAL_HOTKEY_ALPHA, UIDS, VALIDATOR_PERMIT, WEIGHT_COMMITS, WEIGHTS,
    WEIGHTS_SET_RATE_LIMIT, WEIGHTS_VERSION_KEY,
};
use crate::settings::EpochModel;
use crate::state::Read;
use crate::types::account::{AccountId32, H256};
use crate::types::bounded::BoundedVec;
use parity_scale_codec::{Decode, Encode};
use std::collections::BTreeSet;

const ROOT: u16 = 0;

/// A row of weights as a call or a payload brings it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct Row {
    pub(super) uids: Vec<u16>,
    pub(super) values: Vec<u16>,
    pub(super) version_key: u64,
}

/// What is timelocked: the committer's key, so that nobody can commit a copy, and the row.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct TimelockedPayload {
    hotkey: Vec<u8>,
    row: Row,
}

/// Where the weights of a mechanism stand.
pub(super) fn storage_index(netuid: u16, mecid: u8) -> u16 {
    u16::from(mecid).wrapping_mul(MECHANISM_STRIDE).wrapping_add(netuid)
}

fn ensure(condition: bool, error: Error) -> Result<(), CallError> {
    if condition { Ok(()) } else { Err(error.into()) }
}

fn element<T: Copy + Default>(vector: &[T], uid: u16) -> T {
    vector.get(usize::from(uid)).copied().unwrap_or_default()
}

/// Scales values so that the largest is 65,535, in the chain's fixed-point arithmetic with 32 bits of fraction.
pub(super) fn max_upscale(values: &[u16]) -> Vec<u16> {
    let Some(max) = values.iter().copied().max().filter(|max| *max > 0) else { return values.to_vec() };
    let (max, full, half) = (u64::from(max), u64::from(u16::MAX), 1_u64 << 31);
    let scale = |value: u64| {
        // Large values would overflow the product, so there the ratio is computed first.
        let scaled = if max > 32_768 { value * ((full << 32) / max) } else { ((value * full) << 32) / max };
        ((scaled + half) >> 32).min(full) as u16
    };
    values.iter().map(|value| scale(u64::from(*value))).collect()
}

/// Enough blocks since this neuron's last update, or it never updated.
pub(super) fn rate_limit_passed(storage: &impl Read, index: u16, netuid: u16, uid: u16, block: u64) -> bool {
    let last = element(&LAST_UPDATE.get(storage, (index,)), uid);
    last == 0 || block.saturating_sub(last) >= WEIGHTS_SET_RATE_LIMIT.get(storage, (netuid,))
}

/// The hotkey's stake on the subnet reaches the threshold, or it is the owner's.
pub(super) fn has_enough_stake(storage: &impl Read, netuid: u16, who: AccountId32) -> bool {
    SUBNET_OWNER_HOTKEY.find(storage, (netuid,)) == Some(who)
        || TOTAL_HOTKEY_ALPHA.get(storage, (who, netuid)) >= STAKE_THRESHOLD.get(storage, ())
}

fn mechanism_exists(storage: &impl Read, netuid: u16, mecid: u8) -> bool {
    NETWORKS_ADDED.get(storage, (netuid,)) && mecid < MECHANISM_COUNT_CURRENT.get(storage, (netuid,))
}

impl BlockExecution<'_> {
    fn set_last_update(&mut self, index: u16, netuid: u16, uid: u16) {
        let mut updates = LAST_UPDATE.get(&self.storage, (index,));
        let neurons = usize::from(SUBNETWORK_N.get(&self.storage, (netuid,)));
        updates.resize(updates.len().max(neurons), 0);
        if let Some(update) = updates.get_mut(usize::from(uid)) {
            *update = self.number.into();
        }
        LAST_UPDATE.put(&mut self.storage, (index,), &updates);
    }

    /// `set_weights` and `set_mechanism_weights`, where they come in the open.
    pub(super) fn set_weights_openly(
        &mut self,
        who: AccountId32,
        netuid: u16,
        mecid: u8,
        row: Row,
    ) -> Result<(), CallError> {
        ensure(!COMMIT_REVEAL_WEIGHTS_ENABLED.get(&self.storage, (netuid,)), Error::CommitRevealEnabled)?;
        self.set_weights(who, netuid, mecid, row)
    }

    fn set_weights(&mut self, who: AccountId32, netuid: u16, mecid: u8, row: Row) -> Result<(), CallError> {
        let Row { uids, values, version_key } = row;
        let storage = &self.storage;
        let index = storage_index(netuid, mecid);
        let commit_reveal = COMMIT_REVEAL_WEIGHTS_ENABLED.get(storage, (netuid,));

        ensure(netuid != ROOT, Error::CanNotSetRootNetworkWeights)?;
        ensure(uids.len() == values.len(), Error::WeightVecNotEqualSize)?;
        ensure(mechanism_exists(storage, netuid, mecid), Error::MechanismDoesNotExist)?;
        let neurons = SUBNETWORK_N.get(storage, (netuid,));
        ensure(uids.len() <= usize::from(neurons), Error::UidsLengthExceedUidsInSubNet)?;
        let uid = UIDS.find(storage, (netuid, who)).ok_or(Error::HotKeyNotRegisteredInSubNet)?;
        ensure(has_enough_stake(storage, netuid, who), Error::NotEnoughStakeToSetWeights)?;
        let key = WEIGHTS_VERSION_KEY.get(storage, (netuid,));
        ensure(key == 0 || version_key >= key, Error::IncorrectWeightVersionKey)?;
        if !commit_reveal {
            let passed = rate_limit_passed(storage, index, netuid, uid, self.number.into());
            ensure(passed, Error::SettingWeightsTooFast)?;
        }
        let is_self_weight = uids[..] == [uid];
        let is_owner = SUBNET_OWNER_HOTKEY.find(storage, (netuid,)) == Some(who);
        let permitted = element(&VALIDATOR_PERMIT.get(storage, (netuid,)), uid);
        ensure(permitted || is_self_weight || is_owner, Error::NeuronNoValidatorPermit)?;
        ensure(uids.iter().collect::<BTreeSet<_>>().len() == uids.len(), Error::DuplicateUids)?;
        ensure(uids.iter().all(|uid| *uid < neurons), Error::UidVecContainInvalidOne)?;
        let minimum = MIN_ALLOWED_WEIGHTS.get(storage, (netuid,)).min(neurons);
        ensure(is_self_weight || values.len() >= usize::from(minimum), Error::WeightVecLengthIsLow)?;
        // The chain's limit for the largest weight is 65,535 at present, so `MaxWeightExceeded` cannot occur.

        let weights: Vec<(u16, u16)> = uids.into_iter().zip(max_upscale(&values)).collect();
        WEIGHTS.put(&mut self.storage, (index, uid), &weights);
        if !commit_reveal {
            self.set_last_update(index, netuid, uid);
        }
        self.deposit(Event::WeightsSet(index, uid));
        Ok(())
    }

    /// `commit_timelocked_weights` and its like.
    pub(super) fn commit_timelocked_weights(
        &mut self,
        who: AccountId32,
        netuid: u16,
        mecid: u8,
        commit: BoundedVec<u8, MAX_COMMIT_BYTES>,
        reveal_round: u64,
        version: u16,
    ) -> Result<(), CallError> {
        let storage = &self.storage;
        ensure(mechanism_exists(storage, netuid, mecid), Error::MechanismDoesNotExist)?;
        ensure(COMMIT_REVEAL_WEIGHTS_ENABLED.get(storage, (netuid,)), Error::CommitRevealDisabled)?;
        let expected = COMMIT_REVEAL_WEIGHTS_VERSION.get(storage, ());
        ensure(version == expected, Error::IncorrectCommitRevealVersion)?;
        let uid = UIDS.find(storage, (netuid, who)).ok_or(Error::HotKeyNotRegisteredInSubNet)?;
        let index = storage_index(netuid, mecid);
        let block = u64::from(self.number);
        ensure(rate_limit_passed(storage, index, netuid, uid, block), Error::CommittingWeightsTooFast)?;

        let epoch = epochs::commit_epoch(self, netuid);
        let mut commits = TIMELOCKED_WEIGHT_COMMITS.get(&self.storage, (index, epoch));
        let unrevealed = commits.iter().filter(|commit| commit.0 == who).count();
        ensure(unrevealed < MAX_UNREVEALED_COMMITS, Error::TooManyUnrevealedCommits)?;
        let hash = H256(blake2_256(&commit.0));
        commits.push((who, block, commit, reveal_round));
        TIMELOCKED_WEIGHT_COMMITS.put(&mut self.storage, (index, epoch), &commits);
        self.set_last_update(index, netuid, uid);
        self.deposit(Event::TimelockedWeightsCommitted(who, index, hash, reveal_round));
        Ok(())
    }

    /// Reveals what was committed one reveal period ago. A commit whose round is not there waits for it until the epoch
    /// is over; one that does not open, is not its author's or breaks a rule is dropped without a word.
    pub(super) fn reveal_timelocked_weights(&mut self, netuid: u16) {
        let period = REVEAL_PERIOD_EPOCHS.get(&self.storage, (netuid,));
        let epoch = epochs::epoch_index(self, netuid);
        let due = epoch.saturating_sub(period);
        for mecid in 0..MECHANISM_COUNT_CURRENT.get(&self.storage, (netuid,)) {
            let index = storage_index(netuid, mecid);
            for expired in TIMELOCKED_WEIGHT_COMMITS.second_parts::<u16, u64>(&self.storage, &index) {
                if expired < due {
                    TIMELOCKED_WEIGHT_COMMITS.remove(&mut self.storage, (index, expired));
                }
            }
            if epoch < period {
                return;
            }
            let Some(commits) = TIMELOCKED_WEIGHT_COMMITS.find(&self.storage, (index, due)) else { continue };
            TIMELOCKED_WEIGHT_COMMITS.remove(&mut self.storage, (index, due));
            let mut waiting = Vec::new();
            for commit in commits {
                let (who, _, ciphertext, round) = &commit;
                match drand::open(&self.storage, *round, &ciphertext.0) {
                    None => waiting.push(commit),
                    Some(Err(_)) => {}
                    Some(Ok(plaintext)) => {
                        let who = *who;
                        let Some(row) = timelocked_row(&plaintext, who) else { continue };
                        if self.set_weights(who, netuid, mecid, row).is_ok() {
                            self.deposit(Event::TimelockedWeightsRevealed(index, who));
                        }
                    }
                }
            }
            if !waiting.is_empty() {
                TIMELOCKED_WEIGHT_COMMITS.put(&mut self.storage, (index, due), &waiting);
            }
        }
    }

    /// `commit_weights` and `commit_mechanism_weights`: a hash now, the row itself later.
    pub(super) fn commit_weights(
        &mut self,
        who: AccountId32,
        netuid: u16,
        mecid: u8,
        hash: H256,
    ) -> Result<(), CallError> {
        let storage = &self.storage;
        ensure(mechanism_exists(storage, netuid, mecid), Error::MechanismDoesNotExist)?;
        ensure(COMMIT_REVEAL_WEIGHTS_ENABLED.get(storage, (netuid,)), Error::CommitRevealDisabled)?;
        let uid = UIDS.find(storage, (netuid, who)).ok_or(Error::HotKeyNotRegisteredInSubNet)?;
        let index = storage_index(netuid, mecid);
        let block = u64::from(self.number);
        ensure(rate_limit_passed(storage, index, netuid, uid, block), Error::CommittingWeightsTooFast)?;

        let epoch = epochs::commit_epoch(self, netuid);
        let mut commits = WEIGHT_COMMITS.find(&self.storage, (index, who)).unwrap_or_default();
        let expired = commits.iter().take_while(|commit| self.is_expired(netuid, commit)).count();
        commits.drain(..expired);
        ensure(commits.len() < MAX_UNREVEALED_COMMITS, Error::TooManyUnrevealedCommits)?;
        let tempo = u64::from(TEMPO.get(&self.storage, (netuid,)));
        let reveal_epoch = epoch + REVEAL_PERIOD_EPOCHS.get(&self.storage, (netuid,));
        let (made, first, last) = match self.runtime.epoch_model() {
            EpochModel::BlockArithmetic => {
                let first = (reveal_epoch * (tempo + 1)).saturating_sub(u64::from(netuid) + 1);
                (block, first, first + tempo)
            }
            EpochModel::Stateful => {
                let next = epochs::next_epoch_start(&self.storage, netuid).unwrap_or(block);
                let first = next + (reveal_epoch - epoch).saturating_sub(1) * tempo;
                (epoch, first, first + tempo.saturating_sub(1))
            }
        };
        commits.push((hash, made, first, last));
        WEIGHT_COMMITS.put(&mut self.storage, (index, who), &commits);
        self.deposit(Event::WeightsCommitted(who, index, hash));
        self.set_last_update(index, netuid, uid);
        Ok(())
    }

    /// The epoch in which a hashed commit was made.
    fn epoch_of(&self, netuid: u16, commit: &HashedCommit) -> u64 {
        match self.runtime.epoch_model() {
            EpochModel::BlockArithmetic => {
                epochs::epoch_of_block(netuid, TEMPO.get(&self.storage, (netuid,)), commit.1)
            }
            EpochModel::Stateful => commit.1,
        }
    }

    fn is_expired(&self, netuid: u16, commit: &HashedCommit) -> bool {
        let period = REVEAL_PERIOD_EPOCHS.get(&self.storage, (netuid,));
        epochs::epoch_index(self, netuid) > self.epoch_of(netuid, commit).saturating_add(period)
    }

    /// `reveal_weights` and `reveal_mechanism_weights`.
    pub(super) fn reveal_weights(
        &mut self,
        who: AccountId32,
        netuid: u16,
        mecid: u8,
        row: Row,
        salt: Vec<u16>,
    ) -> Result<(), CallError> {
        ensure(mechanism_exists(&self.storage, netuid, mecid), Error::MechanismDoesNotExist)?;
        ensure(COMMIT_REVEAL_WEIGHTS_ENABLED.get(&self.storage, (netuid,)), Error::CommitRevealDisabled)?;
        let index = storage_index(netuid, mecid);
        let mut commits = WEIGHT_COMMITS.find(&self.storage, (index, who)).ok_or(Error::NoWeightsCommitFound)?;
        let expired = commits.iter().take_while(|commit| self.is_expired(netuid, commit)).count();
        let expired: Vec<HashedCommit> = commits.drain(..expired).collect();
        let hash = H256(blake2_256(&(who, index, &row.uids, &row.values, &salt, row.version_key).encode()));
        let Some(position) = commits.iter().position(|commit| commit.0 == hash) else {
            ensure(!expired.iter().any(|commit| commit.0 == hash), Error::ExpiredWeightCommit)?;
            ensure(!commits.is_empty(), Error::NoWeightsCommitFound)?;
            return Err(Error::InvalidRevealCommitHashNotMatch.into());
        };
        let due = self.epoch_of(netuid, &commits[position]) + REVEAL_PERIOD_EPOCHS.get(&self.storage, (netuid,));
        ensure(epochs::epoch_index(self, netuid) == due, Error::RevealTooEarly)?;
        commits.drain(..=position);
        if commits.is_empty() {
            WEIGHT_COMMITS.remove(&mut self.storage, (index, who));
        } else {
            WEIGHT_COMMITS.put(&mut self.storage, (index, who), &commits);
        }
        self.set_weights(who, netuid, mecid, row)?;
        self.deposit(Event::WeightsRevealed(who, index, hash));
        Ok(())
    }
}

/// The row of a payload that is its committer's own, or one of the older form without a key.
fn timelocked_row(plaintext: &[u8], who: AccountId32) -> Option<Row> {
    if let Ok(payload) = TimelockedPayload::decode(&mut &plaintext[..])
        && let Ok(author) = AccountId32::decode(&mut &payload.hotkey[..])
    {
        return (author == who).then_some(payload.row);
    }
    Row::decode(&mut &plaintext[..]).ok()
}

/// The hotkey at a seat, where the seat is taken.
pub(super) fn hotkey_at(storage: &impl Read, netuid: u16, uid: u16) -> Option<AccountId32> {
    KEYS.find(storage, (netuid, uid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_largest_weight_becomes_the_largest_number() {
        assert_eq!(max_upscale(&[0, 1234]), [0, 65_535]);
        assert_eq!(max_upscale(&[0, 0]), [0, 0]);
        assert!(max_upscale(&[]).is_empty());
        assert_eq!(max_upscale(&[1, 2]), [32_768, 65_535]);
        assert_eq!(max_upscale(&[65_535, 1]), [65_535, 1]);
    }

    proptest! {
        #[test]
        fn upscaling_keeps_order_and_is_within_one_of_the_exact_ratio(values in proptest::collection::vec(any::<u16>(), 1..20)) {
            let scaled = max_upscale(&values);
            let max = f64::from(*values.iter().max().unwrap());
            for (value, scaled) in values.iter().zip(&scaled) {
                let exact = if max == 0.0 { 0.0 } else { f64::from(*value) * 65_535.0 / max };
                prop_assert!((f64::from(*scaled) - exact).abs() <= 0.51, "{} of {}: {}", value, max, scaled);
            }
        }

        #[test]
        fn any_plaintext_is_a_row_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = timelocked_row(&bytes, AccountId32([1; 32]));
        }
    }
}
