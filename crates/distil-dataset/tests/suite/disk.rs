//! Folders, files, requests, and what does not depend on the number of threads.

use crate::common::{Layout, draw, open, request, text, texts, threads, write_parquet};
use distil_dataset::{DatasetError, Sampler};
use std::{fs, sync::Mutex};

#[test]
fn the_same_prompts_come_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..6u64 {
        fs::create_dir_all(folder.path().join(format!("dump-{}", number % 2))).unwrap();
        let name = format!("dump-{}/train-{number}.parquet", number % 2);
        let mut rows = texts(number * 1000..number * 1000 + 120 + number * 30, 300);
        rows.iter_mut().step_by(3).for_each(|row| *row = Some("short".to_owned()));
        write_parquet(&folder.path().join(name), &rows, &Layout { rows_per_group: 50, ..Layout::default() });
    }
    let corpus = open(folder.path()).unwrap();
    assert_eq!(corpus.file_count(), 6);
    let one = corpus.draw(&request(1, 40, Sampler::Distil), threads(1), &|_| {}).unwrap();
    for count in [2, 8, 64] {
        // The traffic too: nothing is fetched on suspicion.
        assert_eq!(corpus.draw(&request(1, 40, Sampler::Distil), threads(count), &|_| {}).unwrap(), one);
    }
    assert!(one.passed_over.too_short > 5);
    let other = corpus.draw(&request(2, 40, Sampler::Distil), threads(2), &|_| {}).unwrap();
    assert_ne!(other.prompts, one.prompts);
    // More prompts of the same block begin with the same ones.
    let fewer = corpus.draw(&request(1, 25, Sampler::Distil), threads(2), &|_| {}).unwrap();
    assert_eq!(fewer.prompts, one.prompts[..25]);
}

#[test]
fn a_draw_tells_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    write_parquet(&folder.path().join("a.parquet"), &texts(0..300, 300), &Layout::default());
    let told = Mutex::new(Vec::new());
    let corpus = open(folder.path()).unwrap();
    corpus.draw(&request(1, 10, Sampler::Distil), threads(3), &|progress| told.lock().unwrap().push(progress)).unwrap();
    let told = told.into_inner().unwrap();
    let last = told.last().unwrap();
    assert_eq!((last.accepted, last.wanted), (10, 10));
    assert!(told.len() > 2 && last.bytes_read > 0);
}

#[test]
fn all_documents_of_a_small_corpus_are_found() {
    let folder = tempfile::tempdir().unwrap();
    write_parquet(&folder.path().join("a.parquet"), &texts(0..40, 300), &Layout::default());
    assert_eq!(draw(folder.path(), 9, 40, Sampler::Distil).unwrap().prompts.len(), 40);
    match draw(folder.path(), 9, 41, Sampler::Distil).unwrap_err() {
        DatasetError::TooFewDocuments { accepted: 40, wanted: 41, repeated, tries, .. } => {
            assert_eq!(repeated + 40, tries);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn c6_no_prompts_are_an_error_and_never_an_empty_list() {
    let folder = tempfile::tempdir().unwrap();
    let short = vec![Some("too short"); 50];
    write_parquet(&folder.path().join("a.parquet"), &short, &Layout::default());
    let error = draw(folder.path(), 1, 40, Sampler::Distil).unwrap_err();
    assert!(matches!(error, DatasetError::TooFewDocuments { accepted: 0, too_short: 50, .. }), "{error}");
}

#[test]
fn a_folder_gives_one_kind_of_files_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("b")).unwrap();
    fs::create_dir(at(".hidden")).unwrap();
    for name in ["b/x.txt", "a.txt", "b.txt", ".hidden/y.txt", ".z.txt", "README.md"] {
        fs::write(at(name), text(1, 300)).unwrap();
    }
    fs::write(at("list.json"), "[]").unwrap();
    let ids = |sampler| {
        let mut ids: Vec<String> =
            draw(folder.path(), 1, 3, sampler).unwrap().prompts.into_iter().map(|prompt| prompt.id).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(Sampler::Distil), ["a.txt", "b.txt", "b/x.txt"]);
    assert_eq!(ids(Sampler::Reference), ["a.txt", "b.txt", "b/x.txt"]);
    // Lines of JSON go before text, parquet before all.
    fs::write(at("c.jsonl"), format!("{}\n", serde_json::json!(text(2, 300))).repeat(3)).unwrap();
    assert!(ids(Sampler::Distil).iter().all(|id| id.starts_with("c.jsonl#L")));
    write_parquet(&at("d.parquet"), &texts(0..5, 300), &Layout::default());
    assert!(ids(Sampler::Distil).iter().all(|id| id.starts_with("d.parquet#rg0:r")));
}

#[test]
fn what_can_not_be_drawn_from_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &str| open(&folder.path().join(path)).unwrap_err().to_string();
    assert!(message("absent").contains("absent"));
    assert!(message("").contains("no documents"));
    fs::write(folder.path().join("a.csv"), "x").unwrap();
    assert!(message("a.csv").contains("none of .parquet, .jsonl, .json and .txt"));
    fs::write(folder.path().join("empty.txt"), "").unwrap();
    assert!(message("empty.txt").contains("no documents"));

    write_parquet(&folder.path().join("a.parquet"), &texts(0..9, 300), &Layout::default());
    let none = draw(folder.path(), 1, 0, Sampler::Distil).unwrap_err();
    assert!(none.to_string().contains("count is 0"), "{none}");
    assert!(!none.is_transient());
}

#[test]
fn a_file_that_changed_since_it_was_listed_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write_parquet(&path, &texts(0..9, 300), &Layout::default());
    let corpus = open(folder.path()).unwrap();
    write_parquet(&path, &texts(0..12, 300), &Layout::default());
    let error = corpus.draw(&request(1, 2, Sampler::Distil), threads(1), &|_| {}).unwrap_err();
    assert!(matches!(error, DatasetError::Changed { .. }), "{error}");
}
