//! From a block to random numbers: rule 1 of the protocol, written out.

use distil_types::{BlockRef, NetUid};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;

/// What the hash of a seed begins with: 17 bytes, so that no other use of a block's hash gives the same numbers.
const DOMAIN: &[u8; 17] = b"distil/1 prompts\0";

/// The seed of a round's prompts: 32 bytes.
///
/// It is the SHA-256 of these 59 bytes:
///
/// | bytes | what |
/// |---|---|
/// | 0–16 | `distil/1 prompts` in ASCII and a zero byte |
/// | 17–18 | the netuid, 16 bits, little endian |
/// | 19–26 | the number of the block, 64 bits, little endian |
/// | 27–58 | the hash of the block as the chain gives it, 32 bytes |
///
/// The hash of a block can't be known before the block exists, so neither can its prompts; and it is the same for
/// everybody after.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The seed of a block on a subnet.
    ///
    /// ```
    /// use distil_dataset::Seed;
    /// use distil_types::{BlockRef, NetUid};
    ///
    /// let block = BlockRef { number: 7_855_174, hash: format!("0x{}", "00ab".repeat(16)).parse()? };
    /// let seed = Seed::of_block("97".parse()?, block);
    /// assert_eq!(seed.to_string(), "01318b5d1d71c135603e284ed4a3847f97733c3198315f1f8b45cba6ea1a847b");
    /// # Ok::<(), distil_types::Error>(())
    /// ```
    pub fn of_block(netuid: NetUid, block: BlockRef) -> Seed {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(netuid.0.to_le_bytes());
        hash.update(block.number.to_le_bytes());
        hash.update(block.hash.as_bytes());
        Seed(hash.finalize().into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The random numbers of one try to find a document, numbered from 0.
    pub fn try_numbers(&self, number: u64) -> TryNumbers {
        let mut stream = ChaCha20Rng::from_seed(self.0);
        stream.set_stream(number);
        TryNumbers { stream }
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seed({self})")
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The random numbers of one try: a ChaCha20 key stream, and whole numbers made of it.
///
/// The key is the seed. The state's words 12 and 13 are the counter of blocks, from 0; words 14 and 15 are the number of
/// the try, low word first (Bernstein's layout: a 64-bit counter and a 64-bit nonce). Since every try has its own
/// stream, how many numbers one takes says nothing about the next, and tries can be looked at in any order.
///
/// The stream is read as 64-bit numbers: bytes 0–7 are the first, little endian, bytes 8–15 the second, and so on.
#[derive(Debug, Clone)]
pub struct TryNumbers {
    stream: ChaCha20Rng,
}

impl TryNumbers {
    /// The next whole number from 0 to `n - 1`, each as likely as any other.
    ///
    /// Let `r` be 2^64 modulo `n`. The next 64-bit number `x` of the stream is taken; as long as `x` is 2^64 − `r` or
    /// more it is thrown away and the next is taken. The result is `x` modulo `n`.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is no number below 0");
        let remainder = (u64::MAX % n + 1) % n;
        loop {
            let x = self.stream.next_u64();
            if x <= u64::MAX - remainder {
                return x % n;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(seed: u8, number: u64) -> TryNumbers {
        Seed([seed; 32]).try_numbers(number)
    }

    #[test]
    fn every_number_is_as_likely() {
        // 96 cells of 1,000 expected each: chi-square with 95 degrees of freedom, which stays below 150 but once in 3,000.
        let mut counts = [0u32; 96];
        let mut numbers = numbers(1, 0);
        for _ in 0..96_000 {
            counts[numbers.below(96) as usize] += 1;
        }
        let chi_square: f64 = counts.iter().map(|count| (f64::from(*count) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi_square < 150.0, "{chi_square}");
    }

    #[test]
    fn a_bound_near_the_top_rejects_half_and_stays_even() {
        // Of 2^64 numbers 2^63 - 1 are thrown away; without that the lower half would come twice as often.
        let n = (1 << 63) + 1;
        let mut numbers = numbers(2, 0);
        let low = (0..10_000).filter(|_| numbers.below(n) < n / 2).count();
        assert!((4_800..5_200).contains(&low), "{low}");
    }

    #[test]
    fn tries_have_streams_of_their_own() {
        let first: Vec<u64> = (0..100).map(|number| numbers(3, number).below(u64::MAX)).collect();
        let mut sorted = first.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), first.len());
    }

    #[test]
    fn a18_a_seed_takes_the_hash_and_not_only_the_number() {
        let of = |number, byte| {
            Seed::of_block(
                "97".parse().unwrap(),
                BlockRef { number, hash: distil_types::BlockHash::from_bytes([byte; 32]) },
            )
        };
        assert_ne!(of(100, 1), of(100, 2));
        assert_ne!(of(100, 1), of(150, 1));
        let other_subnet = Seed::of_block(
            "98".parse().unwrap(),
            BlockRef { number: 100, hash: distil_types::BlockHash::from_bytes([1; 32]) },
        );
        assert_ne!(of(100, 1), other_subnet);
    }

    #[test]
    fn a19_leading_zeros_of_a_hash_count() {
        let seed =
            |text: &str| Seed::of_block("97".parse().unwrap(), BlockRef { number: 7, hash: text.parse().unwrap() });
        let with_zeros = format!("0x00{}", "ab".repeat(31));
        assert_eq!(seed(&with_zeros), seed(&with_zeros[2..]));
        assert_ne!(seed(&with_zeros), seed(&format!("0x{}00", "ab".repeat(31))));
    }

    proptest! {
        #[test]
        fn numbers_are_below_their_bound(seed in any::<u8>(), number in any::<u64>(), n in 1u64..) {
            let mut numbers = numbers(seed, number);
            for _ in 0..4 {
                prop_assert!(numbers.below(n) < n);
            }
        }

        #[test]
        fn the_same_try_gives_the_same_numbers(seed in any::<u8>(), number in any::<u64>()) {
            let (mut a, mut b) = (numbers(seed, number), numbers(seed, number));
            for n in [1, 2, 97, u64::MAX] {
                prop_assert_eq!(a.below(n), b.below(n));
            }
        }
    }
}
