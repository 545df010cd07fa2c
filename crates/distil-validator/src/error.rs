//! Why an epoch could not be brought to its end.

use distil_chain::ChainError;
use distil_checker::CheckerError;
use distil_dataset::DatasetError;
use distil_eval::EvalError;
use distil_eval::worker::{Blame, WorkerError};
use distil_hub::HubError;
use distil_store::StoreError;

/// Why an epoch could not be brought to its end. What it had done is in the store; the next one goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValidatorError {
    /// The chain.
    #[error("the chain: {0}")]
    Chain(#[from] ChainError),
    /// The Hub, while the teacher's files were looked at.
    #[error("the Hub: {0}")]
    Hub(#[from] HubError),
    /// A repository that could not be looked at.
    #[error("{0}")]
    Checker(#[from] CheckerError),
    /// The source of prompts.
    #[error("the prompts: {0}")]
    Dataset(#[from] DatasetError),
    /// The worker, through no fault of a student.
    #[error("the worker: {0}")]
    Worker(#[from] WorkerError),
    /// The teacher could not be loaded or run on the worker.
    #[error("the teacher could not be run on the worker: {0}")]
    Teacher(WorkerError),
    /// A record could not be made or written.
    #[error(transparent)]
    Record(#[from] EvalError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rules would not take what was given to them: a fault of this program.
    #[error("the rules refuse the round: {0}")]
    Rules(#[from] distil_scoring::Error),
    /// Something in the store is not what this program writes.
    #[error("{what} in the store cannot be read: {problem}")]
    Stored {
        /// What.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The asynchronous runtime could not be started.
    #[error("cannot start the asynchronous runtime: {0}")]
    Runtime(std::io::Error),
    /// A setting that cannot work.
    #[error("{setting}: {problem}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The end was asked for in the middle of a step.
    #[error("stopped")]
    Stopped,
}

impl ValidatorError {
    /// Whether a repository or a source on the other side is what did not do as it should.
    pub(crate) fn is_from_outside(&self) -> bool {
        matches!(self, ValidatorError::Hub(_) | ValidatorError::Checker(_) | ValidatorError::Dataset(_))
    }

    /// Whether another epoch may do better with nothing changed but the world outside.
    pub fn is_transient(&self) -> bool {
        match self {
            ValidatorError::Chain(error) => error.is_transient(),
            ValidatorError::Hub(error) => error.is_transient(),
            ValidatorError::Checker(error) => error.is_transient(),
            ValidatorError::Dataset(error) => error.is_transient(),
            ValidatorError::Worker(error) => error.is_transient() || error.blame() == Blame::Model,
            // A worker that has no room for the teacher today may have some tomorrow.
            ValidatorError::Teacher(_) | ValidatorError::Record(_) | ValidatorError::Stopped => true,
            ValidatorError::Store(error) => error.is_transient(),
            ValidatorError::Rules(_)
            | ValidatorError::Stored { .. }
            | ValidatorError::Runtime(_)
            | ValidatorError::Setting { .. } => false,
        }
    }
}
