//! JSON lines: one event per line on stdout, for programs. `docs/json.md` is the reference of every line and field.
//!
//! `v` grows when a field changes its meaning or is removed; new fields and events may be added at any time. `seq`
//! counts the lines from 1, so that a reader notices a missing one. The last line is `run_ended`.

use std::io::{self, Write};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter};

use super::line_buffer::LineBuffer;
use super::messages;
use super::terminal::is_plain;
use super::{Reporter, Tally};
use crate::event::Event;

const VERSION: u32 = 1;

/// Writes JSON lines.
pub(super) struct JsonLines {
    stdout: LineBuffer,
    clock: fn() -> Timestamp,
    written: u64,
}

impl JsonLines {
    /// Lines to `stdout`, with time stamps of `clock`.
    pub(super) fn new(stdout: Box<dyn Write + Send>, clock: fn() -> Timestamp) -> Self {
        Self {
            stdout: LineBuffer::new(stdout),
            clock,
            written: 0,
        }
    }

    fn write(&mut self, body: impl Serialize) -> io::Result<()> {
        self.written += 1;
        let line = JsonLine {
            v: VERSION,
            seq: self.written,
            time: (self.clock)(),
            body,
        };
        let mut json = Vec::with_capacity(512);
        line.serialize(&mut serde_json::Serializer::with_formatter(
            &mut json, Printable,
        ))?;
        self.stdout.push_line(&json)
    }
}

impl Reporter for JsonLines {
    fn name(&self) -> &'static str {
        "the JSON lines on stdout"
    }

    fn is_primary_output(&self) -> bool {
        true
    }

    /// Leaves out events that may be lost on their way (hints), because a record must be complete, and those that
    /// `run_ended` repeats.
    fn on_event(&mut self, event: &Event) -> io::Result<()> {
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
            | Event::LimitReached { .. } => self.write(event),
            Event::Warned { warning } => self.write(WithMessage {
                event,
                message: messages::warning(warning),
            }),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }

    fn finish(&mut self, tally: &Tally, elapsed: Duration) -> io::Result<()> {
        self.write(RunEnded {
            event: "run_ended",
            tally,
            not_started: tally.not_started(),
            seconds: elapsed.as_secs_f64(),
        })?;
        self.stdout.flush()
    }
}

/// `body` as a line of JSON with the version `v`, for commands whose output is not events.
///
/// # Errors
///
/// When `body` does not serialize to an object.
pub fn object(body: impl Serialize) -> serde_json::Result<String> {
    let mut json = Vec::with_capacity(256);
    let versioned = Versioned { v: VERSION, body };
    versioned.serialize(&mut serde_json::Serializer::with_formatter(
        &mut json, Printable,
    ))?;
    Ok(String::from_utf8_lossy(&json).into_owned())
}

#[derive(Serialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct JsonLine<T> {
    v: u32,
    seq: u64,
    #[serde(serialize_with = "to_the_millisecond")]
    time: Timestamp,
    #[serde(flatten)]
    body: T,
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
    not_started: usize,
    seconds: f64,
}

/// RFC 3339 in a fixed length, so that the lines of a log sort and align.
fn to_the_millisecond<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

/// Compact JSON that is safe to print. JSON itself requires only C0 control characters to be escaped; this escapes
/// everything that [`is_plain`] rejects, for people who read the lines at a terminal.
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
        HOSTILE, SharedBuffer, duplicate, eventful_run, hostile_run, noon, run_through, started,
    };

    fn lines(events: &[Event]) -> String {
        let lines = SharedBuffer::default();
        run_through(&mut JsonLines::new(lines.writer(), noon), events);
        lines.text()
    }

    #[test]
    fn each_event_is_a_json_line_and_the_last_one_has_the_counts() {
        insta::assert_snapshot!(lines(&eventful_run()));
    }

    #[test]
    fn the_json_reference_names_every_event_and_field() {
        const REFERENCE: &str = include_str!("../../docs/json.md");
        let documented = |word: &str| REFERENCE.contains(&format!("`{word}`"));
        for line in lines(&eventful_run()).lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            for (field, value) in line.as_object().unwrap() {
                assert!(documented(field), "field `{field}` in {line}");
                if ["event", "outcome", "reason", "stage", "warning"].contains(&field.as_str()) {
                    assert!(documented(value.as_str().unwrap()), "{field} in {line}");
                }
            }
        }
    }

    #[test]
    fn a_duplicate_in_json_names_the_file_that_it_shares() {
        let line: Value =
            serde_json::from_str(lines(&[duplicate("copy.png")]).lines().next().unwrap()).unwrap();
        assert_eq!(line["outcome"], "duplicate");
        assert_eq!(line["name"], "2010-01-01-First.png");
    }

    #[test]
    fn json_lines_are_numbered_without_a_gap() {
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
    fn hostile_text_in_json_is_escaped_and_parses_unchanged() {
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
