use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use crate::KlError;

/// How many threads one call may use, and where they come from. There is no hidden global pool.
///
/// Rows are the unit of work, so results are the same bit for bit for every choice. The calling
/// thread works too: [`Threads::ONE`] starts nothing. A thread is used only if there is enough
/// for it to do (about 130,000 logits), so small batches stay on one thread whatever was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    count: NonZeroUsize,
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Threads started for the call and joined before it returns.
    Started,
    #[cfg(feature = "rayon")]
    RayonPool,
}

/// Starting and joining a thread takes some 20 µs; this many logits take two or three times that.
const LOGITS_WORTH_A_THREAD: usize = 1 << 17;
/// Rows are handed out in pieces of at least this many logits, so that handing out costs nothing.
const LOGITS_PER_PIECE: usize = 1 << 14;

impl Threads {
    /// The calling thread alone.
    pub const ONE: Self = Self::new(NonZeroUsize::MIN);

    /// Up to `count` threads: the calling one, and others that are started for the call and
    /// joined before it returns (some 20 µs each). See [`TryFrom`] for a plain `usize`.
    pub const fn new(count: NonZeroUsize) -> Self {
        Self { count, source: Source::Started }
    }

    /// As many threads as the system lets this process run at once, one if it does not tell.
    pub fn available() -> Self {
        Self::new(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// Up to `count` tasks on the current rayon pool: the one the caller is in, else the global
    /// one. Cheaper to start than threads; a pool of fewer threads runs fewer at once.
    #[cfg(feature = "rayon")]
    #[cfg_attr(docsrs, doc(cfg(feature = "rayon")))]
    pub const fn rayon(count: NonZeroUsize) -> Self {
        Self { count, source: Source::RayonPool }
    }

    /// The upper limit.
    pub const fn count(self) -> NonZeroUsize {
        self.count
    }

    /// Calls `work(first_row, states)` for consecutive pieces of `per_row`, which holds
    /// `width` values for each of its rows, each piece once.
    pub(crate) fn for_each_piece<State: Send>(
        self,
        per_row: &mut [State],
        width: usize,
        columns: usize,
        work: impl Fn(usize, &mut [State]) + Sync,
    ) {
        let rows = per_row.len() / width;
        let workers = self.count.get().min(rows).min((rows.saturating_mul(columns) / LOGITS_WORTH_A_THREAD).max(1));
        if workers <= 1 {
            work(0, per_row);
            return;
        }
        // At least four pieces per worker where rows allow, so that a slow one does not hold up all.
        let rows_per_piece = LOGITS_PER_PIECE.div_ceil(columns).min(rows.div_ceil(4 * workers));
        let queue = Mutex::new(per_row.chunks_mut(rows_per_piece * width).enumerate());
        let worker = || {
            loop {
                // A poisoned queue means that another worker panicked; its panic is passed on below.
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((piece, states)) = next else { break };
                work(piece * rows_per_piece, states);
            }
        };
        match self.source {
            Source::Started => std::thread::scope(|scope| {
                for _ in 1..workers {
                    scope.spawn(worker);
                }
                worker();
            }),
            #[cfg(feature = "rayon")]
            Source::RayonPool => rayon::scope(|scope| {
                for _ in 1..workers {
                    scope.spawn(|_| worker());
                }
                worker();
            }),
        }
    }
}

impl From<NonZeroUsize> for Threads {
    fn from(count: NonZeroUsize) -> Self {
        Self::new(count)
    }
}

impl TryFrom<usize> for Threads {
    type Error = KlError;

    /// # Errors
    ///
    /// [`KlError::NoThreads`] if `count` is 0.
    fn try_from(count: usize) -> Result<Self, KlError> {
        NonZeroUsize::new(count).map(Self::new).ok_or(KlError::NoThreads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_worked_on_once_by_any_count() {
        let columns = 100_000;
        for count in [1, 2, 3, 7, 64] {
            let mut seen = vec![(usize::MAX, 0); 17];
            let threads = Threads::try_from(count).expect("not zero");
            threads.for_each_piece(&mut seen, 1, columns, |first, states| {
                for (index, state) in states.iter_mut().enumerate() {
                    *state = (first + index, state.1 + 1);
                }
            });
            let expected: Vec<_> = (0..17).map(|row| (row, 1)).collect();
            assert_eq!(seen, expected, "{count} threads");
        }
    }

    #[test]
    fn more_than_one_thread_is_really_used() {
        let mut ids = vec![None; 4];
        let threads = Threads::try_from(4).expect("not zero");
        let barrier = std::sync::Barrier::new(4);
        threads.for_each_piece(&mut ids, 1, 1 << 20, |_, states| {
            barrier.wait(); // passes only if four threads are here at once
            states[0] = Some(std::thread::current().id());
        });
        let distinct: std::collections::HashSet<_> = ids.iter().flatten().collect();
        assert_eq!(distinct.len(), 4);
    }

    #[test]
    fn zero_threads_are_an_error() {
        assert_eq!(Threads::try_from(0), Err(KlError::NoThreads));
    }
}
