//! All blocks' storage: for each key, its values and the blocks that wrote them.

use super::{Changes, Read};
use std::collections::BTreeMap;
use std::ops::Bound;

type Versions = Vec<(u32, Option<Vec<u8>>)>;

/// The storage of the chain of best blocks, for each of its blocks since the oldest that is kept.
#[derive(Debug, Default)]
pub(crate) struct Store {
    values: BTreeMap<Vec<u8>, Versions>,
    oldest: u32,
}

impl Store {
    /// Starts from one block's storage, older ones are not known.
    pub(crate) fn from_block(number: u32, values: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let values = values.into_iter().map(|(key, value)| (key, vec![(number, Some(value))])).collect();
        Store { values, oldest: number }
    }

    /// Adds what a block wrote. Blocks come in order.
    pub(crate) fn append(&mut self, number: u32, changes: Changes) {
        for (key, value) in changes {
            self.values.entry(key).or_default().push((number, value));
        }
    }

    /// Forgets what blocks after this one wrote.
    pub(crate) fn roll_back(&mut self, to: u32) {
        self.values.retain(|_, versions| {
            versions.truncate(versions.partition_point(|(number, _)| *number <= to));
            !versions.is_empty()
        });
    }

    /// Forgets the storage of blocks before this one.
    pub(crate) fn prune(&mut self, before: u32) {
        if before <= self.oldest {
            return;
        }
        self.oldest = before;
        self.values.retain(|_, versions| {
            // What holds at `before` is the last version up to it.
            let first = versions.partition_point(|(number, _)| *number <= before).saturating_sub(1);
            versions.drain(..first);
            !matches!(&versions[..], [(number, None)] if *number <= before)
        });
    }

    /// The first block whose storage is known.
    pub(crate) fn oldest(&self) -> u32 {
        self.oldest
    }

    /// The storage of one block, none where it is no longer kept.
    pub(crate) fn at(&self, number: u32) -> Option<View<'_>> {
        (number >= self.oldest).then_some(View { store: self, number })
    }
}

/// One block's storage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    store: &'a Store,
    number: u32,
}

impl View<'_> {
    fn value_of<'v>(&self, versions: &'v Versions) -> Option<&'v Vec<u8>> {
        let end = versions.partition_point(|(number, _)| *number <= self.number);
        versions[..end].last().and_then(|(_, value)| value.as_ref())
    }
}

impl View<'_> {
    /// Everything that is stored.
    pub(crate) fn all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let values = self.store.values.iter();
        values.filter_map(|(key, versions)| Some((key.clone(), self.value_of(versions)?.clone()))).collect()
    }
}

impl Read for View<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.store.values.get(key).and_then(|versions| self.value_of(versions)).cloned()
    }

    fn keys(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<Vec<u8>> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.store
            .values
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(_, versions)| self.value_of(versions).is_some())
            .take(limit)
            .map(|(key, _)| key.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(pairs: &[(&str, Option<&str>)]) -> Changes {
        pairs.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.map(|text| text.as_bytes().to_vec()))).collect()
    }

    fn value(store: &Store, block: u32, key: &str) -> Option<String> {
        store.at(block).unwrap().get(key.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn each_block_keeps_what_it_saw() {
        let mut store = Store::default();
        store.append(0, changes(&[("a", Some("0")), ("b", Some("0"))]));
        store.append(1, changes(&[("a", Some("1")), ("b", None), ("c", Some("1"))]));
        assert_eq!((value(&store, 0, "a"), value(&store, 1, "a")), (Some("0".into()), Some("1".into())));
        assert_eq!((value(&store, 0, "b"), value(&store, 1, "b")), (Some("0".into()), None));
        assert_eq!(store.at(1).unwrap().keys(b"", None, 9), [b"a", b"c"]);
        assert_eq!(store.at(0).unwrap().keys(b"", Some(b"a"), 9), [b"b"]);

        store.roll_back(0);
        assert_eq!(value(&store, 1, "a"), Some("0".into()));
        assert_eq!(value(&store, 1, "c"), None);
    }

    #[test]
    fn pruning_keeps_what_later_blocks_see() {
        let mut store = Store::default();
        store.append(0, changes(&[("a", Some("0")), ("b", Some("0")), ("c", Some("0"))]));
        store.append(3, changes(&[("a", Some("3")), ("b", None)]));
        store.prune(5);
        assert!(store.at(4).is_none());
        assert_eq!(value(&store, 5, "a"), Some("3".into()));
        assert_eq!(value(&store, 5, "b"), None);
        assert_eq!(value(&store, 5, "c"), Some("0".into()));
        assert_eq!(store.values.len(), 2);
    }
}
