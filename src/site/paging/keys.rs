//! Which order the keys of `[listing]` mean, and whether they fit it.

use toml::Spanned;

use super::continuation::Continuations;
use super::cursor::Cursors;
use super::links::NextLinks;
use super::list::ListedPages;
use super::numbers::NumberedPages;
use super::order::Addresses;
use super::template::{PageTemplate, Place};
use super::window::{DateWindows, Days};
use crate::site::diagnostic::Diagnostic;
use crate::site::schema::WindowTable;

/// A span of the definition.
type Span = std::ops::Range<usize>;

/// The keys that decide about the order.
pub(super) struct OrderKeys {
    pub(super) start: Option<Spanned<u32>>,
    pub(super) step: Option<Spanned<u32>>,
    pub(super) next: Option<Span>,
    pub(super) cursor: Option<Span>,
    pub(super) continuation: Option<Span>,
    pub(super) window: Option<Spanned<WindowTable>>,
    pub(super) carries: bool,
    pub(super) from_header: bool,
}

/// The address of the first page, where it differs.
type First = Option<(Spanned<String>, PageTemplate)>;

impl OrderKeys {
    /// The order that these keys mean, with `listing.url` and `listing.first`.
    #[expect(clippy::too_many_lines, reason = "one order after the other")]
    pub(super) fn addresses(
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
                let first_number = u32::from(numbers[0]);
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
    pub(super) fn refuse_all(&self, reason: &str) -> Result<(), Diagnostic> {
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
pub(super) fn refuse_places(
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
