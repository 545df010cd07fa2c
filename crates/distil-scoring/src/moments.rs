//! Sums, means and standard deviations in one fixed order.

use crate::Error;

/// The sum in the given order, with Neumaier's compensation: the result is as good as one rounding of the true sum,
/// so the order of prompts or positions does not show beyond the last digit.
pub(crate) fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut compensation) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = sum + value;
        compensation += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
        sum = next;
    }
    sum + compensation
}

/// Mean and spread of some numbers.
pub(crate) struct Moments {
    pub(crate) mean: f64,
    /// Sample standard deviation (n - 1); 0 for a single number. It is 0 exactly when all numbers are equal, unless
    /// their differences are too small to be squared.
    pub(crate) std: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Moments {
    /// Of finite numbers, at least one.
    pub(crate) fn new(values: &[f64]) -> Result<Self, Error> {
        let n = values.len() as f64;
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = clamped(sum(values.iter().copied()) / n, min, max)?;
        let std = match values.len() {
            1 => 0.0,
            _ => (sum(values.iter().map(|value| (value - mean).powi(2))) / (n - 1.0)).sqrt(),
        };
        if !std.is_finite() {
            return Err(Error::Overflow);
        }
        Ok(Moments { mean, std, min, max })
    }
}

/// A mean lies between the least and the greatest number, also after rounding. With all numbers equal it is that number.
pub(crate) fn clamped(mean: f64, min: f64, max: f64) -> Result<f64, Error> {
    if mean.is_finite() { Ok(mean.clamp(min, max)) } else { Err(Error::Overflow) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_terms_survive_between_large_ones() {
        assert_eq!(sum([1e16, 1.0, -1e16, 1.0]), 2.0);
        assert_eq!(sum([1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum([]), 0.0);
    }

    #[test]
    fn what_is_too_large_is_an_error() {
        assert!(matches!(Moments::new(&[f64::MAX, f64::MAX]), Err(Error::Overflow)));
        assert!(matches!(Moments::new(&[1e200, -1e200]), Err(Error::Overflow)));
    }
}
