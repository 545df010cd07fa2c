//! Lines, paragraphs, lists.

use crate::common::{draw, text};
use distil_dataset::{DatasetError, Sampler};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path)
}

/// All documents by the reference sampler, sorted by id.
fn all(path: &std::path::Path, count: usize) -> Vec<(String, String)> {
    let drawn = draw(path, 1, count, Sampler::Reference).unwrap();
    let mut all: Vec<_> = drawn.prompts.into_iter().map(|prompt| (prompt.id, prompt.text)).collect();
    all.sort();
    all
}

fn pair(id: &str, text: &str) -> (String, String) {
    (id.to_owned(), text.to_owned())
}

#[test]
fn lines_of_json_are_strings_or_objects_with_text() {
    let (_folder, path) =
        file("a.jsonl", "\"one\"\r\n\n{\"id\": 7, \"text\": \"tw\\u00f6\"}\n   \n{\"text\":\"three\"}");
    assert_eq!(all(&path, 3), [pair("a.jsonl#L1", "one"), pair("a.jsonl#L3", "twö"), pair("a.jsonl#L5", "three")]);
}

#[test]
fn a_list_in_json_is_strings_or_objects_with_text() {
    let (_folder, path) = file("a.json", r#"["one", {"text": "two", "n": [1]}]"#);
    assert_eq!(all(&path, 2), [pair("a.json#0", "one"), pair("a.json#1", "two")]);
}

#[test]
fn paragraphs_end_at_blank_lines() {
    let (_folder, path) = file("a.txt", "\n\none\nand more\n \t\r\ntwo\r\n\r\n\n\nthree");
    assert_eq!(all(&path, 3), [pair("a.txt#P1", "one\nand more"), pair("a.txt#P2", "two"), pair("a.txt#P3", "three")]);
}

#[test]
fn nulls_and_broken_bytes_are_passed_over_by_distil_only() {
    let long = serde_json::json!(text(1, 300)).to_string();
    let (_folder, path) = file("a.json", format!("[null, {long}, {{\"text\": null}}]"));
    let drawn = draw(&path, 1, 1, Sampler::Distil).unwrap();
    assert_eq!(drawn.prompts[0].id, "a.json#1");
    let error = draw(&path, 1, 3, Sampler::Reference).unwrap_err();
    assert!(matches!(error, DatasetError::Document { .. }), "{error}");

    let mut content = vec![0xff; 300];
    content.extend(format!("\n\n{}", text(2, 300)).into_bytes());
    let (_folder, path) = file("a.txt", content);
    let drawn = draw(&path, 1, 1, Sampler::Distil).unwrap();
    assert_eq!(drawn.prompts[0].id, "a.txt#P2");
}

#[test]
fn what_is_not_as_it_should_be_is_named_with_its_place() {
    let message = |name: &str, content: &str| {
        let (_folder, path) = file(name, content);
        draw(&path, 1, 1, Sampler::Distil).unwrap_err().to_string()
    };
    assert!(message("a.jsonl", "\n{\"txt\": \"x\"}").contains("a.jsonl#L2: a string, or an object"));
    assert!(message("a.jsonl", "7").contains("a.jsonl#L1: a string, or an object"));
    assert!(message("a.jsonl", "{\"text\": \"a\"").contains("a.jsonl#L1: it is not valid JSON"));
    assert!(message("a.json", "{\"text\": \"a\"}").contains("a.json: a list is needed"));
    assert!(message("a.json", "[{\"txt\": \"a\"}]").contains("a string, or an object"));
    assert!(message("a.json", "[\"a\"").contains("a.json: it is not valid JSON"));
    assert!(message("a.json", "[]").contains("only 0 of 1 prompts"));
}

#[test]
fn lines_longer_than_a_block_are_whole() {
    let long = text(5, 3 << 20);
    let (_folder, path) =
        file("a.jsonl", format!("{}\n{}\n", serde_json::json!(text(1, 300)), serde_json::json!(long)));
    let read = all(&path, 2);
    assert_eq!(read[1].0, "a.jsonl#L2");
    assert!(read[1].1.len() > 200 && long.starts_with(&read[1].1));
}
