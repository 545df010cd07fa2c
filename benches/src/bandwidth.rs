//! How fast this machine can read two matrices: what a kernel that reads each logit once can reach
//! at best.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How the bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadStyle {
    /// One matrix after the other, left to the processor's own prefetcher.
    Plain,
    /// Both at once, row by row, as the KL kernel reads them, with its software prefetch.
    Prefetched,
}

/// Reads `rows` rows of both matrices once, adding 64-bit words, on `threads` threads that take
/// rows as the KL kernel does. Returns the sum, so that nothing can be left out.
///
/// Bytes at the end of a row that do not fill 256 are not read.
pub fn read_pairs(one: &[u8], two: &[u8], rows: usize, threads: NonZeroUsize, style: ReadStyle) -> u64 {
    assert_eq!(one.len(), two.len(), "two matrices of the same size");
    let row_bytes = one.len() / rows.max(1);
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut sum = 0u64;
        loop {
            let row = next.fetch_add(1, Ordering::Relaxed);
            if row >= rows {
                return sum;
            }
            let at = row * row_bytes..(row + 1) * row_bytes;
            sum = sum.wrapping_add(match style {
                ReadStyle::Plain => read_row(&one[at.clone()]).wrapping_add(read_row(&two[at])),
                ReadStyle::Prefetched => read_row_pair(&one[at.clone()], &two[at]),
            });
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.get()).map(|_| scope.spawn(worker)).collect();
        let own = worker();
        others
            .into_iter()
            .fold(own, |sum, other| sum.wrapping_add(other.join().expect("adding numbers does not panic")))
    })
}

fn read_row(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: AVX-512 F is available.
        return unsafe { x86::read_row_avx512(bytes) };
    }
    read_row_portable(bytes)
}

fn read_row_pair(one: &[u8], two: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: AVX-512 F is available, and both slices have the same length.
        return unsafe { x86::read_row_pair_avx512(one, two) };
    }
    read_row_portable(one).wrapping_add(read_row_portable(two))
}

fn read_row_portable(bytes: &[u8]) -> u64 {
    let mut sums = [0u64; 32];
    for chunk in bytes.chunks_exact(256) {
        for (sum, word) in sums.iter_mut().zip(chunk.chunks_exact(8)) {
            let word = word.try_into().expect("chunks of eight");
            *sum = sum.wrapping_add(u64::from_le_bytes(word));
        }
    }
    sums.iter().fold(0, |all, sum| all.wrapping_add(*sum))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// # Safety
    ///
    /// AVX-512 F must be available.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn read_row_avx512(bytes: &[u8]) -> u64 {
        let mut sums = [_mm512_setzero_si512(); 4];
        for chunk in bytes.chunks_exact(256) {
            for (index, sum) in sums.iter_mut().enumerate() {
                // SAFETY: four vectors of 64 bytes lie in a chunk of 256.
                let words = unsafe { _mm512_loadu_si512(chunk.as_ptr().add(64 * index).cast()) };
                *sum = _mm512_add_epi64(*sum, words);
            }
        }
        total(sums)
    }

    /// # Safety
    ///
    /// AVX-512 F must be available, and both slices have the same length.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn read_row_pair_avx512(one: &[u8], two: &[u8]) -> u64 {
        const AHEAD: usize = 4096;
        let mut sums = [_mm512_setzero_si512(); 4];
        for (one, two) in one.chunks_exact(128).zip(two.chunks_exact(128)) {
            for index in 0..2 {
                // SAFETY: two vectors of 64 bytes lie in a chunk of 128; a prefetch does not fault.
                unsafe {
                    let (one, two) = (one.as_ptr().add(64 * index), two.as_ptr().add(64 * index));
                    _mm_prefetch::<_MM_HINT_T0>(one.wrapping_add(AHEAD).cast());
                    _mm_prefetch::<_MM_HINT_T0>(two.wrapping_add(AHEAD).cast());
                    let (one, two) = (_mm512_loadu_si512(one.cast()), _mm512_loadu_si512(two.cast()));
                    sums[index] = _mm512_add_epi64(sums[index], one);
                    sums[2 + index] = _mm512_add_epi64(sums[2 + index], two);
                }
            }
        }
        total(sums)
    }

    #[target_feature(enable = "avx512f")]
    fn total(sums: [__m512i; 4]) -> u64 {
        let low = _mm512_add_epi64(sums[0], sums[1]);
        let high = _mm512_add_epi64(sums[2], sums[3]);
        _mm512_reduce_add_epi64(_mm512_add_epi64(low, high)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_once_in_every_style_and_by_any_number_of_threads() {
        let bytes = |seed: usize| -> Vec<u8> {
            (0..7 * 512).map(|index| (index * 31 + seed).wrapping_mul(seed) as u8).collect()
        };
        let (one, two) = (bytes(3), bytes(5));
        let words = one.chunks_exact(8).chain(two.chunks_exact(8));
        let expected =
            words.fold(0u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(word.try_into().expect("eight"))));
        for threads in [1, 2, 5] {
            let threads = NonZeroUsize::new(threads).expect("not zero");
            for style in [ReadStyle::Plain, ReadStyle::Prefetched] {
                assert_eq!(read_pairs(&one, &two, 7, threads, style), expected);
            }
        }
        assert_eq!(read_row_portable(&one).wrapping_add(read_row_portable(&two)), expected);
    }
}
