//! Storage items: one definition serves the metadata and the code that reads and writes them.

use super::{Execution, Read};
use crate::hashing::{blake2_128, twox_64, twox_128};
use frame_metadata::v14::{StorageEntryMetadata, StorageEntryModifier, StorageEntryType, StorageHasher};
use parity_scale_codec::{Decode, Encode};
use scale_info::{MetaType, TypeInfo, meta_type};
use std::marker::PhantomData;

/// How a part of a key is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hasher {
    Identity,
    Blake2_128Concat,
    Twox64Concat,
}

impl Hasher {
    fn hash_into(self, part: &[u8], key: &mut Vec<u8>) {
        match self {
            Hasher::Identity => {}
            Hasher::Blake2_128Concat => key.extend(blake2_128(part)),
            Hasher::Twox64Concat => key.extend(twox_64(part)),
        }
        key.extend(part);
    }

    fn metadata(self) -> StorageHasher {
        match self {
            Hasher::Identity => StorageHasher::Identity,
            Hasher::Blake2_128Concat => StorageHasher::Blake2_128Concat,
            Hasher::Twox64Concat => StorageHasher::Twox64Concat,
        }
    }
}

/// The parts of a key: a tuple of none, one, two or three.
pub(crate) trait StorageKey: Decode {
    /// Each part's SCALE encoding.
    fn parts(&self) -> Vec<Vec<u8>>;

    /// The type in the metadata: none without parts, the part's where it is one, the tuple's otherwise.
    fn metadata() -> Option<MetaType>;
}

impl StorageKey for () {
    fn parts(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn metadata() -> Option<MetaType> {
        None
    }
}

impl<A: Encode + Decode + TypeInfo + 'static> StorageKey for (A,) {
    fn parts(&self) -> Vec<Vec<u8>> {
        vec![self.0.encode()]
    }

    fn metadata() -> Option<MetaType> {
        Some(meta_type::<A>())
    }
}

impl<A: Encode + Decode + TypeInfo + 'static, B: Encode + Decode + TypeInfo + 'static> StorageKey for (A, B) {
    fn parts(&self) -> Vec<Vec<u8>> {
        vec![self.0.encode(), self.1.encode()]
    }

    fn metadata() -> Option<MetaType> {
        Some(meta_type::<(A, B)>())
    }
}

/// What an item is while nothing is stored: its default, or nothing.
pub(crate) trait Query<V> {
    fn modifier() -> StorageEntryModifier;
    fn default_bytes(&self) -> Vec<u8>;
}

/// There is always a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaulted<V>(pub(crate) fn() -> V);

/// There may be no value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Optional;

impl<V: Encode> Query<V> for Defaulted<V> {
    fn modifier() -> StorageEntryModifier {
        StorageEntryModifier::Default
    }

    fn default_bytes(&self) -> Vec<u8> {
        (self.0)().encode()
    }
}

impl<V> Query<V> for Optional {
    fn modifier() -> StorageEntryModifier {
        StorageEntryModifier::Optional
    }

    fn default_bytes(&self) -> Vec<u8> {
        vec![0]
    }
}

/// A storage item: key parts `K`, value `V`, and what it is while nothing is stored.
#[derive(Debug)]
pub(crate) struct Entry<K, V, Q> {
    pallet: &'static str,
    name: &'static str,
    hashers: &'static [Hasher],
    query: Q,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: StorageKey, V: Encode + Decode + TypeInfo + 'static, Q: Query<V>> Entry<K, V, Q> {
    pub(crate) const fn new(pallet: &'static str, name: &'static str, hashers: &'static [Hasher], query: Q) -> Self {
        Entry { pallet, name, hashers, query, types: PhantomData }
    }

    /// The first 32 bytes of all keys of this item.
    pub(crate) fn prefix(&self) -> Vec<u8> {
        [twox_128(self.pallet.as_bytes()), twox_128(self.name.as_bytes())].concat()
    }

    /// The raw key.
    pub(crate) fn key(&self, key: K) -> Vec<u8> {
        self.key_of_parts(&key.parts())
    }

    fn key_of_parts(&self, parts: &[Vec<u8>]) -> Vec<u8> {
        let mut raw = self.prefix();
        for (part, hasher) in parts.iter().zip(self.hashers) {
            hasher.hash_into(part, &mut raw);
        }
        raw
    }

    /// The value, where one is stored that has the right form.
    pub(crate) fn find(&self, storage: &impl Read, key: K) -> Option<V> {
        V::decode(&mut &storage.get(&self.key(key))?[..]).ok()
    }

    pub(crate) fn put(&self, execution: &mut Execution<'_>, key: K, value: &V) {
        execution.put(self.key(key), value.encode());
    }

    pub(crate) fn remove(&self, execution: &mut Execution<'_>, key: K) {
        execution.delete(self.key(key));
    }

    /// The keys under the first part `first`, without it, for items whose hashers keep what they hash.
    pub(crate) fn second_parts<A: Encode, B: Decode>(&self, storage: &impl Read, first: &A) -> Vec<B> {
        let prefix = self.key_of_parts(&[first.encode()]);
        let skip = match self.hashers.get(1) {
            Some(Hasher::Blake2_128Concat) => 16,
            Some(Hasher::Twox64Concat) => 8,
            _ => 0,
        };
        let keys = storage.keys(&prefix, None, usize::MAX);
        keys.iter().filter_map(|key| B::decode(&mut key.get(prefix.len() + skip..)?).ok()).collect()
    }

    pub(crate) fn metadata(&self) -> StorageEntryMetadata {
        let value = meta_type::<V>();
        StorageEntryMetadata {
            name: self.name,
            modifier: Q::modifier(),
            ty: match K::metadata() {
                None => StorageEntryType::Plain(value),
                Some(key) => StorageEntryType::Map {
                    hashers: self.hashers.iter().map(|hasher| hasher.metadata()).collect(),
                    key,
                    value,
                },
            },
            default: self.query.default_bytes(),
            docs: Vec::new(),
        }
    }
}

impl<K: StorageKey, V: Encode + Decode + TypeInfo + 'static> Entry<K, V, Defaulted<V>> {
    /// The value, or the default where none is stored.
    pub(crate) fn get(&self, storage: &impl Read, key: K) -> V {
        self.find(storage, key).unwrap_or_else(self.query.0)
    }
}
