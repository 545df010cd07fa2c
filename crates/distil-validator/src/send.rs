//! Weights: whether they are needed, signed and stored, sent once, and looked for until the chain shows them.

use crate::events::Event;
use crate::{Validator, ValidatorError, census};
use distil_chain::timelock::Randomness;
use distil_chain::{
    ChainError, CommittedWeights, ErrorClass, Refresh, SignedWeights, SignedWeightsFate, WeightPlan,
    WeightsConfirmation, WeightsOptions, WeightsOutcome, WeightsSigning,
};
use distil_scoring::{Weights, WeightsInput, weights};
use distil_store::{RoundNumber, SentWeights, StoredWeights, WeightsIntention, WeightsKind, WeightsState};
use distil_types::{BlockRef, MinerKey, Uid};
use serde_json::{Value, json};
use std::time::Duration;

/// How soon a raised flag is seen while a transaction is followed.
const SHORT: Duration = Duration::from_millis(100);

const HOUR_MS: u64 = 3_600_000;

/// Weights whose end is not known.
enum Unsettled {
    /// They wait for their reveal.
    Committed(CommittedWeights),
    /// No final block has them, and one still can.
    Signed { pending: Box<StoredWeights>, signed: Box<SignedWeights> },
}

impl Validator {
    /// Sees to it that the chain holds the weights that follow from the stored king, or comes to.
    pub(crate) fn see_to_weights(&mut self) -> Result<(), ValidatorError> {
        self.weights(Refresh::Due)
    }

    /// Whether the king was given no weights yet, and none are on their way to it.
    pub(crate) fn owes_weights(&self) -> Result<bool, ValidatorError> {
        let Some(reign) = self.store.king()? else { return Ok(false) };
        let given = match self.store.pending_weights()? {
            Some(pending) => Some(pending),
            None => self.store.last_confirmed_weights()?,
        };
        Ok(self.signer.is_some() && given.is_none_or(|given| given.intention.king != reign.king.miner))
    }

    /// Between the passes of a long round, and while rounds cannot be brought forward: sees that the sitting king's
    /// weights do not lapse. At most once an hour, since nothing here changes faster.
    pub(crate) fn keep_weights(&mut self) -> Result<(), ValidatorError> {
        let now = self.now_ms();
        if self.weights_kept_ms.is_some_and(|kept| now.saturating_sub(kept) < HOUR_MS) {
            return Ok(());
        }
        // The first time nothing has been in the way for an hour yet.
        if self.weights_kept_ms.replace(now).is_none() && !self.owes_weights()? {
            return Ok(());
        }
        self.keep_weights_now()
    }

    /// What is in the way of weights now is told, and is in the way of nothing else.
    pub(crate) fn keep_weights_now(&mut self) -> Result<(), ValidatorError> {
        match self.weights(Refresh::Overdue) {
            Err(error) if error.is_transient() && !matches!(error, ValidatorError::Stopped) => {
                self.tell(Event::NoWeights { reason: error.to_string() });
                Ok(())
            }
            other => other,
        }
    }

    fn weights(&mut self, refresh: Refresh) -> Result<(), ValidatorError> {
        if self.signer.is_none() {
            return Ok(());
        }
        self.check_stop()?;
        let unsettled = self.settle()?;
        let Some(reign) = self.store.king()? else {
            self.tell(Event::NoWeights { reason: "there is no king".to_owned() });
            return Ok(());
        };
        let king = reign.king.miner;
        let snapshot = self.fresh_snapshot()?;
        let seats = census::seats(&snapshot);
        let integrity = self.look_again(&king, &reign.king.commitment)?;
        let uid = match weights(WeightsInput { king: Some((king, &integrity)), seats: &seats }) {
            Weights::Send { uid, .. } => uid,
            Weights::Nothing { reason } => {
                self.tell(Event::NoWeights { reason: reason.to_string() });
                return Ok(());
            }
            Weights::KingFalls { disqualification: out } => {
                let reason = out.sentence.clone();
                if self.store.open_round()?.is_some() {
                    // A round with this king is under way: what it comes to is decided at its end.
                    self.tell(Event::NoWeights { reason });
                    return Ok(());
                }
                self.disqualify(&out.miner, out.code, out.sentence, out.evidence, snapshot.block)?;
                let now = self.now_ms();
                if self.store.vacate(&reason, snapshot.block.number, now)? {
                    self.tell(Event::ThroneVacant { reason });
                }
                return Ok(());
            }
        };
        match self.send(king, uid, snapshot.block, unsettled, refresh) {
            // What the chain will never take from this hotkey is for its operator to see to; the round is over all the same.
            Err(ValidatorError::Chain(error)) if error.class() == ErrorClass::Never => {
                self.tell(Event::NoWeights { reason: error.to_string() });
                Ok(())
            }
            other => other,
        }
    }

    /// Sends weights, unless they are there or on their way.
    fn send(
        &mut self,
        king: MinerKey,
        uid: Uid,
        block: BlockRef,
        unsettled: Option<Unsettled>,
        refresh: Refresh,
    ) -> Result<(), ValidatorError> {
        if let Some(Unsettled::Signed { pending, signed }) = &unsettled
            && (pending.intention.king, pending.intention.uid) == (king, uid)
        {
            let (wait, mut progress) = (self.settings.transaction_wait, |_| {});
            let outcome = self.unless_stopped(self.chain.resume_weights(signed, wait, &mut progress))?;
            // Where it is refused now it may still have been taken before.
            let may_be_there = matches!(outcome, Err(ChainError::Pool { .. }));
            return self.sent(pending, outcome, may_be_there);
        }
        let Some(signed) = self.sign(king, &unsettled, refresh)? else { return Ok(()) };
        if let Some(pending) = self.store.pending_weights()? {
            let reason = format!("weights for {king} took their place");
            self.lost(&pending, reason)?;
        }
        let intention = WeightsIntention {
            round: self.store.last_finished_round()?.map(|round| round.number),
            king,
            uid,
            block: block.number,
            weights: vec![(uid, 1.0)],
            signed: json!(signed),
        };
        let now = self.now_ms();
        self.store.intend_weights(&intention, now)?;
        self.tell(Event::WeightsIntended { king, uid });
        let Some(pending) = self.store.pending_weights()? else { return Ok(()) };
        let (wait, mut progress) = (self.settings.transaction_wait, |_| {});
        let outcome = self.unless_stopped(self.chain.send_weights(&signed, wait, &mut progress))?;
        self.sent(&pending, outcome, false)
    }

    /// Signs weights, where the chain needs any.
    fn sign(
        &mut self,
        king: MinerKey,
        unsettled: &Option<Unsettled>,
        refresh: Refresh,
    ) -> Result<Option<Box<SignedWeights>>, ValidatorError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let mut options = WeightsOptions::new(&self.settings.drand);
        options.version_key = self.settings.weights_version;
        options.block_time_ms = self.settings.block_time_ms;
        options.committed = match unsettled {
            Some(Unsettled::Committed(committed)) => Some(committed),
            _ => None,
        };
        options.expected = self.expectation(None)?;
        options.refresh = refresh;
        let randomness = Randomness::from_system().map_err(ChainError::from)?;
        let (netuid, plan) = (self.settings.profile.netuid, WeightPlan::winner(king.hotkey));
        let signing = self.chain.sign_weights(netuid, &plan, signer, &options, randomness);
        let reason = match self.runtime.block_on(signing)? {
            WeightsSigning::Signed(signed) => return Ok(Some(signed)),
            WeightsSigning::AlreadyThere { .. } => "the chain holds them already, and not for long".to_owned(),
            WeightsSigning::AwaitingReveal { reveal_block, .. } => {
                format!("they are committed, and are revealed from block {reveal_block} on")
            }
        };
        self.tell(Event::NoWeights { reason });
        Ok(None)
    }

    /// Follows a transaction for as long as the program is not asked to end. It is stored: the next start takes it up.
    fn unless_stopped<T>(
        &self,
        following: impl Future<Output = Result<T, ChainError>>,
    ) -> Result<Result<T, ChainError>, ValidatorError> {
        self.runtime.block_on(async {
            let mut following = std::pin::pin!(following);
            loop {
                match tokio::time::timeout(SHORT, &mut following).await {
                    Ok(outcome) => return Ok(outcome),
                    Err(_) if self.stop.is_raised() => return Err(ValidatorError::Stopped),
                    Err(_) => {}
                }
            }
        })
    }

    /// Stores what came of weights.
    fn sent(
        &mut self,
        pending: &StoredWeights,
        outcome: Result<WeightsOutcome, ChainError>,
        may_be_there: bool,
    ) -> Result<(), ValidatorError> {
        let (id, king, uid) = (pending.id, pending.intention.king, pending.intention.uid);
        let now = self.now_ms();
        match outcome {
            Ok(WeightsOutcome::Set { transaction, block, .. }) => {
                let sent = SentWeights { transaction, kind: WeightsKind::Plain, details: Value::Null };
                self.store.weights_sent(id, &sent, now)?;
                self.tell(Event::WeightsSent { king, uid, how: format!("set in block {}", block.number) });
                self.store.weights_confirmed(id, block.number, now)?;
                self.tell(Event::WeightsConfirmed { king, uid, block: block.number });
                Ok(())
            }
            Ok(WeightsOutcome::Committed(committed)) => {
                let (reveal_round, reveal_epoch) = (committed.reveal_round, Some(committed.epoch));
                let kind = WeightsKind::CommitReveal { reveal_round, reveal_epoch };
                let sent = SentWeights { transaction: committed.transaction.clone(), kind, details: json!(committed) };
                self.store.weights_sent(id, &sent, now)?;
                let (block, reveal_block) = (committed.block.number, committed.reveal_block);
                let how = format!("committed in block {block}, revealed from block {reveal_block}");
                self.tell(Event::WeightsSent { king, uid, how });
                Ok(())
            }
            Err(error) => {
                let is_over = matches!(
                    error,
                    ChainError::Pool { .. } | ChainError::Dispatch { .. } | ChainError::NotIncluded { .. }
                );
                if is_over && !may_be_there {
                    self.lost(pending, error.to_string())?;
                }
                Err(error.into())
            }
        }
    }

    fn lost(&mut self, pending: &StoredWeights, reason: String) -> Result<(), ValidatorError> {
        let now = self.now_ms();
        self.store.weights_lost(pending.id, &reason, now)?;
        self.tell(Event::WeightsLost { reason });
        Ok(())
    }

    /// Finds out what became of weights whose end is not known. Gives those that it is still not known of.
    fn settle(&mut self) -> Result<Option<Unsettled>, ValidatorError> {
        let Some(pending) = self.store.pending_weights()? else { return Ok(None) };
        if let WeightsState::Sent(sent) = &pending.state
            && let Ok(committed) = serde_json::from_value::<CommittedWeights>(sent.details.clone())
        {
            return self.settle_committed(&pending, committed);
        }
        // Signed and stored; the program may have ended before or after they were sent.
        let signed: Box<SignedWeights> = match serde_json::from_value(pending.intention.signed.clone()) {
            Ok(signed) => signed,
            Err(error) => {
                self.lost(&pending, format!("what was signed cannot be read: {error}"))?;
                return Ok(None);
            }
        };
        match self.runtime.block_on(self.chain.find_weights(&signed))? {
            SignedWeightsFate::Shown(outcome) => {
                let committed = match &outcome {
                    WeightsOutcome::Committed(committed) => Some(Unsettled::Committed(committed.clone())),
                    WeightsOutcome::Set { .. } => None,
                };
                self.sent(&pending, Ok(outcome), false)?;
                Ok(committed)
            }
            SignedWeightsFate::Open => Ok(Some(Unsettled::Signed { pending: Box::new(pending), signed })),
            SignedWeightsFate::Void => {
                let (transaction, block) = (signed.transaction(), signed.last_block());
                self.lost(&pending, format!("no block up to {block} holds {transaction}, and no other one can"))?;
                Ok(None)
            }
        }
    }

    fn settle_committed(
        &mut self,
        pending: &StoredWeights,
        committed: CommittedWeights,
    ) -> Result<Option<Unsettled>, ValidatorError> {
        let Some(hotkey) = self.signer.as_ref().map(|signer| signer.public_key()) else { return Ok(None) };
        let netuid = self.settings.profile.netuid;
        match self.runtime.block_on(self.chain.confirm_weights(netuid, hotkey, &committed))? {
            WeightsConfirmation::Revealed { block } => {
                let (king, uid, now) = (pending.intention.king, pending.intention.uid, self.now_ms());
                self.store.weights_confirmed(pending.id, block.number, now)?;
                self.tell(Event::WeightsConfirmed { king, uid, block: block.number });
                Ok(None)
            }
            WeightsConfirmation::NotYet { .. } => Ok(Some(Unsettled::Committed(committed))),
            WeightsConfirmation::Lost { reasons, .. } => {
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                let reason = match reasons.is_empty() {
                    true => "the chain did not reveal them, and does not say why".to_owned(),
                    false => reasons.join("; "),
                };
                self.lost(pending, reason)?;
                Ok(None)
            }
        }
    }

    /// What a record says of the weights that followed a round.
    pub(crate) fn weights_of(&self, round: RoundNumber) -> Result<Value, ValidatorError> {
        let newest = self.store.weights_history(0, 16)?;
        let found = newest.into_iter().find(|weights| weights.intention.round == Some(round));
        Ok(match found {
            Some(weights) => json!({
                "uid": weights.intention.uid,
                "king": weights.intention.king,
                "block": weights.intention.block,
                "state": weights.state,
            }),
            None => Value::Null,
        })
    }
}
