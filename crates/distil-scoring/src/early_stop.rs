use crate::{Error, PairedTest, PromptStatistics, score::weighted_mean};
use distil_types::SubnetProfile;
use serde::{Deserialize, Serialize};

/// Tells when a challenger trails the king so clearly that the rest of its prompts need not be computed.
///
/// After each prompt, challenger and king are compared on the prompts that both have done, never with the king's final
/// score: prompts differ in difficulty far more than students do. Both of these must hold for a stop:
///
/// - at least [`EarlyStop::MIN_PROMPTS`] prompts are done, and
/// - the one-sided lower bound of the paired mean difference at [`EarlyStop::CONFIDENCE`] is above zero.
///
/// A challenger that has done all of the king's prompts is never stopped: nothing would be saved.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlyStop {
    king: Vec<PromptStatistics>,
}

/// What [`EarlyStop::judge`] says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EarlyStopAnswer {
    /// Go on with the next prompt.
    Continue,
    /// Give up: the challenger cannot be expected to win. A stopped run is never a complete one.
    Stop(EarlyStopEvidence),
}

/// Why a challenger was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopEvidence {
    /// The comparison with the king on the prompts done so far.
    pub paired: PairedTest,
    /// The confidence of the bound.
    pub confidence: f64,
    /// What the mean difference is above with that confidence, in nats; itself above zero.
    pub lower_bound: f64,
}

impl EarlyStop {
    /// No challenger is stopped before this many prompts.
    pub const MIN_PROMPTS: usize = 10;
    /// The confidence of the bound that has to be above zero.
    pub const CONFIDENCE: f64 = 0.999;

    /// Takes the king's prompts, all of them, in the order of the round.
    ///
    /// Only an eligible king may steer. Whether the king is banned or a copy is for the caller to know; the score is
    /// looked at here. A fraud with a KL of nothing would otherwise stop every honest challenger.
    ///
    /// # Errors
    ///
    /// [`Error::BelowFloor`] when the king's score is at or below the profile's floor, and the errors of
    /// [`ModelScore::from_prompts`](crate::ModelScore::from_prompts) when it is not finite. Then there is no early stop
    /// in this round.
    pub fn new(profile: &SubnetProfile, king: Vec<PromptStatistics>) -> Result<Self, Error> {
        let kl_nats = weighted_mean(&king)?;
        if kl_nats <= profile.kl_floor_nats {
            return Err(Error::BelowFloor { kl_nats, floor_nats: profile.kl_floor_nats });
        }
        Ok(EarlyStop { king })
    }

    /// Judges a challenger by the prompts it has done so far, the first ones of the round.
    ///
    /// # Errors
    ///
    /// [`Error::PromptCountMismatch`] when it has done more prompts than the king, and those of [`PairedTest::new`].
    pub fn judge(&self, challenger: &[PromptStatistics]) -> Result<EarlyStopAnswer, Error> {
        let done = challenger.len();
        let Some(king) = self.king.get(..done) else {
            return Err(Error::PromptCountMismatch { first: done, second: self.king.len() });
        };
        if done < Self::MIN_PROMPTS || done == self.king.len() {
            return Ok(EarlyStopAnswer::Continue);
        }
        let paired = PairedTest::new(challenger, king)?;
        let lower_bound = paired.lower_bound(Self::CONFIDENCE)?;
        Ok(if lower_bound > 0.0 {
            EarlyStopAnswer::Stop(EarlyStopEvidence { paired, confidence: Self::CONFIDENCE, lower_bound })
        } else {
            EarlyStopAnswer::Continue
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(mean: f64) -> PromptStatistics {
        PromptStatistics { mean, std: 0.0, min: mean, max: mean, positions: 100 }
    }

    fn king() -> Vec<PromptStatistics> {
        (0..40).map(|i| prompt(0.05 + 0.001 * f64::from(i % 7))).collect()
    }

    fn early_stop() -> EarlyStop {
        EarlyStop::new(&SubnetProfile::sn97(), king()).unwrap()
    }

    #[test]
    fn a_hopeless_challenger_is_stopped_at_the_tenth_prompt_and_not_before() {
        let challenger: Vec<_> =
            king().iter().enumerate().map(|(i, k)| prompt(k.mean + 0.5 + 0.01 * (i % 3) as f64)).collect();
        let stop = early_stop();
        for done in 0..10 {
            assert_eq!(stop.judge(&challenger[..done]).unwrap(), EarlyStopAnswer::Continue, "{done}");
        }
        match stop.judge(&challenger[..10]).unwrap() {
            EarlyStopAnswer::Stop(evidence) => {
                assert_eq!(evidence.paired.n, 10);
                assert!(evidence.lower_bound > 0.48 && evidence.lower_bound < 0.51, "{evidence:?}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(stop.judge(&challenger).unwrap(), EarlyStopAnswer::Continue, "a complete run is complete");
    }

    #[test]
    fn the_same_prefix_is_compared_not_the_final_score() {
        // Ten hard prompts first: the challenger is better on each, and far above the king's score over all.
        let mut king: Vec<_> = (0..10).map(|i| prompt(1.0 + 0.01 * f64::from(i))).collect();
        king.extend((0..30).map(|_| prompt(0.01)));
        let challenger: Vec<_> = king[..10].iter().map(|k| prompt(k.mean * 0.9)).collect();
        let stop = EarlyStop::new(&SubnetProfile::sn97(), king).unwrap();
        assert_eq!(stop.judge(&challenger).unwrap(), EarlyStopAnswer::Continue);
    }

    #[test]
    fn a_doubtful_difference_does_not_stop() {
        // Worse on average, with a spread that leaves the lower bound below zero.
        let challenger: Vec<_> =
            king().iter().enumerate().map(|(i, k)| prompt(k.mean + if i % 2 == 0 { 0.03 } else { -0.02 })).collect();
        assert_eq!(early_stop().judge(&challenger[..20]).unwrap(), EarlyStopAnswer::Continue);
    }

    #[test]
    fn a_king_without_a_fit_score_stops_nobody() {
        let profile = SubnetProfile::sn97();
        let fraud = vec![prompt(0.0); 40];
        assert_eq!(EarlyStop::new(&profile, fraud), Err(Error::BelowFloor { kl_nats: 0.0, floor_nats: 1e-6 }));
        let at_the_floor = vec![prompt(1e-6); 40];
        assert!(matches!(EarlyStop::new(&profile, at_the_floor), Err(Error::BelowFloor { .. })));
        let broken = vec![prompt(0.1), prompt(f64::NAN)];
        assert!(matches!(EarlyStop::new(&profile, broken), Err(Error::InvalidPrompt { prompt: 1, .. })));
        assert_eq!(EarlyStop::new(&profile, vec![]), Err(Error::NoPrompts));
    }

    #[test]
    fn a_challenger_cannot_be_ahead_of_the_king_in_prompts() {
        let challenger = vec![prompt(0.1); 41];
        assert_eq!(early_stop().judge(&challenger), Err(Error::PromptCountMismatch { first: 41, second: 40 }));
        let mut other_tokens = king()[..10].to_vec();
        other_tokens[3].positions = 99;
        assert!(matches!(early_stop().judge(&other_tokens), Err(Error::PositionsMismatch { prompt: 3, .. })));
    }
}
