use crate::Error;
use distil_types::SubnetProfile;
use serde::{Deserialize, Serialize};

/// The numbers that the rules of the crown depend on.
///
/// ```
/// use distil_scoring::Rules;
/// use distil_types::SubnetProfile;
///
/// let rules = Rules::of(&SubnetProfile::sn97()).with_min_confidence(0.95)?;
/// assert_eq!((rules.win_margin(), rules.min_confidence()), (0.01, Some(0.95)));
/// # Ok::<(), distil_scoring::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawRules", into = "RawRules")]
pub struct Rules(RawRules);

/// As written in a record; [`Rules`] has passed the checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RawRules {
    win_margin: f64,
    max_kl_nats: f64,
    kl_floor_nats: f64,
    min_confidence: Option<f64>,
    challengers_per_round: usize,
}

impl Rules {
    /// How many isolated failures of its own end a miner's tries.
    pub const MAX_FAILURES: u8 = 3;
    /// How many of the best completed miners of earlier rounds take part when the throne is vacant.
    pub const RETURNING: usize = 5;
    /// How many challengers a round takes, where nothing else is set.
    pub const CHALLENGERS_PER_ROUND: usize = 15;

    /// The rules of a subnet; the paired test gates nothing.
    pub fn of(profile: &SubnetProfile) -> Self {
        Rules(RawRules {
            win_margin: profile.win_margin,
            max_kl_nats: profile.max_kl_nats,
            kl_floor_nats: profile.kl_floor_nats,
            min_confidence: None,
            challengers_per_round: Self::CHALLENGERS_PER_ROUND,
        })
    }

    /// Demands of a winner that its one-sided upper bound at this confidence is below the king's score, too.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfidence`] unless `0 < confidence < 1`.
    pub fn with_min_confidence(self, confidence: f64) -> Result<Self, Error> {
        RawRules { min_confidence: Some(confidence), ..self.0 }.try_into()
    }

    /// Takes at most this many challengers into a round; the others wait.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRule`] for none.
    pub fn with_challengers_per_round(self, challengers: usize) -> Result<Self, Error> {
        RawRules { challengers_per_round: challengers, ..self.0 }.try_into()
    }

    /// A challenger wins when `kl < king_kl * (1 - win_margin)`.
    pub fn win_margin(&self) -> f64 {
        self.0.win_margin
    }

    /// The largest KL in nats that can be crowned.
    pub fn max_kl_nats(&self) -> f64 {
        self.0.max_kl_nats
    }

    /// A mean KL in nats at or below this is the teacher itself or a fraud.
    pub fn kl_floor_nats(&self) -> f64 {
        self.0.kl_floor_nats
    }

    /// The confidence that the paired test has to reach for a crown, if it gates at all.
    pub fn min_confidence(&self) -> Option<f64> {
        self.0.min_confidence
    }

    /// The most challengers of one round.
    pub fn challengers_per_round(&self) -> usize {
        self.0.challengers_per_round
    }
}

impl TryFrom<RawRules> for Rules {
    type Error = Error;

    fn try_from(raw: RawRules) -> Result<Self, Error> {
        let invalid = |rule, needed| Err(Error::InvalidRule { rule, needed });
        if !(0.0..1.0).contains(&raw.win_margin) {
            return invalid("win_margin", "a number from 0 to below 1");
        }
        if !(raw.kl_floor_nats >= 0.0 && raw.kl_floor_nats < raw.max_kl_nats && raw.max_kl_nats.is_finite()) {
            return invalid("kl_floor_nats", "a number from 0 to below max_kl_nats, both finite");
        }
        if raw.challengers_per_round == 0 {
            return invalid("challengers_per_round", "at least 1");
        }
        match raw.min_confidence {
            Some(value) if !(value > 0.0 && value < 1.0) => Err(Error::InvalidConfidence { value }),
            _ => Ok(Rules(raw)),
        }
    }
}

impl From<Rules> for RawRules {
    fn from(rules: Rules) -> Self {
        rules.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_go_through_json_and_bad_ones_do_not() {
        let rules = Rules::of(&SubnetProfile::sn97()).with_min_confidence(0.9).unwrap();
        let json = serde_json::to_value(&rules).unwrap();
        assert_eq!(serde_json::from_value::<Rules>(json.clone()).unwrap(), rules);
        for (field, value) in [
            ("win_margin", serde_json::json!(1.0)),
            ("win_margin", serde_json::json!(-0.1)),
            ("kl_floor_nats", serde_json::json!(3.0)),
            ("min_confidence", serde_json::json!(1.0)),
            ("challengers_per_round", serde_json::json!(0)),
        ] {
            let mut bad = json.clone();
            bad[field] = value;
            assert!(serde_json::from_value::<Rules>(bad).is_err(), "{field}");
        }
        assert!(rules.clone().with_challengers_per_round(0).is_err());
        assert!(rules.with_min_confidence(f64::NAN).is_err());
    }
}
