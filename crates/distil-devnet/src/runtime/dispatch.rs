//! Transactions: fee, nonce, call, event.

use super::weights::{Row, has_enough_stake, rate_limit_passed, storage_index};
use super::{BlockExecution, CallError, Runtime, accounts};
use crate::extrinsic::SignedExtrinsic;
use crate::hashing::blake2_256;
use crate::pallets::subtensor::{COMMIT_REVEAL_WEIGHTS_ENABLED, UIDS, WEIGHT_COMMITS};
use crate::pallets::{RuntimeCall, balances, commitments, subtensor, system};
use crate::state::Read;
use crate::types::account::{AccountId32, H256};
use crate::types::dispatch::{DispatchClass, DispatchError, DispatchEventInfo, Pays, Weight};
use crate::types::system::Phase;

/// What the event of the timestamp says.
pub(super) const INHERENT: (DispatchClass, Pays) = (DispatchClass::Mandatory, Pays::Yes);

/// What became of a transaction that is in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dispatched {
    Success,
    Failed,
    /// It could not pay its fee after all, and is in no block.
    Unpaid,
}

impl Dispatched {
    /// The class of a call, and whether it costs a fee.
    pub(crate) fn info(call: &RuntimeCall) -> (DispatchClass, Pays) {
        match call {
            RuntimeCall::Timestamp(_) => INHERENT,
            RuntimeCall::System(_) | RuntimeCall::Balances(_) => (DispatchClass::Normal, Pays::Yes),
            RuntimeCall::SubtensorModule(_) => (DispatchClass::Normal, Pays::No),
            RuntimeCall::Commitments(commitments::Call::set_commitment { .. }) => {
                (DispatchClass::Operational, Pays::No)
            }
            RuntimeCall::Commitments(commitments::Call::set_max_space { .. }) => {
                (DispatchClass::Operational, Pays::Yes)
            }
        }
    }

    /// What a call costs that is not free.
    pub(crate) fn fee(length_bytes: usize, tip: u64) -> u64 {
        accounts::fee(length_bytes).saturating_add(tip)
    }
}

impl BlockExecution<'_> {
    pub(super) fn deposit_success(&mut self, (class, pays_fee): (DispatchClass, Pays)) {
        let dispatch_info = DispatchEventInfo { weight: Weight::default(), class, pays_fee };
        self.deposit(system::Event::ExtrinsicSuccess { dispatch_info });
    }

    /// Executes a transaction that was checked, as extrinsic number `index` of the block.
    pub(crate) fn apply(&mut self, index: u32, extrinsic: &SignedExtrinsic, call: RuntimeCall) -> Dispatched {
        self.phase = Phase::ApplyExtrinsic(index);
        let (class, pays_fee) = Dispatched::info(&call);
        if pays_fee == Pays::Yes {
            let fee = Dispatched::fee(extrinsic.bytes.len(), extrinsic.tip);
            if !self.withdraw(extrinsic.signer, fee) {
                return Dispatched::Unpaid;
            }
        }
        self.increment_nonce(extrinsic.signer);
        self.commit();

        let dispatched = match self.dispatch(extrinsic.signer, call) {
            Ok(()) => {
                self.deposit_success((class, pays_fee));
                Dispatched::Success
            }
            Err(error) => {
                self.roll_back();
                let dispatch_error = error.placed(self.runtime.layout);
                let dispatch_info = DispatchEventInfo { weight: Weight::default(), class, pays_fee };
                self.deposit(system::Event::ExtrinsicFailed { dispatch_error, dispatch_info });
                Dispatched::Failed
            }
        };
        self.commit();
        dispatched
    }

    fn dispatch(&mut self, who: AccountId32, call: RuntimeCall) -> Result<(), CallError> {
        match call {
            RuntimeCall::System(system::Call::remark { .. }) => Ok(()),
            RuntimeCall::System(system::Call::remark_with_event { remark }) => {
                self.deposit(system::Event::Remarked { sender: who, hash: H256(blake2_256(&remark)) });
                Ok(())
            }
            RuntimeCall::Balances(balances::Call::transfer_allow_death { dest, value }) => {
                self.transfer(who, &dest, value, false)
            }
            RuntimeCall::Balances(balances::Call::transfer_keep_alive { dest, value }) => {
                self.transfer(who, &dest, value, true)
            }
            RuntimeCall::Commitments(commitments::Call::set_commitment { netuid, info }) => {
                self.set_commitment(who, netuid, *info)
            }
            // For the root origin and for the block's author alone.
            RuntimeCall::Commitments(commitments::Call::set_max_space { .. }) | RuntimeCall::Timestamp(_) => {
                Err(CallError::Other(DispatchError::BadOrigin))
            }
            RuntimeCall::SubtensorModule(call) => self.dispatch_subtensor(who, call),
        }
    }

    fn dispatch_subtensor(&mut self, who: AccountId32, call: subtensor::Call) -> Result<(), CallError> {
        use subtensor::Call;
        match call {
            Call::set_weights { netuid, dests, weights, version_key } => {
                self.set_weights_openly(who, netuid, 0, Row { uids: dests, values: weights, version_key })
            }
            Call::set_mechanism_weights { netuid, mecid, dests, weights, version_key } => {
                self.set_weights_openly(who, netuid, mecid, Row { uids: dests, values: weights, version_key })
            }
            Call::commit_weights { netuid, commit_hash } => self.commit_weights(who, netuid, 0, commit_hash),
            Call::commit_mechanism_weights { netuid, mecid, commit_hash } => {
                self.commit_weights(who, netuid, mecid, commit_hash)
            }
            Call::reveal_weights { netuid, uids, values, salt, version_key } => {
                self.reveal_weights(who, netuid, 0, Row { uids, values, version_key }, salt)
            }
            Call::reveal_mechanism_weights { netuid, mecid, uids, values, salt, version_key } => {
                self.reveal_weights(who, netuid, mecid, Row { uids, values, version_key }, salt)
            }
            Call::commit_timelocked_weights { netuid, commit, reveal_round, commit_reveal_version } => {
                self.commit_timelocked_weights(who, netuid, 0, commit, reveal_round, commit_reveal_version)
            }
            Call::commit_timelocked_mechanism_weights {
                netuid,
                mecid,
                commit,
                reveal_round,
                commit_reveal_version,
            } => self.commit_timelocked_weights(who, netuid, mecid, commit, reveal_round, commit_reveal_version),
            Call::commit_crv3_mechanism_weights { netuid, mecid, commit, reveal_round } => {
                // This older call has no version, so it takes the chain's.
                let version = subtensor::COMMIT_REVEAL_WEIGHTS_VERSION.get(&self.storage, ());
                self.commit_timelocked_weights(who, netuid, mecid, commit, reveal_round, version)
            }
        }
    }
}

/// The code with which a newer chain's pool refuses weights that would fail in their block.
pub(crate) fn pool_check(
    storage: &impl Read,
    _runtime: &Runtime,
    number: u32,
    who: AccountId32,
    call: &RuntimeCall,
) -> Option<u8> {
    use subtensor::Call;
    const STAKE_TOO_LOW: u8 = 1;
    const RATE_LIMIT_EXCEEDED: u8 = 6;
    const COMMIT_NOT_FOUND: u8 = 16;
    const UID_NOT_FOUND: u8 = 19;

    let RuntimeCall::SubtensorModule(call) = call else { return None };
    let (netuid, mecid) = match call {
        Call::set_weights { netuid, .. }
        | Call::commit_weights { netuid, .. }
        | Call::reveal_weights { netuid, .. }
        | Call::commit_timelocked_weights { netuid, .. } => (*netuid, 0),
        Call::set_mechanism_weights { netuid, mecid, .. }
        | Call::commit_mechanism_weights { netuid, mecid, .. }
        | Call::reveal_mechanism_weights { netuid, mecid, .. }
        | Call::commit_timelocked_mechanism_weights { netuid, mecid, .. }
        | Call::commit_crv3_mechanism_weights { netuid, mecid, .. } => (*netuid, *mecid),
    };
    if !has_enough_stake(storage, netuid, who) {
        return Some(STAKE_TOO_LOW);
    }
    let index = storage_index(netuid, mecid);
    if matches!(call, Call::reveal_weights { .. } | Call::reveal_mechanism_weights { .. }) {
        return WEIGHT_COMMITS.find(storage, (index, who)).is_none().then_some(COMMIT_NOT_FOUND);
    }
    let Some(uid) = UIDS.find(storage, (netuid, who)) else { return Some(UID_NOT_FOUND) };
    let is_open = matches!(call, Call::set_weights { .. } | Call::set_mechanism_weights { .. });
    let is_limited = !is_open || !COMMIT_REVEAL_WEIGHTS_ENABLED.get(storage, (netuid,));
    let passed = rate_limit_passed(storage, index, netuid, uid, number.into());
    (is_limited && !passed).then_some(RATE_LIMIT_EXCEEDED)
}
