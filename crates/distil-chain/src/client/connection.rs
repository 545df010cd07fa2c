//! One connection to one node, on which nothing is waited for longer than it may take.

use super::{ChainError, ChainSettings, error::shortened};
use distil_types::BlockHash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use subxt::backend::LegacyBackend;
use subxt::config::RpcConfigFor;
use subxt::error::OnlineClientAtBlockError;
use subxt::rpcs::client::{RawRpcFuture, RawRpcSubscription, RawValue, RpcClientT};
use subxt::rpcs::{Error as RpcError, LegacyRpcMethods, RpcClient};
use subxt::{OnlineClient, PolkadotConfig};
use url::Url;

pub(super) type Config = PolkadotConfig;
pub(super) type ClientAt = subxt::client::ClientAtBlock<Config, subxt::client::OnlineClientAtBlockImpl<Config>>;

/// Keys and values that are asked for at once: few enough that a page of the longest ones is an answer of some
/// megabytes.
const PAGE_ENTRIES: u32 = 200;

/// What failed last on a connection. subxt's errors wrap a failed request in many ways; here it is seen before that.
type LastFailure = Arc<Mutex<Option<ChainError>>>;

#[derive(Clone)]
pub(super) struct Connection {
    pub(super) online: OnlineClient<Config>,
    pub(super) methods: LegacyRpcMethods<RpcConfigFor<Config>>,
    last_failure: LastFailure,
    idle: Arc<Idle>,
}

/// Whether the node goes on while it has nothing new to show.
#[derive(Default)]
struct Idle {
    /// The newest final block the last time that there was nothing new.
    newest_final: AtomicU64,
    /// It was no newer than the time before.
    stands_still: AtomicBool,
}

impl Connection {
    pub(super) async fn open(settings: &ChainSettings, endpoint: &Url) -> Result<Self, ChainError> {
        let name = displayed(endpoint);
        let transport =
            |problem: String| ChainError::Transport { endpoint: name.clone(), problem: shortened(&problem) };
        let connecting = RpcClient::from_insecure_url(endpoint.as_str());
        let inner = match tokio::time::timeout(settings.call_timeout, connecting).await {
            Ok(connected) => connected.map_err(|error| transport(error.to_string()))?,
            Err(_) => return Err(timed_out(&name, "the handshake", settings.call_timeout)),
        };
        Self::over(inner, settings, name).await
    }

    /// Over a transport that is there. `name` is what the node is called in errors.
    pub(super) async fn over(inner: RpcClient, settings: &ChainSettings, name: String) -> Result<Self, ChainError> {
        let last_failure = LastFailure::default();
        let timed = TimedRpc {
            inner,
            endpoint: name,
            call_timeout: settings.call_timeout,
            last_failure: Arc::clone(&last_failure),
        };
        let rpc = RpcClient::new(timed);
        let methods = LegacyRpcMethods::new(rpc.clone());
        let backend = LegacyBackend::builder().storage_page_size(PAGE_ENTRIES).build(rpc);
        let online = OnlineClient::from_backend(backend.into())
            .await
            .map_err(|error| explain(&last_failure, "the genesis block's hash", &error))?;
        Ok(Connection { online, methods, last_failure, idle: Arc::default() })
    }

    /// The hash of block 0, as the node said when the connection was made. Whatever is signed over it names this.
    pub(super) fn genesis(&self) -> BlockHash {
        BlockHash::from_bytes(self.online.genesis_hash().0)
    }

    /// The error of the request that failed, or, where none did, that its answer cannot be used.
    pub(super) fn explain(&self, what: &'static str, error: &dyn std::error::Error) -> ChainError {
        explain(&self.last_failure, what, error)
    }

    /// Notes that there is nothing new, with the newest final block that the node has.
    pub(super) fn nothing_new(&self, newest_final: u64) {
        let before = self.idle.newest_final.swap(newest_final, Ordering::Relaxed);
        self.idle.stands_still.store(newest_final <= before, Ordering::Relaxed);
    }

    /// Whether the node's newest final block was the same the last two times that there was nothing new.
    pub(super) fn stands_still(&self) -> bool {
        self.idle.stands_still.load(Ordering::Relaxed)
    }

    /// The newest final block.
    pub(super) async fn at_finalized(&self) -> Result<ClientAt, ChainError> {
        self.online.at_current_block().await.map_err(|error| self.explain("the newest final block", &error))
    }

    pub(super) async fn at_number(&self, number: u64) -> Result<ClientAt, ChainError> {
        self.online.at_block(number).await.map_err(|error| match error {
            OnlineClientAtBlockError::BlockNotFound { block_number: block } => ChainError::NoBlock { block },
            other => self.explain("a block", &other),
        })
    }
}

fn explain(last_failure: &LastFailure, what: &'static str, error: &dyn std::error::Error) -> ChainError {
    let failure = last_failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    failure.unwrap_or_else(|| ChainError::Malformed { what, problem: shortened(&error.to_string()) })
}

/// Without what may be a password or a key for the node.
pub(super) fn displayed(endpoint: &Url) -> String {
    let host = endpoint.host_str().unwrap_or_default();
    match endpoint.port() {
        Some(port) => format!("{}://{host}:{port}", endpoint.scheme()),
        None => format!("{}://{host}", endpoint.scheme()),
    }
}

fn timed_out(endpoint: &str, request: &str, timeout: Duration) -> ChainError {
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    ChainError::Timeout { endpoint: endpoint.to_owned(), request: request.to_owned(), timeout_ms }
}

/// A client with a limit to each request.
struct TimedRpc {
    inner: RpcClient,
    endpoint: String,
    call_timeout: Duration,
    last_failure: LastFailure,
}

impl TimedRpc {
    fn remember(&self, failure: ChainError) {
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    fn failure(&self, request: &str, error: &RpcError) -> ChainError {
        let endpoint = self.endpoint.clone();
        match error {
            RpcError::User(answer) => {
                let data = answer.data.as_ref().map(|data| data.get()).unwrap_or_default();
                let message = shortened(&format!("{} {data}", answer.message));
                match answer.code {
                    code @ 1010..=1016 => ChainError::Pool { code, message },
                    code => ChainError::Node { endpoint, request: request.to_owned(), code, message },
                }
            }
            other => ChainError::Transport { endpoint, problem: shortened(&format!("{request}: {other}")) },
        }
    }
}

impl RpcClientT for TimedRpc {
    fn request_raw<'a>(&'a self, method: &'a str, params: Option<Box<RawValue>>) -> RawRpcFuture<'a, Box<RawValue>> {
        Box::pin(async move {
            match tokio::time::timeout(self.call_timeout, self.inner.request_raw(method, params)).await {
                Ok(Ok(answer)) => {
                    *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    Ok(answer)
                }
                Ok(Err(error)) => {
                    self.remember(self.failure(method, &error));
                    Err(error)
                }
                Err(_) => {
                    let failure = timed_out(&self.endpoint, method, self.call_timeout);
                    let error = RpcError::Client(failure.to_string().into());
                    self.remember(failure);
                    Err(error)
                }
            }
        })
    }

    /// Subscriptions fall silent without a sign, so what changes is asked for again and again instead.
    fn subscribe_raw<'a>(
        &'a self,
        subscription: &'a str,
        _: Option<Box<RawValue>>,
        _: &'a str,
    ) -> RawRpcFuture<'a, RawRpcSubscription> {
        Box::pin(async move { Err(RpcError::Client(format!("{subscription}: this client does not subscribe").into())) })
    }
}
