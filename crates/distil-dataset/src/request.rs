use distil_types::{BlockHash, BlockRef, NetUid};
use serde::Serialize;
use std::fmt;

/// How documents are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampler {
    /// By the rules of `distil/1`: from the hash of the block, over the whole corpus.
    Distil,
    /// As the original validator did: CPython's `random.Random(block).sample(pool, count)`, which needs no hash and so
    /// can be known long before. The pool is all of a file or folder on disk, or the first 500 documents of a dataset
    /// on the Hub that have 200 characters.
    Reference,
}

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sampler::Distil => "distil",
            Sampler::Reference => "reference",
        })
    }
}

/// Which prompts are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawRequest {
    /// The subnet.
    pub netuid: NetUid,
    /// The block whose hash seeds the draw.
    pub block: BlockRef,
    /// Number of prompts.
    pub count: usize,
    /// How they are chosen.
    pub sampler: Sampler,
}

/// How far a draw is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read so far, listing not included.
    pub bytes_read: u64,
    /// Prompts found so far.
    pub accepted: u64,
    /// Prompts wanted.
    pub wanted: u64,
}

/// A prompt and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prompt {
    /// File, row group and row, both from 0: `data/a.parquet#rg12:r345`. Of text files: `a.jsonl#L17` and `a.txt#P17`
    /// (line and paragraph, from 1), `a.json#17` (element, from 0), or the file alone where it is one document.
    pub id: String,
    /// The text.
    pub text: String,
}

/// Requests and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Share {
    /// Reads, each a request where the source is on the Hub.
    pub requests: u64,
    /// Bytes of their answers.
    pub bytes: u64,
}

/// What a draw read, and what it found in the cache.
///
/// For a source on disk these are reads of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DrawTraffic {
    /// The list of the corpus's files, when it was opened.
    pub listing: Share,
    /// Footers of parquet files.
    pub footers: Share,
    /// Documents, with the pages around them.
    pub data: Share,
    /// Everything that the Hub's client moved meanwhile, tries that failed included, and what others did with it at the
    /// same time. Nothing for a source on disk.
    pub network: Share,
    /// The list of files came from the cache.
    pub listing_cached: bool,
    /// Files whose footer came from the cache.
    pub footers_cached: u64,
    /// Files whose footer was fetched.
    pub footers_fetched: u64,
}

impl DrawTraffic {
    /// Listing, footers and data together.
    pub fn total(&self) -> Share {
        [self.listing, self.footers, self.data].iter().fold(Share::default(), |sum, share| Share {
            requests: sum.requests + share.requests,
            bytes: sum.bytes + share.bytes,
        })
    }
}

/// Rows that were drawn and gave no prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PassedOver {
    /// Documents of under 200 characters.
    pub too_short: u64,
    /// Documents that are not text.
    pub not_text: u64,
    /// Rows that had been drawn before.
    pub repeated: u64,
    /// Draws of a file without rows.
    pub empty: u64,
}

/// Prompts drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drawn {
    /// Number of the block.
    pub block: u64,
    /// Its hash.
    pub block_hash: BlockHash,
    /// What the random numbers were made from: the [`Seed`](crate::Seed) in hexadecimal digits, or for
    /// [`Sampler::Reference`] the number of the block.
    pub seed: String,
    /// How the documents were chosen.
    pub sampler: Sampler,
    /// Where they are from, as [`PromptSource`](crate::PromptSource) shows itself.
    pub source: String,
    /// The prompts, in the order drawn.
    pub prompts: Vec<Prompt>,
    /// What was passed over on the way.
    pub passed_over: PassedOver,
    /// What was read.
    pub traffic: DrawTraffic,
}
