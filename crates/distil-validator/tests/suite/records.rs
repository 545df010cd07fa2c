//! Records: sound as they are written, and every changed byte of them is found.

use crate::world::{Dice, World};
use distil_eval::TokenSequence;
use distil_eval::record::{canonical_json, positions_table};
use distil_validator::record::{read, verify};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("every_changed_byte_of_a_record_is_found_and_named", every_changed_byte_of_a_record_is_found_and_named),
    ("a_record_forged_to_take_all_memory_is_refused", a_record_forged_to_take_all_memory_is_refused),
];

/// A round with a king, a challenger that is stopped early, one that wins and one that crashes.
fn record(world: &mut World) -> PathBuf {
    world.register([1, 2, 3, 4]);
    world.enter(1, 3000);
    let mut validator = world.validator();
    world.epoch(&mut validator);
    world.enter(2, 15_000);
    world.enter(3, 2000);
    let crashing = world.enter(4, 2500);
    world.fault(&crashing, "crash");
    world.epoch(&mut validator);
    let newest = validator.store().rounds(0, 1).unwrap().remove(0);
    world.root.path().join("records").join(newest.id.to_string())
}

fn copy(from: &Path, to: &Path) {
    for file in ["record.json", "positions.parquet"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a document with the digests that it has to have.
fn forge(folder: &Path, mut document: serde_json::Value, table: &[u8]) {
    document["positions_sha256"] = sha256(table).into();
    let parts = document.as_object_mut().unwrap();
    parts.remove("sections");
    let digest = |part| serde_json::Value::from(sha256(&canonical_json(part)));
    let sections = parts.iter().map(|(name, part)| (name.clone(), digest(part))).collect();
    parts.insert("sections".to_owned(), serde_json::Value::Object(sections));
    fs::write(folder.join("record.json"), canonical_json(&document)).unwrap();
    fs::write(folder.join("positions.parquet"), table).unwrap();
}

/// Every digest fits, and yet its table or its document would take what no record does.
fn a_record_forged_to_take_all_memory_is_refused() {
    let mut world = World::open();
    let folder = record(&mut world);
    let forged = world.root.path().join("forged");
    fs::create_dir_all(&forged).unwrap();
    let table = fs::read(folder.join("positions.parquet")).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("record.json")).unwrap()).unwrap();
    forge(&forged, document.clone(), &table);
    let (_, found) = verify(&forged).unwrap();
    assert!(found.is_sound(), "{:#?}", found.problems);
    let usual = "profile.kl_floor_nats";
    assert!(found.other_rules.iter().all(|rule| rule.place != usual), "{:?}", found.other_rules);

    let problems = |document: serde_json::Value, table: &[u8]| -> String {
        forge(&forged, document, table);
        let (_, found) = verify(&forged).unwrap();
        assert!(!found.is_sound());
        found.problems.iter().map(|problem| format!("{problem}\n")).collect()
    };
    // A hundred times the rows: one student after the other, again and again.
    let prompts: Vec<TokenSequence> = document["prompts"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(index, prompt)| {
            let tokens = |name: &str| serde_json::from_value::<Vec<u32>>(prompt[name].clone()).unwrap();
            TokenSequence::new(index, &tokens("prompt_tokens"), &tokens("continuation_tokens")).unwrap()
        })
        .collect();
    let sequences: Vec<&TokenSequence> = prompts.iter().collect();
    let zeros: Vec<Vec<f64>> = prompts.iter().map(|prompt| vec![0.0; prompt.continuation().len()]).collect();
    let many = positions_table(&vec![("nobody", zeros.as_slice()); 40], &sequences).unwrap();
    let found = problems(document.clone(), &many);
    assert!(found.contains("rows that it can have") || found.contains("cannot take"), "{found}");

    // As many students as fit into the document make room for no end of rows.
    let mut crowded = document.clone();
    let student = crowded["students"][0].clone();
    crowded["students"] = vec![student; 4000].into();
    let long = serde_json::json!(vec![1; 20_000]);
    crowded["prompts"][0]["continuation_tokens"] = long;
    let found = problems(crowded, &table);
    assert!(found.contains("are read at most"), "{found}");

    // Other rules than the subnet's are told.
    let mut other = document.clone();
    other["rules"]["win_margin"] = 0.5.into();
    forge(&forged, other, &table);
    let (_, found) = verify(&forged).unwrap();
    let places: Vec<&str> = found.other_rules.iter().map(|rule| rule.place.as_str()).collect();
    assert!(places.contains(&"rules.win_margin"), "{places:?}");

    fs::remove_file(forged.join("positions.parquet")).unwrap();
    let (_, found) = verify(&forged).unwrap();
    assert!(found.problems.iter().any(|problem| problem.to_string() == "positions.parquet: it is not there"));
    fs::write(forged.join("record.json"), vec![b' '; (32 << 20) + 1]).unwrap();
    let (record, found) = verify(&forged).unwrap();
    assert!(record.is_none() && found.problems[0].problem.contains("longer than"), "{:?}", found.problems);
}

fn every_changed_byte_of_a_record_is_found_and_named() {
    let mut world = World::open();
    let folder = record(&mut world);
    let (record, found) = verify(&folder).unwrap();
    assert!(found.is_sound(), "{:#?}", found.problems);
    let record = record.unwrap();
    assert_eq!(record.students.len(), 4);
    let kinds: Vec<String> =
        record.students.iter().map(|student| serde_json::to_value(&student.run.result).unwrap().to_string()).collect();
    assert!(kinds[1].contains("early_stopped") && kinds[3].contains("failed"), "{kinds:#?}");
    read(&folder).unwrap();

    let changed = world.root.path().join("changed");
    fs::create_dir_all(&changed).unwrap();
    copy(&folder, &changed);
    let json = fs::read(folder.join("record.json")).unwrap();
    let table = fs::read(folder.join("positions.parquet")).unwrap();
    let mut dice = Dice(5);
    let mut tried = 0;

    // Anywhere in the table.
    for _ in 0..150 {
        let mut bytes = table.clone();
        let at = dice.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 + dice.below(255) as u8;
        fs::write(changed.join("positions.parquet"), &bytes).unwrap();
        let (_, found) = verify(&changed).unwrap();
        let named = found.problems.iter().any(|problem| problem.place.starts_with("positions.parquet"));
        assert!(named, "byte {at} of positions.parquet: {:#?}", found.problems);
        tried += 1;
    }
    copy(&folder, &changed);

    // In each part of the document, and anywhere in it.
    let document: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let text = String::from_utf8(json.clone()).unwrap();
    let mut places: Vec<(Option<String>, usize)> = Vec::new();
    let mut at = 1;
    for (name, part) in document.as_object().unwrap() {
        // Canonical JSON is sorted, so parts follow one another as they are iterated.
        let head = format!("\"{name}\":");
        let start = at + text[at..].find(&head).unwrap() + head.len();
        let length = String::from_utf8(distil_eval::record::canonical_json(part)).unwrap().trim_end().len();
        at = start + length;
        for _ in 0..12 {
            places.push((Some(name.clone()), start + dice.below(length as u64) as usize));
        }
    }
    places.extend((0..150).map(|_| (None, dice.below(json.len() as u64) as usize)));
    for (part, at) in places {
        let mut bytes = json.clone();
        // Another printable character, so that the document often stays JSON.
        bytes[at] = loop {
            let byte = 0x20 + dice.below(0x5f) as u8;
            if byte != bytes[at] {
                break byte;
            }
        };
        fs::write(changed.join("record.json"), &bytes).unwrap();
        let (_, found) = verify(&changed).unwrap();
        assert!(!found.is_sound(), "byte {at} of record.json ({part:?}) is {:?}", bytes[at] as char);
        read(&changed).unwrap_err();
        if let Some(part) = part
            && let Ok(value) = serde_json::from_slice::<serde_json::Value>(&bytes)
            && value.as_object().unwrap().keys().eq(document.as_object().unwrap().keys())
        {
            // A changed digest is told of at the part that it is of.
            let is_digest = part == "sections";
            let named = is_digest || found.problems.iter().any(|problem| problem.place.contains(part.as_str()));
            assert!(named, "byte {at} in {part}: {:#?}", found.problems);
        }
        tried += 1;
    }
    assert!(tried >= 400, "{tried}");
}
