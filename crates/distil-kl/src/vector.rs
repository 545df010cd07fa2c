//! The few vector operations that the kernel needs, once per instruction set.

use crate::Logit;

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod portable;

/// A vector of `LANES` floats.
///
/// # Safety
///
/// Every method must be called only where the instructions of the implementation are available,
/// and so inlined into a function that enables them. Pointers must be readable (or writable) for
/// the lanes named; no alignment is needed.
pub(crate) trait Vector: Copy {
    /// Number of lanes: 8 or 16.
    const LANES: usize;
    /// Eight sums in `f64`.
    type Wide: Copy;

    unsafe fn splat(value: f32) -> Self;
    /// `2 × LANES` logits, widened. With `any_order` they may come permuted, but always by the
    /// same permutation for the same `T`.
    unsafe fn load_pair<T: Logit>(from: *const T, any_order: bool) -> (Self, Self);
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self × factor + addend`; fused or not.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// `self × factor − offset`, rounded once: `self` and `offset` may be large and nearly cancel.
    unsafe fn mul_sub_exact(self, factor: Self, offset: Self) -> Self;
    /// The larger of `self` and `floor`; NaN where `self` is NaN.
    unsafe fn at_least(self, floor: Self) -> Self;
    /// `2^(x + 64)` to about 2e-7 relative. From `x ≥ 64` on it is +inf, below −190 it is 0
    /// or nearly; NaN gives NaN. −inf gives NaN or 0.
    unsafe fn exp2_raised<const N: usize>(values: [Self; N]) -> [Self; N];
    /// Is `|lane| < limit` in every lane? No where one is NaN.
    unsafe fn all_within(self, limit: Self) -> bool;
    /// In any lane: `self < limit` and not `other < limit`? (NaN counts as not less.)
    unsafe fn any_less_where_other_not(self, other: Self, limit: Self) -> bool;
    unsafe fn wide_load(from: &[f64; 8]) -> Self::Wide;
    unsafe fn wide_store(wide: Self::Wide, to: &mut [f64; 8]);
    /// Adds every lane to one of eight sums.
    unsafe fn add_to(self, wide: Self::Wide) -> Self::Wide;
    /// Asks for the cache line at `address`, which need not be valid.
    unsafe fn prefetch(address: *const u8);
}
