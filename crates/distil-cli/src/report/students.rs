//! The opening of the page: who is closest, the table of students, and what the figures mean in words.

use distil_eval::{PromptStatistics, StudentReport, StudentStatus};

use super::charts::short;
use super::findings::{Spread, Trend, nice_axis};
use super::html::Html;
use super::{Facts, Measured, mark, named};
use crate::numbers::{count, counted, nats, nats_roughly, percent};
use crate::statistics::{compare, interval_half_width};

/// Students scored on everything, copies left out: those that can be ranked. Best first; ties keep their order.
pub(super) fn ranked<'a>(students: &[Measured<'a>]) -> Vec<Measured<'a>> {
    let mut ranked: Vec<_> =
        students.iter().filter(|student| student.report.status == StudentStatus::Scored).copied().collect();
    ranked.sort_by(|first, second| first.kl.total_cmp(&second.kl));
    ranked
}

/// The headline and the sentence under it.
pub(super) fn opening(facts: &Facts<'_>, students: &[Measured<'_>]) -> Html {
    let report = &facts.outcome.report;
    let ranked = ranked(students);
    let mut html = Html::new();
    html.add(r#"<p class="overline">Distil score report</p>"#, &[]);
    match ranked.as_slice() {
        [] if students.is_empty() => html.add("<h1>No student could be scored</h1>", &[]),
        [] => html.add("<h1>No student stands for itself</h1>", &[]),
        [only] => html.add(
            "<h1><bdi>{}</bdi> is {} nats from <bdi>{}</bdi></h1>",
            &[&only.report.model, &nats(only.kl), &report.teacher.model],
        ),
        [best, ..] => {
            html.add("<h1><bdi>{}</bdi> is closest to <bdi>{}</bdi></h1>", &[&best.report.model, &report.teacher.model])
        }
    }
    let positions: u64 = report.prompts.iter().map(|prompt| prompt.continuation_tokens as u64).sum();
    html.add(r#"<p class="lead">"#, &[]);
    if let [best, rest @ ..] = ranked.as_slice() {
        if best.kl <= 0.0 {
            html.add("Its predictions are <strong>exactly the teacher’s</strong>: 0 nats per token", &[]);
        } else {
            html.add("Its predictions diverge from the teacher’s by <strong>{}", &[&nats(best.kl)]);
            if let Some(half) = interval_half_width(best.report) {
                html.add(" ± {}", &[&nats(half)]);
            }
            html.add(" nats</strong> per token", &[]);
        }
        if let Some(second) = rest.first() {
            html.add(", against {} for <bdi>{}</bdi>", &[&nats(second.kl), &second.report.model]);
        }
        html.add(". ", &[]);
        if let Some(second) = rest.first() {
            html.append(comparison(best, second));
        }
    }
    html.add(
        "Measured at {} of {}, over the whole vocabulary of {} tokens. Zero is a perfect copy; lower is better.</p>",
        &[
            &counted(positions, "position"),
            &counted(report.prompts.len() as u64, "prompt"),
            &count(facts.outcome.teacher.vocab_size as u64),
        ],
    );
    html
}

/// Whether the difference of the two best is more than chance.
fn comparison(best: &Measured<'_>, second: &Measured<'_>) -> Html {
    let mut html = Html::new();
    let Some(test) = compare(best.report, second.report) else {
        return html;
    };
    let half = (test.interval_95.high - test.interval_95.low) / 2.0;
    let verdict = if test.interval_95.high < 0.0 { "is more than chance" } else { "may be chance" };
    let p = if test.p < 0.001 { "p\u{a0}<\u{a0}0.001".to_owned() } else { format!("p\u{a0}=\u{a0}{:.3}", test.p) };
    html.add(
        "The lead of {}\u{a0}±\u{a0}{}\u{a0}nats {} on these {} (paired, {}). ",
        &[&nats(-test.mean_difference), &nats(half), &verdict, &counted(test.n as u64, "prompt"), &p],
    );
    html
}

/// The table of all students, in the order given.
pub(super) fn table(facts: &Facts<'_>) -> Html {
    let students = &facts.outcome.report.students;
    let ends = students
        .iter()
        .filter_map(|student| Some(student.kl? + interval_half_width(student).unwrap_or(0.0)))
        .fold(0.0, f64::max);
    let (step, end) = nice_axis(ends);
    let mut html = Html::new();
    html.add(
        r#"<div class="scroll"><table><thead><tr><th>student</th><th class="number">KL, nats</th><th class="number">± 95%</th><th class="bar-column">0 to {}</th><th class="number extra">positions</th><th class="number extra">tokens/s</th><th>status</th></tr></thead><tbody>"#,
        &[&short(end, step)],
    );
    for (place, (student, speed)) in students.iter().zip(facts.speeds).enumerate() {
        html.add("<tr><th scope=\"row\">", &[]);
        html.append(named(place, &student.model));
        let half = interval_half_width(student);
        html.add(
            r#"</th><td class="number strong">{}</td><td class="number">{}</td><td class="bar-column">"#,
            &[&student.kl.map_or_else(none, nats), &half.map_or_else(none, nats)],
        );
        html.append(bar(place, student, half, end));
        html.add(
            r#"</td><td class="number extra">{}</td><td class="number extra">{}</td><td>{}</td></tr>"#,
            &[
                &count(student.positions as u64),
                &speed.map_or_else(none, |speed| count(speed.round() as u64)),
                &status(student),
            ],
        );
    }
    html.add("</tbody></table></div>", &[]);
    if students.iter().any(|student| student.status == StudentStatus::FunctionalCopy) {
        html.add(
            r#"<p class="reason">A copy computes what an earlier student computes. What follows holds for both and shows it once.</p>"#,
            &[],
        );
    }
    for (place, student) in students.iter().enumerate() {
        if let Some(reason) = &student.reason {
            html.add(r#"<p class="reason">"#, &[]);
            html.append(named(place, &student.model));
            html.add(": {}</p>", &[reason]);
        }
    }
    html
}

/// The score as a mark on a line, with its interval.
fn bar(place: usize, student: &StudentReport, half: Option<f64>, end: f64) -> Html {
    let mut html = Html::new();
    let Some(kl) = student.kl else {
        return html;
    };
    let at = |value: f64| format!("{:.2}%", (value / end * 100.0).clamp(0.0, 100.0));
    html.add(
        r#"<svg class="track" width="100%" height="20" aria-hidden="true"><line class="grid" x1="0" x2="100%" y1="10" y2="10"/>"#,
        &[],
    );
    if let Some(half) = half {
        html.add(
            r#"<line class="whisker c{}" x1="{}" x2="{}" y1="10" y2="10"/>"#,
            &[&(place % super::COLOURS), &at(kl - half), &at(kl + half)],
        );
    }
    html.append(mark(place, &at(kl), "10"));
    html.add("</svg>", &[]);
    html
}

/// What each student's figures mean.
pub(super) fn in_words(students: &[Measured<'_>]) -> Html {
    let mut html = Html::new();
    html.add(r#"<div class="words">"#, &[]);
    for student in students {
        html.add("<div><h3>", &[]);
        html.append(named(student.place, &student.report.model));
        html.add("</h3>", &[]);
        html.append(words(student));
        html.add("</div>", &[]);
    }
    html.add("</div>", &[]);
    html
}

fn words(student: &Measured<'_>) -> Html {
    let mut html = Html::new();
    if student.kl <= 0.0 {
        html.add("<p>It predicts exactly what the teacher predicts, at every position.</p>", &[]);
        return html;
    }
    html.add(
        "<p>To the tokens that the teacher expects, it gives {} of the probability the teacher gives them (geometric mean). ",
        &[&percent((-student.kl).exp())],
    );
    if let Some(spread) = Spread::new(student.positions_kl_nats) {
        if let Some(share) = spread.share_of_positions_for_half {
            html.add("<strong>Half of the divergence comes from {} of positions.</strong> ", &[&percent(share)]);
        }
        html.add(
            "Half of all positions are at or below {} nats, one in a hundred is above {}. ",
            &[&nats_roughly(spread.median_nats), &nats_roughly(spread.percentile_99_nats)],
        );
    }
    if let Some(trend) = Trend::new(student.positions_kl_nats) {
        html.add(
            "Along the continuation it {}: {} nats in the first quarter, {} in the last. ",
            &[&trend.word(), &nats_roughly(trend.first_quarter_nats), &nats_roughly(trend.last_quarter_nats)],
        );
    }
    let prompts = || student.report.prompts.iter().enumerate();
    let by_mean = |first: &(usize, &PromptStatistics), second: &(usize, &PromptStatistics)| {
        first.1.mean.total_cmp(&second.1.mean)
    };
    if let (Some(easiest), Some(hardest)) = (prompts().min_by(by_mean), prompts().max_by(by_mean))
        && easiest.0 != hardest.0
    {
        html.add(
            "Its hardest prompt is {} ({} nats), its easiest {} ({}).",
            &[&hardest.0, &nats_roughly(hardest.1.mean), &easiest.0, &nats_roughly(easiest.1.mean)],
        );
    }
    html.add("</p>", &[]);
    html
}

fn status(student: &StudentReport) -> String {
    match student.status {
        StudentStatus::Scored => "scored".to_owned(),
        StudentStatus::EarlyStopped => {
            format!("stopped early, after {}", counted(student.prompts.len() as u64, "prompt"))
        }
        StudentStatus::FunctionalCopy => {
            format!("copy of {}", student.copy_of.as_deref().unwrap_or("an earlier student"))
        }
        StudentStatus::Failed => "failed".to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn none() -> String {
    "–".to_owned()
}
