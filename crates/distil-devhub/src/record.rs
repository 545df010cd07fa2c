//! What was asked and what was answered.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Which of the two servers: the Hub itself, or the one that stands for its content network and holds LFS files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    /// The API and `resolve`.
    Hub,
    /// Content of LFS files, at another port. It never gets a client's token.
    Cdn,
}

/// A request and its answer, as the server saw them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Who was asked.
    pub server: Server,
    /// `GET`, `HEAD` and so on.
    pub method: String,
    /// Path and query as they were sent, with percent-escapes.
    pub path: String,
    /// The header `Range`.
    pub range: Option<String>,
    /// The header `If-None-Match`.
    pub if_none_match: Option<String>,
    /// True where the header `Authorization` was there.
    pub had_authorization: bool,
    /// The answer's status; `None` while there is none, or where the connection was closed without one.
    pub status: Option<u16>,
    /// Bytes of the answer's body that went out so far.
    pub body_bytes: u64,
}

/// Requests that are kept at most: a server may run for long.
const LONGEST_LOG: usize = 100_000;

/// The newest requests, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct RequestLog(Mutex<VecDeque<Arc<LoggedRequest>>>);

#[derive(Debug)]
pub(crate) struct LoggedRequest {
    pub(crate) asked: RequestRecord,
    status: AtomicU64,
    body_bytes: AtomicU64,
}

impl LoggedRequest {
    pub(crate) fn answered(&self, status: u16) {
        self.status.store(u64::from(status), Ordering::SeqCst);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.body_bytes.fetch_add(bytes as u64, Ordering::SeqCst);
    }
}

impl RequestLog {
    pub(crate) fn begin(&self, asked: RequestRecord) -> Arc<LoggedRequest> {
        let logged = Arc::new(LoggedRequest { asked, status: AtomicU64::new(0), body_bytes: AtomicU64::new(0) });
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LONGEST_LOG {
            log.pop_front();
        }
        log.push_back(Arc::clone(&logged));
        logged
    }

    pub(crate) fn all(&self) -> Vec<RequestRecord> {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter()
            .map(|logged| RequestRecord {
                status: u16::try_from(logged.status.load(Ordering::SeqCst)).ok().filter(|status| *status != 0),
                body_bytes: logged.body_bytes.load(Ordering::SeqCst),
                ..logged.asked.clone()
            })
            .collect()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
