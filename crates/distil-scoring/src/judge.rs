//! The core of every decision, of a live round and of a recorded one alike.

use crate::{PairedTest, Rules, Verdict, plausible::Implausible};

/// What a verdict rests on.
#[derive(Debug, Clone)]
pub(crate) struct Measured<'a> {
    /// Proven to be a copy of an earlier commitment.
    pub(crate) is_copy: bool,
    /// The mean KL in nats over what was done; `None` where it is not finite.
    pub(crate) kl: Option<f64>,
    pub(crate) implausible: Option<Implausible>,
    /// Every prompt of the round was done.
    pub(crate) is_complete: bool,
    /// The comparison with the king.
    pub(crate) paired: Option<&'a PairedTest>,
}

/// What a challenger has to be below.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bar {
    /// The king's KL of this round.
    King { kl: f64 },
    /// Nothing: the throne is vacant.
    Vacant,
    /// Nobody knows: the king has no score in this round.
    Unknown,
}

impl Bar {
    /// The bar that a king's own result sets. A king has no usable score where nobody could honestly have it.
    pub(crate) fn of_king(king: &Measured<'_>, rules: &Rules) -> Self {
        match king.kl {
            Some(kl) if king.is_complete && king.implausible.is_none() && kl > rules.kl_floor_nats() => {
                Bar::King { kl }
            }
            _ => Bar::Unknown,
        }
    }

    fn king_kl(self) -> Option<f64> {
        match self {
            Bar::King { kl } => Some(kl),
            Bar::Vacant | Bar::Unknown => None,
        }
    }
}

/// The first that fits. Only what is measured to the end, within range and plausible, comes to be compared.
pub(crate) fn judge(measured: &Measured<'_>, bar: Bar, rules: &Rules) -> Verdict {
    if measured.is_copy {
        return Verdict::Copy;
    }
    let Some(kl) = measured.kl else { return Verdict::NotFinite };
    if kl > rules.max_kl_nats() {
        Verdict::AboveMaxKl
    } else if kl <= rules.kl_floor_nats() {
        Verdict::BelowFloor
    } else if measured.implausible.is_some() {
        Verdict::Implausible
    } else if !measured.is_complete {
        Verdict::Incomplete
    } else {
        let beats = match bar {
            Bar::King { kl: king_kl } => {
                kl < king_kl * (1.0 - rules.win_margin()) && is_confident(measured.paired, rules)
            }
            Bar::Vacant => true,
            Bar::Unknown => false,
        };
        if beats { Verdict::BeatsKing } else { Verdict::NotEnough }
    }
}

/// Whether the paired test lets a challenger through that is below the bar.
fn is_confident(paired: Option<&PairedTest>, rules: &Rules) -> bool {
    let Some(confidence) = rules.min_confidence() else { return true };
    paired.and_then(|test| test.upper_bound(confidence).ok()).is_some_and(|bound| bound < 0.0)
}

/// By what part of the king's KL a student is below it: `1 - kl / king_kl`.
pub(crate) fn margin(kl: Option<f64>, bar: Bar) -> Option<f64> {
    let margin = 1.0 - kl? / bar.king_kl()?;
    margin.is_finite().then_some(margin)
}

/// The place of the lowest; the first of equals.
pub(crate) fn lowest(scores: impl IntoIterator<Item = (usize, f64)>) -> Option<usize> {
    scores.into_iter().min_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(index, _)| index)
}
