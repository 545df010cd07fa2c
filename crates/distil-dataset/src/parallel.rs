//! Doing the same to many things at once, with a result that does not depend on how many at once.

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

/// `work` on each item, by up to so many threads; results in the order of the items.
///
/// # Errors
/// The error of the first item, in their order, that has one; work that was not begun by then is left.
pub(crate) fn map<T: Sync, R: Send, E: Send>(
    items: &[T],
    threads: NonZeroUsize,
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Mutex<Vec<Option<Result<R, E>>>> = Mutex::new(items.iter().map(|_| None).collect());
    let run = || {
        while !failed.load(Relaxed) {
            let index = next.fetch_add(1, Relaxed);
            let Some(item) = items.get(index) else { break };
            let result = work(item);
            failed.fetch_or(result.is_err(), Relaxed);
            results.lock().expect("nothing panics under the lock")[index] = Some(result);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.get().min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    // Items are begun in their order and finished once begun, so nothing is missing before the first error.
    results.into_inner().expect("nothing panics under the lock").into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_the_first_error_do_not_depend_on_threads() {
        let items: Vec<u32> = (0..200).collect();
        for threads in [1, 2, 7, 300] {
            let threads = NonZeroUsize::new(threads).unwrap();
            let squares = map::<_, _, ()>(&items, threads, |item| Ok(item * item)).unwrap();
            assert!(squares.iter().enumerate().all(|(index, square)| *square == (index * index) as u32));
            let failed = map(&items, threads, |item| if item % 50 == 49 { Err(*item) } else { Ok(()) });
            assert_eq!(failed, Err(49));
        }
        assert_eq!(map::<u32, u32, ()>(&[], NonZeroUsize::MIN, |_| Err(())), Ok(Vec::new()));
    }
}
