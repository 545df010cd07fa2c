//! The sockets.

use super::connection;
use crate::DevNetError;
use crate::chain::Chain;
use crate::faults::FaultBook;
use crate::record::RequestLog;
use crate::settings::BlockProduction;
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tokio::time::MissedTickBehavior;

/// A request of this size is nothing that the chain takes.
const MAX_REQUEST_BYTES: usize = 16 << 20;

/// What happens to those who knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Gate {
    /// They come in.
    #[default]
    Open,
    /// They are turned away: 503.
    Closed,
    /// They are left standing without an answer.
    Silent,
}

/// What connections and the operator share.
#[derive(Debug)]
pub(crate) struct Shared {
    chain: Mutex<Chain>,
    faults: Mutex<FaultBook>,
    gate: Mutex<Gate>,
    pub(super) log: RequestLog,
    /// Counted up to break all connections that are open.
    breaks: watch::Sender<u64>,
    last_connection: AtomicU64,
    pub(super) open_connections: AtomicUsize,
}

impl Shared {
    pub(crate) fn new(chain: Chain) -> Self {
        Shared {
            chain: Mutex::new(chain),
            faults: Mutex::default(),
            gate: Mutex::default(),
            log: RequestLog::default(),
            breaks: watch::Sender::new(0),
            last_connection: AtomicU64::new(0),
            open_connections: AtomicUsize::new(0),
        }
    }

    // A panic while a lock was held is a bug that its thread reported; the state is still the best there is.
    pub(crate) fn chain(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, FaultBook> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_gate(&self, gate: Gate) {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = gate;
    }

    fn gate(&self) -> Gate {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log(&self) -> &RequestLog {
        &self.log
    }

    pub(crate) fn break_connections(&self) {
        self.breaks.send_modify(|count| *count += 1);
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.open_connections.load(Ordering::SeqCst)
    }

    pub(super) fn breaks(&self) -> watch::Receiver<u64> {
        let mut breaks = self.breaks.subscribe();
        breaks.mark_unchanged();
        breaks
    }

    pub(super) fn next_connection(&self) -> u64 {
        self.last_connection.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// The running server: a thread with an asynchronous runtime of its own, which stops when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(shared: Arc<Shared>) -> Result<Self, DevNetError> {
        let listen = shared.chain().settings.listen;
        start(shared, listen).map_err(|source| DevNetError::Start { address: listen, source })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by its thread; there is nothing to add while dropping.
            let _ = thread.join();
        }
    }
}

fn start(shared: Arc<Shared>, listen: SocketAddr) -> std::io::Result<Server> {
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("distil-devnet").enable_all().build()?;
    // Bound without waiting, so that a chain can be started from asynchronous code too.
    let socket = std::net::TcpListener::bind(listen)?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    let listener = {
        let _entered = runtime.enter();
        TcpListener::from_std(socket)?
    };
    let router = Router::new()
        .route("/", get(upgrade).post(single))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(Arc::clone(&shared));
    runtime.spawn(async move { axum::serve(listener, router).await });
    let production = shared.chain().settings.production;
    let interval = match production {
        BlockProduction::Every(interval) => Some(interval),
        BlockProduction::Clock => Some(Duration::from_millis(shared.chain().settings.block_time_ms)),
        BlockProduction::OnDemand | BlockProduction::OnTransaction => None,
    };
    if let Some(interval) = interval {
        runtime.spawn(produce(Arc::clone(&shared), interval));
    }
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new().name("distil-devnet".to_owned()).spawn(move || {
        // An error means that the sender is gone, which is how a server is told to stop.
        let _ = runtime.block_on(stopped);
        // Connections that are silent to order would hold the runtime for ever.
        runtime.shutdown_timeout(Duration::from_secs(5));
    })?;
    Ok(Server { address, stop: Some(stop), thread: Some(thread) })
}

/// Makes blocks until the chain cannot be kept any more.
async fn produce(shared: Arc<Shared>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    // After a block that took long the next one keeps its distance.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if shared.chain().produce_blocks(1).is_err() {
            // The file's folder is gone or full. Who asks for blocks by hand is told; the clock has nobody to tell, so
            // the chain stands still.
            return;
        }
    }
}

async fn upgrade(
    State(shared): State<Arc<Shared>>,
    method: Method,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let gate = shared.gate();
    match gate {
        Gate::Closed => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Gate::Silent => std::future::pending::<()>().await,
        Gate::Open => {}
    }
    match upgrade {
        Ok(upgrade) if method == Method::GET => upgrade
            .max_message_size(MAX_REQUEST_BYTES)
            .max_frame_size(MAX_REQUEST_BYTES)
            .on_upgrade(move |socket| connection::serve(shared, socket)),
        Ok(_) => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        Err(rejection) => rejection.into_response(),
    }
}

/// One request over HTTP; subscriptions need a WebSocket.
async fn single(State(shared): State<Arc<Shared>>, body: String) -> Response {
    match shared.gate() {
        Gate::Closed => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Gate::Silent => std::future::pending::<()>().await,
        Gate::Open => {}
    }
    match connection::answer_one(shared, body).await {
        Some(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}
