use std::arch::x86_64::*;

use super::Vector;
use crate::Logit;
use crate::logit::{Encoding, Format};

/// Needs `avx512f` and `avx512dq`.
#[derive(Clone, Copy)]
pub(crate) struct F32x16(__m512);

/// 2^64 · 2^r on [0, 1): minimax in the relative error, 1.5e-7 with the rounding of the evaluation.
const EXP2: [f32; 6] = {
    let raise = f32::from_bits((127 + 64) << 23); // 2^64: products with it are exact
    [
        (1.0 - f32::EPSILON / 2.0) * raise,
        0.693_153 * raise,
        0.240_153_61 * raise,
        0.055_826_318 * raise,
        0.008_989_34 * raise,
        0.001_877_576_6 * raise,
    ]
};

impl Vector for F32x16 {
    const LANES: usize = 16;
    type Wide = __m512d;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: as the trait demands, for this and every block below.
        unsafe { Self(_mm512_set1_ps(value)) }
    }

    #[inline(always)]
    unsafe fn load_pair<T: Logit>(
        from: *const T,
        #[cfg_attr(not(feature = "half"), expect(unused_variables, reason = "for bf16"))] any_order: bool,
    ) -> (Self, Self) {
        // SAFETY: `T::ENCODING` tells how 32 values from `from` on are laid out.
        unsafe {
            match <T as Format>::ENCODING {
                Encoding::Single => {
                    let from = from.cast::<f32>();
                    (Self(_mm512_loadu_ps(from)), Self(_mm512_loadu_ps(from.add(16))))
                }
                #[cfg(feature = "half")]
                Encoding::Brain if any_order => {
                    // Even and odd columns: one load and one instruction each, no shuffle.
                    let pairs = _mm512_loadu_si512(from.cast());
                    let odd = _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff_0000u32 as i32));
                    let even = _mm512_slli_epi32::<16>(pairs);
                    (Self(_mm512_castsi512_ps(even)), Self(_mm512_castsi512_ps(odd)))
                }
                #[cfg(feature = "half")]
                Encoding::Brain => {
                    let widen = |bits| {
                        let wide = _mm512_cvtepu16_epi32(bits);
                        Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide)))
                    };
                    let from = from.cast::<u16>();
                    (widen(_mm256_loadu_si256(from.cast())), widen(_mm256_loadu_si256(from.add(16).cast())))
                }
                #[cfg(feature = "half")]
                Encoding::Half => {
                    let from = from.cast::<u16>();
                    (
                        Self(_mm512_cvtph_ps(_mm256_loadu_si256(from.cast()))),
                        Self(_mm512_cvtph_ps(_mm256_loadu_si256(from.add(16).cast()))),
                    )
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm512_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see `splat`.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm512_sub_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, addend.0)) }
    }

    #[inline(always)]
    unsafe fn mul_sub_exact(self, factor: Self, offset: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm512_fmsub_ps(self.0, factor.0, offset.0)) }
    }

    #[inline(always)]
    unsafe fn at_least(self, floor: Self) -> Self {
        // SAFETY: see `splat`. The second operand is returned if either is NaN.
        unsafe { Self(_mm512_max_ps(floor.0, self.0)) }
    }

    #[inline(always)]
    unsafe fn exp2_raised<const N: usize>(values: [Self; N]) -> [Self; N] {
        // SAFETY: see `splat`.
        unsafe {
            // r = x − floor(x); VSCALEFPS multiplies by 2^floor(x) and rounds to inf and 0 by itself.
            let mut r = values;
            let mut index = 0;
            while index < N {
                let x = values[index].0;
                r[index].0 = _mm512_reduce_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x);
                index += 1;
            }
            let mut powers = [Self(_mm512_set1_ps(EXP2[5])); N];
            let mut degree = 5;
            while degree > 0 {
                degree -= 1;
                let coefficient = _mm512_set1_ps(EXP2[degree]);
                let mut index = 0;
                while index < N {
                    powers[index].0 = _mm512_fmadd_ps(powers[index].0, r[index].0, coefficient);
                    index += 1;
                }
            }
            let mut index = 0;
            while index < N {
                powers[index].0 = _mm512_scalef_ps(powers[index].0, values[index].0);
                index += 1;
            }
            powers
        }
    }

    #[inline(always)]
    unsafe fn all_within(self, limit: Self) -> bool {
        // SAFETY: see `splat`.
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(_mm512_abs_ps(self.0), limit.0) == 0xffff }
    }

    #[inline(always)]
    unsafe fn any_less_where_other_not(self, other: Self, limit: Self) -> bool {
        // SAFETY: see `splat`.
        unsafe {
            let less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, limit.0);
            let other_less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(other.0, limit.0);
            less & !other_less != 0
        }
    }

    #[inline(always)]
    unsafe fn wide_load(from: &[f64; 8]) -> __m512d {
        // SAFETY: see `splat`.
        unsafe { _mm512_loadu_pd(from.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn wide_store(wide: __m512d, to: &mut [f64; 8]) {
        // SAFETY: see `splat`.
        unsafe { _mm512_storeu_pd(to.as_mut_ptr(), wide) }
    }

    #[inline(always)]
    unsafe fn add_to(self, wide: __m512d) -> __m512d {
        // SAFETY: see `splat`.
        unsafe {
            let low = _mm512_cvtps_pd(_mm512_castps512_ps256(self.0));
            let high = _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(self.0));
            _mm512_add_pd(wide, _mm512_add_pd(low, high))
        }
    }

    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        // SAFETY: see `splat`. A prefetch does not fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
}
