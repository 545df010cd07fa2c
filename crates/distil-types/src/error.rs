/// Why a text is not the id it should be.
///
/// Texts come from outside: every excerpt of one is shortened and its control characters are escaped, so a message can
/// be written to a log as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an SS58 address of a Bittensor account.
    #[error(
        "hotkey {text} is not an ss58 address of this network (they begin with 5 and have 47 or 48 base58 characters): {problem}"
    )]
    InvalidHotkey {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Not a hotkey with the block of its commitment.
    #[error("miner {text} is not of the form hotkey@block, with the block as a plain number")]
    InvalidMinerKey {
        /// What was given.
        text: String,
    },
    /// Not the hash of a block.
    #[error("block hash {text} is not 64 hexadecimal digits, with or without a leading 0x")]
    InvalidBlockHash {
        /// What was given.
        text: String,
    },
    /// Not a repository of the Hub.
    #[error("repository {text} is not a name of the form owner/repo: {problem}")]
    InvalidRepoId {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: RepoIdProblem,
    },
    /// Not a commit of a repository.
    #[error("revision {text} is not a commit: 40 lower-case hexadecimal digits are needed, a branch or tag can move")]
    InvalidRevision {
        /// What was given.
        text: String,
    },
    /// Not a number from 0 to 65,535.
    #[error("{text} is not a {kind}: a number from 0 to 65535 is needed")]
    InvalidUid {
        /// "uid" or "netuid".
        kind: &'static str,
        /// What was given.
        text: String,
    },
    /// Neither a folder nor a repository.
    #[error("model {text} is neither an existing folder nor owner/repo[@revision]: {source}")]
    InvalidModelRef {
        /// What was given.
        text: String,
        /// Why it is not a repository.
        source: Box<Error>,
    },
}

/// What is wrong with a repository's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepoIdProblem {
    /// There is no slash, or more than one.
    #[error("one slash is needed, between owner and repository")]
    Slashes,
    /// Owner or repository is empty.
    #[error("owner and repository may not be empty")]
    Empty,
    /// Owner or repository is too long.
    #[error("owner and repository have at most 96 characters each")]
    TooLong,
    /// Something else than `A-Z a-z 0-9 . _ -`.
    #[error("only the characters A-Z a-z 0-9 . _ - are allowed")]
    Character,
    /// A part begins or ends with `.` or `-`.
    #[error("owner and repository may not begin or end with . or -")]
    Edge,
    /// A part holds `..` or `--`.
    #[error(".. and -- are not allowed")]
    Doubled,
    /// The repository ends in `.git`.
    #[error("a repository may not end in .git")]
    GitSuffix,
}
