//! The distance of two tensors.

use serde::{Deserialize, Serialize};

use super::rule::NearCopyRule;
use super::sketch::Sketch;
use crate::CheckerError;
use crate::local::{LocalModel, LocalTensor};
use crate::parallel::Progress;
use crate::values::widen;

/// The longest piece of a row that is looked at as one.
const MAX_UNIT: usize = 16 << 10;
/// Values read at a time from each of the two.
const BATCH: usize = 64 << 10;
/// A step of bf16, relative to the value, at its widest: two ways of rounding one value differ by no more.
const BF16_STEP: f64 = 1.0 / 128.0;

/// How one tensor differs from its counterpart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorDistance {
    /// Canonical name.
    pub name: String,
    /// Number of elements.
    pub elements: u64,
    /// Elements that differ.
    pub changed: u64,
    /// Elements that differ by no more than a step of bf16 at their size, those that do not differ included.
    pub within_bf16_step: u64,
    /// Elements that are NaN or infinite in one of the two and not the same in both. They are left out of all distances.
    pub not_finite: u64,
    /// Elements in rows that are alike: within the distance of noise where that is what this tensor's
    /// [`class`](Self::class) says, else within the distance that is no work.
    pub alike: u64,
    /// Largest absolute difference of two elements.
    pub max_difference: f64,
    /// ‖a − b‖ / √((‖a‖² + ‖b‖²) / 2): the same whichever is called the copy. 0 for two tensors of zeros.
    pub relative_l2: f64,
    /// How far the rows of the difference point in the same directions: about 1 for independent noise, far above for
    /// training. `None` where the tensor is too small, or too little of it differs, to say.
    pub coherence: Option<f64>,
    /// What follows from it.
    pub class: DifferenceClass,
}

/// What kind of difference there is between two tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceClass {
    /// None.
    Identical,
    /// Too small to be any work.
    Negligible,
    /// Every value is within a step of bf16: rounded, or changed in proportion by less. Training does not spare the
    /// smallest values, for which a step is small.
    Rounding,
    /// Small and without structure.
    Noise,
    /// With structure, as training leaves it.
    Structured,
    /// Without structure, but few values differ and these by more than noise would that spared the others: what is left
    /// of small training steps in bf16.
    Sparse,
    /// Far, and without structure: another tensor.
    Other,
    /// Near, but too small a tensor, or too little of it changed, to tell noise from training: vectors and the smallest
    /// matrices.
    Small,
}

/// Sums over the elements of one tensor.
#[derive(Default)]
struct Sums {
    changed: u64,
    within_bf16_step: u64,
    not_finite: u64,
    max_difference: f64,
    difference: f64,
    first: f64,
    second: f64,
}

impl Sums {
    fn relative(&self) -> f64 {
        relative(self.difference, self.first, self.second)
    }
}

fn relative(difference: f64, first: f64, second: f64) -> f64 {
    if difference == 0.0 { 0.0 } else { (difference / ((first + second) / 2.0)).sqrt() }
}

pub(super) struct Pair<'m> {
    pub(super) name: &'m str,
    pub(super) first: (&'m LocalModel, &'m LocalTensor),
    pub(super) second: (&'m LocalModel, &'m LocalTensor),
}

/// Sums of a pair that models add up, beside what is reported of it.
pub(super) struct Measured {
    pub(super) distance: TensorDistance,
    pub(super) difference: f64,
    pub(super) norms: f64,
}

impl Pair<'_> {
    pub(super) fn bytes(&self) -> u64 {
        self.first.1.size_bytes() + self.second.1.size_bytes()
    }

    /// Reads both tensors once, on the calling thread, in pieces.
    pub(super) fn measure(&self, rule: &NearCopyRule, progress: &Progress<'_>) -> Result<Measured, CheckerError> {
        let shape = &self.first.1.shape;
        let elements = self.first.1.elements();
        let row = match shape.as_slice() {
            [] | [_] => elements,
            [_, rest @ ..] => rest.iter().product(),
        };
        let unit = (row as usize).clamp(1, MAX_UNIT);
        let mut this = Running {
            sketch: Sketch::new(unit),
            rule,
            sums: Sums::default(),
            negligible_rows: 0,
            near_rows: Near::default(),
            difference: vec![0.0; unit],
        };
        let mut first = Reader::new(self.first);
        let mut second = Reader::new(self.second);
        // Whole rows, several at a time where they are short, or pieces of one row.
        let rows_at_a_time = (BATCH / unit).max(1) as u64;
        let mut left = elements;
        let mut left_of_row = row;
        while left > 0 {
            let count = if row as usize <= unit {
                (rows_at_a_time * row).min(left)
            } else {
                let count = left_of_row.min(unit as u64);
                left_of_row = if count == left_of_row { row } else { left_of_row - count };
                count
            };
            let (a, b) = (first.read(count as usize)?, second.read(count as usize)?);
            a.chunks(unit).zip(b.chunks(unit)).for_each(|(a, b)| this.add(a, b));
            left -= count;
            progress.advance(count * (first.width + second.width) as u64);
        }
        Ok(this.finish(self.name, elements))
    }
}

/// Rows that differ by no more than noise may: all of a copy's, but for those that were replaced.
#[derive(Default)]
struct Near {
    elements: u64,
    difference: f64,
    norms: f64,
}

struct Running<'r> {
    rule: &'r NearCopyRule,
    sketch: Sketch,
    sums: Sums,
    /// Elements of rows that differ by nothing that counts.
    negligible_rows: u64,
    near_rows: Near,
    difference: Vec<f64>,
}

impl Running<'_> {
    fn add(&mut self, a: &[f32], b: &[f32]) {
        let difference = &mut self.difference[..a.len()];
        let mut unit = Sums::default();
        for ((difference, a), b) in difference.iter_mut().zip(a).zip(b) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            let d = a - b;
            *difference = d;
            unit.changed += u64::from(d != 0.0);
            unit.within_bf16_step += u64::from(d.abs() <= BF16_STEP * a.abs().max(b.abs()));
            unit.max_difference = unit.max_difference.max(d.abs());
            unit.difference += d * d;
            unit.first += a * a;
            unit.second += b * b;
        }
        if !(unit.first.is_finite() && unit.second.is_finite()) {
            unit = finite_only(a, b, difference);
        }
        let relative = unit.relative();
        let elements = a.len() as u64 - unit.not_finite;
        if relative <= self.rule.negligible {
            self.negligible_rows += elements;
        }
        if relative <= self.rule.noise {
            self.near_rows.elements += elements;
            self.near_rows.difference += unit.difference;
            self.near_rows.norms += (unit.first + unit.second) / 2.0;
        }
        // A row that has been replaced must not drown what happened to the others.
        let scale = if relative > self.rule.noise { self.rule.noise / relative } else { 1.0 };
        self.sketch.add(difference, scale, unit.changed);
        let sums = &mut self.sums;
        sums.changed += unit.changed;
        sums.within_bf16_step += unit.within_bf16_step;
        sums.not_finite += unit.not_finite;
        sums.max_difference = sums.max_difference.max(unit.max_difference);
        sums.difference += unit.difference;
        sums.first += unit.first;
        sums.second += unit.second;
    }

    fn finish(self, name: &str, elements: u64) -> Measured {
        let Self { sums, sketch, rule, .. } = self;
        let coherence = sketch.coherence();
        let near = &self.near_rows;
        let is_near = near.elements as f64 >= rule.alike_rows * elements as f64;
        let near_distance = relative(near.difference, near.norms, near.norms);
        let changed_share = sums.changed as f64 / elements as f64;
        let class = if sums.changed == 0 && sums.not_finite == 0 {
            DifferenceClass::Identical
        } else if is_near && near_distance <= rule.negligible {
            DifferenceClass::Negligible
        } else if sums.within_bf16_step == elements {
            DifferenceClass::Rounding
        } else {
            match coherence {
                Some(coherence) if coherence > rule.coherence => DifferenceClass::Structured,
                Some(_) if rule.is_sparse(changed_share, near_distance) => DifferenceClass::Sparse,
                Some(_) if is_near => DifferenceClass::Noise,
                None if is_near => DifferenceClass::Small,
                _ => DifferenceClass::Other,
            }
        };
        let alike = match class {
            DifferenceClass::Rounding => elements,
            DifferenceClass::Identical | DifferenceClass::Negligible | DifferenceClass::Noise => near.elements,
            _ => self.negligible_rows,
        };
        let distance = TensorDistance {
            name: name.to_owned(),
            elements,
            changed: sums.changed,
            within_bf16_step: sums.within_bf16_step,
            not_finite: sums.not_finite,
            alike,
            max_difference: sums.max_difference,
            relative_l2: sums.relative(),
            coherence,
            class,
        };
        Measured { distance, difference: sums.difference, norms: (sums.first + sums.second) / 2.0 }
    }
}

/// The sums of a piece in which not every value is finite: those that are not, in one of the two, are left out of both.
fn finite_only(a: &[f32], b: &[f32], difference: &mut [f64]) -> Sums {
    let mut unit = Sums::default();
    for ((difference, a), b) in difference.iter_mut().zip(a).zip(b) {
        if !(a.is_finite() && b.is_finite()) {
            *difference = 0.0;
            let is_same = a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            unit.not_finite += u64::from(!is_same);
            unit.within_bf16_step += u64::from(is_same);
            continue;
        }
        let (a, b) = (f64::from(*a), f64::from(*b));
        let d = a - b;
        *difference = d;
        unit.changed += u64::from(d != 0.0);
        unit.within_bf16_step += u64::from(d.abs() <= BF16_STEP * a.abs().max(b.abs()));
        unit.max_difference = unit.max_difference.max(d.abs());
        unit.difference += d * d;
        unit.first += a * a;
        unit.second += b * b;
    }
    unit
}

/// A tensor's values in f32, in pieces.
struct Reader<'m> {
    model: &'m LocalModel,
    tensor: &'m LocalTensor,
    width: usize,
    offset: u64,
    bytes: Vec<u8>,
    values: Vec<f32>,
}

impl<'m> Reader<'m> {
    fn new((model, tensor): (&'m LocalModel, &'m LocalTensor)) -> Self {
        let width = tensor.dtype.bitsize() / 8;
        Self { model, tensor, width, offset: tensor.file_range.start, bytes: Vec::new(), values: Vec::new() }
    }

    fn read(&mut self, count: usize) -> Result<&[f32], CheckerError> {
        self.bytes.resize(count * self.width, 0);
        self.values.resize(count, 0.0);
        self.model.read_exact_at(self.tensor.file, &mut self.bytes, self.offset)?;
        self.offset += self.bytes.len() as u64;
        Ok(widen(self.tensor.dtype, &self.bytes, &mut self.values))
    }
}
