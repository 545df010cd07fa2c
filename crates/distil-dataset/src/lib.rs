//! Draws the prompts of a round: from a block's hash to texts of a corpus, the same on every machine.
//!
//! ```
//! use distil_dataset::{Corpus, DrawRequest, PromptSource, Sampler};
//! use distil_types::BlockRef;
//! use std::num::NonZeroUsize;
//!
//! // A corpus: ten documents, one a line.
//! let folder = tempfile::tempdir()?;
//! let lines: String = (0..10)
//!     .map(|n| format!("{{\"text\": \"Document {n}. {}\"}}\n", "It was a dark and stormy night. ".repeat(20)))
//!     .collect();
//! std::fs::write(folder.path().join("documents.jsonl"), lines)?;
//!
//! let source = PromptSource::parse(folder.path().to_str().expect("a plain name"))?;
//! let corpus = Corpus::open(&source, || unreachable!("asked for hub: sources only"), None)?;
//! let request = DrawRequest {
//!     netuid: "97".parse()?,
//!     block: BlockRef { number: 7_855_150, hash: format!("0x{}", "5a".repeat(32)).parse()? },
//!     count: 4,
//!     sampler: Sampler::Distil,
//! };
//! let drawn = corpus.draw(&request, NonZeroUsize::MIN, &|_progress| {})?;
//! assert_eq!(drawn.prompts.len(), 4);
//! for prompt in &drawn.prompts {
//!     assert!(prompt.id.starts_with("documents.jsonl#L"));
//!     assert!(prompt.text.ends_with("night."), "cut after a sentence");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Concepts
//!
//! - A [`PromptSource`] says where documents are: a dataset on the Hub at one commit, or files on disk (parquet with a
//!   column `text`, `.jsonl`, `.json`, `.txt`). A [`Corpus`] is a source whose files have been listed.
//! - The [`Seed`] is a hash over subnet, block and the block's real hash, so nobody knows the prompts before the block
//!   exists. [`Seed::try_numbers`] and [`TryNumbers::below`] define every random number by which documents are chosen;
//!   `vectors/distil_sampling.json` pins them, and `vectors/draw.json` whole draws; both were made by other code.
//! - [`Sampler::Distil`]: a file is drawn in proportion to its size in the listing, then one of its rows, all equally
//!   likely. A row drawn before, a document of under 200 characters, and what is not text are passed over, and the
//!   next try decides. Of a document at most 4,000 characters are looked at; the prompt is its beginning, at most 512
//!   characters, ending with a sentence where one ends beyond position 200.
//! - [`Sampler::Reference`] does what the validator this project replaces did: CPython's Mersenne Twister and
//!   `random.sample`, seeded by the block's number.
//! - **Traffic**: of a parquet file only as much of the footer is read as leads to the row, then the row's page (of a
//!   small row group, all pages of the text column). A draw of 40 prompts moves at most 400 MB, see
//!   [`BYTES_PER_PROMPT`]; [`DrawTraffic`] tells what it was.
//! - **Hostile files**: what a file claims is checked before it is believed or allocated: footers of more than 64 MiB
//!   and pages of more than 64 MiB are refused, and a page is never unpacked beyond the size it promised.

#![forbid(unsafe_code)]

mod cache;
mod corpus;
mod distil;
mod error;
mod listing;
mod meter;
mod open_file;
mod parallel;
mod parquet;
mod positioned;
mod prompt_text;
mod python_random;
mod reference;
mod request;
mod seed;
mod source;
mod text;
mod text_file;

pub use corpus::Corpus;
pub use error::DatasetError;
pub use meter::BYTES_PER_PROMPT;
pub use request::{DrawRequest, DrawTraffic, Drawn, PassedOver, Progress, Prompt, Sampler, Share};
pub use seed::{Seed, TryNumbers};
pub use source::PromptSource;
