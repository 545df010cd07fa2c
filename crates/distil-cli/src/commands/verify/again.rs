//! What a record says, computed again: the prompts from their source, the scores from the models.

use std::io::Write;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use anyhow::anyhow;
use distil_dataset::{Corpus, DrawRequest, Sampler};
use distil_eval::worker::{CacheKey, ModelLocation, StudentRequest, TeacherPrompts, TeacherRequest, WorkerError};
use distil_eval::{GenerationRules, ScoredPrompt, TokenSequence};
use distil_model::Sampling;
use distil_scoring::{PromptStatistics, StudentResult};
use distil_validator::record::{Problem, RoundRecord, Verification};

use crate::commands::validate::wiring;
use crate::draw::{dataset_error, source};
use crate::exit::CommandError;
use crate::hub::HubAccess;
use crate::settings::{Common, Verify};
use crate::text::visible;

/// Models give the same numbers on other machines within this, relative to the larger.
const TOLERANCE: f64 = 1e-6;

/// Draws the prompts from the block's hash and compares them.
pub(super) fn draw(
    record: &RoundRecord,
    settings: &Verify,
    common: Common,
    notes: &mut dyn Write,
    found: &mut Verification,
) -> Result<(), CommandError> {
    let plan = &record.plan;
    let recorded = &plan.settings().source;
    let text = match &settings.source {
        Some(given) => given,
        None if recorded.starts_with("hub:") => recorded,
        None => {
            if !common.quiet {
                let _ = writeln!(
                    notes,
                    "the prompts were not drawn again: they are from {}, a place on the validator's host; give it with --source",
                    visible(recorded)
                );
            }
            return Ok(());
        }
    };
    let access = HubAccess::default();
    let source = source(text, &access, common, notes)?;
    let hub = access.get()?.clone();
    let corpus = Corpus::open(&source, || Ok(hub), settings.cache.as_deref()).map_err(dataset_error)?;
    let request = DrawRequest {
        netuid: plan.settings().netuid,
        block: plan.block(),
        count: plan.settings().prompts,
        sampler: Sampler::Distil,
    };
    let threads = NonZeroUsize::new(settings.threads.get()).unwrap_or(NonZeroUsize::MIN);
    let drawn = corpus.draw(&request, threads, &|_| {}).map_err(dataset_error)?;
    let mut problems = Vec::new();
    for (index, (drawn, recorded)) in drawn.prompts.iter().zip(&record.prompts).enumerate() {
        if (&drawn.id, &drawn.text) != (&recorded.id, &recorded.text) {
            problems.push(Problem {
                place: format!("prompts[{index}]"),
                problem: format!("the block's hash draws {}, and another text or place is recorded", drawn.id),
            });
        }
    }
    found.add("the prompts are those that the block's hash draws from the source", problems);
    Ok(())
}

/// Scores the models again, on the recorded tokens.
pub(super) fn rescore(
    record: &RoundRecord,
    settings: &Verify,
    common: Common,
    notes: &mut dyn Write,
    found: &mut Verification,
) -> Result<(), CommandError> {
    let plan = &record.plan;
    let worker = wiring::worker(settings.worker.as_deref())?;
    let pass = wiring::pass(settings.device, settings.dtype, settings.threads);
    let prompts = record
        .prompts
        .iter()
        .enumerate()
        .map(|(index, prompt)| {
            let sequence = TokenSequence::new(index, &prompt.prompt_tokens, &prompt.continuation_tokens)?;
            Ok(ScoredPrompt { id: prompt.id.clone(), text: prompt.text.clone(), sequence })
        })
        .collect::<Result<Vec<_>, distil_eval::EvalError>>()
        .map_err(CommandError::usage)?;
    let positions: Vec<usize> = prompts.iter().map(|prompt| prompt.sequence.continuation().len()).collect();
    let cache_key: CacheKey =
        format!("verify-{}", plan.id()).parse().map_err(|error| CommandError::ours(anyhow!("{error}")))?;
    let request = TeacherRequest {
        model: ModelLocation::hub(plan.settings().teacher.clone(), plan.settings().teacher_revision),
        cache_key,
        prompts: TeacherPrompts::Recorded(prompts),
        // Nothing is generated; these bound what is taken.
        generation: GenerationRules {
            max_prompt_tokens: plan.settings().max_prompt_tokens,
            max_new_tokens: plan.settings().max_new_tokens,
            sampling: Sampling::Greedy,
        },
        settings: pass.clone(),
    };
    let mut say = |text: String| {
        if !common.quiet {
            let _ = writeln!(notes, "{}", visible(&text));
        }
    };
    say(format!("the teacher {} runs over the recorded tokens", plan.settings().teacher));
    let teacher = worker.teacher_pass(&request, &mut |_| {}).map_err(worker_error)?;
    let mut problems = Vec::new();
    for (index, student) in record.students.iter().enumerate() {
        let prompts = match &student.run.result {
            StudentResult::Completed { prompts }
            | StudentResult::EarlyStopped { prompts, .. }
            | StudentResult::Copied { prompts, .. } => prompts,
            StudentResult::Failed(_) | StudentResult::Interrupted { .. } => continue,
        };
        say(format!("{} is scored again", student.commitment));
        let request = StudentRequest {
            model: ModelLocation::hub(student.commitment.model.clone(), student.commitment.revision),
            teacher_cache: teacher.cache.clone(),
            positions: positions.clone(),
            settings: pass.clone(),
        };
        let wanted = prompts.len();
        let mut look = |prompt: usize, _: &[f64]| {
            if prompt + 1 == wanted && wanted < positions.len() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let place = |what: String| format!("students[{index}]{what}");
        let scored = match worker.score_student(&request, &mut look, &mut |_| {}) {
            Ok(scored) => scored,
            Err(WorkerError::Model { reason, .. }) => {
                problems.push(Problem {
                    place: place(String::new()),
                    problem: format!("it could not be scored: {reason}"),
                });
                continue;
            }
            Err(error) => return Err(worker_error(error)),
        };
        for (prompt, (kl_nats, recorded)) in scored.positions_kl_nats.iter().zip(prompts).enumerate() {
            let Ok(again) = PromptStatistics::from_positions(kl_nats) else { continue };
            let (ours, theirs) = (again.mean, recorded.mean);
            if (ours - theirs).abs() > TOLERANCE * ours.abs().max(theirs.abs()).max(1e-3) {
                problems.push(Problem {
                    place: place(format!(".run.prompts[{prompt}].mean")),
                    problem: format!("it is {theirs}, the models give {ours}"),
                });
            }
        }
    }
    found.add("the models give the recorded scores on the recorded tokens", problems);
    Ok(())
}

fn worker_error(error: WorkerError) -> CommandError {
    if error.is_transient() { CommandError::try_again(error) } else { CommandError::usage(error) }
}
