use distil_hub::HubError;
use std::path::PathBuf;

/// Why prompts could not be drawn.
///
/// Texts from outside are shortened and their control characters escaped, so a message can be written to a log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// Not a source of prompts.
    #[error(
        "source {text} can't be used: {problem}. A source is hub:OWNER/NAME@REVISION, a folder or file of parquet, or a .txt, .jsonl or .json file"
    )]
    InvalidSource {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A source on the Hub without the commit it is pinned to.
    #[error(
        "source {text} names no revision: add @ and the 40 hexadecimal digits of a commit, since what a branch holds can change"
    )]
    RevisionMissing {
        /// What was given.
        text: String,
    },
    /// A source that holds nothing to draw from.
    #[error("{source_name} holds no documents: {wanted} expected")]
    NoDocuments {
        /// The source, or a file of it.
        source_name: String,
        /// What would have been taken.
        wanted: &'static str,
    },
    /// Something asked for can't be given.
    #[error("{field} is {value}: {requirement}")]
    Request {
        /// Which part of the request.
        field: &'static str,
        /// The value given.
        value: String,
        /// What it has to be.
        requirement: &'static str,
    },
    /// The Hub could not be asked, or said no.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A file or folder could not be read.
    #[error("can't read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A file of the cache could not be written.
    #[error("can't write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A file changed between listing and reading.
    #[error("{file} had {listed_bytes} bytes when it was listed and has {found_bytes} now: draw again")]
    Changed {
        /// The file.
        file: PathBuf,
        /// Its size in the listing.
        listed_bytes: u64,
        /// Its size when it was opened.
        found_bytes: u64,
    },
    /// A parquet file that can't be read.
    #[error("{file} can't be read as parquet: {problem}")]
    Parquet {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A text file or a document in it that can't be read.
    #[error("{place}: {problem}")]
    Document {
        /// The file, with the document's place in it.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Reading on would move more bytes than a draw may.
    #[error(
        "{file}: {wanted_bytes} bytes more are needed after {spent_bytes}, but this draw may move {budget_bytes}; the source has too large row groups or footers"
    )]
    Budget {
        /// The file.
        file: String,
        /// Size of the read that is too much.
        wanted_bytes: u64,
        /// Bytes read or asked for so far.
        spent_bytes: u64,
        /// The limit.
        budget_bytes: u64,
    },
    /// The source has too few fit documents, or they are too rare.
    #[error(
        "only {accepted} of {wanted} prompts were found in {tries} tries: {too_short} documents had under 200 characters, {not_text} were not text, {repeated} had been drawn before, {empty} tries met a file without rows"
    )]
    TooFewDocuments {
        /// Prompts found.
        accepted: usize,
        /// Prompts asked for.
        wanted: usize,
        /// Rows drawn.
        tries: u64,
        /// Rows passed over as too short.
        too_short: u64,
        /// Rows passed over as not text.
        not_text: u64,
        /// Rows drawn a second time.
        repeated: u64,
        /// Draws of a file without rows.
        empty: u64,
    },
    /// The pool of the reference sampler is smaller than the sample.
    #[error("the pool has {pool} documents, fewer than the {wanted} prompts asked for")]
    PoolTooSmall {
        /// Documents in the pool.
        pool: u64,
        /// Prompts asked for.
        wanted: usize,
    },
}

impl DatasetError {
    /// True if the same draw may succeed later, as what failed is the network or the Hub.
    pub fn is_transient(&self) -> bool {
        matches!(self, DatasetError::Hub(error) if error.is_transient())
    }
}
