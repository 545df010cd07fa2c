//! `distil completions`: a script that teaches a shell the commands and options.

use std::io::Write;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::ExitStatus;
use crate::output::OutputError;

/// Writes the script.
pub(crate) fn run(shell: Shell, out: &mut dyn Write) -> Result<ExitStatus, OutputError> {
    // The generator panics when it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "distil", &mut script);
    out.write_all(&script)?;
    out.flush()?;
    Ok(ExitStatus::Done)
}
