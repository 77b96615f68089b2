//! Compiles the keys of `[listing]` about pages.

use toml::Spanned;

use super::keys::{OrderKeys, refuse_places};
use super::list::ListedPages;
use super::order::{Addresses, PageOrder, PagingContext};
use super::page_links::{LinkSources, WrittenLinks};
use super::stop::EndRule;
use super::template::PageTemplate;
use crate::site::definition::written;
use crate::site::diagnostic::Diagnostic;
use crate::site::document::{ItemPath, ObjectPath, Source};
use crate::site::schema::{NextInput, PagingTable, SourceInput, StopTable};

/// Levels of a listing of listings: as many as a user needs clicks.
const MAX_LEVELS: usize = 3;

/// Addresses in `listing.pages`.
const MAX_LISTED: usize = 10_000;

/// Values in `listing.carry`.
const MAX_CARRIED: usize = 16;

/// Compiles the keys of one definition.
pub(super) struct Compiler<'a> {
    pub(super) context: &'a PagingContext<'a>,
}

impl Compiler<'_> {
    pub(super) fn order(
        &self,
        written: PagingTable,
        stop: StopTable,
    ) -> Result<PageOrder, Diagnostic> {
        let PagingTable {
            url,
            pages,
            first,
            start,
            step,
            ahead,
            next,
            cursor,
            continuation,
            carry,
            window,
            through,
            pager,
            expect,
        } = written;
        let names = carry.keys().map(String::as_str).collect::<Vec<_>>();
        if let Some(value) = carry.values().nth(MAX_CARRIED) {
            let message = format!("more than {MAX_CARRIED} values to carry");
            return Err(Diagnostic::at(value, message));
        }
        let mut sources = LinkSources::default();
        let keys = OrderKeys {
            start,
            step,
            next: next.as_ref().map(Spanned::span),
            cursor: cursor.as_ref().map(Spanned::span),
            continuation: continuation.as_ref().map(Spanned::span),
            window,
            carries: !carry.is_empty(),
            from_header: next
                .as_ref()
                .is_some_and(|next| matches!(next.get_ref(), NextInput::Header)),
        };
        let addresses = match (url, pages) {
            (Some(url), None) => {
                let first = first
                    .map(|first| {
                        let template = PageTemplate::compile(&first, self.context, &names)?;
                        Ok::<_, Diagnostic>((first, template))
                    })
                    .transpose()?;
                let template = PageTemplate::compile(&url, self.context, &names)?;
                keys.addresses(&url, template, first)?
            }
            (None, Some(pages)) => self.listed(&pages, first.as_ref(), &keys)?,
            (Some(url), Some(_)) => {
                return Err(Diagnostic::at(&url, "`url` and `pages` exclude each other")
                    .help("`pages` lists every page, `url` is the one address of all of them"));
            }
            (None, None) => {
                return Err(Diagnostic::new(0..0, "missing key `url` in `[listing]`")
                    .help("add the address of the listing's pages, or `pages` with all of them"));
            }
        };
        let source = self.context.source;
        sources.written = WrittenLinks {
            next: self
                .written("next", next.as_ref())
                .or_else(|| self.written("cursor", cursor.as_ref()))
                .or_else(|| self.written("continue", continuation.as_ref()))
                .unwrap_or_default(),
            pager: self.written("pager", pager.as_ref()).unwrap_or_default(),
        };
        if let Some(next) = next {
            let span = next.span();
            if let NextInput::Source(input) = next.into_inner() {
                sources.next = Some(Source::compile(Spanned::new(span, input), source)?);
            }
        }
        sources.cursor = self.source(cursor)?;
        sources.continuation = continuation
            .map(|path| ObjectPath::compile(&path, source))
            .transpose()?;
        sources.carry = carry
            .into_values()
            .map(|value| Source::compile(value, source))
            .collect::<Result<_, _>>()?;
        sources.through = self.through(through)?;
        sources.pager = pager
            .map(|pager| ItemPath::compile(&pager, source))
            .transpose()?;
        let StopTable {
            status,
            marker: _,
            empty,
            after,
            reached,
            absent,
        } = stop;
        sources.reached = self.reached(reached)?;
        sources.absent = self.source(absent)?;
        let is_linked = matches!(addresses, Addresses::Linked(_));
        Ok(PageOrder {
            addresses,
            sources,
            end: EndRule::compile(status, empty, after.as_ref(), expect.as_ref(), is_linked)?,
            ahead: ahead.map(|pages| usize::try_from(pages).unwrap_or(usize::MAX)),
        })
    }

    /// A key and its value as they stand in the definition.
    fn written<T>(&self, key: &str, value: Option<&Spanned<T>>) -> Option<String> {
        let value = written(value?, self.context.source.definition);
        Some(format!("{key} = {value}"))
    }

    fn source(&self, written: Option<Spanned<SourceInput>>) -> Result<Option<Source>, Diagnostic> {
        written
            .map(|written| Source::compile(written, self.context.source))
            .transpose()
    }

    fn listed(
        &self,
        pages: &Spanned<Vec<Spanned<String>>>,
        first: Option<&Spanned<String>>,
        keys: &OrderKeys,
    ) -> Result<Addresses, Diagnostic> {
        if let Some(first) = first {
            return Err(
                Diagnostic::at(first, "`first` and `pages` exclude each other")
                    .help("put it in front of the other pages"),
            );
        }
        if pages.get_ref().is_empty() || pages.get_ref().len() > MAX_LISTED {
            return Err(Diagnostic::at(pages, "an unusable number of pages")
                .help(format!("list from 1 to {MAX_LISTED} addresses")));
        }
        let templates = pages.get_ref().iter().map(|page| {
            let template = PageTemplate::compile(page, self.context, &[])?;
            refuse_places(page, &template, &[])?;
            Ok(template)
        });
        let templates = templates.collect::<Result<Vec<_>, Diagnostic>>()?;
        keys.refuse_all("`pages` lists every page")?;
        Ok(Addresses::Counted(Box::new(ListedPages(templates))))
    }

    fn through(
        &self,
        written: Option<Spanned<Vec<Spanned<SourceInput>>>>,
    ) -> Result<Vec<Source>, Diagnostic> {
        let Some(written) = written else {
            return Ok(Vec::new());
        };
        if written.get_ref().is_empty() || written.get_ref().len() > MAX_LEVELS {
            let message = format!("{} levels of listings", written.get_ref().len());
            return Err(Diagnostic::at(&written, message).help(format!(
                "name from 1 to {MAX_LEVELS} sources of links, the outermost first"
            )));
        }
        let levels = written.into_inner().into_iter();
        levels
            .map(|level| Source::compile(level, self.context.source))
            .collect()
    }

    fn reached(
        &self,
        written: Option<Spanned<Vec<Spanned<SourceInput>>>>,
    ) -> Result<Option<(Source, Source)>, Diagnostic> {
        let Some(written) = written else {
            return Ok(None);
        };
        let span = written.span();
        let Ok([current, last]) = <[_; 2]>::try_from(written.into_inner()) else {
            return Err(
                Diagnostic::new(span, "`reached` takes two sources").help(
                    "the number of the page and that of the last one, as `[\"/meta/current_page\", \"/meta/last_page\"]`",
                ),
            );
        };
        let source = self.context.source;
        Ok(Some((
            Source::compile(current, source)?,
            Source::compile(last, source)?,
        )))
    }
}
