//! A round that has begun: the teacher's pass, then one pass a student, each in the store as soon as it is done.

use crate::compare::{Files, NotCompared, difference};
use crate::events::{Event, StudentEnd};
use crate::stored::{Details, cache_of, environment_json, model_json, scored_prompts, teacher_json, teacher_record};
use crate::watch::{Earlier, Watch};
use crate::{Validator, ValidatorError, told};
use distil_eval::ScoredPrompt;
use distil_eval::worker::{
    Blame, ModelLocation, StudentRequest, StudentResult as Pass, TeacherCacheId, TeacherPrompts, TeacherRequest,
    TeacherResult, WorkerError,
};
use distil_scoring::{Failure, FailureKind, FinishedRound, PlannedStudent, Role, RoundPlan, StudentResult, StudentRun};
use distil_store::Round;
use distil_types::Commitment;
use std::ops::ControlFlow;

/// A worker that fails a student through no fault of its own is tried so often; then the student waits for another round.
const HOST_TRIES: u32 = 3;

/// What stands for the teacher while students are scored.
struct Teacher {
    request: TeacherRequest,
    prompts: Vec<ScoredPrompt>,
    cache: TeacherCacheId,
    /// What the files are that the worker has to load for it.
    files: Files,
    /// Whether it passed as a student of itself, once that was tried.
    known_good: Option<bool>,
}

/// A student that is done.
struct Finished {
    run: StudentRun,
    details: Details,
    positions_kl_nats: Vec<Vec<f64>>,
}

impl Finished {
    /// A result and nothing else.
    fn bare(plan: &RoundPlan, student: &PlannedStudent, result: StudentResult) -> Self {
        let run = StudentRun::new(plan.id(), student.miner, result);
        Self { run, details: Details::default(), positions_kl_nats: Vec::new() }
    }

    fn as_earlier(&self) -> Earlier<'_> {
        Earlier { run: &self.run, positions_kl_nats: &self.positions_kl_nats }
    }
}

/// What one pass comes to for the rules.
struct Judged {
    result: StudentResult,
    pass: Option<Pass>,
}

impl Validator {
    /// Brings a round to the point where it can be decided.
    pub(crate) fn run_round(&mut self, round: &Round, plan: &RoundPlan) -> Result<FinishedRound, ValidatorError> {
        let mut teacher = self.teacher(round, plan)?;
        let positions: Vec<usize> = teacher.prompts.iter().map(|prompt| prompt.sequence.continuation().len()).collect();
        let mut done: Vec<Finished> = Vec::new();
        for student in plan.students() {
            if let Some(stored) = round.results.get(&student.miner) {
                let (run, positions_kl_nats) = (stored.run.clone(), stored.positions_kl_nats.clone());
                done.push(Finished { run, details: Details::default(), positions_kl_nats });
                continue;
            }
            self.check_stop()?;
            let finished = self.student(round, plan, student, &mut teacher, &done)?;
            let details = serde_json::json!(finished.details);
            let now = self.now_ms();
            self.store.record_result(round.number, &finished.run, &details, &finished.positions_kl_nats, now)?;
            let end = StudentEnd::of(&finished.run.result);
            self.tell(Event::StudentDone { round: plan.id(), miner: student.miner, end });
            done.push(finished);
            self.keep_weights()?;
        }
        let runs = done.into_iter().map(|finished| finished.run).collect();
        Ok(FinishedRound::new(plan.clone(), positions, runs)?)
    }

    /// The teacher's pass, from the store or from the worker.
    fn teacher(&mut self, round: &Round, plan: &RoundPlan) -> Result<Teacher, ValidatorError> {
        let request = self.teacher_request(round, plan)?;
        let files = self.teacher_files(plan)?;
        let passed =
            |result: &StudentResult| matches!(result, StudentResult::Failed(failure) if failure.known_good_passed);
        let known_good = round.results.values().any(|stored| passed(&stored.run.result)).then_some(true);
        if let Some(record) = &round.teacher {
            let prompts = scored_prompts(&round.start.prompts, record)?;
            if let Some(cache) = cache_of(record) {
                return Ok(Teacher { request, prompts, cache, files, known_good });
            }
        }
        self.check_stop()?;
        let result = self.teacher_pass(&request, &files)?;
        let identity = teacher_json(&result.teacher, &result.environment);
        let record = teacher_record(identity, &result.prompts, &result.cache);
        self.store.record_teacher(round.number, &record)?;
        self.tell(Event::TeacherDone {
            round: plan.id(),
            positions: result.prompts.iter().map(|prompt| prompt.sequence.continuation().len()).sum(),
        });
        Ok(Teacher { request, prompts: result.prompts, cache: result.cache, files, known_good })
    }

    /// A pass of the teacher whose files are those that its repository lists.
    fn teacher_pass(&self, request: &TeacherRequest, files: &Files) -> Result<TeacherResult, ValidatorError> {
        let result = self
            .worker
            .teacher_pass(request, &mut |event| self.observer.worker(None, &event))
            .map_err(|error| self.of_teacher(error))?;
        match difference(&result.teacher.model.files, files) {
            Some(difference) => Err(ValidatorError::Worker(other_files("teacher", &difference))),
            None => Ok(result),
        }
    }

    fn teacher_request(&self, round: &Round, plan: &RoundPlan) -> Result<TeacherRequest, ValidatorError> {
        let settings = plan.settings();
        let prompts = round
            .start
            .prompts
            .iter()
            .map(|prompt| distil_eval::Prompt { id: prompt.id.clone(), text: prompt.text.clone() })
            .collect();
        let cache_key = plan.id().to_string().parse().map_err(WorkerError::from)?;
        Ok(TeacherRequest {
            model: ModelLocation::hub(settings.teacher.clone(), settings.teacher_revision),
            cache_key,
            prompts: TeacherPrompts::Continue(prompts),
            generation: self.settings.generation(plan.block()),
            settings: self.settings.pass.clone(),
        })
    }

    /// The teacher's states were lost on the worker: they are made again from the tokens, and nothing is generated.
    fn restore_teacher(&mut self, round: &Round, teacher: &mut Teacher) -> Result<(), ValidatorError> {
        let request = teacher.request.over(teacher.prompts.clone());
        let result = self.teacher_pass(&request, &teacher.files)?;
        let identity = teacher_json(&result.teacher, &result.environment);
        self.store.record_teacher(round.number, &teacher_record(identity, &result.prompts, &result.cache))?;
        teacher.cache = result.cache;
        Ok(())
    }

    fn of_teacher(&self, error: WorkerError) -> ValidatorError {
        match error {
            WorkerError::Cancelled => ValidatorError::Stopped,
            error if error.blame() == Blame::Model => ValidatorError::Teacher(error),
            error => ValidatorError::Worker(error),
        }
    }

    /// One student, whatever becomes of it. An error ends the epoch and leaves the round open.
    fn student(
        &mut self,
        round: &Round,
        plan: &RoundPlan,
        student: &PlannedStudent,
        teacher: &mut Teacher,
        done: &[Finished],
    ) -> Result<Finished, ValidatorError> {
        if plan.throne().king().is_some()
            && student.role != Role::King
            && let Some(reason) = king_is_missing(done)
        {
            return Ok(Finished::bare(plan, student, StudentResult::Interrupted { reason }));
        }
        // Before the pass, so that nothing that goes wrong here costs one.
        let near_copy = match self.near_copy(student, plan) {
            Ok(near_copy) => near_copy,
            Err(NotCompared { reason, is_own }) => return self.interrupted_pass(plan, student, reason, is_own),
        };
        let files = match self.committed_files(student) {
            Ok(files) => files,
            Err(ValidatorError::Hub(error)) => {
                return self.interrupted_pass(plan, student, told::of_hub(&error), true);
            }
            Err(error) => return Err(error),
        };
        self.tell(Event::StudentBegun { round: plan.id(), miner: student.miner, role: student.role });
        let mut is_restored = false;
        let judged = loop {
            let error = match self.pass(student, plan, teacher, &files, done) {
                Ok(judged) => break judged,
                Err(error) => error,
            };
            match error.blame() {
                _ if matches!(error, WorkerError::Cancelled) => return Err(ValidatorError::Stopped),
                // A worker that forgets them again at once is at fault, and this try was one.
                _ if matches!(error, WorkerError::TeacherCacheMissing { .. }) && !is_restored => {
                    self.restore_teacher(round, teacher)?;
                    is_restored = true;
                }
                Blame::Model => {
                    tracing::warn!(student = %student.miner, %error, "a student failed");
                    let failure = self.failure(round, plan, student, teacher, done, &error)?;
                    break Judged { result: StudentResult::Failed(failure), pass: None };
                }
                Blame::Network | Blame::Repository => {
                    self.failed_try(round, student, &error)?;
                    return self.interrupted_pass(plan, student, told::of_worker(&error), true);
                }
                _ => {
                    let tries = self.failed_try(round, student, &error)?;
                    // One student may need more than the host has; the others need not wait for it for ever.
                    if tries < HOST_TRIES {
                        return Err(ValidatorError::Worker(error));
                    }
                    let reason = format!("in {tries} tries: {}", told::of_worker(&error));
                    return self.interrupted_pass(plan, student, reason, true);
                }
            }
        };
        let mut finished = Finished::bare(plan, student, judged.result);
        finished.run.near_copy = near_copy;
        if let Some(pass) = judged.pass {
            finished.details = Details {
                model: Some(model_json(&pass.identity)),
                environment: Some(environment_json(&pass.environment)),
                seconds: pass.seconds,
            };
            finished.positions_kl_nats = pass.positions_kl_nats;
        }
        Ok(finished)
    }

    /// What went wrong with the host or the network, in full, for the operator; gives how many tries of this student in
    /// this round came to nothing.
    fn failed_try(
        &mut self,
        round: &Round,
        student: &PlannedStudent,
        error: &WorkerError,
    ) -> Result<u32, ValidatorError> {
        tracing::warn!(student = %student.miner, %error, "a pass came to nothing");
        let now = self.now_ms();
        Ok(self.store.record_failed_try(round.number, &student.miner, &error.to_string(), now)?)
    }

    /// A student without a result. Where the reason may be its own doing that counts, and it waits longer each time; a
    /// king is not put off.
    fn interrupted_pass(
        &mut self,
        plan: &RoundPlan,
        student: &PlannedStudent,
        reason: String,
        is_own: bool,
    ) -> Result<Finished, ValidatorError> {
        if is_own && student.role != Role::King {
            let now = self.now_ms();
            self.store.record_interruption(&student.miner, plan.block().number, &reason, now)?;
        }
        Ok(Finished::bare(plan, student, StudentResult::Interrupted { reason }))
    }

    /// One pass of a student, looked at prompt by prompt: copies and hopeless challengers end early.
    ///
    /// What is decided here depends on nothing but the numbers, so it is the same however fast they come.
    fn pass(
        &self,
        student: &PlannedStudent,
        plan: &RoundPlan,
        teacher: &Teacher,
        files: &Files,
        done: &[Finished],
    ) -> Result<Judged, WorkerError> {
        let request = StudentRequest {
            model: location(&student.commitment),
            teacher_cache: teacher.cache.clone(),
            positions: teacher.prompts.iter().map(|prompt| prompt.sequence.continuation().len()).collect(),
            settings: self.settings.pass.clone(),
        };
        let earlier: Vec<Earlier<'_>> = done.iter().map(Finished::as_earlier).collect();
        let king = plan.throne().king();
        let mut watch = Watch::new(student.miner, student.role, king, &earlier, &self.settings.profile);
        let pass = self.worker.score_student(&request, &mut |_, kl_nats| watch.prompt(kl_nats), &mut |event| {
            self.observer.worker(Some(student.miner), &event)
        })?;
        match difference(&pass.identity.files, files) {
            Some(difference) => Err(other_files(student.commitment.model.as_str(), &difference)),
            None => Ok(Judged { result: watch.result(), pass: Some(pass) }),
        }
    }

    /// A failure of a model's own. Where no other student shows that the worker is sound, it has to be shown that it runs a
    /// model that is known to be good: always for a king, and for whoever fails before anybody was measured to the end.
    fn failure(
        &mut self,
        round: &Round,
        plan: &RoundPlan,
        student: &PlannedStudent,
        teacher: &mut Teacher,
        done: &[Finished],
        error: &WorkerError,
    ) -> Result<Failure, ValidatorError> {
        let kind = match error {
            WorkerError::Hung { .. } => FailureKind::Hang,
            WorkerError::Crashed { .. } | WorkerError::Garbage { .. } => FailureKind::Crash,
            _ => FailureKind::Load,
        };
        let is_complete = |finished: &Finished| matches!(finished.run.result, StudentResult::Completed { .. });
        let is_alone = plan.throne().king().is_none() && !done.iter().any(is_complete);
        let known_good_passed = match student.role == Role::King || is_alone {
            true => self.known_good_passes(round, student, teacher)?,
            false => false,
        };
        Ok(Failure { kind, reason: told::of_worker(error), known_good_passed })
    }

    /// Scores the teacher against itself, once for all students of a round, which has to give 0.
    ///
    /// A host or a network that fails it says nothing about the worker's soundness: it is tried again with its student.
    fn known_good_passes(
        &mut self,
        round: &Round,
        student: &PlannedStudent,
        teacher: &mut Teacher,
    ) -> Result<bool, ValidatorError> {
        if let Some(passed) = teacher.known_good {
            return Ok(passed);
        }
        let request = StudentRequest {
            model: teacher.request.model.clone(),
            teacher_cache: teacher.cache.clone(),
            positions: teacher.prompts.iter().map(|prompt| prompt.sequence.continuation().len()).collect(),
            settings: self.settings.pass.clone(),
        };
        let mut largest = 0.0_f64;
        let mut look = |_: usize, kl_nats: &[f64]| {
            largest = kl_nats.iter().fold(largest, |largest, kl| largest.max(kl.abs()));
            ControlFlow::Continue(())
        };
        let result = self.worker.score_student(&request, &mut look, &mut |event| self.observer.worker(None, &event));
        let passed = match result {
            Ok(_) => largest <= self.settings.profile.kl_floor_nats,
            Err(WorkerError::Cancelled) => return Err(ValidatorError::Stopped),
            Err(error) if error.blame() == Blame::Model => false,
            Err(error) => {
                if self.failed_try(round, student, &error)? < HOST_TRIES {
                    return Err(ValidatorError::Worker(error));
                }
                false
            }
        };
        teacher.known_good = Some(passed);
        self.tell(Event::Canary { passed });
        Ok(passed)
    }
}

/// The worker loaded something else than what it was asked for: its cache is damaged, and nobody is to be judged by that.
fn other_files(model: &str, difference: &str) -> WorkerError {
    WorkerError::Host {
        reason: format!("the files of {model} that it loaded are not those of its commit: {difference}"),
    }
}

pub(crate) fn location(commitment: &Commitment) -> ModelLocation {
    ModelLocation::hub(commitment.model.clone(), commitment.revision)
}

/// Why there is no king to compare with, where one took part and has no score.
fn king_is_missing(done: &[Finished]) -> Option<String> {
    let first = done.first()?;
    match &first.run.result {
        StudentResult::Failed(Failure { reason, .. }) | StudentResult::Interrupted { reason } => {
            Some(format!("the king could not be scored: {reason}"))
        }
        _ => None,
    }
}
