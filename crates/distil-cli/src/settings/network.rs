//! Which chain a command speaks to.

use distil_chain::{FINNEY_GENESIS, TEST_GENESIS};
use distil_types::BlockHash;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;
use url::{Host, Url};

/// A chain: one of Bittensor's, a node on this machine, or a node by its address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Network {
    /// Bittensor's main network.
    #[default]
    Finney,
    /// Bittensor's test network.
    Test,
    /// A node on this machine, at the usual port.
    Local,
    /// A node by its `ws://` or `wss://` address.
    Address(Url),
}

/// No network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no such network; give finney, test, local, or the ws:// or wss:// address of a node")]
pub(crate) struct NoNetwork;

/// Longer than any address of a node.
const MAX_ADDRESS_BYTES: usize = 2048;

impl Network {
    /// The node that is asked.
    pub(crate) fn endpoint(&self) -> Url {
        let known = |address: &str| Url::parse(address).expect("a constant that the tests parse");
        match self {
            Self::Finney => known("wss://entrypoint-finney.opentensor.ai:443"),
            Self::Test => known("wss://test.finney.opentensor.ai:443"),
            Self::Local => known("ws://127.0.0.1:9944"),
            Self::Address(address) => address.clone(),
        }
    }

    /// The hash of the chain's block 0, where the name says which chain it is.
    pub(crate) fn genesis(&self) -> Option<BlockHash> {
        match self {
            Self::Finney => Some(FINNEY_GENESIS),
            Self::Test => Some(TEST_GENESIS),
            Self::Local | Self::Address(_) => None,
        }
    }

    /// Whether the node is on this machine by its address. Only such a one can be of a chain for development. A name that
    /// merely leads here does not count: who answers for it can change.
    pub(crate) fn is_on_this_machine(&self) -> bool {
        match self {
            Self::Finney | Self::Test => false,
            Self::Local => true,
            Self::Address(address) => match address.host() {
                Some(Host::Ipv4(host)) => host.is_loopback(),
                Some(Host::Ipv6(host)) => host.to_canonical().is_loopback(),
                Some(Host::Domain(host)) => host.trim_end_matches('.') == "localhost",
                None => false,
            },
        }
    }
}

impl fmt::Display for Network {
    /// What may be a password or a key for the node is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = match self {
            Self::Finney => return formatter.write_str("finney"),
            Self::Test => return formatter.write_str("test"),
            Self::Local => return formatter.write_str("local"),
            Self::Address(address) => address,
        };
        write!(formatter, "{}://{}", address.scheme(), address.host_str().unwrap_or_default())?;
        if let Some(port) = address.port() {
            write!(formatter, ":{port}")?;
        }
        if !matches!(address.path(), "" | "/") || address.query().is_some() {
            formatter.write_str("/…")?;
        }
        Ok(())
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        match text {
            "finney" => return Ok(Self::Finney),
            "test" => return Ok(Self::Test),
            "local" => return Ok(Self::Local),
            _ if text.len() > MAX_ADDRESS_BYTES => return Err(NoNetwork),
            _ => {}
        }
        let address = Url::parse(text).map_err(|_| NoNetwork)?;
        let is_one = matches!(address.scheme(), "ws" | "wss") && address.host().is_some();
        if is_one && address.fragment().is_none() { Ok(Self::Address(address)) } else { Err(NoNetwork) }
    }
}

impl TryFrom<String> for Network {
    type Error = NoNetwork;

    fn try_from(text: String) -> Result<Self, NoNetwork> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_lead_to_a_node() {
        for (text, endpoint, is_here) in [
            ("finney", "wss://entrypoint-finney.opentensor.ai/", false),
            ("test", "wss://test.finney.opentensor.ai/", false),
            ("local", "ws://127.0.0.1:9944/", true),
            ("ws://127.8.9.10:9945", "ws://127.8.9.10:9945/", true),
            ("ws://[::1]:9945", "ws://[::1]:9945/", true),
            ("ws://[::ffff:127.0.0.1]:9945", "ws://[::ffff:7f00:1]:9945/", true),
            ("ws://LOCALHOST.:9945", "ws://localhost.:9945/", true),
            ("wss://archive.chain.opentensor.ai:443", "wss://archive.chain.opentensor.ai/", false),
            ("wss://localhost.example.org", "wss://localhost.example.org/", false),
            ("ws://192.168.0.7:9944", "ws://192.168.0.7:9944/", false),
            ("ws://[::ffff:10.0.0.1]:9945", "ws://[::ffff:a00:1]:9945/", false),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!((network.endpoint().as_str(), network.is_on_this_machine()), (endpoint, is_here), "{text}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in ["", "Finney", "main", "127.0.0.1:9944", "https://example.org", "ws://", "ws://a#b", "file:///etc"]
        {
            assert_eq!(wrong.parse::<Network>(), Err(NoNetwork), "{wrong}");
        }
        assert_eq!(format!("ws://{}", "a".repeat(3000)).parse::<Network>(), Err(NoNetwork));
    }

    #[test]
    fn a_key_for_a_node_is_not_shown() {
        let shown = |text: &str| text.parse::<Network>().unwrap().to_string();
        assert_eq!(shown("wss://user:secret@node.example:8443/v1/secret?key=secret"), "wss://node.example:8443/…");
        assert_eq!(shown("ws://127.0.0.1:9944"), "ws://127.0.0.1:9944");
        assert_eq!(serde_json::to_value(Network::Test).unwrap(), "test");
    }
}
