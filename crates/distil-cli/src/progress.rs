//! Progress of a run on standard error: bars with the time left on a terminal, plain lines elsewhere.

mod work;

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use distil_eval::{Event, Phase, StudentStatus, Work};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(crate) use self::work::{Unit, WorkProgress, megabytes, watch};
use crate::numbers::{counted, duration, nats, rate};
use crate::settings::Common;
use crate::text::visible;

/// Between two plain lines of the same phase.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Shows the events of a run.
pub(crate) struct Progress<'a> {
    style: Style,
    /// The students' names, escaped.
    students: Vec<String>,
    out: &'a mut dyn Write,
    bar: Option<ProgressBar>,
    last_line: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Quiet,
    Lines,
    Bars,
}

impl Style {
    fn of(common: Common) -> Self {
        if common.quiet {
            Self::Quiet
        } else if common.no_progress || !io::stderr().is_terminal() {
            Self::Lines
        } else {
            Self::Bars
        }
    }
}

impl<'a> Progress<'a> {
    /// `out` takes the lines; bars are drawn on standard error where that is a terminal.
    pub(crate) fn new(common: Common, students: &[&str], out: &'a mut dyn Write) -> Self {
        Self {
            style: Style::of(common),
            students: students.iter().map(|name| visible(name).to_string()).collect(),
            out,
            bar: None,
            last_line: Duration::ZERO,
        }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &Event) {
        match self.style {
            Style::Quiet => return,
            Style::Bars => self.draw(event),
            Style::Lines => {}
        }
        match event {
            Event::PhaseStarted { .. } => self.last_line = Duration::ZERO,
            Event::PhaseProgress { phase, done, total, elapsed }
                if self.style == Style::Lines && elapsed.saturating_sub(self.last_line) >= LINE_EVERY =>
            {
                self.last_line = *elapsed;
                let line = self.under_way(*phase, *done, *total, *elapsed);
                self.line(&line);
            }
            Event::PhaseFinished { phase, done, elapsed } => {
                if let Some(line) = self.finished(*phase, *done, *elapsed) {
                    self.line(&line);
                }
            }
            Event::StudentFinished { student, report } => {
                let name = self.student(*student);
                let line = match (report.status, report.kl) {
                    (StudentStatus::Failed, _) | (_, None) => {
                        let reason = report.reason.as_deref().unwrap_or("no reason is known");
                        format!("{name}: failed: {}", visible(reason))
                    }
                    (StudentStatus::EarlyStopped, Some(kl)) => format!(
                        "{name}: stopped early at {} nats after {}",
                        nats(kl),
                        counted(report.prompts.len() as u64, "prompt")
                    ),
                    (_, Some(kl)) => format!("{name}: {} nats", nats(kl)),
                };
                self.line(&line);
            }
            _ => {}
        }
    }

    fn draw(&mut self, event: &Event) {
        match event {
            Event::PhaseStarted { phase, total } => {
                let bar = if total.tokens > 0 {
                    ProgressBar::with_draw_target(Some(total.tokens), ProgressDrawTarget::stderr())
                        .with_style(measured_style())
                } else {
                    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(spinner_style())
                };
                bar.set_message(self.doing(*phase));
                bar.enable_steady_tick(Duration::from_millis(120));
                self.bar = Some(bar);
            }
            Event::PhaseProgress { done, total, .. } => {
                if let Some(bar) = &self.bar {
                    // How much a load has to read is known only once it is under way.
                    if total.bytes > 0 && bar.length().is_none() {
                        bar.set_length(total.bytes);
                        bar.set_style(bytes_style());
                    }
                    bar.set_position(if total.bytes > 0 { done.bytes } else { done.tokens });
                }
            }
            Event::PhaseFinished { .. } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
    }

    /// Progress is a courtesy: a reader that has gone does not end the run.
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }

    fn student(&self, index: usize) -> &str {
        self.students.get(index).map_or("student", String::as_str)
    }

    /// What a phase is doing, beside its bar.
    fn doing(&self, phase: Phase) -> String {
        match phase {
            Phase::Tokenize => "prompts: reading".to_owned(),
            Phase::TeacherDigest => "teacher: taking digests".to_owned(),
            Phase::TeacherLoad => "teacher: loading".to_owned(),
            Phase::TeacherGenerate => "teacher: continuing the prompts".to_owned(),
            Phase::TeacherForward => "teacher: hidden states".to_owned(),
            Phase::StudentDigest { student } => {
                format!("{}: taking digests", self.student(student))
            }
            Phase::StudentLoad { student } => format!("{}: loading", self.student(student)),
            Phase::StudentScore { student } => format!("{}: scoring", self.student(student)),
            _ => "working".to_owned(),
        }
    }

    /// A plain line in the middle of a phase.
    fn under_way(&self, phase: Phase, done: Work, total: Work, elapsed: Duration) -> String {
        let mut line = format!("{}: ", self.doing(phase));
        let (done, total, amount) = match total.bytes {
            0 => (done.tokens, total.tokens, counted(done.tokens, "token")),
            bytes => (done.bytes, bytes, format!("{} MB", done.bytes / 1_000_000)),
        };
        if total > 0 && done > 0 {
            let share = done as f64 / total as f64;
            let left = elapsed.mul_f64((1.0 / share - 1.0).clamp(0.0, 1e6));
            line += &format!("{:.0}% ({amount}), about {} left", (share * 100.0).floor().min(100.0), duration(left));
        } else {
            line += &format!("{} so far", duration(elapsed));
        }
        line
    }

    /// A line at the end of a phase; none for phases too small to tell of.
    fn finished(&self, phase: Phase, done: Work, elapsed: Duration) -> Option<String> {
        let time = duration(elapsed);
        let tokens = counted(done.tokens, "token");
        let speed = rate(done.tokens, elapsed).map(|rate| format!(" ({rate:.0} tokens/s)")).unwrap_or_default();
        match phase {
            Phase::TeacherLoad => Some(format!("teacher: loaded in {time}")),
            Phase::TeacherGenerate => Some(format!("teacher: wrote {tokens} in {time}{speed}")),
            Phase::TeacherForward => Some(format!("teacher: hidden states of {tokens} in {time}{speed}")),
            Phase::StudentLoad { student } => Some(format!("{}: loaded in {time}", self.student(student))),
            Phase::StudentScore { student } => {
                Some(format!("{}: read {tokens} in {time}{speed}", self.student(student)))
            }
            _ => None,
        }
    }
}

/// A bar with the share done, the rate and the time left.
fn measured_style() -> ProgressStyle {
    style("{msg:32} {bar:28} {percent:>3}%  {per_sec:>14}  {eta:>4} left").progress_chars("━╸─").with_key(
        "per_sec",
        |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.0} tokens/s", state.per_sec());
        },
    )
}

/// A bar with the share read, the rate and the time left.
fn bytes_style() -> ProgressStyle {
    style("{msg:32} {bar:28} {percent:>3}%  {decimal_bytes_per_sec:>14}  {eta:>4} left").progress_chars("━╸─")
}

/// A spinner with the time so far, for what has no measure yet.
fn spinner_style() -> ProgressStyle {
    style("{msg:32} {spinner} {elapsed}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Format;

    fn lines(events: &[Event]) -> String {
        let mut out = Vec::new();
        let common = Common { format: Format::Text, quiet: false, no_progress: true };
        let mut progress = Progress::new(common, &["a\u{1b}[2J"], &mut out);
        for event in events {
            progress.show(event);
        }
        String::from_utf8(out).expect("lines are text")
    }

    #[test]
    fn plain_lines_come_every_half_minute_and_tell_the_time_left() {
        let total = Work { tokens: 1000, prompts: 4, bytes: 0 };
        let phase = Phase::TeacherGenerate;
        let at = |tokens, seconds| Event::PhaseProgress {
            phase,
            done: Work { tokens, ..Work::default() },
            total,
            elapsed: Duration::from_secs(seconds),
        };
        assert_eq!(
            lines(&[
                Event::PhaseStarted { phase, total },
                at(100, 10),
                at(250, 30),
                at(300, 45),
                at(500, 60),
                Event::PhaseFinished {
                    phase,
                    done: Work { tokens: 900, prompts: 4, bytes: 0 },
                    elapsed: Duration::from_secs(90)
                },
            ]),
            "teacher: continuing the prompts: 25% (250 tokens), about 1 min 30 s left\n\
             teacher: continuing the prompts: 50% (500 tokens), about 1 min 00 s left\n\
             teacher: wrote 900 tokens in 1 min 30 s (10 tokens/s)\n"
        );
    }

    #[test]
    fn a_load_tells_its_bytes() {
        let phase = Phase::TeacherLoad;
        let bytes = |bytes| Work { bytes, ..Work::default() };
        assert_eq!(
            lines(&[
                Event::PhaseStarted { phase, total: Work::default() },
                Event::PhaseProgress {
                    phase,
                    done: bytes(20_000_000_000),
                    total: bytes(80_000_000_000),
                    elapsed: Duration::from_secs(30)
                },
                Event::PhaseFinished { phase, done: bytes(80_000_000_000), elapsed: Duration::from_secs(90) },
            ]),
            "teacher: loading: 25% (20000 MB), about 1 min 30 s left\nteacher: loaded in 1 min 30 s\n"
        );
    }

    #[test]
    fn names_cannot_drive_the_terminal() {
        let phase = Phase::StudentLoad { student: 0 };
        let done = Work::default();
        assert_eq!(
            lines(&[Event::PhaseFinished { phase, done, elapsed: Duration::from_secs(2) }]),
            "a\\u{1b}[2J: loaded in 2.0 s\n"
        );
    }
}
