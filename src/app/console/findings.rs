//! What `verify` and `ledger rebuild` print about a collection: one line for each finding, and a summary.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;

use crate::exit::OutputError;
use crate::report::{Counter, OutputSettings, escape, object};
use crate::units::{ByteSize, count};

/// Something about one name of a collection that the user should know.
#[derive(Debug, Serialize)]
pub(in crate::app) struct Finding {
    #[serde(rename = "finding")]
    pub(in crate::app) kind: FindingKind,
    pub(in crate::app) name: String,
    pub(in crate::app) reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::app) enum FindingKind {
    Damaged,
    Missing,
    Repaired,
    Undecoded,
    Undecodable,
    Unfinished,
    Foreign,
}

impl FindingKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Repaired => "repaired",
            Self::Undecoded => "undecoded",
            Self::Undecodable => "undecodable",
            Self::Unfinished => "unfinished",
            Self::Foreign => "foreign",
        }
    }
}

/// Prints findings and counts them.
pub(in crate::app) struct FindingWriter {
    out: Box<dyn Write + Send>,
    json: bool,
    counter: Counter,
    pub(in crate::app) counts: Counts,
}

/// How many files were found in which state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::app) struct Counts {
    pub(in crate::app) intact: usize,
    pub(in crate::app) bytes: u64,
    pub(in crate::app) damaged: usize,
    missing: usize,
    repaired: usize,
    undecoded: usize,
    undecodable: usize,
    unfinished: usize,
    foreign: usize,
    /// Whether the check was interrupted before its end.
    pub(in crate::app) stopped: bool,
}

impl FindingWriter {
    /// Prints findings to `out`, and on a terminal a bar over `files`, labelled `activity`.
    pub(in crate::app) fn new(
        output: &OutputSettings,
        out: Box<dyn Write + Send>,
        activity: &'static str,
        files: usize,
    ) -> Self {
        let counter = Counter::new(output, Box::new(io::stderr()), activity, files);
        Self {
            out,
            json: output.json,
            counter,
            counts: Counts::default(),
        }
    }

    /// Prints a finding and counts it.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(in crate::app) fn write(&mut self, finding: &Finding) -> anyhow::Result<()> {
        *self.counts.of_kind(finding.kind) += 1;
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

    /// Moves the bar to the number of files that were checked.
    pub(in crate::app) fn set_checked(&mut self, files: usize) {
        self.counter.set(files);
    }
}

/// Why a repair of a site did not request a file's image.
pub(in crate::app) fn unlisted(name: &str) -> String {
    format!(
        "not requested: {}; it is not in the listing any more, and the ledger has no URL that can be requested",
        escape(name)
    )
}

fn line(Finding { kind, name, reason }: &Finding) -> String {
    format!("{}\t{}\t{}\n", kind.as_str(), escape(name), escape(reason))
}

impl Counts {
    fn of_kind(&mut self, kind: FindingKind) -> &mut usize {
        match kind {
            FindingKind::Damaged => &mut self.damaged,
            FindingKind::Missing => &mut self.missing,
            FindingKind::Repaired => &mut self.repaired,
            FindingKind::Undecoded => &mut self.undecoded,
            FindingKind::Undecodable => &mut self.undecodable,
            FindingKind::Unfinished => &mut self.unfinished,
            FindingKind::Foreign => &mut self.foreign,
        }
    }

    /// How many files are damaged, missing or undecodable and were not repaired.
    pub(in crate::app) fn bad(&self) -> usize {
        (self.damaged + self.missing).saturating_sub(self.repaired) + self.undecodable
    }

    /// The summary in one line.
    pub(in crate::app) fn summary(&self, site: &str) -> String {
        let mut text = format!(
            "{site}: {} intact ({})",
            count(self.intact),
            ByteSize(self.bytes)
        );
        let others = [
            (self.damaged, "damaged"),
            (self.missing, "missing"),
            (self.repaired, "repaired"),
            (self.undecoded, "not decoded"),
            (self.undecodable, "undecodable as fetched"),
            (self.unfinished, "unfinished"),
            (self.foreign, "foreign, left alone"),
        ];
        for (number, what) in others.into_iter().filter(|(number, _)| *number > 0) {
            // Writing to a string cannot fail.
            let _ = write!(text, ", {} {what}", count(number));
        }
        if self.stopped {
            text += "; interrupted before the end";
        }
        text
    }
}
