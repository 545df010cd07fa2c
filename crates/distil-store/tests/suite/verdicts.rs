//! What is known of miners: first entries, checks, digests, disqualifications, standings.

use distil_scoring::{Disqualification, DisqualificationCode, StudentResult, StudentRun};
use distil_store::{
    Bf16Digest, CheckRecord, CheckState, RawDigest, SeenEntry, SeenMiner, SeenSubmission, Standing, Store, StoreError,
    TensorDigests,
};
use distil_types::{MinerKey, Uid};
use rusqlite::Connection;
use serde_json::json;

use crate::common::{block, commitment, completed, hotkey, key, planned, play, seen};

pub(crate) fn waiting(reason: &str) -> CheckRecord {
    CheckRecord {
        commitment: commitment(1),
        state: CheckState::Waiting { reason: reason.to_owned(), tries: 2, not_before_unix_s: 1_700_000_000 },
        report: json!({}),
        repository: Some(json!({ "looks": 2 })),
        checked_unix_ms: 5,
    }
}

fn invalid() -> CheckRecord {
    CheckRecord {
        state: CheckState::Invalid { codes: vec!["quantized".to_owned()], sentence: "it is quantized".to_owned() },
        ..waiting("")
    }
}

fn out(miner: MinerKey, code: DisqualificationCode) -> Disqualification {
    Disqualification { miner, code, sentence: "a sentence".to_owned(), evidence: json!({ "distance": 0.0 }) }
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

#[test]
fn b3_the_first_entry_of_a_registration_never_changes() {
    let (_folder, mut store) = store();
    let mut miner = seen(1, 100);
    store.record_seen(block(150), 1, std::slice::from_ref(&miner)).unwrap();
    // Later the list is full and begins with another entry.
    miner.oldest_entry = Some(SeenEntry { reveal_block: 120, bytes: b"later".to_vec() });
    miner.list_is_full = true;
    miner.submission = SeenSubmission::None { code: "history_trimmed".to_owned(), sentence: "trimmed".to_owned() };
    store.record_seen(block(200), 2, std::slice::from_ref(&miner)).unwrap();
    let first = store.first_seen_entry(&hotkey(1), 95).unwrap().unwrap();
    assert_eq!((first.entry.reveal_block, first.seen_block, first.trusted), (100, 150, true));
    assert_eq!(first.trusted_entry(), Some(&first.entry));
    assert!(matches!(store.seen_miners().unwrap()[0].submission, SeenSubmission::None { .. }));
    // A snapshot of an earlier block, of a retried round, takes nothing back.
    store.record_seen(block(150), 3, &[seen(1, 100)]).unwrap();
    assert!(matches!(store.seen_miners().unwrap()[0].submission, SeenSubmission::None { .. }));

    // b2: another registration of the same hotkey is another miner, and one first seen with a full list is not trusted.
    let again = SeenMiner { registration_block: 190, ..miner };
    store.record_seen(block(250), 4, &[again]).unwrap();
    let other = store.first_seen_entry(&hotkey(1), 190).unwrap().unwrap();
    assert!(!other.trusted && other.trusted_entry().is_none());
    assert_eq!(store.first_seen_entry(&hotkey(1), 95).unwrap(), Some(first), "the first one stays what it was");
    let registered: Vec<bool> = store.seen_miners().unwrap().iter().map(|miner| miner.is_registered).collect();
    assert_eq!(registered, [false, true]);
    assert_eq!(store.registered_count().unwrap(), 1);

    let mut long = seen(2, 100);
    long.oldest_entry.as_mut().unwrap().bytes = vec![0; 1025];
    assert!(matches!(store.record_seen(block(300), 5, &[long]), Err(StoreError::InvalidValue { .. })));
    assert_eq!(store.newest_snapshot().unwrap(), Some(block(250)), "nothing of the step was taken");
    let connection = Connection::open(store.path()).unwrap();
    assert!(connection.execute("UPDATE first_entries SET reveal_block = 1", []).is_err());
    assert!(connection.execute("DELETE FROM first_entries", []).is_err());
}

#[test]
fn a8_typed_separate_stores_of_digests_and_revisions() {
    let (_folder, mut store) = store();
    let digests = |raw: u8, bf16: u8| TensorDigests { raw: RawDigest([raw; 32]), bf16: Bf16Digest([bf16; 32]) };
    store.record_digests(&key(2, 20), &commitment(2), &digests(1, 2), 1).unwrap();
    store.record_digests(&key(1, 30), &commitment(1), &digests(1, 3), 1).unwrap();
    store.record_digests(&key(3, 10), &commitment(3), &digests(2, 2), 1).unwrap();
    assert_eq!(store.miners_with_raw_digest(&RawDigest([1; 32])).unwrap(), [key(2, 20), key(1, 30)]);
    // The same 32 bytes of the other kind are another digest.
    assert_eq!(store.miners_with_raw_digest(&RawDigest([2; 32])).unwrap(), [key(3, 10)]);
    assert_eq!(store.miners_with_bf16_digest(&Bf16Digest([2; 32])).unwrap(), [key(3, 10), key(2, 20)]);
    assert_eq!(store.digests(&key(2, 20)).unwrap(), Some((commitment(2), digests(1, 2))));
    // a5: pinned content that changes is an error, not an update.
    store.record_digests(&key(2, 20), &commitment(2), &digests(1, 2), 9).unwrap();
    let error = store.record_digests(&key(2, 20), &commitment(2), &digests(7, 7), 9).unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(store.digests(&key(2, 20)).unwrap(), Some((commitment(2), digests(1, 2))));
    // The table takes nothing else than 32 bytes: no revision, no hexadecimal text.
    let connection = Connection::open(store.path()).unwrap();
    for sql in
        ["UPDATE tensor_digests SET raw = '0123456789abcdef0123456789abcdef'", "UPDATE tensor_digests SET bf16 = x'00'"]
    {
        assert!(connection.execute(sql, []).is_err(), "{sql}");
    }
}

#[test]
fn a9_a_disqualification_is_lifted_with_all_that_came_with_it() {
    let (_folder, mut store) = store();
    let copy = key(1, 10);
    store.record_check(&copy, &invalid()).unwrap();
    assert!(store.disqualify(&out(copy, DisqualificationCode::Invalid), 100, 1).unwrap());
    assert!(!store.disqualify(&out(copy, DisqualificationCode::Copy), 100, 2).unwrap(), "it stands already");
    let stored = store.disqualification(&copy).unwrap().unwrap();
    assert_eq!((stored.disqualification, stored.block), (out(copy, DisqualificationCode::Invalid), 100));
    assert_eq!(store.disqualifications().unwrap().len(), 1);
    store.lift_disqualification(&copy, "the check was wrong", 3).unwrap();
    assert!(store.disqualification(&copy).unwrap().is_none());
    assert!(store.check(&copy).unwrap().is_none(), "it is checked anew");
    assert!(matches!(store.lift_disqualification(&copy, "", 4), Err(StoreError::NotFound { .. })));
    assert!(store.disqualify(&out(copy, DisqualificationCode::Removed), 200, 5).unwrap());
    let history = store.disqualification_history(&copy).unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(history[0].lifted.as_ref().unwrap().reason, "the check was wrong");
    assert!(history[1].lifted.is_none());
}

#[test]
fn a9_a_copy_that_was_lifted_stays_lifted_on_the_same_evidence() {
    let (_folder, mut store) = store();
    let copy = key(1, 10);
    let of = |code, tensors: &str| Disqualification { evidence: json!({ "tensors": tensors }), ..out(copy, code) };
    assert!(store.disqualify(&of(DisqualificationCode::Copy, "ab"), 100, 1).unwrap());
    store.lift_disqualification(&copy, "both are of one laboratory", 2).unwrap();
    assert!(!store.disqualify(&of(DisqualificationCode::Copy, "ab"), 150, 3).unwrap(), "nothing new is known");
    assert!(store.disqualification(&copy).unwrap().is_none());
    // Other evidence, another code and another miner are other findings.
    let other = Disqualification { miner: key(2, 20), ..of(DisqualificationCode::Copy, "ab") };
    assert!(store.disqualify(&other, 150, 3).unwrap());
    assert!(store.disqualify(&of(DisqualificationCode::Copy, "cd"), 150, 3).unwrap());
    store.lift_disqualification(&copy, "that too", 4).unwrap();
    assert!(store.disqualify(&of(DisqualificationCode::Removed, "ab"), 200, 5).unwrap());
    store.lift_disqualification(&copy, "it was a misunderstanding", 6).unwrap();
    assert!(store.disqualify(&of(DisqualificationCode::Removed, "ab"), 200, 7).unwrap(), "it may go once more");
}

#[test]
fn a9_lifting_forgets_absences_and_interruptions() {
    let (_folder, mut store) = store();
    let gone = key(1, 10);
    let check = CheckRecord { repository: Some(json!({ "absences": { "looks": 7 } })), ..waiting("it is gone") };
    store.record_check(&gone, &check).unwrap();
    store.record_interruption(&gone, 50, "the network", 1).unwrap();
    store.disqualify(&out(gone, DisqualificationCode::Removed), 100, 2).unwrap();
    store.lift_disqualification(&gone, "the Hub was wrong", 3).unwrap();
    assert!(store.check(&gone).unwrap().is_none(), "the next look is the first");
    assert!(store.interruptions().unwrap().is_empty());
}

#[test]
fn c7_interruptions_count_once_a_block_until_there_is_a_result() {
    let (_folder, mut store) = store();
    let (one, two) = (key(1, 10), key(2, 20));
    assert_eq!(store.record_interruption(&one, 50, "timeout", 1).unwrap(), 1);
    assert_eq!(store.record_interruption(&one, 50, "reset", 2).unwrap(), 1, "the same step, taken again");
    assert_eq!(store.record_interruption(&one, 100, "503", 3).unwrap(), 2);
    assert_eq!(store.record_interruption(&two, 100, "503", 3).unwrap(), 1);
    let all = store.interruptions().unwrap();
    assert_eq!((all[&one].in_a_row, all[&one].last_block, all[&one].last_reason.as_str()), (2, 100, "503"));
    // A check that passes is no result.
    store.record_check(&one, &CheckRecord { state: CheckState::Passed, ..waiting("") }).unwrap();
    let start = planned(150, None, &[(1, 10), (2, 20)]);
    let round = store.begin_round(&start, 4).unwrap();
    let interrupted = StudentResult::Interrupted { reason: "503".to_owned() };
    let runs = [StudentRun::new(start.plan.id(), one, interrupted), completed(&start.plan, two, 0.5)];
    for run in &runs {
        store.record_result(round, run, &json!({}), &[], 5).unwrap();
    }
    let all = store.interruptions().unwrap();
    assert_eq!(all.keys().collect::<Vec<_>>(), [&one], "only a result ends them");
}

#[test]
fn b2_a_disqualification_is_of_a_hotkey_and_a_commit_block_alone() {
    let (_folder, mut store) = store();
    store.disqualify(&out(key(1, 10), DisqualificationCode::Copy), 100, 1).unwrap();
    // The same hotkey with a new commitment, and another hotkey in the same seat, are other miners.
    assert!(store.disqualification(&key(1, 200)).unwrap().is_none());
    let newcomer = SeenMiner { uid: Uid(1), ..seen(7, 150) };
    store.record_seen(block(200), 1, &[newcomer]).unwrap();
    assert_eq!(store.status().unwrap().miners[0].standing, Standing::Unchecked);
}

#[test]
fn checks_are_read_as_they_were_recorded() {
    let (_folder, mut store) = store();
    for check in [waiting("429"), invalid(), CheckRecord { state: CheckState::Passed, ..waiting("") }] {
        store.record_check(&key(1, 10), &check).unwrap();
        assert_eq!(store.check(&key(1, 10)).unwrap(), Some(check.clone()));
        assert_eq!(store.checks().unwrap()[&key(1, 10)], check);
    }
}

#[test]
fn s0_6_every_miner_of_the_snapshot_is_told_why_it_is_not_evaluated() {
    let (_folder, mut store) = store();
    play(&mut store, 50, None, &[(1, 10, 0.5), (2, 20, 0.9)]);
    let passed = CheckRecord { state: CheckState::Passed, ..waiting("") };
    for (number, check) in [(4, invalid()), (5, waiting("429")), (6, passed.clone()), (7, passed.clone()), (8, passed)]
    {
        store.record_check(&key(number, number * 10), &check).unwrap();
    }
    store.disqualify(&out(key(8, 80), DisqualificationCode::Copy), 100, 1).unwrap();
    let mut miners: Vec<SeenMiner> = (1..=8).map(|number| seen(number, number * 10)).collect();
    let none = SeenSubmission::None { code: "nothing_revealed".to_owned(), sentence: "nothing".to_owned() };
    miners.push(SeenMiner { submission: none, ..seen(9, 90) });
    store.record_seen(block(100), 1, &miners).unwrap();
    let round = store.begin_round(&planned(100, Some((1, 10)), &[(6, 60)]), 1).unwrap();
    store.record_failure(round, &key(7, 70), "crashed", 1).unwrap();
    assert_eq!(store.record_failure(round, &key(7, 70), "crashed again", 1).unwrap(), 1, "one counts of each round");
    let status = store.status().unwrap();
    assert_eq!(status.miners.len(), 9);
    for miner in &status.miners {
        let fits = match miner.uid.0 {
            1 => miner.standing == Standing::King,
            2 => matches!(&miner.standing, Standing::Evaluated { sentence: Some(_), .. }),
            3 => miner.standing == Standing::Unchecked,
            4 => matches!(&miner.standing, Standing::Invalid { codes, .. } if codes == &["quantized"]),
            5 => matches!(&miner.standing, Standing::Waiting { reason, .. } if reason == "429"),
            6 => miner.standing == Standing::InRound { round, done: false },
            7 => miner.standing == Standing::Queued { isolated_failures: 1 },
            8 => matches!(&miner.standing, Standing::Disqualified { .. }),
            _ => matches!(&miner.standing, Standing::NoSubmission { code, .. } if code == "nothing_revealed"),
        };
        assert!(fits, "uid {}: {:?}", miner.uid, miner.standing);
    }
    let progress = status.open_round.unwrap();
    assert_eq!((progress.students_done, progress.students_left), (0, vec![key(1, 10), key(6, 60)]));
    assert_eq!(status.leaderboard.len(), 2);
    assert!(status.leaderboard[0].crowned && status.leaderboard[0].verdict.as_ref().unwrap().miner == key(1, 10));
}
