//! How far two models' weights are from each other, and whether that is the distance of a copy.

mod rule;
mod sketch;
mod tensor;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::CheckerError;
use crate::expected::{EMBEDDING, HEAD};
use crate::local::{LocalModel, LocalTensor};
use crate::parallel::{self, BytesRead, Progress};
use crate::values::is_convertible;
pub use rule::{NearCopyRule, NearCopyVerdict};
pub use tensor::{DifferenceClass, TensorDistance};
use tensor::{Measured, Pair};

/// Tensors that are reported one by one: those that differ most.
const REPORTED: usize = 8;

/// What comparing two models' weights gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "comparison", rename_all = "snake_case")]
pub enum Comparison {
    /// They have most of their tensors in common.
    Compared(Box<WeightDistance>),
    /// They do not, so neither is a copy of the other that weights could show.
    NotComparable {
        /// How much they do not share, with the first difference.
        reason: String,
    },
}

/// The distance of two models in the tensors that both have, and the evidence for what it means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightDistance {
    /// Tensors that a loader uses.
    pub tensors: u64,
    /// Tensors by the kind of their difference; kinds that do not occur are left out.
    pub classes: BTreeMap<DifferenceClass, u64>,
    /// Elements of all tensors, those that only one of the two has included.
    pub parameters: u64,
    /// Elements of tensors that only one of the two has, or that they have in different shapes. They are in no class: to
    /// a copy anyone can add tensors that do nothing, such as biases of zeros.
    #[serde(default)]
    pub unmatched_parameters: u64,
    /// Elements in rows that are alike.
    pub alike_parameters: u64,
    /// Elements that differ at all.
    pub changed_parameters: u64,
    /// Elements that differ by no more than a step of bf16 at their size, equal ones included.
    pub within_bf16_step: u64,
    /// Elements that are NaN or infinite in one model only; they are left out of the distances.
    pub not_finite: u64,
    /// ‖a − b‖ / √((‖a‖² + ‖b‖²) / 2) over all parameters.
    pub relative_l2: f64,
    /// The same of the tensor that is most unlike: structured, sparse or other. 0 where there is none.
    pub largest_unlike: f64,
    /// Largest absolute difference of two parameters.
    pub max_difference: f64,
    /// The tensors that differ most, by relative distance.
    pub most_different: Vec<TensorDistance>,
    /// The median coherence of the matrices that differ, where there are any.
    pub median_coherence: Option<f64>,
    /// The rule that it was measured by.
    pub rule: NearCopyRule,
    /// What that rule says.
    pub verdict: NearCopyVerdict,
}

/// Compares two models tensor by tensor, each byte read once, on several threads. The result does not depend on their
/// number, nor, but for its sign, on which model comes first.
///
/// Tensors are compared under their canonical names, as values, so shards, layouts and dtypes make no difference; a head
/// of its own is compared with the embedding where the other model's head is tied. Memory: a few megabytes a thread.
/// `progress` is called, from one thread at a time, after each piece.
///
/// ```no_run
/// use distil_checker::{Comparison, LocalModel, NearCopyRule, weight_distance};
///
/// let (one, other) = (LocalModel::open("one".as_ref())?, LocalModel::open("other".as_ref())?);
/// let threads = std::num::NonZeroUsize::new(2).expect("not zero");
/// match weight_distance(&one, &other, &NearCopyRule::default(), threads, &mut |_| {})? {
///     Comparison::Compared(distance) if distance.verdict.is_near_copy => println!("{}", distance.verdict.reason),
///     _ => println!("no copy"),
/// }
/// # Ok::<(), distil_checker::CheckerError>(())
/// ```
///
/// # What it can't see
///
/// Weights that were changed strongly on purpose, so that the model computes the same: values times c and output
/// projections divided by c, permuted neurons or heads, all matrices padded. Those are for the comparison of what models
/// compute.
///
/// # Errors
///
/// A file cannot be read, or has become shorter since it was opened.
pub fn weight_distance(
    one: &LocalModel,
    other: &LocalModel,
    rule: &NearCopyRule,
    threads: NonZeroUsize,
    progress: &mut (dyn FnMut(BytesRead) + Send),
) -> Result<Comparison, CheckerError> {
    let Sides { mut pairs, unmatched_parameters } = match pairs(one, other, rule) {
        Ok(sides) => sides,
        Err(reason) => return Ok(Comparison::NotComparable { reason }),
    };
    pairs.sort_by(|a, b| b.bytes().cmp(&a.bytes()).then(a.name.cmp(b.name)));
    let progress = Progress::new(pairs.iter().map(Pair::bytes).sum(), progress);
    let measured = parallel::map(threads, &pairs, |pair| pair.measure(rule, &progress))?;
    Ok(Comparison::Compared(Box::new(sum_up(measured, unmatched_parameters, rule))))
}

/// The tensors of two models.
struct Sides<'m> {
    /// Those that both have in the same shape.
    pairs: Vec<Pair<'m>>,
    /// Elements of the others.
    unmatched_parameters: u64,
}

/// The tensors of both models side by side, or why too few of them are the same for a near copy.
fn pairs<'m>(one: &'m LocalModel, other: &'m LocalModel, rule: &NearCopyRule) -> Result<Sides<'m>, String> {
    let by_name = |model: &'m LocalModel| -> BTreeMap<&'m str, &'m LocalTensor> {
        model.tensors().iter().map(|tensor| (tensor.name.as_str(), tensor)).collect()
    };
    let (mut first, mut second) = (by_name(one), by_name(other));
    let (first_has_head, second_has_head) = (first.contains_key(HEAD), second.contains_key(HEAD));
    for (tensors, other_has_head) in [(&mut first, second_has_head), (&mut second, first_has_head)] {
        if other_has_head && let Some(embedding) = tensors.get(EMBEDDING).copied() {
            tensors.entry(HEAD).or_insert(embedding);
        }
    }
    let (mut pairs, mut matched, mut unmatched_parameters) = (Vec::with_capacity(first.len()), 0_u64, 0_u64);
    let mut first_difference = None;
    let mut differs = |elements: u64, difference: String| {
        unmatched_parameters = unmatched_parameters.saturating_add(elements);
        first_difference.get_or_insert(difference);
    };
    for (name, a) in &first {
        let Some(b) = second.remove(name) else {
            differs(a.elements(), format!("tensor {name} is in one of them only"));
            continue;
        };
        if a.shape != b.shape {
            let shapes = format!("tensor {name} has shape {:?} in one and {:?} in the other", a.shape, b.shape);
            differs(a.elements().max(b.elements()), shapes);
            continue;
        }
        if let Some(tensor) = [*a, b].into_iter().find(|tensor| !is_convertible(tensor.dtype)) {
            return Err(format!("tensor {name} has dtype {}, which no loader takes", tensor.dtype));
        }
        matched = matched.saturating_add(a.elements());
        pairs.push(Pair { name, first: (one, a), second: (other, b) });
    }
    for (name, b) in &second {
        differs(b.elements(), format!("tensor {name} is in one of them only"));
    }
    // Not even if all else were alike; so none of it is read.
    let share = matched as f64 / matched.saturating_add(unmatched_parameters).max(1) as f64;
    match first_difference {
        Some(difference) if share < rule.alike_parameters => {
            Err(format!("{:.1}% of the parameters are in tensors that both have; {difference}", 100.0 * share))
        }
        _ => Ok(Sides { pairs, unmatched_parameters }),
    }
}

fn sum_up(mut measured: Vec<Measured>, unmatched_parameters: u64, rule: &NearCopyRule) -> WeightDistance {
    // Sums of floating-point numbers depend on their order, so there is one.
    measured.sort_unstable_by(|a, b| a.distance.name.cmp(&b.distance.name));
    let sum = |part: fn(&TensorDistance) -> u64| -> u64 { measured.iter().map(|tensor| part(&tensor.distance)).sum() };
    let mut classes = BTreeMap::new();
    for tensor in &measured {
        *classes.entry(tensor.distance.class).or_insert(0) += 1;
    }
    let difference: f64 = measured.iter().map(|tensor| tensor.difference).sum();
    let norms: f64 = measured.iter().map(|tensor| tensor.norms).sum();
    let mut coherences: Vec<f64> = measured.iter().filter_map(|tensor| tensor.distance.coherence).collect();
    coherences.sort_unstable_by(f64::total_cmp);
    let mut distance = WeightDistance {
        tensors: measured.len() as u64,
        classes,
        parameters: sum(|tensor| tensor.elements).saturating_add(unmatched_parameters),
        unmatched_parameters,
        alike_parameters: sum(|tensor| tensor.alike),
        changed_parameters: sum(|tensor| tensor.changed),
        within_bf16_step: sum(|tensor| tensor.within_bf16_step),
        not_finite: sum(|tensor| tensor.not_finite),
        relative_l2: if difference == 0.0 { 0.0 } else { (difference / norms).sqrt() },
        largest_unlike: measured
            .iter()
            .filter(|tensor| tensor.distance.class.is_alike() == Some(false))
            .map(|tensor| tensor.distance.relative_l2)
            .fold(0.0, f64::max),
        max_difference: measured.iter().map(|tensor| tensor.distance.max_difference).fold(0.0, f64::max),
        median_coherence: coherences.get(coherences.len() / 2).copied(),
        most_different: Vec::new(),
        rule: rule.clone(),
        verdict: NearCopyVerdict { is_near_copy: false, reason: String::new() },
    };
    let mut tensors: Vec<TensorDistance> = measured.into_iter().map(|tensor| tensor.distance).collect();
    tensors.retain(|tensor| tensor.class != DifferenceClass::Identical);
    tensors.sort_by(|a, b| b.relative_l2.total_cmp(&a.relative_l2).then_with(|| a.name.cmp(&b.name)));
    tensors.truncate(REPORTED);
    distance.most_different = tensors;
    distance.verdict = rule.judge(&distance);
    distance
}
