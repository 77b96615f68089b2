//! How long a store is asked again that does not answer: one count for all images, so that they do not all knock at once.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};
use tokio::time::{Instant, sleep_until};

use crate::units::jitter;

/// The first pause,
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// and the longest, to which it doubles.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The state of a store that is asked again and again.
#[derive(Debug)]
pub(super) struct Breaker {
    /// How long it may fail before that is the end.
    budget: Duration,
    state: Mutex<State>,
    /// Held by the one request that tries whether the store is back.
    probe: AsyncMutex<()>,
}

#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    Working,
    Failing(Failing),
    /// For too long: what it said last.
    GivenUp(String),
}

#[derive(Debug, Clone, Copy)]
struct Failing {
    since: Instant,
    /// When it is asked again.
    until: Instant,
    /// The pause after that.
    pause: Duration,
}

impl Breaker {
    pub(super) fn new(budget: Duration) -> Self {
        Self {
            budget,
            state: Mutex::default(),
            probe: AsyncMutex::default(),
        }
    }

    /// Waits until a request may be sent: while the store fails, one at a time, with the pauses between them. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Once the store has failed for too long: what it said.
    pub(super) async fn pass(&self) -> Result<Option<MutexGuard<'_, ()>>, String> {
        if let State::Working = *self.state.lock() {
            return Ok(None);
        }
        let turn = self.probe.lock().await;
        // It may have come back, or failed once more, while this one waited.
        let state = self.state.lock().clone();
        match state {
            State::Working => Ok(None),
            State::Failing(failing) => {
                sleep_until(failing.until).await;
                Ok(Some(turn))
            }
            State::GivenUp(said) => Err(said),
        }
    }

    /// The store did what it was asked.
    pub(super) fn succeeded(&self) {
        let mut state = self.state.lock();
        if let State::Failing(_) = *state {
            *state = State::Working;
        }
    }

    /// The store failed, and `said` this.
    ///
    /// # Errors
    ///
    /// Once it has failed for too long: what it said.
    pub(super) fn failed(&self, said: impl FnOnce() -> String) -> Result<(), String> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let mut failing = match &*state {
            State::Working => Failing {
                since: now,
                until: now,
                pause: FIRST_PAUSE,
            },
            State::Failing(failing) => *failing,
            State::GivenUp(said) => return Err(said.clone()),
        };
        if now.duration_since(failing.since) >= self.budget {
            let said = said();
            *state = State::GivenUp(said.clone());
            return Err(said);
        }
        // Requests that were under way together fail together, and lengthen the pause only once.
        if failing.until <= now {
            failing.until = now + failing.pause.mul_f64(jitter());
            // It is asked a last time when the time is over.
            if let Some(end) = failing.since.checked_add(self.budget) {
                failing.until = failing.until.min(end);
            }
            failing.pause = (failing.pause * 2).min(LONGEST_PAUSE);
        }
        *state = State::Failing(failing);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> String {
        "no room".to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_a_limit_and_end_with_the_budget() {
        let breaker = Breaker::new(Duration::from_secs(60));
        let start = Instant::now();
        let mut pauses = Vec::new();
        while breaker.failed(said).is_ok() {
            let before = Instant::now();
            breaker.pass().await.unwrap();
            pauses.push(before.elapsed().as_secs_f64());
        }
        for (pause, longest) in pauses.iter().zip([0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]) {
            assert!(
                (longest / 2.0..=longest + 0.001).contains(pause),
                "{pauses:?}"
            );
        }
        let took = start.elapsed().as_secs_f64();
        assert!((60.0..60.1).contains(&took), "{took}");
        assert_eq!(breaker.pass().await.unwrap_err(), "no room");
        breaker.succeeded();
        assert!(breaker.pass().await.is_err(), "given up is given up");
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_together_pauses_once() {
        let breaker = Breaker::new(Duration::from_secs(60));
        let start = Instant::now();
        for _ in 0..16 {
            breaker.failed(said).unwrap();
        }
        drop(breaker.pass().await.unwrap());
        assert!(start.elapsed() <= Duration::from_millis(501));
        breaker.succeeded();
        assert!(breaker.pass().await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_at_a_time_tries_a_failing_store() {
        let breaker = Breaker::new(Duration::from_secs(60));
        assert!(breaker.pass().await.unwrap().is_none(), "nothing fails");
        breaker.failed(said).unwrap();
        let turn = breaker.pass().await.unwrap();
        assert!(turn.is_some());
        assert!(
            tokio::time::timeout(Duration::from_secs(1), breaker.pass())
                .await
                .is_err()
        );
        // The next one keeps the pause that this one's failure began.
        breaker.failed(said).unwrap();
        drop(turn);
        let start = Instant::now();
        let turn = breaker.pass().await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(500));
        breaker.succeeded();
        drop(turn);
        assert!(breaker.pass().await.unwrap().is_none());
    }

    #[test]
    fn a_budget_without_end_is_none_that_overflows() {
        let breaker = Breaker::new(Duration::MAX);
        assert!(breaker.failed(said).is_ok());
    }
}
