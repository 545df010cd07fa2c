//! The settings of `distil score-local`.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::ArgMatches;
use distil_types::ModelRef;

use super::draw::{Draw, DrawLayers};
use super::{
    DeviceChoice, DtypeChoice, FileSettings, Layering, Origin, Probability, SettingLine, Temperature, Threads,
    TokenLimit, missing, model, several_in_one,
};
use crate::args::ScoreLocalArgs;
use crate::exit::CommandError;

/// What the layers together say. Something needed may still be missing; see [`ScoreLocalLayers::decide`].
#[derive(Debug)]
pub(crate) struct ScoreLocalLayers {
    teacher: Option<String>,
    students: Vec<String>,
    prompts: Option<PathBuf>,
    draw: DrawLayers,
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
    /// The teacher.
    pub(crate) teacher: ModelRef,
    /// The students, at least one.
    pub(crate) students: Vec<ModelRef>,
    /// Where the prompts come from.
    pub(crate) prompts: PromptsFrom,
    /// Who said what they are drawn from.
    pub(crate) source_origin: Origin,
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

/// Where prompts come from.
#[derive(Debug)]
pub(crate) enum PromptsFrom {
    /// A file with a list of them.
    File(PathBuf),
    /// Drawn by a block.
    Draw(Draw),
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
const PLACES: [&str; 6] = ["teacher", "student", "prompts", "source", "cache", "out"];

/// Settings of a draw: of no account where prompts come from a file.
const DRAW: [&str; 5] = ["block", "block-hash", "count", "sampler", "netuid"];

impl ScoreLocalLayers {
    /// Lays flags and environment over the file over the defaults.
    pub(crate) fn resolve(args: &ScoreLocalArgs, matches: &ArgMatches, file: &FileSettings) -> Self {
        let table = &file.score_local;
        let mut layers = Layering::new(matches, file, Some(SECTION));
        let mut students = args.students.clone();
        if layers.is_from_environment("students") {
            students = students.map(|given| several_in_one(&given));
        }
        let teacher = layers.pick("teacher", "teacher", args.teacher.clone(), table.teacher.clone(), None);
        let students = layers.pick("students", "student", students, table.student.clone(), None).unwrap_or_default();
        let prompts = layers.pick("prompts", "prompts", args.prompts.clone(), table.prompts.clone(), None);
        let draw = DrawLayers::resolve(&mut layers, &args.draw, table.draw());
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
            draw,
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

    /// Checks that nothing is missing and that models are folders or repositories.
    ///
    /// # Errors
    ///
    /// A usage error that names the setting and the ways to give it.
    pub(crate) fn decide(self) -> Result<ScoreLocal, CommandError> {
        let teacher = self
            .teacher
            .ok_or_else(|| missing(SECTION, "teacher", "no teacher to learn from", "a folder or owner/repo"))?;
        if self.students.is_empty() {
            return Err(missing(SECTION, "student", "no student to score", "a folder or owner/repo"));
        }
        let prompts = match (self.prompts, self.draw.is_asked_for()) {
            (Some(_), Some(flag)) => {
                return Err(CommandError::usage(anyhow!("prompts are given, and {flag} asks to draw others"))
                    .with_hint(
                        "give a file of prompts with --prompts, or draw them with --source, --block and --block-hash",
                    ));
            }
            (Some(file), None) => PromptsFrom::File(file),
            (None, Some(_)) => PromptsFrom::Draw(self.draw.decide(SECTION)?),
            (None, None) => {
                let value = "a .json file with a list of strings (or draw some: --source, --block, --block-hash)";
                return Err(missing(SECTION, "prompts", "no prompts to score on", value));
            }
        };
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
        let source_key = format!("{SECTION}.source");
        let source_line = self.lines.iter().find(|line| line.key == source_key);
        let source_origin = source_line.map_or(Origin::Default, |line| line.origin.clone());
        let is_drawn = matches!(prompts, PromptsFrom::Draw(_));
        let recorded = self
            .lines
            .into_iter()
            .filter_map(|line| {
                let key = line.key.strip_prefix(SECTION)?.strip_prefix('.')?;
                (!PLACES.contains(&key) && (is_drawn || !DRAW.contains(&key)))
                    .then(|| SettingLine { key: key.replace('-', "_"), ..line })
            })
            .collect();
        Ok(ScoreLocal {
            teacher: model("teacher", &teacher)?,
            students: self.students.iter().map(|student| model("student", student)).collect::<Result<_, _>>()?,
            prompts,
            source_origin,
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
