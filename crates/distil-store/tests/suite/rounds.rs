//! Rounds and crowns.

use distil_scoring::{Crown, Failure, FailureKind, StudentResult, StudentRun};
use distil_store::{RecordDigest, RoundState, Store, StoreError, TokenRecord, WrittenRecord};
use rusqlite::Connection;
use serde_json::json;

use crate::common::{block, completed, decision, filled, key, planned, play, positions, teacher};

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

#[test]
fn b8_the_winner_of_a_round_is_the_king_that_the_next_one_is_planned_with() {
    let (folder, mut store) = store();
    play(&mut store, 50, None, &[(1, 10, 0.5), (2, 20, 0.6)]);
    assert_eq!(store.king().unwrap().unwrap().king.miner, key(1, 10));
    // A plan with another king, or none, is refused.
    for king in [None, Some((2, 20))] {
        let error = store.begin_round(&planned(100, king, &[(3, 60)]), 1).unwrap_err();
        assert!(matches!(error, StoreError::OtherKing { .. }), "{error}");
    }
    play(&mut store, 100, Some((1, 10)), &[(1, 10, 0.9), (3, 60, 0.4)]);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    let reign = store.king().unwrap().unwrap();
    assert_eq!((reign.king.miner, reign.crowned_block), (key(3, 60), 100));
    let history = store.king_history(0, 10).unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(history[1].ended.as_ref().unwrap().block, 100);
    assert!(history[1].ended.as_ref().unwrap().reason.contains("dethroned"));
    assert_eq!(store.king_history(1, 1).unwrap(), history[1..]);
}

#[test]
fn s0_1_the_king_never_follows_from_old_scores() {
    let (_folder, mut store) = store();
    play(&mut store, 50, None, &[(1, 10, 0.50), (2, 20, 0.51)]);
    // The king does far worse on other prompts than a challenger once did: nothing follows.
    play(&mut store, 100, Some((1, 10)), &[(1, 10, 0.80), (3, 60, 0.85)]);
    assert_eq!(store.king().unwrap().unwrap().king.miner, key(1, 10));
    assert_eq!(store.king_history(0, 10).unwrap().len(), 1, "a king that stays reigns on");
}

#[test]
fn d7_results_go_to_the_open_round_once_and_to_no_other() {
    let (_folder, mut store) = store();
    let start = planned(50, None, &[(1, 10), (2, 20)]);
    let round = store.begin_round(&start, 1).unwrap();
    assert!(matches!(store.begin_round(&start, 1), Err(StoreError::RoundOpen { round: open }) if open == round));
    assert!(matches!(store.vacate("", 1, 1), Err(StoreError::RoundOpen { .. })));
    let run = completed(&start.plan, key(1, 10), 0.5);
    store.record_result(round, &run, &json!({}), &positions(0.5), 2).unwrap();
    let error = store.record_result(round, &run, &json!({}), &positions(0.4), 3).unwrap_err();
    assert!(matches!(error, StoreError::ResultExists { .. }), "{error}");
    assert!(matches!(store.record_failed_try(round, &key(1, 10), "", 3), Err(StoreError::ResultExists { .. })));
    let stranger = completed(&start.plan, key(9, 10), 0.5);
    assert!(matches!(store.record_result(round, &stranger, &json!({}), &[], 3), Err(StoreError::NotInRound { .. })));
    let other = planned(100, None, &[(2, 20)]);
    let foreign = completed(&other.plan, key(2, 20), 0.5);
    assert!(matches!(store.record_result(round, &foreign, &json!({}), &[], 3), Err(StoreError::NotInRound { .. })));
    // Not all results are there, so nothing can be finished.
    let runs = vec![run.clone(), completed(&start.plan, key(2, 20), 0.6)];
    let decided = decision(&start.plan, runs.clone());
    let error = store.finish_round(round, &decided, 4).unwrap_err();
    assert!(error.to_string().contains("result of"), "{error}");
    assert_eq!(store.record_failed_try(round, &key(2, 20), "crashed", 3).unwrap(), 1);
    assert_eq!(store.record_failed_try(round, &key(2, 20), "hung", 3).unwrap(), 2);
    store.record_result(round, &runs[1], &json!({}), &positions(0.6), 3).unwrap();
    store.record_decision(round, &json!("first"), 4).unwrap();
    assert!(matches!(store.record_failed_try(round, &key(2, 20), "", 5), Err(StoreError::NotOpen { .. })));
    // A decision that could not be confirmed gives way to another.
    store.record_decision(round, &json!("second"), 4).unwrap();
    let open = store.open_round().unwrap().unwrap();
    assert_eq!((open.state, &open.decision), (RoundState::Decided, &Some(json!("second"))));
    assert_eq!(open.failed_tries[&key(2, 20)].len(), 2);
    assert_eq!(open.results[&key(1, 10)].run, run);
    assert_eq!(open.results[&key(1, 10)].positions_kl_nats, positions(0.5));
    // The decision of another round is refused, whole.
    let foreign = decision(&other.plan, vec![completed(&other.plan, key(2, 20), 0.5)]);
    assert!(matches!(store.finish_round(round, &foreign, 5), Err(StoreError::Conflict { .. })));
    assert!(store.king().unwrap().is_none() && store.evaluations().unwrap().is_empty());
    store.finish_round(round, &decided, 5).unwrap();
    assert_eq!(store.evaluations().unwrap().len(), 2);

    // It never changes again, also not behind the methods' back.
    for error in [
        store.finish_round(round, &decided, 6).err(),
        store.void_round(round, "", 6).err(),
        store.record_decision(round, &json!(0), 6).err(),
        store.record_result(round, &run, &json!({}), &[], 6).err(),
        store.record_teacher(round, &teacher()).err(),
    ] {
        assert!(matches!(error, Some(StoreError::NotOpen { .. })), "{error:?}");
    }
    assert!(matches!(store.begin_round(&start, 7), Err(StoreError::RoundFinished { block: 50, .. })));
    assert!(store.is_finished(&block(50)).unwrap() && !store.is_finished(&block(100)).unwrap());
    let connection = Connection::open(store.path()).unwrap();
    for sql in [
        "UPDATE rounds SET state = 'open', ended_unix_ms = NULL",
        "UPDATE rounds SET outcome = '{}'",
        "DELETE FROM rounds",
        "UPDATE round_students SET result = '{}'",
        "UPDATE reigns SET ended_block = 1",
    ] {
        assert!(connection.execute(sql, []).is_err(), "{sql}");
    }
}

#[test]
fn d5_a_void_round_leaves_no_verdict_and_may_be_tried_again() {
    let (_folder, mut store) = store();
    let start = planned(50, None, &[(1, 10)]);
    let round = store.begin_round(&start, 1).unwrap();
    store.record_result(round, &completed(&start.plan, key(1, 10), 0.5), &json!({}), &positions(0.5), 2).unwrap();
    store.void_round(round, "the worker was lost", 3).unwrap();
    assert!(store.open_round().unwrap().is_none() && store.king().unwrap().is_none());
    assert!(store.evaluations().unwrap().is_empty());
    let stored = store.round(round).unwrap().unwrap();
    assert_eq!((stored.state, stored.void_reason.as_deref()), (RoundState::Void, Some("the worker was lost")));
    let again = store.begin_round(&start, 4).unwrap();
    assert!(again > round);
    let open = store.open_round().unwrap().unwrap();
    assert_eq!(open.id(), stored.id(), "the block keeps its prompts");
    assert!(open.results.is_empty(), "nothing of the void round is taken over");
}

/// A king that fails by its own fault counts also where the round decides nothing, and three end its reign.
#[test]
fn d13_the_failures_of_a_king_outlive_void_rounds() {
    let (_folder, mut store) = store();
    play(&mut store, 50, None, &[(1, 10, 0.5)]);
    for (failures, at) in [(1, 100), (2, 150), (3, 200)] {
        let mut start = planned(at, Some((1, 10)), &[(2, 60)]);
        // The plan knows of the failures before.
        let mut document = serde_json::to_value(&start.plan).unwrap();
        document["students"][0]["failures"] = json!(failures - 1);
        start.plan = serde_json::from_value(document).unwrap();
        let round = store.begin_round(&start, 1).unwrap();
        let failure = Failure { kind: FailureKind::Crash, reason: "crashed".to_owned(), known_good_passed: true };
        let runs = vec![
            StudentRun::new(start.plan.id(), key(1, 10), StudentResult::Failed(failure)),
            completed(&start.plan, key(2, 60), 0.4),
        ];
        for run in &runs {
            store.record_result(round, run, &json!({}), &[], 2).unwrap();
        }
        let decided = decision(&start.plan, runs);
        store.finish_round(round, &decided, 3).unwrap();
        let state = store.round(round).unwrap().unwrap().state;
        assert_eq!(store.failures().unwrap()[&key(1, 10)].len(), failures);
        match decided.outcome().crown {
            Crown::Lost { .. } => {
                assert_eq!(failures, 3);
                assert!(store.king().unwrap().is_none());
            }
            _ => {
                assert_eq!((state, failures < 3), (RoundState::Void, true));
                assert_eq!(store.king().unwrap().unwrap().king.miner, key(1, 10));
            }
        }
    }
    assert!(store.king().unwrap().is_none(), "the third failure ends the reign");
}

#[test]
fn the_teachers_tokens_are_the_rounds_and_never_change() {
    let (_folder, mut store) = store();
    let round = store.begin_round(&planned(50, None, &[(1, 10)]), 1).unwrap();
    store.record_teacher(round, &teacher()).unwrap();
    let mut moved = teacher();
    moved.cache_key = None;
    store.record_teacher(round, &moved).unwrap();
    assert_eq!(store.open_round().unwrap().unwrap().teacher, Some(moved));
    let mut other = teacher();
    other.sequences[1].continuation.push(7);
    assert!(matches!(store.record_teacher(round, &other), Err(StoreError::Conflict { .. })));
    other.sequences.push(TokenRecord { prompt: vec![], continuation: vec![] });
    assert!(matches!(store.record_teacher(round, &other), Err(StoreError::InvalidValue { .. })));
}

#[test]
fn d14_a_record_is_noted_once_and_then_positions_may_go() {
    let (_folder, mut store) = store();
    let start = planned(50, None, &[(1, 10)]);
    let (round, decided) = filled(&mut store, &start, &[(1, 10, 0.5)]);
    let record = WrittenRecord { path: "rounds/50".to_owned(), digest: RecordDigest([1; 32]) };
    assert!(matches!(store.mark_record_written(round, &record), Err(StoreError::NotFound { .. })));
    store.finish_round(round, &decided, 3).unwrap();
    assert_eq!(store.rounds_without_record().unwrap(), [round]);
    assert_eq!(store.drop_spent_positions().unwrap(), 0, "nothing else has them yet");
    store.mark_record_written(round, &record).unwrap();
    store.mark_record_written(round, &record).unwrap();
    let other = WrittenRecord { digest: RecordDigest([2; 32]), ..record.clone() };
    assert!(matches!(store.mark_record_written(round, &other), Err(StoreError::Conflict { .. })));
    assert!(store.rounds_without_record().unwrap().is_empty());
    assert_eq!(store.drop_spent_positions().unwrap(), 1);
    assert_eq!(store.drop_spent_positions().unwrap(), 0);
    let stored = store.round(round).unwrap().unwrap();
    assert_eq!(stored.record, Some(record));
    assert!(stored.results[&key(1, 10)].positions_kl_nats.is_empty());
}

/// Nothing is written of a void round, and an end between a record and the drop leaves the positions of a finished one.
#[test]
fn d14_positions_of_void_rounds_and_those_left_behind_go_too() {
    let (folder, mut store) = store();
    let (void, _) = filled(&mut store, &planned(50, None, &[(1, 10), (2, 20)]), &[(1, 10, 0.5), (2, 20, 0.6)]);
    assert_eq!(store.drop_spent_positions().unwrap(), 0, "it is open");
    store.void_round(void, "the worker is another one", 3).unwrap();
    let start = planned(100, None, &[(1, 10)]);
    let (finished, decided) = filled(&mut store, &start, &[(1, 10, 0.5)]);
    store.finish_round(finished, &decided, 4).unwrap();
    let record = WrittenRecord { path: "rounds/100".to_owned(), digest: RecordDigest([1; 32]) };
    store.mark_record_written(finished, &record).unwrap();
    drop(store);
    let mut store = Store::open(folder.path()).unwrap();
    let (open, _) = filled(&mut store, &planned(150, Some((1, 10)), &[(3, 30)]), &[(1, 10, 0.5), (3, 30, 0.5)]);
    assert_eq!(store.drop_spent_positions().unwrap(), 3);
    let kept = |round| -> Vec<bool> {
        let stored = store.round(round).unwrap().unwrap();
        stored.results.values().map(|result| !result.positions_kl_nats.is_empty()).collect()
    };
    assert_eq!((kept(void), kept(finished), kept(open)), (vec![false, false], vec![false], vec![true, true]));
    assert_eq!(store.rounds_without_record().unwrap(), []);
}

#[test]
fn d15_each_change_of_king_is_announced_once() {
    let (folder, mut store) = store();
    play(&mut store, 50, None, &[(1, 10, 0.5)]);
    play(&mut store, 100, Some((1, 10)), &[(1, 10, 0.5), (2, 60, 0.4)]);
    // The king stays: nothing to tell.
    play(&mut store, 150, Some((2, 60)), &[(2, 60, 0.4), (3, 110, 0.5)]);
    let first = store.take_announcement(1).unwrap().unwrap();
    assert_eq!((first.new_king.miner, first.old_king.is_none(), first.block), (key(1, 10), true, 50));
    drop(store);
    let mut store = Store::open(folder.path()).unwrap();
    let second = store.take_announcement(2).unwrap().unwrap();
    assert_eq!((second.new_king.miner, second.block), (key(2, 60), 100));
    assert_eq!(second.old_king.unwrap().miner, key(1, 10));
    assert!(store.take_announcement(3).unwrap().is_none());
}

#[test]
fn a_throne_is_vacated_once() {
    let (_folder, mut store) = store();
    assert!(!store.vacate("nobody is there", 40, 1).unwrap());
    play(&mut store, 50, None, &[(1, 10, 0.5)]);
    assert!(store.vacate("deregistered", 60, 2).unwrap());
    assert!(!store.vacate("deregistered", 60, 2).unwrap());
    assert!(store.king().unwrap().is_none());
    let ended = store.king_history(0, 1).unwrap().pop().unwrap().ended.unwrap();
    assert_eq!((ended.block, ended.reason.as_str()), (60, "deregistered"));
}
