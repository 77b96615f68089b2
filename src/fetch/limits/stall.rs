//! The stall time-out: a response may be slow, but neither silent nor almost silent.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Longer than any run, and short enough to be added to any instant.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The stall time-out of one response.
///
/// A wait whose bytes are there at once costs neither a timer nor a look at the clock. That is why
/// this is not `tokio::time::timeout` around each read, which registers and removes a timer every
/// time.
#[derive(Debug)]
pub(crate) struct StallTimer {
    pub(crate) limit: Duration,
    pub(crate) floor: u64,
    timer: Option<Pin<Box<Sleep>>>,
    waited: Duration,
    received: u64,
}

/// Why a response was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StallError {
    /// No byte arrived within the limit.
    Idle,
    /// Bytes arrived, but fewer than the floor over the limit.
    TooSlow,
}

impl StallTimer {
    /// Waits up to `limit` for the next bytes, and for at least `floor` bytes a second over that
    /// time.
    pub(crate) fn new(limit: Duration, floor: u64) -> Self {
        let limit = limit.clamp(Duration::from_millis(1), FOREVER);
        Self {
            limit,
            floor,
            timer: None,
            waited: Duration::ZERO,
            received: 0,
        }
    }

    /// Starts the measurement of speed over: the wait for the headers must not count against the
    /// body.
    pub(crate) fn reset(&mut self) {
        self.waited = Duration::ZERO;
        self.received = 0;
    }

    /// Waits for `next`, but no longer than the limit.
    pub(crate) async fn wait<F: Future>(&mut self, next: F) -> Result<F::Output, StallError> {
        let mut next = pin!(next);
        let mut began = None;
        let output = std::future::poll_fn(|context| {
            if let Poll::Ready(output) = next.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            let deadline = *began.get_or_insert_with(Instant::now) + self.limit;
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            // The timer keeps the deadline of an earlier wait and is moved only when it fires: once
            // per limit at most, where moving it for each wait would lock tokio's timer wheel for
            // each chunk.
            //
            // It is polled `unconstrained`, outside of tokio's cooperative budget. `next` may have
            // used the budget up, and a timer that is polled with an empty budget is always
            // pending: a connection that is busy without ever producing a byte would then never
            // time out.
            while pin!(unconstrained(timer.as_mut())).poll(context).is_ready() {
                if timer.deadline() >= deadline {
                    return Poll::Ready(Err(StallError::Idle));
                }
                timer.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await?;
        self.waited += began.map_or(Duration::ZERO, |began| began.elapsed());
        Ok(output)
    }

    /// Compares the bytes that arrived with the time spent in [`StallTimer::wait`], once the limit
    /// is over. Time spent elsewhere does not count: a slow disk or `--limit-rate` is not the
    /// server's fault.
    pub(crate) fn check_rate(&mut self, bytes: usize) -> Result<(), StallError> {
        self.received += bytes as u64;
        if self.waited < self.limit {
            return Ok(());
        }
        let least = u128::from(self.floor) * self.waited.as_millis() / 1000;
        let slow = u128::from(self.received) < least;
        self.reset();
        if slow {
            Err(StallError::TooSlow)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::consume_budget;
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_future_that_is_busy_for_ever_times_out() {
        let mut stall = StallTimer::new(SECOND / 50, 0);
        let busy = async {
            loop {
                consume_budget().await;
            }
        };
        assert_eq!(stall.wait(busy).await, Err::<(), _>(StallError::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_times_out_at_the_stall_limit() {
        let mut stall = StallTimer::new(30 * SECOND, 0);
        // The timer of the first wait is in the way of the second, and must not shorten it.
        assert_eq!(stall.wait(sleep(20 * SECOND)).await, Ok(()));
        assert_eq!(stall.wait(sleep(29 * SECOND)).await, Ok(()));
        let start = Instant::now();
        assert_eq!(
            stall.wait(std::future::pending::<()>()).await,
            Err(StallError::Idle)
        );
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn one_byte_a_second_is_too_slow_within_the_stall_limit() {
        let mut stall = StallTimer::new(30 * SECOND, 100);
        let start = Instant::now();
        let lost = loop {
            stall.wait(sleep(SECOND)).await.unwrap();
            if let Err(lost) = stall.check_rate(1) {
                break lost;
            }
        };
        assert_eq!((lost, start.elapsed().as_secs()), (StallError::TooSlow, 30));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_but_steady_never_times_out() {
        let mut stall = StallTimer::new(30 * SECOND, 100);
        for _ in 0..3600 {
            stall.wait(sleep(SECOND)).await.unwrap();
            stall.check_rate(101).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_spent_outside_of_waits_does_not_count_as_slow() {
        let mut stall = StallTimer::new(30 * SECOND, 100);
        for _ in 0..10 {
            sleep(60 * SECOND).await;
            stall.wait(async {}).await.unwrap();
            stall.check_rate(1).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_stall_timeout_does_not_overflow() {
        let mut stall = StallTimer::new(Duration::MAX, u64::MAX);
        assert_eq!(stall.wait(sleep(SECOND)).await, Ok(()));
        assert_eq!(stall.check_rate(0), Ok(()));
    }
}
