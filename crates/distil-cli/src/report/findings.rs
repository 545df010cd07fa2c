//! What the KL at each position says, computed and put into words.

/// A position of a continuation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) prompt: usize,
    /// From 0, in the continuation.
    pub(super) position: usize,
    pub(super) kl_nats: f64,
}

/// How a student's divergence is spread over positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    /// The share of positions, worst first, that make up half of all divergence; none where there is no divergence.
    pub(super) share_of_positions_for_half: Option<f64>,
    /// Half the positions are at or below this.
    pub(super) median_nats: f64,
    /// One position in a hundred is above this.
    pub(super) percentile_99_nats: f64,
}

impl Spread {
    /// None without positions.
    pub(super) fn new(positions_kl_nats: &[Vec<f64>]) -> Option<Self> {
        let mut values: Vec<f64> = positions_kl_nats.iter().flatten().copied().collect();
        if values.is_empty() {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let half = values.iter().sum::<f64>() / 2.0;
        let share_of_positions_for_half = (half > 0.0).then(|| {
            let mut sum = 0.0;
            let needed = values.iter().rev().take_while(|value| {
                let more = sum < half;
                sum += **value;
                more
            });
            needed.count() as f64 / values.len() as f64
        });
        Some(Self {
            share_of_positions_for_half,
            median_nats: quantile(&values, 0.5),
            percentile_99_nats: quantile(&values, 0.99),
        })
    }
}

/// The smallest value that at least this share of the sorted values is at or below.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// How divergence changes along the continuation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Trend {
    /// Mean over the first quarter of the longest continuation's length.
    pub(super) first_quarter_nats: f64,
    /// Mean over the last quarter.
    pub(super) last_quarter_nats: f64,
}

impl Trend {
    /// None where continuations are too short for quarters, or no divergence is there to change.
    pub(super) fn new(positions_kl_nats: &[Vec<f64>]) -> Option<Self> {
        let longest = positions_kl_nats.iter().map(Vec::len).max()?;
        let quarter = longest / 4;
        if quarter < 2 {
            return None;
        }
        let first_quarter_nats = mean_at(positions_kl_nats, 0, quarter)?;
        let last_quarter_nats = mean_at(positions_kl_nats, longest - quarter, longest)?;
        (first_quarter_nats > 0.0 && last_quarter_nats > 0.0).then_some(Self { first_quarter_nats, last_quarter_nats })
    }

    /// "grows", "falls" or "stays about level": less than a fifth up or down is level.
    pub(super) fn word(&self) -> &'static str {
        let ratio = self.last_quarter_nats / self.first_quarter_nats;
        if ratio > 1.2 {
            "grows"
        } else if ratio < 1.0 / 1.2 {
            "falls"
        } else {
            "stays about level"
        }
    }
}

/// The mean over positions `from..to` of all prompts that reach there.
pub(super) fn mean_at(positions_kl_nats: &[Vec<f64>], from: usize, to: usize) -> Option<f64> {
    let (mut sum, mut number) = (0.0, 0_usize);
    for prompt in positions_kl_nats {
        for value in prompt.iter().take(to).skip(from) {
            sum += value;
            number += 1;
        }
    }
    (number > 0).then(|| sum / number as f64)
}

/// The worst positions, none within `apart` tokens of a worse one of the same prompt, so that each shows another
/// passage.
pub(super) fn worst_places(positions_kl_nats: &[Vec<f64>], most: usize, apart: usize) -> Vec<Place> {
    let mut places: Vec<Place> = positions_kl_nats
        .iter()
        .enumerate()
        .flat_map(|(prompt, values)| {
            let places = values.iter().enumerate();
            places.map(move |(position, kl_nats)| Place { prompt, position, kl_nats: *kl_nats })
        })
        .filter(|place| place.kl_nats > 0.0)
        .collect();
    // Ties stand in the order of the text.
    places.sort_by(|first, second| second.kl_nats.total_cmp(&first.kl_nats));
    let mut worst: Vec<Place> = Vec::new();
    for place in places {
        if worst.len() == most {
            break;
        }
        let is_near = |other: &Place| other.prompt == place.prompt && other.position.abs_diff(place.position) < apart;
        if !worst.iter().any(is_near) {
            worst.push(place);
        }
    }
    worst
}

/// A step of 1, 2 or 5 times a power of ten that divides `0..=most` into about four, and the end of the axis.
pub(super) fn nice_axis(most: f64) -> (f64, f64) {
    if !(most.is_finite() && most > 0.0) {
        return (0.25, 1.0);
    }
    let rough = most / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    (step, (most / step * 0.999).ceil().max(1.0) * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_divergence_is_found_in_the_worst_positions() {
        // 8 + 2 of 16 is more than half, 8 alone is just half.
        let spread = Spread::new(&[vec![1.0, 1.0, 8.0, 1.0], vec![1.0, 1.0, 2.0, 1.0]]).expect("positions");
        assert_eq!(spread.share_of_positions_for_half, Some(1.0 / 8.0));
        assert_eq!(spread.median_nats, 1.0);
        assert_eq!(spread.percentile_99_nats, 8.0);
        let level = Spread::new(&[vec![0.5; 10]]).expect("positions");
        assert_eq!(level.share_of_positions_for_half, Some(0.5));
        let same = Spread::new(&[vec![0.0; 3]]).expect("positions");
        assert_eq!(same.share_of_positions_for_half, None);
        assert_eq!(Spread::new(&[vec![]]), None);
    }

    #[test]
    fn a_trend_needs_quarters() {
        let rising = Trend::new(&[(1..=8).map(f64::from).collect()]).expect("long enough");
        assert_eq!(rising, Trend { first_quarter_nats: 1.5, last_quarter_nats: 7.5 });
        assert_eq!(rising.word(), "grows");
        assert_eq!(Trend::new(&[vec![1.0; 7]]), None);
        assert_eq!(Trend::new(&[vec![1.0; 8]]).map(|trend| trend.word()), Some("stays about level"));
        // A short prompt has no part in the last quarter.
        let uneven = Trend::new(&[vec![4.0; 8], vec![2.0; 2]]).expect("long enough");
        assert_eq!(uneven, Trend { first_quarter_nats: 3.0, last_quarter_nats: 4.0 });
    }

    #[test]
    fn worst_places_are_different_passages() {
        let places = worst_places(&[vec![0.1, 3.0, 2.9, 0.0, 0.0, 1.0], vec![2.0]], 3, 3);
        let found: Vec<_> = places.iter().map(|place| (place.prompt, place.position)).collect();
        assert_eq!(found, [(0, 1), (1, 0), (0, 5)]);
        assert!(worst_places(&[vec![0.0; 4]], 3, 3).is_empty());
    }

    #[test]
    fn axes_end_on_a_round_number() {
        for (most, step, end) in [(0.46, 0.2, 0.6), (1.0, 0.5, 1.0), (0.09, 0.05, 0.1), (7.9, 2.0, 8.0)] {
            let axis = nice_axis(most);
            assert!((axis.0 - step).abs() < 1e-9 && (axis.1 - end).abs() < 1e-9, "{most}: {axis:?}");
        }
        assert_eq!(nice_axis(0.0), (0.25, 1.0));
        assert_eq!(nice_axis(f64::NAN), (0.25, 1.0));
    }
}
