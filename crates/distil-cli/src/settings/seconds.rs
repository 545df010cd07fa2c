//! A length of time as a setting.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Seconds, with a fraction where it is needed: from a thousandth of a second to a week.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "f64", try_from = "f64")]
pub(crate) struct Seconds(f64);

/// Not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a number of seconds from {} to {}", Seconds::LEAST, Seconds::MOST)]
pub(crate) struct NotSeconds;

impl Seconds {
    const LEAST: f64 = 0.001;
    const MOST: f64 = 604_800.0;

    /// # Panics
    /// Never in use: defaults are given as literals.
    pub(crate) const fn literal(seconds: f64) -> Self {
        assert!(seconds >= Self::LEAST && seconds <= Self::MOST);
        Self(seconds)
    }

    /// The time, to the millisecond.
    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(self.milliseconds())
    }

    /// The time in whole milliseconds.
    pub(crate) fn milliseconds(self) -> u64 {
        // Within the bounds above, so nothing is cut.
        (self.0 * 1000.0).round() as u64
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

impl From<Seconds> for f64 {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

impl TryFrom<f64> for Seconds {
    type Error = NotSeconds;

    fn try_from(seconds: f64) -> Result<Self, NotSeconds> {
        if (Self::LEAST..=Self::MOST).contains(&seconds) { Ok(Self(seconds)) } else { Err(NotSeconds) }
    }
}

impl FromStr for Seconds {
    type Err = NotSeconds;

    fn from_str(text: &str) -> Result<Self, NotSeconds> {
        text.parse::<f64>().map_err(|_| NotSeconds)?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lengths_within_bounds_are_taken() {
        assert_eq!("0.25".parse::<Seconds>().unwrap().duration(), Duration::from_millis(250));
        assert_eq!("604800".parse::<Seconds>().unwrap().milliseconds(), 604_800_000);
        for wrong in ["0", "-1", "NaN", "inf", "604801", "12s", "", "0.0001"] {
            assert_eq!(wrong.parse::<Seconds>(), Err(NotSeconds), "{wrong}");
        }
    }
}
