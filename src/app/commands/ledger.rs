//! `wallhaul ledger list`, `show` and `stats`: print what the ledger of a collection holds, for people and for scripts.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write as _};
use std::ops::ControlFlow;

use crate::app::collection::open_to_read;
use crate::app::console::print;
use crate::config::options::LocationArgs;
use crate::exit::{Exit, OutputError};
use crate::ledger::{Ledger, LedgerRow, RowState, Selection, Stats};
use crate::report::{escape, object};
use crate::units::{ByteSize, count};

/// Prints the images of a collection, one a line.
///
/// # Errors
///
/// When there is no ledger, it cannot be read, or standard output cannot be written to.
pub fn list_ledger(
    site: &str,
    place: &LocationArgs,
    state: Option<RowState>,
    json: bool,
) -> anyhow::Result<Exit> {
    let ledger = open(site, place)?;
    let selection = Selection {
        state,
        ..Selection::default()
    };
    print_rows(&*ledger, &selection, |row| {
        if json {
            Ok(object(row)? + "\n")
        } else {
            Ok(line(row))
        }
    })?;
    Ok(Exit::Done)
}

/// Prints everything remembered of the images whose address or name holds `text`, and of those with the same bytes;
/// exit code 1 when there is none.
///
/// # Errors
///
/// As [`list_ledger`].
pub fn show_ledger(
    site: &str,
    place: &LocationArgs,
    text: String,
    json: bool,
) -> anyhow::Result<Exit> {
    let ledger = open(site, place)?;
    let selection = Selection {
        like: Some(text),
        state: None,
        with_same_bytes: true,
    };
    let rows = print_rows(&*ledger, &selection, |row| {
        if json {
            Ok(object(row)? + "\n")
        } else {
            Ok(details(row))
        }
    })?;
    Ok(if rows == 0 {
        Exit::Incomplete
    } else {
        Exit::Done
    })
}

/// Prints the counts and sizes of a collection.
///
/// # Errors
///
/// As [`list_ledger`].
pub fn count_ledger(site: &str, place: &LocationArgs, json: bool) -> anyhow::Result<Exit> {
    let stats = open(site, place)?.stats()?;
    let text = if json {
        object(&stats)? + "\n"
    } else {
        summary(&stats)
    };
    print(text.as_bytes())
}

fn open(site: &str, place: &LocationArgs) -> anyhow::Result<Box<dyn Ledger>> {
    open_to_read(&place.collection(site, false))
}

/// Prints each selected row as `format` renders it; returns the number of rows.
fn print_rows(
    ledger: &dyn Ledger,
    selection: &Selection,
    format: impl Fn(&LedgerRow) -> anyhow::Result<String>,
) -> anyhow::Result<usize> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    let mut rows = 0;
    let mut written = Ok(());
    ledger.each(selection, &mut |row| {
        rows += 1;
        written = format(&row).and_then(|text| {
            Ok(stdout
                .write_all(text.as_bytes())
                .map_err(OutputError::from)?)
        });
        if written.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    written?;
    stdout.flush().map_err(OutputError::from)?;
    Ok(rows)
}

fn line(row: &LedgerRow) -> String {
    let bytes = row
        .content
        .map_or_else(|| "-".to_owned(), |content| content.bytes.to_string());
    let name = row.name.as_deref().or(row.cause.as_deref()).unwrap_or("-");
    format!(
        "{}\t{}\t{bytes}\t{}\t{}\n",
        row.at,
        row.state.as_str(),
        escape(name),
        escape(row.key.address().unwrap_or(&row.address))
    )
}

fn details(row: &LedgerRow) -> String {
    let mut details = String::new();
    let mut field = |label: &str, value: Option<String>| {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = writeln!(details, "{label:<14}{}", escape(&value));
        }
    };
    field("name", row.name.clone());
    field("state", Some(row.state.as_str().to_owned()));
    field("at", Some(row.at.to_string()));
    field("address", Some(row.address.clone()));
    if let Some(capture) = &row.capture {
        field("archived", Some(capture.at.to_string()));
        field("capture", Some(capture.address.to_string()));
    }
    field("page", row.page.clone());
    field("title", row.title.clone());
    if let Some(content) = row.content {
        field("bytes", Some(count(content.bytes)));
        field(
            "format",
            Some(format!(
                "{}, {} x {}",
                content.format, content.width, content.height
            )),
        );
        let stored = content
            .stored
            .map(|size| format!("{} x {}", size.width, size.height));
        field("stored as", stored);
        field(
            "warning",
            content.warning.map(|warning| warning.to_string()),
        );
        field("blake3", Some(content.hash.to_string()));
    }
    field("etag", row.etag.clone());
    field("last-modified", row.last_modified.clone());
    field("cause", row.cause.clone());
    field("retry after", row.until.map(|until| until.to_string()));
    details.push('\n');
    details
}

fn summary(stats: &Stats) -> String {
    let mut text = String::new();
    let mut field = |label: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{label:<10}{value}");
    };
    field(
        "saved",
        format!(
            "{} images in {} files, {}",
            count(stats.saved),
            count(stats.files),
            ByteSize(stats.bytes)
        ),
    );
    let formats: Vec<_> = stats
        .formats
        .iter()
        .map(|(format, files)| format!("{} {format}", count(*files)))
        .collect();
    if !formats.is_empty() {
        field("formats", formats.join(", "));
    }
    field("failed", count(stats.failed));
    field("gone", count(stats.gone));
    if stats.skipped > 0 {
        field("skipped", count(stats.skipped));
    }
    if let (Some(first), Some(last)) = (stats.first, stats.last) {
        field("fetched", format!("{first} to {last}"));
    }
    text
}
