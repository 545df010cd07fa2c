//! Setting weights: whether and how they would be set.

use super::connection::{ClientAt, Connection};
use super::storage::{SUBTENSOR, block_ref, fetch};
use super::subnet_weights::{Commits, commits_of, row_of};
use super::transaction::{self, Call, number};
use super::{ChainClient, ChainError, NeuronInfo, SnapshotExpectation, SubnetParameters, neurons, schedule};
use crate::epochs::{BlockTime, round_before};
use crate::timelock::DrandNetwork;
use crate::weights::{WeightPlan, WeightRow};
use distil_types::{BlockRef, Hotkey, NetUid, Uid};
use serde::{Deserialize, Serialize};
use subxt::Metadata;
use subxt::dynamic::Value;

/// What the chain takes of one hotkey and epoch.
const MAX_UNREVEALED_COMMITS: usize = 10;
/// The activity cutoff of a new subnet, for a chain that does not say it.
const USUAL_ACTIVITY_CUTOFF_BLOCKS: u64 = 5000;

/// When weights that are on the chain already are sent again: so many blocks after the last update. A validator that has
/// sent none for the whole of the subnet's activity cutoff counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refresh {
    /// After half the activity cutoff.
    #[default]
    Due,
    /// After three quarters of it: for who may have other weights soon, and would wait for the rate limit then.
    Overdue,
    /// After so many blocks.
    AfterBlocks(u64),
}

/// How weights are set.
#[derive(Debug, Clone)]
pub struct WeightsOptions<'a> {
    /// Our version of the weights; the chain's is sent where that is higher.
    pub version_key: u64,
    /// When weights that are on the chain already are sent again.
    pub refresh: Refresh,
    /// What the metagraph has to be like to be believed; no weights come of one that is not.
    pub expected: SnapshotExpectation,
    /// What was committed last, so that it is not committed again while it waits for its reveal.
    pub committed: Option<&'a CommittedWeights>,
    /// The beacon that the chain follows.
    pub drand: &'a DrandNetwork,
    /// Milliseconds from one block to the next.
    pub block_time_ms: u64,
}

impl<'a> WeightsOptions<'a> {
    /// Version 0, blocks of 12 s, nothing committed before, and nothing expected of the metagraph but that the subnet is
    /// alive.
    pub fn new(drand: &'a DrandNetwork) -> Self {
        WeightsOptions {
            version_key: 0,
            refresh: Refresh::Due,
            expected: SnapshotExpectation::default(),
            committed: None,
            drand,
            block_time_ms: 12_000,
        }
    }
}

/// Weights that are committed and not revealed yet. Kept by who set them, until [`ChainClient::confirm_weights`] says
/// what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedWeights {
    /// The transaction: `0x` and its hash.
    pub transaction: String,
    /// The block that holds it.
    pub block: BlockRef,
    /// What is committed.
    pub row: WeightRow,
    /// The version that it is committed with.
    pub version_key: u64,
    /// The round of drand that opens it.
    pub reveal_round: u64,
    /// The epoch that the chain counts it to.
    pub epoch: u64,
    /// The first block in which it can be revealed.
    pub reveal_block: u64,
    /// The first block in which it cannot be any more.
    pub expiry_block: u64,
}

/// How weights would be set, by one final block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightsCheck {
    /// The block that was read.
    pub block: BlockRef,
    /// Our seat.
    pub uid: Uid,
    /// The row for the subnet as it is.
    pub row: WeightRow,
    /// The row that the chain has; empty where it has none.
    pub on_chain: WeightRow,
    /// When our weights were last set or committed; the block of the registration where they never were.
    pub last_update_block: u64,
    /// The version that would be sent.
    pub version_key: u64,
    /// What would be done.
    pub step: WeightsStep,
}

/// What is to be done to have weights on the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightsStep {
    /// Nothing: they are there.
    AlreadyThere,
    /// Nothing: they are committed.
    AwaitingReveal {
        /// The first block in which they can be revealed.
        reveal_block: u64,
    },
    /// Set them in the open.
    Set,
    /// Commit them, to be revealed an epoch or more later.
    Commit {
        /// The first block in which they can be revealed.
        reveal_block: u64,
        /// The round of drand that opens them.
        reveal_round: u64,
        /// The version of commit-reveal that the chain is at.
        commit_reveal_version: u16,
    },
}

impl ChainClient {
    /// How weights would be set, by the newest final block. Nothing is sent.
    ///
    /// # Errors
    /// Where they could not be: [`ChainError::Snapshot`] for a metagraph that cannot be true,
    /// [`ChainError::NotRegistered`], [`ChainError::NoValidatorPermit`], [`ChainError::RateLimited`],
    /// [`ChainError::NoEpochs`], [`ChainError::Weights`], and those of reading.
    pub async fn check_weights(
        &self,
        netuid: NetUid,
        plan: &WeightPlan,
        hotkey: Hotkey,
        options: &WeightsOptions<'_>,
    ) -> Result<WeightsCheck, ChainError> {
        self.read("checking the weights", move |connection| async move {
            let at = connection.at_finalized().await?;
            check(&connection, &at, netuid, plan, hotkey, options).await
        })
        .await
    }
}

pub(super) enum Action<'a> {
    Set { row: &'a WeightRow, version_key: u64 },
    Commit { sealed: Vec<u8>, reveal_round: u64, commit_reveal_version: u16 },
}

impl Action<'_> {
    /// The call as the runtime has it: for the subnet, or for its first mechanism.
    pub(super) fn call(&self, metadata: &Metadata, netuid: NetUid) -> Call {
        let (name, of_mechanism, mut arguments) = match self {
            Action::Set { row, version_key } => (
                "set_weights",
                "set_mechanism_weights",
                vec![
                    ("dests", list(&row.uids())),
                    ("weights", list(&row.values())),
                    ("version_key", number(*version_key)),
                ],
            ),
            Action::Commit { sealed, reveal_round, commit_reveal_version } => (
                "commit_timelocked_weights",
                "commit_timelocked_mechanism_weights",
                vec![
                    ("commit", Value::from_bytes(sealed)),
                    ("reveal_round", number(*reveal_round)),
                    ("commit_reveal_version", number(*commit_reveal_version)),
                ],
            ),
        };
        arguments.push(("netuid", number(netuid.0)));
        let pallet = metadata.pallet_by_name(SUBTENSOR);
        if pallet.is_some_and(|pallet| pallet.call_variant_by_name(name).is_some()) {
            return Call { pallet: SUBTENSOR, name, arguments };
        }
        arguments.push(("mecid", number(0_u8)));
        Call { pallet: SUBTENSOR, name: of_mechanism, arguments }
    }
}

fn list(numbers: &[u16]) -> Value {
    Value::unnamed_composite(numbers.iter().map(|value| number(*value)))
}

async fn check(
    connection: &Connection,
    at: &ClientAt,
    netuid: NetUid,
    plan: &WeightPlan,
    hotkey: Hotkey,
    options: &WeightsOptions<'_>,
) -> Result<WeightsCheck, ChainError> {
    let block = block_ref(at);
    options.expected.check_block(block)?;
    let (parameters, neurons) = neurons::read(connection, at, netuid).await?;
    options.expected.check_neurons(netuid, block, &neurons)?;
    let seat = |hotkey: Hotkey| neurons.iter().find(|neuron| neuron.hotkey == hotkey);
    let own = *seat(hotkey).ok_or(ChainError::NotRegistered { hotkey, netuid })?;
    let count = u16::try_from(neurons.len()).unwrap_or(u16::MAX);
    let row = plan.row(count, parameters.min_allowed_weights, |hotkey| seat(hotkey).map(|neuron| neuron.uid))?;
    let on_chain = row_of(connection, at, netuid, own.uid).await?;
    let commits = match parameters.commit_reveal {
        true => commits_of(connection, at, netuid, hotkey).await?,
        false => Commits::default(),
    };
    let step = match nothing_to_do(&row, &on_chain, &own, block.number, &parameters, &commits, options) {
        Some(step) => step,
        None => {
            let is_self_weight = row.uids() == [own.uid.0];
            if !own.validator_permit && !is_self_weight && !is_owner(connection, at, netuid, hotkey).await? {
                return Err(ChainError::NoValidatorPermit { hotkey, netuid, block });
            }
            let next_block = transaction::best_number(connection).await?.max(block.number) + 1;
            check_rate_limit(hotkey, &own, &parameters, next_block)?;
            if parameters.commit_reveal {
                commit_step(connection, at, netuid, hotkey, next_block, &parameters, &commits, options).await?
            } else {
                WeightsStep::Set
            }
        }
    };
    let version_key = options.version_key.max(parameters.weights_version);
    let last_update_block = own.last_update_block;
    Ok(WeightsCheck { block, uid: own.uid, row, on_chain, last_update_block, version_key, step })
}

fn nothing_to_do(
    row: &WeightRow,
    on_chain: &WeightRow,
    own: &NeuronInfo,
    block: u64,
    parameters: &SubnetParameters,
    commits: &Commits,
    options: &WeightsOptions<'_>,
) -> Option<WeightsStep> {
    if let Some(latest) = commits.latest() {
        // What it says is known only where we remember it. Whatever the chain has now is about to be replaced.
        let ours = options.committed.filter(|committed| {
            (committed.block.number, committed.reveal_round) == (latest.block, latest.reveal_round)
        })?;
        let reveal_block = ours.reveal_block;
        return ours.row.gives_the_same_as(row).then_some(WeightsStep::AwaitingReveal { reveal_block });
    }
    let cutoff = parameters.activity_cutoff_blocks.map_or(USUAL_ACTIVITY_CUTOFF_BLOCKS, u64::from);
    let refresh_blocks = match options.refresh {
        Refresh::Due => cutoff / 2,
        Refresh::Overdue => cutoff / 4 * 3,
        Refresh::AfterBlocks(blocks) => blocks,
    };
    let is_recent = block.saturating_sub(own.last_update_block) < refresh_blocks;
    (row.gives_the_same_as(on_chain) && is_recent).then_some(WeightsStep::AlreadyThere)
}

async fn is_owner(connection: &Connection, at: &ClientAt, netuid: NetUid, hotkey: Hotkey) -> Result<bool, ChainError> {
    let owner: [u8; 32] = fetch(connection, at, SUBTENSOR, "SubnetOwnerHotkey", (netuid.0,)).await?;
    Ok(owner == *hotkey.account_id())
}

/// The chain's rule for a transaction in `next_block`: never updated, or long enough ago.
fn check_rate_limit(
    hotkey: Hotkey,
    own: &NeuronInfo,
    parameters: &SubnetParameters,
    next_block: u64,
) -> Result<(), ChainError> {
    let free_block = own.last_update_block.saturating_add(parameters.weights_rate_limit_blocks);
    if own.last_update_block == 0 || next_block >= free_block {
        return Ok(());
    }
    let limit = "the subnet's limit on how often weights are set";
    Err(ChainError::RateLimited { hotkey, limit, wait_blocks: free_block - next_block })
}

#[expect(clippy::too_many_arguments, reason = "all that was read of one block")]
async fn commit_step(
    connection: &Connection,
    at: &ClientAt,
    netuid: NetUid,
    hotkey: Hotkey,
    next_block: u64,
    parameters: &SubnetParameters,
    commits: &Commits,
    options: &WeightsOptions<'_>,
) -> Result<WeightsStep, ChainError> {
    let schedule = schedule::read(connection, at, netuid, parameters.tempo).await?;
    if schedule.epoch_blocks() == 0 {
        return Err(ChainError::NoEpochs { netuid });
    }
    let epoch = schedule.commit_epoch(next_block);
    if commits.in_epoch(epoch) >= MAX_UNREVEALED_COMMITS {
        let wait_blocks = schedule.first_block_of(epoch.saturating_add(1)).saturating_sub(next_block).max(1);
        let limit = "ten commits of one epoch wait for their reveal";
        return Err(ChainError::RateLimited { hotkey, limit, wait_blocks });
    }
    let reveal_block = schedule.reveal_block(next_block, parameters.commit_reveal_period_epochs);
    let now = BlockTime { number: at.block_number(), unix_ms: fetch(connection, at, "Timestamp", "Now", ()).await? };
    let open_block = schedule.open_block(reveal_block);
    let reveal_round = round_before(options.drand, now, open_block, options.block_time_ms)?;
    let commit_reveal_version = fetch(connection, at, SUBTENSOR, "CommitRevealWeightsVersion", ()).await?;
    Ok(WeightsStep::Commit { reveal_block, reveal_round, commit_reveal_version })
}
