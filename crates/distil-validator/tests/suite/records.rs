//! Records: sound as they are written, and every changed byte of them is found.

use crate::world::{Dice, World};
use distil_validator::record::{read, verify};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) const TESTS: &[(&str, fn())] =
    &[("every_changed_byte_of_a_record_is_found_and_named", every_changed_byte_of_a_record_is_found_and_named)];

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
