//! How a command ends: exit codes as a type, and errors that know theirs.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::text::visible_lines;

/// What a command's end means to the script that called it. Only `main` turns it into a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// The command did what it was asked.
    Done,
    /// The command ran, and its answer is no (for `score-local`: no student could be scored).
    AnswerIsNo,
    /// The arguments, the settings, or the files they name cannot be used.
    Usage,
    /// Something outside failed that may well work later: no space left, a file that cannot be written now.
    TryAgain,
    /// A fault of this program.
    OurFault,
}

impl ExitStatus {
    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::AnswerIsNo => 1,
            Self::Usage => 2,
            Self::TryAgain => 3,
            Self::OurFault => 4,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// An error that ends a command, with the status it ends with and, where there is one, what to do about it.
#[derive(Debug)]
pub(crate) struct CommandError {
    status: ExitStatus,
    error: anyhow::Error,
    hint: Option<String>,
}

impl CommandError {
    /// The arguments, settings, or the files they name cannot be used.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::new(ExitStatus::Usage, error)
    }

    /// What was asked for was looked into, and the answer is no.
    pub(crate) fn no(error: impl Into<anyhow::Error>) -> Self {
        Self::new(ExitStatus::AnswerIsNo, error)
    }

    /// Something outside failed that may work later.
    pub(crate) fn try_again(error: impl Into<anyhow::Error>) -> Self {
        Self::new(ExitStatus::TryAgain, error)
    }

    /// A fault of this program.
    pub(crate) fn ours(error: impl Into<anyhow::Error>) -> Self {
        Self::new(ExitStatus::OurFault, error)
    }

    fn new(status: ExitStatus, error: impl Into<anyhow::Error>) -> Self {
        Self { status, error: error.into(), hint: None }
    }

    /// Adds one sentence on what to do.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error and its causes in one line, for a message that mentions it in passing.
    pub(crate) fn summary(&self) -> String {
        let mut summary = String::new();
        for cause in self.error.chain() {
            let text = cause.to_string();
            if !summary.contains(&text) {
                let separator = if summary.is_empty() { "" } else { ": " };
                let _ = write!(summary, "{separator}{}", visible_lines(text.trim_end()));
            }
        }
        summary
    }

    /// The status the program ends with.
    pub(crate) fn status(&self) -> ExitStatus {
        self.status
    }

    /// The message for a terminal: what failed, each cause on a line of its own, then the hint.
    ///
    /// Causes that the line before already quotes in full are left out. Everything is escaped: messages quote
    /// files.
    pub(crate) fn render(&self) -> String {
        let mut rendered = String::new();
        let mut previous = String::new();
        for (depth, cause) in self.error.chain().enumerate() {
            let text = cause.to_string();
            if depth == 0 {
                let _ = writeln!(rendered, "error: {}", visible_lines(text.trim_end()));
            } else if !previous.contains(text.trim_end()) {
                let _ = writeln!(rendered, "  caused by: {}", visible_lines(text.trim_end()));
            } else {
                continue;
            }
            previous = text;
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(rendered, "\nhint: {}", visible_lines(hint));
        }
        rendered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_each_cause_once_and_is_escaped() {
        let error = anyhow::anyhow!("no such tensor `\u{1b}[31mq_proj`")
            .context("model.safetensors: broken")
            .context("cannot load student: model.safetensors: broken");
        let rendered = CommandError::usage(error).with_hint("look at the file").render();
        assert_eq!(
            rendered,
            "error: cannot load student: model.safetensors: broken\n  caused by: no such tensor `\\u{1b}[31mq_proj`\n\nhint: look at the file\n"
        );
    }
}
