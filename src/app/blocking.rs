//! Work that blocks: on a thread beside the runtime, or on many items with several threads at a time.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::exit::ThreadError;

/// Runs blocking work on its own thread, so that signals and servers are still served. Passes its panic on.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let working = tokio::task::spawn_blocking(work);
    working
        .await
        .unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

/// The number of threads that this machine runs at once; one if it cannot be found out.
pub(super) fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// How many results a thread hands over at a time: waking the thread that takes them costs more than a small item (three
/// futex calls). The result of a quick item waits for one slow item at most.
const RESULTS_AT_ONCE: usize = 16;
const SLOW: Duration = Duration::from_millis(1);

/// Does `work` on each of `items` and hands the results to `take`, in the order of the items. A thread stops when its
/// work returns `None`, and all of them do when `take` fails.
///
/// # Errors
///
/// That of `take`, or when no thread can be started.
pub(super) fn parallel_ordered<T: Sync, A: Send>(
    items: &[T],
    threads: NonZeroUsize,
    work: impl Fn(&T) -> Option<A> + Sync,
    mut take: impl FnMut(&T, A) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // Shared, so that each thread takes the next item when it is free; a fixed share for each would leave threads idle,
    // because files differ much in size. Relaxed: no other memory is published through it.
    let next = AtomicUsize::new(0);
    // Bounded, so that a slow `take` holds the threads back and results do not pile up; one place for each thread, so
    // that none waits while `take` works.
    let (sender, results) = mpsc::sync_channel(threads.get());
    thread::scope(|scope| {
        for _ in 0..threads.get().min(items.len()) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            let works = move || {
                let mut group = Vec::with_capacity(RESULTS_AT_ONCE);
                loop {
                    let began = Instant::now();
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(result) = items.get(at).and_then(work) else {
                        break;
                    };
                    group.push((at, result));
                    if group.len() < RESULTS_AT_ONCE && began.elapsed() < SLOW {
                        continue;
                    }
                    if sender.send(std::mem::take(&mut group)).is_err() {
                        return;
                    }
                }
                // If it fails nobody takes results any more.
                let _ = sender.send(group);
            };
            thread::Builder::new()
                .spawn_scoped(scope, works)
                .map_err(ThreadError::from)?;
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut due = 0;
        for group in results {
            waiting.extend(group);
            while let Some(result) = waiting.remove(&due) {
                take(&items[due], result)?;
                due += 1;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: NonZeroUsize = NonZeroUsize::new(3).unwrap();

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        let mut taken = Vec::new();
        let take = |item: &u32, result: u32| {
            taken.push((*item, result));
            Ok(())
        };
        parallel_ordered(&items, THREE, |item| Some(item * 2), take).unwrap();
        assert_eq!(
            taken,
            items
                .iter()
                .map(|item| (*item, item * 2))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_failure_to_take_ends_the_work() {
        let items: Vec<u32> = (0..100_000).collect();
        let done = AtomicUsize::new(0);
        let work = |_: &u32| Some(done.fetch_add(1, Ordering::Relaxed));
        assert!(
            parallel_ordered(&items, THREE, work, |_, _| anyhow::bail!("nobody reads")).is_err()
        );
        assert!(done.into_inner() < 1000);
    }

    #[test]
    fn work_that_returns_none_ends_it() {
        let items: Vec<u32> = (0..1000).collect();
        let mut taken = 0;
        let take = |_: &u32, ()| {
            taken += 1;
            Ok(())
        };
        parallel_ordered(&items, THREE, |item| (*item < 10).then_some(()), take).unwrap();
        assert_eq!(taken, 10);
        parallel_ordered(&[], THREE, |_: &u32| Some(()), |_, ()| Ok(())).unwrap();
    }
}
