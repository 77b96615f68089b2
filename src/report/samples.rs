//! Sample runs for the tests of the reporters, and writers to observe them.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use proptest::prelude::*;
use url::Url;

use super::{ColorMode, OutputSettings, Progress, Reporter, Stderr, Tally};
use crate::event::{Event, ListingEnd, ListingFailure, LockHolder, WaitReason, Warning};
use crate::job::{ContentHash, ImageKey, ImageName, SiteId};
use crate::outcome::{
    Capture, Content, Duplicate, Failure, Format, Gone, Outcome, Saved, Skip, SkipReason, Stage,
};

pub(super) const TOOK: Duration = Duration::from_millis(12_345);

/// Clears the screen, sets the title, starts a line, and reverses the reading direction.
pub(super) const HOSTILE: &str =
    "\x1b[2J\x1b]0;owned\x07\r\n\u{9b}31m\u{202e}gnp\u{200b}\u{e0041}\x7f";

/// The output of a run off a terminal, without flags.
pub(super) fn default_output() -> OutputSettings {
    OutputSettings {
        progress: Progress::Auto,
        json: false,
        quiet: false,
        verbose: 0,
        color: ColorMode::Auto,
        stderr: Stderr {
            terminal: false,
            dumb: false,
            no_color: false,
            size: || None,
        },
        clock: noon,
    }
}

pub(super) fn noon() -> Timestamp {
    "2026-11-23T12:00:00.123456Z".parse().unwrap()
}

pub(super) fn tally_of(events: &[Event]) -> Tally {
    let mut tally = Tally::default();
    for event in events {
        tally.add(event);
    }
    tally
}

/// Passes a whole run to `reporter`.
pub(super) fn run_through(reporter: &mut dyn Reporter, events: &[Event]) {
    for event in events {
        reporter.on_event(event).unwrap();
    }
    reporter.flush().unwrap();
    reporter.finish(&tally_of(events), TOOK).unwrap();
}

/// The start of a worker's run.
pub(super) fn work_started() -> Event {
    Event::RunStarted {
        site: SiteId::new("work").unwrap(),
        directory: "./wallpapers".to_owned(),
        jobs: 8,
        works_for_others: true,
    }
}

pub(super) fn run_started() -> Event {
    let site = SiteId::new("demo").unwrap();
    Event::RunStarted {
        site,
        directory: "./wallpapers/demo".to_owned(),
        jobs: 8,
        works_for_others: false,
    }
}

pub(super) fn page_read(number: u32, found: usize, already_there: usize) -> Event {
    let page = Url::parse(&format!("https://demo.invalid/browse/{number}/")).unwrap();
    Event::PageRead {
        page,
        number: Some(number),
        found,
        already_there,
        gone: 0,
        repeated: 0,
        left_out: 0,
    }
}

fn key(name: &str) -> ImageKey {
    ImageKey::from_stored(format!("demo {}", address(name)))
}

fn address(name: &str) -> String {
    format!("https://cdn.demo.invalid/originals/{name}")
}

/// The same as an address that was parsed; a hostile name is escaped in it.
fn url(name: &str) -> Url {
    Url::parse(&address(name)).expect("an address of a sample")
}

pub(super) fn started(name: &str) -> Event {
    Event::FetchStarted {
        key: key(name),
        attempt: 1,
    }
}

pub(super) fn progressed(name: &str, bytes: u64, total_bytes: Option<u64>) -> Event {
    Event::FetchProgressed {
        key: key(name),
        bytes,
        total_bytes,
    }
}

pub(super) fn retried(name: &str, attempt: u32) -> Event {
    let cause = "503 Service Unavailable".to_owned();
    Event::FetchRetried {
        key: key(name),
        address: address(name),
        attempt,
        cause,
        wait: Duration::from_millis(1_500),
    }
}

pub(super) fn finished(name: &str, outcome: Outcome) -> Event {
    Event::ImageFinished {
        key: key(name),
        outcome,
    }
}

pub(super) fn saved(name: &str, bytes: u64) -> Event {
    finished(
        name,
        Outcome::Saved(Saved {
            name: ImageName::from_stored(name),
            address: Box::new(url(name)),
            content: content(bytes),
            capture: None,
        }),
    )
}

pub(super) fn duplicate(name: &str) -> Event {
    let there = ImageName::from_stored("2010-01-01-First.png");
    finished(
        name,
        Outcome::Duplicate(Duplicate {
            name: there,
            address: Box::new(url(name)),
            content: content(1_000),
            capture: None,
        }),
    )
}

/// A duplicate from the web archive.
pub(super) fn archived(name: &str) -> Event {
    let at = "2019-05-04T01:02:03Z"
        .parse()
        .expect("a constant that parses");
    let base = Url::parse("https://web.archive.org/").expect("a constant that parses");
    let original = url(name);
    finished(
        name,
        Outcome::Duplicate(Duplicate {
            name: ImageName::from_stored("2010-01-01-First.png"),
            address: Box::new(url(name)),
            content: content(1_000),
            capture: Some(Box::new(Capture::new(&base, at, &original))),
        }),
    )
}

pub(super) fn skipped(name: &str, reason: SkipReason) -> Event {
    let address = key(name).identity().to_owned();
    finished(name, Outcome::Skipped(Skip::new(address, reason)))
}

pub(super) fn gone(name: &str) -> Event {
    let time = |text: &str| text.parse().expect("a constant that parses");
    finished(
        name,
        Outcome::Gone(Gone {
            address: key(name).identity().to_owned(),
            since: time("2026-11-01T04:00:00Z"),
            until: time("2026-12-01T04:00:00Z"),
        }),
    )
}

pub(super) fn any_outcome() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..1_000_u64).prop_map(|bytes| saved("a.png", bytes)),
        Just(duplicate("b.png")),
        Just(failed("c.png", "reset", 2)),
        Just(finished("d.png", Outcome::AlreadyThere)),
        Just(finished("e.png", Outcome::Queued)),
        Just(finished("e.png", Outcome::Interrupted)),
        Just(gone("h.png")),
        Just(skipped("f.png", SkipReason::NoRule)),
        Just(skipped("g.png", SkipReason::DryRun)),
    ]
}

fn content(bytes: u64) -> Content {
    let hash = ContentHash::from_bytes([0xa7; 32]);
    Content {
        bytes,
        hash,
        format: Format::Png,
        width: 2880,
        height: 1800,
        stored: None,
        warning: None,
    }
}

pub(super) fn failed(name: &str, cause: &str, attempts: u32) -> Event {
    let gone = cause.starts_with("404");
    let failure = Failure {
        stage: Stage::Fetch,
        address: address(name),
        cause: cause.to_owned(),
        attempts,
        gone,
    };
    finished(name, Outcome::Failed(failure))
}

pub(super) fn hook(
    name: Option<&str>,
    cause: Option<&str>,
    will_retry: bool,
    output: &str,
) -> Event {
    Event::HookFinished {
        command: "feh --bg-fill".to_owned(),
        name: name.map(ImageName::from_stored),
        cause: cause.map(str::to_owned),
        will_retry,
        output: output.to_owned(),
        took: Duration::from_millis(40),
    }
}

/// A run in which each kind of event happens; at its end images are interrupted and not started.
pub(super) fn eventful_run() -> Vec<Event> {
    vec![
        run_started(),
        page_read(1, 9, 2),
        started("2018-03-29-Mountains.png"),
        progressed("2018-03-29-Mountains.png", 65_536, Some(170_200)),
        saved("2018-03-29-Mountains.png", 170_200),
        Event::Waiting {
            reason: WaitReason::ImagesInFlight { images: 8 },
        },
        Event::Warned {
            warning: Warning::HooksGivenUp { failures: 10 },
        },
        Event::Warned {
            warning: Warning::SiteStopped {
                cause: "`demo.invalid` answered 403: the key is not valid".to_owned(),
            },
        },
        retried("2018-03-30-Sea.png", 1),
        failed("2018-03-30-Sea.png", "503 Service Unavailable", 5),
        Event::PageRead {
            page: Url::parse("https://demo.invalid/browse/2/").unwrap(),
            number: Some(2),
            found: 7,
            already_there: 0,
            gone: 1,
            repeated: 1,
            left_out: 3,
        },
        archived("2018-03-31-Copy.png"),
        failed("2018-04-01-Gone.png", "404 Not Found", 1),
        skipped("2018-04-02-Odd.png", SkipReason::NoRule),
        skipped(
            "2018-04-03-Private.png",
            SkipReason::Address("127.0.0.1 is a loopback address".to_owned()),
        ),
        skipped("2018-04-04-Dry.png", SkipReason::DryRun),
        skipped(
            "2018-04-04-Away.png",
            SkipReason::OtherHost("away.invalid".to_owned()),
        ),
        skipped(
            "2018-04-04-Day.png",
            SkipReason::ErrorRule("`demo.invalid` answered 404: no picture on that day".to_owned()),
        ),
        skipped("2018-04-04-Film.png", SkipReason::NoImage),
        skipped(
            "2018-04-04-Icon.png",
            SkipReason::TooSmall("16x16".to_owned()),
        ),
        finished("2018-04-05-Known.png", Outcome::AlreadyThere),
        finished("2018-04-05-Waiting.png", Outcome::Queued),
        finished("2018-04-06-Cut.png", Outcome::Interrupted),
        gone("2018-04-07-Named.png"),
        Event::ListingFailed {
            page: Url::parse("https://demo.invalid/browse/3/").unwrap(),
            reason: ListingFailure::Fetch {
                status: None,
                cause: "connection reset".to_owned(),
            },
            copy: None,
        },
        Event::ItemsUnusable {
            page: Url::parse("https://demo.invalid/browse/2/").unwrap(),
            without_thumb: 1,
            unusable: 2,
        },
        Event::AddressesRead {
            found: 3,
            already_there: 1,
            gone: 0,
            repeated: 2,
        },
        Event::ListingEnded {
            pages: 2,
            page: Some(Url::parse("https://demo.invalid/browse/3/").unwrap()),
            reason: ListingEnd::NoSuchPage {
                number: Some(3),
                status: 404,
            },
        },
        hook(Some("2018-03-29-Mountains.png"), None, false, "as wished\n"),
        hook(
            Some("2018-03-28-Moor.png"),
            Some("exit status 3"),
            true,
            "cannot open display\n",
        ),
        hook(None, Some("ended by signal 11"), false, ""),
        Event::LimitReached { limit: "--quota" },
        Event::HooksLeft { number: 2 },
    ]
}

/// A run that finds nothing new.
pub(super) fn second_run() -> Vec<Event> {
    vec![
        run_started(),
        page_read(1, 1_436, 1_436),
        Event::ListingEnded {
            pages: 52,
            page: None,
            reason: ListingEnd::EmptyPage { number: Some(53) },
        },
    ]
}

/// A run in which all untrusted text is [`HOSTILE`].
pub(super) fn hostile_run() -> Vec<Event> {
    let site = SiteId::new("demo").unwrap();
    vec![
        Event::RunStarted {
            site,
            directory: HOSTILE.to_owned(),
            jobs: 1,
            works_for_others: false,
        },
        page_read(1, 10, 0),
        started(HOSTILE),
        progressed(HOSTILE, 1, None),
        Event::FetchRetried {
            key: key(HOSTILE),
            address: address(HOSTILE),
            attempt: 1,
            cause: HOSTILE.to_owned(),
            wait: Duration::ZERO,
        },
        started(HOSTILE),
        saved(&format!("{HOSTILE}.png"), 1),
        failed(HOSTILE, HOSTILE, 1),
        skipped(HOSTILE, SkipReason::Address(HOSTILE.to_owned())),
        skipped(HOSTILE, SkipReason::DryRun),
        skipped(HOSTILE, SkipReason::OtherHost(HOSTILE.to_owned())),
        skipped(HOSTILE, SkipReason::ErrorRule(HOSTILE.to_owned())),
        Event::Warned {
            warning: Warning::SiteStopped {
                cause: HOSTILE.to_owned(),
            },
        },
        Event::Warned {
            warning: Warning::QueueMessage {
                queue: HOSTILE.to_owned(),
                cause: HOSTILE.to_owned(),
            },
        },
        Event::Waiting {
            reason: WaitReason::LockHeld(LockHolder {
                lock: HOSTILE.to_owned(),
                process: None,
            }),
        },
        Event::Warned {
            warning: Warning::ReadableConfig {
                path: HOSTILE.to_owned(),
            },
        },
        Event::Warned {
            warning: Warning::ReadableCookies {
                path: HOSTILE.to_owned(),
            },
        },
        Event::Warned {
            warning: Warning::SkippedCookies {
                path: HOSTILE.to_owned(),
                lines: 1,
                first_line: 1,
                cause: HOSTILE.to_owned(),
            },
        },
        Event::Warned {
            warning: Warning::CrawlDelay {
                host: HOSTILE.to_owned(),
                asked: Duration::ZERO,
                wait: Duration::ZERO,
            },
        },
        Event::ListingFailed {
            page: Url::parse("https://demo.invalid/").unwrap(),
            reason: ListingFailure::Fetch {
                status: None,
                cause: HOSTILE.to_owned(),
            },
            copy: Some(HOSTILE.to_owned()),
        },
        Event::ListingFailed {
            page: Url::parse("https://demo.invalid/").unwrap(),
            reason: ListingFailure::NoOriginals {
                images: 1,
                example: SkipReason::Address(HOSTILE.to_owned()),
            },
            copy: Some(HOSTILE.to_owned()),
        },
        hook(Some(HOSTILE), Some(HOSTILE), true, &HOSTILE.repeat(100)),
        started(HOSTILE),
    ]
}

/// A writer whose output the test can read.
#[derive(Clone, Default)]
pub(super) struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

impl SharedBuffer {
    pub(super) fn writer(&self) -> Box<dyn Write + Send> {
        Box::new(self.clone())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl Write for SharedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe that its reader has closed.
pub(super) struct Broken;

impl Write for Broken {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::Error::from(io::ErrorKind::BrokenPipe))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
