//! `distil decide`: the rules of the crown applied to a recorded round.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use anyhow::anyhow;
use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use distil_scoring::{RecordedDecision, RecordedRound, Rules};
use distil_types::SubnetProfile;

use crate::exit::{CommandError, ExitStatus};
use crate::files::read_text;
use crate::numbers::nats;
use crate::output::{OutputError, write_json};
use crate::settings::{Common, Format};
use crate::text::visible;

/// A rule above, under the header, and below.
const STYLE: TableStyle = TableStyle::new().top_border(RULE).header_separator(RULE).bottom_border(RULE);

const RULE: LineStyle = LineStyle::none().fill('─').junction('─');

/// Decides the round in this file and writes the decision to `out`.
pub(crate) fn run(path: &Path, common: Common, out: &mut dyn Write) -> Result<ExitStatus, OutputError> {
    let text = read_text(path, RecordedRound::MAX_BYTES as u64).map_err(CommandError::usage)?;
    let round = RecordedRound::from_json(&text).map_err(|error| {
        CommandError::usage(anyhow!(error).context(format!("{} is not a recorded round", path.display())))
            .with_hint("give a JSON object with n_prompts, king and students; numbers are finite, or null")
    })?;
    let decision = round.decide(&Rules::of(&SubnetProfile::sn97()));
    match common.format {
        Format::Json => write_json(out, &decision)?,
        Format::Text => {
            out.write_all(text_of(&decision).as_bytes())?;
            out.flush()?;
        }
    }
    Ok(ExitStatus::Done)
}

fn text_of(decision: &RecordedDecision) -> String {
    let mut text = match (&decision.king, decision.dethroned) {
        (Some(king), true) => format!("new king: {}, the king that was is dethroned\n", visible(king)),
        (Some(king), false) => format!("king: {}\n", visible(king)),
        (None, _) => "no king: nobody can be crowned\n".to_owned(),
    };
    if let Some(why) = &decision.void {
        let _ = writeln!(text, "the round counts for nothing: {}", visible(why));
    }
    if decision.verdicts.is_empty() {
        return text + "\nnobody challenges\n";
    }
    let mut table = Table::new();
    table.load_style(STYLE).set_header([
        Cell::new("challenger"),
        Cell::new("verdict"),
        right("KL"),
        right("margin"),
        right("difference"),
        right("p"),
    ]);
    for entry in &decision.verdicts {
        let paired = entry.paired.as_ref();
        table.add_row([
            Cell::new(visible(&entry.model)),
            Cell::new(entry.verdict),
            right(entry.kl.map_or_else(none, nats)),
            right(entry.margin.map_or_else(none, |margin| format!("{:.2}%", 100.0 * margin))),
            right(paired.map_or_else(none, |test| nats(test.mean_difference))),
            right(paired.map_or_else(none, |test| format!("{:.3}", test.p))),
        ]);
    }
    let _ = writeln!(text, "\n{}\n", table.trim_fmt());
    for entry in &decision.verdicts {
        let _ = writeln!(text, "{}: {}", visible(&entry.model), visible(&entry.reason));
    }
    text
}

fn right(text: impl ToString) -> Cell {
    Cell::new(text.to_string()).set_alignment(CellAlignment::Right)
}

fn none() -> String {
    "–".to_owned()
}
