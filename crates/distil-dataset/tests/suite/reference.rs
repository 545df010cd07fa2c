//! The original's sampler, against what CPython drew.

use crate::common::{draw, text};
use distil_dataset::{DatasetError, Sampler};
use serde::Deserialize;
use std::fs;

#[derive(Deserialize)]
struct Vectors {
    samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    seed: u64,
    pool: u64,
    count: usize,
    places: Vec<u64>,
}

#[test]
fn samples_of_a_file_are_those_of_cpython() {
    let vectors: Vectors = serde_json::from_str(include_str!("../../vectors/cpython_sample.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for pool in [40, 276, 277, 278, 500] {
        let texts: Vec<String> = (0..pool).map(|number| text(number, 20 + number as usize % 40 * 30)).collect();
        let path = folder.path().join(format!("{pool}.json"));
        fs::write(&path, serde_json::to_vec(&texts).unwrap()).unwrap();
        for sample in vectors.samples.iter().filter(|sample| sample.pool == pool && sample.count == 40) {
            let drawn = draw(&path, sample.seed, 40, Sampler::Reference).unwrap();
            assert_eq!(drawn.seed, sample.seed.to_string());
            for (prompt, place) in drawn.prompts.iter().zip(&sample.places) {
                assert_eq!(prompt.id, format!("{pool}.json#{place}"));
                assert!(texts[*place as usize].starts_with(&prompt.text));
            }
            compared += 1;
        }
    }
    assert!(compared >= 50, "{compared}");
}

#[test]
fn a_pool_that_is_too_small_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    fs::write(&path, r#"["a", "b"]"#).unwrap();
    let error = draw(&path, 1, 3, Sampler::Reference).unwrap_err();
    assert!(matches!(error, DatasetError::PoolTooSmall { pool: 2, wanted: 3 }), "{error}");
}
