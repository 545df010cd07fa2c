//! Weights: whether they are needed, sent once, and looked for until the chain shows them.

use crate::events::Event;
use crate::{Validator, ValidatorError, census};
use distil_chain::timelock::Randomness;
use distil_chain::{
    ChainError, CommittedWeights, ErrorClass, WeightPlan, WeightsConfirmation, WeightsOptions, WeightsOutcome,
};
use distil_scoring::{Weights, WeightsInput, weights};
use distil_store::{RoundNumber, SentWeights, StoredWeights, WeightsIntention, WeightsKind, WeightsState};
use distil_types::{BlockRef, Hotkey, MinerKey, Uid};
use serde_json::{Value, json};

/// Committed weights of which nothing is known any more are given up after so many epochs beyond their reveal.
const GIVEN_UP_AFTER_EPOCHS: u64 = 2;

impl Validator {
    /// Sees to it that the chain holds the weights that follow from the stored king, or comes to.
    pub(crate) fn see_to_weights(&mut self) -> Result<(), ValidatorError> {
        let Some(hotkey) = self.signer.as_ref().map(|signer| signer.public_key()) else {
            return Ok(());
        };
        self.check_stop()?;
        let Some(reign) = self.store.king()? else {
            self.settle_pending(hotkey, None)?;
            self.tell(Event::NoWeights { reason: "there is no king".to_owned() });
            return Ok(());
        };
        let king = reign.king.miner;
        let committed = self.settle_pending(hotkey, Some(king))?;
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
                self.disqualify(&out.miner, out.code, out.sentence, out.evidence, snapshot.block)?;
                let now = self.now_ms();
                if self.store.vacate(&reason, snapshot.block.number, now)? {
                    self.tell(Event::ThroneVacant { reason });
                }
                return Ok(());
            }
        };
        match self.send(king, uid, snapshot.block, committed) {
            // What the chain will never take from this hotkey is for its operator to see to; the round is over all the same.
            Err(ValidatorError::Chain(error)) if error.class() == ErrorClass::Never => {
                self.tell(Event::NoWeights { reason: error.to_string() });
                Ok(())
            }
            other => other,
        }
    }

    fn send(
        &mut self,
        king: MinerKey,
        uid: Uid,
        block: BlockRef,
        committed: Option<CommittedWeights>,
    ) -> Result<(), ValidatorError> {
        let Some(signer) = self.signer.take() else { return Ok(()) };
        let sent = self.send_signed(king, uid, block, committed, &signer);
        self.signer = Some(signer);
        sent
    }

    fn send_signed(
        &mut self,
        king: MinerKey,
        uid: Uid,
        block: BlockRef,
        committed: Option<CommittedWeights>,
        signer: &distil_chain::wallet::HotkeySigner,
    ) -> Result<(), ValidatorError> {
        let netuid = self.settings.profile.netuid;
        let drand = self.settings.drand.clone();
        let mut options = WeightsOptions::new(&drand);
        options.version_key = self.settings.weights_version;
        options.block_time_ms = self.settings.block_time_ms;
        options.wait = self.settings.transaction_wait;
        options.committed = committed.as_ref();
        options.expected = {
            let mut expected = self.expectation(None)?;
            expected.own_hotkey = Some(signer.public_key());
            expected
        };
        let plan = WeightPlan::winner(king.hotkey);
        let check = self.runtime.block_on(self.chain.check_weights(netuid, &plan, signer.public_key(), &options))?;
        match check.step {
            distil_chain::WeightsStep::AlreadyThere => {
                self.tell(Event::NoWeights { reason: "the chain holds them already, and not for long".to_owned() });
                return Ok(());
            }
            distil_chain::WeightsStep::AwaitingReveal { reveal_block } => {
                let reason = format!("they are committed, and are revealed from block {reveal_block} on");
                self.tell(Event::NoWeights { reason });
                return Ok(());
            }
            _ => {}
        }
        // Committed before for another king: what is sent now takes their place.
        if let Some(pending) = self.store.pending_weights()? {
            let now = self.now_ms();
            let reason = format!("weights for {king} took their place before they were revealed");
            self.store.weights_lost(pending.id, &reason, now)?;
            self.tell(Event::WeightsLost { reason });
        }
        let intention = WeightsIntention {
            round: self.store.last_finished_round()?.map(|round| round.number),
            king,
            uid,
            block: block.number,
            weights: vec![(uid, 1.0)],
        };
        let now = self.now_ms();
        let id = self.store.intend_weights(&intention, now)?;
        self.tell(Event::WeightsIntended { king, uid });
        let randomness = Randomness::from_system().map_err(ChainError::from)?;
        let outcome =
            self.runtime.block_on(self.chain.set_weights(netuid, &plan, signer, &options, randomness, &mut |_| {}));
        let now = self.now_ms();
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                // Where its fate is open the intention stays, and the chain is asked before anything else is sent.
                if !matches!(error, ChainError::FateUnknown { .. }) {
                    self.store.weights_lost(id, &error.to_string(), now)?;
                }
                return Err(error.into());
            }
        };
        match outcome {
            WeightsOutcome::Set { transaction, block, .. } => {
                let sent = SentWeights { transaction, kind: WeightsKind::Plain, details: Value::Null };
                self.store.weights_sent(id, &sent, now)?;
                self.tell(Event::WeightsSent { king, uid, how: format!("set in block {}", block.number) });
                self.store.weights_confirmed(id, block.number, now)?;
                self.tell(Event::WeightsConfirmed { king, uid, block: block.number });
            }
            WeightsOutcome::Committed(committed) => {
                let kind = WeightsKind::CommitReveal {
                    reveal_round: committed.reveal_round,
                    reveal_epoch: Some(committed.epoch),
                };
                let sent = SentWeights { transaction: committed.transaction.clone(), kind, details: json!(committed) };
                self.store.weights_sent(id, &sent, now)?;
                let how = format!(
                    "committed in block {}, revealed from block {}",
                    committed.block.number, committed.reveal_block
                );
                self.tell(Event::WeightsSent { king, uid, how });
            }
            WeightsOutcome::AlreadyThere { block, .. } => {
                self.store.weights_confirmed(id, block.number, now)?;
                self.tell(Event::WeightsConfirmed { king, uid, block: block.number });
            }
            WeightsOutcome::AwaitingReveal { .. } => {
                self.store.weights_lost(id, "the same weights are committed already", now)?;
            }
        }
        Ok(())
    }

    /// Finds out what became of weights whose end is not known. Gives those that wait for their reveal.
    fn settle_pending(
        &mut self,
        hotkey: Hotkey,
        king: Option<MinerKey>,
    ) -> Result<Option<CommittedWeights>, ValidatorError> {
        let Some(pending) = self.store.pending_weights()? else { return Ok(None) };
        let committed = match &pending.state {
            WeightsState::Sent(sent) => serde_json::from_value::<CommittedWeights>(sent.details.clone()).ok(),
            _ => None,
        };
        let Some(committed) = committed else {
            self.settle_unknown(&pending, hotkey, king)?;
            return Ok(None);
        };
        let netuid = self.settings.profile.netuid;
        let found = self.runtime.block_on(self.chain.confirm_weights(netuid, hotkey, &committed))?;
        let now = self.now_ms();
        let (king, uid) = (pending.intention.king, pending.intention.uid);
        match found {
            WeightsConfirmation::Revealed { block } => {
                self.store.weights_confirmed(pending.id, block.number, now)?;
                self.tell(Event::WeightsConfirmed { king, uid, block: block.number });
                Ok(None)
            }
            WeightsConfirmation::NotYet { .. } => Ok(Some(committed)),
            WeightsConfirmation::Lost { reasons, .. } => {
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                let reason = match reasons.is_empty() {
                    true => "the chain did not reveal them, and does not say why".to_owned(),
                    false => reasons.join("; "),
                };
                self.store.weights_lost(pending.id, &reason, now)?;
                self.tell(Event::WeightsLost { reason });
                Ok(None)
            }
        }
    }

    /// The program ended between the intention and the answer: the chain tells whether anything of it is there.
    fn settle_unknown(
        &mut self,
        pending: &StoredWeights,
        hotkey: Hotkey,
        king: Option<MinerKey>,
    ) -> Result<(), ValidatorError> {
        let netuid = self.settings.profile.netuid;
        let snapshot = self.fresh_snapshot()?;
        let intention = &pending.intention;
        let own_update =
            snapshot.neurons.iter().find(|neuron| neuron.hotkey == hotkey).map_or(0, |neuron| neuron.last_update_block);
        let drand = self.settings.drand.clone();
        let options = WeightsOptions::new(&drand);
        let plan = WeightPlan::winner(intention.king.hotkey);
        let there = self.runtime.block_on(self.chain.check_weights(netuid, &plan, hotkey, &options));
        let now = self.now_ms();
        let is_there = matches!(&there, Ok(check) if check.row.gives_the_same_as(&check.on_chain))
            && own_update >= intention.block;
        if is_there {
            self.store.weights_confirmed(pending.id, snapshot.block.number, now)?;
            let (king, uid) = (intention.king, intention.uid);
            self.tell(Event::WeightsConfirmed { king, uid, block: snapshot.block.number });
            return Ok(());
        }
        let parameters = &snapshot.parameters;
        let was_committed = parameters.commit_reveal && own_update >= intention.block;
        let epochs = parameters.commit_reveal_period_epochs.saturating_add(GIVEN_UP_AFTER_EPOCHS);
        let due = own_update.saturating_add(epochs.saturating_mul(u64::from(parameters.tempo) + 1));
        if was_committed && king == Some(intention.king) && snapshot.block.number < due {
            // Sealed weights of ours are on the chain, and none but these were intended: they are waited for.
            let error = ChainError::RateLimited {
                hotkey,
                limit: "weights that were committed before the program ended wait for their reveal",
                wait_blocks: due - snapshot.block.number,
            };
            return Err(error.into());
        }
        let reason = format!(
            "the program ended before it was known what became of them; block {} does not have them",
            snapshot.block.number
        );
        self.store.weights_lost(pending.id, &reason, now)?;
        self.tell(Event::WeightsLost { reason });
        Ok(())
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
