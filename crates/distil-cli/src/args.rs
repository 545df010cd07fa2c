//! The command line as typed: what can be given, with its help. What holds in the end is decided in
//! [`crate::settings`], which lays these over the environment, `distil.toml` and the defaults.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::builder::BoolishValueParser;
use clap::{ArgMatches, Args, FromArgMatches as _, Parser, Subcommand};

use crate::exit::CommandError;
use crate::settings::{DeviceChoice, DtypeChoice, Format, Probability, Temperature, Threads, TokenLimit};

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
    /// Models are folders with config.json, tokenizer.json and safetensors files. Repositories of the Hugging Face
    /// Hub are downloaded first, for example with `hf download`.
    ///
    /// The students' order stands for the order of their publication: of two that are the same function, the later
    /// is marked as a copy. A student that fails is reported and does not stop the others; with none scored the
    /// exit code is 1.
    ScoreLocal(Box<ScoreLocalArgs>),
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

/// What `score-local` takes. Everything is optional here: the environment or the file may have it.
#[derive(Debug, Args)]
pub(crate) struct ScoreLocalArgs {
    /// The teacher: a folder
    #[arg(long, env = "DISTIL_TEACHER", value_name = "FOLDER", hide_env_values = true)]
    pub(crate) teacher: Option<String>,
    /// A student: a folder; may be repeated (in the environment several are separated as in PATH)
    #[arg(long = "student", env = "DISTIL_STUDENT", value_name = "FOLDER", hide_env_values = true)]
    pub(crate) students: Option<Vec<String>>,
    /// The prompts: a .json file with a list of strings, taken as they are
    #[arg(long, env = "DISTIL_PROMPTS", value_name = "FILE", hide_env_values = true)]
    pub(crate) prompts: Option<PathBuf>,
    /// Cut each prompt to its first N tokens [default: 1024]
    #[arg(long, env = "DISTIL_MAX_PROMPT_TOKENS", value_name = "N", hide_env_values = true)]
    pub(crate) max_prompt_tokens: Option<TokenLimit>,
    /// Continue each prompt by at most N tokens [default: 512]
    #[arg(long, env = "DISTIL_MAX_NEW_TOKENS", value_name = "N", hide_env_values = true)]
    pub(crate) max_new_tokens: Option<TokenLimit>,
    /// Let the teacher draw its continuations at this temperature [default: greedy]
    #[arg(long, env = "DISTIL_TEMPERATURE", value_name = "T", hide_env_values = true)]
    pub(crate) temperature: Option<Temperature>,
    /// Draw from the most likely tokens that hold this share of the probability; needs --temperature [default: 1]
    #[arg(long, env = "DISTIL_TOP_P", value_name = "P", hide_env_values = true)]
    pub(crate) top_p: Option<Probability>,
    /// Seed of the draws; needs --temperature [default: 0]
    #[arg(long, env = "DISTIL_SEED", value_name = "N", hide_env_values = true)]
    pub(crate) seed: Option<u64>,
    /// Where to compute: cpu, cuda or cuda:N [default: cpu]
    #[arg(long, env = "DISTIL_DEVICE", value_name = "DEVICE", hide_env_values = true)]
    pub(crate) device: Option<DeviceChoice>,
    /// What to compute in [default: f32 on the CPU, bf16 on CUDA]
    #[arg(long, env = "DISTIL_DTYPE", value_enum, value_name = "DTYPE", hide_env_values = true)]
    pub(crate) dtype: Option<DtypeChoice>,
    /// Threads to compute with [default: RAYON_NUM_THREADS, else one per physical core]
    #[arg(long, env = "DISTIL_THREADS", value_name = "N", hide_env_values = true)]
    pub(crate) threads: Option<Threads>,
    /// Stop a student early once it surely trails the first one
    #[arg(long, env = "DISTIL_EARLY_STOP", value_name = "BOOL", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub(crate) early_stop: Option<bool>,
    /// Write record.json, positions.parquet and report.html into this folder
    #[arg(long, env = "DISTIL_OUT", value_name = "DIR", hide_env_values = true)]
    pub(crate) out: Option<PathBuf>,
}

/// The arguments of `score-local` as the environment alone gives them, for `distil config show`.
pub(crate) fn score_local_from_environment() -> Result<(ScoreLocalArgs, ArgMatches), CommandError> {
    let command = ScoreLocalArgs::augment_args(clap::Command::new("score-local"));
    command
        .try_get_matches_from(["score-local"])
        .and_then(|matches| Ok((ScoreLocalArgs::from_arg_matches(&matches)?, matches)))
        .map_err(|error| CommandError::usage(anyhow!("{}", error.to_string().trim_start_matches("error: ").trim_end())))
}
