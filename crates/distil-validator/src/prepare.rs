//! Before a round is planned: repositories are checked, models brought here and digested, copies found.

use crate::events::Event;
use crate::judge::{Case, Judge, Judgement, Looks};
use crate::models::NotFetched;
use crate::{Validator, ValidatorError, census, models, told};
use distil_checker::IntegrityWatch;
use distil_scoring::{
    Attribution, CheckVerdict, Disqualification, DisqualificationCode, FinishedRound, Miner, StudentResult,
    challengers_in_turn, interruption_wait_s, standings,
};
use distil_store::{CheckRecord, CheckState};
use distil_types::{BlockRef, Commitment, MinerKey};
use serde_json::{Value, json};

impl Validator {
    /// Checks every commitment that has no lasting verdict and whose time has come.
    pub(crate) fn check_commitments(&mut self, block: BlockRef, miners: &[Miner]) -> Result<(), ValidatorError> {
        let now_ms = self.now_ms();
        let now_unix_s = now_ms / 1000;
        let mut cases = Vec::new();
        for miner in miners.iter().filter(|miner| census::has_seat(miner) && miner.disqualification.is_none()) {
            // Reports are long, and nearly all miners have a verdict that lasts.
            if matches!(miner.check, CheckVerdict::Passed | CheckVerdict::Invalid { .. }) {
                continue;
            }
            let stored = self.store.check(&miner.key)?;
            let is_due = match stored.as_ref().map(|check| &check.state) {
                Some(CheckState::Waiting { not_before_unix_s, .. }) => *not_before_unix_s <= now_unix_s,
                _ => true,
            };
            if is_due {
                let looks = stored.map(|check| looks_of(&check)).unwrap_or_default();
                cases.push(Case { key: miner.key, commitment: miner.commitment.clone(), looks });
            }
        }
        if cases.is_empty() {
            return Ok(());
        }
        let judge = Judge { hub: &self.hub, teacher: &self.teacher, requirements: &self.requirements, now_unix_s };
        let judged = judge.all(cases, self.settings.checks_at_once, &self.stop);
        for (case, judgement) in judged {
            self.record_judgement(block, &case.key, &case.commitment, &case.looks, judgement)?;
        }
        self.check_stop()
    }

    fn record_judgement(
        &mut self,
        block: BlockRef,
        key: &MinerKey,
        commitment: &Commitment,
        looks: &Looks,
        judgement: Judgement,
    ) -> Result<(), ValidatorError> {
        let unix_ms = self.now_ms();
        // All of it can be read on pages.
        let (state, report, out) = match judgement {
            Judgement::Passed { report } => (CheckState::Passed, told::document(report), None),
            Judgement::Invalid { codes, sentence, report } => {
                let (sentence, report) = (told::without_paths(&sentence), told::document(report));
                let out =
                    (DisqualificationCode::Invalid, sentence.clone(), json!({ "codes": codes, "report": report }));
                (CheckState::Invalid { codes, sentence }, report, Some(out))
            }
            Judgement::Removed { sentence, evidence } => {
                let state = CheckState::Waiting {
                    reason: sentence.clone(),
                    tries: looks.unfinished,
                    not_before_unix_s: unix_ms / 1000,
                };
                (state, Value::Null, Some((DisqualificationCode::Removed, sentence, told::document(evidence))))
            }
            Judgement::Waiting { reason, not_before_unix_s } => {
                let (reason, tries) = (told::without_paths(&reason), looks.unfinished);
                (CheckState::Waiting { reason, tries, not_before_unix_s }, Value::Null, None)
            }
            Judgement::PutOff { reason, tries, not_before_unix_s } => {
                (CheckState::Waiting { reason, tries, not_before_unix_s }, Value::Null, None)
            }
        };
        let (verdict, passed) = match &state {
            CheckState::Passed => ("passed".to_owned(), true),
            CheckState::Invalid { sentence, .. } => (sentence.clone(), false),
            CheckState::Waiting { reason, .. } => (reason.clone(), false),
        };
        let check = CheckRecord {
            commitment: commitment.clone(),
            state,
            report,
            repository: Some(json!(looks)),
            checked_unix_ms: unix_ms,
        };
        self.store.record_check(key, &check)?;
        self.tell(Event::Checked { miner: *key, commitment: commitment.clone(), verdict, passed });
        if let Some((code, sentence, evidence)) = out {
            self.disqualify(key, code, sentence, evidence, block)?;
        }
        Ok(())
    }

    pub(crate) fn disqualify(
        &mut self,
        key: &MinerKey,
        code: DisqualificationCode,
        sentence: String,
        evidence: Value,
        block: BlockRef,
    ) -> Result<(), ValidatorError> {
        let unix_ms = self.now_ms();
        let disqualification = Disqualification { miner: *key, code, sentence, evidence };
        if self.store.disqualify(&disqualification, block.number, unix_ms)? {
            let Disqualification { code, sentence, .. } = disqualification;
            self.tell(Event::Disqualified { miner: *key, code: code.to_string(), sentence });
        }
        Ok(())
    }

    /// Brings the models of the next challengers to this host, digests them, and disqualifies exact copies. As many as a
    /// round takes; those behind them come when their turn does.
    pub(crate) fn digest_challengers(&mut self, block: BlockRef, miners: &[Miner]) -> Result<(), ValidatorError> {
        let standings = standings(miners)?;
        let king = self.store.king()?.map(|reign| reign.king.miner);
        let mut places = self.settings.rules.challengers_per_round();
        for miner in challengers_in_turn(miners, &standings) {
            if places == 0 {
                break;
            }
            self.check_stop()?;
            if let Err(problem) = self.bring(miner)? {
                self.put_off(block, &miner.key, problem)?;
                continue;
            }
            let is_out = self.disqualify_exact_copies(block, &miner.key)?;
            if !is_out && Some(miner.key) != king {
                places -= 1;
            }
        }
        Ok(())
    }

    /// Sees to it that a model is on this host, for others to be compared with it, and digested.
    fn bring(&mut self, miner: &Miner) -> Result<Result<(), NotFetched>, ValidatorError> {
        let is_digested = self.store.digests(&miner.key)?.is_some();
        let digests = models::open(&self.hub, &miner.commitment).and_then(|model| match is_digested {
            true => Ok(None),
            false => models::digest(&model, &miner.commitment, self.settings.threads).map(Some),
        });
        let digests = match digests {
            Ok(digests) => digests,
            Err(problem) => return Ok(Err(problem)),
        };
        if let Some(digests) = digests {
            let now = self.now_ms();
            self.store.record_digests(&miner.key, &miner.commitment, &digests, now)?;
        }
        Ok(Ok(()))
    }

    /// A model that could not be brought here waits; one that came whole and is none is invalid.
    fn put_off(&mut self, block: BlockRef, key: &MinerKey, problem: NotFetched) -> Result<(), ValidatorError> {
        let Some(check) = self.store.check(key)? else { return Ok(()) };
        let looks = looks_of(&check);
        let damage = || models::damage(&self.hub, &check.commitment, &looks.expected.as_ref()?.files);
        match problem {
            NotFetched::Broken { reason } if damage().is_none() => {
                let judgement = Judgement::Invalid {
                    codes: vec!["missing_tensors".to_owned()],
                    sentence: format!("its weights cannot be loaded: {reason}"),
                    report: check.report.clone(),
                };
                self.record_judgement(block, key, &check.commitment, &looks, judgement)
            }
            NotFetched::Broken { .. } => {
                let reason = "the copy of its files on the validator's host is damaged".to_owned();
                self.interrupted(block, key, reason)
            }
            NotFetched::Later { reason } => self.interrupted(block, key, reason),
        }
    }

    /// Counts that a miner was kept from a result, and has it wait, longer each time.
    fn interrupted(&mut self, block: BlockRef, key: &MinerKey, reason: String) -> Result<(), ValidatorError> {
        let now = self.now_ms();
        let interruptions = self.store.record_interruption(key, block.number, &reason, now)?;
        self.wait_after(block, key, reason, interruptions)
    }

    fn wait_after(
        &mut self,
        block: BlockRef,
        key: &MinerKey,
        reason: String,
        interruptions: u32,
    ) -> Result<(), ValidatorError> {
        let Some(check) = self.store.check(key)? else { return Ok(()) };
        let not_before_unix_s = (self.now_ms() / 1000).saturating_add(interruption_wait_s(interruptions));
        let judgement = Judgement::PutOff { reason, tries: interruptions, not_before_unix_s };
        self.record_judgement(block, key, &check.commitment, &looks_of(&check), judgement)
    }

    /// The students of a round that had no result for a reason that may be their own wait, and are then looked at anew.
    pub(crate) fn put_off_interrupted(&mut self, round: &FinishedRound) -> Result<(), ValidatorError> {
        let block = round.plan().block();
        let interruptions = self.store.interruptions()?;
        for run in round.runs() {
            if let (StudentResult::Interrupted { reason }, Some(own)) = (&run.result, interruptions.get(&run.student))
                && own.last_block == block.number
            {
                self.wait_after(block, &run.student, reason.clone(), own.in_a_row)?;
            }
        }
        Ok(())
    }

    /// Of all that have the tensors of this miner, the earliest commitment stays. Gives whether this one is out.
    fn disqualify_exact_copies(&mut self, block: BlockRef, key: &MinerKey) -> Result<bool, ValidatorError> {
        let Some((_, digests)) = self.store.digests(key)? else { return Ok(false) };
        let mut same = self.store.miners_with_raw_digest(&digests.raw)?;
        same.sort();
        let Some(original) = same.first().copied() else { return Ok(false) };
        let mut is_out = false;
        for other in same {
            if let Attribution::Copy { copy, original } = Attribution::of(original.into(), other.into()) {
                let sentence = format!("the same tensors as those that {original} committed earlier");
                let evidence = json!({ "original": original, "tensors": digests.raw.to_string() });
                self.disqualify(&copy, DisqualificationCode::Copy, sentence, evidence, block)?;
                // One that was lifted is not disqualified again.
                is_out |= copy == *key && self.store.disqualification(&copy)?.is_some();
            }
        }
        Ok(is_out)
    }

    /// Looks at a repository again, and stores what that leaves.
    pub(crate) fn look_again(
        &mut self,
        key: &MinerKey,
        commitment: &Commitment,
    ) -> Result<distil_scoring::Integrity, ValidatorError> {
        let cant_tell = |reason: &str| distil_scoring::Integrity::CantTell { reason: reason.to_owned() };
        let Some(check) = self.store.check(key)? else { return Ok(cant_tell("it was never checked")) };
        let mut looks = looks_of(&check);
        let Some(expected) = looks.expected.as_mut().filter(|expected| expected.at.revision == commitment.revision)
        else {
            return Ok(cant_tell("it was never checked"));
        };
        let mut watch = IntegrityWatch::new(&self.hub, self.teacher.clone(), self.now_ms() / 1000);
        let found = watch.still_same(expected, &mut looks.absences);
        // The verdict stays; only what the look has left is new.
        self.store.record_check(key, &CheckRecord { repository: Some(json!(looks)), ..check })?;
        let found = crate::stored::integrity(found);
        let sentence = match &found {
            distil_scoring::Integrity::Same => "intact".to_owned(),
            distil_scoring::Integrity::Changed { .. } => "changed".to_owned(),
            distil_scoring::Integrity::Gone { proven, .. } => {
                if *proven {
                    "removed".to_owned()
                } else {
                    "not there; not yet proven to be gone".to_owned()
                }
            }
            distil_scoring::Integrity::CantTell { reason } => format!("cannot tell: {reason}"),
        };
        self.tell(Event::IntegrityChecked { miner: *key, found: sentence });
        Ok(found)
    }
}

pub(crate) fn looks_of(check: &CheckRecord) -> Looks {
    check.repository.as_ref().and_then(|json| serde_json::from_value(json.clone()).ok()).unwrap_or_default()
}
