//! JSON pages, parsed into values whose texts and numbers are as written and whose members keep their order.

mod parser;
mod pointer;
mod tree;

pub(super) use pointer::{JsonPlace, JsonPointer};
pub(super) use tree::{JsonText, JsonTree, JsonValue, JsonView};

#[cfg(test)]
mod tests {
    use super::super::DocumentKind;
    use super::super::limits::MAX_NODES;
    use super::super::testing::{item_texts, refusal, texts, try_read};
    use crate::event::ListingFailure;

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
