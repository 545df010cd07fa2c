//! The program `distil`: arguments, settings, wiring and exit codes around the Distil libraries.
//!
//! ```sh
//! distil score-local --teacher teacher --student student --prompts prompts.json --out run
//! ```
//!
//! A command is parsed ([`args`]), its settings are laid over each other ([`settings`]), and a module of [`commands`]
//! runs it. Results go to standard output and nothing else does ([`output`]); how a command ended is a type
//! ([`exit`]) that only `main` turns into a number.

#![deny(unsafe_code)]

mod args;
mod chain;
mod commands;
mod compute;
mod draw;
mod exit;
mod files;
mod hub;
mod models;
mod numbers;
mod output;
mod progress;
mod prompts;
mod report;
mod settings;
mod statistics;
mod text;

use std::io::{self, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use crate::args::{Cli, Command, ConfigCommand, StateCommand};
use crate::exit::{CommandError, ExitStatus};
use crate::output::OutputError;
use crate::settings::{
    CheckLayers, CommitLayers, Common, Demo, DevnetLayers, PromptsLayers, ScoreLocalLayers, ValidateLayers,
    VerifyLayers, state_folder,
};

fn main() -> ExitCode {
    panic::set_hook(Box::new(report_panic));
    conclude(|| {
        let matches = Cli::command().try_get_matches().map_err(Ended::Clap)?;
        dispatch(&matches).map_err(Ended::Command)
    })
    .into()
}

/// Runs a command and turns whatever ends it into a status, having said on standard error what went wrong.
fn conclude(run: impl FnOnce() -> Result<ExitStatus, Ended>) -> ExitStatus {
    match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(status)) => status,
        Ok(Err(Ended::Command(OutputError::ReaderGone))) => ExitStatus::Done,
        Ok(Err(Ended::Command(OutputError::Failed(error)))) => {
            let _ = io::stderr().write_all(error.render().as_bytes());
            error.status()
        }
        Ok(Err(Ended::Clap(error))) => {
            // Help and version come as errors, too; only these are for standard output.
            let _ = error.print();
            if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Done }
        }
        // The panic hook has told what happened.
        Err(_) => ExitStatus::OurFault,
    }
}

/// Why no status came back.
enum Ended {
    Clap(clap::Error),
    Command(OutputError),
}

/// Resolves the settings of the command given and runs it.
fn dispatch(matches: &ArgMatches) -> Result<ExitStatus, OutputError> {
    let cli = Cli::from_arg_matches(matches).map_err(CommandError::ours)?;
    // Before anything is read or locked: standard output belongs to the worker's protocol.
    if let Command::Worker = cli.command {
        distil_eval::worker::serve().map_err(CommandError::ours)?;
        return Ok(ExitStatus::Done);
    }
    // Options that all commands share are known to the innermost one.
    let mut innermost = matches;
    while let Some((_, inner)) = innermost.subcommand() {
        innermost = inner;
    }
    let out = &mut io::stdout().lock();
    if let Command::Completions { shell } = cli.command {
        return commands::completions::run(shell, out);
    }
    let file = settings::read_file(cli.common.config.as_deref())?;
    let (common, mut lines) = Common::resolve(&cli.common, innermost, &file);
    match cli.command {
        Command::ScoreLocal(args) => {
            let settings = ScoreLocalLayers::resolve(&args, innermost, &file).decide()?;
            commands::score_local::run(&settings, common, out, &mut io::stderr())
        }
        Command::Check(args) => {
            let settings = CheckLayers::resolve(&args, innermost, &file).decide()?;
            commands::check::run(&settings, common, out, &mut io::stderr())
        }
        Command::Prompts(args) => {
            let settings = PromptsLayers::resolve(&args, innermost, &file).decide()?;
            commands::prompts::run(&settings, common, out, &mut io::stderr())
        }
        Command::Decide(args) => commands::decide::run(&args.round, common, out),
        Command::Commit(args) => {
            let settings = CommitLayers::resolve(&args, innermost, &file).decide()?;
            commands::commit::run(&settings, common, out, &mut io::stderr())
        }
        Command::Demo(args) => {
            let settings = Demo::resolve(&args, innermost, &file);
            commands::demo::run(&settings, common, out, &mut io::stderr())
        }
        Command::Validate(args) => {
            let settings = ValidateLayers::resolve(&args, innermost, &file).decide()?;
            commands::validate::run(&settings, common, out, &mut io::stderr())
        }
        Command::Verify(args) => {
            let settings = VerifyLayers::resolve(&args, innermost, &file).decide()?;
            commands::verify::run(&settings, common, out, &mut io::stderr())
        }
        Command::Devnet(args) => {
            let settings = DevnetLayers::resolve(&args, innermost, &file).decide()?;
            commands::devnet::run(&settings, common, out, &mut io::stderr())
        }
        Command::Status(args) => {
            let state = state_folder(&args, innermost, &file)?;
            commands::status::run(&state, common.format, out)
        }
        Command::State { command: StateCommand::Import(args) } => {
            let state = state_folder(&args.folder, innermost, &file)?;
            commands::state::import(&args, &state, common.format, out)
        }
        Command::State { command: StateCommand::Lift(args) } => {
            let state = state_folder(&args.folder, innermost, &file)?;
            commands::state::lift(&args, &state, common.format, out)
        }
        Command::Config { command: ConfigCommand::Show } => {
            let (args, matches) = args::from_environment("score-local")?;
            lines.extend_from_slice(ScoreLocalLayers::resolve(&args, &matches, &file).lines());
            let (args, matches) = args::from_environment("check")?;
            lines.extend_from_slice(CheckLayers::resolve(&args, &matches, &file).lines());
            let (args, matches) = args::from_environment("prompts")?;
            lines.extend_from_slice(PromptsLayers::resolve(&args, &matches, &file).lines());
            let (args, matches) = args::from_environment("commit")?;
            lines.extend_from_slice(CommitLayers::resolve(&args, &matches, &file).lines());
            let (args, matches) = args::from_environment("demo")?;
            lines.extend_from_slice(Demo::resolve(&args, &matches, &file).lines());
            let (args, matches) = args::from_environment("validate")?;
            lines.extend_from_slice(ValidateLayers::resolve(&args, &matches, &file).lines());
            let (args, matches) = args::from_environment("verify")?;
            lines.extend_from_slice(VerifyLayers::resolve(&args, &matches, &file).lines());
            let (args, matches) = args::from_environment("devnet")?;
            lines.extend_from_slice(DevnetLayers::resolve(&args, &matches, &file).lines());
            lines.extend(hub::setting_lines()?);
            commands::config_show::run(&lines, common.format, out)
        }
        Command::Worker => Ok(ExitStatus::Done), // served above
        Command::Completions { shell } => commands::completions::run(shell, out),
    }
}

/// Says in words that this program is at fault, instead of a raw panic.
fn report_panic(panic: &panic::PanicHookInfo<'_>) {
    let payload = panic.payload();
    let what = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let message = format!(
        "error: distil {} came upon a fault of its own at {place}: {what}\n\n\
         hint: please report this with the command that you ran; RUST_BACKTRACE=1 tells more\n",
        env!("CARGO_PKG_VERSION"),
    );
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{}", text::visible_lines(&message));
    let backtrace = std::backtrace::Backtrace::capture();
    if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
        let _ = writeln!(stderr, "\n{backtrace}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_ends_a_command_has_a_status() {
        type Run = fn() -> Result<ExitStatus, Ended>;
        let ends: [(Run, ExitStatus); 6] = [
            (|| Ok(ExitStatus::AnswerIsNo), ExitStatus::AnswerIsNo),
            (|| panic!("a fault made for this test"), ExitStatus::OurFault),
            (|| Err(Ended::Command(OutputError::ReaderGone)), ExitStatus::Done),
            (|| Err(Ended::Command(CommandError::try_again(anyhow::anyhow!("busy")).into())), ExitStatus::TryAgain),
            (|| Err(Ended::Clap(clap::Error::new(clap::error::ErrorKind::DisplayVersion))), ExitStatus::Done),
            (|| Err(Ended::Clap(clap::Error::new(clap::error::ErrorKind::UnknownArgument))), ExitStatus::Usage),
        ];
        for (run, status) in ends {
            assert_eq!(conclude(run), status);
        }
    }
}
