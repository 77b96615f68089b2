//! When to try again. It only decides; whoever asks does the waiting: an image in its queue, a page in place.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime};

use crate::fetch::error::{Again, FetchError};

/// The longest that a host's own wish is waited for; past it the image fails and its error says when.
pub(crate) const LONGEST_WISH: Duration = Duration::from_secs(120);

/// Where the doubling ends.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often to try again, and after which pauses.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    retries: u32,
    wait: Duration,
}

impl Retry {
    /// At most `retries` further tries, after `wait` at first and then twice as long each time.
    pub fn new(retries: u32, wait: Duration) -> Self {
        Self { retries, wait }
    }

    /// How long to wait after the try number `attempt` (from 1) ended with `error`; `None` is to give up.
    ///
    /// The pause is jittered, so that many images that failed together do not come back together.
    pub fn pause(&self, attempt: u32, error: &FetchError) -> Option<Duration> {
        let least = match error.again() {
            Again::Never => return None,
            Again::Later => Duration::ZERO,
            Again::After(wish) if wish > LONGEST_WISH => return None,
            Again::After(wish) => wish,
        };
        self.own(attempt).map(|pause| pause.max(least))
    }

    /// The pause after try number `attempt`, where nobody wishes for another.
    pub fn own(&self, attempt: u32) -> Option<Duration> {
        if attempt > self.retries {
            return None;
        }
        let doubled = self
            .wait
            .saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
        Some(doubled.min(LONGEST_PAUSE).mul_f64(between_a_half_and_one()))
    }
}

/// Reads a `Retry-After`: seconds, or a date; `None` for what is neither, or past.
pub fn wish(retry_after: &str, now: SystemTime) -> Option<Duration> {
    let text = retry_after.trim();
    let wish = match text.parse::<f64>() {
        // So many digits that it is infinite is a number still; the word is none.
        Ok(seconds) if seconds > 0.0 && text.contains(|c: char| c.is_ascii_digit()) => {
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
        }
        Ok(_) => return None,
        Err(_) => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .ok()?,
    };
    (!wish.is_zero()).then_some(wish)
}

/// Chance without a generator of its own: the standard library seeds each hasher anew.
fn between_a_half_and_one() -> f64 {
    let chance = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or(u32::MAX);
    0.5 + f64::from(chance) / f64::from(u32::MAX) / 2.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answered(status: u16, retry_after: Option<Duration>) -> FetchError {
        FetchError::Status {
            host: "gallery.test".to_owned(),
            status,
            retry_after,
        }
    }

    proptest! {
        #[test]
        fn a_pause_doubles_within_its_jitter_and_ends_at_its_cap(attempt in 1_u32..2000, wait in 0_u64..100_000) {
            let wait = Duration::from_millis(wait);
            let pause = Retry::new(2000, wait).pause(attempt, &answered(500, None)).unwrap();
            let full = wait.saturating_mul(2_u32.saturating_pow(attempt - 1)).min(LONGEST_PAUSE);
            prop_assert!(pause <= full);
            prop_assert!(pause >= full / 2);
        }

        #[test]
        fn no_retry_after_makes_a_panic(text in "\\PC*", now in 0_u64..u64::from(u32::MAX)) {
            let _ = wish(&text, SystemTime::UNIX_EPOCH + Duration::from_secs(now));
        }
    }

    #[test]
    fn a_retry_gives_up_after_the_last_try() {
        let retry = Retry::new(2, Duration::from_millis(1));
        assert!(retry.pause(2, &answered(500, None)).is_some());
        assert_eq!(retry.pause(3, &answered(500, None)), None);
        assert_eq!(
            Retry::new(0, Duration::ZERO).pause(1, &answered(500, None)),
            None
        );
    }

    #[test]
    fn what_will_not_change_is_not_asked_for_again() {
        assert_eq!(
            Retry::new(9, Duration::ZERO).pause(1, &answered(404, None)),
            None
        );
    }

    #[test]
    fn a_host_that_says_when_is_waited_for_at_least_that_long() {
        let retry = Retry::new(4, Duration::from_millis(500));
        let pause = retry.pause(1, &answered(503, Some(Duration::from_secs(30))));
        assert_eq!(pause, Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_host_that_asks_for_too_long_is_given_up_at_once() {
        let retry = Retry::new(4, Duration::from_millis(500));
        assert_eq!(
            retry.pause(
                1,
                &answered(503, Some(LONGEST_WISH + Duration::from_secs(1)))
            ),
            None
        );
    }

    #[test]
    fn a_wish_is_read_from_seconds_and_from_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(wish(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(
            wish("Sun, 06 Nov 1994 08:50:07 GMT", now),
            Some(Duration::from_secs(30))
        );
        assert_eq!(wish("100000000000000000000", now), Some(Duration::MAX));
        assert_eq!(wish("1e20", now), Some(Duration::MAX));
        assert_eq!(wish(&"9".repeat(400), now), Some(Duration::MAX));
    }

    #[test]
    fn a_wish_that_is_past_or_junk_is_none() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for junk in [
            "",
            "0",
            "-5",
            "soon",
            "nan",
            "inf",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Mon, 01 Jan 1990 00:00:00 GMT",
        ] {
            assert_eq!(wish(junk, now), None, "{junk:?}");
        }
    }
}
