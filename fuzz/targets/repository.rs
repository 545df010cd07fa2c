//! A whole check of a repository whose every file a stranger wrote. The input is the files, one after the other, each
//! with one byte for its name and two for its length.

#![no_main]

use std::ops::Range;

use distil_checker::{CheckerError, Repository, Requirements, Traffic, check};
use distil_fuzz::{Counting, within};
use distil_hub::RepoFile;
use distil_types::{Revision, SubnetProfile};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NAMES: [&str; 14] = [
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "adapter_config.json",
    "pytorch_model.bin",
    "modeling_custom.py",
];

struct InMemory {
    files: Vec<RepoFile>,
    contents: Vec<Vec<u8>>,
}

impl InMemory {
    fn read_from(mut bytes: &[u8]) -> Self {
        let mut named = std::collections::BTreeMap::new();
        while let Some(([name, low, high], rest)) = bytes.split_first_chunk::<3>() {
            let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
            let (content, rest) = rest.split_at(length);
            named.insert(NAMES[usize::from(*name) % NAMES.len()], content.to_vec());
            bytes = rest;
        }
        let files = named
            .iter()
            .map(|(path, content)| RepoFile {
                path: (*path).to_owned(),
                size: content.len() as u64,
                sha256: None,
                git_oid: None,
            })
            .collect();
        Self { files, contents: named.into_values().collect() }
    }
}

impl Repository for InMemory {
    fn name(&self) -> &str {
        "fuzz/input"
    }

    fn revision(&self) -> Option<Revision> {
        None
    }

    fn files(&self) -> &[RepoFile] {
        &self.files
    }

    fn read(&self, file: &RepoFile, range: Range<u64>) -> Result<Vec<u8>, CheckerError> {
        let content = self.files.iter().position(|own| own.path == file.path).map(|index| &self.contents[index]);
        let part = content.and_then(|content| content.get(range.start as usize..range.end as usize));
        part.map(<[u8]>::to_vec).ok_or_else(|| CheckerError::OutOfRange {
            file: file.path.clone(),
            range,
            size_bytes: file.size,
        })
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let repository = InMemory::read_from(bytes);
    let requirements = Requirements::from_profile(&SubnetProfile::sn97());
    within(256 << 20, || {
        let report = check(&repository, &requirements);
        assert_eq!(report.pass(), report.findings().iter().all(|finding| finding.severity != distil_checker::Severity::Error));
        serde_json::to_string(&report).expect("a report is JSON");
        let _ = distil_checker::loader_files(&repository);
    });
});
