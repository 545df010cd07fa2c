use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What can go wrong while a server is started or told what to hold.
///
/// What goes wrong with a request is no error here: it is the answer that the client gets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevHubError {
    /// The address is reachable from other machines.
    #[error(
        "{address} is not a loopback address: this server has no protection, so it listens on 127.0.0.1 or ::1 only"
    )]
    NotLoopback {
        /// What was given.
        address: SocketAddr,
    },
    /// The system gave no socket, thread or temporary folder.
    #[error("cannot start on {address}: {source}")]
    Start {
        /// Where it should listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Not a name of a repository.
    #[error("repository {name:?} is not a name of the form owner/repo: {problem}")]
    RepositoryName {
        /// What was given.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Nothing was published under this name.
    #[error("no {kind} {name} was published here")]
    UnknownRepository {
        /// "model" or "dataset".
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The new name is taken.
    #[error("there already is a {kind} {name}: rename to another name")]
    RepositoryExists {
        /// "model" or "dataset".
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The repository has no such commit.
    #[error("{name} has no commit {commit}")]
    UnknownCommit {
        /// The repository.
        name: String,
        /// The commit that was asked for.
        commit: String,
    },
    /// A folder to publish holds something that a repository can't.
    #[error("{path} cannot be published: {problem}")]
    Content {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file or folder could not be read or stored.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A text does not describe a fault.
    #[error("fault {text:?}: {problem}")]
    FaultText {
        /// What was given.
        text: String,
        /// What is wrong with it, and what is possible.
        problem: String,
    },
}

impl DevHubError {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        DevHubError::File { path: path.to_owned(), source }
    }

    /// True where another try may do: the system was short of something for the moment.
    pub fn is_transient(&self) -> bool {
        let source = match self {
            DevHubError::Start { source, .. } | DevHubError::File { source, .. } => source,
            _ => return false,
        };
        matches!(source.kind(), io::ErrorKind::Interrupted | io::ErrorKind::AddrInUse | io::ErrorKind::WouldBlock)
    }
}
