//! How fast requests are sent to one host: the interval, the pauses, and when the host is given up.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::retry::{MAX_RETRY_AFTER, Retry};
use crate::fetch::error::{FetchError, Retryability};

/// After this many failures in a row the host gets a cooldown.
const FAILURES_IN_A_ROW: u32 = 20;

/// So many invalid responses in a row are the host's fault; fewer are that of single images, such
/// as those of one script.
const INVALID_IN_A_ROW: u32 = 3;

/// The longest interval that a robots.txt may ask for.
const MAX_CRAWL_DELAY: Duration = Duration::from_secs(10);

/// The rate of one host, shared by all requests to it.
///
/// A mutex around a few numbers, locked twice a request and never across an await. A semaphore or a
/// channel to a separate task would also serialise the requests, but could not pause those that
/// already wait.
#[derive(Debug)]
pub(crate) struct HostRate {
    cooldowns: Retry,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    interval: Duration,
    /// What robots.txt asks for, where that is slower than the user's interval and was not reported
    /// yet.
    unreported: Option<Duration>,
    /// The next request may be sent from here on.
    next: Option<Instant>,
    /// The end of a pause (`Retry-After`) or of a cooldown.
    paused: Option<Instant>,
    failures: u32,
    /// How many responses in a row were invalid.
    invalid: u32,
    cooldowns: u32,
    given_up: Option<Instant>,
}

impl HostRate {
    /// At most one request each `interval`. `cooldowns` says how often, and how long, a failing
    /// host is left alone before it is given up.
    pub(crate) fn new(interval: Duration, cooldowns: Retry) -> Self {
        Self {
            cooldowns,
            state: Mutex::new(State {
                interval,
                ..State::default()
            }),
        }
    }

    /// Whether the host was given up, this long ago or longer.
    pub(crate) fn is_given_up_for(&self, long: Duration) -> bool {
        let given_up = self.state.lock().given_up;
        given_up.is_some_and(|at| at.elapsed() >= long)
    }

    /// Whether requests wait for each other.
    pub(crate) fn has_interval(&self) -> bool {
        !self.state.lock().interval.is_zero()
    }

    /// Waits until a request may be sent, and returns that moment; or the number of failures after
    /// which the host was given up.
    pub(crate) async fn acquire(&self) -> Result<Instant, u32> {
        let mut slot = None;
        loop {
            let until = {
                let mut state = self.state.lock();
                if state.given_up.is_some() {
                    return Err(state.failures);
                }
                let now = Instant::now();
                let slot = *slot.get_or_insert_with(|| state.reserve(now));
                let until = state.paused.map_or(slot, |paused| paused.max(slot));
                if until <= now {
                    return Ok(now);
                }
                until
            };
            // The state is checked again after the sleep: another response may have set a pause
            // meanwhile.
            sleep_until(until).await;
        }
    }

    /// Respects the `Crawl-delay` of the host's robots.txt.
    pub(crate) fn apply_crawl_delay(&self, delay: Duration) {
        let mut state = self.state.lock();
        let kept = delay.min(MAX_CRAWL_DELAY);
        if kept > state.interval {
            state.interval = kept;
            state.unreported = Some(delay);
        }
    }

    /// The pace that robots.txt asks for and the one that is kept, once: when it makes a request
    /// wait for the first time.
    pub(crate) fn unreported_crawl_delay(&self) -> Option<(Duration, Duration)> {
        let mut state = self.state.lock();
        let has_to_wait = state.next.is_some_and(|next| next > Instant::now());
        let interval = state.interval;
        state
            .unreported
            .take_if(|_| has_to_wait)
            .map(|asked| (asked, interval))
    }

    /// The host says that it takes no request for so long; a pause that is too long is left to the errors that follow, as
    /// that of a `Retry-After` is.
    pub(crate) fn pause(&self, pause: Duration) {
        if pause <= MAX_RETRY_AFTER {
            self.state.lock().pause(Instant::now() + pause);
        }
    }

    /// The host responded as it should.
    pub(crate) fn record_success(&self) {
        let mut state = self.state.lock();
        state.failures = 0;
        state.invalid = 0;
        state.cooldowns = 0;
    }

    /// A request that was sent at `started` failed.
    ///
    /// A host that fails many times in a row gets a cooldown, a longer one each time, and is given
    /// up after the last.
    pub(crate) fn record_failure(&self, started: Instant, error: &FetchError) {
        if !error.blames_host() {
            if error.status().is_some() {
                self.record_success();
            }
            return;
        }
        let now = Instant::now();
        let mut state = self.state.lock();
        if let Retryability::After(pause) = error.retryability()
            && pause <= MAX_RETRY_AFTER
        {
            state.pause(now + pause);
        }
        state.failures += if error.is_invalid_http() {
            state.invalid += 1;
            match state.invalid {
                ..INVALID_IN_A_ROW => return,
                // From now on all of them count.
                INVALID_IN_A_ROW => INVALID_IN_A_ROW,
                _ => 1,
            }
        } else {
            state.invalid = 0;
            1
        };
        // Requests that were under way when the cooldown began fail for the same reason: one wave,
        // one cooldown.
        if state.failures < FAILURES_IN_A_ROW || state.paused.is_some_and(|paused| started < paused)
        {
            return;
        }
        match self.cooldowns.backoff(state.cooldowns + 1) {
            Some(cooldown) => {
                state.cooldowns += 1;
                state.pause(now + cooldown);
            }
            None => state.given_up = Some(now),
        }
    }
}

impl State {
    fn reserve(&mut self, now: Instant) -> Instant {
        if self.interval.is_zero() {
            return now;
        }
        let slot = self.next.map_or(now, |next| next.max(now));
        self.next = slot.checked_add(self.interval);
        slot
    }

    fn pause(&mut self, until: Instant) {
        self.paused = self.paused.max(Some(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::error::FetchErrorKind;

    const SECOND: Duration = Duration::from_secs(1);

    fn answered(status: u16, retry_after: Option<Duration>) -> FetchError {
        FetchError::new(
            "gallery.test",
            FetchErrorKind::Status {
                status,
                retry_after,
            },
        )
    }

    fn rate(interval: Duration, retries: u32) -> HostRate {
        HostRate::new(interval, Retry::new(retries, SECOND))
    }

    async fn fail(rate: &HostRate, times: u32) {
        for _ in 0..times {
            let begun = rate.acquire().await.unwrap();
            rate.record_failure(begun, &answered(500, None));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_asked_once_an_interval() {
        let rate = rate(SECOND, 0);
        let start = Instant::now();
        for _ in 0..4 {
            rate.acquire().await.unwrap();
        }
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crawl_delay_slows_down_up_to_its_maximum() {
        let rate = rate(Duration::ZERO, 0);
        rate.apply_crawl_delay(1000 * SECOND);
        let start = Instant::now();
        rate.acquire().await.unwrap();
        rate.acquire().await.unwrap();
        assert_eq!(start.elapsed().as_secs(), MAX_CRAWL_DELAY.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_crawl_delay_is_told_once_and_when_it_makes_a_request_wait() {
        let slowed = rate(SECOND, 0);
        slowed.apply_crawl_delay(15 * SECOND);
        assert_eq!(slowed.unreported_crawl_delay(), None, "nothing waited yet");
        slowed.acquire().await.unwrap();
        let reported = Some((15 * SECOND, MAX_CRAWL_DELAY));
        assert_eq!(slowed.unreported_crawl_delay(), reported);
        assert_eq!(slowed.unreported_crawl_delay(), None);
        let slow = rate(5 * SECOND, 0);
        slow.apply_crawl_delay(5 * SECOND);
        slow.acquire().await.unwrap();
        assert_eq!(slow.unreported_crawl_delay(), None, "the user is slower");
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_pauses_all_requests_to_the_host() {
        let rate = rate(Duration::ZERO, 4);
        let start = rate.acquire().await.unwrap();
        rate.record_failure(start, &answered(429, Some(7 * SECOND)));
        rate.record_failure(start, &answered(503, Some(3 * SECOND)));
        let (one, other) = tokio::join!(rate.acquire(), rate.acquire());
        assert!(one.unwrap() >= start + 7 * SECOND && other.unwrap() >= start + 7 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_that_is_too_long_pauses_no_other_request() {
        let rate = rate(Duration::ZERO, 4);
        let start = rate.acquire().await.unwrap();
        rate.record_failure(start, &answered(429, Some(Duration::MAX)));
        assert_eq!(rate.acquire().await.unwrap(), start);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_keeps_failing_gets_cooldowns_and_is_then_given_up() {
        let rate = rate(Duration::ZERO, 2);
        let start = Instant::now();
        fail(&rate, FAILURES_IN_A_ROW + 2).await;
        assert!(start.elapsed() >= SECOND, "it had two cooldowns");
        assert_eq!(rate.acquire().await, Err(FAILURES_IN_A_ROW + 2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_success_resets_the_count_of_failures() {
        let rate = rate(Duration::ZERO, 0);
        fail(&rate, FAILURES_IN_A_ROW - 1).await;
        rate.record_success();
        fail(&rate, FAILURES_IN_A_ROW - 1).await;
        assert!(rate.acquire().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_requests_sent_before_a_cooldown_do_not_count() {
        let rate = rate(Duration::ZERO, 1);
        let begun = rate.acquire().await.unwrap();
        for _ in 0..3 * FAILURES_IN_A_ROW {
            rate.record_failure(begun, &answered(500, None));
        }
        assert!(rate.acquire().await.is_ok(), "one wave, one cooldown");
    }

    #[tokio::test(start_paused = true)]
    async fn invalid_responses_count_against_the_host_from_the_third_in_a_row() {
        let rate = rate(Duration::ZERO, 0);
        let invalid = |times| {
            let reason = "no status line".to_owned();
            let error = FetchError::new("gallery.test", FetchErrorKind::InvalidHttp { reason });
            for _ in 0..times {
                rate.record_failure(Instant::now(), &error);
            }
        };
        for _ in 0..FAILURES_IN_A_ROW {
            invalid(INVALID_IN_A_ROW - 1);
            rate.record_failure(Instant::now(), &answered(404, None));
        }
        fail(&rate, FAILURES_IN_A_ROW - INVALID_IN_A_ROW).await;
        invalid(INVALID_IN_A_ROW - 1);
        assert!(rate.acquire().await.is_ok());
        invalid(1);
        assert_eq!(rate.acquire().await, Err(FAILURES_IN_A_ROW));
    }

    #[tokio::test(start_paused = true)]
    async fn a_404_counts_as_success_of_the_host() {
        let rate = rate(Duration::ZERO, 0);
        for _ in 0..3 {
            fail(&rate, FAILURES_IN_A_ROW - 1).await;
            let begun = rate.acquire().await.unwrap();
            rate.record_failure(begun, &answered(404, None));
        }
        assert!(rate.acquire().await.is_ok());
    }
}
