//! Whom an epoch reads: few of all that were ever seen, and nobody too few.

use std::collections::{BTreeMap, BTreeSet};

use distil_scoring::{CheckVerdict, Disqualification, DisqualificationCode, Miner, Seat, standings};
use distil_store::{CheckRecord, CheckState, SeenMiner, SeenSubmission, Store};
use distil_types::{MinerKey, Uid};
use proptest::prelude::*;
use serde_json::json;

use crate::common::{block, commitment, hotkey, key, planned, play, seen};
use crate::verdicts::waiting;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

/// A miner that committed what another one has.
fn with_model_of(other: u64, miner: SeenMiner) -> SeenMiner {
    let commit_block = miner.oldest_entry.as_ref().unwrap().reveal_block;
    SeenMiner { submission: SeenSubmission::Counts { commit_block, commitment: commitment(other) }, ..miner }
}

#[test]
fn contenders_are_those_with_a_seat_and_who_was_before_them() {
    let (_folder, mut store) = store();
    assert!(store.contenders().unwrap().is_empty() && store.contending_king().unwrap().is_none());
    assert_eq!(store.registered_count().unwrap(), 0);
    play(&mut store, 50, None, &[(1, 10, 0.5), (2, 20, 0.9)]);
    // 3 and 4 lose their seats; 3 had what 2 commits later, and 4 what nobody has.
    store.record_seen(block(60), 1, &[seen(1, 10), with_model_of(2, seen(3, 15)), seen(4, 40)]).unwrap();
    let none = SeenSubmission::None { code: "nothing_revealed".to_owned(), sentence: "nothing".to_owned() };
    let newest = [seen(1, 10), seen(2, 20), seen(5, 55), SeenMiner { submission: none, ..seen(6, 60) }];
    store.record_seen(block(100), 2, &newest).unwrap();
    assert_eq!(store.registered_count().unwrap(), 4);

    store.record_check(&key(2, 20), &CheckRecord { state: CheckState::Passed, ..waiting("") }).unwrap();
    store.record_check(&key(5, 55), &waiting("429")).unwrap();
    let out = Disqualification {
        miner: key(5, 55),
        code: DisqualificationCode::Copy,
        sentence: "a copy".to_owned(),
        evidence: json!({ "of": 1 }),
    };
    store.disqualify(&out, 100, 3).unwrap();
    let round = store.begin_round(&planned(100, Some((1, 10)), &[(2, 20)]), 4).unwrap();
    store.record_failure(round, &key(2, 20), "crashed", 5).unwrap();

    let contenders = store.contenders().unwrap();
    let keys: BTreeSet<MinerKey> = contenders.keys().copied().collect();
    assert_eq!(keys, BTreeSet::from([key(1, 10), key(2, 20), key(3, 15), key(5, 55)]));
    let two = &contenders[&key(2, 20)];
    assert_eq!((&two.check, two.isolated_failures), (&Some(CheckState::Passed), 1));
    assert_eq!(two.evaluation, store.evaluations().unwrap().get(&key(2, 20)).copied());
    assert!(two.evaluation.is_some() && two.disqualification.is_none());
    assert_eq!(contenders[&key(3, 15)].commitment, commitment(2));
    let five = &contenders[&key(5, 55)];
    assert_eq!((&five.check, &five.disqualification), (&Some(waiting("429").state), &Some(out)));

    // The king is one also without a seat.
    assert_eq!(store.contending_king().unwrap().as_ref(), Some(&contenders[&key(1, 10)]));
    store.record_seen(block(150), 6, &[seen(5, 55)]).unwrap();
    assert_eq!(store.contending_king().unwrap().unwrap().miner, key(1, 10));
    assert_eq!(store.contenders().unwrap().len(), 1);

    // A disqualification that was lifted is none.
    store.lift_disqualification(&key(5, 55), "it was wrong", 7).unwrap();
    assert_eq!(store.contenders().unwrap()[&key(5, 55)].disqualification, None);
}

/// Somebody in a snapshot: who, which commitment, and when it was made.
fn neurons() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    prop::collection::btree_map(1..8_u64, (1..4_u64, 0..3_u64), 1..6)
        .prop_map(|seats| seats.into_iter().map(|(who, (model, age))| (who, model, age)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whoever has a seat stands where it would stand if all that were ever seen were read.
    #[test]
    fn nobody_with_a_seat_stands_elsewhere_for_those_that_are_left_out(
        snapshots in prop::collection::vec(neurons(), 1..5),
        checks in prop::collection::btree_set((1..8_u64, 1..5_u64, 0..3_u64), 0..40),
        disqualified in prop::collection::btree_set(1..8_u64, 0..3),
    ) {
        let (_folder, mut store) = store();
        let mut ever: BTreeMap<MinerKey, Miner> = BTreeMap::new();
        let mut seats = Vec::new();
        for (index, neurons) in snapshots.iter().enumerate() {
            let at = 100 * (index as u64 + 1);
            let miners: Vec<SeenMiner> =
                neurons.iter().map(|(who, model, age)| with_model_of(*model, seen(*who, at - 10 * age))).collect();
            store.record_seen(block(at), 1, &miners).unwrap();
            seats = miners
                .iter()
                .map(|miner| Seat { uid: Uid(0), hotkey: miner.hotkey, registered_at_block: miner.registration_block })
                .collect();
            for miner in miners {
                let SeenSubmission::Counts { commit_block, commitment } = miner.submission else { continue };
                let key = MinerKey::new(miner.hotkey, commit_block);
                ever.entry(key).or_insert_with(|| Miner::new(key, commitment));
            }
        }
        let checked: BTreeSet<MinerKey> =
            checks.into_iter().map(|(who, snapshot, age)| key(who, 100 * snapshot - 10 * age)).collect();
        for key in &checked {
            store.record_check(key, &CheckRecord { state: CheckState::Passed, ..waiting("") }).unwrap();
        }
        for miner in ever.values_mut() {
            miner.seat = seats.iter().find(|seat| seat.hotkey == miner.key.hotkey).copied();
            if checked.contains(&miner.key) {
                miner.check = CheckVerdict::Passed;
            }
            if disqualified.iter().any(|who| hotkey(*who) == miner.key.hotkey) {
                let code = DisqualificationCode::Invalid;
                let out = Disqualification { miner: miner.key, code, sentence: String::new(), evidence: json!(null) };
                store.disqualify(&out, 1, 1).unwrap();
                miner.disqualification = Some(out);
            }
        }
        let expected = standings(&ever.values().cloned().collect::<Vec<_>>()).unwrap();
        let contenders = store.contenders().unwrap();
        let read: Vec<Miner> = contenders
            .into_values()
            .map(|known| {
                let mut miner = Miner::new(known.miner, known.commitment);
                miner.seat = seats.iter().find(|seat| seat.hotkey == miner.key.hotkey).copied();
                miner.check = known.check.map_or(CheckVerdict::NotChecked, |_| CheckVerdict::Passed);
                miner.disqualification = known.disqualification;
                miner
            })
            .collect();
        let found = standings(&read).unwrap();
        for miner in ever.values().filter(|miner| {
            miner.seat.is_some_and(|seat| seat.registered_at_block <= miner.key.commit_block)
        }) {
            prop_assert_eq!(found.get(&miner.key), expected.get(&miner.key));
        }
        prop_assert!(found.values().filter(|standing| standing.is_eligible()).count()
            == expected.values().filter(|standing| standing.is_eligible()).count());
    }
}
