//! `distil demo`, and what it leaves: records for `distil verify`, a state for `distil status`.

use std::fs;
use std::path::{Path, PathBuf};

use distil_devhub::{DevHub, RepoKind};
use serde_json::{Value, json};

use crate::common::{Ended, Place, ended};

/// The records of a demo, by round.
fn records(out: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u64, PathBuf)> = fs::read_dir(out.join("state/records"))
        .expect("a folder of records")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name.split('-').next().expect("a block").parse().expect("a number"), path)
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn verify(place: &Place, record: &Path, arguments: &[&str]) -> Ended {
    ended(place.distil().args(["verify", "--format", "json"]).arg(record).args(arguments))
}

fn problems(document: &Value) -> Vec<String> {
    let list = document["problems"].as_array().expect("a list");
    list.iter().map(|problem| problem["place"].as_str().expect("a place").to_owned()).collect()
}

fn changed(place: &Place, record: &Path, name: &str, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let copy = place.path(name);
    fs::create_dir(&copy).expect("a folder");
    for part in ["record.json", "positions.parquet"] {
        fs::copy(record.join(part), copy.join(part)).expect("a copy of the record");
    }
    let mut bytes = fs::read(copy.join(file)).expect("a file of the record");
    change(&mut bytes);
    fs::write(copy.join(file), bytes).expect("a changed file");
    copy
}

/// One demo serves all that is looked at here: it runs eight processes.
#[test]
fn s0_15_the_first_command_of_the_readme_crowns_dethrones_and_leaves_what_can_be_verified() {
    let place = Place::new();
    let out = place.path("demo");
    let demo = ended(place.distil().args(["demo", "--format", "json", "--out", "demo"])).expect_code(0);
    for part in ["Starbuck is the first king", "Queequeg dethrones Starbuck", "All weight goes to Queequeg"] {
        assert!(demo.stderr.contains(part), "{part:?} is not in\n{}", demo.stderr);
    }
    let page = demo.json();
    assert_eq!(page["king"]["name"], "Queequeg");
    let verdicts = |round: usize| -> Vec<(String, String)> {
        let students = page["rounds"][round]["students"].as_array().expect("students");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        // By name: which prompts are drawn, and so who has the lower of two close scores, hangs on the block.
        let mut said: Vec<_> =
            students.iter().map(|student| (text(&student["name"]), text(&student["verdict"]))).collect();
        said.sort();
        said
    };
    let said = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, verdict)| ((*name).to_owned(), (*verdict).to_owned())).collect()
    };
    assert_eq!(verdicts(0), said(&[("Fedallah", "copy"), ("Flask", "beats_king"), ("Starbuck", "beats_king")]));
    assert_eq!(verdicts(1), said(&[("Queequeg", "beats_king"), ("Starbuck", "dethroned")]));
    let out_for_good: Vec<(&Value, &Value)> =
        page["disqualified"].as_array().expect("a list").iter().map(|out| (&out["name"], &out["code"])).collect();
    assert_eq!(
        out_for_good,
        [
            (&json!("Stubb"), &json!("COPY")),
            (&json!("Fedallah"), &json!("COPY")),
            (&json!("Bildad"), &json!("INVALID"))
        ]
    );
    // The king's seat has all the weight on the chain.
    assert_eq!(page["weights_on_chain"], json!([[page["weights_uid"], 65535]]));

    let status = ended(place.distil().args(["status", "--state", "demo/state", "--format", "json"])).expect_code(0);
    assert_eq!(status.json()["king"]["king"]["commitment"]["model"], "queequeg/coffin");

    let records = records(&out);
    assert_eq!(records.len(), 2);
    for record in &records {
        let document = verify(&place, record, &[]).expect_code(0).json();
        assert_eq!(problems(&document), Vec::<String>::new());
        // Its prompts are from a file of the host, and its rules are the subnet's.
        assert_eq!(document["not_checked"][0]["place"], "prompts");
        assert_eq!(document["other_rules"], json!([]));
        let text = fs::read_to_string(record.join("record.json")).expect("the record");
        assert!(!text.contains(&*out.to_string_lossy()), "a record names no place of the host");
    }

    // The prompts follow from the block's hash; another source gives others.
    let source = out.join("prompts.json");
    let drawn = verify(&place, &records[1], &["--source", source.to_str().expect("text")]).expect_code(0).json();
    assert!(drawn["checked"].to_string().contains("draws from the source"));
    let texts: Vec<String> = serde_json::from_slice(&fs::read(&source).expect("prompts")).expect("a list of strings");
    let turned: Vec<&String> = texts.iter().rev().collect();
    let other = place.write("other.json", &json!(turned).to_string());
    let document = verify(&place, &records[1], &["--source", other.to_str().expect("text")]).expect_code(1).json();
    assert!(problems(&document).iter().any(|place| place.starts_with("prompts[")), "{document}");

    // A changed number is found, and so is a changed byte of the table.
    let bad = changed(&place, &records[1], "changed", "record.json", |bytes| {
        let mean = b"\"mean\":0.";
        let start = bytes.windows(mean.len()).position(|part| part == mean).expect("a mean") + mean.len();
        bytes[start] = if bytes[start] == b'9' { b'8' } else { bytes[start] + 1 };
    });
    let document = verify(&place, &bad, &[]).expect_code(1).json();
    let places = problems(&document);
    assert!(places.contains(&"students".to_owned()), "{places:?}");
    assert!(places.iter().any(|place| place.ends_with(".mean")), "{places:?}");
    let bad = changed(&place, &records[1], "table", "positions.parquet", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let document = verify(&place, &bad, &[]).expect_code(1).json();
    assert!(problems(&document).contains(&"positions.parquet".to_owned()), "{document}");

    // The same folders give the same commits, so another hub has the very models.
    let hub = DevHub::start().expect("a server on loopback");
    for repo in ["pequod/teacher", "starbuck/harpoon", "queequeg/coffin"] {
        hub.publish(RepoKind::Model, repo, &out.join("models").join(repo)).expect("a model to serve");
    }
    let mut again = place.distil_with(&hub);
    again.args(["verify", "--format", "json", "--rescore"]).arg(&records[1]);
    let document = ended(&mut again).expect_code(0).json();
    for checked in ["the models give the recorded scores", "the files that are loaded are those recorded"] {
        assert!(document["checked"].to_string().contains(checked), "{document}");
    }
    // A command that is no worker says nothing of the record.
    let mut again = place.distil_with(&hub);
    again.args(["verify", "--rescore", "--worker", "echo nonsense"]).arg(&records[1]);
    ended(&mut again).expect_code(3);

    // A folder that is in use is not touched.
    ended(place.distil().args(["demo", "--out", "demo"])).expect_code(2).expect_error(&["not an empty folder"]);
}
