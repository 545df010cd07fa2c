//! Progress of one piece of work: a download, hashing, comparing, drawing prompts.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget};

use super::{LINE_EVERY, Style, bytes_style, style};
use crate::numbers::{counted, duration};
use crate::settings::Common;
use crate::text::visible;

/// What work is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Bytes.
    Bytes,
    /// Prompts.
    Prompts,
}

impl Unit {
    fn amount(self, number: u64) -> String {
        match self {
            Self::Bytes => megabytes(number),
            Self::Prompts => counted(number, "prompt"),
        }
    }
}

/// Shows how far one piece of work is.
pub(crate) struct WorkProgress<'a> {
    style: Style,
    unit: Unit,
    /// What is done, escaped.
    doing: String,
    out: &'a mut dyn Write,
    bar: Option<ProgressBar>,
    last_line: Duration,
}

impl<'a> WorkProgress<'a> {
    /// `doing` is what is done, such as `downloading owner/repo`.
    pub(crate) fn new(common: Common, unit: Unit, doing: &str, out: &'a mut dyn Write) -> Self {
        let doing = visible(doing).to_string();
        Self { style: Style::of(common), unit, doing, out, bar: None, last_line: Duration::ZERO }
    }

    /// Shows what is done of a total, at a time since the beginning.
    pub(crate) fn show(&mut self, done: u64, total: u64, elapsed: Duration) {
        match self.style {
            Style::Quiet => {}
            Style::Bars => {
                let doing = &self.doing;
                let look = match self.unit {
                    Unit::Bytes => bytes_style(),
                    Unit::Prompts => style("{msg:32} {bar:28} {pos}/{len}  {elapsed}").progress_chars("━╸─"),
                };
                let bar = self.bar.get_or_insert_with(|| {
                    ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
                        .with_style(look)
                        .with_message(doing.clone())
                });
                bar.set_length(total);
                bar.set_position(done);
            }
            Style::Lines => {
                if elapsed.saturating_sub(self.last_line) >= LINE_EVERY && total > 0 && done > 0 {
                    self.last_line = elapsed;
                    let share = done as f64 / total as f64;
                    let left = elapsed.mul_f64((1.0 / share - 1.0).clamp(0.0, 1e6));
                    let percent = (share * 100.0).floor().min(100.0);
                    let line = format!(
                        "{}: {percent:.0}% ({}), about {} left",
                        self.doing,
                        self.unit.amount(done),
                        duration(left)
                    );
                    self.line(&line);
                }
            }
        }
    }

    /// Ends it, with a line where something was done that took time to do.
    pub(crate) fn finish(mut self, done: u64, elapsed: Duration) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.style != Style::Quiet && done > 0 {
            let line = format!("{}: {} in {}", self.doing, self.unit.amount(done), duration(elapsed));
            self.line(&line);
        }
    }

    /// Progress is a courtesy: a reader that has gone does not end the run.
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
}

/// How far work is that runs on other threads.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    done: AtomicU64,
    total: AtomicU64,
}

impl Meter {
    /// Tells how far it is; never goes back.
    pub(crate) fn set(&self, done: u64, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.done.fetch_max(done, Ordering::Relaxed);
    }

    fn read(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

/// Runs work on a thread of its own and shows from this one how far it is.
pub(crate) fn watch<T: Send>(mut progress: WorkProgress<'_>, work: impl FnOnce(&Meter) -> T + Send) -> T {
    const SHOW_EVERY: Duration = Duration::from_millis(100);
    let began = Instant::now();
    let meter = Meter::default();
    let result = std::thread::scope(|scope| {
        let (finished, wait) = mpsc::channel::<()>();
        let meter = &meter;
        let work = scope.spawn(move || {
            let _finished = finished;
            work(meter)
        });
        while wait.recv_timeout(SHOW_EVERY) == Err(RecvTimeoutError::Timeout) {
            let (done, total) = meter.read();
            progress.show(done, total, began.elapsed());
        }
        work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    progress.finish(meter.read().0, began.elapsed());
    result
}

/// Bytes as people read them.
pub(crate) fn megabytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..10_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Format;

    #[test]
    fn lines_come_every_half_minute_and_at_the_end() {
        let mut out = Vec::new();
        let common = Common { format: Format::Text, quiet: false, no_progress: true };
        let mut progress = WorkProgress::new(common, Unit::Bytes, "downloading a/b\u{1b}", &mut out);
        progress.show(1_000_000, 100_000_000, Duration::from_secs(10));
        progress.show(25_000_000, 100_000_000, Duration::from_secs(30));
        progress.show(26_000_000, 100_000_000, Duration::from_secs(31));
        progress.finish(100_000_000, Duration::from_secs(120));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "downloading a/b\\u{1b}: 25% (25.0 MB), about 1 min 30 s left\ndownloading a/b\\u{1b}: 100.0 MB in 2 min 00 s\n"
        );
    }
}
