//! The state of one row: offsets, sums so far, and what to do where the vectorised sums give up.

use crate::block::{BLOCK, Factors, LOG2_E, Offsets, Sums};
use crate::{Kernel, Logit};

/// Largest base-2 offset that the vectorised sums take.
const LARGEST_OFFSET: f64 = 1_048_576.0; // 2^20
/// The sums are in units of 2^−64; see [`Sums`].
const RAISE: f64 = 18_446_744_073_709_551_616.0;

/// Where a model's logits are measured from: about the largest seen so far.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// The logit that has power 0.
    origin: f64,
    /// The same as an integer power of two, where that is small enough for vectors.
    base2: Option<f32>,
}

impl Frame {
    /// `largest` is finite.
    fn at(largest: f32) -> Self {
        let base2 = (f64::from(largest) * f64::from(LOG2_E)).round();
        if base2.abs() <= LARGEST_OFFSET {
            Self { origin: base2 / f64::from(LOG2_E), base2: Some(base2 as f32) }
        } else {
            // So large that products with log₂e no longer tell neighbours apart; differences do.
            Self { origin: f64::from(largest), base2: None }
        }
    }

    /// The logit as a power of two.
    fn power(self, logit: f32) -> f64 {
        (f64::from(logit) - self.origin) * f64::from(LOG2_E)
    }
}

/// Sums of one row so far. Blocks go in one after the other, and what one does depends on the
/// blocks before it alone: so tiles of whole blocks give the very bits of the whole row.
#[derive(Debug, Clone)]
pub(crate) struct RowState {
    /// `None` until a column with mass was seen.
    teacher: Option<Frame>,
    student: Option<Frame>,
    sums: Sums,
    /// A NaN or +inf was seen: there is no distribution.
    undefined: bool,
    /// Largest teacher logit in a column that the student excludes with −inf.
    largest_excluded: f32,
}

impl RowState {
    pub(crate) const fn new() -> Self {
        Self { teacher: None, student: None, sums: Sums::ZERO, undefined: false, largest_excluded: f32::NEG_INFINITY }
    }

    /// Takes in further columns; the slices must have the same length.
    pub(crate) fn push<T: Logit, S: Logit>(&mut self, kernel: Kernel, teacher: &[T], student: &[S]) {
        let mut at = 0;
        while at < teacher.len() && !self.undefined {
            if let Some(offsets) = self.offsets() {
                let (teacher, student) = (&teacher[at..], &student[at..]);
                at += kernel.sum_blocks::<T, S, false>(teacher, student, offsets, &mut self.sums);
            }
            // What is left begins with a block that needs care.
            let end = teacher.len().min(at + BLOCK);
            if at < end {
                self.push_with_care(kernel, &teacher[at..end], &student[at..end]);
                at = end;
            }
        }
    }

    /// KL(teacher ‖ student) in nats over the columns so far.
    pub(crate) fn kl_nats(&self) -> f64 {
        let (teacher_mass, student_mass) = self.masses();
        if self.undefined || teacher_mass == 0.0 || student_mass == 0.0 {
            return f64::NAN;
        }
        if let Some(teacher) = self.teacher {
            let log_mass = (teacher_mass / RAISE).ln();
            // In this order, so that huge logits cancel before a small number is added.
            let log_p = (f64::from(self.largest_excluded) - teacher.origin) - log_mass;
            if log_p.exp() > 0.0 {
                return f64::INFINITY;
            }
        }
        let product: f64 = self.sums.product.iter().sum();
        std::f64::consts::LN_2 * (product / teacher_mass) + (student_mass / teacher_mass).ln()
    }

    /// Writes `scale · (softmax(student) − softmax(teacher))` of the row whose columns all went in.
    pub(crate) fn write_gradient<T: Logit, S: Logit>(
        &self,
        kernel: Kernel,
        teacher: &[T],
        student: &[S],
        scale: f32,
        gradient: &mut [f32],
    ) {
        let (teacher_mass, student_mass) = self.masses();
        let (Some(teacher_frame), Some(student_frame), false) = (self.teacher, self.student, self.undefined) else {
            gradient.fill(f32::NAN);
            return;
        };
        let scale = f64::from(scale);
        let teacher_factor = scale / teacher_mass;
        let student_factor = scale / student_mass;
        let factors = Factors { teacher: teacher_factor as f32, student: student_factor as f32 };
        // A scale so small or large that the factors leave f32 is left to f64.
        let representable = |factor: f32| factor == 0.0 && scale == 0.0 || factor.is_normal() || factor.is_nan();
        match self.offsets() {
            Some(offsets) if representable(factors.teacher) && representable(factors.student) => {
                kernel.write_gradient(teacher, student, offsets, factors, gradient);
            }
            _ => {
                let logits = teacher.iter().zip(student);
                for (out, (teacher, student)) in gradient.iter_mut().zip(logits) {
                    let p = teacher_frame.power(teacher.to_f32()).exp2() * RAISE;
                    let q = student_frame.power(student.to_f32()).exp2() * RAISE;
                    *out = (student_factor * q - teacher_factor * p) as f32;
                }
            }
        }
    }

    fn masses(&self) -> (f64, f64) {
        (self.sums.teacher_mass.iter().sum(), self.sums.student_mass.iter().sum())
    }

    /// The offsets for vectors, once both models have one.
    fn offsets(&self) -> Option<Offsets> {
        Some(Offsets { teacher: self.teacher?.base2?, student: self.student?.base2? })
    }

    /// A block with which offsets have to be found or raised, or which masks columns.
    fn push_with_care<T: Logit, S: Logit>(&mut self, kernel: Kernel, teacher: &[T], student: &[S]) {
        // The usual case: some columns are masked, and nothing else is wrong.
        if self.push_masked(kernel, teacher, student) {
            return;
        }
        let (Some(largest_teacher), Some(largest_student)) = (largest(teacher), largest(student)) else {
            self.undefined = true;
            return;
        };
        self.raise(largest_teacher, largest_student);
        if !self.push_masked(kernel, teacher, student) {
            self.push_in_f64(teacher, student);
        }
    }

    /// Takes the block in as it is, but for masked columns. If that does not come out well, does nothing.
    fn push_masked<T: Logit, S: Logit>(&mut self, kernel: Kernel, teacher: &[T], student: &[S]) -> bool {
        let Some(offsets) = self.offsets() else { return false };
        kernel.sum_blocks::<T, S, true>(teacher, student, offsets, &mut self.sums) == teacher.len()
    }

    /// Moves the frames up to the given logits and the sums with them. −inf moves nothing.
    fn raise(&mut self, largest_teacher: f32, largest_student: f32) {
        let teacher = raised(&mut self.teacher, largest_teacher);
        let student = raised(&mut self.student, largest_student);
        if teacher == 0.0 && student == 0.0 {
            return;
        }
        // Finite: logits of f32 are less than 2^130 powers of two apart.
        let step_of_difference = teacher - student;
        let teacher_factor = (-teacher).exp2();
        let student_factor = (-student).exp2();
        let sums = &mut self.sums;
        for lane in 0..8 {
            // y_t − y_s falls by the difference of the two steps in every column.
            sums.product[lane] = teacher_factor * (sums.product[lane] - step_of_difference * sums.teacher_mass[lane]);
            sums.teacher_mass[lane] *= teacher_factor;
            sums.student_mass[lane] *= student_factor;
        }
    }

    /// The definition, column by column.
    fn push_in_f64<T: Logit, S: Logit>(&mut self, teacher: &[T], student: &[S]) {
        for (teacher, student) in teacher.iter().zip(student) {
            let (teacher, student) = (teacher.to_f32(), student.to_f32());
            // A model without a frame has seen nothing but −inf.
            let teacher_power = self.teacher.map_or(f64::NEG_INFINITY, |frame| frame.power(teacher));
            let student_power = self.student.map_or(f64::NEG_INFINITY, |frame| frame.power(student));
            let p = teacher_power.exp2() * RAISE;
            self.sums.teacher_mass[0] += p;
            self.sums.student_mass[0] += student_power.exp2() * RAISE;
            if student == f32::NEG_INFINITY {
                self.largest_excluded = self.largest_excluded.max(teacher);
            } else if p > 0.0 {
                self.sums.product[0] += p * (teacher_power - student_power);
            }
        }
    }
}

/// Moves one frame up to `largest`; returns by how many powers of two it moved.
fn raised(frame: &mut Option<Frame>, largest: f32) -> f64 {
    if largest == f32::NEG_INFINITY {
        return 0.0;
    }
    match frame {
        None => {
            *frame = Some(Frame::at(largest));
            0.0 // nothing summed yet
        }
        Some(old) if old.power(largest) > 0.5 => {
            let new = Frame::at(largest);
            let step = match (old.base2, new.base2) {
                (Some(old), Some(new)) => f64::from(new) - f64::from(old), // exact
                _ => (new.origin - old.origin) * f64::from(LOG2_E),
            };
            *old = new;
            step
        }
        Some(_) => 0.0,
    }
}

/// The largest logit; −inf if all are, `None` if one is NaN or +inf.
fn largest<T: Logit>(logits: &[T]) -> Option<f32> {
    // Lanes and selections rather than a fold, so that it becomes vector instructions.
    const LANES: usize = 16;
    let mut largest = [f32::NEG_INFINITY; LANES];
    let mut undefined = [0u32; LANES];
    let mut take = |lane: usize, logit: T| {
        let logit = logit.to_f32();
        largest[lane] = if logit > largest[lane] { logit } else { largest[lane] };
        let defined = logit < f32::INFINITY; // false for NaN
        undefined[lane] |= u32::from(!defined);
    };
    let mut chunks = logits.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, logit) in chunk.iter().enumerate() {
            take(lane, *logit);
        }
    }
    for (lane, logit) in chunks.remainder().iter().enumerate() {
        take(lane, *logit);
    }
    let defined = undefined.iter().all(|undefined| *undefined == 0);
    defined.then(|| largest.into_iter().fold(f32::NEG_INFINITY, f32::max))
}
