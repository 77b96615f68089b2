//! One event a line on stdout, for programs: a contract with a version.
//!
//! `v` grows when a field changes its meaning or goes; new fields and events may come at any time. `seq`
//! counts the lines from 1, so that a reader sees when one is missing. The last line is `run_ended`.

use std::io::{self, Write};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter};

use super::messages;
use super::outlet::LineBuffer;
use super::terminal::is_plain;
use super::{Reporter, Tally};
use crate::event::Event;

const VERSION: u32 = 1;

/// Tells in JSON lines.
pub(super) struct JsonLines {
    stdout: LineBuffer,
    clock: fn() -> Timestamp,
    told: u64,
}

impl JsonLines {
    /// Lines to `stdout`, dated by `clock`.
    pub(super) fn new(stdout: Box<dyn Write + Send>, clock: fn() -> Timestamp) -> Self {
        Self {
            stdout: LineBuffer::new(stdout),
            clock,
            told: 0,
        }
    }

    fn line(&mut self, what: impl Serialize) -> io::Result<()> {
        self.told += 1;
        let line = Line {
            v: VERSION,
            seq: self.told,
            time: (self.clock)(),
            what,
        };
        let mut json = Vec::with_capacity(512);
        line.serialize(&mut serde_json::Serializer::with_formatter(
            &mut json, Printable,
        ))?;
        self.stdout.line(&json)
    }
}

impl Reporter for JsonLines {
    fn name(&self) -> &'static str {
        "the JSON lines on stdout"
    }

    fn brings_results(&self) -> bool {
        true
    }

    /// What may be lost on its way is no record of what happened, and is left out; so is what the last line says.
    fn told(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::FetchStarted { .. }
            | Event::FetchProgressed { .. }
            | Event::HooksLeft { .. }
            | Event::Waiting { .. } => Ok(()),
            Event::RunStarted { .. }
            | Event::PageRead { .. }
            | Event::AddressesRead { .. }
            | Event::ItemsUnusable { .. }
            | Event::ListingEnded { .. }
            | Event::ListingFailed { .. }
            | Event::FetchRetried { .. }
            | Event::ImageFinished { .. }
            | Event::HookFinished { .. }
            | Event::LimitReached { .. } => self.line(event),
            Event::Warned { warning } => self.line(WithMessage {
                event,
                message: messages::warning(warning),
            }),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdout.send()
    }

    fn ended(&mut self, tally: &Tally, took: Duration) -> io::Result<()> {
        self.line(RunEnded {
            event: "run_ended",
            tally,
            left: tally.left(),
            seconds: took.as_secs_f64(),
        })?;
        self.stdout.send()
    }
}

/// One object in a line, with the version of this contract: for commands whose lines are no events.
///
/// # Errors
///
/// When `what` is not made of fields.
pub fn object(what: impl Serialize) -> serde_json::Result<String> {
    let mut json = Vec::with_capacity(256);
    let versioned = Versioned { v: VERSION, what };
    versioned.serialize(&mut serde_json::Serializer::with_formatter(
        &mut json, Printable,
    ))?;
    Ok(String::from_utf8_lossy(&json).into_owned())
}

#[derive(Serialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    what: T,
}

#[derive(Serialize)]
struct Line<T> {
    v: u32,
    seq: u64,
    #[serde(serialize_with = "to_the_millisecond")]
    time: Timestamp,
    #[serde(flatten)]
    what: T,
}

/// An event with its ready sentence, for readers that only log it.
#[derive(Serialize)]
struct WithMessage<'a> {
    #[serde(flatten)]
    event: &'a Event,
    message: String,
}

#[derive(Serialize)]
struct RunEnded<'a> {
    event: &'static str,
    #[serde(flatten)]
    tally: &'a Tally,
    left: usize,
    seconds: f64,
}

/// RFC 3339, always as long: lines of a log then sort and align.
fn to_the_millisecond<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

/// Compact JSON in which strings hold nothing that a terminal obeys: JSON itself asks only for C0 to be escaped.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c: char| !is_plain(c)) {
            let (plain, from) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, plain)?;
            let mut letters = from.chars();
            if let Some(letter) = letters.next() {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = letters.as_str();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::report::samples::{
        HOSTILE, Shared, eventful_run, hostile_run, noon, run_through, started,
    };

    fn lines(events: &[Event]) -> String {
        let lines = Shared::default();
        run_through(&mut JsonLines::new(lines.writer(), noon), events);
        lines.text()
    }

    #[test]
    fn each_event_is_a_line_and_the_last_one_counts() {
        insta::assert_snapshot!(lines(&eventful_run()));
    }

    #[test]
    fn lines_are_numbered_without_a_gap() {
        let text = lines(&[eventful_run(), vec![started("a.png")], eventful_run()].concat());
        let parsed: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for (line, number) in parsed.iter().zip(1_u64..) {
            assert_eq!(
                (&line["v"], &line["seq"]),
                (&Value::from(1), &Value::from(number)),
                "{line}"
            );
        }
        assert!(parsed.iter().all(|line| line["event"].is_string()));
        let lost =
            |line: &&Value| line["event"] == "fetch_started" || line["event"] == "fetch_progressed";
        assert_eq!(
            parsed.iter().find(lost),
            None,
            "what may be lost is left out"
        );
    }

    #[test]
    fn hostile_text_is_harmless_and_still_the_same_text() {
        let text = lines(&hostile_run());
        assert!(
            text.lines().all(|line| line.chars().all(is_plain)),
            "{text:?}"
        );
        let parsed: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(parsed.iter().any(|line| line["cause"] == HOSTILE), "{text}");
    }
}
