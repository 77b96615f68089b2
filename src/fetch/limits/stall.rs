//! How long an answer is waited for: it may be slow, but neither silent nor all but silent.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Longer than any run, and short enough to be added to any instant.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The patience with one answer. Bytes that are there when asked for cost neither a timer nor a look at the clock.
#[derive(Debug)]
pub(crate) struct StallTimer {
    pub(crate) stall: Duration,
    pub(crate) floor: u64,
    timer: Option<Pin<Box<Sleep>>>,
    waited: Duration,
    brought: u64,
}

/// How patience ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nothing came for the stall limit.
    Silent,
    /// Bytes came, but fewer than the floor over the stall limit.
    Slow,
}

impl StallTimer {
    /// Waits up to `stall` for the next bytes, and for at least `floor` bytes a second over that time.
    pub(crate) fn new(stall: Duration, floor: u64) -> Self {
        let stall = stall.clamp(Duration::from_millis(1), FOREVER);
        Self {
            stall,
            floor,
            timer: None,
            waited: Duration::ZERO,
            brought: 0,
        }
    }

    /// The same patience with what comes now: what was waited for so far does not count.
    pub(crate) fn renewed(self) -> Self {
        Self {
            waited: Duration::ZERO,
            brought: 0,
            ..self
        }
    }

    /// Waits for `next`, unless the stall limit passes first.
    pub(crate) async fn wait<F: Future>(&mut self, next: F) -> Result<F::Output, Lost> {
        let mut next = pin!(next);
        let mut began = None;
        let output = std::future::poll_fn(|context| {
            if let Poll::Ready(output) = next.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            let limit = *began.get_or_insert_with(Instant::now) + self.stall;
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(limit)));
            // The timer is left as it was set for an earlier wait, and set anew only when it goes off. It does not wait for
            // its turn either: `next` may have used up that of the whole task, and would do so for ever.
            while pin!(unconstrained(timer.as_mut())).poll(context).is_ready() {
                if timer.deadline() >= limit {
                    return Poll::Ready(Err(Lost::Silent));
                }
                timer.as_mut().reset(limit);
            }
            Poll::Pending
        })
        .await?;
        self.waited += began.map_or(Duration::ZERO, |began| began.elapsed());
        Ok(output)
    }

    /// Weighs what came against the time it was waited for; time spent elsewhere does not count.
    pub(crate) fn weigh(&mut self, bytes: usize) -> Result<(), Lost> {
        self.brought += bytes as u64;
        if self.waited < self.stall {
            return Ok(());
        }
        let least = u128::from(self.floor) * self.waited.as_millis() / 1000;
        let slow = u128::from(self.brought) < least;
        (self.waited, self.brought) = (Duration::ZERO, 0);
        if slow { Err(Lost::Slow) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::consume_budget;
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn what_is_busy_for_ever_and_brings_nothing_is_silent_too() {
        let mut patience = StallTimer::new(SECOND / 50, 0);
        let busy = async {
            loop {
                consume_budget().await;
            }
        };
        assert_eq!(patience.wait(busy).await, Err::<(), _>(Lost::Silent));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_waited_for_to_the_limit_and_no_longer() {
        let mut patience = StallTimer::new(30 * SECOND, 0);
        // The timer of the first wait is in the way of the second, and must not shorten it.
        assert_eq!(patience.wait(sleep(20 * SECOND)).await, Ok(()));
        assert_eq!(patience.wait(sleep(29 * SECOND)).await, Ok(()));
        let start = Instant::now();
        assert_eq!(
            patience.wait(std::future::pending::<()>()).await,
            Err(Lost::Silent)
        );
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_a_second_is_too_slow_and_found_so_within_the_limit() {
        let mut patience = StallTimer::new(30 * SECOND, 100);
        let start = Instant::now();
        let lost = loop {
            patience.wait(sleep(SECOND)).await.unwrap();
            if let Err(lost) = patience.weigh(1) {
                break lost;
            }
        };
        assert_eq!((lost, start.elapsed().as_secs()), (Lost::Slow, 30));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_but_steady_is_waited_for_without_end() {
        let mut patience = StallTimer::new(30 * SECOND, 100);
        for _ in 0..3600 {
            patience.wait(sleep(SECOND)).await.unwrap();
            patience.weigh(101).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_spent_elsewhere_is_not_held_against_the_sender() {
        let mut patience = StallTimer::new(30 * SECOND, 100);
        for _ in 0..10 {
            sleep(60 * SECOND).await;
            patience.wait(async {}).await.unwrap();
            patience.weigh(1).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_is_too_long_to_be_used() {
        let mut patience = StallTimer::new(Duration::MAX, u64::MAX);
        assert_eq!(patience.wait(sleep(SECOND)).await, Ok(()));
        assert_eq!(patience.weigh(0), Ok(()));
    }
}
