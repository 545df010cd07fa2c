use std::{fmt, time::Duration};

use super::{InvalidRequest, Stage};

/// Who has to answer for a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blame {
    /// The model: it could not be loaded or run, or what it did ended the process. The only one that may count against
    /// it; whether the host can run a known-good model is for the caller to find out.
    Model,
    /// The repository: the Hub itself says that it is not there for us (401, 403, 404).
    Repository,
    /// The network or the Hub: it may work later and says nothing about anyone.
    Network,
    /// The host of the worker, or the way to it.
    Host,
    /// Who asked: the request was not one, or the pass was called off.
    Caller,
}

/// How a process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// A signal, such as 11 for a wrong address and 9 for what the system kills, for example when memory is out.
    Signal(i32),
    /// It ended itself with this status.
    Code(i32),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::Code(101) => return f.write_str("status 101, a panic"),
            Self::Code(code) => return write!(f, "status {code}"),
            Self::Signal(4) => ", an illegal instruction",
            Self::Signal(6) => ", an abort",
            Self::Signal(7) => ", a bus error",
            Self::Signal(8) => ", an arithmetic error",
            Self::Signal(9) => ", a kill, as when memory is out",
            Self::Signal(11) => ", a wrong address",
            Self::Signal(15) => ", a request to end",
            Self::Signal(_) => "",
        };
        let Self::Signal(signal) = self else { return Ok(()) };
        write!(f, "signal {signal}{name}")
    }
}

/// Why a pass in a worker gave no result.
///
/// Texts that came from the worker are shortened and printable. What it says of models names no path of its host, as far
/// as it keeps its side of the protocol; what it says of its host may, and is for the operator.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The model cannot be loaded or run, as the worker says: a missing tensor, another vocabulary, NaN.
    #[error("{reason}")]
    Model {
        /// What the worker says.
        reason: String,
    },
    /// The process that ran the pass came to an end in the middle.
    #[error("the worker's process ended in the middle of {}: {ending}", stage_name(.stage))]
    Crashed {
        /// How.
        ending: Ending,
        /// What it was doing; none if it had not begun.
        stage: Option<Stage>,
    },
    /// The pass gave no sign of life, or no progress, for too long, or took too long in all.
    #[error("the worker was given up in the middle of {}: {what} within {:.1} s", stage_name(.stage), .limit.as_secs_f64())]
    Hung {
        /// Which of the limits was reached.
        what: HungBy,
        /// The limit.
        limit: Duration,
        /// What it was doing; none if it had not begun.
        stage: Option<Stage>,
    },
    /// What came from the worker was not what the protocol allows.
    #[error("the worker broke the protocol in the middle of {}: {problem}", stage_name(.stage))]
    Garbage {
        /// What was wrong with it.
        problem: String,
        /// What it was doing; none if it had not begun.
        stage: Option<Stage>,
    },
    /// The Hub says that the repository, or a file of it, is not there for us.
    #[error("{reason}")]
    Absent {
        /// What the worker says.
        reason: String,
    },
    /// The model could not be brought to the worker for now.
    #[error("{reason}")]
    Download {
        /// What the worker says.
        reason: String,
        /// How long the Hub asked to be left alone, where it did.
        retry_after: Option<Duration>,
    },
    /// The worker's host could not do its part: no such device, no room, no threads.
    #[error("the worker's host: {reason}")]
    Host {
        /// What the worker says.
        reason: String,
    },
    /// The worker could not be started, or ended before it said what it is.
    #[error("the worker could not be started: {reason}")]
    CannotStart {
        /// What is known.
        reason: String,
    },
    /// The worker speaks another version of the protocol.
    #[error(
        "the worker speaks version {found} of the protocol, this program version {expected}: install the same release on both"
    )]
    Version {
        /// The worker's.
        found: u64,
        /// Ours.
        expected: u64,
    },
    /// The connection to the worker broke: `ssh` ended with status 255.
    #[error("the connection to the worker broke (status 255, as ssh ends when it cannot connect or is cut off)")]
    Connection,
    /// The worker does not have the teacher's states: the teacher pass has to be run again, with the recorded tokens.
    #[error("the worker does not have the teacher's states (any more): {reason}")]
    TeacherCacheMissing {
        /// What the worker says.
        reason: String,
    },
    /// The request cannot be sent.
    #[error(transparent)]
    Request(#[from] InvalidRequest),
    /// The pass was called off.
    #[error("the pass was called off")]
    Cancelled,
}

/// Which limit a pass reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HungBy {
    /// Nothing at all came from the worker.
    Silence,
    /// The worker's host was there, the process of the pass gave no sign of life.
    NoHeartbeat,
    /// There were signs of life, but the work did not go on.
    NoProgress,
    /// The work went on, but took too long.
    TooLong,
}

impl fmt::Display for HungBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silence => "nothing came from it",
            Self::NoHeartbeat => "the process that runs the model gave no sign of life",
            Self::NoProgress => "the work did not go on",
            Self::TooLong => "it was not done",
        })
    }
}

fn stage_name(stage: &Option<Stage>) -> &'static str {
    stage.map_or("its start", Stage::in_words)
}

impl WorkerError {
    /// Who has to answer for it.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Model { .. } => Blame::Model,
            Self::Absent { .. } => Blame::Repository,
            Self::Download { .. } => Blame::Network,
            // Nobody can tell a silent host from a silent network.
            Self::Hung { what: HungBy::Silence, .. } => Blame::Host,
            // What operators and shutdowns send is not the model's doing.
            Self::Crashed { ending: Ending::Signal(1 | 2 | 3 | 15), .. } => Blame::Host,
            Self::Crashed { stage, .. } | Self::Hung { stage, .. } | Self::Garbage { stage, .. } => {
                stage.map_or(Blame::Host, Stage::blame)
            }
            Self::Host { .. }
            | Self::CannotStart { .. }
            | Self::Version { .. }
            | Self::Connection
            | Self::TeacherCacheMissing { .. } => Blame::Host,
            Self::Request(_) | Self::Cancelled => Blame::Caller,
        }
    }

    /// Whether the same request may succeed later with nothing changed but the network or the host.
    pub fn is_transient(&self) -> bool {
        matches!(self.blame(), Blame::Network | Blame::Host) && !matches!(self, Self::Version { .. })
            || matches!(self, Self::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d13_only_what_happens_to_the_models_own_weights_counts_against_it() {
        let crashed = |stage, ending| WorkerError::Crashed { ending, stage }.blame();
        assert_eq!(crashed(None, Ending::Signal(11)), Blame::Host);
        assert_eq!(crashed(Some(Stage::TeacherStates), Ending::Signal(9)), Blame::Host);
        assert_eq!(crashed(Some(Stage::Download), Ending::Code(101)), Blame::Network);
        for stage in [Stage::Digest, Stage::Load, Stage::Score] {
            assert_eq!(crashed(Some(stage), Ending::Signal(11)), Blame::Model);
            assert_eq!(crashed(Some(stage), Ending::Code(101)), Blame::Model);
            assert_eq!(crashed(Some(stage), Ending::Signal(15)), Blame::Host, "a shutdown");
        }
        let hung = |what| WorkerError::Hung { what, limit: Duration::from_secs(1), stage: Some(Stage::Score) }.blame();
        assert_eq!(hung(HungBy::Silence), Blame::Host);
        assert_eq!(hung(HungBy::NoHeartbeat), Blame::Model);
        assert_eq!(hung(HungBy::NoProgress), Blame::Model);
        assert_eq!(WorkerError::Connection.blame(), Blame::Host);
    }
}
