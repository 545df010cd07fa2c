//! The client: operations that read the chain or send to it.

mod beacon;
mod commit;
mod confirm;
#[cfg(test)]
mod conformance;
mod connection;
mod error;
mod existing;
mod genesis;
mod neurons;
mod pending;
mod reveal;
mod schedule;
mod settings;
mod signed_weights;
mod snapshot;
mod storage;
mod subnet_weights;
mod transaction;
mod weights;

pub use commit::{CommitPlan, Committed};
pub use confirm::{LostWeights, WeightsConfirmation};
pub use error::{ChainError, ErrorClass};
pub use existing::{CommittedContent, ExistingCommitment};
pub use genesis::{FINNEY_GENESIS, TEST_GENESIS};
pub use pending::{HotkeyCommitments, PendingCommitment, PendingField};
pub use reveal::{LostReason, RevealState};
pub use settings::{Backoff, ChainSettings};
pub use signed_weights::{SignedWeights, SignedWeightsFate, WeightsOutcome, WeightsSigning};
pub use snapshot::{NeuronInfo, Snapshot, SnapshotExpectation, SnapshotRefusal, SubnetParameters};
pub use transaction::{TransactionStage, TransactionWait};
pub use weights::{CommittedWeights, Refresh, WeightsCheck, WeightsOptions, WeightsStep};

use connection::Connection;
use distil_types::BlockHash;
use std::fmt;
use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A client of the chain, to be used within a runtime of tokio that has its clock and its network on.
///
/// It does one operation at a time: others wait. A connection is kept as long as it works. After a timeout or an error
/// the next try has a fresh connection to the next endpoint. Metadata is that of the block that is worked on, so a
/// runtime upgrade between two operations is nothing special. All nodes are of one chain: a connection to a node of
/// another one is refused.
pub struct ChainClient {
    settings: ChainSettings,
    /// Counts on whenever an endpoint disappoints.
    endpoint: AtomicUsize,
    /// Taken out while it is used, so that an operation that is given up leaves none behind.
    connection: Mutex<Option<Connection>>,
    /// Which chain it is: the one of the settings, or that of the first connection.
    genesis: OnceLock<BlockHash>,
}

/// The moment so long from now; where a clock has none that far off, one that nobody lives to see.
fn after(time: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);
    let now = Instant::now();
    now.checked_add(time).unwrap_or_else(|| now + FAR)
}

impl fmt::Debug for ChainClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainClient").field("endpoints", &self.settings.endpoints.len()).finish_non_exhaustive()
    }
}

impl ChainClient {
    /// A client with these settings. It connects when it is used.
    ///
    /// # Errors
    /// [`ChainError::Setting`] for settings that cannot work.
    pub fn new(settings: ChainSettings) -> Result<Self, ChainError> {
        settings.check()?;
        let genesis = settings.genesis.map_or_else(OnceLock::new, OnceLock::from);
        Ok(ChainClient { settings, endpoint: AtomicUsize::new(0), connection: Mutex::new(None), genesis })
    }

    /// Does what only reads, with as many tries as are set.
    async fn read<T, Done>(
        &self,
        operation: &'static str,
        work: impl Fn(Connection) -> Done + Send + Sync,
    ) -> Result<T, ChainError>
    where
        Done: Future<Output = Result<T, ChainError>> + Send,
    {
        let mut slot = self.connection.lock().await;
        let deadline = after(self.settings.overall_deadline);
        let mut failures = 0;
        loop {
            let error = match self.once(operation, &mut slot, deadline, &work).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            failures += 1;
            // What chain a node is of does not change, but another node may be of the right one.
            let is_hopeless = matches!(error, ChainError::OtherChain { .. }) && self.settings.endpoints.len() == 1;
            if !error.is_of_endpoint() || is_hopeless || failures >= self.settings.max_attempts {
                return Err(error);
            }
            let pause = self.settings.backoff.pause(failures);
            if after(pause) >= deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Connects to the endpoint whose turn it is, and makes sure that it is of the right chain.
    async fn connect(&self) -> Result<Connection, ChainError> {
        let at = self.endpoint.load(Ordering::Relaxed) % self.settings.endpoints.len();
        let connection = Connection::open(&self.settings, &self.settings.endpoints[at]).await?;
        let found = connection.genesis();
        let expected = *self.genesis.get_or_init(|| found);
        if found == expected {
            return Ok(connection);
        }
        Err(ChainError::OtherChain { endpoint: connection::displayed(&self.settings.endpoints[at]), found, expected })
    }

    /// One try: over the connection that is there, or over a new one.
    async fn once<T, Done>(
        &self,
        operation: &'static str,
        slot: &mut Option<Connection>,
        deadline: Instant,
        work: impl Fn(Connection) -> Done,
    ) -> Result<T, ChainError>
    where
        Done: Future<Output = Result<T, ChainError>>,
    {
        let kept = slot.take();
        let trying = async {
            let connection = match kept {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            Ok((work(connection.clone()).await, connection))
        };
        let result = match tokio::time::timeout_at(deadline, trying).await {
            Ok(Ok((result, connection))) => {
                let breaks = match &result {
                    Ok(_) => false,
                    // Between two round blocks there is nothing new, which says nothing against a node that goes on.
                    // One that stands still, or is behind what was seen before, is left for another.
                    Err(ChainError::Snapshot(SnapshotRefusal::BlockNotBeyond { block, previous })) => {
                        block.number < *previous || connection.stands_still()
                    }
                    Err(error) => error.breaks_connection(),
                };
                if !breaks {
                    *slot = Some(connection);
                }
                result
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let deadline_ms = u64::try_from(self.settings.overall_deadline.as_millis()).unwrap_or(u64::MAX);
                Err(ChainError::Deadline { operation, deadline_ms })
            }
        };
        if slot.is_none() {
            self.endpoint.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}
