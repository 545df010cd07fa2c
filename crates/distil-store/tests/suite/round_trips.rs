//! Whatever is stored is read as it was.

use distil_scoring::{Disqualification, DisqualificationCode, StudentResult, StudentRun};
use distil_store::{
    CheckRecord, CheckState, RoundPrompt, SeenEntry, SeenMiner, SeenSubmission, Store, StoreError, TeacherRecord,
    TokenRecord,
};
use distil_types::{BlockHash, BlockRef, Commitment, Hotkey, MinerKey, Uid};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::{PROMPTS, planned};

fn hotkeys() -> impl Strategy<Value = Hotkey> {
    any::<[u8; 32]>().prop_map(Hotkey::from_account_id)
}

fn commitments() -> impl Strategy<Value = Commitment> {
    ("[a-z0-9]{1,20}/[a-z0-9]{1,20}", "[0-9a-f]{40}").prop_map(|(model, revision)| Commitment {
        model: model.parse().expect("a name"),
        revision: revision.parse().expect("40 digits"),
    })
}

fn documents() -> impl Strategy<Value = Value> {
    (any::<String>(), any::<i64>(), any::<f64>().prop_filter("finite", |value| value.is_finite()))
        .prop_map(|(text, whole, real)| json!({ "text": text, "numbers": [whole, real], "none": null }))
}

fn states() -> impl Strategy<Value = CheckState> {
    prop_oneof![
        Just(CheckState::Passed),
        (prop::collection::vec(any::<String>(), 0..4), any::<String>())
            .prop_map(|(codes, sentence)| CheckState::Invalid { codes, sentence }),
        (any::<String>(), any::<u32>(), 0..1_u64 << 62)
            .prop_map(|(reason, tries, not_before_unix_s)| CheckState::Waiting { reason, tries, not_before_unix_s }),
    ]
}

fn submissions() -> impl Strategy<Value = SeenSubmission> {
    prop_oneof![
        (0..1_u64 << 62, commitments())
            .prop_map(|(commit_block, commitment)| SeenSubmission::Counts { commit_block, commitment }),
        any::<(String, String)>().prop_map(|(code, sentence)| SeenSubmission::None { code, sentence }),
    ]
}

/// Text in a column may hold anything but a NUL, which SQLite's text functions take for the end.
fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).expect("a store");
    (folder, store)
}

proptest! {
    // Each case opens a store on the disk.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn checks_and_disqualifications(
        hotkey in hotkeys(), commit_block in 0..1_u64 << 63, commitment in commitments(), state in states(),
        report in documents(), repository in proptest::option::of(documents()), sentence in any::<String>(),
        code in prop_oneof![Just(DisqualificationCode::Copy), Just(DisqualificationCode::Removed), Just(DisqualificationCode::Invalid)],
        when in 0..1_u64 << 63,
    ) {
        let (_folder, mut store) = store();
        let miner = MinerKey::new(hotkey, commit_block);
        let check = CheckRecord {
            commitment, state, report: report.clone(), repository, checked_unix_ms: when,
        };
        store.record_check(&miner, &check).unwrap();
        prop_assert_eq!(store.check(&miner).unwrap(), Some(check));
        let disqualification = Disqualification { miner, code, sentence, evidence: report };
        store.disqualify(&disqualification, commit_block, when).unwrap();
        let stored = store.disqualification(&miner).unwrap().unwrap();
        prop_assert_eq!(stored.disqualification, disqualification);
        prop_assert_eq!((stored.block, stored.disqualified_unix_ms), (commit_block, when));
    }

    #[test]
    fn snapshots(
        hash in any::<[u8; 32]>(), number in 0..1_u64 << 62, hotkey in hotkeys(), registration_block in 0..1_u64 << 62,
        uid in any::<u16>(), bytes in prop::collection::vec(any::<u8>(), 0..1024), full in any::<bool>(),
        submission in submissions(),
    ) {
        let (_folder, mut store) = store();
        let block = BlockRef { number, hash: BlockHash::from_bytes(hash) };
        let entry = SeenEntry { reveal_block: registration_block, bytes };
        let miner = SeenMiner {
            hotkey, registration_block, uid: Uid(uid), oldest_entry: Some(entry.clone()), list_is_full: full,
            submission: submission.clone(),
        };
        store.record_seen(block, number, &[miner]).unwrap();
        prop_assert_eq!(store.newest_snapshot().unwrap(), Some(block));
        let first = store.first_seen_entry(&hotkey, registration_block).unwrap().unwrap();
        prop_assert_eq!((&first.entry, first.trusted), (&entry, !full));
        let stored = store.seen_miners().unwrap().pop().unwrap();
        prop_assert_eq!((stored.submission, stored.uid, stored.is_registered), (submission, Uid(uid), true));
    }

    #[test]
    fn rounds(
        texts in prop::collection::vec(any::<String>(), PROMPTS), settings in documents(), report in documents(), identity in documents(),
        tokens in prop::collection::vec(prop::collection::vec(any::<u32>(), 0..50), 2 * PROMPTS),
        kl in prop::collection::vec(prop::collection::vec(any::<f64>().prop_filter("comparable", |kl| !kl.is_nan()), 0..20), 0..4),
        reason in any::<String>(),
    ) {
        let (_folder, mut store) = store();
        let mut start = planned(50, None, &[(1, 10), (2, 20)]);
        start.settings = settings;
        start.prompts = texts.iter().map(|text| RoundPrompt { id: text.clone(), digest: text.clone(), text: text.clone() }).collect();
        let round = store.begin_round(&start, 7).unwrap();
        let sequences = tokens.chunks(2)
            .map(|pair| TokenRecord { prompt: pair[0].clone(), continuation: pair[1].clone() }).collect();
        let teacher = TeacherRecord { identity, sequences, cache_key: Some(reason.clone()) };
        store.record_teacher(round, &teacher).unwrap();
        let run = StudentRun::new(start.plan.id(), start.plan.students()[1].miner, StudentResult::Interrupted { reason });
        store.record_result(round, &run, &report, &kl, 8).unwrap();
        let open = store.open_round().unwrap().unwrap();
        prop_assert_eq!(&open.start, &start);
        prop_assert_eq!(open.teacher.as_ref(), Some(&teacher));
        let result = &open.results[&run.student];
        prop_assert_eq!(&result.run, &run);
        prop_assert_eq!(&result.details, &report);
        prop_assert_eq!(&result.positions_kl_nats, &kl);
        prop_assert_eq!(open.students_without_result().count(), 1);
    }

    #[test]
    fn numbers_beyond_the_file_are_an_error(commit_block in 1_u64 << 63..=u64::MAX) {
        let (_folder, mut store) = store();
        let miner = MinerKey::new(Hotkey::from_account_id([1; 32]), commit_block);
        let error = store.record_check(&miner, &crate::verdicts::waiting("")).unwrap_err();
        prop_assert!(matches!(error, StoreError::InvalidValue { .. }), "{}", error);
    }
}
