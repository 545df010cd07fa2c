//! One connection: requests in, answers and messages out, faults where they were ordered.

use super::error::RpcError;
use super::methods::{self, Answer, Caller};
use super::parameters::Parameters;
use super::server::Shared;
use super::subscriptions::{Outbox, Outgoing};
use crate::faults::{FaultKind, Target};
use crate::hashing::blake2_256;
use crate::hex;
use crate::record::RequestRecord;
use axum::extract::ws::{Message, WebSocket};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

/// How many messages may wait for a client that does not read.
const MAX_WAITING: usize = 16_384;
/// How many requests one batch may hold.
const MAX_BATCH: usize = 1_000;

#[derive(Deserialize)]
struct Request {
    /// Without one it is a notification, which gets no answer.
    id: Option<Value>,
    method: String,
    params: Option<Value>,
}

/// What to do with the connection after a request.
enum Verdict {
    GoOn,
    Break,
    Silence,
}

/// Counts a connection as open while it lives.
struct OpenConnection {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.shared.open_connections.fetch_sub(1, Ordering::SeqCst);
        self.shared.chain().subscribers.connection_closed(self.id);
    }
}

pub(super) async fn serve(shared: Arc<Shared>, socket: WebSocket) {
    let id = shared.next_connection();
    shared.open_connections.fetch_add(1, Ordering::SeqCst);
    let open = OpenConnection { shared: Arc::clone(&shared), id };
    let mut breaks = shared.breaks();
    let (outbox, mut outgoing) = mpsc::channel(MAX_WAITING);
    let (mut sink, mut stream) = socket.split();
    loop {
        tokio::select! {
            // Answers go out in the order in which they were made, before anything new is read.
            biased;
            // Dropping both halves of the socket breaks the connection without a word.
            _ = breaks.changed() => break,
            message = outgoing.recv() => {
                let sent = match message {
                    Some(Outgoing::Answer(text)) => sink.send(Message::text(text)).await,
                    Some(Outgoing::Message { name, text }) => {
                        let fault = shared.faults().take(Target::Message, name);
                        let copies = match fault {
                            Some(FaultKind::DuplicateMessage) => 2,
                            Some(FaultKind::LoseMessage) => 0,
                            _ => 1,
                        };
                        let mut sent = Ok(());
                        for _ in 0..copies {
                            sent = sent.and(sink.send(Message::text(text.clone())).await);
                        }
                        sent
                    }
                    None => break,
                };
                if sent.is_err() {
                    break;
                }
            }
            message = stream.next() => {
                let text = match message {
                    Some(Ok(Message::Text(text))) => text.to_string(),
                    Some(Ok(Message::Binary(bytes))) => String::from_utf8_lossy(&bytes).into_owned(),
                    // Pings are answered by the library.
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                };
                match take(&open.shared, id, &text, &outbox) {
                    Verdict::GoOn => {}
                    Verdict::Break => break,
                    Verdict::Silence => {
                        // Open, deaf and dumb, until all connections are broken or the server stops.
                        let _ = breaks.changed().await;
                        break;
                    }
                }
            }
        }
    }
    drop(open);
}

/// Answers one request that came without a connection of its own.
pub(super) async fn answer_one(shared: Arc<Shared>, text: String) -> Option<String> {
    let id = shared.next_connection();
    let (outbox, mut outgoing) = mpsc::channel(MAX_WAITING);
    match take(&shared, id, &text, &outbox) {
        Verdict::Silence => std::future::pending().await,
        Verdict::Break => None,
        Verdict::GoOn => {
            drop(outbox);
            let answer = loop {
                match outgoing.recv().await {
                    Some(Outgoing::Answer(text)) => break Some(text),
                    Some(Outgoing::Message { .. }) => {}
                    None => break None,
                }
            };
            shared.chain().subscribers.connection_closed(id);
            answer
        }
    }
}

/// Takes one request, or a batch of them.
fn take(shared: &Arc<Shared>, connection: u64, text: &str, outbox: &Outbox) -> Verdict {
    let refuse = |error: RpcError| {
        let answer = json!({ "jsonrpc": "2.0", "id": null, "error": error.json() });
        let _ = outbox.try_send(Outgoing::Answer(answer.to_string()));
        Verdict::GoOn
    };
    let Ok(value) = serde_json::from_str::<Value>(text) else { return refuse(RpcError::parse_error()) };
    let Value::Array(requests) = value else {
        return match serde_json::from_value::<Request>(value) {
            Ok(request) => one(shared, connection, request, text.len(), outbox),
            Err(_) => refuse(RpcError::invalid_request()),
        };
    };
    if requests.is_empty() || requests.len() > MAX_BATCH {
        return refuse(RpcError::invalid_request());
    }

    // A batch is answered whole: its answers are gathered first.
    let (gathered, mut answers) = mpsc::channel(MAX_WAITING);
    let share = text.len() / requests.len();
    let mut verdict = Verdict::GoOn;
    for request in requests {
        let Ok(request) = serde_json::from_value::<Request>(request) else {
            return refuse(RpcError::invalid_request());
        };
        verdict = one(shared, connection, request, share, &gathered);
        if !matches!(verdict, Verdict::GoOn) {
            break;
        }
    }
    let mut texts = Vec::new();
    while let Ok(Outgoing::Answer(text)) = answers.try_recv() {
        texts.push(text);
    }
    let _ = outbox.try_send(Outgoing::Answer(format!("[{}]", texts.join(","))));
    verdict
}

fn one(shared: &Arc<Shared>, connection: u64, request: Request, request_bytes: usize, outbox: &Outbox) -> Verdict {
    let fault = shared.faults().take(Target::Request, &request.method);
    let record = |answer_bytes| {
        let method = request.method.chars().take(100).collect();
        shared.log.add(RequestRecord { connection, method, request_bytes, answer_bytes });
    };
    match fault {
        Some(FaultKind::Drop) => {
            record(None);
            return Verdict::Break;
        }
        Some(FaultKind::Silence) => {
            record(None);
            return Verdict::Silence;
        }
        Some(FaultKind::NeverAnswer) => {
            record(None);
            return Verdict::GoOn;
        }
        Some(FaultKind::Delay(time)) => {
            let (shared, outbox) = (Arc::clone(shared), outbox.clone());
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                execute(&shared, connection, request, request_bytes, &outbox, None);
            });
            return Verdict::GoOn;
        }
        _ => {}
    }
    let breaks = matches!(fault, Some(FaultKind::LoseAnswer));
    execute(shared, connection, request, request_bytes, outbox, fault);
    if breaks { Verdict::Break } else { Verdict::GoOn }
}

/// Carries out a request and sends its answer.
fn execute(
    shared: &Arc<Shared>,
    connection: u64,
    request: Request,
    request_bytes: usize,
    outbox: &Outbox,
    fault: Option<FaultKind>,
) {
    let Request { id, method, params } = request;
    let few_neurons = if let Some(FaultKind::Neurons(most)) = fault { Some(most) } else { None };
    let caller = Caller { shared, connection, outbox, few_neurons };
    let answer = match fault {
        Some(FaultKind::Error(code)) => Err(RpcError::ordered(code)),
        Some(FaultKind::PoolError(code)) => {
            let first = params.as_ref().and_then(|params| params.get(0)).and_then(Value::as_str);
            let submitted = first.and_then(hex::decode).map(|bytes| blake2_256(&bytes));
            Err(RpcError::ordered_pool_error(code, submitted))
        }
        _ => Parameters::new(params).and_then(|parameters| methods::call(&caller, &method, &parameters)),
    };
    let (body, after) = match answer {
        Ok(Answer { result, after }) => (json!({ "jsonrpc": "2.0", "id": id, "result": result }), after),
        Err(error) => (json!({ "jsonrpc": "2.0", "id": id, "error": error.json() }), None),
    };
    let is_answered = id.is_some() && !matches!(fault, Some(FaultKind::LoseAnswer | FaultKind::SwallowAnswer));
    let text = body.to_string();
    let answer_bytes = is_answered.then_some(text.len());
    shared.log.add(RequestRecord {
        connection,
        method: method.chars().take(100).collect(),
        request_bytes,
        answer_bytes,
    });
    if is_answered {
        let _ = outbox.try_send(Outgoing::Answer(text));
    }
    // What follows from the request comes after its answer.
    if let Some(after) = after {
        after(&mut shared.chain());
    }
}
