//! The operator's side of a running chain.

use crate::chain::Retracted;
use crate::command::{Command, Hyperparameters, Neuron, NeuronChange};
use crate::rpc::{Gate, Shared};
use crate::runtime::now_ms;
use crate::{DevNetError, Fault, RequestRecord};
use distil_chain::timelock::BeaconPublicKey;
use distil_types::{BlockHash, BlockRef, Hotkey, NetUid, Uid};
use std::sync::Arc;

/// What an operator can do with a running chain. It can be cloned and used from any thread.
///
/// What changes the chain is carried out in a block that is made for it at once, whoever else makes blocks.
#[derive(Debug, Clone)]
pub struct Admin {
    shared: Arc<Shared>,
}

impl Admin {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Admin { shared }
    }

    /// Makes so many blocks.
    ///
    /// # Errors
    /// [`DevNetError::File`] where the chain could not be written to its file.
    pub fn produce_blocks(&self, count: u32) -> Result<(), DevNetError> {
        self.shared.chain().produce_blocks(count)
    }

    /// Makes blocks until the best one has this number; none where it has.
    ///
    /// # Errors
    /// As [`Admin::produce_blocks`].
    pub fn produce_until(&self, number: u64) -> Result<(), DevNetError> {
        let mut chain = self.shared.chain();
        let missing = number.saturating_sub(chain.best().number().into());
        chain.produce_blocks(u32::try_from(missing).unwrap_or(u32::MAX))
    }

    /// Carries out commands in one block. Each gives the seat that it assigned, if it assigned one.
    ///
    /// # Errors
    /// [`DevNetError::Refused`] for the first command that could not be carried out; the others are.
    /// [`DevNetError::File`] where the chain could not be written to its file.
    pub fn apply(&self, commands: Vec<Command>) -> Result<Vec<Option<Uid>>, DevNetError> {
        let uids = self.shared.chain().command(commands)?;
        Ok(uids.into_iter().map(|uid| uid.map(Uid)).collect())
    }

    /// Creates a subnet.
    ///
    /// # Errors
    /// As [`Admin::apply`].
    pub fn register_subnet(&self, netuid: NetUid, parameters: Hyperparameters) -> Result<(), DevNetError> {
        self.apply(vec![Command::RegisterSubnet { netuid, owner: None, parameters }]).map(drop)
    }

    /// Gives neurons the next free seats, all in one block.
    ///
    /// # Errors
    /// As [`Admin::apply`].
    pub fn register_neurons(
        &self,
        netuid: NetUid,
        neurons: impl IntoIterator<Item = Neuron>,
    ) -> Result<Vec<Uid>, DevNetError> {
        let command = |neuron| Command::RegisterNeuron { netuid, neuron, replaces: None };
        Ok(self.apply(neurons.into_iter().map(command).collect())?.into_iter().flatten().collect())
    }

    /// Gives a neuron the seat of another one, who is not registered any more then.
    ///
    /// # Errors
    /// As [`Admin::apply`].
    pub fn replace_neuron(&self, netuid: NetUid, uid: Uid, neuron: Neuron) -> Result<(), DevNetError> {
        self.apply(vec![Command::RegisterNeuron { netuid, neuron, replaces: Some(uid) }]).map(drop)
    }

    /// Changes what the chain says of a neuron.
    ///
    /// # Errors
    /// As [`Admin::apply`].
    pub fn set_neuron(&self, netuid: NetUid, uid: Uid, change: NeuronChange) -> Result<(), DevNetError> {
        self.apply(vec![Command::SetNeuron { netuid, uid, change }]).map(drop)
    }

    /// Changes a subnet's parameters.
    ///
    /// # Errors
    /// As [`Admin::apply`].
    pub fn set_hyperparameters(&self, netuid: NetUid, parameters: Hyperparameters) -> Result<(), DevNetError> {
        self.apply(vec![Command::SetHyperparameters { netuid, parameters }]).map(drop)
    }

    /// Gives an account this much more, in rao.
    ///
    /// # Errors
    /// As [`Admin::apply`].
    pub fn fund(&self, account: Hotkey, amount_rao: u64) -> Result<(), DevNetError> {
        self.apply(vec![Command::Fund { account, amount_rao }]).map(drop)
    }

    /// Moves the time of all blocks from the next one on.
    pub fn advance_time(&self, by_ms: u64) {
        self.shared.chain().advance_time(by_ms);
    }

    /// Has a round of the beacon never reach the chain. A round that is stored already stays.
    pub fn skip_round(&self, round: u64) {
        self.shared.chain().skip_round(round);
    }

    /// The newest round that is published at the best block's time.
    pub fn drand_round(&self) -> u64 {
        let chain = self.shared.chain();
        chain.beacon.round_at(now_ms(&chain.best_storage()))
    }

    /// The beacon's public key, which the chain also has in `Drand.BeaconConfig`.
    pub fn drand_public_key(&self) -> BeaconPublicKey {
        self.shared.chain().beacon.public_key()
    }

    /// Makes a block that brings a runtime with a higher spec version, which it returns. That block is still made by the
    /// runtime before it, all others by the new one: all pallets but `System` and their calls, events and errors have other
    /// indices then, and transactions signed for the version before are refused.
    ///
    /// # Errors
    /// [`DevNetError::Refused`] after a hundred upgrades; [`DevNetError::File`] as ever.
    pub fn upgrade_runtime(&self) -> Result<u32, DevNetError> {
        self.shared.chain().upgrade_runtime()
    }

    /// Takes back the newest blocks and makes one more than that anew. What the operator did in them is done again.
    ///
    /// # Errors
    /// [`DevNetError::Refused`] where one of them is final.
    pub fn reorganize(&self, depth: u32, retracted: Retracted) -> Result<(), DevNetError> {
        self.shared.chain().reorganize(depth, retracted)
    }

    /// The best block.
    pub fn best_block(&self) -> BlockRef {
        let chain = self.shared.chain();
        BlockRef { number: chain.best().number().into(), hash: BlockHash::from_bytes(chain.best().hash.0) }
    }

    /// The newest block that is final.
    pub fn finalized_block(&self) -> BlockRef {
        let chain = self.shared.chain();
        let block = chain.finalized();
        BlockRef { number: block.number().into(), hash: BlockHash::from_bytes(block.hash.0) }
    }

    /// The best block's time, in milliseconds since 1970.
    pub fn time_ms(&self) -> u64 {
        now_ms(&self.shared.chain().best_storage())
    }

    /// How many transactions wait in the pool.
    pub fn pending_transactions(&self) -> usize {
        self.shared.chain().pool.all().len()
    }

    /// Orders a fault. Where several strike the same request, the one ordered first does.
    pub fn order(&self, fault: Fault) {
        self.shared.faults().order(fault);
    }

    /// Takes all orders back.
    pub fn clear_faults(&self) {
        self.shared.faults().clear();
    }

    /// Breaks all connections that are open, without a word.
    pub fn break_connections(&self) {
        self.shared.break_connections();
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.shared.open_connections()
    }

    /// Takes new connections, as at the beginning.
    pub fn accept_connections(&self) {
        self.shared.set_gate(Gate::Open);
    }

    /// Turns new connections away; those that are open stay.
    pub fn refuse_connections(&self) {
        self.shared.set_gate(Gate::Closed);
    }

    /// Leaves new connections without an answer to their handshake.
    pub fn ignore_connections(&self) {
        self.shared.set_gate(Gate::Silent);
    }

    /// All requests since the start or the last [`Admin::clear_requests`], in the order in which they came; of more than
    /// 100,000 the newest ones.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.log().all()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.log().clear();
    }
}
