//! Independent pieces of work on several threads, with results in the order of the work and the same error whatever the
//! number of threads.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Runs `work` on each item; items are taken up in the order of `items`, so the longest should come first.
///
/// After the first error no more items are taken up. Every item before the one that failed has been taken up by then and
/// is finished, so the error that is returned, that of the earliest item, does not depend on the threads.
pub(crate) fn map<T: Sync, R: Send, E: Send>(
    threads: NonZeroUsize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let worker = || {
        let mut results = Vec::new();
        while !failed.load(Ordering::Acquire) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            let result = work(item);
            failed.fetch_or(result.is_err(), Ordering::Release);
            results.push((index, result));
        }
        results
    };
    let others = threads.get().min(items.len()).saturating_sub(1);
    let mut results = std::thread::scope(|scope| {
        let others: Vec<_> = (0..others).map(|_| scope.spawn(worker)).collect();
        let mut results = worker();
        for other in others {
            match other.join() {
                Ok(more) => results.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// How much has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BytesRead {
    /// Bytes read so far; never less than before.
    pub done: u64,
    /// Bytes to read in all.
    pub total: u64,
}

/// A progress callback that several threads share.
pub(crate) struct Progress<'a> {
    state: Mutex<(BytesRead, &'a mut (dyn FnMut(BytesRead) + Send))>,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(total: u64, callback: &'a mut (dyn FnMut(BytesRead) + Send)) -> Self {
        Self { state: Mutex::new((BytesRead { done: 0, total }, callback)) }
    }

    pub(crate) fn advance(&self, bytes: u64) {
        // A callback that panicked elsewhere is not called again.
        if let Ok(mut state) = self.state.lock() {
            let (read, callback) = &mut *state;
            read.done += bytes;
            callback(*read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn results_and_errors_do_not_depend_on_the_threads() {
        let items: Vec<u32> = (0..1000).collect();
        for count in [1, 2, 7, 2000] {
            let doubled = map(threads(count), &items, |item| Ok::<_, u32>(item * 2)).unwrap();
            assert!(doubled.iter().zip(&items).all(|(double, item)| *double == item * 2), "{count}");
            let failing = |item: &u32| if item % 100 == 37 { Err(*item) } else { Ok(()) };
            assert_eq!(map(threads(count), &items, failing), Err(37), "{count}");
        }
        assert_eq!(map(threads(4), &[], |item: &u32| Ok::<_, ()>(*item)), Ok(vec![]));
    }

    #[test]
    fn progress_counts_every_byte_once_and_never_goes_back() {
        let mut seen = Vec::new();
        let mut callback = |read: BytesRead| seen.push(read.done);
        let progress = Progress::new(500, &mut callback);
        map(threads(4), &[5u64; 100], |bytes| {
            progress.advance(*bytes);
            Ok::<_, ()>(())
        })
        .unwrap();
        assert_eq!(seen, (1..=100).map(|step| 5 * step).collect::<Vec<u64>>());
    }
}
