//! The page as a whole.

use std::time::Duration;

use distil_eval::StudentStatus;

use super::html::Html;
use super::{COLOURS, Facts, charts, named, prompts, students, worst};
use crate::numbers::{bytes, count, duration};

/// The style goes in as it is: it is a part of this program.
const HEAD: &str = concat!(
    r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
"#,
    include_str!("report.css"),
    "</style>\n"
);

/// The shapes of the students' marks, centred at zero.
const SHAPES: &str = r#"<svg class="shapes" width="0" height="0" aria-hidden="true"><defs>
<circle id="m0" r="5"/>
<rect id="m1" x="-4.5" y="-4.5" width="9" height="9" rx="1"/>
<path id="m2" d="M0-6.2 6.2 0 0 6.2-6.2 0Z"/>
<path id="m3" d="M0-5.6 5.8 4.6-5.8 4.6Z"/>
<path id="m4" d="M-1.8-5.5h3.6v3.7h3.7v3.6H1.8v3.7h-3.6V1.8h-3.7v-3.6h3.7Z"/>
</defs></svg>
"#;

const HOW: &str = "At every position of every continuation, the teacher and a student each give a probability to every \
token of the vocabulary. KL(teacher ‖ student) = Σ p·ln(p / q) sums over all of them, with p the teacher’s and q the \
student’s probability; the unit is the nat. The score is the mean over all positions of all prompts. Standard errors \
are clustered by prompt, and the intervals use Student’s t.";

/// The whole page.
pub(super) fn page(facts: &Facts<'_>) -> Html {
    let measured = facts.measured();
    // A copy's marks would only hide those of the student it copies.
    let originals: Vec<_> =
        measured.iter().filter(|student| student.report.status != StudentStatus::FunctionalCopy).copied().collect();
    let report = &facts.outcome.report;
    let mut html = Html::new();
    html.add(HEAD, &[]);
    html.add("<title>Students of {}: a Distil score report</title>\n</head>\n<body>\n", &[&report.teacher.model]);
    html.add(SHAPES, &[]);
    html.add("<main><header>", &[]);
    html.append(students::opening(facts, &measured));
    html.add("</header>\n<section>", &[]);
    html.append(students::table(facts));
    html.append(students::in_words(&originals));
    html.add("</section>\n", &[]);
    if !originals.is_empty() {
        html.append(prompts::section(facts, &originals));
        html.append(positions(&originals));
        for student in &originals {
            html.append(worst::section(facts, student));
        }
    }
    html.append(how(facts));
    html.add("</main>\n</body>\n</html>\n", &[]);
    html
}

fn positions(measured: &[super::Measured<'_>]) -> Html {
    let mut html = Html::new();
    html.add(r#"<section><h2>Position by position</h2><p class="key">"#, &[]);
    for student in measured {
        html.append(named(student.place, &student.report.model));
        html.add(" ", &[]);
    }
    html.add(r#"</p><div class="charts"><figure>"#, &[]);
    html.append(charts::distribution(measured));
    html.add(
        "<figcaption>How many positions are how far off. The axis is logarithmic; the marks on it are the medians.</figcaption></figure><figure>",
        &[],
    );
    html.append(charts::along_continuation(measured));
    html.add(
        "<figcaption>Mean KL, in nats, along the continuation: how well the student keeps up as the teacher’s text goes on.</figcaption></figure></div></section>\n",
        &[],
    );
    html
}

/// What was measured with what, for those who want to measure it again.
fn how(facts: &Facts<'_>) -> Html {
    let outcome = facts.outcome;
    let report = &outcome.report;
    let mut html = Html::new();
    html.add(r#"<section class="how"><h2>How this was measured</h2><p class="note">{}</p><dl>"#, &[&HOW]);
    let mut entry = |term: &str, value: &dyn std::fmt::Display| {
        html.add("<dt>{}</dt><dd>{}</dd>", &[&term, value]);
    };
    entry("protocol", &report.protocol);
    entry("teacher", &format_args!("{}, {}", report.teacher.model, outcome.teacher.model.architecture));
    for (student, outcome) in report.students.iter().zip(&outcome.students) {
        if let Some(identity) = &outcome.identity {
            entry("student", &format_args!("{}, {}", student.model, identity.architecture));
        }
    }
    entry("vocabulary", &format_args!("{} tokens", count(outcome.teacher.vocab_size as u64)));
    for line in facts.settings.iter().filter(|line| !line.value.is_null()) {
        let value = match &line.value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        entry(&line.key.replace('_', " "), &value);
    }
    entry("KL kernel", &facts.environment.kl_kernel);
    for (component, version) in &facts.environment.versions {
        entry(&format!("version: {component}"), version);
    }
    for (phase, seconds) in &report.seconds {
        if let Ok(time) = Duration::try_from_secs_f64(*seconds) {
            entry(&format!("time: {}", phase.replace('_', " ")), &duration(time));
        }
    }
    if let Some(peak) = report.peak_rss_bytes {
        entry("memory at most", &bytes(peak));
    }
    entry("head, SHA-256", &outcome.teacher.head_digest);
    entry("tokenizer, SHA-256", &outcome.teacher.tokenizer_digest);
    html.add("</dl></section>", &[]);
    html
}

// A colour class stands in the style for each number that marks are given.
const _: () = assert!(COLOURS == 6);
