//! Storage that shows fewer neurons than there are: a fault to order.

use crate::pallets::subtensor::{KEYS, SUBNETWORK_N};
use crate::state::Read;
use parity_scale_codec::{Decode, Encode};

/// Storage, with at most so many neurons in every subnet, where a number is given.
pub(crate) struct FewNeurons<R> {
    storage: R,
    most: Option<u16>,
}

impl<R: Read> FewNeurons<R> {
    pub(crate) fn new(storage: R, most: Option<u16>) -> Self {
        FewNeurons { storage, most }
    }

    /// Whether the key is that of a seat which is not to be seen: its UID is the key's last part.
    fn hides(&self, key: &[u8]) -> bool {
        let Some(most) = self.most else { return false };
        let uid = key.len().checked_sub(2).and_then(|at| u16::decode(&mut &key[at..]).ok());
        key.len() == 36 && key.starts_with(&KEYS.prefix()) && uid.is_some_and(|uid| uid >= most)
    }
}

impl<R: Read> Read for FewNeurons<R> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        if self.hides(key) {
            return None;
        }
        let value = self.storage.get(key)?;
        match self.most {
            Some(most) if key.starts_with(&SUBNETWORK_N.prefix()) => {
                u16::decode(&mut &value[..]).ok().map(|neurons| neurons.min(most).encode())
            }
            _ => Some(value),
        }
    }

    fn keys(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<Vec<u8>> {
        if self.most.is_none() {
            return self.storage.keys(prefix, after, limit);
        }
        let keys = self.storage.keys(prefix, after, usize::MAX);
        keys.into_iter().filter(|key| !self.hides(key)).take(limit).collect()
    }
}
