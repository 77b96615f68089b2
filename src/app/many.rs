//! One piece of work on many things, several threads at a time; the answers come in the things' order.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::exit::ThreadError;

/// As many threads as can work at once.
pub(super) fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Does `work` on each of `things` and hands what came of it to `take`. A thread stops when its work answers with
/// nothing, and all of them do when `take` fails.
///
/// # Errors
///
/// That of `take`, or when no thread can be started.
pub(super) fn parallel_ordered<T: Sync, A: Send>(
    things: &[T],
    threads: NonZeroUsize,
    work: impl Fn(&T) -> Option<A> + Sync,
    mut take: impl FnMut(&T, A) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    // Room for one answer a thread: what was done is soon told.
    let (sender, answers) = mpsc::sync_channel(threads.get());
    thread::scope(|scope| {
        for _ in 0..threads.get().min(things.len()) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            let works = move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(answer) = things.get(at).and_then(work) else {
                        break;
                    };
                    if sender.send((at, answer)).is_err() {
                        break;
                    }
                }
            };
            thread::Builder::new()
                .spawn_scoped(scope, works)
                .map_err(ThreadError::from)?;
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut due = 0;
        for (at, answer) in answers {
            waiting.insert(at, answer);
            while let Some(answer) = waiting.remove(&due) {
                take(&things[due], answer)?;
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
    fn answers_come_in_the_order_of_the_things() {
        let things: Vec<u32> = (0..1000).collect();
        let mut taken = Vec::new();
        let take = |thing: &u32, answer: u32| {
            taken.push((*thing, answer));
            Ok(())
        };
        parallel_ordered(&things, THREE, |thing| Some(thing * 2), take).unwrap();
        assert_eq!(
            taken,
            things
                .iter()
                .map(|thing| (*thing, thing * 2))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_failure_to_take_ends_the_work() {
        let things: Vec<u32> = (0..100_000).collect();
        let done = AtomicUsize::new(0);
        let work = |_: &u32| Some(done.fetch_add(1, Ordering::Relaxed));
        assert!(
            parallel_ordered(&things, THREE, work, |_, _| anyhow::bail!("nobody reads")).is_err()
        );
        assert!(done.into_inner() < 100);
    }

    #[test]
    fn work_that_answers_with_nothing_is_the_end() {
        let things: Vec<u32> = (0..1000).collect();
        let mut taken = 0;
        let take = |_: &u32, ()| {
            taken += 1;
            Ok(())
        };
        parallel_ordered(&things, THREE, |thing| (*thing < 10).then_some(()), take).unwrap();
        assert_eq!(taken, 10);
        parallel_ordered(&[], THREE, |_: &u32| Some(()), |_, ()| Ok(())).unwrap();
    }
}
