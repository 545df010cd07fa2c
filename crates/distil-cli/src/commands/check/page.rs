//! A check's report for people.

use std::fmt::Write as _;

use distil_checker::{CheckReport, Severity, Verdict};

use crate::numbers::count;
use crate::progress::megabytes;
use crate::text::visible;

/// The report as text.
pub(super) fn render(report: &CheckReport) -> String {
    let mut page = String::new();
    let revision = report.revision.map(|revision| format!("@{revision}")).unwrap_or_default();
    let _ = writeln!(page, "{}{revision}", visible(&report.model));
    let answer = match report.verdict() {
        Verdict::Pass => "passes",
        Verdict::Refused => "is refused",
        Verdict::CannotTell => "cannot be judged now; try again",
    };
    let _ = writeln!(page, "  {answer}");
    let parameters = &report.parameters;
    let number = |value: Option<u64>| value.map_or_else(|| "not known".to_owned(), count);
    if report.bytes > 0 {
        page.push('\n');
    }
    if parameters.total.is_some() || parameters.text.is_some() {
        let _ = writeln!(
            page,
            "  parameters   {} in all, {} of the language model, {} active",
            number(parameters.total),
            number(parameters.text),
            number(parameters.active)
        );
    }
    if !report.dtypes.is_empty() {
        let dtypes: Vec<String> =
            report.dtypes.iter().map(|(dtype, number)| format!("{} {}", visible(dtype), count(*number))).collect();
        let _ = writeln!(page, "  dtypes       {}", dtypes.join(", "));
    }
    if let Some(vocabulary) = report.vocab_size {
        let _ = writeln!(page, "  vocabulary   {}", count(vocabulary));
    }
    if report.bytes > 0 {
        let _ = writeln!(
            page,
            "  size         {} ({} read to judge it, in {} reads)",
            megabytes(report.bytes),
            megabytes(report.bytes_read),
            count(report.requests)
        );
        let digest = &report.digest;
        for (name, value, reason) in
            [("tensors", &digest.tensors, &digest.tensors_reason), ("files", &digest.files, &digest.files_reason)]
        {
            let text = match (value, reason) {
                (Some(value), _) => value.to_string(),
                (None, Some(reason)) => format!("none: {}", visible(reason)),
                (None, None) => "none".to_owned(),
            };
            let _ = writeln!(page, "  {:12} {text}", format!("{name} sha256"));
        }
    }
    for (severity, title) in [(Severity::Error, "errors"), (Severity::Warning, "warnings"), (Severity::Info, "notes")] {
        let mut findings = report.findings().iter().filter(|finding| finding.severity == severity).peekable();
        if findings.peek().is_some() {
            let _ = writeln!(page, "\n{title}");
        }
        for finding in findings {
            let _ = writeln!(page, "  {}: {}", finding.code, visible(&finding.message));
        }
    }
    page
}
