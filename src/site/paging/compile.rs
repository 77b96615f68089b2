//! Compiles the keys of `[listing]` about pages: which of the orders they mean, and whether they fit together.

use toml::Spanned;

use super::continuation::Continuations;
use super::cursor::Cursors;
use super::links::NextLinks;
use super::list::ListedPages;
use super::numbers::NumberedPages;
use super::order::{Addresses, PageOrder, PagingContext};
use super::page_links::LinkSources;
use super::stop::EndRule;
use super::template::{PageTemplate, Place};
use super::window::{DateWindows, Days};
use crate::site::diagnostic::Diagnostic;
use crate::site::document::{ItemPath, ObjectPath, Source};
use crate::site::schema::{NextInput, PagingTable, SourceInput, StopTable, WindowTable};

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
            empty: _,
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
            end: EndRule::compile(status, after.as_ref(), expect.as_ref(), is_linked)?,
            ahead: ahead.map(|pages| usize::try_from(pages).unwrap_or(usize::MAX)),
        })
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

/// A span of the definition.
type Span = std::ops::Range<usize>;

/// The keys that decide about the order.
struct OrderKeys {
    start: Option<Spanned<u32>>,
    step: Option<Spanned<u32>>,
    next: Option<Span>,
    cursor: Option<Span>,
    continuation: Option<Span>,
    window: Option<Spanned<WindowTable>>,
    carries: bool,
    from_header: bool,
}

/// The address of the first page, where it differs.
type First = Option<(Spanned<String>, PageTemplate)>;

impl OrderKeys {
    /// The order that these keys mean, with `listing.url` and `listing.first`.
    fn addresses(
        self,
        url: &Spanned<String>,
        template: PageTemplate,
        first: First,
    ) -> Result<Addresses, Diagnostic> {
        let numbers = [Place::Page, Place::Offset].map(|place| template.has(place));
        let given = [
            ("next", self.next.clone()),
            ("cursor", self.cursor.clone()),
            ("continue", self.continuation.clone()),
            ("window", self.window.as_ref().map(Spanned::span)),
            ("{page}", numbers[0].then(|| url.span())),
            ("{offset}", numbers[1].then(|| url.span())),
        ];
        let mut given = given
            .into_iter()
            .filter_map(|(key, span)| Some((key, span?)));
        let order = given.next();
        if let (Some((one, _)), Some((other, span))) = (&order, given.next()) {
            let message = format!("`{one}` and `{other}` exclude each other");
            return Err(Diagnostic::new(span, message).help(
                "each of them says how the next page is found; to end a listing where a page lacks its next link, use `stop.absent`",
            ));
        }
        let key = order.map_or("", |(key, _)| key);
        self.check_numbers(key)?;
        let carries = self.carries;
        let check = |places: &[Place]| -> Result<(), Diagnostic> {
            refuse_places(url, &template, places)?;
            let first = first.as_ref();
            first.map_or(Ok(()), |(written, first)| {
                refuse_places(written, first, places)
            })
        };
        let refuse_first = |help: &str| match &first {
            Some((written, _)) => {
                Err(Diagnostic::at(written, "`first` has no meaning here").help(help))
            }
            None => Ok(()),
        };
        match key {
            "next" => {
                check(&[])?;
                refuse_first("`url` is the first page, and `next` finds the others")?;
                Ok(Addresses::Linked(Box::new(NextLinks {
                    first: template,
                    from_header: self.from_header,
                })))
            }
            "cursor" => {
                check(&[Place::Cursor])?;
                if !template.has(Place::Cursor) {
                    return Err(
                        Diagnostic::at(url, "every page would have the same address")
                            .help("write `{cursor}` where the cursor stands"),
                    );
                }
                check_first_page(url, &template, first.as_ref())?;
                let first = first.map(|(_, first)| first);
                Ok(Addresses::Linked(Box::new(Cursors { first, template })))
            }
            "continue" => {
                check(&[])?;
                refuse_first("`url` is the first page, and `continue` extends it")?;
                check_first_page(url, &template, None)?;
                Ok(Addresses::Linked(Box::new(Continuations {
                    first: template,
                })))
            }
            "window" => {
                check(&[Place::From, Place::To])?;
                if !template.has(Place::From) && !template.has(Place::To) {
                    return Err(
                        Diagnostic::at(url, "every page would have the same address").help(
                            "write `{from}` and `{to}` where the first and the last day stand",
                        ),
                    );
                }
                check_first_page(url, &template, first.as_ref())?;
                let days = self.window.map(|window| Days::compile(window.get_ref()));
                let days = days
                    .transpose()?
                    .ok_or_else(|| Diagnostic::at(url, "no window"))?;
                Ok(Addresses::Counted(Box::new(DateWindows {
                    first: first.map(|(_, first)| first),
                    template,
                    days,
                })))
            }
            "" => {
                check(&[])?;
                refuse_first("without `{page}` or another place in `url` there is one page")?;
                if carries {
                    return Err(Diagnostic::at(
                        url,
                        "nothing can be carried: there is one page",
                    ));
                }
                Ok(Addresses::Counted(Box::new(ListedPages(vec![template]))))
            }
            _ => {
                check(&[Place::Page, Place::Offset])?;
                check_first_page(url, &template, first.as_ref())?;
                let first_number = if numbers[0] { 1 } else { 0 };
                Ok(Addresses::Counted(Box::new(NumberedPages {
                    first: first.map(|(_, first)| first),
                    template,
                    start: self.start.map_or(first_number, Spanned::into_inner),
                    step: self.step.map_or(1, Spanned::into_inner),
                })))
            }
        }
    }

    /// Checks `start` and `step` against the order.
    fn check_numbers(&self, key: &str) -> Result<(), Diagnostic> {
        let is_counted = matches!(key, "{page}" | "{offset}");
        let both = [("start", &self.start), ("step", &self.step)];
        for (name, written) in both {
            if let Some(written) = written.as_ref().filter(|_| !is_counted) {
                return Err(
                    Diagnostic::at(written, format!("`{name}` has no meaning here"))
                        .help("it is about `{page}` or `{offset}` in `url`"),
                );
            }
        }
        match &self.step {
            Some(step) if *step.get_ref() == 0 => Err(Diagnostic::at(
                step,
                "every page would have the same address",
            )
            .help("use a number from 1")),
            None if key == "{offset}" => Err(Diagnostic::new(
                0..0,
                "missing key `step` in `[listing]`",
            )
            .help("say by how much `{offset}` grows from page to page: the items of a page")),
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses every key that is about the order; `reason` says why.
    fn refuse_all(&self, reason: &str) -> Result<(), Diagnostic> {
        let numbers = [("start", &self.start), ("step", &self.step)];
        let numbers = numbers.map(|(name, written)| (name, written.as_ref().map(Spanned::span)));
        let others = [
            ("next", self.next.clone()),
            ("cursor", self.cursor.clone()),
            ("continue", self.continuation.clone()),
            ("window", self.window.as_ref().map(Spanned::span)),
        ];
        let mut given = numbers.into_iter().chain(others);
        match given.find_map(|(name, span)| Some((name, span?))) {
            Some((name, span)) => {
                Err(Diagnostic::new(span, format!("`{name}` has no meaning here")).help(reason))
            }
            None => Ok(()),
        }
    }
}

/// Refuses places that this order of pages does not fill.
fn refuse_places(
    written: &Spanned<String>,
    template: &PageTemplate,
    allowed: &[Place],
) -> Result<(), Diagnostic> {
    let is_allowed = |place: &Place| allowed.contains(place) || matches!(place, Place::Carry(_));
    let Some(place) = template.places().find(|place| !is_allowed(place)) else {
        return Ok(());
    };
    let (name, needed) = match place {
        Place::Page => (
            "page",
            "it counts the pages, which nothing else may do then",
        ),
        Place::Offset => (
            "offset",
            "it counts the items, and nothing else may find the next page then",
        ),
        Place::Cursor => (
            "cursor",
            "add `cursor = \"/data/after\"`: where a page has the cursor to the next one",
        ),
        Place::From => (
            "from",
            "add `window = { days = 30, earliest = \"1995-06-16\" }`",
        ),
        Place::To => (
            "to",
            "add `window = { days = 30, earliest = \"1995-06-16\" }`",
        ),
        Place::Carry(_) => return Ok(()),
    };
    Err(Diagnostic::at(written, format!("nothing fills `{{{name}}}` here")).help(needed))
}

/// Checks that the first page can be addressed without what only a page can give.
fn check_first_page(
    url: &Spanned<String>,
    template: &PageTemplate,
    first: Option<&(Spanned<String>, PageTemplate)>,
) -> Result<(), Diagnostic> {
    let (written, template) = first.map_or((url, template), |(written, first)| (written, first));
    let needs_answer = |place: &Place| matches!(place, Place::Cursor | Place::Carry(_));
    if template.places_in_path().any(|place| needs_answer(&place)) {
        return Err(Diagnostic::at(
            written,
            "the first page has no value for a place in its path",
        )
        .help("give the address of the first page as `first`"));
    }
    Ok(())
}
