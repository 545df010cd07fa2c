//! What holds for all students, not only for those of the known values.

use distil_scoring::{CopyTest, EarlyStop, EarlyStopAnswer, ModelScore, PairedTest, PromptStatistics};
use distil_types::SubnetProfile;
use proptest::prelude::*;

/// KL as real students have it: mostly small, now and then large, a little below zero by rounding.
fn kl() -> impl Strategy<Value = f64> {
    prop_oneof![8 => 1e-6..1.0_f64, 1 => 1.0..20.0_f64, 1 => -1e-8..1e-6_f64]
}

type Positions = Vec<Vec<f64>>;

/// The positions of two students on the same prompts.
fn two_students(prompts: std::ops::Range<usize>) -> impl Strategy<Value = (Positions, Positions)> {
    prop::collection::vec(prop::collection::vec((kl(), kl()), 1..40), prompts)
        .prop_map(|prompts| prompts.into_iter().map(|prompt| prompt.into_iter().unzip()).unzip())
}

fn summaries(positions: &[Vec<f64>]) -> Vec<PromptStatistics> {
    positions.iter().map(|prompt| PromptStatistics::from_positions(prompt).unwrap()).collect()
}

fn close(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-11 * scale.max(a.abs()).max(b.abs())
}

proptest! {
    #[test]
    fn a_summary_is_one_that_a_real_run_can_have(prompt in prop::collection::vec(kl(), 1..200)) {
        let summary = PromptStatistics::from_positions(&prompt).unwrap();
        prop_assert!(summary.min <= summary.mean && summary.mean <= summary.max);
        prop_assert_eq!(summary.std > 0.0, summary.min < summary.max);
        prop_assert!(summary.std <= (summary.max - summary.min) * (prompt.len() as f64).sqrt());
        prop_assert_eq!(summary.positions, prompt.len());
    }

    #[test]
    fn the_score_is_the_mean_of_all_positions((king, _) in two_students(1..20)) {
        let score = ModelScore::from_prompts(&summaries(&king)).unwrap();
        let all: Vec<f64> = king.concat();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        prop_assert_eq!(score.positions, all.len());
        prop_assert!(close(score.kl, mean, 0.0), "{} {}", score.kl, mean);
        prop_assert_eq!(score.standard_error.is_some(), king.len() >= 2);
        if let Some(interval) = score.interval_95 {
            prop_assert!(interval.low <= score.kl && score.kl <= interval.high);
        }
    }

    #[test]
    fn the_order_of_prompts_does_not_matter(
        ((king, challenger), order) in two_students(2..20).prop_flat_map(|(king, challenger)| {
            let order: Vec<usize> = (0..king.len()).collect();
            (Just((king, challenger)), Just(order).prop_shuffle())
        })
    ) {
        let (king, challenger) = (summaries(&king), summaries(&challenger));
        let shuffled = |prompts: &[PromptStatistics]| -> Vec<_> { order.iter().map(|&i| prompts[i]).collect() };
        let before = ModelScore::from_prompts(&king).unwrap();
        let after = ModelScore::from_prompts(&shuffled(&king)).unwrap();
        prop_assert!(close(before.kl, after.kl, 0.0));
        prop_assert!(close(before.standard_error.unwrap(), after.standard_error.unwrap(), 1e-3 * before.kl));
        let before = PairedTest::new(&challenger, &king).unwrap();
        let after = PairedTest::new(&shuffled(&challenger), &shuffled(&king)).unwrap();
        prop_assert!(close(before.mean_difference, after.mean_difference, before.standard_error));
        prop_assert!(close(before.standard_error, after.standard_error, 0.0));
    }

    #[test]
    fn swapping_the_students_swaps_the_signs((king, challenger) in two_students(2..20)) {
        let (king, challenger) = (summaries(&king), summaries(&challenger));
        let one = PairedTest::new(&challenger, &king).unwrap();
        let other = PairedTest::new(&king, &challenger).unwrap();
        prop_assert_eq!(one.mean_difference, -other.mean_difference);
        prop_assert_eq!(one.standard_error, other.standard_error);
        prop_assert_eq!(one.t, other.t.map(|t| -t));
        prop_assert_eq!(one.p, other.p);
        prop_assert_eq!(one.interval_95.low, -other.interval_95.high);
    }

    #[test]
    fn test_and_score_point_the_same_way((king, challenger) in two_students(2..20), nudge in prop::option::of(0..20usize)) {
        // With a nudge the students differ by one bit at one position only: the hardest case for the sign.
        let challenger = match nudge {
            Some(prompt) => {
                let mut copy = king.clone();
                let prompt = prompt % copy.len();
                copy[prompt][0] = copy[prompt][0].next_up();
                copy
            }
            None => challenger,
        };
        let (king, challenger) = (summaries(&king), summaries(&challenger));
        let test = PairedTest::new(&challenger, &king).unwrap();
        let difference = ModelScore::from_prompts(&challenger).unwrap().kl - ModelScore::from_prompts(&king).unwrap().kl;
        prop_assert_eq!(test.mean_difference, difference);
        prop_assert_eq!(test.t.map_or(difference.signum(), |t| if t == 0.0 { 0.0 } else { t.signum() }),
            if difference == 0.0 { 0.0 } else { difference.signum() });
        prop_assert!((0.0..=1.0).contains(&test.p));
        prop_assert!(test.lower_bound(0.999).unwrap() <= test.mean_difference);
    }

    #[test]
    fn the_differences_are_those_of_the_formula((king, challenger) in two_students(2..20)) {
        let (king, challenger) = (summaries(&king), summaries(&challenger));
        let count = king.len() as f64;
        let mean_positions = king.iter().map(|k| k.positions as f64).sum::<f64>() / count;
        let differences: Vec<f64> =
            challenger.iter().zip(&king).map(|(c, k)| k.positions as f64 * (c.mean - k.mean) / mean_positions).collect();
        let test = PairedTest::new(&challenger, &king).unwrap();
        prop_assert!(close(test.mean_difference, differences.iter().sum::<f64>() / count, test.standard_error));
    }

    #[test]
    fn nats_are_only_a_unit((king, challenger) in two_students(2..20), exponent in -8..8_i32) {
        let factor = 2.0_f64.powi(exponent);
        let scaled = |positions: &[Vec<f64>]| -> Positions {
            positions.iter().map(|prompt| prompt.iter().map(|kl| kl * factor).collect()).collect()
        };
        let plain = PairedTest::new(&summaries(&challenger), &summaries(&king)).unwrap();
        let test = PairedTest::new(&summaries(&scaled(&challenger)), &summaries(&scaled(&king))).unwrap();
        prop_assert_eq!(test.mean_difference, plain.mean_difference * factor);
        prop_assert_eq!(test.standard_error, plain.standard_error * factor);
        prop_assert_eq!((test.t, test.p), (plain.t, plain.p));
        let plain = ModelScore::from_prompts(&summaries(&king)).unwrap();
        let score = ModelScore::from_prompts(&summaries(&scaled(&king))).unwrap();
        prop_assert_eq!(score.kl, plain.kl * factor);
        prop_assert_eq!(score.standard_error.unwrap(), plain.standard_error.unwrap() * factor);
        prop_assert_eq!(CopyTest::new(&scaled(&king), &scaled(&challenger)), CopyTest::new(&king, &challenger));
    }

    #[test]
    fn a_copy_is_one_whichever_came_first((king, challenger) in two_students(2..8), noise in 0.0..0.02_f64) {
        for other in [challenger, king.iter().map(|p| p.iter().map(|kl| kl * (1.0 + noise)).collect()).collect()] {
            let one = CopyTest::new(&king, &other).unwrap();
            prop_assert_eq!(one, CopyTest::new(&other, &king).unwrap());
            if let CopyTest::Measured(evidence) = one {
                prop_assert!((-1.0..=1.0).contains(&evidence.cosine));
                prop_assert!((0.0..=2.0).contains(&evidence.relative_distance));
                prop_assert!(evidence.positions >= 64 && evidence.prompts >= 2);
            }
        }
        if let CopyTest::Measured(evidence) = CopyTest::new(&king, &king).unwrap() {
            prop_assert!(evidence.is_copy, "{:?}", evidence);
        }
    }

    #[test]
    fn a_better_challenger_is_never_stopped((king, challenger) in two_students(11..20)) {
        let (king, challenger) = (summaries(&king), summaries(&challenger));
        let Ok(stop) = EarlyStop::new(&SubnetProfile::sn97(), king.clone()) else { return Ok(()) };
        for done in 0..=king.len() {
            let answer = stop.judge(&challenger[..done]).unwrap();
            if done < 10 || done == king.len() {
                prop_assert_eq!(answer, EarlyStopAnswer::Continue);
            } else if let EarlyStopAnswer::Stop(evidence) = answer {
                prop_assert!(evidence.lower_bound > 0.0 && evidence.paired.mean_difference > 0.0);
                prop_assert!(evidence.paired.p < 0.002);
            }
        }
    }
}
