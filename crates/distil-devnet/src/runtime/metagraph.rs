//! Subnets and neurons, as the runtime APIs give them.

use super::epochs::next_epoch_start;
use super::weights::hotkey_at;
use crate::pallets::{commitments, subtensor as s, system};
use crate::state::Read;
use crate::types::account::{AccountId32, compact};
use crate::types::metagraph::{FixedI128, SelectiveMetagraph};
use crate::types::neuron::{NeuronInfoLite, PrometheusInfo};
use parity_scale_codec::{Compact, Encode};
use std::collections::BTreeSet;

/// A vector of the subnet, with one element for each neuron.
fn per_neuron<T: Clone + Default>(mut vector: Vec<T>, neurons: u16) -> Vec<T> {
    vector.resize(neurons.into(), T::default());
    vector
}

fn compacts<T>(vector: impl IntoIterator<Item = T>) -> Vec<Compact<T>> {
    vector.into_iter().map(Compact).collect()
}

/// The fields that were asked for, by their position; none where the subnet does not exist.
///
/// The devnet has no economy: emissions, prices and reserves are 0, and what it does not store has the chain's default.
pub(super) fn selective(storage: &impl Read, netuid: u16, indexes: &[u16]) -> Option<SelectiveMetagraph> {
    if !s::NETWORKS_ADDED.get(storage, (netuid,)) {
        return None;
    }
    let wanted: BTreeSet<u16> = indexes.iter().copied().collect();
    let mut graph = SelectiveMetagraph { netuid, ..SelectiveMetagraph::default() };
    for index in wanted {
        fill(&mut graph, storage, netuid, index);
    }
    Some(graph)
}

fn fill(graph: &mut SelectiveMetagraph, storage: &impl Read, netuid: u16, index: u16) {
    let key = (netuid,);
    let neurons = s::SUBNETWORK_N.get(storage, key);
    let hotkeys = || (0..neurons).map(|uid| hotkey_at(storage, netuid, uid).unwrap_or_default());
    let stakes = || compacts(hotkeys().map(|hotkey| s::TOTAL_HOTKEY_ALPHA.get(storage, (hotkey, netuid))));
    let numbers = |vector: Vec<u16>| Some(compacts(per_neuron(vector, neurons)));
    let nothing = || Some(compacts(per_neuron(Vec::<u16>::new(), neurons)));
    let zeros = || Some(compacts(per_neuron(Vec::<u64>::new(), neurons)));
    let permits = || per_neuron(s::VALIDATOR_PERMIT.get(storage, key), neurons);
    match index {
        1 => graph.name = Some(compacts(format!("subnet {netuid}").into_bytes())),
        2 => graph.symbol = Some(compacts("α".bytes())),
        3 => graph.identity = Some(None),
        4 => graph.network_registered_at = Some(compact(s::NETWORK_REGISTERED_AT.get(storage, key))),
        5 => graph.owner_hotkey = Some(s::SUBNET_OWNER_HOTKEY.get(storage, key)),
        6 => graph.owner_coldkey = Some(s::SUBNET_OWNER.get(storage, key)),
        7 => graph.block = Some(compact(system::NUMBER.get(storage, ()).into())),
        8 => graph.tempo = Some(compact(s::TEMPO.get(storage, key))),
        9 => graph.last_step = Some(compact(s::LAST_MECHANSIM_STEP_BLOCK.get(storage, key))),
        10 => graph.blocks_since_last_step = Some(compact(s::BLOCKS_SINCE_LAST_STEP.get(storage, key))),
        11 => graph.subnet_emission = Some(compact(0)),
        12 => graph.alpha_in = Some(compact(0)),
        13 => graph.alpha_out = Some(compact(0)),
        14 => graph.tao_in = Some(compact(0)),
        15 => graph.alpha_out_emission = Some(compact(0)),
        16 => graph.alpha_in_emission = Some(compact(0)),
        17 => graph.tao_in_emission = Some(compact(0)),
        18 => graph.pending_alpha_emission = Some(compact(0)),
        19 => graph.pending_root_emission = Some(compact(0)),
        20 => graph.subnet_volume = Some(compact(0)),
        21 => graph.moving_price = Some(FixedI128::default()),
        22 => graph.rho = Some(compact(10)),
        23 => graph.kappa = Some(compact(32_767)),
        24 => graph.min_allowed_weights = Some(compact(s::MIN_ALLOWED_WEIGHTS.get(storage, key))),
        25 => graph.max_weights_limit = Some(compact(s::MAX_WEIGHTS_LIMIT.get(storage, key))),
        26 => graph.weights_version = Some(compact(s::WEIGHTS_VERSION_KEY.get(storage, key))),
        27 => graph.weights_rate_limit = Some(compact(s::WEIGHTS_SET_RATE_LIMIT.get(storage, key))),
        28 => graph.activity_cutoff = Some(compact(s::ACTIVITY_CUTOFF.get(storage, key))),
        29 => graph.max_validators = Some(compact(s::MAX_ALLOWED_VALIDATORS.get(storage, key))),
        30 => graph.num_uids = Some(compact(neurons)),
        31 => graph.max_uids = Some(compact(s::MAX_ALLOWED_UIDS.get(storage, key))),
        32 => graph.burn = Some(compact(0)),
        33 => graph.difficulty = Some(compact(0)),
        34 => graph.registration_allowed = Some(true),
        35 => graph.pow_registration_allowed = Some(false),
        36 => graph.immunity_period = Some(compact(s::IMMUNITY_PERIOD.get(storage, key))),
        37 => graph.min_difficulty = Some(compact(0)),
        38 => graph.max_difficulty = Some(compact(0)),
        39 => graph.min_burn = Some(compact(0)),
        40 => graph.max_burn = Some(compact(0)),
        41 => graph.adjustment_alpha = Some(compact(0)),
        42 => graph.adjustment_interval = Some(compact(100)),
        43 => graph.target_regs_per_interval = Some(compact(2)),
        44 => graph.max_regs_per_block = Some(compact(1)),
        45 => graph.serving_rate_limit = Some(compact(50)),
        46 => graph.commit_reveal_weights_enabled = Some(s::COMMIT_REVEAL_WEIGHTS_ENABLED.get(storage, key)),
        47 => graph.commit_reveal_period = Some(compact(s::REVEAL_PERIOD_EPOCHS.get(storage, key))),
        48 => graph.liquid_alpha_enabled = Some(false),
        49 => graph.alpha_high = Some(compact(58_982)),
        50 => graph.alpha_low = Some(compact(45_875)),
        51 => graph.bonds_moving_avg = Some(compact(900_000)),
        52 => graph.hotkeys = Some(hotkeys().collect()),
        53 => graph.coldkeys = Some(hotkeys().map(|hotkey| s::OWNER.get(storage, (hotkey,))).collect()),
        54 => graph.identities = Some(hotkeys().map(|_| None).collect()),
        55 => {
            let axon = |hotkey| s::AXONS.find(storage, (netuid, hotkey)).unwrap_or_default();
            graph.axons = Some(hotkeys().map(axon).collect());
        }
        56 => graph.active = Some(per_neuron(s::ACTIVE.get(storage, key), neurons)),
        57 => graph.validator_permit = Some(permits()),
        58 => graph.pruning_score = nothing(),
        59 => graph.last_update = Some(compacts(per_neuron(s::LAST_UPDATE.get(storage, key), neurons))),
        60 => graph.emission = Some(compacts(per_neuron(s::EMISSION.get(storage, key), neurons))),
        61 => graph.dividends = numbers(s::DIVIDENDS.get(storage, key)),
        62 => graph.incentives = numbers(s::INCENTIVE.get(storage, key)),
        63 => graph.consensus = numbers(s::CONSENSUS.get(storage, key)),
        64 => graph.trust = nothing(),
        65 => graph.rank = nothing(),
        66 => {
            let registered = |uid| s::BLOCK_AT_REGISTRATION.get(storage, (netuid, uid));
            graph.block_at_registration = Some(compacts((0..neurons).map(registered)));
        }
        67 => graph.alpha_stake = Some(stakes()),
        68 => graph.tao_stake = zeros(),
        69 => graph.total_stake = Some(stakes()),
        70 => graph.tao_dividends_per_hotkey = Some(Vec::new()),
        71 => graph.alpha_dividends_per_hotkey = Some(Vec::new()),
        72 => {
            let validators = (0..neurons).zip(permits()).filter(|(_, permit)| *permit);
            graph.validators = Some(compacts(validators.map(|(uid, _)| uid)));
        }
        73 => graph.commitments = Some(all_commitments(storage, netuid)),
        // The netuid is always there; what lies behind the last field is nothing.
        _ => {}
    }
}

/// The registration of every unrevealed commitment, encoded.
fn all_commitments(storage: &impl Read, netuid: u16) -> Vec<(AccountId32, Vec<Compact<u8>>)> {
    let authors = commitments::COMMITMENT_OF.second_parts::<u16, AccountId32>(storage, &netuid);
    let registration = |who: AccountId32| {
        let registration = commitments::COMMITMENT_OF.find(storage, (netuid, who))?;
        Some((who, compacts(registration.encode())))
    };
    authors.into_iter().filter_map(registration).collect()
}

pub(super) fn neuron(storage: &impl Read, netuid: u16, uid: u16) -> Option<NeuronInfoLite> {
    let hotkey = hotkey_at(storage, netuid, uid).filter(|_| uid < s::SUBNETWORK_N.get(storage, (netuid,)))?;
    fn at<T: Copy + Default>(vector: &[T], uid: u16) -> T {
        vector.get(usize::from(uid)).copied().unwrap_or_default()
    }
    let key = (netuid,);
    let coldkey = s::OWNER.get(storage, (hotkey,));
    Some(NeuronInfoLite {
        hotkey,
        coldkey,
        uid: compact(uid),
        netuid: compact(netuid),
        active: at(&s::ACTIVE.get(storage, key), uid),
        axon_info: s::AXONS.find(storage, (netuid, hotkey)).unwrap_or_default(),
        prometheus_info: PrometheusInfo::default(),
        stake: vec![(coldkey, compact(s::TOTAL_HOTKEY_ALPHA.get(storage, (hotkey, netuid))))],
        rank: compact(0),
        emission: compact(at(&s::EMISSION.get(storage, key), uid)),
        incentive: compact(at(&s::INCENTIVE.get(storage, key), uid)),
        consensus: compact(at(&s::CONSENSUS.get(storage, key), uid)),
        trust: compact(0),
        validator_trust: compact(at(&s::VALIDATOR_TRUST.get(storage, key), uid)),
        dividends: compact(at(&s::DIVIDENDS.get(storage, key), uid)),
        last_update: compact(at(&s::LAST_UPDATE.get(storage, key), uid)),
        validator_permit: at(&s::VALIDATOR_PERMIT.get(storage, key), uid),
        pruning_score: compact(0),
    })
}

pub(super) fn neurons(storage: &impl Read, netuid: u16) -> Vec<NeuronInfoLite> {
    (0..s::SUBNETWORK_N.get(storage, (netuid,))).filter_map(|uid| neuron(storage, netuid, uid)).collect()
}

/// The block at which the next epoch of a subnet begins, of the second model of epochs.
pub(super) fn next_epoch(storage: &impl Read, netuid: u16) -> Option<u64> {
    next_epoch_start(storage, netuid)
}
