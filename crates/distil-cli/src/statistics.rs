//! What `distil-scoring` says of a report's figures.

use distil_eval::StudentReport;
use distil_scoring::{ModelScore, PairedTest};

/// Half the width of the 95% interval of a student's score, in nats; none without two prompts.
pub(crate) fn interval_half_width(student: &StudentReport) -> Option<f64> {
    student.kl?;
    let score = ModelScore::from_prompts(&student.prompts).ok()?;
    score.interval_95.map(|interval| (interval.high - interval.low) / 2.0)
}

/// The paired comparison of two students; none where they were not measured on the same two prompts or more.
pub(crate) fn compare(first: &StudentReport, second: &StudentReport) -> Option<PairedTest> {
    PairedTest::new(&first.prompts, &second.prompts).ok()
}
