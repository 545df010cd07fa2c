//! Who listens to what.

use crate::chain::Block;
use crate::hex;
use crate::state::Read;
use crate::types::account::H256;
use crate::types::system::RuntimeVersion;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// What goes out on a connection.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Answer(String),
    /// A message of a subscription, with the name that its kind goes by.
    Message {
        name: &'static str,
        text: String,
    },
}

/// Where a connection's messages go in. A client that does not read them loses its subscriptions.
pub(crate) type Outbox = mpsc::Sender<Outgoing>;

/// What is listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Topic {
    NewHeads,
    AllHeads,
    FinalizedHeads,
    RuntimeVersion,
    /// The values under these keys, with what was sent last.
    Storage(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    /// A transaction.
    Transaction(H256),
}

impl Topic {
    fn name(&self) -> &'static str {
        match self {
            Topic::NewHeads => "chain_newHead",
            Topic::AllHeads => "chain_allHead",
            Topic::FinalizedHeads => "chain_finalizedHead",
            Topic::RuntimeVersion => "state_runtimeVersion",
            Topic::Storage(_) => "state_storage",
            Topic::Transaction(_) => "author_extrinsicUpdate",
        }
    }
}

#[derive(Debug)]
struct Subscription {
    id: u64,
    connection: u64,
    topic: Topic,
    outbox: Outbox,
    /// For transactions: the block that was said to hold it.
    in_block: Option<H256>,
}

impl Subscription {
    /// False where nobody takes it any more.
    fn send(&self, result: Value) -> bool {
        let name = self.topic.name();
        let id = self.id.to_string();
        let message = json!({ "jsonrpc": "2.0", "method": name, "params": { "subscription": id, "result": result } });
        self.outbox.try_send(Outgoing::Message { name, text: message.to_string() }).is_ok()
    }
}

/// All subscriptions of all connections.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    subscriptions: Vec<Subscription>,
    last_id: u64,
}

/// The version as JSON.
pub(crate) fn version_json(version: &RuntimeVersion) -> Value {
    let apis: Vec<(String, u32)> = version.apis.iter().map(|(id, version)| (hex::encode(id), *version)).collect();
    json!({
        "specName": version.spec_name,
        "implName": version.impl_name,
        "authoringVersion": version.authoring_version,
        "specVersion": version.spec_version,
        "implVersion": version.impl_version,
        "apis": apis,
        "transactionVersion": version.transaction_version,
        "stateVersion": version.system_version,
        "systemVersion": version.system_version,
    })
}

pub(crate) fn storage_json(block: H256, changes: &[(Vec<u8>, Option<Vec<u8>>)]) -> Value {
    let pair = |(key, value): &(Vec<u8>, Option<Vec<u8>>)| {
        json!([hex::encode(key), value.as_ref().map(|value| hex::encode(value))])
    };
    json!({ "block": hex::encode(&block.0), "changes": changes.iter().map(pair).collect::<Vec<_>>() })
}

impl Subscribers {
    pub(crate) fn subscribe(&mut self, connection: u64, topic: Topic, outbox: Outbox) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.subscriptions.push(Subscription { id, connection, topic, outbox, in_block: None });
        id
    }

    pub(crate) fn unsubscribe(&mut self, connection: u64, id: u64) -> bool {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|subscription| subscription.connection != connection || subscription.id != id);
        self.subscriptions.len() < before
    }

    pub(crate) fn connection_closed(&mut self, connection: u64) {
        self.subscriptions.retain(|subscription| subscription.connection != connection);
    }

    /// Sends to one subscription.
    pub(crate) fn send_to(&mut self, id: u64, result: Value) {
        self.subscriptions.retain(|subscription| subscription.id != id || subscription.send(result.clone()));
    }

    fn publish(&mut self, topic: &Topic, result: &Value) {
        self.subscriptions.retain(|subscription| subscription.topic != *topic || subscription.send(result.clone()));
    }

    pub(crate) fn block_imported(&mut self, block: &Block) {
        let header = block.header_json();
        self.publish(&Topic::AllHeads, &header);
        self.publish(&Topic::NewHeads, &header);
    }

    /// Tells of a block that is final, and ends the subscriptions of its transactions.
    pub(crate) fn block_finalized(&mut self, block: &Block) {
        self.publish(&Topic::FinalizedHeads, &block.header_json());
        let finalized = json!({ "finalized": hex::encode(&block.hash.0) });
        self.subscriptions.retain(|subscription| {
            let ends = subscription.in_block == Some(block.hash);
            if ends {
                subscription.send(finalized.clone());
            }
            !ends
        });
    }

    pub(crate) fn runtime_upgraded(&mut self, version: &RuntimeVersion) {
        self.publish(&Topic::RuntimeVersion, &version_json(version));
    }

    pub(crate) fn storage_changed(&mut self, block: H256, storage: &impl Read) {
        self.subscriptions.retain_mut(|subscription| {
            let Topic::Storage(watched) = &mut subscription.topic else { return true };
            let mut changes = Vec::new();
            for (key, last) in watched {
                let value = storage.get(key);
                if value != *last {
                    *last = value.clone();
                    changes.push((key.clone(), value));
                }
            }
            changes.is_empty() || subscription.send(storage_json(block, &changes))
        });
    }

    pub(crate) fn in_block(&mut self, transaction: H256, block: H256) {
        let status = json!({ "inBlock": hex::encode(&block.0) });
        for subscription in &mut self.subscriptions {
            if subscription.topic == Topic::Transaction(transaction) {
                subscription.in_block = Some(block);
            }
        }
        self.publish(&Topic::Transaction(transaction), &status);
    }

    pub(crate) fn retracted(&mut self, transaction: H256, block: H256) {
        for subscription in &mut self.subscriptions {
            if subscription.in_block == Some(block) {
                subscription.in_block = None;
            }
        }
        self.publish(&Topic::Transaction(transaction), &json!({ "retracted": hex::encode(&block.0) }));
    }

    fn end(&mut self, transaction: H256, status: &Value) {
        self.publish(&Topic::Transaction(transaction), status);
        self.subscriptions.retain(|subscription| subscription.topic != Topic::Transaction(transaction));
    }

    pub(crate) fn usurped(&mut self, transaction: H256, by: H256) {
        self.end(transaction, &json!({ "usurped": hex::encode(&by.0) }));
    }

    pub(crate) fn invalid(&mut self, transaction: H256) {
        self.end(transaction, &json!("invalid"));
    }
}
