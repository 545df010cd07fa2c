//! What the unit tests share.

use crate::RoundSettings;
use distil_types::{BlockHash, BlockRef, NetUid};

pub(crate) fn block(number: u64) -> BlockRef {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    BlockRef { number, hash: BlockHash::from_bytes(bytes) }
}

pub(crate) fn settings() -> RoundSettings {
    RoundSettings {
        protocol: "distil/1".to_owned(),
        code_version: "0.1.0".to_owned(),
        netuid: NetUid(97),
        teacher: "lab/teacher".parse().unwrap(),
        teacher_revision: "0a".repeat(20).parse().unwrap(),
        source: "corpus.jsonl".to_owned(),
        sampler: "distil".to_owned(),
        prompts: 12,
        max_prompt_tokens: 1024,
        max_new_tokens: 512,
        continuation: "greedy".to_owned(),
    }
}
