//! Storage while a block is made: writes are kept aside until the block is done, and those of a call that fails are
//! dropped.

use super::{Read, View};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// What was written: a value, or that there is none any more.
pub(crate) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The parent's storage with this block's writes over it.
#[derive(Debug)]
pub(crate) struct Execution<'a> {
    parent: Option<View<'a>>,
    block: Changes,
    call: Changes,
}

impl<'a> Execution<'a> {
    /// Nothing is written yet. Only the first block has no parent.
    pub(crate) fn new(parent: Option<View<'a>>) -> Self {
        Execution { parent, block: Changes::new(), call: Changes::new() }
    }

    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.call.insert(key, Some(value));
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.call.insert(key, None);
    }

    /// Keeps what was written since the last commit.
    pub(crate) fn commit(&mut self) {
        self.block.append(&mut self.call);
    }

    /// Drops what was written since the last commit.
    pub(crate) fn roll_back(&mut self) {
        self.call.clear();
    }

    /// All that the block wrote.
    pub(crate) fn finish(mut self) -> Changes {
        self.commit();
        self.block
    }
}

impl Read for Execution<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.call.get(key).or_else(|| self.block.get(key)) {
            Some(written) => written.clone(),
            None => self.parent.as_ref().and_then(|parent| parent.get(key)),
        }
    }

    fn keys(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<Vec<u8>> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        // A block is small: all of its keys with the prefix are merged, then cut.
        let mut keys: BTreeSet<Vec<u8>> = match &self.parent {
            Some(parent) => parent.keys(prefix, after, usize::MAX).into_iter().collect(),
            None => BTreeSet::new(),
        };
        for changes in [&self.block, &self.call] {
            let written = changes.range::<[u8], _>((start, Bound::Unbounded));
            for (key, value) in written.take_while(|(key, _)| key.starts_with(prefix)) {
                if value.is_some() {
                    keys.insert(key.clone())
                } else {
                    keys.remove(key)
                };
            }
        }
        keys.into_iter().take(limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    #[test]
    fn a_failed_call_leaves_nothing_behind() {
        let store = Store::from_block(0, [(b"a".to_vec(), vec![0]), (b"b".to_vec(), vec![0])]);
        let mut execution = Execution::new(store.at(0));
        execution.put(b"a".to_vec(), vec![1]);
        execution.commit();
        execution.put(b"c".to_vec(), vec![2]);
        execution.delete(b"b".to_vec());
        assert_eq!(execution.keys(b"", None, 9), [b"a", b"c"]);
        execution.roll_back();
        assert_eq!(execution.get(b"a"), Some(vec![1]));
        assert_eq!(execution.keys(b"", None, 9), [b"a", b"b"]);
        assert_eq!(execution.finish().len(), 1);
    }
}
