//! One student's way through a run, and what becomes of it.

use distil_model::{ModelConfig, weights_digest};
use distil_scoring::{CopyTest, EarlyStop, EarlyStopAnswer, EarlyStopEvidence, ModelScore, PromptStatistics};

use super::{TeacherPass, load};
use crate::{
    EvalError, ModelIdentity, ModelSource, Phase, ScoreSettings, StudentOutcome, StudentReport, StudentStatus, Work,
    progress::Progress,
    student::{Next, score_student},
};

/// A student that is through, whatever became of it.
pub(super) struct Finished {
    pub(super) report: StudentReport,
    pub(super) outcome: StudentOutcome,
}

/// What a pass that came to an end says.
struct Pass {
    positions_kl_nats: Vec<Vec<f64>>,
    statistics: Vec<PromptStatistics>,
    copy_of: Option<String>,
    stopped: Option<EarlyStopEvidence>,
}

/// Loads, scores and drops one student. Whatever goes wrong with it stands in its report.
pub(super) fn one_student(
    teacher: &TeacherPass,
    student: usize,
    source: &ModelSource,
    name: String,
    settings: &ScoreSettings,
    earlier: &[Finished],
    progress: &mut Progress<'_>,
) -> Finished {
    let mut identity = None;
    let result = run_student(teacher, student, source, &name, settings, earlier, progress, &mut identity)
        .and_then(|pass| Ok((ModelScore::from_prompts(&pass.statistics)?, pass)));
    let blank = StudentReport {
        model: name,
        revision: source.revision.clone(),
        status: StudentStatus::Failed,
        kl: None,
        positions: 0,
        standard_error: None,
        prompts: Vec::new(),
        copy_of: None,
        reason: None,
    };
    match result {
        Ok((score, pass)) => {
            let done = pass.statistics.len();
            let mut reasons = Vec::new();
            if let Some(evidence) = &pass.stopped {
                reasons.push(format!(
                    "stopped after {done} prompts: its KL exceeds the reference's by more than {:.6} nats with a confidence of {}",
                    evidence.lower_bound, evidence.confidence
                ));
            }
            if score.standard_error.is_none() {
                reasons.push("one prompt gives no standard error".to_owned());
            }
            let status = match (&pass.copy_of, &pass.stopped) {
                (Some(_), _) => StudentStatus::FunctionalCopy,
                (None, Some(_)) => StudentStatus::EarlyStopped,
                (None, None) => StudentStatus::Scored,
            };
            Finished {
                report: StudentReport {
                    status,
                    kl: Some(score.kl),
                    positions: score.positions,
                    standard_error: score.standard_error,
                    prompts: pass.statistics,
                    copy_of: pass.copy_of,
                    reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
                    ..blank
                },
                outcome: StudentOutcome { identity, positions_kl_nats: pass.positions_kl_nats },
            }
        }
        Err(error) => Finished {
            report: StudentReport { reason: Some(without_host_path(&error.to_string(), source)), ..blank },
            outcome: StudentOutcome { identity, positions_kl_nats: Vec::new() },
        },
    }
}

#[expect(clippy::too_many_arguments, reason = "one call, one place; a struct would only name them twice")]
fn run_student(
    teacher: &TeacherPass,
    student: usize,
    source: &ModelSource,
    name: &str,
    settings: &ScoreSettings,
    earlier: &[Finished],
    progress: &mut Progress<'_>,
    identity: &mut Option<ModelIdentity>,
) -> Result<Pass, EvalError> {
    let pass = StudentPass { teacher, student, source, name, settings };
    let early_stop = if settings.early_stop { reference(earlier, settings) } else { None };
    let mut statistics: Vec<PromptStatistics> = Vec::new();
    let mut copy = CopySearch::Open;
    let mut stopped = None;
    let positions_kl_nats = student_pass(&pass, progress, &mut |found| *identity = Some(found), |done| {
        let newest = done.last().map(Vec::as_slice).unwrap_or_default();
        statistics.push(PromptStatistics::from_positions(newest)?);
        copy.look(done, earlier)?;
        // A copy is scored in full; what is not yet known to be none is not stopped.
        if let (CopySearch::None, Some(early_stop)) = (&copy, &early_stop)
            && let EarlyStopAnswer::Stop(evidence) = early_stop.judge(&statistics)?
        {
            stopped = Some(evidence);
            return Ok(Next::Stop);
        }
        Ok(Next::Continue)
    })?;
    let copy_of = match copy {
        CopySearch::Found(original) => Some(earlier[original].report.model.clone()),
        CopySearch::Open | CopySearch::None => None,
    };
    Ok(Pass { positions_kl_nats, statistics, copy_of, stopped })
}

/// Whom to score against what.
pub(crate) struct StudentPass<'a> {
    pub(crate) teacher: &'a TeacherPass,
    /// Place of the student in the request, for events.
    pub(crate) student: usize,
    pub(crate) source: &'a ModelSource,
    /// The student's name in the seconds of phases.
    pub(crate) name: &'a str,
    pub(crate) settings: &'a ScoreSettings,
}

/// Loads a student and scores it, prompt by prompt, in this process. Whoever scores a student, scores it here, so that
/// the numbers are the same everywhere.
///
/// `loaded` is told what the student is before it is scored; `after_prompt` is that of [`score_student`].
pub(crate) fn student_pass(
    pass: &StudentPass<'_>,
    progress: &mut Progress<'_>,
    loaded: &mut dyn FnMut(ModelIdentity),
    after_prompt: impl FnMut(&[Vec<f64>]) -> Result<Next, EvalError>,
) -> Result<Vec<Vec<f64>>, EvalError> {
    let StudentPass { teacher, student, source, name, settings } = *pass;
    // Before gigabytes are read for nothing.
    let (vocab_size, teacher_vocab_size) = (ModelConfig::load(&source.folder)?.vocab_size, teacher.head.vocab_size());
    if vocab_size != teacher_vocab_size {
        return Err(EvalError::VocabularySize { teacher: teacher_vocab_size, student: vocab_size });
    }
    let files = if settings.digest_weights {
        progress.phase(Phase::StudentDigest { student }, format!("digest.{name}"), Work::default(), |phase| {
            weights_digest(&source.folder, &mut |bytes| phase.read(bytes))
        })?
    } else {
        Vec::new()
    };
    let model = progress.phase(Phase::StudentLoad { student }, format!("load.{name}"), Work::default(), |phase| {
        load(source, settings, phase)
    })?;
    loaded(ModelIdentity { architecture: model.config().architecture.to_string(), files });
    let total = Work {
        tokens: teacher.cache.prompts.iter().map(|prompt| prompt.sequence.model_input().len() as u64).sum(),
        prompts: teacher.cache.prompts.len() as u64,
        bytes: 0,
    };
    progress.phase(Phase::StudentScore { student }, format!("score.{name}"), total, |phase| {
        let (cache, head) = (&teacher.cache, &teacher.head);
        score_student(&model, cache, head, settings.batch_tokens, settings.threads, phase, after_prompt)
    })
}

/// The early stop that the first eligible student steers: one that was scored on all prompts, is no copy, and has a
/// score above the floor.
fn reference(earlier: &[Finished], settings: &ScoreSettings) -> Option<EarlyStop> {
    earlier
        .iter()
        .filter(|finished| finished.report.status == StudentStatus::Scored)
        .find_map(|finished| EarlyStop::new(&settings.profile, finished.report.prompts.clone()).ok())
}

/// The search for the earlier student that this one is a functional copy of.
enum CopySearch {
    /// Not enough positions yet.
    Open,
    /// It is nobody's copy.
    None,
    /// It is a copy of this student, by place.
    Found(usize),
}

impl CopySearch {
    /// Compares the prompts done so far with every earlier student, until there is an answer.
    fn look(&mut self, done: &[Vec<f64>], earlier: &[Finished]) -> Result<(), EvalError> {
        if !matches!(self, Self::Open) {
            return Ok(());
        }
        let mut open = false;
        for (index, finished) in earlier.iter().enumerate() {
            let theirs = &finished.outcome.positions_kl_nats;
            if theirs.is_empty() {
                continue; // it failed
            }
            match CopyTest::new(theirs, done)? {
                CopyTest::Measured(evidence) if evidence.is_copy => {
                    *self = Self::Found(index);
                    return Ok(());
                }
                CopyTest::Measured(_) => {}
                CopyTest::NotEnough { .. } => open = true,
            }
        }
        if !open {
            *self = Self::None;
        }
        Ok(())
    }
}

/// A message without the folder a model lies in on this host: its name stands in for it.
pub(crate) fn without_host_path(message: &str, source: &ModelSource) -> String {
    let mut message = message.to_owned();
    let resolved = source.folder.canonicalize().ok();
    for folder in resolved.iter().chain([&source.folder]) {
        let folder = folder.to_string_lossy();
        let folder = folder.trim_end_matches('/');
        // A bare name tells nothing of the host, and might be a part of any word.
        if folder.contains(['/', '\\']) {
            message = message.replace(folder, &source.name);
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_does_not_tell_where_a_model_lies() {
        let said = |folder: &str, message: &str| {
            let source = ModelSource { name: "mine".to_owned(), revision: None, folder: folder.into() };
            without_host_path(message, &source)
        };
        let message = "cannot read /data/secret/mine/config.json: gone";
        assert_eq!(said("/data/secret/mine/", message), "cannot read mine/config.json: gone");
        assert_eq!(said("a", message), message);
        assert_eq!(said("/", message), message);
    }
}
