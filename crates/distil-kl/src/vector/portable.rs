use super::Vector;
use crate::Logit;

/// Runs everywhere; the compiler makes vector instructions of the loops where it can.
#[derive(Clone, Copy)]
pub(crate) struct Array8([f32; 8]);

/// 2^r on [−1/2, 1/2]: minimax in the relative error, 1.5e-7 with the rounding of the evaluation.
#[expect(clippy::approx_constant, reason = "a fitted coefficient, not ln 2")]
pub(super) const EXP2: [f32; 6] = [1.0, 0.693_147, 0.240_222_42, 0.055_507_205, 0.009_671_436, 0.001_326_473_7];

/// The result is raised by 2^64, so a power of −191 has the exponent field 0, which is the number 0.
pub(super) const SMALLEST_POWER: f32 = -191.0;
/// And a power of 64 has the exponent field 255, which is infinity: an overflow must be seen.
pub(super) const LARGEST_POWER: f32 = 64.0;
/// Added to x it leaves round(x) + 127 + 64 in the low bits of the sum: the exponent field.
pub(super) const ROUND_TO_INTEGER: f32 = 12_582_912.0 + 127.0 + 64.0;

impl Array8 {
    #[inline(always)]
    fn map(self, f: impl Fn(f32) -> f32) -> Self {
        Self(self.0.map(f))
    }

    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| f(self.0[lane], other.0[lane])))
    }
}

/// Fused where the processor always can, else in two roundings: a call into the C library for
/// each number would take longer than all the rest.
#[inline(always)]
fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, c) } else { a * b + c }
}

impl Vector for Array8 {
    const LANES: usize = 8;
    type Wide = [f64; 8];

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 8])
    }

    #[inline(always)]
    unsafe fn load_pair<T: Logit>(from: *const T, _any_order: bool) -> (Self, Self) {
        // SAFETY: the caller lets 16 values be read.
        unsafe {
            let first: [f32; 8] = std::array::from_fn(|lane| from.add(lane).read().to_f32());
            let second = std::array::from_fn(|lane| from.add(8 + lane).read().to_f32());
            (Self(first), Self(second))
        }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller lets 8 values be read.
        unsafe { Self(from.cast::<[f32; 8]>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller lets 8 values be written.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(std::array::from_fn(|lane| mul_add(self.0[lane], factor.0[lane], addend.0[lane])))
    }

    #[inline(always)]
    unsafe fn mul_sub_exact(self, factor: Self, offset: Self) -> Self {
        // The product of two f32 is exact in f64.
        Self(std::array::from_fn(|lane| {
            let product = f64::from(self.0[lane]) * f64::from(factor.0[lane]);
            (product - f64::from(offset.0[lane])) as f32
        }))
    }

    #[inline(always)]
    unsafe fn at_least(self, floor: Self) -> Self {
        self.zip(floor, |a, floor| if a < floor { floor } else { a })
    }

    #[inline(always)]
    unsafe fn exp2_raised<const N: usize>(values: [Self; N]) -> [Self; N] {
        values.map(|values| {
            values.map(|x| {
                // Written so that NaN stays NaN; see the AVX2 form for the steps.
                let x = if x < SMALLEST_POWER { SMALLEST_POWER } else { x };
                let x = if x > LARGEST_POWER { LARGEST_POWER } else { x };
                let shifted = x + ROUND_TO_INTEGER;
                let factor = f32::from_bits(shifted.to_bits() << 23);
                let r = x - (shifted - ROUND_TO_INTEGER);
                let power = mul_add(EXP2[5], r, EXP2[4]);
                let power = mul_add(power, r, EXP2[3]);
                let power = mul_add(power, r, EXP2[2]);
                let power = mul_add(power, r, EXP2[1]);
                mul_add(power, r, EXP2[0]) * factor
            })
        })
    }

    #[inline(always)]
    unsafe fn all_within(self, limit: Self) -> bool {
        // No early end: a loop without branches becomes vector instructions.
        self.0.iter().zip(&limit.0).fold(true, |all, (a, limit)| all & (a.abs() < *limit))
    }

    #[inline(always)]
    unsafe fn any_less_where_other_not(self, other: Self, limit: Self) -> bool {
        (0..8).fold(false, |any, lane| {
            let other_less = other.0[lane] < limit.0[lane];
            any | ((self.0[lane] < limit.0[lane]) & !other_less)
        })
    }

    #[inline(always)]
    unsafe fn wide_load(from: &[f64; 8]) -> [f64; 8] {
        *from
    }

    #[inline(always)]
    unsafe fn wide_store(wide: [f64; 8], to: &mut [f64; 8]) {
        *to = wide;
    }

    #[inline(always)]
    unsafe fn add_to(self, wide: [f64; 8]) -> [f64; 8] {
        std::array::from_fn(|lane| wide[lane] + f64::from(self.0[lane]))
    }

    #[inline(always)]
    unsafe fn prefetch(_address: *const u8) {}
}
