//! The kernel: sums over blocks of one row, written once over [`Vector`].

use crate::Logit;
use crate::logit::Format;
use crate::vector::Vector;

/// Columns summed in `f32` lanes before the lanes are added to sums in `f64`.
pub(crate) const BLOCK: usize = 512;
/// Columns between two looks at the loop condition; a cache line of bf16 is 32.
const GROUP: usize = 64;
/// How far ahead of the loads both rows are prefetched.
const PREFETCH_BYTES: usize = 4096;
/// log₂ e in `f32`. The error of the constant acts as a temperature of 1 + 1.3e-8 on both models.
pub(crate) const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// A masked column is read as this power of two above the offset or less: no mass, even in `f64`.
const NO_MASS: f32 = -1100.0;
/// Sums beyond these (in a lane, raised by 2^64) mean that the offset no longer fits the row.
const MASS_LIMIT: f32 = 3.1e26; // 2^88
const PRODUCT_LIMIT: f32 = 1.0e37;
/// Fills the last vectors of a row: without mass, and with the same logit in both models.
const PADDING: f32 = -1e30;

/// Sums over columns of a row, in the frame of a base-2 offset for each model.
///
/// With `y = logit · log₂e − offset`, in units of 2⁻⁶⁴: `teacher_mass = Σ 2^y_t`,
/// `student_mass = Σ 2^y_s`, `product = Σ 2^y_t (y_t − y_s)`. Eight lanes each, so that rows fed in
/// tiles add up in the very order of whole rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums {
    pub(crate) teacher_mass: [f64; 8],
    pub(crate) student_mass: [f64; 8],
    pub(crate) product: [f64; 8],
}

impl Sums {
    pub(crate) const ZERO: Self = Self { teacher_mass: [0.0; 8], student_mass: [0.0; 8], product: [0.0; 8] };
}

/// Base-2 offsets: integers of at most 2^20, so that `logit · log₂e − offset` is exact to one
/// rounding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offsets {
    pub(crate) teacher: f32,
    pub(crate) student: f32,
}

/// The three sums of one block, in `f32` lanes.
#[derive(Clone, Copy)]
struct BlockSums<V> {
    teacher_mass: V,
    student_mass: V,
    product: V,
}

/// Two vectors of each sum: fewer additions into each, so less rounding.
#[derive(Clone, Copy)]
struct Lanes<V, const MASKED: bool> {
    sums: [BlockSums<V>; 2],
    teacher_offset: V,
    student_offset: V,
    /// The student has no mass in a column where the teacher may have.
    student_lacks_mass: bool,
}

impl<V: Vector, const MASKED: bool> Lanes<V, MASKED> {
    /// # Safety
    ///
    /// As for [`Vector`].
    #[inline(always)]
    unsafe fn new(offsets: Offsets) -> Self {
        // SAFETY: passed on to the caller, here and below.
        unsafe {
            let zero = V::splat(0.0);
            Self {
                sums: [BlockSums { teacher_mass: zero, student_mass: zero, product: zero }; 2],
                teacher_offset: V::splat(offsets.teacher),
                student_offset: V::splat(offsets.student),
                student_lacks_mass: false,
            }
        }
    }

    /// Adds `N / 2` vectors of each model: the teacher's are the first half of `logits`. They are
    /// added up before they go into the sums of `which`, again for less rounding.
    ///
    /// Every step is done for all vectors before the next step, since the chain of one vector is
    /// long and the processor looks only so far ahead for others to fill the time.
    ///
    /// # Safety
    ///
    /// As for [`Vector`].
    #[inline(always)]
    unsafe fn add<const N: usize>(&mut self, which: usize, logits: [V; N]) {
        // SAFETY: as above.
        unsafe {
            let log2_e = V::splat(LOG2_E);
            let half = N / 2;
            let mut y = logits;
            let mut index = 0;
            while index < N {
                let offset = if index < half { self.teacher_offset } else { self.student_offset };
                y[index] = logits[index].mul_sub_exact(log2_e, offset);
                index += 1;
            }
            if MASKED {
                let no_mass = V::splat(NO_MASS);
                let mut index = 0;
                while index < half {
                    let (teacher, student) = (y[index], y[half + index]);
                    self.student_lacks_mass |= student.any_less_where_other_not(teacher, no_mass);
                    y[index] = teacher.at_least(no_mass);
                    y[half + index] = student.at_least(no_mass);
                    index += 1;
                }
            }
            let powers = V::exp2_raised(y);
            let mut teacher_mass = powers[0];
            let mut student_mass = powers[half];
            let mut product = powers[0].mul(y[0].sub(y[half]));
            let mut index = 1;
            while index < half {
                let (teacher, student) = (powers[index], powers[half + index]);
                teacher_mass = teacher_mass.add(teacher);
                student_mass = student_mass.add(student);
                product = teacher.mul_add(y[index].sub(y[half + index]), product);
                index += 1;
            }
            let sums = &mut self.sums[which % 2];
            sums.teacher_mass = sums.teacher_mass.add(teacher_mass);
            sums.student_mass = sums.student_mass.add(student_mass);
            sums.product = sums.product.add(product);
        }
    }

    /// The sums if they are good, which NaN, infinity, and a row that outgrew its offsets are not.
    ///
    /// # Safety
    ///
    /// As for [`Vector`].
    #[inline(always)]
    unsafe fn finish(self) -> Option<BlockSums<V>> {
        // SAFETY: as above.
        unsafe {
            let [one, two] = self.sums;
            let sums = BlockSums {
                teacher_mass: one.teacher_mass.add(two.teacher_mass),
                student_mass: one.student_mass.add(two.student_mass),
                product: one.product.add(two.product),
            };
            let masses_fit = sums.teacher_mass.add(sums.student_mass).all_within(V::splat(MASS_LIMIT));
            let products_fit = sums.product.all_within(V::splat(PRODUCT_LIMIT));
            (masses_fit && products_fit && !self.student_lacks_mass).then_some(sums)
        }
    }
}

/// The end of a row that does not fill a group, widened and padded.
struct Tail {
    teacher: [f32; GROUP],
    student: [f32; GROUP],
}

impl Tail {
    #[inline(always)]
    fn new<T: Logit, S: Logit>(teacher: &[T], student: &[S]) -> Self {
        let mut tail = Self { teacher: [PADDING; GROUP], student: [PADDING; GROUP] };
        for (wide, logit) in tail.teacher.iter_mut().zip(teacher) {
            *wide = logit.to_f32();
        }
        for (wide, logit) in tail.student.iter_mut().zip(student) {
            *wide = logit.to_f32();
        }
        tail
    }
}

/// # Safety
///
/// As for [`Vector`], and both slices have the same length.
#[inline(always)]
unsafe fn sum_block<V: Vector, T: Logit, S: Logit, const MASKED: bool, const N: usize>(
    teacher: &[T],
    student: &[S],
    offsets: Offsets,
) -> Option<BlockSums<V>> {
    let columns = teacher.len();
    debug_assert_eq!(columns, student.len());
    // Permuted loads only where both models are permuted alike.
    let any_order = const { same_encoding::<T, S>() };
    // SAFETY: every load stays within the first `columns` values of its slice or within the tail;
    // the instructions are the caller's care.
    unsafe {
        let mut lanes = Lanes::<V, MASKED>::new(offsets);
        let (teacher_start, student_start) = (teacher.as_ptr(), student.as_ptr());
        let step = N / 2 * V::LANES; // divides `GROUP`
        let mut at = 0;
        while at + GROUP <= columns {
            let (teacher, student) = (teacher_start.add(at), student_start.add(at));
            prefetch_group::<V, T>(teacher);
            prefetch_group::<V, S>(student);
            let mut within = 0;
            while within < GROUP {
                let (teacher, student) = (teacher.add(within), student.add(within));
                let mut logits = [V::splat(0.0); N];
                let mut index = 0;
                while index < N / 2 {
                    let from = index * V::LANES;
                    let (first, second) = V::load_pair(teacher.add(from), any_order);
                    (logits[index], logits[index + 1]) = (first, second);
                    let (first, second) = V::load_pair(student.add(from), any_order);
                    (logits[N / 2 + index], logits[N / 2 + index + 1]) = (first, second);
                    index += 2;
                }
                lanes.add(at / GROUP + within / step, logits);
                within += step;
            }
            at += GROUP;
        }
        if at < columns {
            let tail = Tail::new(
                std::slice::from_raw_parts(teacher_start.add(at), columns - at),
                std::slice::from_raw_parts(student_start.add(at), columns - at),
            );
            let mut from = 0;
            while from < columns - at {
                let (t, s) = (tail.teacher.as_ptr().add(from), tail.student.as_ptr().add(from));
                let (t1, s1) = (t.add(V::LANES), s.add(V::LANES));
                lanes.add(0, [V::load(t), V::load(t1), V::load(s), V::load(s1)]);
                from += 2 * V::LANES;
            }
        }
        lanes.finish()
    }
}

const fn same_encoding<T: Logit, S: Logit>() -> bool {
    <T as Format>::ENCODING as u8 == <S as Format>::ENCODING as u8
}

/// # Safety
///
/// As for [`Vector`]; the address may be any.
#[inline(always)]
unsafe fn prefetch_group<V: Vector, T>(from: *const T) {
    let start = from.cast::<u8>().wrapping_add(PREFETCH_BYTES);
    let mut line = 0;
    while line < GROUP * size_of::<T>() {
        // SAFETY: passed on to the caller.
        unsafe { V::prefetch(start.wrapping_add(line)) };
        line += 64;
    }
}

/// Adds blocks of 512 columns, the last one shorter, until one does not come out well. Returns how
/// many columns went in; the sums hold exactly these.
///
/// With `MASKED`, columns without mass (−inf and the like) are taken in the teacher and in both, at
/// some cost. `N` vectors are worked on at once, half of them the teacher's: 4 or 8, as registers
/// allow.
///
/// # Safety
///
/// As for [`Vector`], and both slices have the same length.
#[inline(always)]
pub(crate) unsafe fn sum_blocks<V: Vector, T: Logit, S: Logit, const MASKED: bool, const N: usize>(
    teacher: &[T],
    student: &[S],
    offsets: Offsets,
    sums: &mut Sums,
) -> usize {
    // SAFETY: passed on to the caller.
    unsafe {
        let mut teacher_mass = V::wide_load(&sums.teacher_mass);
        let mut student_mass = V::wide_load(&sums.student_mass);
        let mut product = V::wide_load(&sums.product);
        let mut at = 0;
        while at < teacher.len() {
            let end = teacher.len().min(at + BLOCK);
            let block = sum_block::<V, T, S, MASKED, N>(
                teacher.get_unchecked(at..end),
                student.get_unchecked(at..end),
                offsets,
            );
            let Some(block) = block else { break };
            teacher_mass = block.teacher_mass.add_to(teacher_mass);
            student_mass = block.student_mass.add_to(student_mass);
            product = block.product.add_to(product);
            at = end;
        }
        V::wide_store(teacher_mass, &mut sums.teacher_mass);
        V::wide_store(student_mass, &mut sums.student_mass);
        V::wide_store(product, &mut sums.product);
        at
    }
}

/// Writes `student_factor · 2^y_s − teacher_factor · 2^y_t` (both powers raised by 2⁶⁴).
///
/// # Safety
///
/// As for [`Vector`], and the three slices have the same length.
#[inline(always)]
pub(crate) unsafe fn write_gradient<V: Vector, T: Logit, S: Logit>(
    teacher: &[T],
    student: &[S],
    offsets: Offsets,
    factors: Factors,
    gradient: &mut [f32],
) {
    let columns = gradient.len();
    let step = 2 * V::LANES;
    // SAFETY: every access stays within the first `columns` values or within the tail.
    unsafe {
        let mut at = 0;
        while at + step <= columns {
            let (t0, t1) = V::load_pair(teacher.as_ptr().add(at), false);
            let (s0, s1) = V::load_pair(student.as_ptr().add(at), false);
            let to = gradient.as_mut_ptr().add(at);
            let [first, second] = differences([t0, t1, s0, s1], offsets, factors);
            first.store(to);
            second.store(to.add(V::LANES));
            at += step;
        }
        if at < columns {
            let tail = Tail::new(&teacher[at..], &student[at..]);
            let mut out = [0.0; GROUP];
            let (t, s, to) = (tail.teacher.as_ptr(), tail.student.as_ptr(), out.as_mut_ptr());
            let (t1, s1) = (t.add(V::LANES), s.add(V::LANES));
            let logits = [V::load(t), V::load(t1), V::load(s), V::load(s1)];
            let [first, second] = differences(logits, offsets, factors);
            first.store(to);
            second.store(to.add(V::LANES));
            let rest = &mut gradient[at..];
            rest.copy_from_slice(&out[..rest.len()]);
        }
    }
}

/// What the two powers of a gradient are multiplied with: the scale over the mass of the row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factors {
    pub(crate) teacher: f32,
    pub(crate) student: f32,
}

/// Two vectors of the teacher and two of the student give two of the gradient.
///
/// # Safety
///
/// As for [`Vector`].
#[inline(always)]
unsafe fn differences<V: Vector>(logits: [V; 4], offsets: Offsets, factors: Factors) -> [V; 2] {
    // SAFETY: passed on to the caller.
    unsafe {
        let log2_e = V::splat(LOG2_E);
        let teacher_offset = V::splat(offsets.teacher);
        let student_offset = V::splat(offsets.student);
        let no_mass = V::splat(NO_MASS);
        let [t0, t1, s0, s1] = V::exp2_raised([
            logits[0].mul_sub_exact(log2_e, teacher_offset).at_least(no_mass),
            logits[1].mul_sub_exact(log2_e, teacher_offset).at_least(no_mass),
            logits[2].mul_sub_exact(log2_e, student_offset).at_least(no_mass),
            logits[3].mul_sub_exact(log2_e, student_offset).at_least(no_mass),
        ]);
        let teacher_factor = V::splat(factors.teacher);
        let student_factor = V::splat(factors.student);
        // Not fused: where the models agree the difference is exactly 0.
        [s0.mul(student_factor).sub(t0.mul(teacher_factor)), s1.mul(student_factor).sub(t1.mul(teacher_factor))]
    }
}
