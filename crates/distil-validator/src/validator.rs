//! One epoch: what is due, step by step.

use crate::events::{Event, Observer};
use crate::{Stop, ValidatorError, ValidatorSettings, census, record};
use census::Census;
use distil_chain::wallet::HotkeySigner;
use distil_chain::{ChainClient, ChainError, ErrorClass, Snapshot, SnapshotExpectation, SnapshotRefusal};
use distil_checker::{ExpectedRepository, FolderRepository, Requirements, TeacherFacts};
use distil_dataset::{Corpus, DrawRequest, Sampler};
use distil_eval::worker::Worker;
use distil_hub::{Hub, RepoAt, RepoFile, RepoKind};
use distil_scoring::{
    ConfirmedDecision, Decision, FinishedRound, Plan, RoundPlan, Seat, Throne, Vacancy, decide, plan,
};
use distil_store::{NewRound, Round, RoundPrompt, RoundState, Store, StoreReader};
use distil_types::BlockRef;
use record::IntegrityRecord;
use serde_json::json;
use std::fmt;
use std::num::NonZeroU64;

/// What a validator works with.
pub struct Parts {
    /// The chain.
    pub chain: ChainClient,
    /// The Hub.
    pub hub: Hub,
    /// What it knows.
    pub store: Store,
    /// What runs models.
    pub worker: Worker,
    /// The hotkey that sets weights; without one none are set.
    pub signer: Option<HotkeySigner>,
    /// Milliseconds since 1970.
    pub clock: Box<dyn Fn() -> u64 + Send>,
    /// Who hears of each step.
    pub observer: Box<dyn Observer>,
    /// Raised to end it.
    pub stop: Stop,
}

/// A validator.
pub struct Validator {
    pub(crate) settings: ValidatorSettings,
    pub(crate) chain: ChainClient,
    pub(crate) hub: Hub,
    pub(crate) store: Store,
    pub(crate) worker: Worker,
    pub(crate) signer: Option<HotkeySigner>,
    clock: Box<dyn Fn() -> u64 + Send>,
    pub(crate) observer: Box<dyn Observer>,
    pub(crate) stop: Stop,
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) teacher: RepoAt,
    pub(crate) teacher_files: crate::compare::Files,
    pub(crate) requirements: Requirements,
    /// The newest snapshot's block, once all that is due there was done by this process.
    settled_block: Option<u64>,
    /// When weights were last seen to while something was in the way of rounds, or in the middle of one.
    pub(crate) weights_kept_ms: Option<u64>,
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validator").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What an epoch did.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EpochEnd {
    /// The chain has no new round block yet: nothing was done.
    NotYet {
        /// It has one after at least so many blocks.
        blocks: u64,
    },
    /// There was nothing to evaluate; weights were looked after.
    NoRound,
    /// A round was brought to its end.
    Round(distil_scoring::RoundId),
}

/// The files of the teacher that commitments are checked against.
const TEACHER_FILES: [&str; 6] =
    ["config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "chat_template.jinja"];

impl Validator {
    /// Puts the parts together and reads the teacher's configuration and tokenizer, against which commitments are
    /// checked.
    ///
    /// # Errors
    ///
    /// The teacher's repository cannot be read.
    pub fn new(settings: ValidatorSettings, parts: Parts) -> Result<Self, ValidatorError> {
        let Parts { chain, hub, store, worker, signer, clock, observer, stop } = parts;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(ValidatorError::Runtime)?;
        let teacher = RepoAt {
            kind: RepoKind::Model,
            repo: settings.profile.teacher.clone(),
            revision: settings.teacher_revision,
        };
        let snapshot = hub.snapshot(teacher.kind, &teacher.repo, Some(&teacher.revision))?;
        let wanted = |file: &RepoFile| TEACHER_FILES.contains(&file.path.as_str());
        let folder = hub.download(&snapshot, &wanted, &mut |_| {})?;
        let repository = FolderRepository::open(&folder)?.named(teacher.repo.as_str(), Some(teacher.revision));
        let requirements = Requirements::from_profile(&settings.profile).with_teacher(TeacherFacts::read(&repository)?);
        let worker = worker.cancelled_by(stop.flag());
        Ok(Self {
            settings,
            chain,
            hub,
            store,
            worker,
            signer,
            clock,
            observer,
            stop,
            runtime,
            teacher,
            teacher_files: ExpectedRepository::of(&snapshot).files,
            requirements,
            settled_block: None,
            weights_kept_ms: None,
        })
    }

    /// What it knows, to look at.
    pub fn store(&self) -> &StoreReader {
        &self.store
    }

    /// Does what is due: takes up the round that is open, or reads the subnet at the newest round block and begins a
    /// round if the rules want one; then sees to the weights.
    ///
    /// # Errors
    ///
    /// What stood in the way. All that was done is in the store, and the next epoch goes on from there.
    pub fn epoch(&mut self) -> Result<EpochEnd, ValidatorError> {
        self.check_stop()?;
        let end = match self.advance() {
            Ok(end) => end,
            Err(ValidatorError::Stopped) => return Err(ValidatorError::Stopped),
            // Whatever is in the way of rounds, a king that sits has its weights.
            Err(error) => {
                self.keep_weights()?;
                return Err(error);
            }
        };
        if let EpochEnd::NotYet { .. } = end {
            return Ok(end);
        }
        self.see_to_weights()?;
        self.write_records()?;
        self.settled_block = self.store.newest_snapshot()?.map(|block| block.number);
        Ok(end)
    }

    /// Brings the subnet's rounds as far as they can be brought now.
    fn advance(&mut self) -> Result<EpochEnd, ValidatorError> {
        if let Some(round) = self.store.open_round()? {
            let id = round.id();
            if let Some(difference) = self.settings.differs_from(&round.start) {
                self.void(&round, format!("it was begun under other settings: {difference}"))?;
            } else {
                let results = round.results.len();
                self.tell(Event::RoundResumed { round: id, results });
                self.finish(&round)?;
                return Ok(EpochEnd::Round(id));
            }
        }
        if self.owes_weights()? {
            self.keep_weights_now()?;
        }
        match self.begin()? {
            Begun::NotYet { blocks } => {
                // What ended between the decision and the weights is made up for.
                let newest = self.store.newest_snapshot()?.map(|block| block.number);
                if self.settled_block == newest && self.store.rounds_without_record()?.is_empty() {
                    return Ok(EpochEnd::NotYet { blocks });
                }
                Ok(EpochEnd::NoRound)
            }
            Begun::NoRound => Ok(EpochEnd::NoRound),
            Begun::Round(round) => {
                let id = round.id();
                self.finish(&round)?;
                Ok(EpochEnd::Round(id))
            }
        }
    }

    fn void(&mut self, round: &Round, reason: String) -> Result<(), ValidatorError> {
        let now = self.now_ms();
        self.store.void_round(round.number, &reason, now)?;
        self.tell(Event::RoundVoided { round: round.id(), reason });
        Ok(())
    }

    fn snapshot(&self, expected: SnapshotExpectation) -> Result<Snapshot, ChainError> {
        self.runtime.block_on(self.chain.snapshot(self.settings.profile.netuid, expected))
    }

    /// What a snapshot has to be like to be believed; `previous_block` only where it has to be a new one.
    pub(crate) fn expectation(&self, previous_block: Option<u64>) -> Result<SnapshotExpectation, ValidatorError> {
        let registered = self.store.registered_count()?;
        Ok(SnapshotExpectation {
            previous_block,
            previous_neurons: (registered > 0).then_some(registered),
            own_hotkey: self.signer.as_ref().map(HotkeySigner::public_key),
            ..SnapshotExpectation::default()
        })
    }

    /// The newest final block's subnet, to see who has which seat now.
    pub(crate) fn fresh_snapshot(&self) -> Result<Snapshot, ValidatorError> {
        Ok(self.snapshot(self.expectation(None)?)?)
    }

    /// The block that a new one has to be beyond. A block that was looked at, and at which an epoch ended before it came
    /// to a round or to its weights, is looked at again.
    fn done_with(&self) -> Result<Option<u64>, ValidatorError> {
        let Some(newest) = self.store.newest_snapshot()?.map(|block| block.number) else { return Ok(None) };
        let has_round = self.store.rounds(0, 1)?.first().is_some_and(|round| round.block.number >= newest);
        let is_done = has_round || self.settled_block == Some(newest);
        Ok(if is_done { Some(newest) } else { newest.checked_sub(1) })
    }

    fn begin(&mut self) -> Result<Begun, ValidatorError> {
        let mut expected = self.expectation(self.done_with()?)?;
        expected.block_multiple_of = NonZeroU64::new(self.settings.profile.round_blocks);
        let snapshot = match self.snapshot(expected) {
            Ok(snapshot) => snapshot,
            Err(error @ ChainError::Snapshot(SnapshotRefusal::BlockNotBeyond { .. })) => {
                let blocks = match error.class() {
                    ErrorClass::Wait { blocks } => blocks,
                    ErrorClass::TryAgain | ErrorClass::Never => 1,
                };
                return Ok(Begun::NotYet { blocks });
            }
            Err(error) => return Err(error.into()),
        };
        let block = snapshot.block;
        let seats = census::seats(&snapshot);
        self.check_king(block)?;
        let census = {
            let now = self.now_ms();
            census::record(&mut self.store, &snapshot, now)?;
            Census::read(&self.store, &seats)?
        };
        let submissions = census.miners.iter().filter(|miner| census::has_seat(miner)).count();
        self.tell(Event::Snapshot { block, neurons: snapshot.neurons.len(), submissions });
        self.check_commitments(block, &census.miners)?;
        let census = Census::read(&self.store, &seats)?;
        self.digest_challengers(block, &census.miners)?;
        let plan = self.plan(block, &seats)?;
        let Some(round) = plan.round else {
            self.tell(Event::NoRound { block });
            return Ok(Begun::NoRound);
        };
        Ok(Begun::Round(Box::new(self.begin_round(round)?)))
    }

    /// A king whose repository is proven to be gone or changed is out before a round is planned with it.
    fn check_king(&mut self, block: BlockRef) -> Result<(), ValidatorError> {
        let Some(reign) = self.store.king()? else { return Ok(()) };
        let found = self.look_again(&reign.king.miner, &reign.king.commitment)?;
        if let Some(out) = found.disqualifies(reign.king.miner) {
            self.disqualify(&out.miner, out.code, out.sentence, out.evidence, block)?;
        }
        Ok(())
    }

    /// Plans a round; a throne that the plan finds vacant is vacated in the store first.
    fn plan(&mut self, block: BlockRef, seats: &[Seat]) -> Result<Plan, ValidatorError> {
        let census = Census::read(&self.store, seats)?;
        let settings = self.settings.round_settings();
        let plan = plan(block, &settings, census.king.as_ref(), &census.miners, &self.settings.rules)?;
        if let Throne::Vacant { why: why @ Vacancy::KingLost { .. } } = &plan.throne {
            let reason = why.to_string();
            let now = self.now_ms();
            if self.store.vacate(&reason, block.number, now)? {
                self.tell(Event::ThroneVacant { reason });
            }
            // The plan is made anew with what is stored now, so that both say the same.
            let census = Census::read(&self.store, seats)?;
            return Ok(distil_scoring::plan(block, &settings, None, &census.miners, &self.settings.rules)?);
        }
        Ok(plan)
    }

    fn begin_round(&mut self, plan: RoundPlan) -> Result<Round, ValidatorError> {
        let prompts = self.draw(plan.block())?;
        let settings = self.settings.round_document();
        let students =
            plan.students().iter().map(|student| (student.miner, student.role, student.commitment.clone())).collect();
        let (round, block, count) = (plan.id(), plan.block(), prompts.len());
        let now = self.now_ms();
        let number = self.store.begin_round(&NewRound { plan, prompts, settings }, now)?;
        self.tell(Event::RoundBegun { round, block, students, prompts: count });
        let stored = self.store.round(number)?;
        stored.ok_or_else(|| ValidatorError::Stored { what: "the round", problem: "it is not there".to_owned() })
    }

    fn draw(&mut self, block: BlockRef) -> Result<Vec<RoundPrompt>, ValidatorError> {
        let hub = self.hub.clone();
        let corpus = Corpus::open(&self.settings.source, || Ok(hub), self.settings.source_cache.as_deref())?;
        let request = DrawRequest {
            netuid: self.settings.profile.netuid,
            block,
            count: self.settings.profile.prompts,
            sampler: Sampler::Distil,
        };
        let drawn = corpus.draw(&request, self.settings.threads, &|_| {})?;
        Ok(drawn
            .prompts
            .into_iter()
            .map(|prompt| RoundPrompt { digest: record::text_digest(&prompt.text), id: prompt.id, text: prompt.text })
            .collect())
    }

    /// Brings an open round to its end.
    fn finish(&mut self, round: &Round) -> Result<(), ValidatorError> {
        let plan = &round.start.plan;
        let finished = match self.run_round(round, plan) {
            Ok(finished) => finished,
            // The worker is another one now and gives other tokens: what is recorded cannot be gone on with.
            Err(ValidatorError::Store(error @ distil_store::StoreError::Conflict { .. })) => {
                return self.void(round, error.to_string());
            }
            Err(error) => return Err(error),
        };
        self.check_stop()?;
        let (confirmed, looks) = self.confirm(&finished)?;
        let now = self.now_ms();
        self.store.record_decision(round.number, &json!({ "integrity": looks }), now)?;
        self.put_off_interrupted(&finished)?;
        let now = self.now_ms();
        self.store.finish_round(round.number, &confirmed, now)?;
        self.tell(Event::RoundDecided { outcome: Box::new(confirmed.into_outcome()) });
        Ok(())
    }

    /// Decides, and looks at the winner's repository before it is crowned.
    fn confirm(
        &mut self,
        finished: &FinishedRound,
    ) -> Result<(ConfirmedDecision, Vec<IntegrityRecord>), ValidatorError> {
        let mut decision = decide(finished, &self.settings.rules);
        let mut looks = Vec::new();
        loop {
            match decision {
                Decision::Final(confirmed) => return Ok((confirmed, looks)),
                Decision::Pending(crown) => {
                    let (winner, commitment) = (crown.winner(), crown.commitment().clone());
                    let found = self.look_again(&winner, &commitment)?;
                    decision = crown.confirm(&found);
                    looks.push(IntegrityRecord { miner: winner, found });
                }
            }
        }
    }

    fn write_records(&mut self) -> Result<(), ValidatorError> {
        for number in self.store.rounds_without_record()? {
            let Some(round) = self.store.round(number)? else { continue };
            let weights = self.weights_of(number)?;
            // A void round is perhaps tried again under the same name.
            let name = match round.state {
                RoundState::Void => format!("{}-void-{number}", round.id()),
                _ => round.id().to_string(),
            };
            let folder = self.settings.records.join(name);
            let written = record::write(&folder, &round, &weights)?;
            self.store.mark_record_written(number, &written)?;
            self.tell(Event::RecordWritten { round: round.id(), folder });
        }
        self.store.drop_spent_positions()?;
        Ok(())
    }

    pub(crate) fn check_stop(&self) -> Result<(), ValidatorError> {
        if self.stop.is_raised() { Err(ValidatorError::Stopped) } else { Ok(()) }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.observer.event(&event);
    }
}

enum Begun {
    NotYet { blocks: u64 },
    NoRound,
    Round(Box<Round>),
}
