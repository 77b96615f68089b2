//! What is said of a collection: a line a finding, and a summary.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;

use crate::exit::OutputError;
use crate::report::{Counter, OutputSettings, escape, object};
use crate::units::{ByteSize, count};

/// Something that is not as it should be, or that one should know.
#[derive(Debug, Serialize)]
pub(in crate::app) struct Finding {
    #[serde(rename = "finding")]
    pub(in crate::app) kind: Kind,
    pub(in crate::app) name: String,
    pub(in crate::app) reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::app) enum Kind {
    Damaged,
    Missing,
    Repaired,
    Undecoded,
    Unfinished,
    Foreign,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Repaired => "repaired",
            Self::Undecoded => "undecoded",
            Self::Unfinished => "unfinished",
            Self::Foreign => "foreign",
        }
    }
}

/// Where findings go, and how many there were.
pub(in crate::app) struct Told {
    out: Box<dyn Write + Send>,
    json: bool,
    counter: Counter,
    pub(in crate::app) counts: Counts,
}

/// What a look at a collection came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::app) struct Counts {
    pub(in crate::app) sound: usize,
    pub(in crate::app) bytes: u64,
    damaged: usize,
    missing: usize,
    repaired: usize,
    undecoded: usize,
    unfinished: usize,
    foreign: usize,
    /// Whether it ended before all was seen.
    pub(in crate::app) stopped: bool,
}

impl Told {
    /// Findings to `out`, and a bar over `files` where there may be one; `what` is done to them.
    pub(in crate::app) fn new(
        telling: &OutputSettings,
        out: Box<dyn Write + Send>,
        what: &'static str,
        files: usize,
    ) -> Self {
        let counter = Counter::new(telling, Box::new(io::stderr()), what, files);
        Self {
            out,
            json: telling.json,
            counter,
            counts: Counts::default(),
        }
    }

    /// Tells a finding and counts it.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(in crate::app) fn tell(&mut self, finding: &Finding) -> anyhow::Result<()> {
        *self.counts.of(finding.kind) += 1;
        let line = if self.json {
            object(finding)? + "\n"
        } else {
            line(finding)
        };
        let out = &mut self.out;
        let written = self
            .counter
            .suspend(|| out.write_all(line.as_bytes()).and_then(|()| out.flush()));
        Ok(written.map_err(OutputError::from)?)
    }

    /// Says how many files were seen.
    pub(in crate::app) fn set_progress(&mut self, seen: usize) {
        self.counter.set(seen);
    }
}

fn line(Finding { kind, name, reason }: &Finding) -> String {
    format!("{}\t{}\t{}\n", kind.as_str(), escape(name), escape(reason))
}

impl Counts {
    fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Damaged => &mut self.damaged,
            Kind::Missing => &mut self.missing,
            Kind::Repaired => &mut self.repaired,
            Kind::Undecoded => &mut self.undecoded,
            Kind::Unfinished => &mut self.unfinished,
            Kind::Foreign => &mut self.foreign,
        }
    }

    /// Files that are not there as they were fetched.
    pub(in crate::app) fn broken(&self) -> usize {
        (self.damaged + self.missing).saturating_sub(self.repaired)
    }

    /// The summary: one line.
    pub(in crate::app) fn summary(&self, site: &str) -> String {
        let mut text = format!(
            "{site}: {} sound ({})",
            count(self.sound),
            ByteSize(self.bytes)
        );
        let further = [
            (self.damaged, "damaged"),
            (self.missing, "missing"),
            (self.repaired, "repaired"),
            (self.undecoded, "not decoded"),
            (self.unfinished, "unfinished"),
            (self.foreign, "foreign, left alone"),
        ];
        for (number, what) in further.into_iter().filter(|(number, _)| *number > 0) {
            // Writing to a string cannot fail.
            let _ = write!(text, ", {} {what}", count(number));
        }
        if self.stopped {
            text += "; stopped before all was seen";
        }
        text + "\n"
    }
}
