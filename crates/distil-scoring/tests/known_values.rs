//! The statistics against numpy and scipy: `fixtures/statistics.py` makes the values.

use distil_scoring::{CopyTest, ModelScore, PairedTest, PromptStatistics};
use serde_json::Value;

fn cases() -> Vec<Value> {
    let mut fixture: Value = serde_json::from_str(include_str!("fixtures/statistics.json")).unwrap();
    serde_json::from_value(fixture["cases"].take()).unwrap()
}

fn positions(case: &Value, student: &str) -> Vec<Vec<f64>> {
    serde_json::from_value(case[student].clone()).unwrap()
}

fn prompts(case: &Value, student: &str) -> Vec<PromptStatistics> {
    positions(case, student).iter().map(|kl| PromptStatistics::from_positions(kl).unwrap()).collect()
}

#[track_caller]
fn assert_close(actual: f64, expected: &Value, scale: f64) {
    let expected = expected.as_f64().unwrap();
    assert!((actual - expected).abs() <= 1e-11 * scale.max(expected.abs()), "{actual} is not {expected}");
}

#[test]
fn prompts_are_summarised_as_numpy_does() {
    for case in cases() {
        let expected: Vec<PromptStatistics> = serde_json::from_value(case["king_prompts"].clone()).unwrap();
        for (actual, expected) in prompts(&case, "king").iter().zip(&expected) {
            assert_eq!((actual.positions, actual.min, actual.max), (expected.positions, expected.min, expected.max));
            assert!((actual.mean - expected.mean).abs() <= 1e-14 * expected.mean);
            assert!((actual.std - expected.std).abs() <= 1e-13 * expected.std);
        }
    }
}

#[test]
fn models_are_scored_as_numpy_and_scipy_do() {
    for case in cases() {
        for student in ["king", "challenger"] {
            let expected = &case[format!("{student}_score")];
            let score = ModelScore::from_prompts(&prompts(&case, student)).unwrap();
            let interval = score.interval_95.unwrap();
            assert_eq!(score.positions as u64, expected["positions"].as_u64().unwrap());
            assert_close(score.kl, &expected["kl"], 0.0);
            assert_close(score.standard_error.unwrap(), &expected["standard_error"], 0.0);
            assert_close(interval.low, &expected["low"], score.kl);
            assert_close(interval.high, &expected["high"], score.kl);
        }
    }
}

#[test]
fn students_are_compared_as_scipy_does() {
    for case in cases() {
        let expected = &case["paired"];
        let test = PairedTest::new(&prompts(&case, "challenger"), &prompts(&case, "king")).unwrap();
        let spread = test.standard_error;
        assert_eq!(test.n, positions(&case, "king").len());
        assert_close(test.mean_difference, &expected["mean_difference"], spread);
        assert_close(spread, &expected["standard_error"], 0.0);
        assert_close(test.t.unwrap(), &expected["t"], 1.0);
        assert_close(test.p, &expected["p"], 0.0);
        assert_close(test.interval_95.low, &expected["low"], spread);
        assert_close(test.interval_95.high, &expected["high"], spread);
        assert_close(test.lower_bound(0.999).unwrap(), &expected["lower_bound_999"], spread);
    }
}

#[test]
fn functions_are_compared_as_numpy_does() {
    for case in cases() {
        let expected = &case["copy"];
        let CopyTest::Measured(evidence) =
            CopyTest::new(&positions(&case, "king"), &positions(&case, "challenger")).unwrap()
        else {
            panic!("the first two prompts of every case are long enough");
        };
        assert_eq!(evidence.positions as u64, expected["positions"].as_u64().unwrap());
        assert_close(evidence.cosine, &expected["cosine"], 1.0);
        assert_close(evidence.relative_distance, &expected["relative_distance"], 0.0);
    }
}
