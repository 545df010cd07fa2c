//! Commitments and their reveal.

use super::{BlockExecution, CallError, drand, epochs};
use crate::pallets::commitments::{
    COMMITMENT_OF, Error, Event, LAST_BONDS_RESET, LAST_COMMITMENT, MAX_FIELDS, MAX_REVEALS, MAX_SPACE,
    MIN_CHARGED_BYTES, REVEALED_COMMITMENTS, TIMELOCKED_INDEX, USED_SPACE_OF,
};
use crate::pallets::subtensor::UIDS;
use crate::types::account::AccountId32;
use crate::types::commitments::{CommitmentInfo, Data, Registration};

fn is_timelocked(field: &Data) -> bool {
    matches!(field, Data::TimelockEncrypted { .. })
}

impl BlockExecution<'_> {
    /// `Commitments.set_commitment`. A new commitment replaces the one before, revealed or not.
    pub(super) fn set_commitment(
        &mut self,
        who: AccountId32,
        netuid: u16,
        info: CommitmentInfo,
    ) -> Result<(), CallError> {
        if UIDS.find(&self.storage, (netuid, who)).is_none() {
            return Err(Error::AccountNotAllowedCommit.into());
        }
        let fields = &info.fields.0;
        if fields.len() > MAX_FIELDS as usize {
            return Err(Error::TooManyFieldsInCommitmentInfo.into());
        }

        let charged: u64 = fields.iter().map(Data::charged_bytes).sum();
        let epoch = epochs::epoch_index(self, netuid);
        let mut usage = USED_SPACE_OF.find(&self.storage, (netuid, who)).unwrap_or_default();
        if usage.last_epoch != epoch {
            usage.last_epoch = epoch;
            usage.used_space = 0;
        }
        usage.used_space = usage.used_space.saturating_add(charged.max(MIN_CHARGED_BYTES));
        if usage.used_space > u64::from(MAX_SPACE.get(&self.storage, ())) {
            return Err(Error::SpaceLimitExceeded.into());
        }
        USED_SPACE_OF.put(&mut self.storage, (netuid, who), &usage);

        if fields.contains(&Data::ResetBondsFlag) {
            LAST_BONDS_RESET.put(&mut self.storage, (netuid, who), &self.number);
        }
        let reveal_round = fields.iter().find_map(|field| match field {
            Data::TimelockEncrypted { reveal_round, .. } => Some(*reveal_round),
            _ => None,
        });
        let mut index = TIMELOCKED_INDEX.get(&self.storage, ());
        let event = match reveal_round {
            Some(reveal_round) => {
                index.insert((netuid, who));
                Event::TimelockCommitment { netuid, who, reveal_round }
            }
            None => {
                index.remove(&(netuid, who));
                Event::Commitment { netuid, who }
            }
        };
        TIMELOCKED_INDEX.put(&mut self.storage, (), &index);
        let registration = Registration { deposit: 0, block: self.number, info };
        COMMITMENT_OF.put(&mut self.storage, (netuid, who), &registration);
        LAST_COMMITMENT.put(&mut self.storage, (netuid, who), &self.number);
        self.deposit(event);
        Ok(())
    }

    /// Opens every timelocked commitment whose round is stored. What does not open is lost without a word, as on the
    /// chain of spec version 365.
    pub(super) fn reveal_commitments(&mut self) {
        let mut index = TIMELOCKED_INDEX.get(&self.storage, ());
        let before = index.clone();
        for &(netuid, who) in &before {
            let Some(mut registration) = COMMITMENT_OF.find(&self.storage, (netuid, who)) else {
                index.remove(&(netuid, who));
                continue;
            };
            let mut opened = Vec::new();
            registration.info.fields.0.retain(|field| {
                let Data::TimelockEncrypted { encrypted, reveal_round } = field else { return true };
                match drand::open(&self.storage, *reveal_round, &encrypted.0) {
                    None => true,
                    Some(result) => {
                        opened.extend(result.ok().filter(|plaintext| !plaintext.is_empty()));
                        false
                    }
                }
            });

            if !opened.is_empty() {
                let mut revealed = REVEALED_COMMITMENTS.find(&self.storage, (netuid, who)).unwrap_or_default();
                revealed.extend(opened.into_iter().map(|plaintext| (plaintext, u64::from(self.number))));
                let surplus = revealed.len().saturating_sub(MAX_REVEALS);
                revealed.drain(..surplus);
                REVEALED_COMMITMENTS.put(&mut self.storage, (netuid, who), &revealed);
                self.deposit(Event::CommitmentRevealed { netuid, who });
            }
            if registration.info.fields.0.is_empty() {
                COMMITMENT_OF.remove(&mut self.storage, (netuid, who));
            } else {
                COMMITMENT_OF.put(&mut self.storage, (netuid, who), &registration);
            }
            if !registration.info.fields.0.iter().any(is_timelocked) {
                index.remove(&(netuid, who));
            }
        }
        if index != before {
            TIMELOCKED_INDEX.put(&mut self.storage, (), &index);
        }
    }
}
