//! The settings of `distil score-local`.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::ArgMatches;
use distil_types::ModelRef;

use super::{
    DeviceChoice, DtypeChoice, FileSettings, Layering, Probability, SettingLine, Temperature, Threads, TokenLimit,
};
use crate::args::ScoreLocalArgs;
use crate::exit::CommandError;

/// What the layers together say. Something needed may still be missing; see [`ScoreLocalLayers::decide`].
#[derive(Debug)]
pub(crate) struct ScoreLocalLayers {
    teacher: Option<String>,
    students: Vec<String>,
    prompts: Option<PathBuf>,
    max_prompt_tokens: TokenLimit,
    max_new_tokens: TokenLimit,
    temperature: Option<Temperature>,
    top_p: Option<Probability>,
    seed: Option<u64>,
    device: DeviceChoice,
    dtype: DtypeChoice,
    threads: Threads,
    early_stop: bool,
    out: Option<PathBuf>,
    lines: Vec<SettingLine>,
}

/// All that `distil score-local` is told, complete and in range.
#[derive(Debug)]
pub(crate) struct ScoreLocal {
    /// The teacher's folder.
    pub(crate) teacher: PathBuf,
    /// The students' folders, at least one.
    pub(crate) students: Vec<PathBuf>,
    /// The file of prompts.
    pub(crate) prompts: PathBuf,
    /// Prompts are cut to this many tokens.
    pub(crate) max_prompt_tokens: usize,
    /// The teacher continues a prompt by up to this many tokens.
    pub(crate) max_new_tokens: usize,
    /// How the teacher picks tokens; none is greedy.
    pub(crate) sampling: Option<TopP>,
    /// Where to compute.
    pub(crate) device: DeviceChoice,
    /// What to compute in.
    pub(crate) dtype: DtypeChoice,
    /// Threads to compute with.
    pub(crate) threads: Threads,
    /// Whether a student that trails the first one stops early.
    pub(crate) early_stop: bool,
    /// Where a record and a report are written.
    pub(crate) out: Option<PathBuf>,
    /// The settings that bear on the figures, for the record: no paths among them.
    pub(crate) recorded: Vec<SettingLine>,
}

/// Sampling from the smallest set of most likely tokens that holds a share of the probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TopP {
    /// Temperature, above 0.
    pub(crate) temperature: f64,
    /// The share, above 0 and up to 1.
    pub(crate) top_p: f64,
    /// Seed of the draws.
    pub(crate) seed: u64,
}

const SECTION: &str = "score-local";

/// Settings that name places on this machine: shown by `distil config show`, kept out of records.
const PLACES: [&str; 4] = ["teacher", "student", "prompts", "out"];

impl ScoreLocalLayers {
    /// Lays flags and environment over the file over the defaults.
    pub(crate) fn resolve(args: &ScoreLocalArgs, matches: &ArgMatches, file: &FileSettings) -> Self {
        let table = &file.score_local;
        let mut layers = Layering::new(matches, file, Some(SECTION));
        let mut students = args.students.clone();
        if layers.is_from_environment("students") {
            // One variable, several folders: separated as in PATH.
            students = students.map(|given| {
                given
                    .iter()
                    .flat_map(std::env::split_paths)
                    .filter_map(|path| path.to_str().map(str::to_owned))
                    .filter(|path| !path.is_empty())
                    .collect()
            });
        }
        let teacher = layers.pick("teacher", "teacher", args.teacher.clone(), table.teacher.clone(), None);
        let students = layers.pick("students", "student", students, table.student.clone(), None).unwrap_or_default();
        let prompts = layers.pick("prompts", "prompts", args.prompts.clone(), table.prompts.clone(), None);
        let prompt_limit = TokenLimit::literal(1024);
        let max_prompt_tokens = layers
            .pick(
                "max_prompt_tokens",
                "max-prompt-tokens",
                args.max_prompt_tokens,
                table.max_prompt_tokens,
                Some(prompt_limit),
            )
            .unwrap_or(prompt_limit);
        let new_limit = TokenLimit::literal(512);
        let max_new_tokens = layers
            .pick("max_new_tokens", "max-new-tokens", args.max_new_tokens, table.max_new_tokens, Some(new_limit))
            .unwrap_or(new_limit);
        let temperature = layers.pick("temperature", "temperature", args.temperature, table.temperature, None);
        // Greedy continuations have neither of these.
        let sampled = temperature.is_some();
        let top_p = layers.pick("top_p", "top-p", args.top_p, table.top_p, sampled.then_some(Probability::ONE));
        let seed = layers.pick("seed", "seed", args.seed, table.seed, sampled.then_some(0));
        let device = layers
            .pick("device", "device", args.device, table.device, Some(DeviceChoice::Cpu))
            .unwrap_or(DeviceChoice::Cpu);
        let usual_dtype = match device {
            DeviceChoice::Cpu => DtypeChoice::F32,
            DeviceChoice::Cuda(_) => DtypeChoice::Bf16,
        };
        let dtype = layers.pick("dtype", "dtype", args.dtype, table.dtype, Some(usual_dtype)).unwrap_or(usual_dtype);
        let (usual_threads, threads_origin) = Threads::usual();
        let threads = layers
            .pick_or("threads", "threads", args.threads, table.threads, Some(usual_threads), threads_origin)
            .unwrap_or(usual_threads);
        let early_stop =
            layers.pick("early_stop", "early-stop", args.early_stop, table.early_stop, Some(false)).unwrap_or_default();
        let out = layers.pick("out", "out", args.out.clone(), table.out.clone(), None);
        Self {
            teacher,
            students,
            prompts,
            max_prompt_tokens,
            max_new_tokens,
            temperature,
            top_p,
            seed,
            device,
            dtype,
            threads,
            early_stop,
            out,
            lines: layers.into_lines(),
        }
    }

    /// Each setting with its origin.
    pub(crate) fn lines(&self) -> &[SettingLine] {
        &self.lines
    }

    /// Checks that nothing is missing and that models are folders.
    ///
    /// # Errors
    ///
    /// A usage error that names the setting and the ways to give it.
    pub(crate) fn decide(self) -> Result<ScoreLocal, CommandError> {
        let teacher =
            self.teacher.ok_or_else(|| missing("teacher", "no teacher to learn from", "the folder of a model"))?;
        if self.students.is_empty() {
            return Err(missing("student", "no student to score", "the folder of a model"));
        }
        let prompts = self
            .prompts
            .ok_or_else(|| missing("prompts", "no prompts to score on", "a .json file with a list of strings"))?;
        let sampling = match (self.temperature, self.top_p, self.seed) {
            (Some(temperature), top_p, seed) => Some(TopP {
                temperature: temperature.into(),
                top_p: top_p.unwrap_or(Probability::ONE).into(),
                seed: seed.unwrap_or_default(),
            }),
            (None, None, None) => None,
            (None, top_p, _) => {
                let idle = if top_p.is_some() { "top-p" } else { "seed" };
                return Err(CommandError::usage(anyhow!("{idle} has no effect on greedy continuations"))
                    .with_hint("give a temperature, too (--temperature 0.7), or leave it out"));
            }
        };
        let recorded = self
            .lines
            .into_iter()
            .filter_map(|line| {
                let key = line.key.strip_prefix(SECTION)?.strip_prefix('.')?;
                (!PLACES.contains(&key)).then(|| SettingLine { key: key.replace('-', "_"), ..line })
            })
            .collect();
        Ok(ScoreLocal {
            teacher: model_folder("teacher", &teacher)?,
            students: self.students.iter().map(|student| model_folder("student", student)).collect::<Result<_, _>>()?,
            prompts,
            max_prompt_tokens: self.max_prompt_tokens.get(),
            max_new_tokens: self.max_new_tokens.get(),
            sampling,
            device: self.device,
            dtype: self.dtype,
            threads: self.threads,
            early_stop: self.early_stop,
            out: self.out,
            recorded,
        })
    }
}

/// The error for a setting that nobody gave.
fn missing(flag: &str, what: &str, value: &str) -> CommandError {
    let variable = super::environment_variable(flag);
    CommandError::usage(anyhow!("{what}")).with_hint(format!(
        "give {value} with --{flag}, in {variable}, or as `{flag}` under [{SECTION}] in distil.toml"
    ))
}

/// The folder that a model's name stands for.
fn model_folder(role: &str, name: &str) -> Result<PathBuf, CommandError> {
    match ModelRef::parse(name, Path::is_dir) {
        Ok(ModelRef::Folder(folder)) if folder.is_dir() => Ok(folder),
        Ok(ModelRef::Hub { repo, revision }) => {
            let pin = revision.map(|revision| format!(" --revision {revision}")).unwrap_or_default();
            let target = repo.to_string();
            let target = target.rsplit('/').next().unwrap_or_default();
            Err(CommandError::usage(anyhow!(
                "{role} {name}: no such folder, and models of the Hugging Face Hub are not fetched by this release"
            ))
            .with_hint(format!(
                "download it first (hf download {repo}{pin} --local-dir {target}), then give the folder"
            )))
        }
        Ok(_) | Err(_) if Path::new(name).exists() => Err(CommandError::usage(anyhow!("{role} {name}: not a folder"))
            .with_hint("give the folder that holds config.json, tokenizer.json and the safetensors files")),
        Ok(_) | Err(_) => Err(CommandError::usage(anyhow!("{role} {name}: no such folder"))),
    }
}
