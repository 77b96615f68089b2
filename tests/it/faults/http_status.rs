//! HTTP status codes, Retry-After, and how long a host is left alone.

use std::time::{Duration, SystemTime};

use image::ImageFormat;

use super::*;
use crate::support::gallery::picture;

#[test]
fn permanent_status_4xx_is_not_retried() {
    let permanent = [
        ("400", 400),
        ("401", 401),
        ("402", 402),
        ("403", 403),
        ("405", 405),
        ("416", 416),
        ("418", 418),
    ];
    let permanent = [&permanent[..], &[("451", 451), ("600", 600), ("999", 999)]].concat();
    let mut cases: Vec<Case> = permanent
        .into_iter()
        .map(|(words, code)| {
            Case::image(words, move |_| Answer::status(code)).fails(1, &[words, "1 attempt"])
        })
        .collect();
    for (words, code) in [("404", 404), ("410", 410)] {
        cases.push(
            Case::image(words, move |_| Answer::status(code)).gone(&[words, "(1 attempt; gone)"]),
        );
    }
    hold(&cases);
}

#[test]
fn transient_status_429_and_5xx_is_retried() {
    let mut cases = Vec::new();
    for (words, code) in [
        ("408", 408),
        ("429", 429),
        ("500", 500),
        ("502", 502),
        ("503", 503),
        ("504", 504),
        ("501", 501),
        ("505", 505),
        ("509", 509),
        ("511", 511),
        ("522", 522),
        ("530", 530),
    ] {
        let often =
            Case::image(words, move |_| Answer::status(code)).fails(3, &[words, "3 attempts"]);
        let late = Case::image(
            format!("{words}, healthy at the last try"),
            move |asked| match asked.nth {
                1 | 2 => Answer::status(code),
                _ => asked.served(),
            },
        );
        cases.extend([often, late.comes(3)]);
    }
    hold(&cases);
}

/// So long, at least, between one request and the next.
fn gaps(least: &'static [u64]) -> impl Fn(&[Asked]) {
    move |requests| {
        let at: Vec<_> = requests
            .iter()
            .filter(|asked| asked.path == FaultServer::FAULTY)
            .map(|asked| asked.at)
            .collect();
        let gaps: Vec<_> = at.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(gaps.len(), least.len());
        let kept = gaps
            .iter()
            .zip(least)
            .all(|(gap, least)| *gap >= Duration::from_millis(*least));
        assert!(kept, "{gaps:?}, where {least:?} are due");
    }
}

/// Answers the first request with 503 and this.
fn later(name: &str, retry_after: impl Fn() -> String + Send + Sync + 'static) -> Case {
    Case::image(format!("Retry-After {name}"), move |asked| {
        match asked.nth {
            1 => Answer::whole(
                "503 Later",
                &[&format!("Retry-After: {}", retry_after())],
                "",
            ),
            _ => asked.served(),
        }
    })
}

#[test]
fn retry_after_sets_the_pause_and_backoff_is_the_default() {
    let own = ["--retry-wait", "200ms", "-R", "3"];
    let date = |offset: i64| {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("a clock that is set");
        let then = Duration::from_secs(now.as_secs().saturating_add_signed(offset));
        httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + then)
    };
    let always = |name: &str, value: &'static str| {
        Case::image(format!("Retry-After {name}"), move |_| {
            Answer::whole("429 Later", &[&format!("Retry-After: {value}")], "")
        })
    };
    hold(&[
        Case::image("growing pauses", |_| Answer::status(500))
            .with(&own)
            .fails(4, &["500"])
            .seen(gaps(&[100, 200, 400])),
        later("in seconds", || "1".to_owned())
            .comes(2)
            .seen(gaps(&[1000])),
        // A date has no parts of a second.
        later("as a date", move || date(3))
            .comes(2)
            .seen(gaps(&[2000])),
        later("that is past", move || date(-100)).comes(2),
        later("that is below nothing", || "-5".to_owned()).comes(2),
        later("that is junk", || "soon".to_owned()).comes(2),
        later("of 400 digits", || "9".repeat(400)).fails(1, &["more than a year"]),
        always("of 1e20", "1e20").fails(1, &["429", "more than a year"]),
        always("of twenty digits", "99999999999999999999").fails(1, &["more than a year"]),
        always("of three minutes", "200").fails(1, &["3 min"]),
        always("in 500 years", "Tue, 31 Dec 2526 23:59:59 GMT").fails(1, &["more than a year"]),
    ]);
}

#[test]
fn retry_after_pauses_the_whole_host() {
    let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
    let listed = [&[FaultServer::FAULTY], &FaultServer::GOOD[..]].concat();
    rogue.list(1, &listed);
    rogue.on(FaultServer::FAULTY, |asked| match asked.nth {
        1 => Answer::whole("429 Later", &["Retry-After: 1"], ""),
        _ => asked.served(),
    });
    let ended = fetch(world.wallhaul(), &rogue)
        .args(["-j", "1", "-p", "1"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let images: Vec<_> = rogue
        .requests()
        .into_iter()
        .filter(|asked| asked.path.starts_with("/uploads/"))
        .collect();
    assert_eq!((images.len(), &*images[0].path), (6, FaultServer::FAULTY));
    assert!(
        images[1].at - images[0].at >= Duration::from_secs(1),
        "{images:?}"
    );
}

#[test]
fn host_that_always_fails_is_given_up() {
    let (world, rogue) = (Sandbox::new(), FaultServer::start());
    let paths: Vec<String> = (0..200)
        .map(|n| format!("/uploads/desktops/2020/01/01/{n}.png"))
        .collect();
    let listed: Vec<&str> = paths.iter().map(String::as_str).collect();
    rogue.list(1, &listed);
    for (index, path) in paths.iter().enumerate() {
        rogue.show(path, picture(index, ImageFormat::Png));
        rogue.on(path, |_| Answer::status(500));
    }
    let ended = fetch(world.wallhaul(), &rogue).run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let asked: usize = rogue.originals_asked().values().sum();
    // Twenty in a row, then once more after each of two rests; as many again may be on their way each time.
    assert!(asked <= 20 + 2 + 3 * 16, "{asked} requests");
    let reported = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("failed "))
        .count();
    assert_eq!((reported, ended.sum()["failed"].as_u64()), (200, Some(200)));
    assert!(
        ended.stderr.contains("is skipped for the rest of this run"),
        "{}",
        ended.stderr
    );
    rogue.heal();
    let again = fetch(world.wallhaul(), &rogue).run();
    assert_eq!(
        (again.code, collection(&world).len()),
        (Some(0), 200),
        "{}",
        again.stderr
    );
}
