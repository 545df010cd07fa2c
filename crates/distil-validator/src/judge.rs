//! A verdict for each commitment: what its repository holds, asked of the Hub once and kept by its revision.

use crate::{Stop, told};
use distil_checker::{
    AbsenceLog, CheckReport, Code, ExpectedRepository, HubRepository, Integrity, IntegrityWatch, Requirements,
    Severity, Verdict, check,
};
use distil_hub::{Hub, RepoAt, RepoKind};
use distil_types::Commitment;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::sync::Mutex;

/// After a check that could not be finished; doubles with each one, up to a day.
const FIRST_WAIT_S: u64 = 60;
const LONGEST_WAIT_S: u64 = 24 * 3600;

/// What looks at one repository have left, to be stored with its verdict and given to the next look.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Looks {
    /// What it held when it was judged.
    pub(crate) expected: Option<ExpectedRepository>,
    /// Its absences.
    pub(crate) absences: AbsenceLog,
    /// Checks in a row that could not be finished. Passes that came to nothing are counted elsewhere: a check that passes
    /// does not undo them.
    pub(crate) unfinished: u32,
}

/// What a check says about a commitment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Judgement {
    /// It may be evaluated.
    Passed { report: Value },
    /// Its repository is not what it has to be, and at this revision it never will be.
    Invalid { codes: Vec<String>, sentence: String, report: Value },
    /// It was gone for long enough, while the teacher's repository was there.
    Removed { sentence: String, evidence: Value },
    /// Nobody can tell yet. It counts against nobody.
    Waiting { reason: String, not_before_unix_s: u64 },
    /// It passed its checks and has no result, however often it was tried. That counts against nobody either.
    PutOff { reason: String, tries: u32, not_before_unix_s: u64 },
}

/// One commitment to be judged.
#[derive(Debug)]
pub(crate) struct Case<K> {
    pub(crate) key: K,
    pub(crate) commitment: Commitment,
    pub(crate) looks: Looks,
}

/// How commitments are judged.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) teacher: &'a RepoAt,
    pub(crate) requirements: &'a Requirements,
    pub(crate) now_unix_s: u64,
}

impl Judge<'_> {
    /// Judges cases, so many at a time, and gives them back in their order.
    ///
    /// Cases that were not begun when `stop` was raised are left out.
    pub(crate) fn all<K: Send>(
        &self,
        cases: Vec<Case<K>>,
        at_once: NonZeroUsize,
        stop: &Stop,
    ) -> Vec<(Case<K>, Judgement)> {
        let count = cases.len();
        let waiting = Mutex::new(cases.into_iter().enumerate());
        let done = Mutex::new(Vec::with_capacity(count));
        std::thread::scope(|scope| {
            for _ in 0..at_once.get().min(count) {
                scope.spawn(|| {
                    while !stop.is_raised() {
                        let next = waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
                        let Some((place, mut case)) = next else { break };
                        let judgement = self.one(&case.commitment, &mut case.looks);
                        done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((place, case, judgement));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        done.sort_by_key(|(place, ..)| *place);
        done.into_iter().map(|(_, case, judgement)| (case, judgement)).collect()
    }

    fn one(&self, commitment: &Commitment, looks: &mut Looks) -> Judgement {
        let at = RepoAt { kind: RepoKind::Model, repo: commitment.model.clone(), revision: commitment.revision };
        // Nothing is known of it yet, so whatever is there differs from this: only absence is of interest.
        let mut nothing =
            ExpectedRepository { at: at.clone(), files: Default::default(), private: false, gated: false, etag: None };
        let mut watch = IntegrityWatch::new(self.hub, self.teacher.clone(), self.now_unix_s);
        match watch.still_same(&mut nothing, &mut looks.absences) {
            Integrity::Unchanged | Integrity::Changed { .. } => {}
            other => return self.absent(other),
        }
        let repository = match self.hub.snapshot(at.kind, &at.repo, Some(&at.revision)) {
            Ok(snapshot) => {
                looks.expected = Some(ExpectedRepository::of(&snapshot));
                HubRepository::from_snapshot(self.hub, snapshot)
            }
            Err(error) => return self.unfinished(told::of_hub(&error), looks),
        };
        let report = match repository {
            Ok(repository) => check(&repository, self.requirements),
            Err(error) => CheckReport::of_error(commitment.model.as_str(), Some(commitment.revision), &error),
        };
        let as_json = serde_json::to_value(&report).unwrap_or(Value::Null);
        let errors: Vec<_> = report.findings().iter().filter(|finding| finding.severity == Severity::Error).collect();
        let of_the_moment = |code: Code| matches!(code, Code::Transient | Code::NotFound | Code::Private);
        match report.verdict() {
            Verdict::Pass => {
                looks.unfinished = 0;
                Judgement::Passed { report: as_json }
            }
            Verdict::Refused if errors.iter().any(|finding| !of_the_moment(finding.code)) => {
                let lasting: Vec<_> = errors.iter().filter(|finding| !of_the_moment(finding.code)).collect();
                let mut codes: Vec<String> = lasting.iter().map(|finding| finding.code.to_string()).collect();
                codes.dedup();
                Judgement::Invalid { codes, sentence: lasting[0].message.clone(), report: as_json }
            }
            _ => {
                let reason = errors.first().map_or_else(String::new, |finding| finding.message.clone());
                self.unfinished(reason, looks)
            }
        }
    }

    /// What a look says that did not find the repository unharmed.
    fn absent(&self, integrity: Integrity) -> Judgement {
        match integrity {
            Integrity::Removed(absence) | Integrity::Private(absence) if absence.is_final => {
                let sentence = format!(
                    "the repository was not there in {} looks over {} minutes, while the teacher's was",
                    absence.looks,
                    (self.now_unix_s.saturating_sub(absence.since_unix_s)) / 60
                );
                Judgement::Removed { sentence, evidence: json!(absence) }
            }
            Integrity::Removed(absence) | Integrity::Private(absence) => Judgement::Waiting {
                reason: format!("the repository is not there ({}); it is looked for again", absence.evidence),
                // Looks that follow one another faster count as one.
                not_before_unix_s: self.now_unix_s + 600,
            },
            Integrity::CantTell { reason, not_before_unix_s } => Judgement::Waiting { reason, not_before_unix_s },
            Integrity::Changed { difference } => {
                Judgement::Waiting { reason: difference, not_before_unix_s: self.now_unix_s }
            }
            Integrity::Unchanged => Judgement::Waiting { reason: String::new(), not_before_unix_s: self.now_unix_s },
        }
    }

    /// Waits, longer each time.
    fn unfinished(&self, reason: String, looks: &mut Looks) -> Judgement {
        let wait_s = (FIRST_WAIT_S << looks.unfinished.min(16)).min(LONGEST_WAIT_S);
        looks.unfinished = looks.unfinished.saturating_add(1);
        Judgement::Waiting { reason, not_before_unix_s: self.now_unix_s.saturating_add(wait_s) }
    }
}
