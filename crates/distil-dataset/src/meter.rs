//! Counting what a draw reads, and holding it to a budget.

use crate::{
    DatasetError,
    positioned::Purpose,
    request::{Progress, Share},
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes that one prompt may cost, listing and footers included: 40 prompts move at most 400 MB.
///
/// A limit against files that are made to cost, not a goal. A prompt of FineWeb with nothing cached costs some 5 MB: its
/// files have row groups of 1,000 rows and so footers of some 5 MB, of which half is read on average, and a chunk of
/// texts has about 2 MB. Were that near the limit, a block's draw would fail where another machine has footers cached.
pub const BYTES_PER_PROMPT: u64 = 10_000_000;

/// Prompts whose budget even a smaller draw has: the listing costs the same for any number.
const LEAST_BUDGETED_PROMPTS: u64 = 40;

/// What has been read so far; shared by all threads of a draw.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    budget: u64,
    spent: AtomicU64,
    footers: Counter,
    data: Counter,
    accepted: AtomicU64,
    wanted: u64,
}

#[derive(Debug, Default)]
struct Counter {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    fn share(&self) -> Share {
        Share { requests: self.requests.load(Relaxed), bytes: self.bytes.load(Relaxed) }
    }
}

impl Meter {
    /// For a draw of `count` prompts, of whose budget `spent` bytes are gone.
    pub(crate) fn new(count: usize, spent: u64) -> Self {
        let budget = (count as u64).max(LEAST_BUDGETED_PROMPTS).saturating_mul(BYTES_PER_PROMPT);
        Meter { budget, spent: spent.into(), wanted: count as u64, ..Meter::default() }
    }

    /// Takes bytes from the budget before they are asked for.
    pub(crate) fn spend(&self, bytes: u64, file: &str) -> Result<(), DatasetError> {
        let within = |spent: u64| spent.checked_add(bytes).filter(|after| *after <= self.budget);
        self.spent.fetch_update(Relaxed, Relaxed, within).map(drop).map_err(|spent| DatasetError::Budget {
            file: file.to_owned(),
            wanted_bytes: bytes,
            spent_bytes: spent,
            budget_bytes: self.budget,
        })
    }

    pub(crate) fn count(&self, purpose: Purpose, bytes: u64) {
        let counter = match purpose {
            Purpose::Footer => &self.footers,
            Purpose::Data => &self.data,
        };
        counter.requests.fetch_add(1, Relaxed);
        counter.bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn set_accepted(&self, accepted: usize) {
        self.accepted.store(accepted as u64, Relaxed);
    }

    pub(crate) fn footers(&self) -> Share {
        self.footers.share()
    }

    pub(crate) fn data(&self) -> Share {
        self.data.share()
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress {
            bytes_read: self.footers().bytes + self.data().bytes,
            accepted: self.accepted.load(Relaxed),
            wanted: self.wanted,
        }
    }
}
