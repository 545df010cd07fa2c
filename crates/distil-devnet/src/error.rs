use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What can go wrong while a chain is started or told what to do.
///
/// What goes wrong with a request or a transaction is no error here: it is the answer that the client gets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevNetError {
    /// The address is reachable from other machines.
    #[error(
        "{address} is not a loopback address: this server has no protection, so it listens on 127.0.0.1 or ::1 only"
    )]
    NotLoopback {
        /// What was given.
        address: SocketAddr,
    },
    /// A setting has a value that makes no chain.
    #[error("setting {setting}: {problem}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The system gave no socket or thread.
    #[error("cannot start on {address}: {source}")]
    Start {
        /// Where it should listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The file that holds the chain could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no chain, or another one.
    #[error("{path}: {problem}")]
    StateFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The chain is not in a state in which this can be done.
    #[error("{action}: {problem}")]
    Refused {
        /// What should have been done.
        action: &'static str,
        /// Why it cannot be.
        problem: String,
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

impl DevNetError {
    pub(crate) fn refused(action: &'static str, problem: impl Into<String>) -> Self {
        DevNetError::Refused { action, problem: problem.into() }
    }

    /// True where another try may do: the system was short of something for the moment.
    pub fn is_transient(&self) -> bool {
        let source = match self {
            DevNetError::Start { source, .. } | DevNetError::File { source, .. } => source,
            _ => return false,
        };
        use io::ErrorKind as Kind;
        matches!(
            source.kind(),
            Kind::Interrupted
                | Kind::AddrInUse
                | Kind::WouldBlock
                | Kind::StorageFull
                | Kind::QuotaExceeded
                | Kind::ResourceBusy
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_is_short_of_for_the_moment_passes() {
        let of_file = |kind: io::ErrorKind| DevNetError::File { path: "chain".into(), source: kind.into() };
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::ResourceBusy] {
            assert!(of_file(kind).is_transient(), "{kind}");
        }
        assert!(!of_file(io::ErrorKind::PermissionDenied).is_transient());
    }
}
