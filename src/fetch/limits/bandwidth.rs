//! The run's bandwidth: what is read is paid for in time, by all bodies from one purse.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What was not read in time may be made good later, up to so much: a pause of the servers gives no right to a flood.
const SAVED_UP: Duration = Duration::from_millis(100);

/// What is owed is not worth a pause: the clock goes by milliseconds.
const OWED: Duration = Duration::from_millis(5);

/// So many bytes a second, for all who share it.
#[derive(Debug)]
pub(crate) struct Throttle {
    rate: NonZeroU64,
    /// Everything read so far is paid for then.
    paid: Mutex<Instant>,
}

impl Throttle {
    pub(crate) fn new(rate: NonZeroU64) -> Self {
        Self {
            rate,
            paid: Mutex::new(Instant::now()),
        }
    }

    /// Waits until so many bytes more are paid for. Who no longer waits has paid all the same.
    pub(crate) async fn pay(&self, bytes: usize) {
        let now = Instant::now();
        let paid: Instant = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            let price = Duration::from_nanos(u64::try_from(self.price(bytes)).unwrap_or(u64::MAX));
            *paid = (*paid).max(now.checked_sub(SAVED_UP).unwrap_or(now)) + price;
            *paid
        };
        if paid > now + OWED {
            sleep_until(paid).await;
        }
    }

    /// In nanoseconds.
    fn price(&self, bytes: usize) -> u128 {
        bytes as u128 * 1_000_000_000 / u128::from(self.rate.get())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_together_read_at_the_rate_whatever_the_pieces_are() {
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
                        throttle.pay(piece).await;
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
    async fn a_long_pause_is_not_made_good() {
        let throttle = Throttle::new(NonZeroU64::new(1_000).unwrap());
        tokio::time::advance(Duration::from_secs(3_600)).await;
        let start = Instant::now();
        throttle.pay(1_000).await;
        assert!(
            start.elapsed() >= Duration::from_millis(900),
            "{:?}",
            start.elapsed()
        );
    }
}
