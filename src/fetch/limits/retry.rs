//! When to try again. This module only decides; the caller waits: an image in its queue, a page on
//! the spot.

use std::time::{Duration, SystemTime};

use crate::fetch::error::{FetchError, Retryability};
use crate::units::jitter;

/// The longest `Retry-After` that is waited for; beyond it the request fails, and its error says
/// how long the host wants to be left alone.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);

/// Where the doubling ends.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

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

    /// How long to wait after try number `attempt` (from 1) ended with `error`; `None` means to
    /// give up.
    ///
    /// The pause is jittered, so that many images that failed together do not come back together.
    pub fn pause(&self, attempt: u32, error: &FetchError) -> Option<Duration> {
        let least = match error.retryability() {
            Retryability::Never => return None,
            Retryability::AfterBackoff => Duration::ZERO,
            Retryability::After(pause) if pause > MAX_RETRY_AFTER => return None,
            Retryability::After(pause) => pause,
        };
        self.backoff(attempt).map(|pause| pause.max(least))
    }

    /// The pause after try number `attempt` if the host asks for none.
    pub fn backoff(&self, attempt: u32) -> Option<Duration> {
        if attempt > self.retries {
            return None;
        }
        let doubled = self
            .wait
            .saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
        Some(doubled.min(MAX_BACKOFF).mul_f64(jitter()))
    }
}

/// Parses a `Retry-After` header (RFC 9110, 10.2.3): seconds or a date; `None` for anything else
/// and for the past.
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let text = value.trim();
    let pause = match text.parse::<f64>() {
        // A numeral too large for f64 parses as infinity and counts; the literal `inf` does not.
        Ok(seconds) if seconds > 0.0 && text.contains(|c: char| c.is_ascii_digit()) => {
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
        }
        Ok(_) => return None,
        Err(_) => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .ok()?,
    };
    (!pause.is_zero()).then_some(pause)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fetch::error::FetchErrorKind;

    fn answered(status: u16, retry_after: Option<Duration>) -> FetchError {
        FetchError::new(
            "gallery.test",
            FetchErrorKind::Status {
                status,
                retry_after,
            },
        )
    }

    proptest! {
        #[test]
        fn a_backoff_doubles_within_its_jitter_up_to_its_maximum(attempt in 1_u32..2000, wait in 0_u64..100_000) {
            let wait = Duration::from_millis(wait);
            let pause = Retry::new(2000, wait).pause(attempt, &answered(500, None)).unwrap();
            let full = wait.saturating_mul(2_u32.saturating_pow(attempt - 1)).min(MAX_BACKOFF);
            prop_assert!(pause <= full);
            prop_assert!(pause >= full / 2);
        }

        #[test]
        fn no_retry_after_makes_the_parser_panic(text in "\\PC*", now in 0_u64..u64::from(u32::MAX)) {
            let _ = parse_retry_after(&text, SystemTime::UNIX_EPOCH + Duration::from_secs(now));
        }
    }

    #[test]
    fn retries_end_after_the_last_try() {
        let retry = Retry::new(2, Duration::from_millis(1));
        assert!(retry.pause(2, &answered(500, None)).is_some());
        assert_eq!(retry.pause(3, &answered(500, None)), None);
        assert_eq!(
            Retry::new(0, Duration::ZERO).pause(1, &answered(500, None)),
            None
        );
    }

    #[test]
    fn a_404_is_not_retried() {
        assert_eq!(
            Retry::new(9, Duration::ZERO).pause(1, &answered(404, None)),
            None
        );
    }

    #[test]
    fn a_retry_after_is_the_least_pause() {
        let retry = Retry::new(4, Duration::from_millis(500));
        let pause = retry.pause(1, &answered(503, Some(Duration::from_secs(30))));
        assert_eq!(pause, Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_retry_after_past_its_maximum_is_not_waited_for() {
        let retry = Retry::new(4, Duration::from_millis(500));
        assert_eq!(
            retry.pause(
                1,
                &answered(503, Some(MAX_RETRY_AFTER + Duration::from_secs(1)))
            ),
            None
        );
    }

    #[test]
    fn retry_after_is_parsed_from_seconds_and_from_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(
            parse_retry_after(" 120 ", now),
            Some(Duration::from_secs(120))
        );
        assert_eq!(
            parse_retry_after("Sun, 06 Nov 1994 08:50:07 GMT", now),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            parse_retry_after("100000000000000000000", now),
            Some(Duration::MAX)
        );
        assert_eq!(parse_retry_after("1e20", now), Some(Duration::MAX));
        assert_eq!(
            parse_retry_after(&"9".repeat(400), now),
            Some(Duration::MAX)
        );
    }

    #[test]
    fn a_past_or_invalid_retry_after_is_ignored() {
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
            assert_eq!(parse_retry_after(junk, now), None, "{junk:?}");
        }
    }
}
