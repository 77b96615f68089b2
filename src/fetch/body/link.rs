//! `Link` headers (RFC 8288): which page comes next.

use reqwest::header::HeaderValue;

/// The target of the first link with the relation `next`, as written. Without one, a header that is malformed stands
/// for it with a `<` in front, which no address begins with: it may have named the next page.
pub(crate) fn next_link<'a>(values: impl IntoIterator<Item = &'a HeaderValue>) -> Option<String> {
    let mut malformed = None;
    for value in values {
        let value = String::from_utf8_lossy(value.as_bytes());
        let mut links = Links {
            rest: &value,
            is_malformed: false,
        };
        if let Some(next) = links.find(|link| link.is_next) {
            return Some(next.target.to_owned());
        }
        if links.is_malformed {
            malformed = malformed.or_else(|| Some(format!("<{value}")));
        }
    }
    malformed
}

/// One link of a header.
struct Link<'a> {
    target: &'a str,
    is_next: bool,
}

/// The links of a header, parsed as in appendix B.2 of the RFC. What is malformed ends them.
struct Links<'a> {
    rest: &'a str,
    is_malformed: bool,
}

impl<'a> Iterator for Links<'a> {
    type Item = Link<'a>;

    fn next(&mut self) -> Option<Link<'a>> {
        let rest = self.rest.trim_start_matches([' ', '\t', ',']);
        let link = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let Some((target, mut rest)) = link else {
            self.is_malformed |= !rest.is_empty();
            self.rest = "";
            return None;
        };
        // Only the first `rel` of a link counts; a link with an `anchor` is about another page.
        let (mut relations, mut has_anchor) = (None, false);
        loop {
            rest = rest.trim_start();
            let Some(after) = rest.strip_prefix(';') else {
                break;
            };
            let (name, value, behind) = parameter(after);
            match name.to_ascii_lowercase().as_str() {
                "rel" => relations = relations.or(Some(value)),
                "anchor" => has_anchor = true,
                _ => {}
            }
            rest = behind;
        }
        self.is_malformed |= !rest.is_empty() && !rest.starts_with(',');
        self.rest = rest.strip_prefix(',').unwrap_or("");
        let mut relations = relations
            .iter()
            .flat_map(|value| value.split_ascii_whitespace());
        let is_next = relations.any(|relation| relation.eq_ignore_ascii_case("next"));
        Some(Link {
            target: target.trim(),
            is_next: is_next && !has_anchor,
        })
    }
}

/// A parameter's name and value, and what is behind it.
fn parameter(text: &str) -> (&str, String, &str) {
    let text = text.trim_start();
    let name_end = text.find(['=', ';', ',']).unwrap_or(text.len());
    let (name, rest) = text.split_at(name_end);
    let name = name.trim_end();
    let Some(value) = rest.strip_prefix('=').map(str::trim_start) else {
        return (name, String::new(), rest);
    };
    let Some(quoted) = value.strip_prefix('"') else {
        let end = value.find([';', ',']).unwrap_or(value.len());
        let (value, behind) = value.split_at(end);
        return (name, value.trim_end().to_owned(), behind);
    };
    let mut unquoted = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (name, unquoted, &quoted[at + 1..]),
            '\\' => unquoted.extend(characters.next().map(|(_, escaped)| escaped)),
            other => unquoted.push(other),
        }
    }
    // What is left is no parameter, so that the header counts as malformed.
    (name, unquoted, "\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn next(value: &str) -> Option<String> {
        next_link([&HeaderValue::from_str(value).unwrap()])
    }

    #[test]
    fn the_link_header_gives_the_target_of_its_next_relation() {
        let cases = [
            (
                "<https://a.invalid/p?page=2>; rel=\"next\"",
                "https://a.invalid/p?page=2",
            ),
            ("</p?a=1,2;3>; rel=next", "/p?a=1,2;3"),
            (
                "<a>; rel=\"first\", <b>; rel=\"prev\" , <c>;rel=\"next\"",
                "c",
            ),
            (
                "<a>; title=\"x, <b>; rel=next\"; rel=prev, <c>; REL = \"last NEXT\"",
                "c",
            ),
            ("<a>; title=\"a \\\" b\"; rel=next", "a"),
            (", ,<a>;;rel=next", "a"),
            ("< a >; foo; rel=next", "a"),
        ];
        for (value, expected) in cases {
            assert_eq!(next(value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn a_link_header_without_a_next_relation_of_this_page_gives_none() {
        for value in [
            "",
            "<a>",
            "<a>; rel=prev; rel=next",
            "<a>; rev=next",
            "<a>; rel=nextpage",
            "<a>; rel=next; anchor=\"#b\"",
        ] {
            assert_eq!(next(value), None, "{value}");
        }
    }

    #[test]
    fn a_link_header_that_cannot_be_read_is_malformed() {
        for value in [
            "next",
            "<a; rel=next",
            "<a>; rel=prev, b; rel=next",
            "<a>; rel=\"prev\" <b>; rel=next",
            "<a>; rel=\"prev, <b>; rel=next",
        ] {
            assert_eq!(next(value), Some(format!("<{value}")));
        }
        for value in ["", ", ,", "<a>", "<a>; rel=prev ,", "<a>; rel=prev; title"] {
            assert_eq!(next(value), None);
        }
        let accent = HeaderValue::from_bytes("<a>; title=\"\u{e9}\"; rel=next".as_bytes()).unwrap();
        assert_eq!(next_link([&accent]).as_deref(), Some("a"));
    }

    #[test]
    fn several_link_headers_are_read_as_one() {
        let values = ["<a>; rel=prev", "<b>; rel=next", "<c>; rel=next"];
        let values = values.map(HeaderValue::from_static);
        assert_eq!(next_link(&values).as_deref(), Some("b"));
    }

    proptest! {
        #[test]
        fn no_link_header_makes_the_parser_panic(value in "[<>;,=\"\\\\ a-z\u{e9}]*") {
            if let Ok(value) = HeaderValue::from_str(&value) {
                let _ = next_link([&value]);
            }
        }
    }
}
