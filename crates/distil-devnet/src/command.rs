//! What an operator of a devnet can change: each change is part of a block.

use distil_types::{Hotkey, NetUid, Uid};
use serde::{Deserialize, Serialize};

/// Parameters of a subnet; what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hyperparameters {
    /// Blocks from one epoch to the next (plus one in the first model of epochs). 0: there are none.
    pub tempo: Option<u16>,
    /// How many weights a row has at least.
    pub min_allowed_weights: Option<u16>,
    /// Rows of weights must bear this version or a later one; 0: any.
    pub weights_version_key: Option<u64>,
    /// Blocks between two updates of a neuron.
    pub weights_rate_limit: Option<u64>,
    /// Whether weights are committed first and revealed later.
    pub commit_reveal: Option<bool>,
    /// After how many epochs they are revealed.
    pub reveal_period_epochs: Option<u64>,
    /// How many mechanisms, each with weights of its own, the subnet has.
    pub mechanisms: Option<u8>,
    /// Blocks after which a validator without an update is not active.
    pub activity_cutoff: Option<u16>,
    /// Blocks for which a new neuron cannot be replaced. The devnet replaces whom it is told to.
    pub immunity_period: Option<u16>,
}

/// Who takes a seat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neuron {
    /// The key that it signs with.
    pub hotkey: Hotkey,
    /// The key that owns it.
    pub coldkey: Hotkey,
    /// Its stake on the subnet, in rao of alpha.
    #[serde(default)]
    pub stake_rao: u64,
    /// Whether it may set weights for others.
    #[serde(default)]
    pub validator_permit: bool,
}

impl Neuron {
    /// A miner, whose hotkey owns itself.
    pub fn miner(hotkey: Hotkey) -> Self {
        Neuron { hotkey, coldkey: hotkey, stake_rao: 0, validator_permit: false }
    }

    /// A validator with a permit and a stake of 1,000 alpha.
    pub fn validator(hotkey: Hotkey) -> Self {
        Neuron { stake_rao: 1_000_000_000_000, validator_permit: true, ..Neuron::miner(hotkey) }
    }
}

/// What changes about a neuron; what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NeuronChange {
    /// Its stake on the subnet, in rao of alpha.
    pub stake_rao: Option<u64>,
    /// Whether it may set weights for others.
    pub validator_permit: Option<bool>,
    /// Whether it counts as active.
    pub active: Option<bool>,
    /// Its incentive, of 65,535.
    pub incentive: Option<u16>,
    /// Its dividends, of 65,535.
    pub dividends: Option<u16>,
    /// Its emission, in rao.
    pub emission_rao: Option<u64>,
    /// The block of its last update; 0: it never set weights, so no rate limit applies.
    pub last_update: Option<u64>,
}

/// A change that the next block makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Command {
    /// Creates a subnet, with the parameters that the chain gives a new one: tempo 360, one weight at least, 100 blocks
    /// between updates, commit-reveal on with a period of one epoch.
    RegisterSubnet {
        /// Its number, from 1 to 4095.
        netuid: NetUid,
        /// The hotkey of its owner, who may set weights without stake or permit.
        #[serde(default)]
        owner: Option<Hotkey>,
        /// What differs from the chain's.
        #[serde(default)]
        parameters: Hyperparameters,
    },
    /// Gives a neuron the next free seat, or that of another one, which is then not registered any more.
    RegisterNeuron {
        /// The subnet.
        netuid: NetUid,
        /// Who.
        neuron: Neuron,
        /// Whose seat is taken.
        #[serde(default)]
        replaces: Option<Uid>,
    },
    /// Changes what the chain says of a neuron.
    SetNeuron {
        /// The subnet.
        netuid: NetUid,
        /// The seat.
        uid: Uid,
        /// What changes.
        change: NeuronChange,
    },
    /// Changes a subnet's parameters.
    SetHyperparameters {
        /// The subnet.
        netuid: NetUid,
        /// What changes.
        parameters: Hyperparameters,
    },
    /// Changes what holds for all subnets.
    SetGlobals {
        /// The stake that is needed to set weights, in rao.
        #[serde(default)]
        stake_threshold_rao: Option<u64>,
        /// The version that timelocked commits of weights must bear.
        #[serde(default)]
        commit_reveal_version: Option<u16>,
        /// How many bytes a hotkey may commit in an epoch.
        #[serde(default)]
        max_commitment_space: Option<u32>,
    },
    /// Gives an account funds.
    Fund {
        /// The account.
        account: Hotkey,
        /// How much more it has, in rao.
        amount_rao: u64,
    },
    /// Has an epoch begin at this block if none does before. Of the second model of epochs only.
    TriggerEpoch {
        /// The subnet.
        netuid: NetUid,
        /// The number of the block.
        block: u64,
    },
}
