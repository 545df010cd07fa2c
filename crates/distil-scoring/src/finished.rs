use crate::{CopyProof, EarlyStop, Error, PromptStatistics, Role, RoundPlan, StudentResult, StudentRun};
use distil_types::MinerKey;
use std::collections::BTreeMap;

/// A round that is over: a plan, and for each of its students the result that this very round gave.
///
/// There is no other way to a [`Decision`](crate::Decision). Results of another round, of other prompts or positions,
/// of a student that the plan does not have, a second result of one, or the lack of one are all refused.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedRound {
    plan: RoundPlan,
    prompt_positions: Vec<usize>,
    /// In the order of the plan's students.
    runs: Vec<StudentRun>,
}

impl FinishedRound {
    /// Takes the results in any order. `prompt_positions` says by how many tokens the teacher continued each prompt.
    ///
    /// # Errors
    ///
    /// [`Error::PromptCountMismatch`] when the teacher has another number of prompts than the plan, [`Error::NoPositions`] for
    /// a prompt without any; [`Error::WrongRound`], [`Error::NotInPlan`], [`Error::MinerTwice`], [`Error::NoResult`] for
    /// a result that has no place and a place without a result; and [`Error::InvalidResult`] for a result that this
    /// round can't have given.
    pub fn new(plan: RoundPlan, prompt_positions: Vec<usize>, runs: Vec<StudentRun>) -> Result<Self, Error> {
        if prompt_positions.len() != plan.settings().prompts {
            return Err(Error::PromptCountMismatch { first: prompt_positions.len(), second: plan.settings().prompts });
        }
        if prompt_positions.contains(&0) {
            return Err(Error::NoPositions);
        }
        let mut by_miner = BTreeMap::new();
        for run in runs {
            let miner = run.student;
            if run.round != plan.id() {
                return Err(Error::WrongRound { miner, found: run.round, needed: plan.id() });
            }
            if by_miner.insert(miner, run).is_some() {
                return Err(Error::MinerTwice { miner });
            }
        }
        let mut ordered = Vec::with_capacity(plan.students().len());
        for student in plan.students() {
            let miner = student.miner;
            ordered.push(by_miner.remove(&miner).ok_or(Error::NoResult { miner })?);
        }
        if let Some((&miner, _)) = by_miner.first_key_value() {
            return Err(Error::NotInPlan { miner });
        }
        let round = FinishedRound { plan, prompt_positions, runs: ordered };
        for index in 0..round.runs.len() {
            round.check(index).map_err(|problem| Error::InvalidResult { miner: round.runs[index].student, problem })?;
        }
        Ok(round)
    }

    fn check(&self, index: usize) -> Result<(), &'static str> {
        let (run, role) = (&self.runs[index], self.plan.students()[index].role);
        match &run.result {
            StudentResult::Completed { prompts } => {
                self.check_prompts(prompts)?;
                if prompts.len() != self.prompt_positions.len() {
                    return Err("it says that it is complete and does not have every prompt of the round");
                }
            }
            StudentResult::EarlyStopped { prompts, evidence } => {
                self.check_prompts(prompts)?;
                if !(EarlyStop::MIN_PROMPTS..self.prompt_positions.len()).contains(&prompts.len()) {
                    return Err("it says that it stopped early, after too few prompts or all of them");
                }
                if evidence.lower_bound.is_nan() || evidence.lower_bound <= 0.0 {
                    return Err("it says that it stopped early, and its evidence does not");
                }
                let king = (role == Role::Challenger).then(|| self.king()).flatten();
                if king.and_then(|king| self.all_prompts(king)).is_none() {
                    return Err("it says that it stopped early, and no king was measured that it could trail");
                }
            }
            StudentResult::Copied { matches, prompts } => {
                self.check_prompts(prompts)?;
                if matches.is_empty() {
                    return Err("it says that it matches another model and names none");
                }
                if matches.iter().any(|found| matches!(&found.proof, CopyProof::SameFunction(it) if !it.is_copy)) {
                    return Err("it says that it matches another model, and its evidence does not");
                }
            }
            StudentResult::Failed(_) | StudentResult::Interrupted { .. } => {}
        }
        Ok(())
    }

    /// That these are the first prompts of the round, position by position, with numbers that can be summed.
    fn check_prompts(&self, prompts: &[PromptStatistics]) -> Result<(), &'static str> {
        if prompts.len() > self.prompt_positions.len() {
            return Err("it has more prompts than the round");
        }
        if prompts.iter().zip(&self.prompt_positions).any(|(prompt, &positions)| prompt.positions != positions) {
            return Err("it was not measured at the positions of the round");
        }
        let finite = |prompt: &PromptStatistics| {
            [prompt.mean, prompt.std, prompt.min, prompt.max].iter().all(|value| value.is_finite())
        };
        if !prompts.iter().all(finite) {
            return Err("it holds a number that is NaN or infinite");
        }
        Ok(())
    }

    /// The plan.
    pub fn plan(&self) -> &RoundPlan {
        &self.plan
    }

    /// By how many tokens the teacher continued each prompt.
    pub fn prompt_positions(&self) -> &[usize] {
        &self.prompt_positions
    }

    /// The results, in the order of the plan's students.
    pub fn runs(&self) -> &[StudentRun] {
        &self.runs
    }

    /// The place of the king among the students.
    pub(crate) fn king(&self) -> Option<usize> {
        self.plan.throne().king().map(|_| 0)
    }

    /// The prompts of a student that was measured to the end.
    pub(crate) fn all_prompts(&self, index: usize) -> Option<&[PromptStatistics]> {
        match &self.runs[index].result {
            StudentResult::Completed { prompts } => Some(prompts),
            StudentResult::Copied { prompts, .. } if prompts.len() == self.prompt_positions.len() => Some(prompts),
            _ => None,
        }
    }

    /// The prompts that a student has done.
    pub(crate) fn prompts(&self, index: usize) -> &[PromptStatistics] {
        match &self.runs[index].result {
            StudentResult::Completed { prompts }
            | StudentResult::EarlyStopped { prompts, .. }
            | StudentResult::Copied { prompts, .. } => prompts,
            StudentResult::Failed(_) | StudentResult::Interrupted { .. } => &[],
        }
    }

    pub(crate) fn miner(&self, index: usize) -> MinerKey {
        self.runs[index].student
    }
}
