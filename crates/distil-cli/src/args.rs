//! The command line as typed: what can be given, with its help. What holds in the end is decided in
//! [`crate::settings`], which lays these over the environment, `distil.toml` and the defaults.

// Documentation here is the help that users read, where brackets mean "may be left out".
#![allow(rustdoc::broken_intra_doc_links)]

mod check;
mod prompts;
mod score_local;

use std::path::PathBuf;

use anyhow::anyhow;
use clap::builder::BoolishValueParser;
use clap::{ArgMatches, Args, Parser, Subcommand};

pub(crate) use self::check::CheckArgs;
pub(crate) use self::prompts::{DrawArgs, PromptsArgs};
pub(crate) use self::score_local::ScoreLocalArgs;
use crate::exit::CommandError;
use crate::settings::Format;

/// What ends each help page.
const AFTER_HELP: &str = "\
Every option can be set by its environment variable or in distil.toml, too. A flag counts before the environment, \
the environment before the file, the file before the default; `distil config show` tells which one did.

Exit codes: 0 done, 1 the answer is no, 2 usage, 3 try again, 4 a fault of this program.";

#[derive(Debug, Parser)]
#[command(name = "distil", version, after_help = AFTER_HELP, max_term_width = 100)]
/// Competitive model distillation: how far is a student from its teacher?
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct CommonArgs {
    /// How results are written to standard output [default: text]
    #[arg(long, global = true, env = "DISTIL_FORMAT", value_enum, value_name = "FORMAT", hide_env_values = true)]
    pub(crate) format: Option<Format>,
    /// Write no progress at all
    #[arg(long, short, global = true, env = "DISTIL_QUIET", value_name = "BOOL", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub(crate) quiet: Option<bool>,
    /// Write progress as plain lines, even on a terminal
    #[arg(long, global = true, env = "DISTIL_NO_PROGRESS", value_name = "BOOL", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub(crate) no_progress: Option<bool>,
    /// Settings file [default: distil.toml in the working directory, where there is one]
    #[arg(long, global = true, env = "DISTIL_CONFIG", value_name = "FILE", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Score students against their teacher on this machine
    ///
    /// The teacher continues each prompt; each student reads the same tokens. The score is KL(teacher ‖ student)
    /// in nats over the whole vocabulary, averaged over every position of every continuation: 0 is a perfect
    /// copy, lower is better.
    ///
    /// A model is a folder with config.json, tokenizer.json and safetensors files, or owner/repo[@revision] on the
    /// Hugging Face Hub, which is downloaded into its cache first (HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE
    /// are honoured).
    ///
    /// The students' order stands for the order of their publication: of two that are the same function, the later
    /// is marked as a copy. A student that fails is reported and does not stop the others; with none scored the
    /// exit code is 1.
    ScoreLocal(Box<ScoreLocalArgs>),
    /// Look into a model's repository before a GPU does
    ///
    /// Reads the list of files, the configuration and the headers of the safetensors files, never the weights of a
    /// repository on the Hub unless they are needed: for --against and --download. Every finding is told; an error
    /// among them makes the exit code 1, and what could not be looked at (the network, a rate limit) makes it 3.
    Check(Box<CheckArgs>),
    /// Draw the prompts of a block
    ///
    /// The same block and source give the same prompts on every machine. Only the parts of the source that are
    /// needed are read; how much that was is told at the end.
    Prompts(Box<PromptsArgs>),
    /// Look at the settings
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print each setting, its value, and where the value came from
    Show,
}

/// A command's arguments as the environment alone gives them, for `distil config show`.
pub(crate) fn from_environment<T: Args>(command: &'static str) -> Result<(T, ArgMatches), CommandError> {
    T::augment_args(clap::Command::new(command))
        .try_get_matches_from([command])
        .and_then(|matches| Ok((T::from_arg_matches(&matches)?, matches)))
        .map_err(|error| CommandError::usage(anyhow!("{}", error.to_string().trim_start_matches("error: ").trim_end())))
}
