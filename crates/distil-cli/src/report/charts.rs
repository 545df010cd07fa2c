//! The two charts over positions: how divergence is distributed, and how it runs along the continuation.

use std::fmt::Write as _;

use super::findings::{Spread, mean_at, nice_axis, quantile};
use super::html::Html;
use super::{COLOURS, Measured, mark};
use crate::numbers::{nats, percent};

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = HEIGHT - 44.0;
/// Steps of the histogram in a factor of ten.
const BINS_PER_DECADE: usize = 5;
/// Points of the line along the continuation, at most.
const MAX_POINTS: usize = 32;

/// Length along an axis of the drawing, where 0 is its start and 1 its end.
fn x_at(share: f64) -> f64 {
    LEFT + share * (RIGHT - LEFT)
}

fn y_at(share: f64) -> f64 {
    BOTTOM - share * (BOTTOM - TOP)
}

/// A coordinate as SVG has it.
fn coordinate(value: f64) -> String {
    format!("{value:.1}")
}

/// The share of positions at each height of divergence, on a logarithmic axis.
pub(super) fn distribution(students: &[Measured<'_>]) -> Html {
    let mut sorted: Vec<f64> = all_values(students).filter(|value| *value > 0.0).collect();
    sorted.sort_by(f64::total_cmp);
    // The lowest hundredth is gathered at the left edge with whatever is exactly zero.
    let (lowest, highest) = match sorted.last() {
        Some(most) => (quantile(&sorted, 0.01).log10().floor().max(-8.0), most.log10().ceil()),
        None => (-4.0, 0.0),
    };
    let highest = highest.max(lowest + 1.0);
    let decades = (highest - lowest) as usize;
    let bins = decades * BINS_PER_DECADE;
    let place = |value: f64| ((value.max(1e-300).log10() - lowest) / (highest - lowest)).clamp(0.0, 1.0);

    let shares: Vec<Vec<f64>> = students.iter().map(|student| histogram(student, bins, place)).collect();
    let most = shares.iter().flatten().copied().fold(0.0, f64::max);
    let (step, end) = nice_axis(most);

    let mut html = open("Share of positions by KL divergence, on a logarithmic axis");
    horizontal_grid(&mut html, step, end, percent);
    for decade in 0..=decades {
        let x = coordinate(x_at(decade as f64 / decades as f64));
        let label = power_of_ten(lowest as i32 + decade as i32);
        let gathered = decade == 0 && all_values(students).any(|value| place(value) <= 0.0);
        let label = if gathered { format!("≤ {label}") } else { label };
        tick(&mut html, &x, &label);
    }
    for (student, shares) in students.iter().zip(&shares) {
        let mut line = String::new();
        for (bin, share) in shares.iter().enumerate() {
            let (from, to) = (bin as f64 / bins as f64, (bin + 1) as f64 / bins as f64);
            let y = y_at(share / end);
            let verb = if bin == 0 { 'M' } else { 'L' };
            let _ = write!(line, "{verb}{:.1} {y:.1}L{:.1} {y:.1}", x_at(from), x_at(to));
        }
        let area = format!("{line}L{RIGHT:.1} {BOTTOM:.1}L{LEFT:.1} {BOTTOM:.1}Z");
        let colour = student.place % COLOURS;
        html.add(r#"<path class="area c{}" d="{}"/>"#, &[&colour, &area]);
        html.add(r#"<path class="line c{}" d="{}"><title>{}</title></path>"#, &[&colour, &line, &student.report.model]);
    }
    for student in students {
        if let Some(spread) = Spread::new(student.positions_kl_nats) {
            let x = coordinate(x_at(place(spread.median_nats)));
            html.add("<g><title>{}: median {} nats</title>", &[&student.report.model, &nats(spread.median_nats)]);
            html.append(mark(student.place, &x, &coordinate(BOTTOM)));
            html.add("</g>", &[]);
        }
    }
    close(&mut html, "KL at a position, in nats");
    html
}

/// The mean divergence along the continuation.
pub(super) fn along_continuation(students: &[Measured<'_>]) -> Html {
    let longest = students.iter().flat_map(|student| student.positions_kl_nats).map(Vec::len).max().unwrap_or(1).max(1);
    let points = longest.min(MAX_POINTS);
    let lines: Vec<Vec<(f64, f64)>> = students
        .iter()
        .map(|student| {
            (0..points)
                .filter_map(|point| {
                    let (from, to) = (point * longest / points, (point + 1) * longest / points);
                    let mean = mean_at(student.positions_kl_nats, from, to)?;
                    Some(((from + to) as f64 / 2.0 / longest as f64, mean))
                })
                .collect()
        })
        .collect();
    let most = lines.iter().flatten().map(|(_, mean)| *mean).fold(0.0, f64::max);
    let (step, end) = nice_axis(most);

    let mut html = open("Mean KL divergence along the continuation");
    horizontal_grid(&mut html, step, end, |value| short(value, step));
    let (x_step, _) = nice_axis(longest as f64);
    let x_step = (x_step.round() as usize).max(1);
    for token in (0..=longest).step_by(x_step) {
        tick(&mut html, &coordinate(x_at(token as f64 / longest as f64)), &token.to_string());
    }
    for (student, line) in students.iter().zip(&lines) {
        let mut path = String::new();
        for (index, (x, mean)) in line.iter().enumerate() {
            let verb = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{verb}{:.1} {:.1}", x_at(*x), y_at(mean / end));
        }
        html.add(
            r#"<path class="line c{}" d="{}"><title>{}</title></path>"#,
            &[&(student.place % COLOURS), &path, &student.report.model],
        );
        // A mark at each end: colour alone does not tell everyone which line is whose.
        for (x, mean) in line.first().into_iter().chain(line.last()) {
            html.append(mark(student.place, &coordinate(x_at(*x)), &coordinate(y_at(mean / end))));
        }
    }
    close(&mut html, "tokens into the continuation");
    html
}

fn all_values<'a>(students: &'a [Measured<'a>]) -> impl Iterator<Item = f64> + 'a {
    students.iter().flat_map(|student| student.positions_kl_nats).flatten().copied()
}

fn histogram(student: &Measured<'_>, bins: usize, place: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut shares = vec![0.0; bins];
    let values = student.positions_kl_nats.iter().flatten();
    let total = values.clone().count().max(1) as f64;
    for value in values {
        let bin = (place(*value) * bins as f64) as usize;
        shares[bin.min(bins - 1)] += 1.0 / total;
    }
    shares
}

fn open(label: &'static str) -> Html {
    let mut html = Html::new();
    html.add(r#"<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">"#, &[&WIDTH, &HEIGHT, &label]);
    html
}

fn close(html: &mut Html, x_label: &'static str) {
    html.add(
        r#"<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text></svg>"#,
        &[&coordinate((LEFT + RIGHT) / 2.0), &coordinate(HEIGHT - 6.0), &x_label],
    );
}

fn horizontal_grid(html: &mut Html, step: f64, end: f64, label: impl Fn(f64) -> String) {
    let lines = (end / step).round() as usize;
    for line in 0..=lines {
        let y = y_at(line as f64 / lines as f64);
        html.add(
            r#"<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>"#,
            &[
                &(if line == 0 { "base" } else { "grid" }),
                &coordinate(LEFT),
                &coordinate(RIGHT),
                &coordinate(y),
                &coordinate(y),
            ],
        );
        html.add(
            r#"<text x="{}" y="{}" text-anchor="end">{}</text>"#,
            &[&coordinate(LEFT - 7.0), &coordinate(y + 4.0), &label(line as f64 * step)],
        );
    }
}

fn tick(html: &mut Html, x: &str, label: &str) {
    html.add(
        r#"<line class="base" x1="{}" x2="{}" y1="{}" y2="{}"/>"#,
        &[&x, &x, &coordinate(BOTTOM), &coordinate(BOTTOM + 4.0)],
    );
    html.add(r#"<text x="{}" y="{}" text-anchor="middle">{}</text>"#, &[&x, &coordinate(BOTTOM + 18.0), &label]);
}

/// A value on an axis with the decimals that its step needs.
pub(super) fn short(value: f64, step: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if step < 1e-4 {
        return format!("{value:.0e}");
    }
    let decimals = (-(step * 1.0001).log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}

/// `0.001`, `1`, `100`, and with superscripts where zeros would pile up.
fn power_of_ten(exponent: i32) -> String {
    if (-3..=3).contains(&exponent) {
        let decimals = usize::try_from(-exponent).unwrap_or(0);
        return format!("{:.decimals$}", 10_f64.powi(exponent));
    }
    let plain = exponent.to_string();
    let raised = plain.chars().map(|digit| match digit {
        '-' => '⁻',
        '0' => '⁰',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32(0x2070 + digit.to_digit(10).unwrap_or(0)).unwrap_or(digit),
    });
    format!("10{}", raised.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_labels() {
        assert_eq!(["0.001", "1", "1000", "10⁻⁵", "10⁴"].map(str::to_owned), [-3, 0, 3, -5, 4].map(power_of_ten));
        assert_eq!(short(0.3, 0.1), "0.3");
        assert_eq!(short(0.05, 0.05), "0.05");
        assert_eq!(short(4.0, 2.0), "4");
        assert_eq!(short(0.0, 0.5), "0");
    }
}
