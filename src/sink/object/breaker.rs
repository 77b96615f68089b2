//! How long a store is asked again that does not answer: one count for all images, so that they do not all knock at once.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};
use tokio::time::{Instant, sleep};

/// The first pause,
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// and the longest, to which it doubles.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The state of a store that is asked again and again.
#[derive(Debug)]
pub(super) struct Breaker {
    /// How long it may fail before that is the end.
    budget: Duration,
    failing: Mutex<Option<Failing>>,
    /// Held by the one request that tries whether the store is back.
    probe: AsyncMutex<()>,
}

#[derive(Debug, Clone, Copy)]
struct Failing {
    since: Instant,
    pause: Duration,
}

impl Breaker {
    pub(super) fn new(budget: Duration) -> Self {
        Self {
            budget,
            failing: Mutex::default(),
            probe: AsyncMutex::default(),
        }
    }

    /// Waits until a request may be sent: while the store fails, one at a time. Cancel-safe.
    pub(super) async fn pass(&self) -> Option<MutexGuard<'_, ()>> {
        if self.failing.lock().is_none() {
            return None;
        }
        let turn = self.probe.lock().await;
        // It may have come back while this one waited.
        let still_failing = self.failing.lock().is_some();
        still_failing.then_some(turn)
    }

    /// The store answered.
    pub(super) fn succeeded(&self) {
        *self.failing.lock() = None;
    }

    /// The store failed: waits before the next request; false once it has failed for too long. Cancel-safe.
    pub(super) async fn failed(&self) -> bool {
        let now = Instant::now();
        let pause = {
            let mut state = self.failing.lock();
            let failing = state.get_or_insert(Failing {
                since: now,
                pause: FIRST_PAUSE,
            });
            if now.duration_since(failing.since) >= self.budget {
                return false;
            }
            let pause = failing.pause;
            failing.pause = (pause * 2).min(LONGEST_PAUSE);
            pause
        };
        sleep(pause).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_a_limit_and_end_with_the_budget() {
        let breaker = Breaker::new(Duration::from_secs(60));
        let start = Instant::now();
        let mut pauses = Vec::new();
        loop {
            let before = Instant::now();
            if !breaker.failed().await {
                break;
            }
            pauses.push(before.elapsed().as_secs_f64());
        }
        assert_eq!(pauses, [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]);
        assert!(start.elapsed() >= Duration::from_secs(60));
        breaker.succeeded();
        assert!(breaker.failed().await, "it was there in between");
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_at_a_time_tries_a_failing_store() {
        let breaker = Breaker::new(Duration::from_secs(60));
        assert!(breaker.pass().await.is_none(), "nothing fails");
        assert!(breaker.failed().await);
        let turn = breaker.pass().await;
        assert!(turn.is_some());
        assert!(
            tokio::time::timeout(Duration::from_secs(1), breaker.pass())
                .await
                .is_err()
        );
        breaker.succeeded();
        drop(turn);
        assert!(breaker.pass().await.is_none());
    }
}
