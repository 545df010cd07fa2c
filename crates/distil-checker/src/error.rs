use std::{io, ops::Range, path::PathBuf};

use distil_hub::HubError;

use crate::{HeaderError, text};

/// Why a repository could not be looked at.
///
/// What is *wrong with* a repository is no error but a [`Finding`](crate::Finding) of its report. An error that
/// [`is_transient`](Self::is_transient) says nothing about the repository at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckerError {
    /// The Hub did not give what was asked for.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A name that is neither a folder nor a repository.
    #[error(transparent)]
    InvalidName(#[from] distil_types::Error),
    /// A file or folder of this machine could not be read.
    #[error("cannot read {}: {source}", text::quoted_path(path))]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no folder at this path.
    #[error("{} is not a folder: give a model's folder, or owner/repo", text::quoted_path(path))]
    NotAFolder {
        /// What was given.
        path: PathBuf,
    },
    /// A repository has more files than are looked at.
    #[error("{repository} holds more than {limit} files: a model has a few dozen, remove what does not belong to it")]
    TooManyFiles {
        /// The repository, printable.
        repository: String,
        /// The most that are looked at: [`MAX_FILES`](crate::MAX_FILES).
        limit: usize,
    },
    /// A file is larger than what is read of its kind.
    #[error("{file} has {size_bytes} bytes; at most {limit_bytes} are read")]
    TooLarge {
        /// The file, printable.
        file: String,
        /// Its size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// A part of a file was asked for that it does not have, or more at once than is allocated.
    #[error("bytes {}..{} of {file} were asked for, which has {size_bytes}", .range.start, .range.end)]
    OutOfRange {
        /// The file, printable.
        file: String,
        /// The bytes asked for.
        range: Range<u64>,
        /// The file's size.
        size_bytes: u64,
    },
    /// The header of a safetensors file is not sound.
    #[error("{file}: {source}")]
    Header {
        /// The file, printable.
        file: String,
        /// What is wrong with it.
        source: HeaderError,
    },
    /// The weights of a folder contradict each other, or are not there.
    #[error("{}: {reason}", text::quoted_path(path))]
    Weights {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The index of a sharded model is none.
    #[error("{file}: {reason}")]
    Index {
        /// The file, printable.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The teacher cannot be what others are compared with.
    #[error("teacher {teacher}: {reason}")]
    Teacher {
        /// Its name, printable.
        teacher: String,
        /// What it lacks.
        reason: String,
    },
}

impl CheckerError {
    /// True where the cause may be the network, the Hub or this machine, so that another try may do and nothing is
    /// said about the repository.
    ///
    /// A folder or file that is not there is an answer; every other failure to read one is not.
    pub fn is_transient(&self) -> bool {
        match self {
            // Of what the Hub can answer, only "no such thing" and "not for you" speak of the repository; a wrong
            // hash or an answer that makes no sense may be a proxy's doing.
            CheckerError::Hub(error) => !error.is_absence(),
            CheckerError::Read { source, .. } => source.kind() != io::ErrorKind::NotFound,
            CheckerError::InvalidName(_)
            | CheckerError::NotAFolder { .. }
            | CheckerError::TooManyFiles { .. }
            | CheckerError::TooLarge { .. }
            | CheckerError::Header { .. }
            | CheckerError::Index { .. }
            | CheckerError::Weights { .. }
            | CheckerError::Teacher { .. } => false,
            CheckerError::OutOfRange { .. } => true,
        }
    }
}
