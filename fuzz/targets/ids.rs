//! Names, commits, hashes, keys and commitments: what is read shows itself as what it was read from.

#![no_main]

use distil_fuzz::{Counting, within};
use distil_types::{BlockHash, Commitment, Hotkey, ModelRef, RepoId, Revision};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    within(1 << 20, || {
        if let Ok(repo) = text.parse::<RepoId>() {
            assert_eq!(repo.to_string(), text);
            assert!(!text.contains("..") && text.split('/').count() == 2);
        }
        if let Ok(revision) = text.parse::<Revision>() {
            assert_eq!(revision.to_string(), text);
        }
        if let Ok(hash) = text.parse::<BlockHash>() {
            assert_eq!(hash.to_string().parse::<BlockHash>().ok(), Some(hash));
        }
        if let Ok(hotkey) = text.parse::<Hotkey>() {
            assert_eq!(hotkey.to_string(), text);
        }
        let _ = ModelRef::parse(text, |_| false);
        let _ = serde_json::from_str::<Commitment>(text);
        let _ = distil_dataset::PromptSource::parse(text);
    });
});
