//! `distil status` and `distil state`: what an operator sees and does.

use serde_json::json;

use crate::common::{Place, ended};

const HOTKEY: &str = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV";

#[test]
fn a_state_is_imported_shown_and_mended() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("old")).expect("a folder");
    let disqualified = json!({ format!("{HOTKEY}:7854373"): "copy: functional copy of lab/x (UID 179)", "28": "copy" });
    place.write("old/disqualified.json", &disqualified.to_string());
    place.write("old/scores.json", "{\"174\": 0.097231, \"18\": NaN}");
    place.write("old/last_eval.json", "");

    let dry = place.run(&["state", "import", "old", "--state", "new", "--dry-run", "--format=json"]).expect_code(0);
    let document = dry.json();
    assert_eq!((document["dry_run"].clone(), document["placed"].clone()), (json!(true), json!(3)));
    assert!(!place.path("new").exists(), "a dry run makes nothing");
    place.run(&["status", "--state", "new"]).expect_code(2).expect_error(&["new holds no state"]);

    let run = place.run(&["state", "import", "old", "--state", "new"]).expect_code(0);
    for part in ["3 placed, 0 there already, 3 left out", "last_eval.json", "it is empty", "a seat changes hands"] {
        assert!(run.stdout.contains(part), "{part}:\n{}", run.stdout);
    }
    let again = place.run(&["state", "import", "old", "--state", "new"]).expect_code(0);
    assert!(again.stdout.contains("0 placed, 3 there already, 3 left out"), "{}", again.stdout);

    let status = place.run(&["status", "--state", "new"]).expect_code(0);
    assert!(status.stdout.contains("the throne is vacant") && status.stdout.contains("2 items"), "{}", status.stdout);
    assert!(status.stdout.contains("COPY") && status.stdout.contains(HOTKEY), "{}", status.stdout);
    place.write("distil.toml", "[validate]\nstate = \"new\"\n");
    let status = place.run(&["status", "--format=json"]).expect_code(0);
    assert_eq!(status.json()["king"], json!(null));

    let miner = format!("{HOTKEY}@7854373");
    let lifted = place.run(&["state", "lift", &miner, "--reason", "it was no copy"]).expect_code(0);
    assert!(lifted.stdout.contains(&miner), "{}", lifted.stdout);
    place
        .run(&["state", "lift", &miner, "--reason", "x"])
        .expect_code(2)
        .expect_error(&["no disqualification of", "hint"]);
    place.run(&["state", "lift", HOTKEY, "--reason", "x"]).expect_code(2).expect_error(&["hotkey@block"]);
}

#[test]
fn a_state_that_cannot_be_used_is_told() {
    let place = Place::new();
    place.run(&["status"]).expect_code(2).expect_error(&[
        "no folder of a validator's state",
        "--state",
        "DISTIL_STATE",
    ]);
    std::fs::create_dir_all(place.path("bad")).expect("a folder");
    place.write("bad/distil.sqlite", "{\"not\": \"a store\"}");
    let mut command = place.distil();
    command.arg("status").env("DISTIL_STATE", "bad");
    ended(&mut command).expect_code(2).expect_error(&["distil.sqlite", "not a store"]);
    place.run(&["state", "import", "none", "--state", "new"]).expect_code(2).expect_error(&["none cannot be opened"]);
    place.run(&["state", "lift", &format!("{HOTKEY}@1"), "--reason", "x", "--state", "nowhere"]).expect_code(2);
    assert!(!place.path("nowhere").exists(), "nothing is made in passing");
}
