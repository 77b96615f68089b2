//! What a page says of the pages after it: addresses, cursors, and whether it is the last.

use encoding_rs::{Encoding, UTF_8};
use url::Url;

use crate::site::address;
use crate::site::document::{ItemPath, ObjectPath, Page, Scope, Source};

/// Links to further listings that are taken from one page.
const MAX_LINKS: usize = 10_000;

/// Characters of a text of the page that are repeated in a message.
const SHOWN_CHARACTERS: usize = 200;

/// Where on a page is what the order of the pages needs.
#[derive(Debug, Default)]
pub(in crate::site) struct LinkSources {
    pub(super) next: Option<Source>,
    pub(super) cursor: Option<Source>,
    pub(super) continuation: Option<ObjectPath>,
    pub(super) carry: Vec<Source>,
    /// By level.
    pub(super) through: Vec<Source>,
    /// The number of the page, and that of the last one.
    pub(super) reached: Option<(Source, Source)>,
    pub(super) absent: Option<Source>,
    pub(super) pager: Option<ItemPath>,
    /// For messages.
    pub(super) written: WrittenLinks,
}

/// Where the definition looks for the next page, as it is written there.
#[derive(Debug, Default)]
pub(super) struct WrittenLinks {
    /// `next = "a.next@href"`, or `cursor` or `continue`; empty without one of them.
    pub(super) next: String,
    /// `pager = "p.pages"`.
    pub(super) pager: String,
}

/// What was found on a page, as written; a page that is read in pieces adds to it piece by piece.
#[derive(Debug, Default)]
pub(in crate::site) struct RawPageLinks {
    next: Vec<String>,
    cursor: Option<String>,
    members: Vec<(String, String)>,
    unusable: Option<&'static str>,
    carried: Vec<Option<String>>,
    onward: Vec<Vec<String>>,
    reached: (Option<String>, Option<String>),
    absent: Option<bool>,
    has_pager: bool,
}

/// What a page says of the pages after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageLinks {
    /// The first usable address of the next page.
    pub(super) next: Option<Url>,
    /// The same by the response's `Link` header.
    pub(super) header_next: Option<Url>,
    pub(super) cursor: Option<String>,
    /// The members of the `continue` object.
    pub(super) members: Vec<(String, String)>,
    /// Why what is there in place of these cannot be used,
    pub(super) unusable: Option<String>,
    /// and why the `Link` header cannot.
    pub(super) header_unusable: Option<String>,
    /// The values to be carried, in the order of the definition.
    pub(super) carried: Vec<Option<String>>,
    /// Links to further listings, by level.
    pub(super) onward: Vec<Vec<Url>>,
    /// Whether the page says that it is the last, if it says anything of that.
    pub(super) is_last: Option<bool>,
    pub(super) has_pager: bool,
}

impl LinkSources {
    /// Whether there is nothing to look for.
    pub(in crate::site) fn is_empty(&self) -> bool {
        let Self {
            next,
            cursor,
            continuation,
            carry,
            through,
            reached,
            absent,
            pager,
            written: _,
        } = self;
        [next, cursor, absent].iter().all(|source| source.is_none())
            && pager.is_none()
            && continuation.is_none()
            && reached.is_none()
            && carry.is_empty()
            && through.is_empty()
    }

    /// Adds what is found on a page, or on a piece of one, to `raw`.
    pub(in crate::site) fn read(&self, page: &Page<'_>, raw: &mut RawPageLinks) {
        let root = page.root();
        let scope = Scope {
            node: root,
            outer: None,
        };
        let first = |source: &Source| present(source.texts(scope));
        if let Some(source) = self.next.as_ref().filter(|_| raw.next.is_empty()) {
            raw.next = source.texts(scope);
            raw.next.retain(|text| means_something(text));
            raw.note_structure(source, scope, raw.next.is_empty());
        }
        if let Some(source) = self.cursor.as_ref().filter(|_| raw.cursor.is_none()) {
            raw.cursor = first(source);
            raw.note_structure(source, scope, raw.cursor.is_none());
        }
        if let Some(path) = self
            .continuation
            .as_ref()
            .filter(|_| raw.members.is_empty())
        {
            match path.members(root) {
                Ok(members) => raw.members = members,
                Err(cause) => raw.unusable = Some(cause),
            }
        }
        raw.carried.resize(self.carry.len(), None);
        for (value, source) in raw.carried.iter_mut().zip(&self.carry) {
            if value.is_none() {
                *value = first(source);
            }
        }
        raw.onward.resize(self.through.len(), Vec::new());
        for (links, source) in raw.onward.iter_mut().zip(&self.through) {
            let found = source.texts(scope);
            let left = MAX_LINKS.saturating_sub(links.len());
            links.extend(found.into_iter().take(left));
        }
        if let Some((current, last)) = &self.reached {
            raw.reached.0 = raw.reached.0.take().or_else(|| first(current));
            raw.reached.1 = raw.reached.1.take().or_else(|| first(last));
        }
        if let Some(source) = &self.absent {
            let absent = first(source).is_none();
            raw.absent = Some(raw.absent.unwrap_or(true) && absent);
        }
        if let Some(pager) = &self.pager {
            raw.has_pager |= page.has(pager);
        }
    }
}

/// The first of some texts, if it is no way to write that there is none: an API says `false` for that as well.
fn present(texts: Vec<String>) -> Option<String> {
    let first = texts.into_iter().find(|text| !text.is_empty());
    first.filter(|text| means_something(text))
}

fn means_something(text: &str) -> bool {
    text != "false" && text != "null"
}

impl RawPageLinks {
    /// Notes an object or a list in the place of a text that was not found.
    fn note_structure(&mut self, source: &Source, scope: Scope<'_>, is_missing: bool) {
        if is_missing && source.is_structure(scope) {
            self.unusable = Some("it is an object or a list");
        }
    }

    /// Resolves the addresses as those of items are: relative to `base`, on a page in this encoding.
    pub(in crate::site) fn resolve(self, base: &Url, encoding: &'static Encoding) -> PageLinks {
        let Self {
            next,
            cursor,
            members,
            unusable,
            carried,
            onward,
            reached,
            absent,
            has_pager,
        } = self;
        let resolve = |text: &String| address::resolve(base, text, encoding);
        let reached = match reached {
            (Some(current), Some(last)) => number(&current)
                .zip(number(&last))
                .map(|(current, last)| current >= last),
            _ => None,
        };
        let url = next.iter().find_map(resolve);
        let objection = |text: &String| objection(base, text, encoding);
        let objection = match url {
            Some(_) => None,
            None => next.iter().find_map(objection),
        };
        PageLinks {
            next: url,
            header_next: None,
            cursor,
            members,
            unusable: unusable.map(str::to_owned).or(objection),
            header_unusable: None,
            carried,
            onward: onward
                .iter()
                .map(|links| links.iter().filter_map(resolve).collect())
                .collect(),
            is_last: match (reached, absent) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), _) | (_, Some(false)) => Some(false),
                (None, None) => None,
            },
            has_pager,
        }
    }
}

/// Why a text cannot be the address of the next page, with its beginning.
fn objection(base: &Url, text: &str, encoding: &'static Encoding) -> Option<String> {
    let reason = address::objection(base, text, encoding)?;
    Some(format!("`{}`: {reason}", beginning(text)))
}

/// As much of a text as a message shows.
fn beginning(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}

/// A number as JSON or a page writes it.
fn number(text: &str) -> Option<f64> {
    let plain = text.replace(',', "");
    plain
        .trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

impl PageLinks {
    /// Takes the next page from a `Link` header, as written there; its address is relative to that of the response
    /// (RFC 8288, section 3.1). What begins with `<` is a header that is malformed.
    pub fn set_header_next(&mut self, page: &Url, target: &str) {
        if let Some(header) = target.strip_prefix('<') {
            let header = beginning(header);
            self.header_unusable = Some(format!("the `Link` header is malformed: `{header}`"));
            return;
        }
        self.header_next = address::resolve(page, target, UTF_8);
        self.header_unusable = match self.header_next {
            Some(_) => None,
            None => objection(page, target, UTF_8),
        };
    }

    /// No next page by what the page itself has.
    ///
    /// # Errors
    ///
    /// When something is there that cannot be used: why.
    pub(super) fn no_next(&self) -> Result<Option<Url>, String> {
        self.unusable.clone().map_or(Ok(None), Err)
    }

    /// Passes every address through `canonical`.
    pub fn canonicalize(&mut self, canonical: impl Fn(Url) -> Url) {
        let onward = self.onward.iter_mut().flatten();
        for url in self
            .next
            .iter_mut()
            .chain(&mut self.header_next)
            .chain(onward)
        {
            *url = canonical(url.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use toml::Spanned;

    use super::*;
    use crate::site::PageText;
    use crate::site::document::{self, DocumentKind, SourceContext};
    use crate::site::schema::SourceInput;

    const JSON: SourceContext<'static> = SourceContext::new(&DocumentKind::Json, "");

    fn written<T>(value: T) -> Spanned<T> {
        Spanned::new(0..0, value)
    }

    fn source(text: &str) -> Source {
        let text = written(SourceInput::Text(text.to_owned()));
        let compiled = Source::compile(text, JSON);
        compiled
            .map_err(|error| error.locate("").to_string())
            .unwrap()
    }

    fn sources() -> LinkSources {
        let path = ObjectPath::compile(&written("/continue".to_owned()), JSON);
        LinkSources {
            next: Some(source("/next_page")),
            cursor: Some(source("/data/after")),
            continuation: path.ok(),
            carry: vec![source("/meta/seed"), source("/meta/nothing")],
            through: vec![source("/albums/*/href")],
            reached: Some((source("/meta/current_page"), source("/meta/last_page"))),
            absent: None,
            pager: None,
            written: WrittenLinks::default(),
        }
    }

    fn links(sources: &LinkSources, page: &str) -> PageLinks {
        let mut raw = RawPageLinks::default();
        let text = PageText::from(page);
        document::read(&DocumentKind::Json, text, &mut |page| {
            sources.read(page, &mut raw);
        })
        .unwrap();
        let base = Url::parse("https://api.invalid/v1/all?page=1").unwrap();
        raw.resolve(&base, UTF_8)
    }

    #[test]
    fn links_of_a_json_page_are_found_and_resolved() {
        let page = r#"{
            "next_page": "?page=2",
            "data": { "after": "t3_x" },
            "continue": { "gucontinue": "7|8", "count": 500, "none": null, "continue": "" },
            "meta": { "seed": "Ab1", "current_page": "2", "last_page": 10 },
            "albums": [ { "href": "/a" }, { "href": "mailto:x@y.invalid" }, { "href": "b" } ]
        }"#;
        let links = links(&sources(), page);
        let next = links.next.as_ref().map(Url::as_str);
        assert_eq!(next, Some("https://api.invalid/v1/all?page=2"));
        assert_eq!(links.cursor.as_deref(), Some("t3_x"));
        let members = [("gucontinue", "7|8"), ("count", "500"), ("continue", "")];
        let members = members.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(links.members, members);
        assert_eq!(links.carried, [Some("Ab1".to_owned()), None]);
        let onward = links.onward[0].iter().map(Url::as_str).collect::<Vec<_>>();
        assert_eq!(
            onward,
            ["https://api.invalid/a", "https://api.invalid/v1/b"]
        );
        assert_eq!(links.is_last, Some(false));
    }

    #[test]
    fn a_cursor_or_next_link_that_is_null_false_or_absent_is_none() {
        for page in [
            "{}",
            r#"{"next_page": null, "data": {"after": null}}"#,
            r#"{"next_page": false, "data": {"after": false}}"#,
            r##"{"next_page": "#", "data": {"after": ""}}"##,
        ] {
            let sources = LinkSources {
                next: Some(source("/next_page")),
                cursor: Some(source("/data/after")),
                ..LinkSources::default()
            };
            assert_eq!(links(&sources, page), PageLinks::default(), "{page}");
        }
    }

    #[test]
    fn what_stands_in_the_place_of_a_next_link_and_is_none_is_unusable() {
        let unusable = |page: &str| links(&sources(), page).unusable.unwrap_or_default();
        for (page, words) in [
            (r#"{"next_page": {"href": "/2"}}"#, "an object or a list"),
            (r#"{"next_page": [["/2"]]}"#, "an object or a list"),
            (
                r#"{"next_page": "ftp://api.invalid/2"}"#,
                "`ftp:` is not supported",
            ),
            (r#"{"next_page": "http://[::1/2"}"#, "not an address"),
            (r#"{"data": {"after": {"id": 3}}}"#, "an object or a list"),
            (r#"{"continue": "x"}"#, "not an object"),
            (r#"{"continue": {"gucontinue": {"a": 1}}}"#, "not a text"),
        ] {
            assert!(unusable(page).contains(words), "{page}: {}", unusable(page));
        }
        for page in [
            "{}",
            r#"{"next_page": {}, "data": {"after": []}, "continue": []}"#,
            r##"{"next_page": "#", "continue": false}"##,
            r#"{"next_page": "javascript:void(0)", "continue": null}"#,
            r#"{"next_page": ["ftp://api.invalid/", "/2"]}"#,
        ] {
            assert_eq!(unusable(page), "", "{page}");
        }
    }

    #[test]
    fn a_page_number_as_text_or_as_a_number_reaches_the_last() {
        let last = |current: &str, last: &str| {
            let page = format!(r#"{{"meta": {{"current_page": {current}, "last_page": {last}}}}}"#);
            links(&sources(), &page).is_last
        };
        assert_eq!(last("10", "\"9\""), Some(true));
        assert_eq!(last("\"9\"", "9.0"), Some(true));
        assert_eq!(last("9", "10"), Some(false));
        assert_eq!(last("\"1,000\"", "14055"), Some(false));
        assert_eq!(last("\"x\"", "10"), None);
        assert_eq!(last("1", "null"), None);
    }
}
