use std::{io, path::PathBuf, time::Duration};

/// Why the Hub did not give what was asked for.
///
/// Callers decide by two questions: [`is_transient`](HubError::is_transient) (it may be the network's fault or the
/// Hub's, so it says nothing about the repository) and [`is_absence`](HubError::is_absence) (the Hub itself says that
/// the repository is not there for us).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The Hub answered 404: the repository, the commit or the file does not exist.
    #[error("{what}: the Hub knows of no such thing (404{})", with_code(.code))]
    NotFound {
        /// What was asked for.
        what: String,
        /// The Hub's own name for the error, such as `RevisionNotFound`.
        code: Option<String>,
    },
    /// The Hub answered 401 or 403: private, gated, or (without a token) not there at all.
    #[error("{what}: the Hub does not let us see it ({status}{}); it is private, gated or gone", with_code(.code))]
    Refused {
        /// What was asked for.
        what: String,
        /// 401 or 403.
        status: u16,
        /// The Hub's own name for the error, such as `GatedRepo` or `RepoNotFound`.
        code: Option<String>,
    },
    /// The Hub answered 429 to every try.
    #[error("{what}: the Hub limits our rate (429){}", later(.retry_after))]
    RateLimited {
        /// What was asked for.
        what: String,
        /// How long the Hub wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The Hub answered 408 or 5xx to every try.
    #[error("{what}: the Hub failed ({status}){}", later(.retry_after))]
    Server {
        /// What was asked for.
        what: String,
        /// The status of the last answer.
        status: u16,
        /// How long the Hub wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// No answer, or no further byte of one, in time.
    #[error("{what}: nothing came within {} s", .waited.as_secs_f64())]
    Timeout {
        /// What was asked for.
        what: String,
        /// How long was waited.
        waited: Duration,
    },
    /// No connection, or one that was reset.
    #[error("{what}: no connection to the Hub: {reason}")]
    Connection {
        /// What was asked for.
        what: String,
        /// What the network said.
        reason: String,
    },
    /// A body ended before its announced end.
    #[error("{what}: cut off after {received} of {expected} bytes")]
    CutOff {
        /// What was asked for.
        what: String,
        /// Bytes that came.
        received: u64,
        /// Bytes that were announced.
        expected: u64,
    },
    /// An answer that the Hub would not give: another status, not JSON, too large, another size than listed.
    #[error("{what}: the Hub's answer cannot be used: {reason}")]
    BadAnswer {
        /// What was asked for.
        what: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// What came is not what the repository's listing promised.
    #[error("{what}: its {algorithm} is {found}, but the Hub lists {expected}")]
    HashMismatch {
        /// The file.
        what: String,
        /// `SHA-256`, or `git object id` for small files.
        algorithm: &'static str,
        /// What the listing says.
        expected: String,
        /// What was computed.
        found: String,
    },
    /// `HF_HUB_OFFLINE` is set and the cache does not hold it.
    #[error("{what}: not in the cache at {}, and HF_HUB_OFFLINE is set", .cache.display())]
    Offline {
        /// What was asked for.
        what: String,
        /// Where was looked.
        cache: PathBuf,
    },
    /// A file of the cache cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A setting that cannot be used.
    #[error("{setting}: {reason}")]
    Setting {
        /// Its name, such as `HF_ENDPOINT`.
        setting: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

pub(crate) type Result<T> = std::result::Result<T, HubError>;

impl HubError {
    /// True where another try may bring an answer: a rate limit, 408 and 5xx, timeouts, resets, cut bodies, answers that
    /// make no sense or do not match their hash. None of it says anything about a repository or its owner.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::RateLimited { .. }
            | Self::Server { .. }
            | Self::Timeout { .. }
            | Self::Connection { .. }
            | Self::CutOff { .. }
            | Self::BadAnswer { .. }
            | Self::HashMismatch { .. }
            | Self::Offline { .. } => true,
            Self::NotFound { .. } | Self::Refused { .. } | Self::File { .. } | Self::Setting { .. } => false,
        }
    }

    /// True where the Hub itself says that we cannot have it: 401, 403 or 404.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Refused { .. })
    }

    /// How long the Hub asked to be left alone, where it did.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// True where the same request is sent again at once (after a short wait).
    pub(crate) fn is_worth_a_retry(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. }
                | Self::Server { .. }
                | Self::Timeout { .. }
                | Self::Connection { .. }
                | Self::CutOff { .. }
        )
    }

    pub(crate) fn bad(what: &str, reason: impl Into<String>) -> Self {
        Self::BadAnswer { what: what.to_owned(), reason: reason.into() }
    }
}

fn with_code(code: &Option<String>) -> String {
    code.as_ref().map(|code| format!(", {code}")).unwrap_or_default()
}

fn later(retry_after: &Option<Duration>) -> String {
    retry_after.map(|wait| format!("; it asks to wait {} s", wait.as_secs_f64())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_network_does_is_never_an_absence() {
        let what = || "owner/repo".to_owned();
        let transient = [
            HubError::RateLimited { what: what(), retry_after: Some(Duration::from_secs(3)) },
            HubError::Server { what: what(), status: 503, retry_after: None },
            HubError::Timeout { what: what(), waited: Duration::from_secs(1) },
            HubError::Connection { what: what(), reason: "reset".into() },
            HubError::CutOff { what: what(), received: 1, expected: 2 },
            HubError::bad("owner/repo", "not JSON"),
        ];
        for error in transient {
            assert!(error.is_transient() && !error.is_absence(), "{error}");
        }
        let absent = [
            HubError::NotFound { what: what(), code: Some("RepoNotFound".into()) },
            HubError::Refused { what: what(), status: 401, code: None },
        ];
        for error in absent {
            assert!(error.is_absence() && !error.is_transient(), "{error}");
        }
    }
}
