//! Settings: flags over environment over `distil.toml` over defaults, each with where it came from.
//!
//! Every layer is parsed into the same types, so a value that cannot be used is refused wherever it stands. One
//! struct per command is the result: [`Common`] and [`ScoreLocal`].

mod check;
mod commit;
mod demo;
mod devnet;
mod draw;
mod file;
mod network;
mod score_local;
mod seconds;
mod state;
mod validate;
mod values;
mod verify;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::ArgMatches;
use clap::parser::ValueSource;
use distil_types::ModelRef;
use serde::Serialize;

use crate::args::CommonArgs;
use crate::exit::CommandError;

pub(crate) use check::{Check, CheckLayers};
pub(crate) use commit::{Commit, CommitLayers};
pub(crate) use demo::Demo;
pub(crate) use devnet::{Devnet, DevnetLayers, EpochChoice};
pub(crate) use draw::{Draw, PromptsLayers, PromptsSettings};
pub(crate) use file::FileSettings;
pub(crate) use network::Network;
pub(crate) use score_local::{PromptsFrom, ScoreLocal, ScoreLocalLayers, TopP};
pub(crate) use seconds::Seconds;
pub(crate) use state::state_folder;
pub(crate) use validate::{LogFormat, Validate, ValidateLayers};
pub(crate) use values::{
    DeviceChoice, DtypeChoice, Format, Probability, ProfileChoice, PromptCount, SamplerChoice, Temperature, Threads,
    TokenLimit,
};
pub(crate) use verify::{Verify, VerifyLayers};

/// Where a setting's value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A flag on the command line.
    Flag(String),
    /// An environment variable.
    Environment(String),
    /// A settings file.
    File(PathBuf),
    /// Nobody set it.
    Default,
}

impl Origin {
    /// A short word for the layer, as records and JSON have it.
    pub(crate) fn layer(&self) -> &'static str {
        match self {
            Self::Flag(_) => "flag",
            Self::Environment(_) => "environment",
            Self::File(_) => "file",
            Self::Default => "default",
        }
    }

    /// The flag, variable or file, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Flag(name) | Self::Environment(name) => name.clone(),
            Self::File(path) => path.display().to_string(),
            Self::Default => "default".to_owned(),
        }
    }
}

/// One setting as `distil config show` lists it.
#[derive(Debug, Clone)]
pub(crate) struct SettingLine {
    /// The key: the flag's name, after the command's and a dot where it is a command's.
    pub(crate) key: String,
    /// The value; null where nothing is set and nothing is assumed.
    pub(crate) value: serde_json::Value,
    /// Where it came from.
    pub(crate) origin: Origin,
}

/// Lays the layers over each other, one setting at a time, and keeps a line for each.
#[derive(Debug)]
pub(crate) struct Layering<'a> {
    matches: &'a ArgMatches,
    file: &'a FileSettings,
    section: Option<&'static str>,
    lines: Vec<SettingLine>,
}

impl<'a> Layering<'a> {
    /// `section` is the command's name, or none for what all commands share.
    pub(crate) fn new(matches: &'a ArgMatches, file: &'a FileSettings, section: Option<&'static str>) -> Self {
        Self { matches, file, section, lines: Vec::new() }
    }

    /// The value of one setting: what was typed (flag or environment), else the file's, else `default`.
    ///
    /// `id` is the field's name, `flag` the flag's without its dashes.
    pub(crate) fn pick<T: Serialize>(
        &mut self,
        id: &str,
        flag: &str,
        typed: Option<T>,
        in_file: Option<T>,
        default: Option<T>,
    ) -> Option<T> {
        self.pick_or(id, flag, typed, in_file, default, Origin::Default)
    }

    /// As [`Layering::pick`], with a default that comes from somewhere.
    pub(crate) fn pick_or<T: Serialize>(
        &mut self,
        id: &str,
        flag: &str,
        typed: Option<T>,
        in_file: Option<T>,
        default: Option<T>,
        default_origin: Origin,
    ) -> Option<T> {
        let (value, origin) = if typed.is_some() {
            (typed, self.typed_origin(id, flag))
        } else if in_file.is_some() {
            (in_file, Origin::File(self.file.path().to_owned()))
        } else {
            (default, default_origin)
        };
        self.note(flag, &value, origin);
        value
    }

    /// Whether the typed value of a setting came from its environment variable.
    pub(crate) fn is_from_environment(&self, id: &str) -> bool {
        self.matches.value_source(id) == Some(ValueSource::EnvVariable)
    }

    fn typed_origin(&self, id: &str, flag: &str) -> Origin {
        if self.is_from_environment(id) {
            Origin::Environment(environment_variable(flag))
        } else {
            Origin::Flag(format!("--{flag}"))
        }
    }

    fn note(&mut self, flag: &str, value: &Option<impl Serialize>, origin: Origin) {
        let key = match self.section {
            Some(section) => format!("{section}.{flag}"),
            None => flag.to_owned(),
        };
        let value = serde_json::to_value(value).unwrap_or(serde_json::Value::Null);
        self.lines.push(SettingLine { key, value, origin });
    }

    /// All settings picked, in order.
    pub(crate) fn into_lines(self) -> Vec<SettingLine> {
        self.lines
    }
}

/// The environment variable of a flag: `DISTIL_` and the flag's name in capitals.
pub(crate) fn environment_variable(flag: &str) -> String {
    format!("DISTIL_{}", flag.to_uppercase().replace('-', "_"))
}

/// The error for a setting that nobody gave.
fn missing(section: &str, flag: &str, what: &str, value: &str) -> CommandError {
    let variable = environment_variable(flag);
    CommandError::usage(anyhow!("{what}")).with_hint(format!(
        "give {value} with --{flag}, in {variable}, or as `{flag}` under [{section}] in distil.toml"
    ))
}

/// One variable, several models: separated as in PATH.
fn several_in_one(given: &[String]) -> Vec<String> {
    given
        .iter()
        .flat_map(std::env::split_paths)
        .filter_map(|path| path.to_str().map(str::to_owned))
        .filter(|path| !path.is_empty())
        .collect()
}

/// The folder or repository that a model's name stands for.
fn model(role: &str, name: &str) -> Result<ModelRef, CommandError> {
    match ModelRef::parse(name, Path::is_dir) {
        Ok(ModelRef::Folder(folder)) if folder.is_dir() => Ok(ModelRef::Folder(folder)),
        Ok(hub @ ModelRef::Hub { .. }) => Ok(hub),
        Ok(_) | Err(_) if Path::new(name).exists() => Err(CommandError::usage(anyhow!("{role} {name}: not a folder"))
            .with_hint("give the folder that holds config.json, tokenizer.json and the safetensors files")),
        Ok(_) => Err(CommandError::usage(anyhow!("{role} {name}: no such folder"))),
        Err(error) => Err(CommandError::usage(anyhow!(error).context(format!("{role} {name}: no such folder")))
            .with_hint("give a folder, or owner/repo[@revision] on the Hugging Face Hub")),
    }
}

/// What every command heeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Common {
    /// How results are written.
    pub(crate) format: Format,
    /// No progress at all.
    pub(crate) quiet: bool,
    /// Progress as plain lines, even on a terminal.
    pub(crate) no_progress: bool,
}

impl Common {
    /// Decides what all commands share.
    pub(crate) fn resolve(args: &CommonArgs, matches: &ArgMatches, file: &FileSettings) -> (Self, Vec<SettingLine>) {
        let mut layers = Layering::new(matches, file, None);
        let common = Self {
            format: layers.pick("format", "format", args.format, file.format, Some(Format::Text)).unwrap_or_default(),
            quiet: layers.pick("quiet", "quiet", args.quiet, file.quiet, Some(false)).unwrap_or_default(),
            no_progress: layers
                .pick("no_progress", "no-progress", args.no_progress, file.no_progress, Some(false))
                .unwrap_or_default(),
        };
        (common, layers.into_lines())
    }
}

/// Reads the settings file: the one named, or `distil.toml` in the working directory where there is one.
pub(crate) fn read_file(named: Option<&Path>) -> Result<FileSettings, CommandError> {
    match named {
        Some(path) => FileSettings::read(path),
        None => {
            let path = Path::new("distil.toml");
            // Only its plain absence means "no settings": one that cannot be read is told.
            match path.try_exists() {
                Ok(false) => Ok(FileSettings::default()),
                _ => FileSettings::read(path),
            }
        }
    }
}
