//! Files of documents: the first byte says of which kind, the rest is the file.

#![no_main]

use std::num::NonZeroUsize;

use distil_dataset::{Corpus, DrawRequest, PromptSource, Sampler};
use distil_fuzz::{Counting, within};
use distil_types::{BlockRef, NetUid};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const KINDS: [&str; 4] = ["parquet", "jsonl", "json", "txt"];

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(format!("input.{}", KINDS[usize::from(*kind) % KINDS.len()]));
    std::fs::write(&path, content).expect("a temporary file");
    within(256 << 20, || {
        let block = BlockRef { number: 7_855_150, hash: "5a".repeat(32).parse().expect("a hash") };
        let Ok(corpus) = Corpus::open(&PromptSource::Path(path), || unreachable!("a file on disk"), None) else { return };
        for sampler in [Sampler::Distil, Sampler::Reference] {
            let request = DrawRequest { netuid: NetUid(97), block, count: 2, sampler };
            let _ = corpus.draw(&request, NonZeroUsize::MIN, &|_| {});
        }
    });
});
