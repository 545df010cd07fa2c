//! What a record says, computed again: the prompts from their source, the scores from the models.

use std::io::Write;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use anyhow::anyhow;
use distil_dataset::{Corpus, DrawRequest, Sampler};
use distil_eval::worker::{
    Blame, CacheKey, ModelLocation, StudentRequest, TeacherPrompts, TeacherRequest, WorkerError,
};
use distil_eval::{GenerationRules, ScoredPrompt, TokenSequence};
use distil_model::Sampling;
use distil_scoring::{PromptStatistics, StudentResult};
use distil_validator::record::{Problem, RoundRecord, Verification, compare_loaded};

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
            let reason = format!(
                "they are from {recorded}, a place on the validator's host; give it with --source to draw them again"
            );
            found.leave("prompts", reason);
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
    let teacher = worker.teacher_pass(&request, &mut |_| {}).map_err(teacher_error)?;
    let mut files = compare_loaded("teacher", &record.teacher, &teacher.teacher.model);
    if record.teacher["tokenizer_digest"] != teacher.teacher.tokenizer_digest.as_str() {
        let problem = "it is not that of the teacher's tokenizer".to_owned();
        files.push(Problem { place: "teacher.tokenizer_digest".to_owned(), problem });
    }
    let (mut problems, mut scored_again) = (Vec::new(), 0);
    for (index, student) in record.students.iter().enumerate() {
        let place = |what: &str| format!("students[{index}]{what}");
        let prompts = match scored(&student.run.result) {
            Ok(prompts) => prompts,
            Err(reason) => {
                found.leave(place(""), reason);
                continue;
            }
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
        let scored = match worker.score_student(&request, &mut look, &mut |_| {}) {
            Ok(scored) => scored,
            Err(error) => match of_student(error)? {
                Unscored::Problem(problem) => {
                    problems.push(Problem { place: place(""), problem });
                    continue;
                }
                Unscored::NotChecked(reason) => {
                    found.leave(place(""), reason);
                    continue;
                }
            },
        };
        scored_again += 1;
        match &student.loaded {
            Some(loaded) => files.extend(compare_loaded(&place(".loaded"), loaded, &scored.identity)),
            None => found.leave(place(".loaded"), "the record does not say which files were loaded"),
        }
        if scored.positions_kl_nats.len() != prompts.len() {
            let (ours, theirs) = (scored.positions_kl_nats.len(), prompts.len());
            let problem = format!("they are {theirs}, the models give {ours}");
            problems.push(Problem { place: place(".run.prompts"), problem });
        }
        for (prompt, (kl_nats, recorded)) in scored.positions_kl_nats.iter().zip(prompts).enumerate() {
            let place = place(&format!(".run.prompts[{prompt}].mean"));
            let ours = match PromptStatistics::from_positions(kl_nats) {
                Ok(again) => again.mean,
                Err(error) => {
                    problems.push(Problem { place, problem: format!("the models give no mean: {error}") });
                    continue;
                }
            };
            let theirs = recorded.mean;
            if (ours - theirs).abs() > TOLERANCE * ours.abs().max(theirs.abs()).max(1e-3) {
                problems.push(Problem { place, problem: format!("it is {theirs}, the models give {ours}") });
            }
        }
    }
    found.add("the files that are loaded are those recorded", files);
    if scored_again > 0 || !problems.is_empty() {
        found.add("the models give the recorded scores on the recorded tokens", problems);
    }
    Ok(())
}

/// The prompts of a result that can be scored again, or why there are none.
fn scored(result: &StudentResult) -> Result<&[PromptStatistics], String> {
    match result {
        StudentResult::Completed { prompts }
        | StudentResult::EarlyStopped { prompts, .. }
        | StudentResult::Copied { prompts, .. } => Ok(prompts),
        StudentResult::Failed(failure) => Err(format!("it has no score, since it failed: {}", failure.reason)),
        StudentResult::Interrupted { reason } => Err(format!("it has no score, since it was interrupted: {reason}")),
    }
}

/// A student that gave no numbers now, though the record has some.
#[derive(Debug, PartialEq, Eq)]
enum Unscored {
    /// The model itself does not run.
    Problem(String),
    /// It cannot be had any more, which says nothing of the record.
    NotChecked(String),
}

fn of_student(error: WorkerError) -> Result<Unscored, CommandError> {
    match error.blame() {
        Blame::Model => Ok(Unscored::Problem(format!("it could not be scored: {error}"))),
        Blame::Repository => Ok(Unscored::NotChecked(format!("it cannot be loaded any more: {error}"))),
        _ => Err(worker_error(error)),
    }
}

/// The teacher of a round ran on the validator's worker: one that does not run here is this host's trouble, or ours.
fn teacher_error(error: WorkerError) -> CommandError {
    match error.blame() {
        Blame::Model => CommandError::ours(anyhow!(error).context("the teacher could not be run")),
        _ => worker_error(error),
    }
}

fn worker_error(error: WorkerError) -> CommandError {
    if error.is_transient() { CommandError::try_again(error) } else { CommandError::usage(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::ExitStatus;
    use distil_eval::worker::{Ending, Stage};
    use distil_scoring::{Failure, FailureKind};

    #[test]
    fn a_model_that_does_not_run_is_an_answer_and_a_worker_that_does_not_is_none() {
        let stage = Some(Stage::Score);
        for error in [
            WorkerError::Model { reason: "a tensor is missing".to_owned() },
            WorkerError::Crashed { ending: Ending::Signal(11), stage },
            WorkerError::Garbage { problem: "it is not JSON".to_owned(), stage },
        ] {
            let said = error.to_string();
            assert_eq!(teacher_error(error.clone()).status(), ExitStatus::OurFault, "{said}");
            match of_student(error) {
                Ok(Unscored::Problem(problem)) => assert!(problem.contains(&said), "{problem}"),
                other => panic!("{said}: {other:?}"),
            }
        }
        let absent = || WorkerError::Absent { reason: "404".to_owned() };
        assert!(matches!(of_student(absent()), Ok(Unscored::NotChecked(reason)) if reason.contains("404")));
        assert_eq!(teacher_error(absent()).status(), ExitStatus::Usage);
        for error in [WorkerError::Connection, WorkerError::Crashed { ending: Ending::Signal(15), stage }] {
            assert_eq!(of_student(error.clone()).unwrap_err().status(), ExitStatus::TryAgain);
            assert_eq!(teacher_error(error).status(), ExitStatus::TryAgain);
        }
    }

    #[test]
    fn what_has_no_score_says_why() {
        let failure = Failure { kind: FailureKind::Crash, reason: "signal 11".to_owned(), known_good_passed: false };
        assert!(scored(&StudentResult::Failed(failure)).unwrap_err().contains("signal 11"));
        let interrupted = StudentResult::Interrupted { reason: "the Hub is away".to_owned() };
        assert!(scored(&interrupted).unwrap_err().contains("the Hub is away"));
        assert_eq!(scored(&StudentResult::Completed { prompts: Vec::new() }), Ok(&[][..]));
    }
}
