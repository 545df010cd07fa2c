use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::error::{ModelError, Result};

/// How the next token is chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Sampling {
    /// The likeliest token; of equal ones the lowest id.
    Greedy,
    /// A draw from the smallest set of likeliest tokens that holds `top_p` of the probability.
    TopP {
        /// Logits are divided by it first; above 0.
        temperature: f64,
        /// Above 0 and at most 1.
        top_p: f64,
        /// Keys a ChaCha20 generator; prompt i draws from its stream i, one 64-bit number a token, so a prompt's
        /// continuation depends neither on the other prompts nor on how they were batched.
        seed: [u8; 32],
    },
}

impl Sampling {
    pub(crate) fn validate(&self) -> Result<()> {
        let Self::TopP { temperature, top_p, .. } = *self else { return Ok(()) };
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(ModelError::InvalidRequest(format!("temperature {temperature} is not a number above 0")));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(ModelError::InvalidRequest(format!("top_p {top_p} is not above 0 and at most 1")));
        }
        Ok(())
    }

    /// The generator of prompt `index`.
    pub(crate) fn generator(&self, index: usize) -> Option<ChaCha20Rng> {
        let Self::TopP { seed, .. } = *self else { return None };
        let mut generator = ChaCha20Rng::from_seed(seed);
        generator.set_stream(index as u64);
        Some(generator)
    }
}

/// A number in [0, 1) with 53 random bits.
pub(crate) fn uniform(generator: &mut ChaCha20Rng) -> f64 {
    (generator.next_u64() >> 11) as f64 * (-53_f64).exp2()
}

/// The first of the largest values, or `None` where a value is NaN or the largest is infinite.
pub(crate) fn argmax(logits: &[f32]) -> Option<(usize, f32)> {
    let mut max = f32::NEG_INFINITY;
    let mut has_nan = false;
    for &logit in logits {
        has_nan |= logit.is_nan();
        max = if logit > max { logit } else { max };
    }
    if has_nan || max == f32::INFINITY {
        return None;
    }
    logits.iter().position(|&logit| logit == max).map(|index| (index, max))
}

/// Draws from the smallest set of likeliest tokens that holds `top_p` of the probability; `draw` is in [0, 1).
/// `None` where no logit is finite or one is NaN. In f64 and in a fixed order, so that equal logits give equal draws.
pub(crate) fn top_p_draw(logits: &[f32], temperature: f64, top_p: f64, draw: f64) -> Option<u32> {
    let (_, max) = argmax(logits).filter(|(_, max)| max.is_finite())?;
    let weights: Vec<f64> =
        logits.iter().map(|&logit| ((f64::from(logit) - f64::from(max)) / temperature).exp()).collect();
    let enough = weights.iter().sum::<f64>() * top_p;
    let by_weight = |a: &u32, b: &u32| weights[*b as usize].total_cmp(&weights[*a as usize]).then(a.cmp(b));
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    // Few tokens hold most of the probability: sort only as many as it takes.
    let mut candidates = 256;
    loop {
        let all = candidates >= order.len();
        let candidates_now = candidates.min(order.len());
        if !all {
            order.select_nth_unstable_by(candidates_now, by_weight);
        }
        order[..candidates_now].sort_unstable_by(by_weight);
        let mut mass = 0.0;
        let kept = order[..candidates_now].iter().position(|&token| {
            mass += weights[token as usize];
            mass >= enough
        });
        if let Some(last) = kept.or(all.then(|| candidates_now - 1)) {
            let target = draw * mass;
            let mut reached = 0.0;
            let chosen = order[..=last].iter().find(|&&token| {
                reached += weights[token as usize];
                reached > target
            });
            return Some(*chosen.unwrap_or(&order[last]));
        }
        candidates *= 16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greedy_takes_the_first_of_equals_and_refuses_nan() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0, f32::NEG_INFINITY]), Some((1, 3.0)));
        assert_eq!(argmax(&[1.0, f32::NAN]), None);
        assert_eq!(argmax(&[1.0, f32::INFINITY]), None);
    }

    #[test]
    fn a_draw_stays_within_the_kept_set_and_reaches_all_of_it() {
        // Probabilities 0.6, 0.3, 0.1: top_p 0.7 keeps the first two, two thirds to one third.
        let logits = [0.6_f32.ln(), 0.1_f32.ln(), 0.3_f32.ln()];
        assert_eq!(top_p_draw(&logits, 1.0, 0.7, 0.0), Some(0));
        assert_eq!(top_p_draw(&logits, 1.0, 0.7, 0.66), Some(0));
        assert_eq!(top_p_draw(&logits, 1.0, 0.7, 0.67), Some(2));
        assert_eq!(top_p_draw(&logits, 1.0, 0.7, 0.999_999), Some(2));
        assert_eq!(top_p_draw(&logits, 1.0, 1.0, 0.999_999), Some(1));
        assert_eq!(top_p_draw(&logits, 1e-3, 0.9, 0.999_999), Some(0), "cold draws are greedy");
    }

    #[test]
    fn a_flat_distribution_needs_every_token() {
        let logits = vec![0.25_f32; 5000];
        assert_eq!(top_p_draw(&logits, 0.7, 1.0, 0.5), Some(2500));
        assert_eq!(top_p_draw(&logits, 0.7, 1.0, 0.999_99), Some(4999));
    }

    #[test]
    fn streams_differ_by_prompt_and_repeat_by_seed() {
        let sampling = Sampling::TopP { temperature: 0.7, top_p: 0.9, seed: [7; 32] };
        let draws = |index| {
            let mut generator = sampling.generator(index).unwrap();
            [uniform(&mut generator), uniform(&mut generator)]
        };
        assert_eq!(draws(0), draws(0));
        assert_ne!(draws(0), draws(1));
        assert!(draws(3).iter().all(|draw| (0.0..1.0).contains(draw)));
    }
}
