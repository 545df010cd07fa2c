//! The typed confirmation of what cannot be undone.

use std::io::{self, BufRead, Read as _, Write};

use anyhow::{Context as _, anyhow};
use distil_types::RepoId;

use crate::exit::CommandError;

/// No name of a repository is longer.
const MAX_ANSWER_BYTES: u64 = 1024;

/// Asks for the repository's name; anything else is a no.
///
/// # Errors
///
/// The answer no, where it is another one or there is none.
pub(super) fn confirm(repo: &RepoId, input: &mut dyn BufRead, output: &mut dyn Write) -> Result<(), CommandError> {
    let mut ask = |output: &mut dyn Write| -> io::Result<String> {
        write!(output, "\nType {repo} to commit it, anything else to leave: ")?;
        output.flush()?;
        let mut answer = String::new();
        input.take(MAX_ANSWER_BYTES).read_line(&mut answer)?;
        Ok(answer)
    };
    let answer = ask(output).context("cannot ask for the confirmation").map_err(CommandError::try_again)?;
    if answer.trim() == repo.as_str() {
        return Ok(());
    }
    Err(CommandError::no(anyhow!("not confirmed: nothing was sent")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::ExitStatus;

    #[test]
    fn only_the_repositorys_name_is_a_yes() {
        let repo: RepoId = "alice/qwen-4b".parse().unwrap();
        let answer = |text: &str| {
            let mut output = Vec::new();
            let result = confirm(&repo, &mut text.as_bytes(), &mut output);
            assert!(String::from_utf8(output).unwrap().contains("Type alice/qwen-4b"));
            result.map_err(|error| error.status())
        };
        assert_eq!(answer("alice/qwen-4b\n"), Ok(()));
        assert_eq!(answer("  alice/qwen-4b\r\n"), Ok(()));
        for no in ["", "\n", "y\n", "yes\n", "alice/qwen-4\n", "Alice/qwen-4b\n", &"x".repeat(5000)] {
            assert_eq!(answer(no), Err(ExitStatus::AnswerIsNo), "{no}");
        }
    }
}
