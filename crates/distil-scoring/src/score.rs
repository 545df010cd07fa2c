use crate::{
    Error,
    moments::{Moments, clamped, sum},
    student_t,
};
use serde::{Deserialize, Serialize};

/// What a student's KL at the positions of one prompt comes to, in nats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PromptStatistics {
    /// The mean, between `min` and `max`.
    pub mean: f64,
    /// The sample standard deviation (n - 1); 0 for a single position.
    pub std: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// How many positions there are, at least 1.
    pub positions: usize,
}

impl PromptStatistics {
    /// Summarises the KL, in nats, at every position of one prompt, in their order.
    ///
    /// ```
    /// let prompt = distil_scoring::PromptStatistics::from_positions(&[0.1, 0.3, 0.2])?;
    /// assert!((prompt.mean - 0.2).abs() < 1e-15);
    /// assert!((prompt.std - 0.1).abs() < 1e-15);
    /// # Ok::<(), distil_scoring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoPositions`] for none, [`Error::NotFinite`] for the first that is NaN or infinite, [`Error::Overflow`]
    /// when they are too large to be summed. A value a little below zero is rounding and taken as it is.
    pub fn from_positions(kl_nats: &[f64]) -> Result<Self, Error> {
        if kl_nats.is_empty() {
            return Err(Error::NoPositions);
        }
        require_finite(kl_nats)?;
        let Moments { mean, std, min, max } = Moments::new(kl_nats)?;
        Ok(PromptStatistics { mean, std, min, max, positions: kl_nats.len() })
    }
}

pub(crate) fn require_finite(kl_nats: &[f64]) -> Result<(), Error> {
    match kl_nats.iter().position(|value| !value.is_finite()) {
        Some(position) => Err(Error::NotFinite { position, value: kl_nats[position] }),
        None => Ok(()),
    }
}

/// An interval of nats, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// The interval that holds the true mean with a probability of 0.95, by Student's t.
    pub(crate) fn of_95_percent(mean: f64, standard_error: f64, degrees_of_freedom: usize) -> Self {
        let half = student_t::quantile(0.975, degrees_of_freedom) * standard_error;
        Interval { low: mean - half, high: mean + half }
    }
}

/// A student's score on a round: its mean KL over all positions of all prompts, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ModelScore {
    /// The mean KL in nats over all positions of all prompts.
    pub kl: f64,
    /// All positions.
    pub positions: usize,
    /// All prompts.
    pub prompts: usize,
    /// The standard error of `kl` in nats, clustered by prompt; `None` for fewer than two prompts.
    pub standard_error: Option<f64>,
    /// The 95% interval of `kl` in nats; `None` for fewer than two prompts.
    pub interval_95: Option<Interval>,
}

impl ModelScore {
    /// Scores a student from the summaries of its prompts.
    ///
    /// # Formula
    ///
    /// With nᵢ positions of mean mᵢ on prompt i of K, and n̄ the mean of the nᵢ:
    ///
    /// - kl = Σ nᵢ·mᵢ / Σ nᵢ
    /// - standard error = √( Σ rᵢ² / (K·(K − 1)) ) with rᵢ = nᵢ·(mᵢ − kl) / n̄
    /// - interval = kl ± t(0.975; K − 1) · standard error
    ///
    /// # Source
    ///
    /// The ratio estimator of cluster sampling: Cochran, *Sampling Techniques*, 3rd edition, section 2.11 (without the
    /// finite population correction).
    ///
    /// # Errors
    ///
    /// [`Error::NoPrompts`] for none, [`Error::InvalidPrompt`] for a summary that holds NaN, infinity or no positions,
    /// [`Error::Overflow`] when the numbers are too large.
    pub fn from_prompts(prompts: &[PromptStatistics]) -> Result<Self, Error> {
        let kl = weighted_mean(prompts)?;
        let count = prompts.len();
        // Of a record that somebody wrote they may be any numbers.
        let add = |sum: usize, prompt: &PromptStatistics| sum.checked_add(prompt.positions);
        let positions = prompts.iter().try_fold(0, add).ok_or(Error::Overflow)?;
        let mut score = ModelScore { kl, positions, prompts: count, standard_error: None, interval_95: None };
        if count >= 2 {
            let mean_positions = positions as f64 / count as f64;
            let squares = sum(prompts
                .iter()
                .map(|prompt| (prompt.positions as f64 * (prompt.mean - kl) / mean_positions).powi(2)));
            let standard_error = (squares / (count as f64 * (count - 1) as f64)).sqrt();
            if !standard_error.is_finite() {
                return Err(Error::Overflow);
            }
            score.standard_error = Some(standard_error);
            score.interval_95 = Some(Interval::of_95_percent(kl, standard_error, count - 1));
        }
        Ok(score)
    }
}

/// The mean over all positions of all prompts.
pub(crate) fn weighted_mean(prompts: &[PromptStatistics]) -> Result<f64, Error> {
    if prompts.is_empty() {
        return Err(Error::NoPrompts);
    }
    for (index, prompt) in prompts.iter().enumerate() {
        if !prompt.mean.is_finite() || prompt.positions == 0 {
            return Err(Error::InvalidPrompt { prompt: index, mean: prompt.mean, positions: prompt.positions });
        }
    }
    let weights = sum(prompts.iter().map(|prompt| prompt.positions as f64));
    let total = sum(prompts.iter().map(|prompt| prompt.positions as f64 * prompt.mean));
    let min = prompts.iter().map(|prompt| prompt.mean).fold(f64::INFINITY, f64::min);
    let max = prompts.iter().map(|prompt| prompt.mean).fold(f64::NEG_INFINITY, f64::max);
    clamped(total / weights, min, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_that_are_not_finite_are_named() {
        for (bad, place) in [(f64::NAN, 2), (f64::INFINITY, 2), (f64::NEG_INFINITY, 2)] {
            match PromptStatistics::from_positions(&[0.1, 0.2, bad, f64::NAN]) {
                Err(Error::NotFinite { position, value }) => {
                    assert_eq!(position, place);
                    assert_eq!(value.to_bits(), bad.to_bits());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(PromptStatistics::from_positions(&[]), Err(Error::NoPositions));
    }

    #[test]
    fn one_position_has_no_spread() {
        let prompt = PromptStatistics::from_positions(&[0.25]).unwrap();
        assert_eq!(prompt, PromptStatistics { mean: 0.25, std: 0.0, min: 0.25, max: 0.25, positions: 1 });
    }

    #[test]
    fn equal_positions_have_exactly_no_spread() {
        // The sum of ten 0.1 divided by ten is not 0.1 in plain floating point.
        let prompt = PromptStatistics::from_positions(&[0.1; 10]).unwrap();
        assert_eq!(prompt, PromptStatistics { mean: 0.1, std: 0.0, min: 0.1, max: 0.1, positions: 10 });
        let score = ModelScore::from_prompts(&[prompt; 7]).unwrap();
        assert_eq!((score.kl, score.standard_error), (0.1, Some(0.0)));
    }

    #[test]
    fn a_long_prompt_weighs_more_than_a_short_one() {
        let long = PromptStatistics { mean: 0.1, std: 0.0, min: 0.1, max: 0.1, positions: 300 };
        let short = PromptStatistics { mean: 0.5, std: 0.0, min: 0.5, max: 0.5, positions: 100 };
        let score = ModelScore::from_prompts(&[long, short]).unwrap();
        assert!((score.kl - 0.2).abs() < 1e-15, "{}", score.kl);
        assert_eq!(score.positions, 400);
    }

    #[test]
    fn one_prompt_says_nothing_of_the_next() {
        let prompt = PromptStatistics::from_positions(&[0.1, 0.3]).unwrap();
        let score = ModelScore::from_prompts(&[prompt]).unwrap();
        assert_eq!((score.standard_error, score.interval_95), (None, None));
        assert_eq!(ModelScore::from_prompts(&[]), Err(Error::NoPrompts));
    }

    #[test]
    fn unusable_summaries_are_named() {
        let good = PromptStatistics::from_positions(&[0.1, 0.3]).unwrap();
        for bad in [PromptStatistics { mean: f64::INFINITY, ..good }, PromptStatistics { positions: 0, ..good }] {
            assert!(matches!(ModelScore::from_prompts(&[good, bad]), Err(Error::InvalidPrompt { prompt: 1, .. })));
        }
        let large = PromptStatistics { mean: f64::MAX, ..good };
        assert_eq!(ModelScore::from_prompts(&[large, large]), Err(Error::Overflow));
        let long = PromptStatistics { positions: usize::MAX, ..good };
        assert_eq!(ModelScore::from_prompts(&[long, good]), Err(Error::Overflow));
    }

    #[test]
    fn a_summary_goes_through_json_under_its_names() {
        let prompt = PromptStatistics::from_positions(&[0.5, 1.5]).unwrap();
        let json = serde_json::to_value(prompt).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"mean": 1.0, "std": 0.5_f64.sqrt(), "min": 0.5, "max": 1.5, "positions": 2})
        );
        assert_eq!(serde_json::from_value::<PromptStatistics>(json).unwrap(), prompt);
    }
}
