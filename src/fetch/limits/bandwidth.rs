//! The run's bandwidth (`--limit-rate`): all bodies together read no faster than the limit.

use std::num::NonZeroU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// Burst allowance: unused bandwidth accumulates for at most 100 ms, so that a pause of the servers
/// is not followed by a flood.
const BURST: Duration = Duration::from_millis(100);

/// Shorter waits are not slept: tokio's timer counts in milliseconds, and a sleep for each chunk
/// costs more than the precision is worth. The debt is kept and slept together with the next one's.
const MIN_SLEEP: Duration = Duration::from_millis(5);

/// A bandwidth shared by all bodies that are read.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// Bytes a second.
    rate: NonZeroU64,
    /// When everything read so far will be paid for. One instant behind a mutex instead of a token
    /// bucket with a refill task: a reader adds its price, releases the lock and sleeps until then.
    paid: Mutex<Instant>,
}

impl Throttle {
    pub(crate) fn new(rate: NonZeroU64) -> Self {
        Self {
            rate,
            paid: Mutex::new(Instant::now()),
        }
    }

    /// Waits until this many more bytes fit the rate. They count even if the caller stops waiting:
    /// they were read.
    pub(crate) async fn acquire(&self, bytes: usize) {
        let now = Instant::now();
        let paid: Instant = {
            let mut paid = self.paid.lock();
            let price = Duration::from_nanos(u64::try_from(self.nanos(bytes)).unwrap_or(u64::MAX));
            *paid = (*paid).max(now.checked_sub(BURST).unwrap_or(now)) + price;
            *paid
        };
        if paid > now + MIN_SLEEP {
            sleep_until(paid).await;
        }
    }

    fn nanos(&self, bytes: usize) -> u128 {
        bytes as u128 * 1_000_000_000 / u128::from(self.rate.get())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn limit_rate_holds_for_all_readers_together_at_any_chunk_size() {
        for (rate, pieces) in [
            (100_000, vec![1; 1_000]),
            (1_000_000, vec![64_000; 20]),
            (10, vec![7, 20, 100]),
        ] {
            let throttle = Arc::new(Throttle::new(NonZeroU64::new(rate).unwrap()));
            let start = Instant::now();
            let mut readers = JoinSet::new();
            for _ in 0..4 {
                let (throttle, pieces) = (Arc::clone(&throttle), pieces.clone());
                readers.spawn(async move {
                    for piece in pieces {
                        throttle.acquire(piece).await;
                    }
                });
            }
            readers.join_all().await;
            let due =
                Duration::from_micros(4 * pieces.iter().sum::<usize>() as u64 * 1_000_000 / rate);
            let took = start.elapsed();
            assert!(
                took.abs_diff(due) < Duration::from_millis(10) + due / 100,
                "{took:?} in place of {due:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bandwidth_unused_in_a_long_pause_is_lost() {
        let throttle = Throttle::new(NonZeroU64::new(1_000).unwrap());
        tokio::time::advance(Duration::from_secs(3_600)).await;
        let start = Instant::now();
        throttle.acquire(1_000).await;
        assert!(
            start.elapsed() >= Duration::from_millis(900),
            "{:?}",
            start.elapsed()
        );
    }
}
