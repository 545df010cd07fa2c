//! The published test vectors of the sampling, made by other code.

use crate::common::{open, threads};
use distil_dataset::{DrawRequest, Sampler, Seed};
use distil_types::{BlockHash, BlockRef, NetUid};
use serde::Deserialize;
use std::{collections::BTreeMap, fs};

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    netuid: u16,
    block: u64,
    block_hash: BlockHash,
    seed: String,
    bounds: Vec<u64>,
    tries: Vec<Try>,
    file_sizes: Vec<u64>,
    places: Vec<(usize, u64)>,
}

#[derive(Deserialize)]
struct Try {
    r#try: u64,
    /// Numbers below each of the bounds, three times over.
    below: Vec<u64>,
}

#[test]
fn seeds_and_numbers_are_those_of_the_published_vectors() {
    let vectors: Vectors = serde_json::from_str(include_str!("../../vectors/distil_sampling.json")).unwrap();
    assert_eq!(vectors.cases.len(), 5);
    for case in vectors.cases {
        let block = BlockRef { number: case.block, hash: case.block_hash };
        let seed = Seed::of_block(NetUid(case.netuid), block);
        assert_eq!(seed.to_string(), case.seed);
        assert_eq!(case.tries.len(), 7);
        for tried in case.tries {
            let mut numbers = seed.try_numbers(tried.r#try);
            assert_eq!(tried.below.len(), 3 * case.bounds.len());
            for (bound, expected) in case.bounds.iter().cycle().zip(tried.below) {
                assert_eq!(numbers.below(*bound), expected, "try {}, below {bound}", tried.r#try);
            }
        }
        // What the sampler does with them: a file in proportion to its size, then a row of it.
        for (number, (file, row)) in case.places.iter().enumerate() {
            let mut numbers = seed.try_numbers(number as u64);
            let mut place = numbers.below(case.file_sizes.iter().sum());
            let mut found = 0;
            while place >= case.file_sizes[found] {
                place -= case.file_sizes[found];
                found += 1;
            }
            let rows = case.file_sizes[found].saturating_sub(1).max(1);
            assert_eq!((found, numbers.below(rows)), (*file, *row));
        }
    }
}

#[derive(Deserialize)]
struct Draws {
    files: BTreeMap<String, String>,
    cases: Vec<ExpectedDraw>,
}

#[derive(Deserialize)]
struct ExpectedDraw {
    block: u64,
    block_hash: BlockHash,
    count: usize,
    prompts: Vec<ExpectedPrompt>,
    passed_over: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct ExpectedPrompt {
    id: String,
    text: String,
}

#[test]
fn whole_draws_are_those_of_the_published_vectors() {
    let draws: Draws = serde_json::from_str(include_str!("../../vectors/draw.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in &draws.files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    assert_eq!(draws.cases.len(), 4);
    let corpus = open(folder.path()).unwrap();
    for case in draws.cases {
        let block = BlockRef { number: case.block, hash: case.block_hash };
        let request = DrawRequest { netuid: NetUid(97), block, count: case.count, sampler: Sampler::Distil };
        for count in [1, 5] {
            let drawn = corpus.draw(&request, threads(count), &|_| {}).unwrap();
            assert_eq!(drawn.prompts.len(), case.prompts.len());
            for (prompt, expected) in drawn.prompts.iter().zip(&case.prompts) {
                assert_eq!((&prompt.id, &prompt.text), (&expected.id, &expected.text), "block {}", case.block);
            }
            let passed = drawn.passed_over;
            assert_eq!(
                [passed.too_short, passed.not_text, passed.repeated],
                ["too_short", "not_text", "repeated"].map(|reason| case.passed_over[reason])
            );
        }
    }
}
