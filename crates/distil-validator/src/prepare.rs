//! Before a round is planned: repositories are checked, models brought here and digested, copies found.

use crate::events::Event;
use crate::judge::{Case, Judge, Judgement, Looks};
use crate::models::NotFetched;
use crate::{Validator, ValidatorError, census, models};
use distil_checker::IntegrityWatch;
use distil_scoring::{Attribution, CheckVerdict, Disqualification, DisqualificationCode, Miner, Standing, standings};
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
        let (state, report, out) = match judgement {
            Judgement::Passed { report } => (CheckState::Passed, report, None),
            Judgement::Invalid { codes, sentence, report } => {
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
                (state, Value::Null, Some((DisqualificationCode::Removed, sentence, evidence)))
            }
            Judgement::Waiting { reason, not_before_unix_s } => {
                (CheckState::Waiting { reason, tries: looks.unfinished, not_before_unix_s }, Value::Null, None)
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
            absence_log: None,
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
        let mut challengers: Vec<&Miner> =
            miners.iter().filter(|miner| matches!(standings.get(&miner.key), Some(Standing::Challenger))).collect();
        challengers.sort_by_key(|miner| miner.key);
        let mut places = self.settings.rules.challengers_per_round();
        for miner in challengers {
            if places == 0 {
                break;
            }
            self.check_stop()?;
            if self.store.digests(&miner.key)?.is_none() {
                match self.fetch_and_digest(&miner.commitment) {
                    Ok(digests) => {
                        let now = self.now_ms();
                        self.store.record_digests(&miner.key, &miner.commitment, &digests, now)?;
                    }
                    Err(problem) => {
                        self.put_off(block, &miner.key, problem)?;
                        continue;
                    }
                }
            }
            if !self.disqualify_exact_copies(block, &miner.key)? {
                places -= 1;
            }
        }
        Ok(())
    }

    fn fetch_and_digest(&self, commitment: &Commitment) -> Result<distil_store::TensorDigests, NotFetched> {
        let folder = models::fetch(&self.hub, commitment)?;
        models::digest(&folder, self.settings.threads)
    }

    /// A model that could not be brought here waits; one that came whole and is none is invalid.
    fn put_off(&mut self, block: BlockRef, key: &MinerKey, problem: NotFetched) -> Result<(), ValidatorError> {
        let Some(check) = self.store.check(key)? else { return Ok(()) };
        let mut looks = looks_of(&check);
        let judgement = match problem {
            NotFetched::Later { reason } => self.unfinished(reason, &mut looks),
            NotFetched::Broken { reason } => Judgement::Invalid {
                codes: vec!["missing_tensors".to_owned()],
                sentence: format!("its weights cannot be loaded: {reason}"),
                report: check.report.clone(),
            },
        };
        self.record_judgement(block, key, &check.commitment, &looks, judgement)
    }

    fn unfinished(&self, reason: String, looks: &mut Looks) -> Judgement {
        let judge = Judge {
            hub: &self.hub,
            teacher: &self.teacher,
            requirements: &self.requirements,
            now_unix_s: self.now_ms() / 1000,
        };
        judge.unfinished(reason, looks)
    }

    /// A student that had no result through the network's fault: it is looked at anew after a while, longer each time.
    pub(crate) fn put_off_interrupted(
        &mut self,
        block: BlockRef,
        key: &MinerKey,
        reason: &str,
    ) -> Result<(), ValidatorError> {
        self.put_off(block, key, NotFetched::Later { reason: reason.to_owned() })
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
                is_out |= copy == *key;
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

fn looks_of(check: &CheckRecord) -> Looks {
    check.repository.as_ref().and_then(|json| serde_json::from_value(json.clone()).ok()).unwrap_or_default()
}
