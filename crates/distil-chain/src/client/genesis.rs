//! Which chain it is, and how fast its blocks come.

use super::{ChainClient, ChainError};
use distil_types::BlockHash;

/// The hash of block 0 of Bittensor's main network ("finney"). It is in subtensor's own sources
/// (`pallets/subtensor/src/migrations`) and in polkadot-js' list of networks.
pub const FINNEY_GENESIS: BlockHash = BlockHash::from_bytes([
    0x2f, 0x05, 0x55, 0xcc, 0x76, 0xfc, 0x28, 0x40, 0xa2, 0x5a, 0x6e, 0xa3, 0xb9, 0x63, 0x71, 0x46, 0x80, 0x6f, 0x1f,
    0x44, 0xb0, 0x90, 0xc1, 0x75, 0xff, 0xde, 0x2a, 0x7e, 0x5a, 0xb3, 0x6c, 0x03,
]);

/// The hash of block 0 of Bittensor's test network, as the public documentation of many projects has it.
pub const TEST_GENESIS: BlockHash = BlockHash::from_bytes([
    0x8f, 0x9c, 0xf8, 0x56, 0xbf, 0x55, 0x8a, 0x14, 0x44, 0x0e, 0x75, 0x56, 0x9c, 0x9e, 0x58, 0x59, 0x47, 0x57, 0x04,
    0x8d, 0x7b, 0x3a, 0x84, 0xb5, 0xd2, 0x5f, 0x6b, 0xd9, 0x78, 0x26, 0x31, 0x05,
]);

impl ChainClient {
    /// The hash of the chain's block 0: which chain it is.
    ///
    /// A node can say what it likes, but a transaction names this hash under its signature, and no other chain takes it.
    /// All connections of a client are to nodes that say the same: [`ChainSettings::genesis`](super::ChainSettings), or
    /// what the first one said.
    ///
    /// # Errors
    /// [`ChainError::OtherChain`], and those of connecting.
    pub async fn genesis_hash(&self) -> Result<BlockHash, ChainError> {
        self.read("reading the genesis block's hash", async |connection| Ok(connection.genesis())).await
    }

    /// Milliseconds from one block to the next, by the chain's own constant: twice the least time between two blocks that
    /// its `Timestamp` takes, as with every chain whose authors take turns.
    ///
    /// For a chain of one's own. Bittensor's public chains have 12 s; a node that lies about it decides when what is
    /// sealed opens.
    ///
    /// # Errors
    /// [`ChainError::Malformed`] for a constant that cannot be true, and those of reading.
    pub async fn block_time_ms(&self) -> Result<u64, ChainError> {
        self.read("reading the block time", async |connection| {
            let at = connection.at_finalized().await?;
            let address = subxt::dynamic::constant::<u64>("Timestamp", "MinimumPeriod");
            let least = at.constants().entry(address).map_err(|error| super::storage::unsupported(&at, &error))?;
            let block_time_ms = least.checked_mul(2).filter(|block_time_ms| *block_time_ms > 0);
            block_time_ms.ok_or_else(|| ChainError::Malformed {
                what: "the block time",
                problem: format!("the least time between two blocks is {least} ms"),
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bittensors_chains_are_those_that_everybody_knows() {
        let known = [
            (FINNEY_GENESIS, "0x2f0555cc76fc2840a25a6ea3b9637146806f1f44b090c175ffde2a7e5ab36c03"),
            (TEST_GENESIS, "0x8f9cf856bf558a14440e75569c9e58594757048d7b3a84b5d25f6bd978263105"),
        ];
        for (hash, text) in known {
            assert_eq!(hash.to_string(), text);
        }
    }
}
