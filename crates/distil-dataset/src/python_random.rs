//! CPython's `random.Random` as far as the original validator used it: seeding by a whole number, and `sample`.
//!
//! The generator is MT19937 of Matsumoto and Nishimura, seeded by their `init_by_array`. What CPython adds is fixed by
//! its documentation and test suite only in part; the test vectors beside this crate were made by CPython itself.

const STATE_WORDS: usize = 624;
const MIDDLE: usize = 397;

/// `random.Random(seed)`.
#[derive(Clone)]
pub(crate) struct PythonRandom {
    state: [u32; STATE_WORDS],
    /// Words of the state that are used up.
    used: usize,
}

impl PythonRandom {
    /// Seeds with a whole number, as its 32-bit words, lowest first, without leading zeros; 0 is one word.
    pub(crate) fn new(seed: u64) -> Self {
        let words = [seed as u32, (seed >> 32) as u32];
        let key = if words[1] == 0 { &words[..1] } else { &words[..] };

        let mut state = [0u32; STATE_WORDS];
        state[0] = 19_650_218;
        for i in 1..STATE_WORDS {
            let before = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(before ^ before >> 30).wrapping_add(i as u32);
        }
        let mut i = 1;
        let step = |i: &mut usize, state: &mut [u32; STATE_WORDS]| {
            *i += 1;
            if *i == STATE_WORDS {
                state[0] = state[STATE_WORDS - 1];
                *i = 1;
            }
        };
        // The key has fewer words than the state, so the state sets the number of rounds.
        for round in 0..STATE_WORDS {
            let before = state[i - 1];
            let j = round % key.len();
            state[i] = (state[i] ^ (before ^ before >> 30).wrapping_mul(1_664_525))
                .wrapping_add(key[j])
                .wrapping_add(j as u32);
            step(&mut i, &mut state);
        }
        for _ in 1..STATE_WORDS {
            let before = state[i - 1];
            state[i] = (state[i] ^ (before ^ before >> 30).wrapping_mul(1_566_083_941)).wrapping_sub(i as u32);
            step(&mut i, &mut state);
        }
        state[0] = 0x8000_0000;
        PythonRandom { state, used: STATE_WORDS }
    }

    fn next_word(&mut self) -> u32 {
        if self.used == STATE_WORDS {
            for i in 0..STATE_WORDS {
                let joined = self.state[i] & 0x8000_0000 | self.state[(i + 1) % STATE_WORDS] & 0x7fff_ffff;
                let twist = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + MIDDLE) % STATE_WORDS] ^ joined >> 1 ^ twist;
            }
            self.used = 0;
        }
        let mut word = self.state[self.used];
        self.used += 1;
        word ^= word >> 11;
        word ^= word << 7 & 0x9d2c_5680;
        word ^= word << 15 & 0xefc6_0000;
        word ^ word >> 18
    }

    /// `getrandbits(count)` for 1 to 64 bits: the words lowest first, of the last its highest bits.
    fn bits(&mut self, count: u32) -> u64 {
        match count {
            1..=32 => u64::from(self.next_word() >> (32 - count)),
            _ => {
                let low = u64::from(self.next_word());
                low | u64::from(self.next_word() >> (64 - count)) << 32
            }
        }
    }

    /// `_randbelow(n)`: as many bits as `n` has, until the number is below `n`.
    fn below(&mut self, n: u64) -> u64 {
        let count = u64::BITS - n.leading_zeros();
        loop {
            let number = self.bits(count);
            if number < n {
                return number;
            }
        }
    }

    /// The places that `sample(pool, count)` takes from a pool of `pool` elements, in its order; `None` if there are
    /// fewer than `count`, where Python raises `ValueError`.
    pub(crate) fn sample(&mut self, pool: u64, count: usize) -> Option<Vec<u64>> {
        if (count as u64) > pool {
            return None;
        }
        // Python weighs a list of the pool against a set of the places taken: 21 plus, for more than 5,
        // 4 ** ceil(log(count * 3, 4)). No power of four is a multiple of three, so whole numbers give the same.
        let mut set_size = 21u64;
        if count > 5 {
            let mut table = 1u64;
            while table < count as u64 * 3 {
                table *= 4;
            }
            set_size += table;
        }
        let mut places = Vec::with_capacity(count);
        if pool <= set_size {
            let mut left: Vec<u64> = (0..pool).collect();
            for _ in 0..count {
                let place = self.below(left.len() as u64) as usize;
                // The last one left moves to the place that was taken.
                places.push(left.swap_remove(place));
            }
        } else {
            let mut taken = std::collections::HashSet::with_capacity(count);
            while places.len() < count {
                let place = self.below(pool);
                if taken.insert(place) {
                    places.push(place);
                }
            }
        }
        Some(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Vectors {
        words: Vec<Words>,
        samples: Vec<Sample>,
    }

    #[derive(Deserialize)]
    struct Words {
        seed: u64,
        /// `getrandbits` of 1, 5, 32, 33 and 64 bits, in turn, 200 times: past the first 624 words.
        bits: Vec<u64>,
    }

    #[derive(Deserialize)]
    struct Sample {
        seed: u64,
        pool: u64,
        count: usize,
        places: Vec<u64>,
    }

    #[test]
    fn cpython_gave_the_same_numbers() {
        let vectors: Vectors = serde_json::from_str(include_str!("../vectors/cpython_sample.json")).unwrap();
        for words in &vectors.words {
            let mut random = PythonRandom::new(words.seed);
            let bits: Vec<u64> = words
                .bits
                .iter()
                .zip([1, 5, 32, 33, 64].iter().cycle())
                .map(|(_, count)| random.bits(*count))
                .collect();
            assert_eq!(bits, words.bits, "seed {}", words.seed);
        }
        for sample in &vectors.samples {
            let places = PythonRandom::new(sample.seed).sample(sample.pool, sample.count).unwrap();
            assert_eq!(places, sample.places, "seed {}, {} of {}", sample.seed, sample.count, sample.pool);
        }
        let set_size = 21 + 256;
        for pool in [40, set_size, set_size + 1, 500] {
            assert!(vectors.samples.iter().any(|sample| sample.count == 40 && sample.pool == pool), "{pool}");
        }
    }

    #[test]
    fn more_than_there_are_is_refused() {
        assert_eq!(PythonRandom::new(1).sample(3, 4), None);
        assert_eq!(PythonRandom::new(1).sample(0, 0), Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn a_sample_is_distinct_and_within_the_pool(seed in any::<u64>(), pool in 1u64..2000, share in 0.0f64..=1.0) {
            let count = (pool as f64 * share) as usize;
            let mut places = PythonRandom::new(seed).sample(pool, count).unwrap();
            prop_assert_eq!(places.len(), count);
            places.sort_unstable();
            places.dedup();
            prop_assert_eq!(places.len(), count);
            prop_assert!(places.last().is_none_or(|last| *last < pool));
        }
    }
}
