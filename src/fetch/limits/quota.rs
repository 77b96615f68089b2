//! The headers by which a host tells how many requests it still takes, and until when it takes no more.
//!
//! No standard is final: `X-RateLimit-*` has three forms in the wild (seconds left, the time in seconds since 1970, RFC
//! 3339), and the IETF's draft-ietf-httpapi-ratelimit-headers changed its own twice.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use reqwest::header::{AsHeaderName, DATE, HeaderMap, HeaderName};

/// A larger number of seconds is a time, and none to wait: 1.9 years.
const LEAST_TIME: f64 = 60_000_000.0;

/// A larger number is a time in milliseconds.
const LEAST_MILLISECONDS: f64 = 100_000_000_000.0;

/// The pairs of headers, in small letters: what remains, and when that changes.
static PAIRS: [[HeaderName; 2]; 3] = [
    [
        HeaderName::from_static("x-ratelimit-remaining"),
        HeaderName::from_static("x-ratelimit-reset"),
    ],
    [
        HeaderName::from_static("x-rate-limit-remaining"),
        HeaderName::from_static("x-rate-limit-reset"),
    ],
    [
        HeaderName::from_static("ratelimit-remaining"),
        HeaderName::from_static("ratelimit-reset"),
    ],
];

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// How long a host takes no more requests, where its response says that none remains.
pub(crate) fn exhausted_for(headers: &HeaderMap, ours: SystemTime) -> Option<Duration> {
    // A clock of ours that is wrong would make every time wrong.
    let now = || {
        let date = text(headers, DATE)?;
        httpdate::parse_http_date(date).ok()
    };
    let now = || now().unwrap_or(ours);
    // Hardly any response has one of them; looking for each of the seven names would cost more.
    let is_quota = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("x-rate") || name.starts_with("ratelimit")
    };
    if !headers.keys().any(is_quota) {
        return None;
    }
    let pairs = PAIRS.iter().filter_map(|[remaining, reset]| {
        // A decimal, at one large site.
        let remaining: f64 = text(headers, remaining)?.trim().parse().ok()?;
        (remaining < 1.0).then(|| until(text(headers, reset)?, now()))?
    });
    pairs.chain(policies(headers)).max()
}

fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// How long it is until `reset`; `None` for the past and for anything that is no time.
fn until(reset: &str, now: SystemTime) -> Option<Duration> {
    let reset = reset.trim().trim_matches('"');
    let pause = if let Ok(number) = reset.parse::<f64>() {
        let seconds = if number >= LEAST_MILLISECONDS {
            number / 1000.0
        } else {
            number
        };
        let wait = Duration::try_from_secs_f64(seconds).ok()?;
        if seconds >= LEAST_TIME {
            UNIX_EPOCH.checked_add(wait)?.duration_since(now).ok()?
        } else {
            wait
        }
    } else if let Ok(time) = reset.parse::<Timestamp>() {
        SystemTime::from(time).duration_since(now).ok()?
    } else {
        let time = httpdate::parse_http_date(reset).ok()?;
        time.duration_since(now).ok()?
    };
    (!pause.is_zero()).then_some(pause)
}

/// The pauses that `RateLimit` asks for: `limit=100, remaining=0, reset=50` (drafts 3 to 7) or `"default";r=0;t=50`
/// (since draft 8), where every policy has its own.
fn policies(headers: &HeaderMap) -> impl Iterator<Item = Duration> {
    let values = headers.get_all(&RATE_LIMIT).into_iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let is_old = |value: &&str| value.contains("remaining=");
    let policies = values.flat_map(move |value| {
        let mut whole = Some(value).filter(is_old);
        let mut each = value.split(',').filter(move |_| !is_old(&value));
        std::iter::from_fn(move || whole.take().or_else(|| each.next()))
    });
    policies.filter_map(|policy| {
        let number = |names: [&str; 2]| -> Option<f64> {
            let pairs = policy
                .split([',', ';'])
                .filter_map(|pair| pair.split_once('='));
            let mut named = pairs.filter(|(name, _)| names.contains(&name.trim()));
            named.next()?.1.trim().parse().ok()
        };
        let remaining = number(["remaining", "r"])?;
        let seconds = number(["reset", "t"])?;
        let pause = Duration::try_from_secs_f64(seconds).ok()?;
        (remaining < 1.0 && !pause.is_zero()).then_some(pause)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    /// 2025-01-30T20:31:52Z.
    const NOW: u64 = 1_738_269_112;

    fn pause(lines: &[(&str, &str)]) -> Option<f64> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        exhausted_for(&headers, now).map(|pause| pause.as_secs_f64())
    }

    #[test]
    fn a_spent_quota_pauses_until_its_reset_in_every_form() {
        let spent = ("X-RateLimit-Remaining", "0");
        for (reset, seconds) in [
            ("1738269142", 30.0),
            ("1738269142000", 30.0),
            ("67", 67.0),
            ("2.5", 2.5),
            ("2025-01-30T20:32:02Z", 10.0),
            ("2025-01-30T20:32:02.500000Z", 10.5),
            ("\"2025-01-30T20:32:02+00:00\"", 10.0),
            ("Thu, 30 Jan 2025 20:32:02 GMT", 10.0),
        ] {
            assert_eq!(
                pause(&[spent, ("X-RateLimit-Reset", reset)]),
                Some(seconds),
                "{reset}"
            );
        }
        for remaining in ["0.0", "0.7", " 0 "] {
            let pair = [
                ("x-ratelimit-remaining", remaining),
                ("x-ratelimit-reset", "5"),
            ];
            assert_eq!(pause(&pair), Some(5.0), "{remaining}");
        }
        for [remaining, reset] in &PAIRS {
            assert_eq!(
                pause(&[(remaining.as_str(), "0"), (reset.as_str(), "9")]),
                Some(9.0),
                "{reset}"
            );
        }
        assert_eq!(
            pause(&[("RateLimit", "limit=100, remaining=0, reset=50")]),
            Some(50.0)
        );
        let policies = "\"burst\";r=0;t=7, \"day\";r=12;t=9000";
        assert_eq!(pause(&[("RateLimit", policies)]), Some(7.0));
        let date = ("Date", "Thu, 30 Jan 2025 20:30:52 GMT");
        let reset = ("X-RateLimit-Reset", "1738269142");
        assert_eq!(
            pause(&[spent, reset, date]),
            Some(90.0),
            "by the server's clock"
        );
    }

    #[test]
    fn a_quota_that_is_not_spent_or_not_understood_pauses_nothing() {
        let quota = |remaining, reset| {
            pause(&[
                ("x-ratelimit-remaining", remaining),
                ("x-ratelimit-reset", reset),
            ])
        };
        for (remaining, reset) in [
            ("1", "60"),
            ("88.0", "60"),
            ("", "60"),
            ("none", "60"),
            ("nan", "60"),
            ("0", "1738269112"),
            ("0", "0"),
            ("0", "-5"),
            ("0", "inf"),
            ("0", "soon"),
            ("0", "2024-01-30T20:32:02Z"),
        ] {
            assert_eq!(quota(remaining, reset), None, "{remaining} {reset}");
        }
        assert_eq!(pause(&[("x-ratelimit-remaining", "0")]), None);
        assert_eq!(pause(&[("RateLimit", "\"default\";r=1;t=50")]), None);
    }

    proptest! {
        #[test]
        fn no_quota_makes_the_parser_panic(reset in "[ -~]{0,24}", policy in "[a-z0-9=;,\" .-]{0,40}") {
            pause(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset), ("ratelimit", &policy)]);
        }
    }
}
