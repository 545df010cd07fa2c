//! What the chain stores: raw keys and values, for every block that is kept.

mod entry;
mod execution;
mod store;

pub(crate) use entry::{Defaulted, Entry, Hasher, Optional};
pub(crate) use execution::{Changes, Execution};
pub(crate) use store::{Store, View};

/// Reads raw storage.
pub(crate) trait Read {
    /// The value under a key.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// The keys that begin with `prefix` and stand after `after`, in order, at most `limit`.
    fn keys(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<Vec<u8>>;
}
