use std::arch::x86_64::*;

use super::Vector;
use super::portable::{EXP2, LARGEST_POWER, ROUND_TO_INTEGER, SMALLEST_POWER};
use crate::Logit;
use crate::logit::{Encoding, Format};

/// Needs `avx2`, `fma` and `f16c`.
#[derive(Clone, Copy)]
pub(crate) struct F32x8(__m256);

impl Vector for F32x8 {
    const LANES: usize = 8;
    type Wide = (__m256d, __m256d);

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: as the trait demands, for this and every block below.
        unsafe { Self(_mm256_set1_ps(value)) }
    }

    #[inline(always)]
    unsafe fn load_pair<T: Logit>(
        from: *const T,
        #[cfg_attr(not(feature = "half"), expect(unused_variables, reason = "for bf16"))] any_order: bool,
    ) -> (Self, Self) {
        // SAFETY: `T::ENCODING` tells how 16 values from `from` on are laid out.
        unsafe {
            match <T as Format>::ENCODING {
                Encoding::Single => {
                    let from = from.cast::<f32>();
                    (Self(_mm256_loadu_ps(from)), Self(_mm256_loadu_ps(from.add(8))))
                }
                #[cfg(feature = "half")]
                Encoding::Brain if any_order => {
                    let pairs = _mm256_loadu_si256(from.cast());
                    let odd = _mm256_and_si256(pairs, _mm256_set1_epi32(0xffff_0000u32 as i32));
                    let even = _mm256_slli_epi32::<16>(pairs);
                    (Self(_mm256_castsi256_ps(even)), Self(_mm256_castsi256_ps(odd)))
                }
                #[cfg(feature = "half")]
                Encoding::Brain => {
                    let widen = |bits| {
                        let wide = _mm256_cvtepu16_epi32(bits);
                        Self(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide)))
                    };
                    let from = from.cast::<u16>();
                    (widen(_mm_loadu_si128(from.cast())), widen(_mm_loadu_si128(from.add(8).cast())))
                }
                #[cfg(feature = "half")]
                Encoding::Half => {
                    let from = from.cast::<u16>();
                    (
                        Self(_mm256_cvtph_ps(_mm_loadu_si128(from.cast()))),
                        Self(_mm256_cvtph_ps(_mm_loadu_si128(from.add(8).cast()))),
                    )
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm256_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see `splat`.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm256_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm256_sub_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm256_mul_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, addend.0)) }
    }

    #[inline(always)]
    unsafe fn mul_sub_exact(self, factor: Self, offset: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm256_fmsub_ps(self.0, factor.0, offset.0)) }
    }

    #[inline(always)]
    unsafe fn at_least(self, floor: Self) -> Self {
        // SAFETY: see `splat`. The second operand is returned if either is NaN.
        unsafe { Self(_mm256_max_ps(floor.0, self.0)) }
    }

    #[inline(always)]
    unsafe fn exp2_raised<const N: usize>(values: [Self; N]) -> [Self; N] {
        // SAFETY: see `splat`.
        unsafe {
            let round = _mm256_set1_ps(ROUND_TO_INTEGER);
            let mut r = values;
            let mut factors = values;
            let mut index = 0;
            while index < N {
                // Clamped so that the exponent field runs from 0 (a factor of 0) to 255 (infinity).
                // The second operand is returned if either is NaN, so NaN stays NaN.
                let x = _mm256_max_ps(_mm256_set1_ps(SMALLEST_POWER), values[index].0);
                let x = _mm256_min_ps(_mm256_set1_ps(LARGEST_POWER), x);
                let shifted = _mm256_add_ps(x, round);
                let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(shifted));
                factors[index].0 = _mm256_castsi256_ps(exponent);
                r[index].0 = _mm256_sub_ps(x, _mm256_sub_ps(shifted, round));
                index += 1;
            }
            let mut powers = [Self(_mm256_set1_ps(EXP2[5])); N];
            let mut degree = 5;
            while degree > 0 {
                degree -= 1;
                let coefficient = _mm256_set1_ps(EXP2[degree]);
                let mut index = 0;
                while index < N {
                    powers[index].0 = _mm256_fmadd_ps(powers[index].0, r[index].0, coefficient);
                    index += 1;
                }
            }
            let mut index = 0;
            while index < N {
                powers[index].0 = _mm256_mul_ps(powers[index].0, factors[index].0);
                index += 1;
            }
            powers
        }
    }

    #[inline(always)]
    unsafe fn all_within(self, limit: Self) -> bool {
        // SAFETY: see `splat`.
        unsafe {
            let size = _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0);
            _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(size, limit.0)) == 0xff
        }
    }

    #[inline(always)]
    unsafe fn any_less_where_other_not(self, other: Self, limit: Self) -> bool {
        // SAFETY: see `splat`.
        unsafe {
            let less = _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, limit.0);
            let other_less = _mm256_cmp_ps::<_CMP_LT_OQ>(other.0, limit.0);
            _mm256_movemask_ps(_mm256_andnot_ps(other_less, less)) != 0
        }
    }

    #[inline(always)]
    unsafe fn wide_load(from: &[f64; 8]) -> Self::Wide {
        // SAFETY: see `splat`.
        unsafe { (_mm256_loadu_pd(from.as_ptr()), _mm256_loadu_pd(from.as_ptr().add(4))) }
    }

    #[inline(always)]
    unsafe fn wide_store(wide: Self::Wide, to: &mut [f64; 8]) {
        // SAFETY: see `splat`.
        unsafe {
            _mm256_storeu_pd(to.as_mut_ptr(), wide.0);
            _mm256_storeu_pd(to.as_mut_ptr().add(4), wide.1);
        }
    }

    #[inline(always)]
    unsafe fn add_to(self, wide: Self::Wide) -> Self::Wide {
        // SAFETY: see `splat`.
        unsafe {
            let low = _mm256_cvtps_pd(_mm256_castps256_ps128(self.0));
            let high = _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(self.0));
            (_mm256_add_pd(wide.0, low), _mm256_add_pd(wide.1, high))
        }
    }

    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        // SAFETY: see `splat`. A prefetch does not fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
}
