//! The table that people read.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use distil_eval::{ScoreReport, StudentReport, StudentStatus};

use crate::exit::CommandError;
use crate::numbers::{bytes, count, counted, duration, nats};
use crate::statistics::interval_half_width;
use crate::text::visible;

/// A rule above, under the header, and below.
const STYLE: TableStyle = TableStyle::new().top_border(RULE).header_separator(RULE).bottom_border(RULE);

const RULE: LineStyle = LineStyle::none().fill('─').junction('─');

/// The result as text: a line on what was measured, the table, then what needs a sentence.
pub(super) fn render(report: &ScoreReport, speeds: &[Option<f64>]) -> Result<String, CommandError> {
    let positions: u64 = report.prompts.iter().map(|prompt| prompt.continuation_tokens as u64).sum();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "KL(teacher ‖ student) in nats per token, over {} of {}\nteacher: {}\n",
        counted(positions, "position"),
        counted(report.prompts.len() as u64, "prompt"),
        visible(&report.teacher.model),
    );

    let mut table = Table::new();
    table.load_style(STYLE).set_header([
        Cell::new("student"),
        right("KL"),
        right("± 95%"),
        right("positions"),
        right("tokens/s"),
        Cell::new("status"),
    ]);
    for (student, speed) in report.students.iter().zip(speeds) {
        table.add_row([
            Cell::new(visible(&student.model)),
            right(student.kl.map_or_else(none, nats)),
            right(interval_half_width(student).map_or_else(none, nats)),
            right(count(student.positions as u64)),
            right(speed.map_or_else(none, |speed| count(speed.round() as u64))),
            Cell::new(status(student)),
        ]);
    }
    let _ = writeln!(text, "{}", table.trim_fmt());

    for student in &report.students {
        if let Some(reason) = &student.reason {
            let _ = writeln!(text, "\n{}: {}", visible(&student.model), visible(reason));
        }
    }
    let _ = write!(text, "\n{} in all", duration(super::total_time(report)?));
    if let Some(peak) = report.peak_rss_bytes {
        let _ = write!(text, ", at most {} of memory", bytes(peak));
    }
    text.push('\n');
    Ok(text)
}

/// The status in words; a copy is named with what it copies.
fn status(student: &StudentReport) -> String {
    let copied = student.copy_of.as_deref().unwrap_or("an earlier student");
    match student.status {
        StudentStatus::Scored => "scored".to_owned(),
        StudentStatus::EarlyStopped => "stopped early".to_owned(),
        StudentStatus::FunctionalCopy => format!("copy of {}", visible(copied)),
        StudentStatus::Failed => "failed".to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn right(text: impl ToString) -> Cell {
    Cell::new(text.to_string()).set_alignment(CellAlignment::Right)
}

fn none() -> String {
    "–".to_owned()
}
