//! Who takes part: the commitments of a snapshot, and all that the store knows of their miners.

use crate::ValidatorError;
use distil_chain::{NotEligible, RevealedEntry, Snapshot, oldest_for_certain, select_submission};
use distil_scoring::{CheckVerdict, Miner, Seat};
use distil_store::{CheckState, Contender, FirstSeenEntry, SeenEntry, SeenMiner, SeenSubmission, Store, StoreReader};
use distil_types::Hotkey;
use std::collections::BTreeMap;

/// The seats of a snapshot.
pub(crate) fn seats(snapshot: &Snapshot) -> Vec<Seat> {
    snapshot
        .neurons
        .iter()
        .map(|neuron| Seat { uid: neuron.uid, hotkey: neuron.hotkey, registered_at_block: neuron.registration_block })
        .collect()
}

/// What a snapshot shows of each hotkey, held against what was seen of it first.
pub(crate) fn seen(snapshot: &Snapshot, first_seen: &BTreeMap<(Hotkey, u64), FirstSeenEntry>) -> Vec<SeenMiner> {
    let none = Vec::new();
    snapshot
        .neurons
        .iter()
        .map(|neuron| {
            let entries = snapshot.revealed.get(&neuron.hotkey).unwrap_or(&none);
            let earlier = first_seen
                .get(&(neuron.hotkey, neuron.registration_block))
                .and_then(FirstSeenEntry::trusted_entry)
                .map(|entry| RevealedEntry { bytes: entry.bytes.clone(), reveal_block: entry.reveal_block });
            let submission = match select_submission(entries, neuron.registration_block, earlier.as_ref()) {
                Ok(submission) => {
                    SeenSubmission::Counts { commit_block: submission.reveal_block, commitment: submission.commitment }
                }
                Err(why) => SeenSubmission::None { code: code(&why), sentence: why.to_string() },
            };
            let oldest_entry = entries
                .first()
                .filter(|entry| entry.bytes.len() <= distil_store::MAX_ENTRY_BYTES)
                .map(|entry| SeenEntry { reveal_block: entry.reveal_block, bytes: entry.bytes.clone() });
            SeenMiner {
                hotkey: neuron.hotkey,
                registration_block: neuron.registration_block,
                uid: neuron.uid,
                oldest_entry,
                // An oldest entry that comes twice vouches for nothing either.
                list_is_full: oldest_for_certain(entries).is_none(),
                submission,
            }
        })
        .collect()
}

/// All that is known of those on whom a plan may turn.
#[derive(Debug)]
pub(crate) struct Census {
    /// Everybody with a seat and a submission, and who committed the same as one of them earlier; each once.
    pub(crate) miners: Vec<Miner>,
    /// The stored king, with its seat if it has one.
    pub(crate) king: Option<Miner>,
}

impl Census {
    /// Reads what the store knows, with the seats of the snapshot that was recorded last.
    pub(crate) fn read(store: &StoreReader, seats: &[Seat]) -> Result<Self, ValidatorError> {
        let seat_of: BTreeMap<Hotkey, Seat> = seats.iter().map(|seat| (seat.hotkey, *seat)).collect();
        let with_seat = |contender: Contender| {
            let seat = seat_of.get(&contender.miner.hotkey).copied();
            miner(contender, seat)
        };
        let miners = store.contenders()?.into_values().map(with_seat).collect();
        Ok(Self { miners, king: store.contending_king()?.map(with_seat) })
    }
}

fn miner(contender: Contender, seat: Option<Seat>) -> Miner {
    let mut miner = Miner::new(contender.miner, contender.commitment);
    miner.seat = seat;
    miner.check = match contender.check {
        None => CheckVerdict::NotChecked,
        Some(CheckState::Passed) => CheckVerdict::Passed,
        Some(CheckState::Invalid { codes, .. }) => CheckVerdict::Invalid { codes },
        Some(CheckState::Waiting { reason, .. }) => CheckVerdict::Waiting { reason },
    };
    miner.disqualification = contender.disqualification;
    miner.failures = u8::try_from(contender.isolated_failures).unwrap_or(u8::MAX);
    miner.evaluation = contender.evaluation;
    miner.interruptions = contender.interruptions;
    miner
}

/// Whether a miner's commitment is one of this registration of its hotkey.
pub(crate) fn has_seat(miner: &Miner) -> bool {
    miner.seat.is_some_and(|seat| seat.registered_at_block <= miner.key.commit_block)
}

/// Records a snapshot in the store.
pub(crate) fn record(store: &mut Store, snapshot: &Snapshot, unix_ms: u64) -> Result<(), ValidatorError> {
    let mut first_seen = BTreeMap::new();
    for neuron in &snapshot.neurons {
        if let Some(entry) = store.first_seen_entry(&neuron.hotkey, neuron.registration_block)? {
            first_seen.insert((neuron.hotkey, neuron.registration_block), entry);
        }
    }
    store.record_seen(snapshot.block, unix_ms, &seen(snapshot, &first_seen))?;
    Ok(())
}

/// The name of a reason, as in its JSON.
fn code(why: &NotEligible) -> String {
    let json = serde_json::to_value(why).unwrap_or_default();
    json["code"].as_str().unwrap_or("none").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use distil_chain::{NeuronInfo, SubnetParameters};
    use distil_types::{BlockHash, BlockRef, NetUid, Uid};

    #[test]
    fn b3_an_oldest_entry_that_comes_twice_is_not_trusted() {
        let hotkey = Hotkey::from_account_id([1; 32]);
        let neuron = NeuronInfo {
            uid: Uid(0),
            hotkey,
            coldkey: hotkey,
            registration_block: 5,
            validator_permit: false,
            stake_rao: 0,
            incentive: 0,
            last_update_block: 5,
        };
        let parameters = SubnetParameters {
            tempo: 360,
            min_allowed_weights: 1,
            weights_version: 0,
            weights_rate_limit_blocks: 100,
            activity_cutoff_blocks: None,
            commit_reveal: false,
            commit_reveal_period_epochs: 1,
        };
        let entry = |text: &str| RevealedEntry { reveal_block: 9, bytes: text.as_bytes().to_vec() };
        let listed = |texts: &[&str]| {
            let snapshot = Snapshot {
                netuid: NetUid(97),
                block: BlockRef { number: 50, hash: BlockHash::from_bytes([2; 32]) },
                spec_version: 365,
                parameters,
                neurons: vec![neuron],
                revealed: [(hotkey, texts.iter().map(|text| entry(text)).collect())].into(),
                pending: BTreeMap::new(),
            };
            seen(&snapshot, &BTreeMap::new()).remove(0).list_is_full
        };
        assert!(!listed(&["x", "a", "b"]));
        assert!(listed(&["x", "a", "x"]));
    }
}
