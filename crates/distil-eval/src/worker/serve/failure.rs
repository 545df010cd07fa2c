//! Why a pass is not done, and whom that concerns.

use std::{io, time::Duration};

use distil_checker::CheckerError;
use distil_hub::HubError;
use distil_model::ModelError;

use crate::{
    EvalError, ModelSource,
    driver::without_host_path,
    worker::{
        InvalidRequest,
        protocol::{FailureKind, Message},
    },
};

pub(super) struct Failure {
    kind: FailureKind,
    reason: String,
    retry_after: Option<Duration>,
}

impl Failure {
    fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), retry_after: None }
    }

    pub(super) fn request(reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Request, reason)
    }

    pub(super) fn host(reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Host, reason)
    }

    pub(super) fn model(reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Model, reason)
    }

    pub(super) fn cache_missing(reason: impl Into<String>) -> Self {
        Self::new(FailureKind::TeacherCacheMissing, reason)
    }

    /// What went wrong with a model that lies on this host.
    pub(super) fn of_pass(error: &EvalError, source: &ModelSource) -> Self {
        let reason = without_host_path(&error.to_string(), source);
        Self::new(kind_of(error), reason)
    }

    pub(super) fn message(self) -> Message {
        // A line has an end, and so has a reason.
        let reason = self.reason.chars().take(2000).collect();
        let retry_after_ms = self.retry_after.and_then(|wait| u64::try_from(wait.as_millis()).ok());
        Message::Failed { kind: self.kind, reason, retry_after_ms }
    }
}

/// Whom an error of a pass concerns, once its model lies on this host.
fn kind_of(error: &EvalError) -> FailureKind {
    // A file that is not there, or does not fit into memory, is the model's; one that cannot be read is the disk's.
    let of_read = |source: &io::Error| match source.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::OutOfMemory => FailureKind::Model,
        _ => FailureKind::Host,
    };
    let of_model = |error: &ModelError| match error {
        ModelError::Read { source, .. } => of_read(source),
        _ => FailureKind::Model,
    };
    match error {
        EvalError::Model(error) => of_model(error),
        EvalError::Teacher { source, .. } => of_model(source),
        EvalError::NoPrompts
        | EvalError::NoStudents
        | EvalError::EmptyPrompt { .. }
        | EvalError::PromptWithoutTokens { .. }
        | EvalError::Setting { .. } => FailureKind::Request,
        EvalError::Read { .. } | EvalError::Write { .. } => FailureKind::Host,
        // Everything else comes of what the model is or gives.
        _ => FailureKind::Model,
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        let kind = match &error {
            HubError::Offline { .. } => FailureKind::Host,
            error if error.is_absence() => FailureKind::Absent,
            error if error.is_transient() => FailureKind::Download,
            _ => FailureKind::Host,
        };
        Self { kind, reason: error.to_string(), retry_after: error.retry_after() }
    }
}

impl From<CheckerError> for Failure {
    fn from(error: CheckerError) -> Self {
        match error {
            CheckerError::Hub(error) => error.into(),
            error if error.is_transient() => Self::host(error.to_string()),
            error => Self::model(error.to_string()),
        }
    }
}

impl From<InvalidRequest> for Failure {
    fn from(error: InvalidRequest) -> Self {
        Self::request(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c3_what_is_not_the_models_fault_is_not_told_as_such() {
        let read = |kind: io::ErrorKind| {
            kind_of(&EvalError::Model(ModelError::Read { path: "config.json".into(), source: kind.into() }))
        };
        assert_eq!(read(io::ErrorKind::NotFound), FailureKind::Model);
        assert_eq!(read(io::ErrorKind::PermissionDenied), FailureKind::Host);
        assert_eq!(read(io::ErrorKind::Other), FailureKind::Host);
        let full = EvalError::Write { path: "x".into(), source: io::ErrorKind::StorageFull.into() };
        assert_eq!(kind_of(&full), FailureKind::Host);
        let nan = EvalError::NotFinite { prompt: 0, position: 0, value: f64::NAN };
        assert_eq!(kind_of(&nan), FailureKind::Model);

        let what = || "alice/tiny".to_owned();
        let kind = |error: HubError| Failure::from(error).kind;
        assert_eq!(kind(HubError::NotFound { what: what(), code: None }), FailureKind::Absent);
        assert_eq!(kind(HubError::Refused { what: what(), status: 403, code: None }), FailureKind::Absent);
        assert_eq!(kind(HubError::Server { what: what(), status: 503, retry_after: None }), FailureKind::Download);
        assert_eq!(kind(HubError::Timeout { what: what(), waited: Duration::from_secs(1) }), FailureKind::Download);
        assert_eq!(kind(HubError::Offline { what: what(), cache: "x".into() }), FailureKind::Host);
        let full = HubError::File { path: "x".into(), source: io::ErrorKind::StorageFull.into() };
        assert_eq!(kind(full), FailureKind::Host);
        let limited = HubError::RateLimited { what: what(), retry_after: Some(Duration::from_secs(7)) };
        assert_eq!(Failure::from(limited).retry_after, Some(Duration::from_secs(7)));
    }
}
