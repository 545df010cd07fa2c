//! The command line as typed: what can be given, with its help. What holds in the end is decided in
//! [`crate::settings`], which lays these over the environment, `distil.toml` and the defaults.

// Documentation here is the help that users read, where brackets mean "may be left out".
#![allow(rustdoc::broken_intra_doc_links)]

mod check;
mod commit;
mod decide;
mod demo;
mod devnet;
mod prompts;
mod score_local;
mod state;
mod validate;
mod verify;

use std::path::PathBuf;

use anyhow::anyhow;
use clap::builder::BoolishValueParser;
use clap::{ArgMatches, Args, Parser, Subcommand};

pub(crate) use self::check::CheckArgs;
pub(crate) use self::commit::CommitArgs;
pub(crate) use self::decide::DecideArgs;
pub(crate) use self::demo::DemoArgs;
pub(crate) use self::devnet::DevnetArgs;
pub(crate) use self::prompts::{DrawArgs, PromptsArgs};
pub(crate) use self::score_local::ScoreLocalArgs;
pub(crate) use self::state::{ImportArgs, LiftArgs, StateCommand, StateFolderArgs};
pub(crate) use self::validate::ValidateArgs;
pub(crate) use self::verify::VerifyArgs;
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
    /// Apply the rules of the crown to a recorded round
    ///
    /// Reads who was king, and of every student its KL and the summaries of its prompts; says who is king after the
    /// round, and of every challenger what became of it and why. The order of students stands for the order of their
    /// commitments. The rules are those that a validator decides by.
    Decide(DecideArgs),
    /// Commit a model to the subnet, once and for good
    ///
    /// A hotkey has one submission: a repository of the Hub, pinned to one commit. Everything is checked first: the
    /// model as `distil check` does, the hotkey's registration, that it has not committed before, and its quota. Then
    /// what will be committed is shown, and you confirm it by typing the repository's name.
    ///
    /// The commitment is sealed with timelock encryption for a later round of the drand beacon: until then nobody can
    /// read it, and from then on everybody can. That it was sent, that a block holds it, that the block is final and
    /// that it is revealed are told apart. Nothing is sent twice.
    ///
    /// A hotkey's password comes from the variable that Bittensor's tools set (BT_PW_ and the file's path), or is asked
    /// for on a terminal. Where the commitment is not revealed in time, the exit code is 0, `revealed` is null, and it
    /// is said when it is due.
    Commit(Box<CommitArgs>),
    /// Run a whole subnet on this machine, and tell what happens
    ///
    /// A chain, a hub with tiny models that are part of this program, six miners and a validator: real models, real
    /// forward passes in processes of their own, a real chain's protocol. In the first round somebody is crowned, among
    /// a weaker student, a copy, a near copy and the teacher under another name; in the second a challenger comes.
    ///
    /// The story is told on standard error; the leaderboard, the reasons and the place of the record end up on standard
    /// output. Nothing outside this machine is asked.
    Demo(DemoArgs),
    /// Hold rounds against a live network and set weights
    ///
    /// Reads the subnet at each round block (about every ten minutes), checks new commitments, evaluates challengers
    /// and the king on the block's prompts, decides, looks at the winner's repository again, sets weights, and writes a
    /// record of the round that anybody can verify. Without a challenger nothing is evaluated, and weights are only
    /// refreshed when they are due.
    ///
    /// Models run in processes of their own, here or on another host (--worker). Everything known is in one SQLite file
    /// in the folder of the state: killed at any point, it goes on where it was. SIGTERM and ctrl-c end it cleanly.
    ///
    /// Logs go to standard error. With --once one epoch is run, and what came of it is written to standard output.
    Validate(Box<ValidateArgs>),
    /// Hold a round's record to what it says of itself
    ///
    /// Recomputes digests, statistics, copies, early stops and the decision from the record; draws the prompts again
    /// from the block's hash; with --rescore runs the models again, on the recorded tokens. A byte that was changed is
    /// found, and its place is named; then the exit code is 1.
    Verify(Box<VerifyArgs>),
    /// Run a chain for development on this machine
    ///
    /// It answers as a node of Bittensor's chain does, makes blocks by the clock and has a randomness beacon of its own,
    /// so that commitments and weights are revealed as on the real one. Nothing on it is worth anything, and whoever
    /// reaches it may do everything: it listens on loopback only. The methods devnet_* of its JSON-RPC register more
    /// neurons, make blocks and order faults.
    ///
    /// Where it listens and its beacon's key are written to standard output; then it runs until ctrl-c or SIGTERM.
    Devnet(Box<DevnetArgs>),
    /// Run one teacher or student for another process, on standard input and output
    ///
    /// Nothing to be typed: validators start it, here or over ssh on a host with a GPU, and send it one request. It
    /// takes no settings but those of the request; HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honoured, and
    /// DISTIL_WORKER_CACHE names the folder for what it keeps of teachers.
    Worker,
    /// Show what a validator knows
    ///
    /// King, open round, the last finished round with a reason for every student, every miner with why it is not
    /// evaluated, and weights. A validator may run meanwhile.
    Status(StateFolderArgs),
    /// Work on a validator's state by hand
    State {
        #[command(subcommand)]
        command: StateCommand,
    },
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
