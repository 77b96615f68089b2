//! How fast one host may be asked: its interval, the pauses it asks for, and when it is left alone.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::fetch::error::FetchError;
use crate::fetch::limits::retry::{LONGEST_WISH, Retry};

/// After so many failures in a row the host gets a rest.
const FAILURES_IN_A_ROW: u32 = 20;

/// The longest interval a robots.txt may ask for.
const LONGEST_INTERVAL: Duration = Duration::from_secs(10);

/// One host's pace, shared by everybody who asks it.
#[derive(Debug)]
pub(crate) struct Pace {
    rests: Retry,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    interval: Duration,
    /// When the interval lets the next one ask.
    next: Option<Instant>,
    /// When a pause that the host asked for, or needs, is over.
    paused: Option<Instant>,
    failures: u32,
    rested: u32,
    given_up: bool,
}

impl Pace {
    /// A host that is asked every `interval` at most; `rests` says how often and how long it may rest.
    pub(crate) fn new(interval: Duration, rests: Retry) -> Self {
        Self {
            rests,
            state: Mutex::new(State {
                interval,
                ..State::default()
            }),
        }
    }

    /// Waits until the host may be asked; answers with that moment, or with the failures it was given up after.
    pub(crate) async fn turn(&self) -> Result<Instant, u32> {
        let mut turn = None;
        loop {
            let until = {
                let mut state = self.state();
                if state.given_up {
                    return Err(state.failures);
                }
                let now = Instant::now();
                let turn = *turn.get_or_insert_with(|| state.reserve(now));
                let until = state.paused.map_or(turn, |paused| paused.max(turn));
                if until <= now {
                    return Ok(now);
                }
                until
            };
            // Looked at again afterwards: the host may have asked for a pause meanwhile.
            sleep_until(until).await;
        }
    }

    /// Slows down to what the host's robots.txt wishes for.
    pub(crate) fn slow_down(&self, wish: Duration) {
        let mut state = self.state();
        state.interval = state.interval.max(wish.min(LONGEST_INTERVAL));
    }

    /// Notes that the host answered as it should.
    pub(crate) fn went_well(&self) {
        let mut state = self.state();
        state.failures = 0;
        state.rested = 0;
    }

    /// Notes that a request begun at `begun` failed.
    ///
    /// A host that fails many times in a row rests, longer each time, and is given up after the last rest.
    pub(crate) fn went_wrong(&self, begun: Instant, error: &FetchError) {
        if !error.blames_host() {
            if error.status().is_some() {
                self.went_well();
            }
            return;
        }
        let now = Instant::now();
        let mut state = self.state();
        if let FetchError::Status {
            status: 429 | 503,
            retry_after: Some(wish),
            ..
        } = error
            && *wish <= LONGEST_WISH
        {
            state.pause(now + *wish);
        }
        state.failures += 1;
        // What was on its way when the rest began is no news.
        if state.failures < FAILURES_IN_A_ROW || state.paused.is_some_and(|paused| begun < paused) {
            return;
        }
        match self.rests.own(state.rested + 1) {
            Some(rest) => {
                state.rested += 1;
                state.pause(now + rest);
            }
            None => state.given_up = true,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reserve(&mut self, now: Instant) -> Instant {
        if self.interval.is_zero() {
            return now;
        }
        let turn = self.next.map_or(now, |next| next.max(now));
        self.next = turn.checked_add(self.interval);
        turn
    }

    fn pause(&mut self, until: Instant) {
        self.paused = self.paused.max(Some(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn answered(status: u16, retry_after: Option<Duration>) -> FetchError {
        FetchError::Status {
            host: "gallery.test".to_owned(),
            status,
            retry_after,
        }
    }

    fn pace(interval: Duration, retries: u32) -> Pace {
        Pace::new(interval, Retry::new(retries, SECOND))
    }

    async fn fail(pace: &Pace, times: u32) {
        for _ in 0..times {
            let begun = pace.turn().await.unwrap();
            pace.went_wrong(begun, &answered(500, None));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_asked_once_in_its_interval() {
        let pace = pace(SECOND, 0);
        let start = Instant::now();
        for _ in 0..4 {
            pace.turn().await.unwrap();
        }
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wish_of_robots_slows_down_and_only_so_far() {
        let pace = pace(Duration::ZERO, 0);
        pace.slow_down(1000 * SECOND);
        let start = Instant::now();
        pace.turn().await.unwrap();
        pace.turn().await.unwrap();
        assert_eq!(start.elapsed().as_secs(), LONGEST_INTERVAL.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_the_host_asks_for_holds_everybody() {
        let pace = pace(Duration::ZERO, 4);
        let start = pace.turn().await.unwrap();
        pace.went_wrong(start, &answered(429, Some(7 * SECOND)));
        pace.went_wrong(start, &answered(503, Some(3 * SECOND)));
        let (one, other) = tokio::join!(pace.turn(), pace.turn());
        assert!(one.unwrap() >= start + 7 * SECOND && other.unwrap() >= start + 7 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_is_too_long_holds_nobody_else() {
        let pace = pace(Duration::ZERO, 4);
        let start = pace.turn().await.unwrap();
        pace.went_wrong(start, &answered(429, Some(Duration::MAX)));
        assert_eq!(pace.turn().await.unwrap(), start);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_keeps_failing_rests_and_is_then_given_up() {
        let pace = pace(Duration::ZERO, 2);
        let start = Instant::now();
        fail(&pace, FAILURES_IN_A_ROW + 2).await;
        assert!(start.elapsed() >= SECOND, "it rested twice");
        assert_eq!(pace.turn().await, Err(FAILURES_IN_A_ROW + 2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_good_answer_ends_the_row() {
        let pace = pace(Duration::ZERO, 0);
        fail(&pace, FAILURES_IN_A_ROW - 1).await;
        pace.went_well();
        fail(&pace, FAILURES_IN_A_ROW - 1).await;
        assert!(pace.turn().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_on_its_way_when_the_rest_began_is_no_news() {
        let pace = pace(Duration::ZERO, 1);
        let begun = pace.turn().await.unwrap();
        for _ in 0..3 * FAILURES_IN_A_ROW {
            pace.went_wrong(begun, &answered(500, None));
        }
        assert!(pace.turn().await.is_ok(), "one wave, one rest");
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_image_shows_that_the_host_works() {
        let pace = pace(Duration::ZERO, 0);
        for _ in 0..3 {
            fail(&pace, FAILURES_IN_A_ROW - 1).await;
            let begun = pace.turn().await.unwrap();
            pace.went_wrong(begun, &answered(404, None));
        }
        assert!(pace.turn().await.is_ok());
    }
}
