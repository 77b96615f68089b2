//! JSON pages, parsed into values whose numbers are as written and whose members keep their order.

mod pointer;

use std::borrow::Cow;

use json_event_parser::{JsonEvent, LowLevelJsonParser};

pub(super) use pointer::{JsonPlace, JsonPointer};

use super::limits::{MAX_DEPTH, MAX_NODES};
use crate::event::ListingFailure;

/// A value of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JsonValue {
    Null,
    Bool(bool),
    /// As written: what is too large for a machine's number is an identity still.
    Number(Box<str>),
    Text(Box<str>),
    List(Vec<JsonValue>),
    /// In the page's order.
    Object(Vec<(Box<str>, JsonValue)>),
}

impl JsonValue {
    /// Parses a whole page.
    ///
    /// # Errors
    ///
    /// When it is not JSON, nests too deep, or has too many values.
    pub(super) fn parse(text: &str) -> Result<Self, ListingFailure> {
        Self::parse_up_to(text, End::OfText)
    }

    /// Parses the value at the beginning of a text, whatever follows it.
    ///
    /// # Errors
    ///
    /// As [`JsonValue::parse`].
    pub(super) fn parse_first(text: &str) -> Result<Self, ListingFailure> {
        Self::parse_up_to(text, End::OfValue)
    }

    fn parse_up_to(text: &str, end: End) -> Result<Self, ListingFailure> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self::parse_paired(text, end).or_else(|error| match paired_surrogates(text) {
            Some(paired) => Self::parse_paired(&paired, end),
            None => Err(error),
        })
    }

    fn parse_paired(text: &str, end: End) -> Result<Self, ListingFailure> {
        let mut parser = LowLevelJsonParser::new().with_max_stack_size(MAX_DEPTH);
        let mut rest = text.as_bytes();
        let mut tree = Builder::default();
        loop {
            let step = parser.parse_next(rest, true);
            rest = &rest[step.consumed_bytes..];
            match step.event {
                Some(Ok(JsonEvent::Eof)) => return tree.whole().ok_or_else(|| unreadable("empty")),
                Some(Ok(event)) => {
                    tree.add(event)?;
                    if matches!(end, End::OfValue)
                        && let Some(value) = tree.root.take()
                    {
                        return Ok(value);
                    }
                }
                Some(Err(error)) => {
                    let start = error.location().start;
                    let place = format!("line {}, column {}", start.line + 1, start.column + 1);
                    return Err(unreadable(&format!("{place}: {}", error.message())));
                }
                None => {}
            }
        }
    }

    /// A text, a number or a truth value as text; `None` for the others.
    pub(super) fn scalar(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Bool(value) => Some(if *value { "true" } else { "false" }.into()),
            Self::Number(text) | Self::Text(text) => Some((&**text).into()),
            Self::Null | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The member of an object; the last of several with the name, as scripts in browsers see it.
    pub(super) fn member(&self, name: &str) -> Option<(&str, &Self)> {
        let Self::Object(members) = self else {
            return None;
        };
        let mut members = members.iter().rev();
        let (name, value) = members.find(|(known, _)| **known == *name)?;
        Some((name, value))
    }
}

/// Where a text ends that is parsed.
#[derive(Clone, Copy)]
enum End {
    OfText,
    OfValue,
}

fn unreadable(cause: &str) -> ListingFailure {
    ListingFailure::Unreadable {
        language: "JSON",
        cause: cause.to_owned(),
    }
}

/// `text` with a replacement character for each half of a character: sites cut their texts in the middle of one, as
/// `"\ud83d"`. Browsers accept that, the parser does not. `None` when there is none.
fn paired_surrogates(text: &str) -> Option<String> {
    let code = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut paired = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(next) = memchr::memchr(b'\\', &text.as_bytes()[at..]) {
        at += next;
        at += match code(at) {
            Some(0xd800..=0xdbff) if matches!(code(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                paired.push_str(&text[copied..at]);
                paired.push_str("\\ufffd");
                copied = at + 6;
                6
            }
            Some(_) => 6,
            // Whatever is escaped may be a backslash.
            None => 2,
        };
        at = at.min(text.len());
    }
    if copied == 0 {
        return None;
    }
    paired.push_str(&text[copied..]);
    Some(paired)
}

/// Values that are not closed yet, the outermost first, each with the name of its member that comes next.
#[derive(Default)]
struct Builder {
    open: Vec<(JsonValue, Option<Box<str>>)>,
    root: Option<JsonValue>,
    values: usize,
}

impl Builder {
    fn add(&mut self, event: JsonEvent<'_>) -> Result<(), ListingFailure> {
        let closed = match event {
            JsonEvent::StartArray => {
                self.open.push((JsonValue::List(Vec::new()), None));
                None
            }
            JsonEvent::StartObject => {
                self.open.push((JsonValue::Object(Vec::new()), None));
                None
            }
            JsonEvent::EndArray | JsonEvent::EndObject => self.open.pop().map(|(value, _)| value),
            JsonEvent::ObjectKey(name) => {
                if let Some((_, next)) = self.open.last_mut() {
                    *next = Some(name.into());
                }
                None
            }
            JsonEvent::String(text) => Some(JsonValue::Text(text.into())),
            JsonEvent::Number(text) => Some(JsonValue::Number(text.into())),
            JsonEvent::Boolean(value) => Some(JsonValue::Bool(value)),
            JsonEvent::Null => Some(JsonValue::Null),
            JsonEvent::Eof => None,
        };
        let Some(closed) = closed else {
            return Ok(());
        };
        self.values += 1;
        if self.values > MAX_NODES {
            return Err(ListingFailure::TooManyElements { limit: MAX_NODES });
        }
        match self.open.last_mut() {
            Some((JsonValue::List(list), _)) => list.push(closed),
            Some((JsonValue::Object(members), name)) => {
                members.push((name.take().unwrap_or_default(), closed));
            }
            Some(_) | None => self.root = Some(closed),
        }
        Ok(())
    }

    fn whole(self) -> Option<JsonValue> {
        self.root
    }
}

#[cfg(test)]
mod tests {
    use super::super::DocumentKind;
    use super::super::testing::{item_texts, refusal, texts, try_read};
    use super::*;

    const ALBUM: &str = r#"{
        "data": [
            { "id": 12345678901234567890123, "size": 1.50, "path": "/a.png", "tags": ["x", "y"], "title": null },
            { "id": "b", "path": "/b.png", "thumbs": { "large": "/bl.png", "small": "/bs.png" } }
        ],
        "pages": { "9": { "title": "nine" }, "10": { "title": "ten" } },
        "a/b": { "m~n": "escaped" },
        "twice": 1, "twice": 2
    }"#;

    fn at(source: &str) -> Vec<String> {
        texts(&DocumentKind::Json, ALBUM, source)
    }

    #[test]
    fn json_pointers_follow_rfc_6901_and_stars() {
        let cases: [(&str, &[&str]); 14] = [
            ("\"/data/0/path\"", &["/a.png"]),
            ("\"/data/*/path\"", &["/a.png", "/b.png"]),
            ("\"/data/1/thumbs/*\"", &["/bl.png", "/bs.png"]),
            ("\"/pages/*/title\"", &["nine", "ten"]),
            ("\"/pages/*/?\"", &["9", "10"]),
            ("\"/a~1b/m~0n\"", &["escaped"]),
            ("\"/data/0/tags\"", &["x", "y"]),
            ("\"/data/0/title\"", &[]),
            ("\"/data/0/thumbs/large\"", &[]),
            ("\"/data/2/path\"", &[]),
            ("\"/data/path\"", &[]),
            ("\"/data/0/path/x\"", &[]),
            ("\"/twice\"", &["2"]),
            ("[\"/data/0/nothing\", \"/data/1/id\"]", &["b"]),
        ];
        for (source, expected) in cases {
            assert_eq!(at(source), expected, "{source}");
        }
    }

    #[test]
    fn json_numbers_are_as_written() {
        assert_eq!(at("\"/data/0/id\""), ["12345678901234567890123"]);
        assert_eq!(at("\"/data/0/size\""), ["1.50"]);
    }

    #[test]
    fn json_items_are_elements_values_or_the_root_itself() {
        let items = |page: &str, select: &str| {
            item_texts(&DocumentKind::Json, page, select, "", "\"/n\"").concat()
        };
        let (list, one) = (r#"[{ "n": 1 }, null, { "n": 2 }]"#, r#"{ "n": 3 }"#);
        assert_eq!(items(list, "\"\""), ["1", "2"]);
        assert_eq!(items(one, "\"\""), ["3"]);
        assert_eq!(items(list, "\"/*\""), ["1", "2"]);
        let object = r#"{ "a": { "n": 1 }, "b": { "n": 2 } }"#;
        assert_eq!(items(object, "\"/*\""), ["1", "2"]);
        let nested = format!("{{ \"results\": {list}, \"total\": 2 }}");
        for select in ["\"/results\"", "\"/results/*\"", "[\"/results/*\", \"\"]"] {
            assert_eq!(items(&nested, select), ["1", "2"], "{select}");
        }
        assert_eq!(items(one, "[\"/results/*\", \"\"]"), ["3"]);
        let empty = r#"{ "results": [], "n": 9 }"#;
        assert!(items(empty, "[\"/results/*\", \"\"]").is_empty());
    }

    #[test]
    fn half_a_character_does_not_spoil_a_json_page() {
        let page = r#"{ "a": "cut \ud83d", "b": "\ud83d\ude00 \ude00\\ud83d", "c": "\u00e9" }"#;
        let texts = |source: &str| texts(&DocumentKind::Json, page, source);
        assert_eq!(texts("\"/a\""), ["cut \u{fffd}"]);
        assert_eq!(texts("\"/b\""), ["\u{1f600} \u{fffd}\\ud83d"]);
        assert_eq!(texts("\"/c\""), ["\u{e9}"]);
        let read = |page: &str| try_read(&DocumentKind::Json, page, &mut |_| ());
        for broken in ["\"\\ud83d", "\"\\ud83", "\"\\", "\\u\u{e9}\u{e9}\u{e9}"] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn json_that_is_none_is_told_with_its_place() {
        let read = |page: &str| try_read(&DocumentKind::Json, page, &mut |_| ());
        for broken in ["", "<html>", "{\"a\": 1", "{\"a\": 1}}", "[1,]", "nul"] {
            let ListingFailure::Unreadable { language, cause } = read(broken).unwrap_err() else {
                panic!("{broken}")
            };
            assert_eq!(language, "JSON");
            assert!(cause.contains("line 1, column "), "{broken}: {cause}");
        }
        assert!(read("\u{feff} {\"a\": 1} ").is_ok());
    }

    #[test]
    fn deep_and_large_json_is_refused() {
        let read = |page: &str| try_read(&DocumentKind::Json, page, &mut |_| ());
        assert!(read(&format!("{}{}", "[".repeat(100), "]".repeat(100))).is_ok());
        assert!(read(&"[".repeat(1_000_000)).is_err());
        assert!(read(&"{\"a\":".repeat(1_000_000)).is_err());
        let many = format!("[{}1]", "1,".repeat(MAX_NODES));
        assert!(matches!(
            read(&many),
            Err(ListingFailure::TooManyElements { limit: MAX_NODES })
        ));
    }

    #[test]
    fn a_wrong_json_pointer_is_refused_with_help() {
        for (source, words) in [
            ("\"data.path\"", "begin it with `/`: `/data/path`"),
            ("\"$.data\"", "begin it with `/`: `/data`"),
            ("\"/a~b\"", "write `~0`"),
            (
                "{ source = \"/a\", text = \"x\" }",
                "only a single source in HTML",
            ),
        ] {
            let refusal = refusal(&DocumentKind::Json, source);
            assert!(refusal.contains(words), "{refusal}");
        }
        let long = format!("\"{}\"", "/a".repeat(33));
        assert!(refusal(&DocumentKind::Json, &long).contains("more than 32 parts"));
    }
}
