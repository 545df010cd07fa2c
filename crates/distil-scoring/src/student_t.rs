//! Student's t distribution: the two functions the tests need.

use statrs::distribution::{ContinuousCDF, StudentsT};

fn distribution(degrees_of_freedom: usize) -> StudentsT {
    StudentsT::new(0.0, 1.0, degrees_of_freedom as f64).expect("at least one degree of freedom")
}

/// The t that a variate stays below with this probability (strictly between 0 and 1).
pub(crate) fn quantile(probability: f64, degrees_of_freedom: usize) -> f64 {
    distribution(degrees_of_freedom).inverse_cdf(probability)
}

/// The probability that a variate is at least as far from zero as `t`.
pub(crate) fn two_sided_p(t: f64, degrees_of_freedom: usize) -> f64 {
    (2.0 * distribution(degrees_of_freedom).sf(t.abs())).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn known() -> Value {
        serde_json::from_str(include_str!("../tests/fixtures/statistics.json")).unwrap()
    }

    fn freedom(row: &Value) -> usize {
        row["degrees_of_freedom"].as_u64().unwrap() as usize
    }

    #[test]
    fn quantiles_are_those_of_scipy() {
        for row in known()["quantiles"].as_array().unwrap() {
            let (confidence, expected) = (row["confidence"].as_f64().unwrap(), row["t"].as_f64().unwrap());
            let t = quantile(confidence, freedom(row));
            assert!((t - expected).abs() <= 1e-9 * expected.max(1.0), "{row}: {t}");
            let other_side = quantile(1.0 - confidence, freedom(row));
            assert!((t + other_side).abs() <= 1e-9 * expected.max(1.0), "{row}: {t} and {other_side}");
        }
    }

    #[test]
    fn tails_are_those_of_scipy() {
        for row in known()["tails"].as_array().unwrap() {
            let (t, expected) = (row["t"].as_f64().unwrap(), row["p"].as_f64().unwrap());
            let p = two_sided_p(t, freedom(row));
            assert!((p - expected).abs() <= 1e-9 * expected, "{row}: {p}");
            assert_eq!(two_sided_p(-t, freedom(row)), p);
        }
    }

    #[test]
    fn the_ends_are_exact() {
        for freedom in [1, 2, 39] {
            assert_eq!(two_sided_p(0.0, freedom), 1.0);
            assert_eq!(two_sided_p(f64::INFINITY, freedom), 0.0);
            assert_eq!(two_sided_p(1e200, freedom), 0.0);
        }
    }
}
