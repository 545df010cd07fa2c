//! `distil score-local`: how far students are from their teacher, measured on this machine.

mod out_folder;
mod table;

use std::io::Write;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use distil_dataset::Drawn;
use distil_eval::record::{self, RecordedSetting, RecordedSettings, RunEnvironment};
use distil_eval::{
    EvalError, Event, ModelSource, Phase, Prompt, ScoreOutcome, ScoreReport, ScoreRequest, ScoreSettings, StudentStatus,
};
use distil_model::Sampling;
use serde::Serialize;

use crate::compute;
use crate::draw;
use crate::exit::{CommandError, ExitStatus};
use crate::hub::HubAccess;
use crate::models::{TOKENIZER_FILES, bring};
use crate::numbers;
use crate::output::{OutputError, write_json};
use crate::progress::Progress;
use crate::prompts;
use crate::report;
use crate::settings::{Common, Format, Origin, PromptsFrom, ScoreLocal, SettingLine, TopP};

/// Documents read at the same time while prompts are drawn: waiting for the network, not computing.
const DRAW_THREADS: usize = 8;

/// Scores the students; writes the result to `out` and progress to `progress_out`.
///
/// The status is [`ExitStatus::AnswerIsNo`] when no student could be scored.
pub(crate) fn run(
    settings: &ScoreLocal,
    common: Common,
    out: &mut dyn Write,
    progress_out: &mut dyn Write,
) -> Result<ExitStatus, OutputError> {
    // All that can be refused is refused before the hours begin.
    let given = match &settings.prompts {
        PromptsFrom::File(file) => Some(Prompt::numbered(prompts::read(file)?)),
        PromptsFrom::Draw(_) => None,
    };
    if let Some(folder) = &settings.out {
        out_folder::check(folder)?;
    }
    compute::use_threads(settings.threads)?;
    let access = HubAccess::default();
    let mut recorded = settings.recorded.clone();
    let prompts = match (&settings.prompts, given) {
        (PromptsFrom::Draw(draw), _) => {
            let drawn = draw::draw(draw, DRAW_THREADS, &access, common, progress_out)?;
            note_source(&drawn, &settings.source_origin, &mut recorded);
            drawn.prompts.into_iter().map(|prompt| Prompt { id: prompt.id, text: prompt.text }).collect()
        }
        (PromptsFrom::File(_), given) => given.unwrap_or_default(),
    };
    let models = models(settings, &access, common, progress_out)?;
    let request = request(settings, models, prompts)?;

    let names: Vec<&str> = request.students.iter().map(|student| student.name.as_str()).collect();
    let mut speeds: Vec<Option<f64>> = vec![None; names.len()];
    let mut progress = Progress::new(common, &names, progress_out);
    let started = Instant::now();
    let outcome = distil_eval::score(&request, &|| started.elapsed(), &mut |event| {
        note_speed(&event, &mut speeds);
        progress.show(&event);
    })
    .map_err(run_error)?;

    // The result is printed whether the folder can be written or not: it took long enough to find out.
    let written = match &settings.out {
        Some(folder) => write_out(folder, &recorded, &request, &outcome, &speeds),
        None => Ok(()),
    };
    print(&outcome.report, &speeds, common.format, out)?;
    written?;
    let scored = outcome.report.students.iter().any(|student| student.status != StudentStatus::Failed);
    Ok(if scored { ExitStatus::Done } else { ExitStatus::AnswerIsNo })
}

/// Teacher and students, in this order, on this machine.
fn models(
    settings: &ScoreLocal,
    access: &HubAccess,
    common: Common,
    progress_out: &mut dyn Write,
) -> Result<Vec<ModelSource>, CommandError> {
    let mut located = vec![bring(&settings.teacher, &TOKENIZER_FILES, access, common, progress_out)?];
    for student in &settings.students {
        located.push(bring(student, &[], access, common, progress_out)?);
    }
    // Folders are named together, so that teacher and students never share a name by accident.
    let folders = located.iter().filter(|files| files.origin.is_none()).map(|files| &files.folder);
    let mut named = ModelSource::name_folders(folders).into_iter();
    let models = located.iter().filter_map(|files| match &files.origin {
        None => named.next(),
        Some((repo, revision)) => Some(ModelSource {
            name: repo.to_string(),
            revision: Some(revision.to_string()),
            folder: files.folder.clone(),
        }),
    });
    Ok(models.collect())
}

/// Adds the corpus to what is recorded where everyone can get it; a path says nothing to others.
fn note_source(drawn: &Drawn, origin: &Origin, recorded: &mut Vec<SettingLine>) {
    if drawn.source.starts_with("hub:") {
        let (key, value, origin) = ("source".to_owned(), drawn.source.clone().into(), origin.clone());
        recorded.push(SettingLine { key, value, origin });
    }
}

fn request(
    settings: &ScoreLocal,
    mut models: Vec<ModelSource>,
    prompts: Vec<Prompt>,
) -> Result<ScoreRequest, CommandError> {
    let threads = NonZeroUsize::new(settings.threads.get()).unwrap_or(NonZeroUsize::MIN);
    let teacher = models.remove(0);
    Ok(ScoreRequest {
        teacher,
        students: models,
        prompts,
        settings: ScoreSettings {
            max_prompt_tokens: settings.max_prompt_tokens,
            max_new_tokens: settings.max_new_tokens,
            sampling: settings.sampling.map_or(Sampling::Greedy, sampling),
            early_stop: settings.early_stop,
            device: compute::device(settings.device)?,
            dtype: compute::dtype(settings.dtype),
            digest_weights: settings.out.is_some(),
            ..ScoreSettings::cpu(threads)
        },
    })
}

/// The seed's number in little-endian bytes, then zeros.
fn sampling(choice: TopP) -> Sampling {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&choice.seed.to_le_bytes());
    Sampling::TopP { temperature: choice.temperature, top_p: choice.top_p, seed }
}

/// Keeps the speed of a student's pass, in tokens of prompts and continuations per second.
fn note_speed(event: &Event, speeds: &mut [Option<f64>]) {
    if let Event::PhaseFinished { phase: Phase::StudentScore { student }, done, elapsed } = event
        && let Some(speed) = speeds.get_mut(*student)
    {
        *speed = numbers::rate(done.tokens, *elapsed);
    }
}

/// What the end of a run means to the caller.
fn run_error(error: EvalError) -> CommandError {
    match error {
        EvalError::NoPrompts
        | EvalError::NoStudents
        | EvalError::EmptyPrompt { .. }
        | EvalError::PromptWithoutTokens { .. }
        | EvalError::Setting { .. } => CommandError::usage(error),
        EvalError::Teacher { .. }
        | EvalError::TokenOutsideVocabulary { .. }
        | EvalError::NoContinuation { .. }
        | EvalError::TeacherNotFinite { .. }
        | EvalError::Read { .. } => CommandError::usage(error)
            .with_hint("without a teacher nothing can be scored; check its folder, or fetch it again"),
        EvalError::Write { .. } => CommandError::try_again(error),
        other => CommandError::ours(other),
    }
}

fn write_out(
    folder: &std::path::Path,
    settings: &[SettingLine],
    request: &ScoreRequest,
    outcome: &ScoreOutcome,
    speeds: &[Option<f64>],
) -> Result<(), CommandError> {
    let recorded: RecordedSettings = settings
        .iter()
        .map(|line| {
            let setting = RecordedSetting { value: line.value.clone(), origin: line.origin.layer().to_owned() };
            (line.key.clone(), setting)
        })
        .collect();
    let environment = RunEnvironment::of(&request.settings, "distil", env!("CARGO_PKG_VERSION"));
    let mut files = record::files(outcome, &recorded, &environment)
        .context("cannot put the record together")
        .map_err(CommandError::ours)?;
    let page = report::render(request, outcome, settings, &environment, speeds)
        .context("cannot make the report")
        .map_err(CommandError::ours)?;
    files.push((out_folder::REPORT.to_owned(), page.into_bytes()));
    record::write_folder(folder, &files)
        .context("the students are scored, but the record could not be written")
        .map_err(|error| {
            CommandError::try_again(error).with_hint("make room, or give another folder with --out, and run again")
        })
}

/// The report as `--format json` prints it.
#[derive(Debug, Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a ScoreReport,
    /// Why `peak_rss_bytes` is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_rss_reason: Option<&'static str>,
}

fn print(report: &ScoreReport, speeds: &[Option<f64>], format: Format, out: &mut dyn Write) -> Result<(), OutputError> {
    match format {
        Format::Json => {
            let peak_rss_reason = report.peak_rss_bytes.is_none().then_some("this system does not tell it");
            write_json(out, &Document { report, peak_rss_reason })
        }
        Format::Text => {
            out.write_all(table::render(report, speeds)?.as_bytes())?;
            out.flush()?;
            Ok(())
        }
    }
}

/// A sum of all phases that took time, for the table and the page.
pub(crate) fn total_time(report: &ScoreReport) -> Result<Duration, CommandError> {
    Duration::try_from_secs_f64(report.seconds.values().sum())
        .map_err(|error| CommandError::ours(anyhow!(error).context("the phases' times cannot be added up")))
}
