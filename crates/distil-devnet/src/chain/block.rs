//! Blocks as they are kept and as JSON shows them.

use crate::command::Command;
use crate::hashing::blake2_256;
use crate::hex;
use crate::types::account::H256;
use crate::types::system::Header;
use parity_scale_codec::Encode;
use serde_json::{Value, json};

/// A block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) header: Header,
    pub(crate) hash: H256,
    /// With their length prefixes.
    pub(crate) extrinsics: Vec<Vec<u8>>,
    /// What the operator had it do.
    pub(crate) commands: Vec<Command>,
}

impl Block {
    pub(crate) fn new(header: Header, extrinsics: Vec<Vec<u8>>, commands: Vec<Command>) -> Self {
        let hash = H256(blake2_256(&header.encode()));
        Block { header, hash, extrinsics, commands }
    }

    pub(crate) fn number(&self) -> u32 {
        self.header.number
    }

    /// The header as Substrate's RPC shows it.
    pub(crate) fn header_json(&self) -> Value {
        let logs: Vec<String> = self.header.digest.logs.iter().map(|item| hex::encode(&item.encode())).collect();
        json!({
            "parentHash": hex::encode(&self.header.parent_hash.0),
            "number": format!("{:#x}", self.header.number),
            "stateRoot": hex::encode(&self.header.state_root.0),
            "extrinsicsRoot": hex::encode(&self.header.extrinsics_root.0),
            "digest": { "logs": logs },
        })
    }

    /// The block as Substrate's RPC shows it.
    pub(crate) fn json(&self) -> Value {
        let extrinsics: Vec<String> = self.extrinsics.iter().map(|extrinsic| hex::encode(extrinsic)).collect();
        json!({ "block": { "header": self.header_json(), "extrinsics": extrinsics }, "justifications": null })
    }
}
