//! The hashes that storage keys, blocks and signatures are made with.

use blake2::digest::consts::{U16, U32};
use blake2::{Blake2b, Digest};
use twox_hash::XxHash64;

/// BLAKE2b with an output of 32 bytes: blocks, transactions, long payloads.
pub(crate) fn blake2_256(data: &[u8]) -> [u8; 32] {
    Blake2b::<U32>::digest(data).into()
}

/// BLAKE2b with an output of 16 bytes.
pub(crate) fn blake2_128(data: &[u8]) -> [u8; 16] {
    Blake2b::<U16>::digest(data).into()
}

/// Names of pallets and storage items: xxHash64 with the seeds 0 and 1.
pub(crate) fn twox_128(data: &[u8]) -> [u8; 16] {
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&XxHash64::oneshot(0, data).to_le_bytes());
    hash[8..].copy_from_slice(&XxHash64::oneshot(1, data).to_le_bytes());
    hash
}

/// xxHash64 with the seed 0.
pub(crate) fn twox_64(data: &[u8]) -> [u8; 8] {
    XxHash64::oneshot(0, data).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    #[test]
    fn well_known_keys_come_out() {
        // `System.Account` and `System.Number` as every Substrate chain stores them.
        assert_eq!(hex::encode(&twox_128(b"System")), "0x26aa394eea5630e07c48ae0c9558cef7");
        assert_eq!(hex::encode(&twox_128(b"Account")), "0xb99d880ec681799c0cf30e8886371da9");
        assert_eq!(hex::encode(&twox_128(b"Number")), "0x02a5c1b19ab7a04f536c519aca4983ac");
        // The key of //Alice in a blake2_128_concat map.
        let alice = hex::decode("0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d").unwrap();
        assert_eq!(hex::encode(&blake2_128(&alice)), "0xde1e86a9a8c739864cf3cc5ec2bea59f");
    }
}
