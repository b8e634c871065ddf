//! Work over many items on all cores, with the first failure by position, whoever found it.

use crate::report::Finding;
use std::{
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Runs `work` on chunks of `0..count` until all are done or one fails; gives each thread's state. Chunks are taken in order, and
/// every chunk before one that fails is finished, so the failure that is reported is the first.
pub(crate) fn chunks<S: Send>(
    count: usize,
    size: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, std::ops::Range<usize>) -> Result<(), (usize, Finding)> + Sync,
) -> Result<Vec<S>, Finding> {
    let next = AtomicUsize::new(0);
    let failure: Mutex<Option<(usize, Finding)>> = Mutex::new(None);
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let states = thread::scope(|scope| {
        let run = || {
            let mut own = state();
            loop {
                // Asked before a chunk is taken: a chunk that was taken is always finished.
                if failure.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                    return own;
                }
                let start = next.fetch_add(size, Ordering::Relaxed);
                if start >= count {
                    return own;
                }
                if let Err((at, finding)) = work(&mut own, start..count.min(start.saturating_add(size))) {
                    let mut held = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    if held.as_ref().is_none_or(|(earlier, _)| at < *earlier) {
                        *held = Some((at, finding));
                    }
                }
            }
        };
        let handles: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut states = vec![run()];
        for handle in handles {
            match handle.join() {
                Ok(state) => states.push(state),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        states
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, finding)) => Err(finding),
        None => Ok(states),
    }
}

/// Judges every item; the first that fails.
pub(crate) fn first_failure(
    count: usize,
    size: usize,
    judge: impl Fn(usize) -> Result<(), Finding> + Sync,
) -> Result<(), Finding> {
    let all =
        |range: std::ops::Range<usize>| range.into_iter().try_for_each(|at| judge(at).map_err(|finding| (at, finding)));
    chunks(count, size, || (), |(), range| all(range)).map(|_| ())
}
