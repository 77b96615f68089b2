//! The answers that end a listing, whatever the order of its pages.

use toml::Spanned;

use crate::site::diagnostic::Diagnostic;

/// More consecutive empty pages would be more requests in vain than any gap in a listing is worth.
const MAX_EMPTY_PAGES: u32 = 10;

/// The answers that end a listing.
#[derive(Debug, Clone)]
pub(in crate::site) struct EndRule {
    /// Statuses that mean "no such page"; never the first page's.
    pub(in crate::site) statuses: Vec<u16>,
    /// Whether an empty page ends the listing even if it names the next one.
    pub(in crate::site) at_empty: bool,
    /// Consecutive empty pages.
    pub(in crate::site) empty_pages: u32,
    /// Items on each page but the last, where the definition says so.
    pub(in crate::site) expect: Option<usize>,
}

impl EndRule {
    /// Compiles `listing.stop` and `listing.expect`. `is_linked` says whether each page leads to the next one: there is a
    /// page then where a link leads, and one that is missing is no end unless the definition says so.
    pub(super) fn compile(
        status: Option<Vec<Spanned<u16>>>,
        at_empty: bool,
        after: Option<&Spanned<u32>>,
        expect: Option<&Spanned<u32>>,
        is_linked: bool,
    ) -> Result<Self, Diagnostic> {
        let statuses = match status {
            Some(written) => written.iter().map(end_status).collect::<Result<_, _>>()?,
            None if is_linked => Vec::new(),
            None => vec![404],
        };
        let expect = match expect {
            Some(written) if *written.get_ref() == 0 => {
                return Err(Diagnostic::at(written, "no page has fewer than 0 items")
                    .help("use the number of items on a page of the listing"));
            }
            Some(written) => Some(usize::try_from(*written.get_ref()).unwrap_or(usize::MAX)),
            None => None,
        };
        Ok(Self {
            statuses,
            at_empty,
            empty_pages: after.map_or(Ok(1), empty_pages)?,
            expect,
        })
    }
}

fn end_status(written: &Spanned<u16>) -> Result<u16, Diagnostic> {
    match *written.get_ref() {
        status @ 300..=599 => Ok(status),
        other => Err(
            Diagnostic::at(written, format!("{other} cannot mark the end"))
                .help("use a status from 300 to 599, as 404"),
        ),
    }
}

fn empty_pages(written: &Spanned<u32>) -> Result<u32, Diagnostic> {
    match *written.get_ref() {
        pages @ 1..=MAX_EMPTY_PAGES => Ok(pages),
        other => Err(Diagnostic::at(
            written,
            format!("{other} empty pages in a row cannot mark the end"),
        )
        .help(format!(
            "use a number from 1 (the first empty page ends the listing) to {MAX_EMPTY_PAGES}"
        ))),
    }
}
