//! Divergence prompt by prompt: a row for each, a mark for each student.

use super::charts::short;
use super::findings::nice_axis;
use super::html::Html;
use super::{Facts, Measured, mark};
use crate::numbers::nats;

/// More rows than anybody reads; beyond, the prompts with the greatest divergence are shown.
const MAX_ROWS: usize = 120;

/// Characters of a prompt's beginning in its row; the style cuts them to what fits.
const LABEL_CHARACTERS: usize = 90;

/// A row of the chart.
struct Row {
    prompt: usize,
    /// Each student's mean in nats, none where it did not get so far.
    means: Vec<Option<f64>>,
}

impl Row {
    fn greatest(&self) -> f64 {
        self.means.iter().flatten().copied().fold(0.0, f64::max)
    }

    fn least(&self) -> f64 {
        self.means.iter().flatten().copied().fold(f64::INFINITY, f64::min)
    }
}

/// The section.
pub(super) fn section(facts: &Facts<'_>, students: &[Measured<'_>]) -> Html {
    let prompts = facts.outcome.prompts.len();
    let mut rows: Vec<Row> = (0..prompts)
        .map(|prompt| Row {
            prompt,
            means: students.iter().map(|student| Some(student.report.prompts.get(prompt)?.mean)).collect(),
        })
        .collect();
    let is_cut = rows.len() > MAX_ROWS;
    if is_cut {
        rows.sort_by(|first, second| second.greatest().total_cmp(&first.greatest()));
        rows.truncate(MAX_ROWS);
        rows.sort_by_key(|row| row.prompt);
    }
    let (step, end) = nice_axis(rows.iter().map(Row::greatest).fold(0.0, f64::max));
    let ticks: Vec<f64> = (0..=(end / step).round() as usize).map(|tick| tick as f64 * step).collect();
    let at = |value: f64| format!("{:.2}%", (value / end * 100.0).clamp(0.0, 100.0));

    let mut html = Html::new();
    html.add(
        r#"<section><h2>Prompt by prompt</h2><p class="note">The mean KL over each prompt’s continuation, in nats. Every student reads the same text."#,
        &[],
    );
    if is_cut {
        html.add(" Of {} prompts, the {} with the greatest divergence are shown.", &[&prompts, &MAX_ROWS]);
    }
    html.add(
        r#"</p><div class="rows"><div class="row axis"><span></span><svg class="track" width="100%" height="18" aria-hidden="true">"#,
        &[],
    );
    for tick in &ticks {
        html.add(r#"<text x="{}" y="12" text-anchor="middle">{}</text>"#, &[&at(*tick), &short(*tick, step)]);
    }
    html.add("</svg></div>", &[]);
    for row in &rows {
        let label: String = facts.outcome.prompts[row.prompt].text.split_whitespace().collect::<Vec<_>>().join(" ");
        let label: String = label.chars().take(LABEL_CHARACTERS).collect();
        html.add(
            r#"<div class="row"><span class="label"><span class="index">{}</span> <bdi>{}</bdi></span><svg class="track" width="100%" height="22" role="img" aria-label="{}">"#,
            &[&row.prompt, &label, &spoken(row, students)],
        );
        for tick in &ticks {
            html.add(r#"<line class="grid" x1="{}" x2="{}" y1="0" y2="22"/>"#, &[&at(*tick), &at(*tick)]);
        }
        // From zero for a single student, between the students for several.
        let from = if students.len() == 1 { 0.0 } else { row.least() };
        if from.is_finite() {
            html.add(r#"<line class="stem" x1="{}" x2="{}" y1="11" y2="11"/>"#, &[&at(from), &at(row.greatest())]);
        }
        for (student, mean) in students.iter().zip(&row.means) {
            if let Some(mean) = mean {
                html.add("<g><title>{}: {} nats</title>", &[&student.report.model, &nats(*mean)]);
                html.append(mark(student.place, &at(*mean), "11"));
                html.add("</g>", &[]);
            }
        }
        html.add("</svg></div>", &[]);
    }
    html.add("</div></section>", &[]);
    html
}

/// The row for those who cannot see it.
fn spoken(row: &Row, students: &[Measured<'_>]) -> String {
    let parts = students.iter().zip(&row.means).map(|(student, mean)| match mean {
        Some(mean) => format!("{} {} nats", student.report.model, nats(*mean)),
        None => format!("{} not measured", student.report.model),
    });
    parts.collect::<Vec<_>>().join(", ")
}
