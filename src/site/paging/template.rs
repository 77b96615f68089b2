//! The address of a listing page with places in it: `/search?q={query}&page={page}`.
//!
//! The user's variables are filled in when the definition is compiled. What is left is filled in for each page, and
//! may come from a page: it is encoded, so that it cannot leave its part of the address, and never reaches the host.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use toml::Spanned;
use url::{Origin, Url};

use super::order::PagingContext;
use crate::site::address;
use crate::site::diagnostic::{Diagnostic, nearest_of};

/// What stays as it is in one segment of a path (RFC 3986, `pchar`).
const SEGMENT: &AsciiSet = &QUERY
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// The same, and `/`: several segments.
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// What stays as it is in a query: nothing that means anything there (RFC 3986, `unreserved`). A blank becomes `%20`;
/// `+` is understood by HTML forms alone.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A place that is filled in for each page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// `{page}`
    Page,
    /// `{offset}`
    Offset,
    /// `{cursor}`
    Cursor,
    /// `{from}`
    From,
    /// `{to}`
    To,
    /// `{carry.NAME}`, by its index in the definition's order.
    Carry(usize),
}

impl Place {
    /// The places that have no name of their own in a definition.
    pub(super) const FIXED: [(&'static str, Self); 5] = [
        ("page", Self::Page),
        ("offset", Self::Offset),
        ("cursor", Self::Cursor),
        ("from", Self::From),
        ("to", Self::To),
    ];
}

/// What fills the places of one page's address. What is `None` leaves out the parameter of the query in which its place
/// is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PlaceValues<'a> {
    /// Of `{page}` and `{offset}`.
    pub(super) number: Option<u64>,
    pub(super) cursor: Option<&'a str>,
    pub(super) from: Option<&'a str>,
    pub(super) to: Option<&'a str>,
    pub(super) carried: &'a [Option<String>],
}

impl PlaceValues<'_> {
    fn text(&self, place: Place) -> Option<String> {
        let written = match place {
            Place::Page | Place::Offset => return self.number.map(|number| number.to_string()),
            Place::Cursor => self.cursor,
            Place::From => self.from,
            Place::To => self.to,
            Place::Carry(index) => self.carried.get(index).and_then(Option::as_deref),
        };
        written.map(str::to_owned)
    }
}

/// The address of a page, with places.
#[derive(Debug)]
pub(super) struct PageTemplate {
    base: Url,
    /// The origin of every page, once it is known.
    origin: Option<Origin>,
    /// Up to the query.
    head: Vec<Piece>,
    /// The query, split at each `&`; `None` without a query.
    parameters: Option<Vec<Vec<Piece>>>,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Place(Place, &'static AsciiSet),
}

/// Which part of an address is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    Query,
    Fragment,
}

impl PageTemplate {
    /// Compiles `written`, whose address is relative to the site's base.
    pub(super) fn compile(
        written: &Spanned<String>,
        context: &PagingContext<'_>,
        carry: &[&str],
    ) -> Result<Self, Diagnostic> {
        let mut template = Self {
            base: context.base.clone(),
            origin: None,
            head: Vec::new(),
            parameters: None,
        };
        let mut part = Part::Head;
        let mut rest = written.get_ref().as_str();
        while let Some((text, after)) = rest.split_once('{') {
            part = template.push_text(text, part);
            let (name, behind) = after.split_once('}').unwrap_or((after, ""));
            let is_at_start = part == Part::Head && template.head.is_empty();
            match parse_place(name, part, is_at_start, written, context, carry)? {
                Filled::Address(address) => part = template.push_text(&address, part),
                Filled::Piece(_) if part == Part::Fragment => {
                    return Err(
                        Diagnostic::at(written, "every page would have the same address")
                            .help("what stands behind `#` is not sent: move the place before it"),
                    );
                }
                Filled::Piece(piece) => template.push(piece, part),
            }
            rest = behind;
        }
        template.push_text(rest, part);
        template.origin = Some(template.check(written, context, carry.len())?);
        Ok(template)
    }

    /// Whether it has this place.
    pub(super) fn has(&self, place: Place) -> bool {
        self.places().any(|found| found == place)
    }

    /// The places in it.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        let query = self.parameters.iter().flatten().flatten();
        self.head
            .iter()
            .chain(query)
            .filter_map(|piece| match piece {
                Piece::Place(place, _) => Some(*place),
                Piece::Text(_) => None,
            })
    }

    /// The places before the query: those must have a value.
    pub(super) fn places_in_path(&self) -> impl Iterator<Item = Place> {
        self.head.iter().filter_map(|piece| match piece {
            Piece::Place(place, _) => Some(*place),
            Piece::Text(_) => None,
        })
    }

    /// The address with its places filled.
    ///
    /// # Errors
    ///
    /// When the result cannot be requested: why.
    pub(super) fn fill(&self, values: &PlaceValues<'_>) -> Result<Url, String> {
        let mut text =
            filled(&self.head, values).ok_or("its path needs a value that no page gave")?;
        let parameters = self.parameters.iter().flatten();
        let mut parameters = parameters
            .filter_map(|pieces| filled(pieces, values))
            .peekable();
        if parameters.peek().is_some() {
            text.push('?');
            text.push_str(&parameters.collect::<Vec<_>>().join("&"));
        }
        let mut url = self.base.join(&text).map_err(|error| error.to_string())?;
        url.set_fragment(None);
        address::usable(&url)?;
        // An empty value may leave `//` at the beginning, and then the text behind it is a host.
        match &self.origin {
            Some(origin) if *origin != url.origin() => Err("it is on another host".to_owned()),
            Some(_) | None => Ok(url),
        }
    }

    /// Appends text as written, and returns the part of the address that follows it.
    fn push_text(&mut self, text: &str, part: Part) -> Part {
        match part {
            Part::Head => {
                let (head, query) = match text.split_once(['?', '#']) {
                    Some((head, rest)) => (head, Some((rest, text.as_bytes()[head.len()]))),
                    None => (text, None),
                };
                if !head.is_empty() {
                    self.head.push(Piece::Text(head.to_owned()));
                }
                match query {
                    None => Part::Head,
                    Some((_, b'#')) => Part::Fragment,
                    Some((query, _)) => {
                        self.parameters = Some(vec![Vec::new()]);
                        self.push_text(query, Part::Query)
                    }
                }
            }
            Part::Query => {
                let (query, fragment) = match text.split_once('#') {
                    Some((query, _)) => (query, true),
                    None => (text, false),
                };
                let parameters = self.parameters.get_or_insert_default();
                for (index, piece) in query.split('&').enumerate() {
                    if index > 0 || parameters.is_empty() {
                        parameters.push(Vec::new());
                    }
                    if let Some(last) = parameters.last_mut().filter(|_| !piece.is_empty()) {
                        last.push(Piece::Text(piece.to_owned()));
                    }
                }
                if fragment {
                    Part::Fragment
                } else {
                    Part::Query
                }
            }
            Part::Fragment => Part::Fragment,
        }
    }

    fn push(&mut self, piece: Piece, part: Part) {
        match part {
            Part::Head => self.head.push(piece),
            Part::Query => {
                let parameters = self.parameters.get_or_insert_default();
                if parameters.is_empty() {
                    parameters.push(Vec::new());
                }
                if let Some(last) = parameters.last_mut() {
                    last.push(piece);
                }
            }
            Part::Fragment => {}
        }
    }

    /// Checks that the address can be requested and that no place is part of its host.
    fn check(
        &self,
        written: &Spanned<String>,
        context: &PagingContext<'_>,
        carry: usize,
    ) -> Result<Origin, Diagnostic> {
        let refuse = |message: String| Diagnostic::at(written, message);
        let probe = |number: u64| {
            let text = number.to_string();
            let filled = self.fill(&PlaceValues {
                number: Some(number),
                cursor: Some(&text),
                from: Some(&text),
                to: Some(&text),
                carried: &vec![Some(text.clone()); carry],
            });
            filled.map_err(|reason| refuse(format!("not a page's address: {reason}")))
        };
        let (one, other) = (probe(1)?, probe(2)?);
        let host = one.host_str().unwrap_or_default();
        if !(context.is_host)(host) {
            return Err(refuse(format!(
                "`{host}` is neither the host of `base` nor among `image_hosts`"
            )));
        }
        if one.origin() != other.origin() {
            return Err(refuse("a place cannot be part of the host".to_owned()));
        }
        Ok(one.origin())
    }
}

/// The pieces as one text; `None` where a place has no value.
fn filled(pieces: &[Piece], values: &PlaceValues<'_>) -> Option<String> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(written) => text.push_str(written),
            Piece::Place(place, encoding) => {
                text.extend(utf8_percent_encode(&values.text(*place)?, encoding));
            }
        }
    }
    Some(text)
}

/// What stands for a place.
enum Filled {
    /// A variable that begins the address: it is one, and its own `?` counts.
    Address(String),
    Piece(Piece),
}

/// Parses what stands between the braces: a name, and perhaps its encoding.
fn parse_place(
    written_name: &str,
    part: Part,
    is_at_start: bool,
    written: &Spanned<String>,
    context: &PagingContext<'_>,
    carry: &[&str],
) -> Result<Filled, Diagnostic> {
    let (name, encoding) = match written_name.split_once(':') {
        Some((name, encoding)) => (name, Some(encoding)),
        None => (written_name, None),
    };
    let encoded = match (encoding, part) {
        (Some("path"), _) => PATH,
        (Some("segment"), _) | (None, Part::Head) => SEGMENT,
        (Some("query"), _) | (None, Part::Query | Part::Fragment) => QUERY,
        (Some(unknown), _) => {
            return Err(
                Diagnostic::at(written, format!("unknown encoding `{unknown}`"))
                    .help(nearest_of(unknown, &["path", "segment", "query"])),
            );
        }
    };
    let fixed = Place::FIXED.iter().find(|(known, _)| *known == name);
    if let Some(&(_, place)) = fixed {
        return Ok(Filled::Piece(Piece::Place(place, encoded)));
    }
    if let Some(carried) = name.strip_prefix("carry.") {
        let Some(index) = carry.iter().position(|known| *known == carried) else {
            let message = format!("`carry` has no value `{carried}`");
            return Err(Diagnostic::at(written, message).help(nearest_of(carried, carry)));
        };
        return Ok(Filled::Piece(Piece::Place(Place::Carry(index), encoded)));
    }
    if let Some(value) = context.variables.get(name) {
        return Ok(if is_at_start && encoding.is_none() {
            Filled::Address(value.clone())
        } else {
            Filled::Piece(Piece::Text(utf8_percent_encode(value, encoded).to_string()))
        });
    }
    Err(unknown_place(name, written, context.variables, carry))
}

fn unknown_place(
    name: &str,
    written: &Spanned<String>,
    variables: &BTreeMap<String, String>,
    carry: &[&str],
) -> Diagnostic {
    let fixed = Place::FIXED.iter().map(|(known, _)| (*known).to_owned());
    let carried = carry.iter().map(|name| format!("carry.{name}"));
    let known = fixed
        .chain(carried)
        .chain(variables.keys().cloned())
        .collect::<Vec<_>>();
    let known = known.iter().map(String::as_str).collect::<Vec<_>>();
    Diagnostic::at(written, format!("unknown placeholder `{{{name}}}`"))
        .help(nearest_of(name, &known))
}

/// A text as a name or a value in a query.
pub(super) fn in_query(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}
