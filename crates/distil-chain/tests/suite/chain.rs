//! A chain with a subnet, and a client of it.

use distil_chain::timelock::{DrandNetwork, Randomness};
use distil_chain::wallet::HotkeySigner;
use distil_chain::{Backoff, ChainClient, ChainSettings, CommitPlan, TransactionWait};
use distil_devnet::{BlockProduction, DevNet, DevNetSettings, Hyperparameters, Neuron};
use distil_types::{Hotkey, NetUid};
use std::time::Duration;

pub(crate) const NETUID: NetUid = NetUid(97);

/// The signer of the seat with this number.
pub(crate) fn signer(seat: u8) -> HotkeySigner {
    HotkeySigner::from_seed(&[100 + seat; 32])
}

pub(crate) fn hotkey(seat: u8) -> Hotkey {
    signer(seat).public_key()
}

/// Seat 0 is a validator, seats 1 to 3 are miners.
pub(crate) fn subnet(settings: DevNetSettings) -> DevNet {
    let finality_lag = settings.finality_lag;
    let net = DevNet::start(settings).unwrap();
    let parameters = Hyperparameters {
        tempo: Some(10),
        min_allowed_weights: Some(3),
        weights_version_key: Some(7),
        weights_rate_limit: Some(5),
        commit_reveal: Some(true),
        reveal_period_epochs: Some(2),
        ..Hyperparameters::default()
    };
    net.admin().register_subnet(NETUID, parameters).unwrap();
    let miners = (1..4).map(|seat| Neuron { coldkey: hotkey(50 + seat), ..Neuron::miner(hotkey(seat)) });
    net.admin().register_neurons(NETUID, [Neuron::validator(hotkey(0))].into_iter().chain(miners)).unwrap();
    // So that the seats are final.
    net.admin().produce_blocks(finality_lag).unwrap();
    net
}

/// Blocks come all the time, and two of them are not final.
pub(crate) fn moving() -> DevNetSettings {
    let production = BlockProduction::Every(Duration::from_millis(20));
    DevNetSettings { production, finality_lag: 2, ..DevNetSettings::default() }
}

/// Short pauses, and timeouts that a loaded machine still keeps.
pub(crate) fn client_settings(endpoints: &[String]) -> ChainSettings {
    ChainSettings {
        call_timeout: Duration::from_secs(3),
        overall_deadline: Duration::from_secs(60),
        max_attempts: 4,
        backoff: Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(40), jitter_seed: 1 },
        ..ChainSettings::new(endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect(), 1)
    }
}

pub(crate) fn client(net: &DevNet) -> ChainClient {
    ChainClient::new(client_settings(&[net.endpoint()])).unwrap()
}

pub(crate) const WAIT: TransactionWait =
    TransactionWait { poll_interval: Duration::from_millis(20), at_most: Duration::from_secs(60) };

/// The beacon that the chain follows.
pub(crate) fn drand(net: &DevNet) -> DrandNetwork {
    DrandNetwork::new(net.admin().drand_public_key(), 1_692_803_367_000, 3_000).unwrap()
}

/// A plan that is revealed after so many blocks.
pub(crate) fn plan(net: &DevNet, model: &str, blocks: u64) -> CommitPlan {
    let text = format!(r#"{{"model":"{model}","revision":"{}"}}"#, "0a".repeat(20));
    let network = drand(net);
    let reveal_unix_ms = net.admin().time_ms() + blocks * 12_000;
    let randomness = Randomness::from_bytes(&[9; Randomness::BYTES]);
    CommitPlan::seal(serde_json::from_str(&text).unwrap(), &network, reveal_unix_ms, randomness).unwrap()
}

/// How often a method was asked for.
pub(crate) fn requests(net: &DevNet, method: &str) -> usize {
    net.admin().requests().iter().filter(|request| request.method == method).count()
}
