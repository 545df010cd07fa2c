//! Weights on their way.

use distil_store::{SentWeights, Store, StoreError, WeightsIntention, WeightsKind, WeightsState};
use distil_types::Uid;

use crate::common::{key, planned, play};

#[test]
fn b4_weights_are_meant_sent_and_confirmed_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    let intention = |round, number, commit_block| WeightsIntention {
        round,
        king: key(number, commit_block),
        uid: Uid(4),
        block: 60,
        weights: vec![(Uid(4), 1.0), (Uid(0), 0.0)],
        signed: serde_json::json!({ "hash": "0x1" }),
    };
    // With no king nothing is sent, and never to another one.
    assert!(matches!(store.intend_weights(&intention(None, 1, 10), 1), Err(StoreError::OtherKing { .. })));
    let round = play(&mut store, 50, None, &[(1, 10, 0.5)]);
    assert!(matches!(store.intend_weights(&intention(Some(round), 2, 10), 1), Err(StoreError::OtherKing { .. })));
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let bad = WeightsIntention { weights: vec![(Uid(4), bad)], ..intention(Some(round), 1, 10) };
        assert!(matches!(store.intend_weights(&bad, 1), Err(StoreError::InvalidValue { .. })));
    }
    let first = store.intend_weights(&intention(Some(round), 1, 10), 1).unwrap();
    // Killed here, the next one sees that it has to look at the chain before it sends again.
    drop(store);
    let mut store = Store::open(folder.path()).unwrap();
    let pending = store.pending_weights().unwrap().unwrap();
    assert_eq!((pending.id, &pending.state), (first, &WeightsState::Intended));
    assert_eq!(pending.intention, intention(Some(round), 1, 10));
    let again = store.intend_weights(&intention(None, 1, 10), 2);
    assert!(matches!(again, Err(StoreError::WeightsPending { pending }) if pending == first));
    let kind = WeightsKind::CommitReveal { reveal_round: 99, reveal_epoch: Some(3) };
    let sent = SentWeights { transaction: "0xab".to_owned(), kind, details: serde_json::json!({ "nonce": 4 }) };
    store.weights_sent(first, &sent, 3).unwrap();
    assert_eq!(store.pending_weights().unwrap().unwrap().state, WeightsState::Sent(sent.clone()));
    store.weights_lost(first, "it was not included in 20 blocks", 4).unwrap();
    assert!(matches!(store.weights_confirmed(first, 70, 5), Err(StoreError::NotFound { .. })));
    assert!(store.last_confirmed_weights().unwrap().is_none());
    let second = store.intend_weights(&intention(None, 1, 10), 6).unwrap();
    store.weights_confirmed(second, 80, 7).unwrap();
    assert!(store.pending_weights().unwrap().is_none());
    let last = store.last_confirmed_weights().unwrap().unwrap();
    assert_eq!((last.id, last.state), (second, WeightsState::Confirmed { sent: None, block: 80, unix_ms: 7 }));
    let history = store.weights_history(0, 10).unwrap();
    assert_eq!(history.iter().map(|weights| weights.id).collect::<Vec<_>>(), [second, first]);
    assert!(matches!(&history[1].state, WeightsState::Lost { sent: Some(kept), .. } if *kept == sent));
}

#[test]
fn weights_are_never_meant_for_a_round_that_is_not_finished() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    play(&mut store, 50, None, &[(1, 10, 0.5)]);
    let round = store.begin_round(&planned(100, Some((1, 10)), &[(2, 60)]), 1).unwrap();
    let intention = WeightsIntention {
        round: Some(round),
        king: key(1, 10),
        uid: Uid(4),
        block: 100,
        weights: vec![(Uid(4), 1.0)],
        signed: serde_json::Value::Null,
    };
    assert!(matches!(store.intend_weights(&intention, 1), Err(StoreError::NotFound { .. })));
    store.void_round(round, "", 2).unwrap();
    assert!(matches!(store.intend_weights(&intention, 1), Err(StoreError::NotFound { .. })));
}
