//! The original's `state/*.json`.

use std::fs;
use std::path::Path;

use distil_scoring::DisqualificationCode;
use distil_store::{ImportOptions, ImportOutcome, ImportReport, Store, preview_import};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::{commitment, hotkey, key};

/// A folder as the original left them, names and keys of all its eras.
fn write_state(folder: &Path) {
    let ours = |number: u64, block: u64| {
        let commitment = commitment(number);
        json!({ "block": block, "model": commitment.model, "revision": commitment.revision })
    };
    let write = |name: &str, content: &str| fs::write(folder.join(name), content).unwrap();
    fs::create_dir_all(folder.join("api_cache")).unwrap();
    fs::create_dir_all(folder.join("prompt_cache")).unwrap();
    let commitments = json!({
        hotkey(1).to_string(): ours(1, 7_854_397),
        hotkey(2).to_string(): ours(2, 7_857_161),
        hotkey(3).to_string(): ours(3, 7_860_000),
    });
    write("api_cache/commitments.json", &json!({ "commitments": commitments, "count": 3 }).to_string());
    let neurons = json!([{ "uid": 28, "hotkey": hotkey(1) }, { "uid": 248, "hotkey": hotkey(9) }]);
    write("api_cache/metagraph.json", &json!({ "neurons": neurons, "n": 2 }).to_string());
    write("prompt_cache/HuggingFaceFW_fineweb_500.json", "[\"a text\"]");
    let copy =
        |block: u64| format!("copy: identical weights to UID 174 (lab/first), committed later at block {block} vs 1");
    let disqualified = json!({
        // Of a seat: proven by block and seat; the seat has another now; no block is named.
        "28": copy(7_854_397),
        "248": copy(7_857_161),
        "203": "copy: identical weights to UID 179 (lab/x), committed later",
        // Of a hotkey: proven; not proven; contradicted.
        hotkey(2).to_string(): "copy: identical weights to UID 179 (lab/x), committed later",
        hotkey(5).to_string(): "copy: identical weights to UID 179 (lab/x), committed later",
        hotkey(3).to_string(): copy(5),
        // Of a hotkey and a block.
        format!("{}:7854373", hotkey(6)): "copy: functional copy of lab/x (UID 179)",
        format!("{}:7863480", hotkey(7)): "fraud: fake 1.3KB model file",
        format!("{}:7858331", hotkey(8)): "integrity: Model lab/y no longer exists on HuggingFace (404)",
        format!("{}:7871137", hotkey(9)): "arch: check_failed:429 Too Many Requests",
        format!("{}:7859269", hotkey(10)): "arch: Chat template modified from reference",
        format!("{}:+1", hotkey(11)): "copy: x",
        "flag:hf:lebron": "Associated with a key",
        "\u{1b}[31m": "copy: x",
        "7": 3,
    });
    write("disqualified.json", &disqualified.to_string());
    write("scores.json", "{\"174\": 0.097231, \"18\": NaN, \"41\": Infinity}");
    write(
        "score_history.json",
        &json!([{ "block": 7_854_414, "scores": { "174": 0.1 }, "king_uid": 174 }]).to_string(),
    );
    write("h2h_latest.json", &json!({ "block": 7_900_000, "king_uid": 28 }).to_string());
    write(
        "model_hashes.json",
        &json!({ "28": "26a93f066e1916adb13453dae5a0c707c0fbc71299ed98779571a907b8e74c61" }).to_string(),
    );
    write("failures.json", "{\"158\": 3}");
    write("evaluated_uids.json", "[\"28\", \"248\"]");
    write("last_eval.json", "");
    write("announcement.json", "{\"type\": \"new_king\", \"posted\": tr");
    write("notes.txt", "not ours");
    write("other.json", "{}");
}

fn outcome<'a>(report: &'a ImportReport, file: &str, key: &str) -> &'a ImportOutcome {
    let found: Vec<_> = report.entries.iter().filter(|entry| entry.file == file && entry.key == key).collect();
    assert_eq!(found.len(), 1, "{file} {key}: {found:?}");
    &found[0].outcome
}

fn left_out(report: &ImportReport, file: &str, key: &str, why: &str) {
    let ImportOutcome::NotPlaced { reason } = outcome(report, file, key) else { panic!("{file} {key} was placed") };
    assert!(reason.contains(why), "{file} {key}: {reason}");
}

#[test]
fn b2_state_by_seat_is_taken_only_with_proof() {
    let (state, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_state(from.path());
    let mut store = Store::open(state.path()).unwrap();
    let report = store.import_legacy(from.path(), &ImportOptions::default(), 1).unwrap();
    let file = "disqualified.json";
    let disqualified = store.disqualifications().unwrap();
    let mut miners: Vec<_> = disqualified.keys().copied().collect();
    miners.sort();
    let mut expected = vec![key(1, 7_854_397), key(2, 7_857_161), key(6, 7_854_373), key(7, 7_863_480)];
    expected.sort();
    assert_eq!(miners, expected);
    assert_eq!(disqualified[&key(7, 7_863_480)].disqualification.code, DisqualificationCode::Invalid);
    assert!(matches!(outcome(&report, file, "28"), ImportOutcome::Placed { .. }));
    left_out(&report, file, "248", "a seat changes hands");
    left_out(&report, file, "203", "a seat changes hands");
    left_out(&report, file, &hotkey(5).to_string(), "no file shows");
    left_out(&report, file, &hotkey(3).to_string(), "its reason names block 5");
    // s0_7, c1, c2: what may have been the network's fault is not carried over.
    left_out(&report, file, &format!("{}:7858331", hotkey(8)), "no proof");
    left_out(&report, file, &format!("{}:7871137", hotkey(9)), "network's fault");
    left_out(&report, file, &format!("{}:7859269", hotkey(10)), "chat template");
    left_out(&report, file, &format!("{}:+1", hotkey(11)), "no number");
    left_out(&report, file, "flag:hf:lebron", "nothing ties");
    left_out(&report, file, " [31m", "neither a seat nor a hotkey");
    left_out(&report, file, "7", "not a text");
    // d16: damaged files are entries of the report.
    left_out(&report, "last_eval.json", "", "empty");
    left_out(&report, "announcement.json", "", "not JSON");
    left_out(&report, "notes.txt", "", "not a .json file");
    left_out(&report, "other.json", "", "none of the files");
    left_out(&report, "prompt_cache/HuggingFaceFW_fineweb_500.json", "", "drawn anew");
    // a8: hashes of first files are not digests of all tensors.
    left_out(&report, "model_hashes.json", "28", "digest");
    // d6: scores are history; nothing is evaluated, nobody reigns, no failure counts.
    left_out(&report, "scores.json", "", "2 numbers that are NaN or infinite");
    assert!(matches!(outcome(&report, "scores.json", "18"), ImportOutcome::Placed { .. }));
    let items = store.imported_items(0, 100).unwrap();
    let nan = items.iter().find(|item| item.file == "scores.json" && item.key == "18").unwrap();
    assert_eq!(nan.document, Value::Null);
    assert!(store.king().unwrap().is_none() && store.king_history(0, 9).unwrap().is_empty());
    assert!(store.evaluations().unwrap().is_empty() && store.failures().unwrap().is_empty());
    assert!(store.rounds(0, 9).unwrap().is_empty());
    assert!(report.entries.iter().all(|entry| !format!("{}{}", entry.file, entry.key).contains('\u{1b}')));
}

#[test]
fn importing_twice_changes_nothing_and_a_dry_run_nothing_at_all() {
    let (state, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_state(from.path());
    let options = ImportOptions::default();
    let place = state.path().join("not-there");
    let preview = preview_import(&place, from.path(), &options).unwrap();
    assert!(!place.exists(), "a dry run makes no folder");
    let mut store = Store::open(&place).unwrap();
    assert_eq!(preview_import(&place, from.path(), &options).unwrap(), preview);
    assert!(store.imported_items(0, 9).unwrap().is_empty() && store.disqualifications().unwrap().is_empty());
    let first = store.import_legacy(from.path(), &options, 1).unwrap();
    assert_eq!(first, preview);
    // A lifted one is not brought back.
    store.lift_disqualification(&key(7, 7_863_480), "it was no fraud", 2).unwrap();
    let items = store.imported_items(0, 1000).unwrap();
    let second = store.import_legacy(from.path(), &options, 3).unwrap();
    let (placed, there, left) = first.counts();
    assert!(placed > 8);
    assert_eq!(second.counts(), (0, placed + there, left));
    assert_eq!(preview_import(&place, from.path(), &options).unwrap(), second);
    assert_eq!(store.imported_items(0, 1000).unwrap(), items);
    assert_eq!(store.disqualifications().unwrap().len(), 3);
}

#[test]
fn s0_1_a_king_comes_in_only_at_the_operators_word_and_with_its_commitment() {
    let (state, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_state(from.path());
    let mut store = Store::open(state.path()).unwrap();
    let king = |number, block| ImportOptions { king: Some(key(number, block)) };
    for (number, block, why) in [(3, 7, "in block 7860000"), (5, 7, "no commitment"), (1, 7_854_397, "disqualified")] {
        let report = store.import_legacy(from.path(), &king(number, block), 1).unwrap();
        left_out(&report, "", &key(number, block).to_string(), why);
        assert!(store.king().unwrap().is_none());
    }
    store.import_legacy(from.path(), &king(3, 7_860_000), 1).unwrap();
    let reign = store.king().unwrap().unwrap();
    assert_eq!((reign.king.miner, &reign.king.commitment), (key(3, 7_860_000), &commitment(3)));
    assert_eq!(reign.king.kl_nats, None, "no old score comes with the crown");
    let again = store.import_legacy(from.path(), &king(3, 7_860_000), 2).unwrap();
    assert!(matches!(outcome(&again, "", &key(3, 7_860_000).to_string()), ImportOutcome::AlreadyThere { .. }));
    let other = store.import_legacy(from.path(), &king(2, 7_857_161), 2).unwrap();
    left_out(&other, "", &key(2, 7_857_161).to_string(), "a king of its own");
    assert_eq!(store.king_history(0, 9).unwrap().len(), 1);
}

#[test]
fn what_is_no_plain_file_is_left_alone() {
    let from = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/zero", from.path().join("scores.json")).unwrap();
    fs::create_dir(from.path().join("disqualified.json")).unwrap();
    // Larger than anything that is read, without taking the space.
    fs::File::create(from.path().join("last_eval.json")).unwrap().set_len(1 << 40).unwrap();
    let report = preview_import(state.path(), from.path(), &ImportOptions::default()).unwrap();
    left_out(&report, "scores.json", "", "not a plain file");
    left_out(&report, "disqualified.json", "", "folder");
    left_out(&report, "last_eval.json", "", "larger than");
    let error = preview_import(state.path(), &from.path().join("none"), &ImportOptions::default()).unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
}

/// JSON of any shape.
fn shapes() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![any::<String>(), Just("copy: committed later at block 10 vs 1".to_owned())].prop_map(Value::from),
    ];
    let names = prop_oneof![
        any::<String>(),
        Just("1".to_owned()),
        Just("block".to_owned()),
        Just("commitments".to_owned()),
        Just("neurons".to_owned()),
        Just(hotkey(1).to_string()),
        Just(format!("{}:10", hotkey(1))),
    ];
    leaf.prop_recursive(3, 20, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn files_of_any_shape_are_placed_or_told_and_nobody_else_is_disqualified(
        documents in prop::collection::vec(shapes(), 8),
    ) {
        let (state, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let names = ["disqualified.json", "scores.json", "commitments.json", "metagraph.json", "h2h_history.json",
            "failures.json", "evaluated_uids.json", "model_hashes.json"];
        for (name, document) in names.iter().zip(&documents) {
            fs::write(from.path().join(name), document.to_string()).unwrap();
        }
        let mut store = Store::open(state.path()).unwrap();
        let report = store.import_legacy(from.path(), &ImportOptions::default(), 1).unwrap();
        for entry in &report.entries {
            prop_assert!(!entry.key.chars().any(char::is_control) && entry.key.chars().count() <= 201);
        }
        for miner in store.disqualifications().unwrap().keys() {
            prop_assert_eq!(miner.hotkey, hotkey(1));
        }
        prop_assert!(store.king().unwrap().is_none() && store.evaluations().unwrap().is_empty());
        let (placed, there, left) = report.counts();
        let again = store.import_legacy(from.path(), &ImportOptions::default(), 2).unwrap();
        prop_assert_eq!(again.counts(), (0, placed + there, left));
    }
}
