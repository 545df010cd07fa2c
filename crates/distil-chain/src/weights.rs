//! Weights: from what is wanted to a row as the chain keeps it.

use distil_types::{Hotkey, Uid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Who gets weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightTarget {
    /// A miner, by its key. The seat is looked up when the weights are sent, so nobody inherits it.
    Hotkey(Hotkey),
    /// A seat, whoever has it.
    Uid(Uid),
}

impl From<Hotkey> for WeightTarget {
    fn from(hotkey: Hotkey) -> Self {
        WeightTarget::Hotkey(hotkey)
    }
}

impl From<Uid> for WeightTarget {
    fn from(uid: Uid) -> Self {
        WeightTarget::Uid(uid)
    }
}

impl fmt::Display for WeightTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WeightTarget::Hotkey(hotkey) => hotkey.fmt(f),
            WeightTarget::Uid(uid) => write!(f, "UID {uid}"),
        }
    }
}

/// Why weights cannot be a row.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// Not a number that can be a weight.
    #[error("{target} has the weight {weight}; a weight is a finite number of at least 0")]
    NoWeight {
        /// Whose.
        target: WeightTarget,
        /// The number.
        weight: f64,
    },
    /// Nobody gets any.
    #[error("all {count} weights are 0, so the row says nothing")]
    AllZero {
        /// How many there are.
        count: usize,
    },
    /// Given twice.
    #[error("UID {uid} has two weights")]
    Duplicate {
        /// The seat.
        uid: Uid,
    },
    /// A seat that the subnet has not.
    #[error("there is no UID {uid}: the subnet has {neurons} neurons")]
    NoSuchUid {
        /// The seat.
        uid: Uid,
        /// How many seats there are.
        neurons: u16,
    },
    /// A hotkey without a seat.
    #[error("{hotkey} has no seat on the subnet, so it cannot get weight")]
    NoSeat {
        /// Who.
        hotkey: Hotkey,
    },
}

/// What is wanted: weights that need not sum to anything.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightPlan {
    weights: Vec<(WeightTarget, f64)>,
}

impl WeightPlan {
    /// All to one.
    ///
    /// ```
    /// use distil_chain::WeightPlan;
    /// use distil_types::Uid;
    ///
    /// // A subnet of 5 neurons demands rows of 3 entries.
    /// let row = WeightPlan::winner(Uid(4)).row(5, 3, |_| None)?;
    /// assert_eq!(row.to_string(), "0:0 1:0 4:65535");
    /// # Ok::<(), distil_chain::WeightsError>(())
    /// ```
    pub fn winner(target: impl Into<WeightTarget>) -> Self {
        WeightPlan { weights: vec![(target.into(), 1.0)] }
    }

    /// These weights.
    ///
    /// # Errors
    /// [`WeightsError::NoWeight`] for what is not finite or negative, [`WeightsError::AllZero`].
    pub fn new<Target: Into<WeightTarget>>(
        weights: impl IntoIterator<Item = (Target, f64)>,
    ) -> Result<Self, WeightsError> {
        let weights: Vec<_> = weights.into_iter().map(|(target, weight)| (target.into(), weight)).collect();
        if let Some(&(target, weight)) = weights.iter().find(|(_, weight)| !weight.is_finite() || *weight < 0.0) {
            return Err(WeightsError::NoWeight { target, weight });
        }
        if weights.iter().all(|(_, weight)| *weight == 0.0) {
            return Err(WeightsError::AllZero { count: weights.len() });
        }
        Ok(WeightPlan { weights })
    }

    /// The row for a subnet of so many neurons: the largest weight is 65,535 and the others are rounded in proportion
    /// (halves to even, as Bittensor's tools do). Those that become 0 are left out; then, where the subnet demands
    /// longer rows, the lowest UIDs that are not in it are added with 0.
    ///
    /// # Errors
    /// [`WeightsError::NoSeat`], [`WeightsError::NoSuchUid`], [`WeightsError::Duplicate`].
    pub fn row(
        &self,
        neurons: u16,
        min_allowed_weights: u16,
        seat_of: impl Fn(Hotkey) -> Option<Uid>,
    ) -> Result<WeightRow, WeightsError> {
        let mut by_uid = BTreeMap::new();
        for &(target, weight) in &self.weights {
            let uid = match target {
                WeightTarget::Uid(uid) => uid,
                WeightTarget::Hotkey(hotkey) => seat_of(hotkey).ok_or(WeightsError::NoSeat { hotkey })?,
            };
            if uid.0 >= neurons {
                return Err(WeightsError::NoSuchUid { uid, neurons });
            }
            if by_uid.insert(uid, weight).is_some() {
                return Err(WeightsError::Duplicate { uid });
            }
        }
        let largest = by_uid.values().copied().fold(0.0, f64::max);
        let mut entries: BTreeMap<Uid, u16> = by_uid
            .into_iter()
            .map(|(uid, weight)| (uid, (weight / largest * f64::from(u16::MAX)).round_ties_even() as u16))
            .filter(|(_, value)| *value > 0)
            .collect();
        let least = usize::from(min_allowed_weights.min(neurons));
        for uid in (0..neurons).map(Uid) {
            if entries.len() >= least {
                break;
            }
            entries.entry(uid).or_insert(0);
        }
        Ok(WeightRow { entries: entries.into_iter().collect() })
    }
}

/// A row of weights as it is sent: each UID once, in their order, the largest value 65,535.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WeightRow {
    entries: Vec<(Uid, u16)>,
}

impl WeightRow {
    /// As the chain has it, in whatever order.
    pub(crate) fn from_chain(entries: Vec<(u16, u16)>) -> Self {
        WeightRow { entries: entries.into_iter().map(|(uid, value)| (Uid(uid), value)).collect() }
    }

    /// UIDs and values.
    pub fn entries(&self) -> &[(Uid, u16)] {
        &self.entries
    }

    /// The UIDs.
    pub fn uids(&self) -> Vec<u16> {
        self.entries.iter().map(|(uid, _)| uid.0).collect()
    }

    /// Their values.
    pub fn values(&self) -> Vec<u16> {
        self.entries.iter().map(|(_, value)| *value).collect()
    }

    /// Whether both give the same weights; entries of 0 say nothing.
    pub fn gives_the_same_as(&self, other: &WeightRow) -> bool {
        let given = |row: &WeightRow| -> BTreeMap<Uid, u16> {
            row.entries.iter().copied().filter(|(_, value)| *value > 0).collect()
        };
        given(self) == given(other)
    }

    /// What is timelocked, in SCALE: the committer's key, so that nobody can commit a copy, UIDs, values and version.
    pub(crate) fn payload(&self, committer: Hotkey, version_key: u64) -> Vec<u8> {
        use subxt::ext::codec::Encode;
        (committer.account_id().to_vec(), self.uids(), self.values(), version_key).encode()
    }
}

impl fmt::Display for WeightRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (uid, value)) in self.entries.iter().enumerate() {
            write!(f, "{}{uid}:{value}", if position == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn uids(weights: &[(u16, f64)]) -> Result<WeightPlan, WeightsError> {
        WeightPlan::new(weights.iter().map(|(uid, weight)| (Uid(*uid), *weight)))
    }

    #[test]
    fn b4_what_is_no_row_is_refused_by_name() {
        let problem = |weights: &[(u16, f64)]| match uids(weights) {
            Err(error) => error.to_string(),
            Ok(plan) => plan.row(8, 1, |_| None).unwrap_err().to_string(),
        };
        assert!(problem(&[(1, f64::NAN)]).contains("UID 1 has the weight NaN"));
        assert!(problem(&[(1, f64::INFINITY)]).contains("inf"));
        assert!(problem(&[(1, 1.0), (2, -0.5)]).contains("UID 2 has the weight -0.5"));
        assert!(problem(&[(1, 0.0), (2, 0.0)]).contains("all 2 weights are 0"));
        assert!(problem(&[]).contains("all 0 weights"));
        assert!(problem(&[(1, 1.0), (1, 2.0)]).contains("UID 1 has two"));
        assert!(problem(&[(8, 1.0)]).contains("no UID 8: the subnet has 8"));
        let hotkey = Hotkey::from_account_id([3; 32]);
        let error = WeightPlan::winner(hotkey).row(8, 1, |_| None).unwrap_err();
        assert_eq!(error, WeightsError::NoSeat { hotkey });
        // Two names of one seat.
        let both = WeightPlan::new([(WeightTarget::Uid(Uid(2)), 1.0), (hotkey.into(), 1.0)]).unwrap();
        assert_eq!(both.row(8, 1, |_| Some(Uid(2))), Err(WeightsError::Duplicate { uid: Uid(2) }));
    }

    #[test]
    fn rows_compare_by_what_they_give() {
        let row = |entries: &[(u16, u16)]| WeightRow::from_chain(entries.to_vec());
        assert!(row(&[(0, 0), (4, 65_535)]).gives_the_same_as(&row(&[(4, 65_535), (7, 0)])));
        assert!(!row(&[(4, 65_535)]).gives_the_same_as(&row(&[(4, 65_535), (7, 1)])));
        assert!(!row(&[]).gives_the_same_as(&row(&[(4, 65_535)])));
    }

    #[test]
    fn the_payload_is_the_chains() {
        let row = WeightRow::from_chain(vec![(1, 0), (258, 65_535)]);
        let payload = row.payload(Hotkey::from_account_id([7; 32]), 9);
        let expected =
            [&[128][..], &[7; 32], &[8, 1, 0, 2, 1], &[8, 0, 0, 255, 255], &[9, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(payload, expected);
    }

    proptest! {
        #[test]
        fn a_row_is_sorted_scaled_and_long_enough(
            weights in proptest::collection::btree_map(0..300_u16, 0.0..1e9_f64, 1..40),
            neurons in 300..400_u16, least in 0..500_u16
        ) {
            let given: Vec<(u16, f64)> = weights.clone().into_iter().collect();
            let Ok(plan) = uids(&given) else { return Ok(()) };
            let row = plan.row(neurons, least, |_| None).unwrap();
            prop_assert!(row.uids().is_sorted_by(|one, other| one < other));
            prop_assert!(row.entries().len() >= usize::from(least.min(neurons)));
            prop_assert_eq!(row.values().into_iter().max(), Some(u16::MAX));
            let largest = weights.values().copied().fold(0.0, f64::max);
            for (uid, value) in row.entries() {
                let exact = weights.get(&uid.0).map_or(0.0, |weight| weight / largest * 65_535.0);
                prop_assert!((f64::from(*value) - exact).abs() <= 0.5, "{} for {}", value, exact);
            }
            // Whoever was left out would have got 0.
            for (uid, weight) in &weights {
                let is_in = row.entries().iter().any(|(other, _)| other.0 == *uid);
                prop_assert!(is_in || weight / largest * 65_535.0 <= 0.5);
            }
        }

        #[test]
        fn any_numbers_are_a_row_or_an_error(
            weights in proptest::collection::vec((any::<u16>(), any::<f64>()), 0..20), neurons in any::<u16>()
        ) {
            if let Ok(plan) = uids(&weights) {
                let _ = plan.row(neurons, 5, |_| None);
            }
        }
    }
}
