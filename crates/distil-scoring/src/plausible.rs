use crate::PromptStatistics;
use std::fmt;

/// A prompt's summary of which parts may be missing, as in a recorded round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartialStatistics {
    pub(crate) mean: f64,
    pub(crate) std: Option<f64>,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) positions: Option<usize>,
}

impl From<&PromptStatistics> for PartialStatistics {
    fn from(prompt: &PromptStatistics) -> Self {
        let PromptStatistics { mean, std, min, max, positions } = *prompt;
        PartialStatistics { mean, std: Some(std), min: Some(min), max: Some(max), positions: Some(positions) }
    }
}

/// Why statistics can't come from a real run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Implausible {
    OneValueForManyPositions { prompt: usize },
    OneValueForEveryPrompt,
    MeanOutside { prompt: usize },
    SpreadContradicts { prompt: usize },
    Negative { prompt: usize },
}

/// From this many positions on it is no coincidence that all have the same KL to the last bit.
const MANY_POSITIONS: usize = 8;

/// A KL is never below zero; rounding may take a position this far, in nats.
const ROUNDING_NATS: f64 = 1e-6;

/// Looks for what a measurement can't produce, and a made-up one easily does.
pub(crate) fn implausible(prompts: impl Iterator<Item = PartialStatistics> + Clone) -> Option<Implausible> {
    for (index, prompt) in prompts.clone().enumerate() {
        let PartialStatistics { mean, std, min, max, positions } = prompt;
        let (Some(min), Some(max)) = (min, max) else { continue };
        if min == max && positions.is_some_and(|positions| positions >= MANY_POSITIONS) {
            return Some(Implausible::OneValueForManyPositions { prompt: index });
        }
        // A recorded mean may have been rounded to f32.
        let tolerance = 1e-6 * (min.abs() + max.abs());
        if mean < min - tolerance || mean > max + tolerance {
            return Some(Implausible::MeanOutside { prompt: index });
        }
        // The square of a spread below this vanishes.
        let spread = max - min > 1e-9 * max.abs().max(f64::MIN_POSITIVE);
        if std.is_some_and(|std| std < 0.0 || (std > 0.0 && min == max) || (std == 0.0 && spread)) {
            return Some(Implausible::SpreadContradicts { prompt: index });
        }
        if min < -ROUNDING_NATS {
            return Some(Implausible::Negative { prompt: index });
        }
    }
    let mut means = prompts.map(|prompt| prompt.mean);
    let first = means.next()?;
    let second = means.next()?;
    (first == second && means.all(|mean| mean == first)).then_some(Implausible::OneValueForEveryPrompt)
}

impl fmt::Display for Implausible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Implausible::OneValueForManyPositions { prompt } => {
                write!(f, "every position of prompt {prompt} has the same KL")
            }
            Implausible::OneValueForEveryPrompt => f.write_str("every prompt has the same mean KL"),
            Implausible::MeanOutside { prompt } => {
                write!(f, "the mean of prompt {prompt} is not between its least and its greatest KL")
            }
            Implausible::SpreadContradicts { prompt } => {
                write!(f, "the standard deviation of prompt {prompt} contradicts its least and greatest KL")
            }
            Implausible::Negative { prompt } => write!(f, "prompt {prompt} has a KL below zero"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(prompts: &[PromptStatistics]) -> Option<Implausible> {
        implausible(prompts.iter().map(PartialStatistics::from))
    }

    fn prompt(mean: f64) -> PromptStatistics {
        PromptStatistics { mean, std: 0.1, min: mean / 10.0, max: mean * 5.0, positions: 512 }
    }

    #[test]
    fn a1_invented_statistics_are_seen() {
        // Crowned by the original: a tokenizer file that ran inside the evaluator wrote 0.04481 everywhere.
        let invented = PromptStatistics { mean: 0.04481, std: 0.04481, min: 0.04481, max: 0.04481, positions: 512 };
        assert_eq!(check(&[invented; 60]), Some(Implausible::OneValueForManyPositions { prompt: 0 }));
        let good = prompt(0.05);
        let cases = [
            (PromptStatistics { std: 0.0, ..invented }, Implausible::OneValueForManyPositions { prompt: 1 }),
            (PromptStatistics { positions: 2, ..invented }, Implausible::SpreadContradicts { prompt: 1 }),
            (PromptStatistics { std: 0.0, ..good }, Implausible::SpreadContradicts { prompt: 1 }),
            (PromptStatistics { std: -0.1, ..good }, Implausible::SpreadContradicts { prompt: 1 }),
            (PromptStatistics { mean: 0.001, ..good }, Implausible::MeanOutside { prompt: 1 }),
            (PromptStatistics { mean: 1.0, ..good }, Implausible::MeanOutside { prompt: 1 }),
            (PromptStatistics { min: -0.01, ..good }, Implausible::Negative { prompt: 1 }),
        ];
        for (bad, expected) in cases {
            assert_eq!(check(&[prompt(0.06), bad, prompt(0.07)]), Some(expected), "{bad:?}");
        }
        assert_eq!(check(&[good; 3]), Some(Implausible::OneValueForEveryPrompt));
        assert_eq!(check(&[good, prompt(0.06)]), None);
    }

    #[test]
    fn one_position_or_one_prompt_is_no_invention() {
        let short = PromptStatistics { mean: 0.2, std: 0.0, min: 0.2, max: 0.2, positions: 1 };
        assert_eq!(check(&[short, prompt(0.1)]), None);
        assert_eq!(check(&[prompt(0.1)]), None);
        assert_eq!(check(&[]), None);
        // d2: a little below zero is rounding.
        assert_eq!(check(&[PromptStatistics { min: -4.896e-8, ..prompt(0.1) }, prompt(0.2)]), None);
    }

    #[test]
    fn what_is_not_recorded_is_not_held_against_a_run() {
        let bare = |mean| PartialStatistics { mean, std: None, min: None, max: None, positions: None };
        assert_eq!(implausible([bare(0.1), bare(0.2)].into_iter()), None);
        assert_eq!(implausible([bare(0.1), bare(0.1)].into_iter()), Some(Implausible::OneValueForEveryPrompt));
    }

    proptest! {
        #[test]
        fn what_was_measured_is_plausible(
            prompts in prop::collection::vec(prop::collection::vec(prop_oneof![8 => 1e-6..1.0_f64, 1 => 1.0..30.0_f64, 1 => -5e-8..1e-6_f64], 1..60), 1..12)
        ) {
            let summaries: Vec<_> =
                prompts.iter().map(|prompt| PromptStatistics::from_positions(prompt).unwrap()).collect();
            prop_assert_eq!(check(&summaries), None);
        }
    }
}
