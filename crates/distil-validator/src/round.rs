//! A round that has begun: the teacher's pass, then one pass a student, each in the store as soon as it is done.

use crate::events::{Event, StudentEnd};
use crate::stored::{Details, cache_of, environment_json, model_json, scored_prompts, teacher_json, teacher_record};
use crate::watch::{Earlier, Watch};
use crate::{Validator, ValidatorError, models};
use distil_eval::ScoredPrompt;
use distil_eval::worker::{
    Blame, ModelLocation, StudentRequest, StudentResult as Pass, TeacherCacheId, TeacherPrompts, TeacherRequest,
    WorkerError,
};
use distil_scoring::{
    Failure, FailureKind, FinishedRound, NearCopy, PlannedStudent, Role, RoundPlan, StudentResult, StudentRun,
};
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
}

/// A student that is done.
struct Finished {
    run: StudentRun,
    details: Details,
    positions_kl_nats: Vec<Vec<f64>>,
}

impl Finished {
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
        if let Some(record) = &round.teacher {
            let prompts = scored_prompts(&round.start.prompts, record)?;
            if let Some(cache) = cache_of(record) {
                return Ok(Teacher { request, prompts, cache });
            }
        }
        self.check_stop()?;
        let result = self
            .worker
            .teacher_pass(&request, &mut |event| self.observer.worker(None, &event))
            .map_err(|error| self.of_teacher(error))?;
        let identity = teacher_json(&result.teacher, &result.environment);
        let record = teacher_record(identity, &result.prompts, &result.cache);
        self.store.record_teacher(round.number, &record)?;
        self.tell(Event::TeacherDone {
            round: plan.id(),
            positions: result.prompts.iter().map(|prompt| prompt.sequence.continuation().len()).sum(),
        });
        Ok(Teacher { request, prompts: result.prompts, cache: result.cache })
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
        let result = self
            .worker
            .teacher_pass(&request, &mut |event| self.observer.worker(None, &event))
            .map_err(|error| self.of_teacher(error))?;
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
        let bare = |result| Finished {
            run: StudentRun::new(plan.id(), student.miner, result),
            details: Details::default(),
            positions_kl_nats: Vec::new(),
        };
        if plan.throne().king().is_some()
            && student.role != Role::King
            && let Some(reason) = king_is_missing(done)
        {
            return Ok(bare(StudentResult::Interrupted { reason }));
        }
        self.tell(Event::StudentBegun { round: plan.id(), miner: student.miner, role: student.role });
        let judged = loop {
            match self.pass(student, plan, teacher, done) {
                Ok(judged) => break judged,
                Err(WorkerError::TeacherCacheMissing { .. }) => self.restore_teacher(round, teacher)?,
                Err(WorkerError::Cancelled) => return Err(ValidatorError::Stopped),
                Err(error) => match error.blame() {
                    Blame::Model => {
                        let failure = self.failure(student, teacher, &error)?;
                        break Judged { result: StudentResult::Failed(failure), pass: None };
                    }
                    Blame::Network | Blame::Repository => {
                        let reason = error.to_string();
                        break Judged { result: StudentResult::Interrupted { reason }, pass: None };
                    }
                    _ => {
                        let now = self.now_ms();
                        let tries =
                            self.store.record_failed_try(round.number, &student.miner, &error.to_string(), now)?;
                        // One student may need more than the host has; the others need not wait for it for ever.
                        if tries < HOST_TRIES {
                            return Err(ValidatorError::Worker(error));
                        }
                        let reason = format!("the worker could not do it in {tries} tries: {error}");
                        break Judged { result: StudentResult::Interrupted { reason }, pass: None };
                    }
                },
            }
        };
        let mut finished = bare(judged.result);
        finished.run.near_copy = self.near_copy(student, plan)?;
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

    /// One pass of a student, looked at prompt by prompt: copies and hopeless challengers end early.
    ///
    /// What is decided here depends on nothing but the numbers, so it is the same however fast they come.
    fn pass(
        &self,
        student: &PlannedStudent,
        plan: &RoundPlan,
        teacher: &Teacher,
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
        Ok(Judged { result: watch.result(), pass: Some(pass) })
    }

    /// A failure of a model's own. For a king it has to be shown that the worker runs a model that is known to be good:
    /// the teacher, scored against itself, which has to give 0.
    fn failure(
        &mut self,
        student: &PlannedStudent,
        teacher: &Teacher,
        error: &WorkerError,
    ) -> Result<Failure, ValidatorError> {
        let kind = match error {
            WorkerError::Hung { .. } => FailureKind::Hang,
            WorkerError::Crashed { .. } | WorkerError::Garbage { .. } => FailureKind::Crash,
            _ => FailureKind::Load,
        };
        let mut failure = Failure { kind, reason: error.to_string(), known_good_passed: false };
        if student.role == Role::King {
            failure.known_good_passed = self.known_good_passes(teacher);
            self.tell(Event::Canary { passed: failure.known_good_passed });
        }
        Ok(failure)
    }

    fn known_good_passes(&self, teacher: &Teacher) -> bool {
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
        let passed = self.worker.score_student(&request, &mut look, &mut |event| self.observer.worker(None, &event));
        passed.is_ok() && largest <= self.settings.profile.kl_floor_nats
    }

    /// The earlier commitment among this round's that a student's weights are close to. Weights that are not on this
    /// host are not compared.
    fn near_copy(&self, student: &PlannedStudent, plan: &RoundPlan) -> Result<Option<NearCopy>, ValidatorError> {
        let folder = |commitment: &Commitment| models::cached(&self.hub, commitment);
        let Some(own) = folder(&student.commitment) else { return Ok(None) };
        let mut earlier: Vec<_> = plan
            .students()
            .iter()
            .filter(|other| other.miner < student.miner && other.miner.hotkey != student.miner.hotkey)
            .collect();
        earlier.sort_by_key(|other| other.miner);
        for other in earlier {
            let Some(theirs) = folder(&other.commitment) else { continue };
            if let Some((_, evidence)) = models::near_copy(&own, &theirs, self.settings.threads)? {
                return Ok(Some(NearCopy { of: other.miner, evidence }));
            }
        }
        Ok(None)
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
