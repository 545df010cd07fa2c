//! What a student's numbers say as they come, prompt by prompt: a copy, hopelessly behind, or neither.
//!
//! It depends on nothing but the numbers, so a record can be held to it, and how fast they come makes no difference.

use distil_scoring::{
    Attribution, CopyMatch, CopyProof, CopyTest, EarlyStop, EarlyStopAnswer, EarlyStopEvidence, Failure, FailureKind,
    PromptStatistics, Role, StudentResult, StudentRun,
};
use distil_types::{MinerKey, SubnetProfile};
use std::ops::ControlFlow;

/// A student that ran before in the same round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Earlier<'a> {
    pub(crate) run: &'a StudentRun,
    pub(crate) positions_kl_nats: &'a [Vec<f64>],
}

/// The king's prompts, if they may stop others.
fn early_stop(
    role: Role,
    king: Option<MinerKey>,
    earlier: &[Earlier<'_>],
    profile: &SubnetProfile,
) -> Option<EarlyStop> {
    if role != Role::Challenger {
        return None;
    }
    // Where the throne is vacant, whoever ran first is nobody to be behind.
    match &earlier.first().filter(|first| Some(first.run.student) == king)?.run.result {
        StudentResult::Completed { prompts } => EarlyStop::new(profile, prompts.clone()).ok(),
        _ => None,
    }
}

enum Copies {
    /// Too few positions for an answer so far.
    Open,
    /// It matches nobody who ran before.
    None,
    /// It matches these.
    Found(Vec<CopyMatch>),
}

/// Looks at a student's prompts as they come.
pub(crate) struct Watch<'a> {
    miner: MinerKey,
    role: Role,
    earlier: &'a [Earlier<'a>],
    early_stop: Option<EarlyStop>,
    seen: Vec<Vec<f64>>,
    statistics: Vec<PromptStatistics>,
    copies: Copies,
    stopped: Option<EarlyStopEvidence>,
    problem: Option<String>,
}

impl<'a> Watch<'a> {
    /// For one student, after these. The first of them is the king if the round has one and the student is a challenger.
    pub(crate) fn new(
        miner: MinerKey,
        role: Role,
        king: Option<MinerKey>,
        earlier: &'a [Earlier<'a>],
        profile: &SubnetProfile,
    ) -> Self {
        Self {
            miner,
            role,
            earlier,
            early_stop: early_stop(role, king, earlier, profile),
            seen: Vec::new(),
            statistics: Vec::new(),
            copies: Copies::Open,
            stopped: None,
            problem: None,
        }
    }

    /// Takes the KL of one prompt's positions; a break says that the rest need not be computed.
    pub(crate) fn prompt(&mut self, kl_nats: &[f64]) -> ControlFlow<()> {
        match PromptStatistics::from_positions(kl_nats) {
            Ok(statistics) => self.statistics.push(statistics),
            Err(error) => {
                self.problem = Some(error.to_string());
                return ControlFlow::Break(());
            }
        }
        if matches!(self.copies, Copies::Open) {
            self.seen.push(kl_nats.to_vec());
            self.look_for_copies();
        }
        if let Copies::Found(matches) = &self.copies {
            // The earlier commitment of the two may well be this one, which then needs a score.
            let is_copy = |found: &CopyMatch| {
                matches!(Attribution::of(self.miner.into(), found.of),
                    Attribution::Copy { copy, .. } if copy == self.miner)
            };
            let ends = matches.iter().any(is_copy) && self.role != Role::King;
            return if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        // What is not yet known to be nobody's copy is not stopped.
        if let (Copies::None, Some(early_stop)) = (&self.copies, &self.early_stop)
            && let Ok(EarlyStopAnswer::Stop(evidence)) = early_stop.judge(&self.statistics)
        {
            self.stopped = Some(evidence);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// What the prompts come to.
    pub(crate) fn result(self) -> StudentResult {
        if let Some(reason) = self.problem {
            return StudentResult::Failed(Failure { kind: FailureKind::NotFinite, reason, known_good_passed: false });
        }
        let prompts = self.statistics;
        match (self.copies, self.stopped) {
            (Copies::Found(matches), _) => StudentResult::Copied { matches, prompts },
            (_, Some(evidence)) => StudentResult::EarlyStopped { prompts, evidence },
            _ => StudentResult::Completed { prompts },
        }
    }

    fn look_for_copies(&mut self) {
        let mut matches = Vec::new();
        let mut open = false;
        for other in self.earlier.iter().filter(|other| !other.positions_kl_nats.is_empty()) {
            match CopyTest::new(other.positions_kl_nats, &self.seen) {
                Ok(CopyTest::Measured(evidence)) if evidence.is_copy => {
                    matches.push(CopyMatch { of: other.run.student.into(), proof: CopyProof::SameFunction(evidence) });
                }
                Ok(CopyTest::NotEnough { .. }) => open = true,
                Ok(CopyTest::Measured(_)) | Err(_) => {}
            }
        }
        if !matches.is_empty() {
            self.copies = Copies::Found(matches);
        } else if !open {
            self.copies = Copies::None;
        }
    }
}
