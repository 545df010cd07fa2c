//! The methods of a Substrate node, as far as its legacy interface goes.

use super::devnet;
use super::error::RpcError;
use super::few_neurons::FewNeurons;
use super::parameters::{Parameters, number_of};
use super::server::Shared;
use super::subscriptions::{Outbox, Topic, storage_json, version_json};
use crate::chain::{Block, Chain};
use crate::extrinsic::Conditions;
use crate::hex;
use crate::runtime::{RuntimeApiError, call_api};
use crate::settings::BlockProduction;
use crate::state::Read;
use crate::types::account::{AccountId32, H256};
use distil_types::Hotkey;
use serde_json::{Value, json};
use std::sync::Arc;

/// The most keys or values in one answer.
const MAX_KEYS: u64 = 1_000;

/// Who asks.
pub(super) struct Caller<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) connection: u64,
    pub(super) outbox: &'a Outbox,
    /// To show no more neurons than this.
    pub(super) few_neurons: Option<u16>,
}

/// What follows once an answer is sent.
type After = Box<dyn FnOnce(&mut Chain)>;

/// An answer, and what follows.
pub(super) struct Answer {
    pub(super) result: Value,
    pub(super) after: Option<After>,
}

impl From<Value> for Answer {
    fn from(result: Value) -> Self {
        Answer { result, after: None }
    }
}

const METHODS: &[&str] = &[
    "author_pendingExtrinsics",
    "author_submitAndWatchExtrinsic",
    "author_submitExtrinsic",
    "author_unwatchExtrinsic",
    "chain_getBlock",
    "chain_getBlockHash",
    "chain_getFinalizedHead",
    "chain_getHead",
    "chain_getHeader",
    "chain_subscribeAllHeads",
    "chain_subscribeFinalizedHeads",
    "chain_subscribeNewHeads",
    "chain_unsubscribeAllHeads",
    "chain_unsubscribeFinalizedHeads",
    "chain_unsubscribeNewHeads",
    "rpc_methods",
    "state_call",
    "state_getKeysPaged",
    "state_getMetadata",
    "state_getRuntimeVersion",
    "state_getStorage",
    "state_queryStorageAt",
    "state_subscribeRuntimeVersion",
    "state_subscribeStorage",
    "state_unsubscribeRuntimeVersion",
    "state_unsubscribeStorage",
    "system_accountNextIndex",
    "system_chain",
    "system_chainType",
    "system_health",
    "system_name",
    "system_properties",
    "system_version",
];

/// The name that we know a method by.
fn canonical(method: &str) -> &str {
    match method {
        "account_nextIndex" => "system_accountNextIndex",
        "chain_getFinalisedHead" => "chain_getFinalizedHead",
        "chain_getRuntimeVersion" => "state_getRuntimeVersion",
        "chain_subscribeNewHead" | "subscribe_newHead" => "chain_subscribeNewHeads",
        "chain_unsubscribeNewHead" | "unsubscribe_newHead" => "chain_unsubscribeNewHeads",
        "chain_subscribeFinalisedHeads" => "chain_subscribeFinalizedHeads",
        "chain_unsubscribeFinalisedHeads" => "chain_unsubscribeFinalizedHeads",
        "chain_subscribeRuntimeVersion" => "state_subscribeRuntimeVersion",
        "chain_unsubscribeRuntimeVersion" => "state_unsubscribeRuntimeVersion",
        "state_getKeysPagedAt" => "state_getKeysPaged",
        "state_getStorageAt" => "state_getStorage",
        "state_callAt" => "state_call",
        other => other,
    }
}

pub(super) fn call(caller: &Caller<'_>, method: &str, parameters: &Parameters) -> Result<Answer, RpcError> {
    if method.starts_with("devnet_") {
        return devnet::call(caller.shared, method, parameters).map(Answer::from);
    }
    let method = canonical(method);
    let mut guard = caller.shared.chain();
    let chain = &mut *guard;
    let result = match method {
        "rpc_methods" => {
            let methods: Vec<&str> = METHODS.iter().chain(devnet::METHODS).copied().collect();
            json!({ "methods": methods })
        }
        "system_chain" => json!(chain.settings.chain_name),
        "system_chainType" => json!("Development"),
        "system_name" => json!("distil-devnet"),
        "system_version" => json!(env!("CARGO_PKG_VERSION")),
        "system_health" => json!({ "peers": 0, "isSyncing": false, "shouldHavePeers": false }),
        "system_properties" => json!({ "ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "TAO" }),
        "system_accountNextIndex" => {
            let account: Hotkey = parameters.read(0)?;
            json!(chain.next_nonce(AccountId32::from(account)))
        }

        "chain_getBlockHash" => block_hash(chain, parameters)?,
        "chain_getHead" => json!(hex::encode(&chain.best().hash.0)),
        "chain_getFinalizedHead" => json!(hex::encode(&chain.finalized().hash.0)),
        "chain_getHeader" => json!(block(chain, parameters)?.map(Block::header_json)),
        "chain_getBlock" => json!(block(chain, parameters)?.map(Block::json)),

        "state_getMetadata" => {
            let number = block_number(chain, parameters.hash(0)?)?;
            // As on a real node, this older method gives the older version.
            json!(chain.runtime_at(number).metadata.bytes(14).map(hex::encode))
        }
        "state_getRuntimeVersion" => {
            let number = block_number(chain, parameters.hash(0)?)?;
            version_json(&chain.runtime_at(number).version)
        }
        "state_getStorage" => {
            let key = parameters.bytes(0)?;
            let storage = storage(chain, caller, parameters.hash(1)?)?;
            json!(storage.get(&key).map(|value| hex::encode(&value)))
        }
        "state_getKeysPaged" => keys_paged(chain, caller, parameters)?,
        "state_queryStorageAt" => {
            let keys = parameters.list_of_bytes(0)?;
            let hash = parameters.hash(1)?.unwrap_or(chain.best().hash);
            let storage = storage(chain, caller, Some(hash))?;
            let values: Vec<_> = keys.into_iter().map(|key| (key.clone(), storage.get(&key))).collect();
            json!([storage_json(hash, &values)])
        }
        "state_call" => runtime_call(chain, caller, parameters)?,

        "author_pendingExtrinsics" => {
            let waiting = chain.pool.all().iter();
            json!(waiting.map(|extrinsic| hex::encode(&extrinsic.bytes)).collect::<Vec<_>>())
        }
        "author_submitExtrinsic" => {
            let (hash, _) = chain.submit(&parameters.bytes(0)?)?;
            return Ok(Answer { result: json!(hex::encode(&hash.0)), after: Some(Box::new(produce_on_transaction)) });
        }
        "author_submitAndWatchExtrinsic" => return submit_and_watch(chain, caller, parameters),

        "chain_subscribeNewHeads" => return Ok(subscribe_heads(chain, caller, Topic::NewHeads)),
        "chain_subscribeAllHeads" => return Ok(subscribe_heads(chain, caller, Topic::AllHeads)),
        "chain_subscribeFinalizedHeads" => return Ok(subscribe_heads(chain, caller, Topic::FinalizedHeads)),
        "state_subscribeRuntimeVersion" => {
            let version = version_json(&chain.runtime().version);
            return Ok(subscribe(chain, caller, Topic::RuntimeVersion, Some(version)));
        }
        "state_subscribeStorage" => {
            let keys = if parameters.given(0).is_some() { parameters.list_of_bytes(0)? } else { Vec::new() };
            if keys.is_empty() || keys.len() as u64 > MAX_KEYS {
                return Err(RpcError::invalid_params(format!("from 1 to {MAX_KEYS} keys can be listened to")));
            }
            let storage = chain.best_storage();
            let values: Vec<_> = keys.into_iter().map(|key| (key.clone(), storage.get(&key))).collect();
            let first = storage_json(chain.best().hash, &values);
            return Ok(subscribe(chain, caller, Topic::Storage(values), Some(first)));
        }
        "author_unwatchExtrinsic"
        | "chain_unsubscribeAllHeads"
        | "chain_unsubscribeFinalizedHeads"
        | "chain_unsubscribeNewHeads"
        | "state_unsubscribeRuntimeVersion"
        | "state_unsubscribeStorage" => {
            let id = match parameters.given(0) {
                Some(Value::String(text)) => text.parse().ok(),
                Some(value) => number_of(value),
                None => None,
            };
            json!(id.is_some_and(|id| chain.subscribers.unsubscribe(caller.connection, id)))
        }
        _ => return Err(RpcError::method_not_found()),
    };
    Ok(result.into())
}

fn produce_on_transaction(chain: &mut Chain) {
    if chain.settings.production == BlockProduction::OnTransaction {
        // Where the chain cannot be kept in its file, the next call of the operator says so.
        let _ = chain.produce_blocks(1);
    }
}

fn hash_json(hash: Option<H256>) -> Value {
    json!(hash.map(|hash| hex::encode(&hash.0)))
}

fn block_hash(chain: &Chain, parameters: &Parameters) -> Result<Value, RpcError> {
    let by_number = |value: &Value| {
        let number = number_of(value).ok_or_else(|| RpcError::invalid_params("a block's number is expected"))?;
        Ok(hash_json(u32::try_from(number).ok().and_then(|number| chain.hash_of(number))))
    };
    match parameters.given(0) {
        None => Ok(hash_json(Some(chain.best().hash))),
        Some(Value::Array(numbers)) if numbers.len() as u64 <= MAX_KEYS => {
            Ok(Value::Array(numbers.iter().map(by_number).collect::<Result<_, RpcError>>()?))
        }
        Some(value) => by_number(value),
    }
}

/// The block that is asked for, the best one where none is named.
fn block<'a>(chain: &'a Chain, parameters: &Parameters) -> Result<Option<&'a Block>, RpcError> {
    Ok(match parameters.hash(0)? {
        None => Some(chain.best()),
        Some(hash) => chain.by_hash(hash),
    })
}

fn unknown_block(hash: H256) -> RpcError {
    RpcError::client(format!("UnknownBlock: Header was not found in the database: {}", hex::encode(&hash.0)))
}

fn block_number(chain: &Chain, hash: Option<H256>) -> Result<u32, RpcError> {
    let Some(hash) = hash else { return Ok(chain.best().number()) };
    chain.by_hash(hash).map(Block::number).ok_or_else(|| unknown_block(hash))
}

fn state_discarded(hash: H256) -> RpcError {
    RpcError::client(format!("Api called for an unknown Block: State already discarded for {}", hex::encode(&hash.0)))
}

fn storage<'a>(
    chain: &'a Chain,
    caller: &Caller<'_>,
    hash: Option<H256>,
) -> Result<FewNeurons<impl Read + 'a>, RpcError> {
    let hash = hash.unwrap_or(chain.best().hash);
    if chain.by_hash(hash).is_none() {
        return Err(unknown_block(hash));
    }
    let (_, storage) = chain.storage_at(hash).ok_or_else(|| state_discarded(hash))?;
    Ok(FewNeurons::new(storage, caller.few_neurons))
}

fn keys_paged(chain: &Chain, caller: &Caller<'_>, parameters: &Parameters) -> Result<Value, RpcError> {
    let prefix = if parameters.given(0).is_some() { parameters.bytes(0)? } else { Vec::new() };
    let count = parameters.number(1)?;
    if count > MAX_KEYS {
        return Err(RpcError::invalid_params(format!("count exceeds maximum value: {count} vs {MAX_KEYS}")));
    }
    let after = if parameters.given(2).is_some() { Some(parameters.bytes(2)?) } else { None };
    let storage = storage(chain, caller, parameters.hash(3)?)?;
    let keys = storage.keys(&prefix, after.as_deref(), count as usize);
    Ok(json!(keys.iter().map(|key| hex::encode(key)).collect::<Vec<_>>()))
}

fn runtime_call(chain: &Chain, caller: &Caller<'_>, parameters: &Parameters) -> Result<Value, RpcError> {
    let function = parameters.text(0)?;
    let arguments = if parameters.given(1).is_some() { parameters.bytes(1)? } else { Vec::new() };
    let hash = parameters.hash(2)?.unwrap_or(chain.best().hash);
    let number = block_number(chain, Some(hash))?;
    let storage = storage(chain, caller, Some(hash))?;
    let answer = chain.with_conditions(number, |conditions| {
        let conditions = Conditions {
            storage: &storage,
            runtime: conditions.runtime,
            number: conditions.number,
            genesis_hash: conditions.genesis_hash,
            hash_of: conditions.hash_of,
            pool_checks_weights: conditions.pool_checks_weights,
        };
        call_api(&conditions, function, &arguments)
    });
    match answer {
        None => Err(state_discarded(hash)),
        Some(Ok(bytes)) => Ok(json!(hex::encode(&bytes))),
        Some(Err(RuntimeApiError::Unknown)) => {
            let name: String = function.chars().filter(|character| !character.is_control()).take(100).collect();
            Err(RpcError::client(format!("Execution failed: Other: Exported method {name} is not found")))
        }
        Some(Err(RuntimeApiError::Parameters)) => {
            Err(RpcError::client("Execution failed: Execution aborted due to trap: the parameters do not decode"))
        }
    }
}

fn subscribe(chain: &mut Chain, caller: &Caller<'_>, topic: Topic, first: Option<Value>) -> Answer {
    let id = chain.subscribers.subscribe(caller.connection, topic, caller.outbox.clone());
    Answer {
        result: json!(id.to_string()),
        after: first.map(|first| -> After { Box::new(move |chain: &mut Chain| chain.subscribers.send_to(id, first)) }),
    }
}

fn subscribe_heads(chain: &mut Chain, caller: &Caller<'_>, topic: Topic) -> Answer {
    let block = if topic == Topic::FinalizedHeads { chain.finalized() } else { chain.best() };
    let first = block.header_json();
    subscribe(chain, caller, topic, Some(first))
}

fn submit_and_watch(chain: &mut Chain, caller: &Caller<'_>, parameters: &Parameters) -> Result<Answer, RpcError> {
    let (hash, is_ready) = chain.submit(&parameters.bytes(0)?)?;
    let id = chain.subscribers.subscribe(caller.connection, Topic::Transaction(hash), caller.outbox.clone());
    let status = json!(if is_ready { "ready" } else { "future" });
    let after = move |chain: &mut Chain| {
        chain.subscribers.send_to(id, status);
        produce_on_transaction(chain);
    };
    Ok(Answer { result: json!(id.to_string()), after: Some(Box::new(after)) })
}
