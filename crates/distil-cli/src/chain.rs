//! The chain as the program uses it: a client for a network, what the chain goes by, and what its trouble means to the
//! caller.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use distil_chain::timelock::DrandNetwork;
use distil_chain::{ChainClient, ChainError, ChainSettings, ErrorClass, FINNEY_GENESIS, TEST_GENESIS};
use distil_types::BlockHash;
use tokio::runtime::{Builder, Runtime};

use crate::exit::CommandError;
use crate::settings::Network;

/// What the client runs on: one thread, with a clock and a network.
///
/// # Errors
///
/// A fault of ours where the system gives none.
pub(crate) fn runtime() -> Result<Runtime, CommandError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")
        .map_err(CommandError::ours)
}

/// A client of this network, which takes no other chain where the network's name or `genesis` says which one it is. It
/// connects when it is used.
///
/// # Errors
///
/// As [`chain_error`] has it.
pub(crate) fn client(network: &Network, genesis: Option<BlockHash>) -> Result<ChainClient, CommandError> {
    // Two programs that fail together do not come back together.
    let jitter_seed = RandomState::new().build_hasher().finish();
    let settings = ChainSettings::new(vec![network.endpoint()], jitter_seed);
    // Somebody waits for the answer: some seconds of trying, not minutes.
    let genesis = genesis.or(network.genesis());
    ChainClient::new(ChainSettings { genesis, max_attempts: 4, ..settings }).map_err(chain_error)
}

/// What a chain goes by: fixed for Bittensor's own, and the chain's own word for one that is run for development.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conventions {
    /// The hash of its block 0: which chain it is.
    pub(crate) genesis: BlockHash,
    /// The beacon whose rounds open what is sealed.
    pub(crate) beacon: DrandNetwork,
    /// Milliseconds from one block to the next.
    pub(crate) block_time_ms: u64,
    /// The pause between two looks at the chain: half a block of Bittensor's, less for chains that are run for
    /// development and may be faster than they say.
    pub(crate) poll_interval: Duration,
}

impl Conventions {
    /// Those of Bittensor, unless the node is on this machine and of a chain that is none of Bittensor's.
    ///
    /// A node that named its own beacon, or a longer time between blocks, would read early what is sealed. Nodes of others
    /// are therefore not asked. One on this machine that is of Bittensor's chain is known by its block 0, and cannot deny
    /// it: what is signed for another block 0 is worth nothing there.
    ///
    /// # Errors
    ///
    /// Those of asking the chain.
    pub(crate) async fn of(network: &Network, client: &ChainClient) -> Result<Self, CommandError> {
        let genesis = match network.genesis() {
            Some(genesis) => genesis,
            None => client.genesis_hash().await.map_err(chain_error)?,
        };
        if let Some(known) = Self::known(network, genesis) {
            return Ok(known);
        }
        Ok(Self {
            genesis,
            beacon: client.drand_network().await.map_err(chain_error)?,
            block_time_ms: client.block_time_ms().await.map_err(chain_error)?,
            poll_interval: Duration::from_millis(500),
        })
    }

    fn known(network: &Network, genesis: BlockHash) -> Option<Self> {
        let is_bittensors = !network.is_on_this_machine() || [FINNEY_GENESIS, TEST_GENESIS].contains(&genesis);
        is_bittensors.then(|| Self {
            genesis,
            beacon: DrandNetwork::quicknet().clone(),
            block_time_ms: 12_000,
            poll_interval: Duration::from_secs(6),
        })
    }
}

/// What the chain's trouble means to the caller: try again where it may pass.
pub(crate) fn chain_error(error: ChainError) -> CommandError {
    let class = error.class();
    let fate_is_open = matches!(error, ChainError::FateUnknown { .. });
    let is_setting =
        matches!(error, ChainError::Setting { .. } | ChainError::OtherChain { .. } | ChainError::NoSubnet { .. });
    let is_ours = matches!(error, ChainError::UnsupportedMetadata { .. } | ChainError::Timelock(_));
    let error = anyhow!(error);
    match class {
        ErrorClass::TryAgain if fate_is_open => CommandError::try_again(error)
            .with_hint("nothing is sent twice: `distil commit --dry-run` tells whether the chain has it by now"),
        ErrorClass::TryAgain => CommandError::try_again(error),
        ErrorClass::Wait { blocks } => CommandError::try_again(error)
            .with_hint(format!("try again after {blocks} blocks, which take about {} minutes", blocks.div_ceil(5))),
        ErrorClass::Never if is_setting => CommandError::usage(error).with_hint("check --network and --netuid"),
        ErrorClass::Never if is_ours => CommandError::ours(error).with_hint("a newer version of distil may know it"),
        ErrorClass::Never => CommandError::no(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use distil_devnet::{DevNet, DevNetSettings};

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_node_chooses_neither_key_nor_block_time_unless_it_is_ours_and_the_chain_is() {
        let unknown = BlockHash::from_bytes([7; 32]);
        for (name, genesis) in [
            ("finney", FINNEY_GENESIS),
            ("wss://entrypoint-finney.opentensor.ai:443", unknown),
            ("wss://node-of-somebody.example", unknown),
            ("ws://10.0.0.3:9944", unknown),
            // The operator's own node of Bittensor's chain.
            ("local", FINNEY_GENESIS),
            ("ws://[::1]:9945", TEST_GENESIS),
        ] {
            let known = Conventions::known(&network(name), genesis).unwrap_or_else(|| panic!("{name}"));
            assert_eq!((&known.beacon, known.block_time_ms), (DrandNetwork::quicknet(), 12_000), "{name}");
            assert_eq!((known.genesis, known.poll_interval), (genesis, Duration::from_secs(6)), "{name}");
        }
        for name in ["local", "ws://127.0.0.1:9945"] {
            assert_eq!(Conventions::known(&network(name), unknown), None, "{name}");
        }
    }

    #[test]
    fn a_chain_for_development_says_itself_what_it_goes_by() {
        let net = DevNet::start(DevNetSettings { block_time_ms: 200, ..DevNetSettings::default() }).unwrap();
        let network = network(&net.endpoint());
        let client = client(&network, None).unwrap();
        let found = runtime().unwrap().block_on(Conventions::of(&network, &client)).unwrap();
        assert_eq!((found.beacon.public_key(), found.block_time_ms), (&net.admin().drand_public_key(), 200));
        assert_eq!(found.poll_interval, Duration::from_millis(500));
    }

    #[test]
    fn a_node_of_another_chain_than_the_one_that_is_meant_is_a_usage_error() {
        let net = DevNet::start(DevNetSettings::default()).unwrap();
        let client = client(&network(&net.endpoint()), Some(FINNEY_GENESIS)).unwrap();
        let error = runtime().unwrap().block_on(client.genesis_hash()).map_err(chain_error).unwrap_err();
        assert_eq!(error.status(), crate::exit::ExitStatus::Usage);
        assert!(error.render().contains("a node of another chain"), "{}", error.render());
    }
}
