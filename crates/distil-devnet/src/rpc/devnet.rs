//! The operator's methods: what [`Admin`](crate::Admin) does, for other processes.

use super::error::RpcError;
use super::parameters::Parameters;
use super::server::Shared;
use crate::admin::Admin;
use crate::chain::Retracted;
use crate::command::Command;
use crate::{DevNetError, Fault};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) const METHODS: &[&str] = &[
    "devnet_advanceTime",
    "devnet_apply",
    "devnet_breakConnections",
    "devnet_clearFaults",
    "devnet_drand",
    "devnet_orderFault",
    "devnet_produceBlocks",
    "devnet_reorganize",
    "devnet_skipRound",
    "devnet_upgradeRuntime",
];

/// More at once would hold up everybody.
const MAX_BLOCKS: u64 = 10_000;

impl From<DevNetError> for RpcError {
    fn from(error: DevNetError) -> Self {
        RpcError::invalid_params(error.to_string())
    }
}

pub(super) fn call(shared: &Arc<Shared>, method: &str, parameters: &Parameters) -> Result<Value, RpcError> {
    let admin = Admin::new(Arc::clone(shared));
    Ok(match method {
        // Milliseconds.
        "devnet_advanceTime" => {
            admin.advance_time(parameters.number(0)?);
            Value::Null
        }
        // A list of commands, carried out in one block.
        "devnet_apply" => {
            let commands: Vec<Command> = parameters.read(0)?;
            json!(admin.apply(commands)?.iter().map(|uid| uid.map(|uid| uid.0)).collect::<Vec<_>>())
        }
        "devnet_breakConnections" => {
            admin.break_connections();
            Value::Null
        }
        "devnet_clearFaults" => {
            admin.clear_faults();
            Value::Null
        }
        "devnet_drand" => {
            let (round, key) = (admin.drand_round(), admin.drand_public_key());
            json!({ "publicKey": key.to_string(), "latestRound": round })
        }
        // In words, as `Fault` reads them.
        "devnet_orderFault" => {
            admin.order(parameters.text(0)?.parse::<Fault>()?);
            Value::Null
        }
        "devnet_produceBlocks" => {
            let count = if parameters.given(0).is_some() { parameters.number(0)? } else { 1 };
            if count > MAX_BLOCKS {
                return Err(RpcError::invalid_params(format!("at most {MAX_BLOCKS} blocks are made at once")));
            }
            admin.produce_blocks(count as u32)?;
            json!(admin.best_block().number)
        }
        // How many blocks, and whether their transactions are lost.
        "devnet_reorganize" => {
            let depth = u32::try_from(parameters.number(0)?).unwrap_or(u32::MAX);
            let lost = if parameters.given(1).is_some() { parameters.read(1)? } else { false };
            admin.reorganize(depth, if lost { Retracted::Lost } else { Retracted::Reincluded })?;
            json!(admin.best_block().number)
        }
        "devnet_skipRound" => {
            admin.skip_round(parameters.number(0)?);
            Value::Null
        }
        "devnet_upgradeRuntime" => json!(admin.upgrade_runtime()?),
        _ => return Err(RpcError::method_not_found()),
    })
}
