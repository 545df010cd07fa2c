use crate::{Error, Interval, PromptStatistics, moments::Moments, score::weighted_mean, student_t};
use serde::{Deserialize, Serialize};

/// Student's t test of two students on the same prompts, position-weighted and paired by prompt.
///
/// # Formula
///
/// With nᵢ positions on prompt i of K, n̄ the mean of the nᵢ, and cᵢ and kᵢ the mean KL of challenger and king:
///
/// - dᵢ = nᵢ·(cᵢ − kᵢ) / n̄, whose mean is the difference of the two scores
/// - t = mean difference / standard error, with K − 1 degrees of freedom
///
/// # Numerics
///
/// The mean difference is taken from the two scores themselves, so its sign is theirs to the last bit. Without any
/// spread in the dᵢ there is no t, and the outcome is the limit of a vanishing spread: p is 0, or 1 (with t = 0)
/// when the scores are equal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairedTest {
    /// Score of the challenger minus score of the king, in nats: negative when the challenger is better.
    pub mean_difference: f64,
    /// The standard error of the mean difference, in nats.
    pub standard_error: f64,
    /// The test statistic; `None` where it would be infinite.
    pub t: Option<f64>,
    /// The two-sided probability of a difference at least this large between equal students.
    pub p: f64,
    /// How many prompts were compared.
    pub n: usize,
    /// The 95% interval of the mean difference, in nats.
    pub interval_95: Interval,
}

impl PairedTest {
    /// Compares two students on the same prompts, in the same order.
    ///
    /// # Errors
    ///
    /// [`Error::PromptCountMismatch`] and [`Error::PositionsMismatch`] when they were not measured on the same prompts
    /// and positions, [`Error::TooFewPrompts`] for fewer than two, [`Error::InvalidPrompt`] for a summary that is not
    /// finite, [`Error::Overflow`] when the numbers are too large.
    pub fn new(challenger: &[PromptStatistics], king: &[PromptStatistics]) -> Result<Self, Error> {
        let n = challenger.len();
        if n != king.len() {
            return Err(Error::PromptCountMismatch { first: n, second: king.len() });
        }
        if n < 2 {
            return Err(Error::TooFewPrompts { needed: 2, found: n });
        }
        for (prompt, (c, k)) in challenger.iter().zip(king).enumerate() {
            if c.positions != k.positions {
                return Err(Error::PositionsMismatch { prompt, first: c.positions, second: k.positions });
            }
        }
        let mean_difference = weighted_mean(challenger)? - weighted_mean(king)?;
        let mean_positions = king.iter().map(|prompt| prompt.positions as f64).sum::<f64>() / n as f64;
        let differences: Vec<f64> =
            challenger.iter().zip(king).map(|(c, k)| k.positions as f64 * (c.mean - k.mean) / mean_positions).collect();
        if !mean_difference.is_finite() || differences.iter().any(|difference| !difference.is_finite()) {
            return Err(Error::Overflow);
        }
        let standard_error = Moments::new(&differences)?.std / (n as f64).sqrt();
        let (t, p) = if mean_difference == 0.0 {
            (Some(0.0), 1.0)
        } else {
            let t = mean_difference / standard_error;
            (t.is_finite().then_some(t), student_t::two_sided_p(t, n - 1))
        };
        let interval_95 = Interval::of_95_percent(mean_difference, standard_error, n - 1);
        Ok(PairedTest { mean_difference, standard_error, t, p, n, interval_95 })
    }

    /// What the true mean difference is above with this confidence (one-sided), in nats.
    ///
    /// Above zero, it says that the challenger is the worse of the two.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfidence`] unless `0 < confidence < 1`.
    pub fn lower_bound(&self, confidence: f64) -> Result<f64, Error> {
        if !(confidence > 0.0 && confidence < 1.0) {
            return Err(Error::InvalidConfidence { value: confidence });
        }
        Ok(self.mean_difference - student_t::quantile(confidence, self.n - 1) * self.standard_error)
    }

    /// What the true mean difference is below with this confidence (one-sided), in nats.
    ///
    /// Below zero, it says that the challenger is the better of the two.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfidence`] unless `0 < confidence < 1`.
    pub fn upper_bound(&self, confidence: f64) -> Result<f64, Error> {
        // The quantiles are symmetric, so this is the lower bound mirrored at the mean.
        Ok(2.0 * self.mean_difference - self.lower_bound(confidence)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(mean: f64, positions: usize) -> PromptStatistics {
        PromptStatistics { mean, std: 0.0, min: mean, max: mean, positions }
    }

    #[test]
    fn students_must_have_done_the_same_prompts() {
        let two = [prompt(0.1, 5), prompt(0.2, 5)];
        let other = [prompt(0.1, 5), prompt(0.2, 6)];
        assert_eq!(PairedTest::new(&two, &two[..1]), Err(Error::PromptCountMismatch { first: 2, second: 1 }));
        assert_eq!(PairedTest::new(&two, &other), Err(Error::PositionsMismatch { prompt: 1, first: 5, second: 6 }));
        assert_eq!(PairedTest::new(&two[..1], &two[..1]), Err(Error::TooFewPrompts { needed: 2, found: 1 }));
        let bad = [prompt(0.1, 5), prompt(f64::NAN, 5)];
        assert!(matches!(PairedTest::new(&bad, &two), Err(Error::InvalidPrompt { prompt: 1, .. })));
        let large = [prompt(f64::MAX, 5), prompt(f64::MAX / 2.0, 5)];
        assert_eq!(PairedTest::new(&large, &two), Err(Error::Overflow));
        let low = [prompt(-1e308, 5), prompt(-1e308, 1)];
        let high = [prompt(1e308, 5), prompt(1e308, 1)];
        assert_eq!(PairedTest::new(&low, &high), Err(Error::Overflow));
    }

    #[test]
    fn without_spread_the_outcome_is_the_limit() {
        let king = [prompt(0.25, 8), prompt(0.5, 8), prompt(0.75, 8)];
        let same = PairedTest::new(&king, &king).unwrap();
        assert_eq!((same.mean_difference, same.standard_error, same.t, same.p), (0.0, 0.0, Some(0.0), 1.0));
        assert_eq!(same.lower_bound(0.999).unwrap(), 0.0);

        let shifted = king.map(|k| prompt(k.mean + 0.125, 8));
        let test = PairedTest::new(&shifted, &king).unwrap();
        assert_eq!((test.mean_difference, test.standard_error, test.t, test.p), (0.125, 0.0, None, 0.0));
        assert_eq!(test.interval_95, Interval { low: 0.125, high: 0.125 });
        assert_eq!(test.lower_bound(0.999).unwrap(), 0.125);
    }

    #[test]
    fn a_confidence_lies_between_zero_and_one() {
        let king = [prompt(0.25, 8), prompt(0.5, 8)];
        let test = PairedTest::new(&king, &king).unwrap();
        for bad in [0.0, 1.0, -0.5, 1.5, f64::NAN, f64::INFINITY] {
            assert!(matches!(test.lower_bound(bad), Err(Error::InvalidConfidence { .. })), "{bad}");
        }
    }
}
