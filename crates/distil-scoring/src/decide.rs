use crate::{
    Attribution, Author, ConfirmedDecision, CopyProof, CountedFailure, Crown, Disqualification, DisqualificationCode,
    Evaluated, Evaluation, EvaluationResult, Failure, FailureKind, FinishedRound, Integrity, MinerVerdict, NotEligible,
    Outcome, PairedTest, PromptStatistics, Rules, StudentResult, Verdict,
    judge::{Bar, Measured, judge, margin},
    plausible::{PartialStatistics, implausible},
    score::weighted_mean,
};
use distil_types::{Commitment, MinerKey};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};

/// What [`decide`] says.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum Decision {
    /// It is decided: no new crown is given, or its winner's repository was found intact.
    Final(ConfirmedDecision),
    /// Somebody wins, if its repository is intact.
    Pending(PendingCrown),
}

/// A crown that is given only after another look at the repository of its winner.
///
/// ```no_run
/// # use distil_scoring::{Decision, FinishedRound, Integrity, PendingCrown, Rules};
/// # fn look_again(crown: &PendingCrown) -> Integrity { Integrity::Same }
/// # fn example(round: &FinishedRound, rules: &Rules) {
/// let mut decision = distil_scoring::decide(round, rules);
/// let confirmed = loop {
///     match decision {
///         Decision::Final(confirmed) => break confirmed,
///         Decision::Pending(crown) => {
///             let integrity = look_again(&crown);
///             decision = crown.confirm(&integrity);
///         }
///     }
/// };
/// # let _ = confirmed;
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct PendingCrown {
    outcome: Outcome,
    /// The best first; never empty.
    contenders: VecDeque<Contender>,
    /// Who loses the crown if it is given.
    king: Option<MinerKey>,
}

/// A student that completed the round, is within range and below the king by the margin.
#[derive(Debug, Clone, PartialEq)]
struct Contender {
    miner: MinerKey,
    commitment: Commitment,
    kl: f64,
    /// Its place among the students.
    index: usize,
}

impl PendingCrown {
    /// Who would be crowned.
    pub fn winner(&self) -> MinerKey {
        self.contenders[0].miner
    }

    /// The model whose repository has to be looked at again.
    pub fn commitment(&self) -> &Commitment {
        &self.contenders[0].commitment
    }

    /// Takes note of what the look at the winner's repository found.
    ///
    /// Intact, the winner is crowned. With changed content, or proven to be gone, it is disqualified and the next best
    /// takes its place. If nobody can tell, nobody is crowned, a sitting king stays, and all that beat it take part in
    /// the next round again: none of them is marked as evaluated.
    pub fn confirm(mut self, integrity: &Integrity) -> Decision {
        let Some(winner) = self.contenders.pop_front() else { return self.unchanged() };
        if *integrity == Integrity::Same {
            return self.crown(winner);
        }
        if let Some(disqualification) = integrity.disqualifies(winner.miner) {
            let verdict = match disqualification.code {
                DisqualificationCode::Removed => Verdict::Removed,
                _ => Verdict::Changed,
            };
            self.say(winner.index, verdict, disqualification.sentence.clone());
            self.outcome.disqualifications.push(disqualification);
            return if self.contenders.is_empty() { self.unchanged() } else { Decision::Pending(self) };
        }
        let why = match integrity {
            Integrity::CantTell { reason } => reason.as_str(),
            _ => "its repository was refused, which is not yet proof that it is gone",
        };
        self.contenders.push_front(winner);
        for contender in std::mem::take(&mut self.contenders) {
            let sentence = format!(
                "beats the king, but the repository of the best student could not be looked at again ({why}); takes \
                 part in the next round"
            );
            self.say(contender.index, Verdict::Unconfirmed, sentence);
        }
        self.unchanged()
    }

    fn crown(mut self, winner: Contender) -> Decision {
        let sentence = match self.king {
            Some(king) => format!("lowest of those that beat king {king}: crowned"),
            None => "lowest score of a round with a vacant throne: crowned".to_owned(),
        };
        self.say(winner.index, Verdict::BeatsKing, sentence);
        if self.king.is_some() {
            let sentence = format!("beaten by {} with a KL of {} nats", winner.miner, nats(winner.kl));
            self.say(0, Verdict::Dethroned, sentence);
        }
        let rest = std::mem::take(&mut self.contenders);
        for contender in &rest {
            let sentence =
                format!("could have been crowned, but {} has a lower KL or the earlier of equal", winner.miner);
            self.say(contender.index, Verdict::BeatsKing, sentence);
        }
        for contender in rest.iter().chain([&winner]) {
            let evaluation =
                Evaluation { round: self.outcome.round, result: EvaluationResult::Completed, kl: Some(contender.kl) };
            self.outcome.evaluated.push(Evaluated { miner: contender.miner, evaluation });
        }
        self.outcome.crown = Crown::Given { king: winner.miner, dethroned: self.king };
        finish(self.outcome)
    }

    fn unchanged(self) -> Decision {
        finish(self.outcome)
    }

    fn say(&mut self, index: usize, verdict: Verdict, sentence: String) {
        let entry = &mut self.outcome.verdicts[index];
        (entry.verdict, entry.sentence) = (verdict, sentence);
    }
}

/// Puts the lists into their order.
fn finish(mut outcome: Outcome) -> Decision {
    outcome.disqualifications.sort_by_key(|entry| entry.miner);
    outcome.failures.sort_by_key(|entry| entry.miner);
    outcome.evaluated.sort_by_key(|entry| entry.miner);
    Decision::Final(ConfirmedDecision(outcome))
}

/// Decides a finished round: a verdict with its reason for every student, and all that follows.
///
/// - A challenger wins if it completed all prompts and its KL is below the king's of this round by the margin; with a
///   vacant throne, if it completed all prompts. The lowest wins, of equals the earlier commitment. Not below the
///   margin, above the largest KL, at or below the floor, not finite, implausible, a copy, a near copy: not crowned.
/// - Of two that are the same model, the later commitment is disqualified, whichever ran first. That may be the king.
/// - A king without a score keeps the crown and the round is void: nothing is written, besides a failure of the king
///   that is proven its own. With the third of these it loses the crown.
/// - When a king falls in the round itself, nobody is crowned: the next round, of a vacant throne, takes everybody in
///   that this one would have compared with it.
pub fn decide(round: &FinishedRound, rules: &Rules) -> Decision {
    Court::new(round, rules).decide()
}

/// What the king's own result means for the round.
enum KingState {
    /// The throne was vacant or the king has a score.
    Judges(Bar),
    /// It fell.
    Falls(NotEligible),
    /// It has no score, and that is not proven its own fault.
    Void(String),
}

struct Court<'a> {
    round: &'a FinishedRound,
    rules: &'a Rules,
    copies: BTreeMap<MinerKey, Disqualification>,
    /// Some student was measured to the end, so the worker and the teacher are sound.
    any_complete: bool,
}

impl<'a> Court<'a> {
    fn new(round: &'a FinishedRound, rules: &'a Rules) -> Self {
        let any_complete = (0..round.runs().len()).any(|index| round.all_prompts(index).is_some());
        Court { round, rules, copies: copies(round), any_complete }
    }

    fn decide(self) -> Decision {
        let king = self.round.plan().throne().king();
        let mut outcome = Outcome {
            round: self.round.plan().id(),
            block: self.round.plan().block(),
            void: None,
            crown: Crown::Unchanged { king },
            verdicts: Vec::new(),
            disqualifications: Vec::new(),
            failures: Vec::new(),
            evaluated: Vec::new(),
        };
        let state = self.king_state(&mut outcome.failures);
        let bar = match &state {
            KingState::Void(reason) => return self.void(outcome, reason),
            KingState::Judges(bar) => *bar,
            KingState::Falls(_) => Bar::Unknown,
        };
        outcome.disqualifications.extend(self.copies.values().cloned());
        if let (KingState::Falls(reason), Some(king)) = (&state, king) {
            outcome.crown = Crown::Lost { king, reason: reason.clone() };
        }

        let mut contenders = Vec::new();
        for (index, student) in self.round.plan().students().iter().enumerate() {
            let mut entry = self.entry(index, bar);
            if Some(student.miner) == king {
                entry.margin = None;
                entry.paired = None;
                (entry.verdict, entry.sentence) = match &state {
                    KingState::Falls(reason) => (Verdict::LosesCrown, format!("loses the crown: {reason}")),
                    _ => (Verdict::KeepsCrown, "no challenger was crowned".to_owned()),
                };
                // A king is evaluated anew in each round; its score of this one replaces the older.
                if let KingState::Judges(Bar::King { kl }) = state {
                    let in_range = kl <= self.rules.max_kl_nats();
                    let result = if in_range { EvaluationResult::Completed } else { EvaluationResult::OutOfRange };
                    let evaluation = Evaluation { round: outcome.round, result, kl: Some(kl) };
                    outcome.evaluated.push(Evaluated { miner: student.miner, evaluation });
                }
            } else {
                let falls = matches!(state, KingState::Falls(_));
                if let Some(kl) = self.challenger(index, bar, falls, &mut entry, &mut outcome) {
                    let commitment = student.commitment.clone();
                    contenders.push(Contender { miner: student.miner, commitment, kl, index });
                }
            }
            outcome.verdicts.push(entry);
        }
        contenders.sort_by(|one, other| one.kl.total_cmp(&other.kl).then(one.miner.cmp(&other.miner)));
        if contenders.is_empty() {
            return finish(outcome);
        }
        Decision::Pending(PendingCrown { outcome, contenders: contenders.into(), king })
    }

    /// Judges one student that is not king, and says its KL if it can be crowned.
    fn challenger(
        &self,
        index: usize,
        bar: Bar,
        king_falls: bool,
        entry: &mut MinerVerdict,
        outcome: &mut Outcome,
    ) -> Option<f64> {
        let student = &self.round.plan().students()[index];
        let run = &self.round.runs()[index];
        let round = outcome.round;
        let evaluated = |result, kl| {
            let evaluation = Evaluation { round, result, kl };
            Evaluated { miner: student.miner, evaluation }
        };
        if let Some(copy) = self.copies.get(&student.miner) {
            (entry.verdict, entry.sentence) = (Verdict::Copy, copy.sentence.clone());
            return None;
        }
        match &run.result {
            StudentResult::Interrupted { reason } => {
                (entry.verdict, entry.sentence) =
                    (Verdict::Interrupted, format!("no result, through no fault of the model; tried again: {reason}"));
                return None;
            }
            StudentResult::Failed(failure) if !self.is_proven(failure) => {
                let reason = &failure.reason;
                (entry.verdict, entry.sentence) = (
                    Verdict::Interrupted,
                    format!("failed where no other model ran either, so it does not count; tried again: {reason}"),
                );
                return None;
            }
            StudentResult::Failed(failure) if failure.kind == FailureKind::NotFinite => {
                (entry.verdict, entry.sentence) = (Verdict::NotFinite, failure.reason.clone());
                outcome.evaluated.push(evaluated(EvaluationResult::OutOfRange, None));
                return None;
            }
            StudentResult::Failed(failure) => {
                let failures = student.failures.saturating_add(1);
                let (reason, most) = (&failure.reason, Rules::MAX_FAILURES);
                (entry.verdict, entry.sentence) =
                    (Verdict::Failed, format!("could not be loaded or run, try {failures} of {most}: {reason}"));
                outcome.failures.push(CountedFailure { miner: student.miner, failures, reason: reason.clone() });
                return None;
            }
            StudentResult::Copied { .. } if self.round.all_prompts(index).is_none() => {
                (entry.verdict, entry.sentence) = (
                    Verdict::Postponed,
                    "its run ended where it matched another model, of which it is not the copy; takes part again"
                        .to_owned(),
                );
                return None;
            }
            StudentResult::Completed { .. } | StudentResult::EarlyStopped { .. } | StudentResult::Copied { .. } => {}
        }

        let measured = self.measured(index, entry.paired.as_ref());
        entry.verdict = judge(&measured, bar, self.rules);
        entry.sentence = sentence(entry.verdict, &measured, bar, self.rules);
        let result = match entry.verdict {
            Verdict::BeatsKing | Verdict::NotEnough | Verdict::Incomplete if king_falls => {
                (entry.verdict, entry.sentence) = (
                    Verdict::Postponed,
                    "the king lost the crown in this round; takes part in the next one, which decides".to_owned(),
                );
                return None;
            }
            Verdict::BeatsKing => {
                let Some(denied) = self.denied(index) else { return measured.kl };
                (entry.verdict, entry.sentence) = (Verdict::NearCopy, denied);
                EvaluationResult::Completed
            }
            Verdict::NotEnough => EvaluationResult::Completed,
            Verdict::Incomplete => EvaluationResult::StoppedEarly,
            _ => EvaluationResult::OutOfRange,
        };
        outcome.evaluated.push(evaluated(result, measured.kl));
        None
    }

    /// A failure counts when something else shows that it is the model's own.
    fn is_proven(&self, failure: &Failure) -> bool {
        failure.known_good_passed || self.any_complete
    }

    /// Why a student that could be crowned is not in this round.
    fn denied(&self, index: usize) -> Option<String> {
        let student = &self.round.plan().students()[index];
        let run = &self.round.runs()[index];
        if let Some(near) = run.near_copy.as_ref().or(student.near_copy.as_ref()) {
            return Some(format!("its weights are close to those of {}: no crown in this round", near.of));
        }
        let StudentResult::Copied { matches, .. } = &run.result else { return None };
        let me = Author::from(student.miner);
        matches.iter().find(|found| Attribution::of(me, found.of) == Attribution::Unknown).map(|found| {
            format!(
                "the same model as that of {}, and which of the two was committed first is not known: no crown in this \
                 round",
                found.of.hotkey
            )
        })
    }

    fn measured<'p>(&self, index: usize, paired: Option<&'p PairedTest>) -> Measured<'p> {
        let prompts = self.round.prompts(index);
        Measured {
            is_copy: self.copies.contains_key(&self.round.miner(index)),
            kl: finite_mean(prompts),
            implausible: implausible(prompts.iter().map(PartialStatistics::from)),
            is_complete: self.round.all_prompts(index).is_some(),
            paired,
        }
    }

    fn entry(&self, index: usize, bar: Bar) -> MinerVerdict {
        let kl = finite_mean(self.round.prompts(index));
        let king = self.round.king().and_then(|king| self.round.all_prompts(king));
        let paired = match (self.round.all_prompts(index), king, bar) {
            (Some(own), Some(king), Bar::King { .. }) => PairedTest::new(own, king).ok(),
            _ => None,
        };
        let matches: Vec<CopyProof> = match &self.round.runs()[index].result {
            StudentResult::Copied { matches, .. } => matches.iter().map(|found| found.proof.clone()).collect(),
            _ => Vec::new(),
        };
        MinerVerdict {
            miner: self.round.miner(index),
            verdict: Verdict::Void,
            sentence: String::new(),
            kl,
            margin: margin(kl, bar),
            paired,
            matches,
        }
    }

    fn king_state(&self, failures: &mut Vec<CountedFailure>) -> KingState {
        let Some(index) = self.round.king() else { return KingState::Judges(Bar::Vacant) };
        let student = &self.round.plan().students()[index];
        if let Some(copy) = self.copies.get(&student.miner) {
            return KingState::Falls(NotEligible::Disqualified { disqualification: copy.clone() });
        }
        match &self.round.runs()[index].result {
            StudentResult::Failed(failure) if failure.known_good_passed => {
                let counted = student.failures.saturating_add(1);
                let reason = failure.reason.clone();
                failures.push(CountedFailure { miner: student.miner, failures: counted, reason: reason.clone() });
                if counted >= Rules::MAX_FAILURES {
                    KingState::Falls(NotEligible::Failed { failures: counted })
                } else {
                    KingState::Void(format!("the king could not be scored: {reason}"))
                }
            }
            StudentResult::Failed(Failure { reason, .. }) | StudentResult::Interrupted { reason } => {
                KingState::Void(format!("the king could not be scored: {reason}"))
            }
            _ => match Bar::of_king(&self.measured(index, None), self.rules) {
                Bar::Unknown => KingState::Void("the king has no score that others can be held against".to_owned()),
                bar => KingState::Judges(bar),
            },
        }
    }

    fn void(&self, mut outcome: Outcome, reason: &str) -> Decision {
        outcome.void = Some(reason.to_owned());
        for index in 0..self.round.runs().len() {
            let mut entry = self.entry(index, Bar::Unknown);
            entry.sentence = format!("the round counts for nothing and is tried again: {reason}");
            outcome.verdicts.push(entry);
        }
        finish(outcome)
    }
}

fn finite_mean(prompts: &[PromptStatistics]) -> Option<f64> {
    weighted_mean(prompts).ok()
}

/// Who is the copy of whom, by all matches that were found, whichever ran first and whoever is king. Of several
/// originals the earliest is named.
fn copies(round: &FinishedRound) -> BTreeMap<MinerKey, Disqualification> {
    let mut firsts: BTreeMap<MinerKey, (MinerKey, Disqualification)> = BTreeMap::new();
    for run in round.runs() {
        let StudentResult::Copied { matches, .. } = &run.result else { continue };
        for found in matches {
            let attribution = Attribution::of(run.student.into(), found.of);
            let (Attribution::Copy { copy, original }, Some(mut disqualification)) =
                (attribution, attribution.disqualification(&found.proof))
            else {
                continue;
            };
            disqualification.evidence["round"] = json!(round.plan().id());
            let is_first = firsts.get(&copy).is_none_or(|(earlier, _)| original < *earlier);
            if is_first {
                firsts.insert(copy, (original, disqualification));
            }
        }
    }
    firsts.into_iter().map(|(copy, (_, disqualification))| (copy, disqualification)).collect()
}

/// Why a challenger has the verdict that the core gave it.
pub(crate) fn sentence(verdict: Verdict, measured: &Measured<'_>, bar: Bar, rules: &Rules) -> String {
    let kl = measured.kl.map_or_else(|| "no number of".to_owned(), nats);
    match (verdict, bar) {
        (Verdict::Copy, _) => "a copy of an earlier model".to_owned(),
        (Verdict::NotFinite, _) => "its KL is not a finite number".to_owned(),
        (Verdict::AboveMaxKl, _) => {
            format!("a KL of {kl} nats is above {}, the largest that can be crowned", rules.max_kl_nats())
        }
        (Verdict::BelowFloor, _) => {
            format!("a KL of {kl} nats is at or below {:e}: no student is that close", rules.kl_floor_nats())
        }
        (Verdict::Implausible, _) => match measured.implausible {
            Some(why) => format!("no real run gives such numbers: {why}"),
            None => "no real run gives such numbers".to_owned(),
        },
        (Verdict::Incomplete, _) => "it was not measured on every prompt of the round".to_owned(),
        (_, Bar::King { kl: king_kl }) => {
            let needed = king_kl * (1.0 - rules.win_margin());
            let (king, bar) = (nats(king_kl), nats(needed));
            if verdict == Verdict::BeatsKing {
                format!("a KL of {kl} nats is below {bar}, the king's {king} less the margin")
            } else if measured.kl.is_some_and(|kl| kl < needed) {
                format!("a KL of {kl} nats is below {bar}, but not with the confidence that is asked for")
            } else {
                format!("a KL of {kl} nats is not below {bar}, the king's {king} less the margin")
            }
        }
        (_, Bar::Vacant) => format!("a KL of {kl} nats, and the throne is vacant"),
        (_, Bar::Unknown) => "the king has no score in this round that others can be held against".to_owned(),
    }
}

/// A number of nats for a sentence; the exact one stands beside it as data.
fn nats(value: f64) -> String {
    if value != 0.0 && !(1e-4..1e6).contains(&value.abs()) { format!("{value:.5e}") } else { format!("{value:.6}") }
}
