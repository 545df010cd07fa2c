use serde::{Deserialize, Serialize};

use super::{DifferenceClass, WeightDistance};

/// When two models are near copies. The thresholds are relative, so they hold for any size of model; what they were set
/// by is recorded in `calibration/README.md` of this crate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NearCopyRule {
    /// Relative distance up to which a difference is no work, whatever its structure.
    pub negligible: f64,
    /// Relative distance of a row up to which a difference without structure is taken for noise.
    pub noise: f64,
    /// [Coherence](super::TensorDistance::coherence) up to which a difference is without structure.
    pub coherence: f64,
    /// A difference of relative distance r, in a share p < 1/2 of the values, is taken for sparse and not for noise where
    /// r / p^1.5 is above this.
    ///
    /// Noise of relative size σ that is then rounded to bf16 leaves only the values changed that are small enough,
    /// p ≈ c·σ, and r² ≈ 2·σ²·p, so r / p^1.5 ≈ √2 / c, where c is about 240 for weights that are normally distributed.
    pub sparse: f64,
    /// Share of a tensor's elements that have to be in rows as near as noise for the tensor to be alike; the other rows
    /// are then left out of its distance. Rows of the embedding whose tokens do not occur can be changed at will without
    /// changing what the model says.
    pub alike_rows: f64,
    /// Share of the tensors that have to be alike, [small](DifferenceClass::Small) ones left out (the rule for the
    /// recorded case of a copy had 0.98).
    pub alike_tensors: f64,
    /// The most tensors that may be unlike (the rule for the recorded case had 5).
    pub unlike_tensors: u64,
    /// The largest relative distance of a tensor that is unlike: twice that of rounding to bf16, so that a tensor in
    /// which a save cycle leaves a pattern is forgiven, and training of a single tensor is not.
    pub unlike_distance: f64,
    /// Share of the parameters that have to be in rows that are alike.
    pub alike_parameters: f64,
}

impl Default for NearCopyRule {
    fn default() -> Self {
        Self {
            negligible: 3e-5,
            noise: 0.2,
            coherence: 1.5,
            sparse: 0.03,
            alike_rows: 0.5,
            alike_tensors: 0.98,
            unlike_tensors: 5,
            unlike_distance: 4e-3,
            alike_parameters: 0.7,
        }
    }
}

/// What a rule says of a distance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NearCopyVerdict {
    /// The two are near copies of each other. Which of them is the copy is a question of [`attribute`](crate::attribute).
    pub is_near_copy: bool,
    /// Why, in a sentence.
    pub reason: String,
}

impl DifferenceClass {
    /// Whether a tensor of this kind speaks for a copy; `None` where it says nothing.
    pub(super) fn is_alike(self) -> Option<bool> {
        match self {
            Self::Identical | Self::Negligible | Self::Rounding | Self::Noise => Some(true),
            Self::Structured | Self::Sparse | Self::Other => Some(false),
            Self::Small => None,
        }
    }
}

impl NearCopyRule {
    pub(super) fn is_sparse(&self, changed_share: f64, relative: f64) -> bool {
        changed_share < 0.5 && relative > self.sparse * changed_share.powf(1.5)
    }

    /// Judges a distance that was measured by the same rule.
    pub fn judge(&self, distance: &WeightDistance) -> NearCopyVerdict {
        let count = |alike: bool| -> u64 {
            distance.classes.iter().filter(|(class, _)| class.is_alike() == Some(alike)).map(|(_, count)| count).sum()
        };
        let (alike, unlike) = (count(true), count(false));
        let share = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 / all as f64 };
        let tensors = share(alike, alike + unlike);
        let parameters = share(distance.alike_parameters, distance.parameters);
        let unmatched = match distance.unmatched_parameters {
            0 => String::new(),
            count => format!(", {count} parameters are in tensors that only one of them has"),
        };
        let shown = format!(
            "{alike} of {} tensors ({:.1}%) and {:.2}% of the parameters are alike{unmatched}",
            alike + unlike,
            100.0 * tensors,
            100.0 * parameters
        );
        let mut against = Vec::new();
        if tensors < self.alike_tensors {
            against.push(format!("a copy has {}% of its tensors alike", 100.0 * self.alike_tensors));
        }
        if unlike > self.unlike_tensors {
            against.push(format!("a copy has at most {} tensors unlike", self.unlike_tensors));
        }
        if distance.largest_unlike > self.unlike_distance {
            let (found, limit) = (distance.largest_unlike, self.unlike_distance);
            against.push(format!("a tensor that is unlike differs by {found:.1e}, in a copy by at most {limit:.0e}"));
        }
        if parameters < self.alike_parameters {
            against.push(format!("a copy has {}% of its parameters alike", 100.0 * self.alike_parameters));
        }
        if against.is_empty() {
            return NearCopyVerdict { is_near_copy: true, reason: shown };
        }
        NearCopyVerdict { is_near_copy: false, reason: format!("{shown}; {}", against.join(", ")) }
    }
}
