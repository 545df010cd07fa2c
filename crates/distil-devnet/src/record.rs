//! What was asked.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// A request, for tests and benchmarks that count them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestRecord {
    /// The connection, counted from 1.
    pub connection: u64,
    /// The method.
    pub method: String,
    /// The length of the request, in bytes.
    pub request_bytes: usize,
    /// The length of the answer, in bytes; none where none was sent.
    pub answer_bytes: Option<usize>,
}

const MAX_RECORDS: usize = 100_000;

/// The newest requests.
#[derive(Debug, Default)]
pub(crate) struct RequestLog(Mutex<VecDeque<RequestRecord>>);

impl RequestLog {
    pub(crate) fn add(&self, record: RequestRecord) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= MAX_RECORDS {
            records.pop_front();
        }
        records.push_back(record);
    }

    pub(crate) fn all(&self) -> Vec<RequestRecord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
