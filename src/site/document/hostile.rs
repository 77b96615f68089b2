//! Pages and definitions that nobody vouches for: no panic, and bounded work.

use proptest::prelude::*;

use super::testing::{condition, embedded_in, path, source, try_read};
use super::{DocumentKind, Scope};
use crate::event::ListingFailure;

fn kinds() -> [DocumentKind; 4] {
    [
        DocumentKind::Html,
        DocumentKind::Json,
        embedded_in("\"script\""),
        DocumentKind::Xml(vec![("m".to_owned(), "u".to_owned())]),
    ]
}

/// A text of these pieces, with others between them.
fn soup(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    let known = prop::sample::select(pieces).prop_map(str::to_owned);
    let piece = prop_oneof![8 => known, 1 => any::<String>()];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

const PAGE: &[&str] = &[
    "<a>",
    "</a>",
    "<a b='1' m:c=\"2\">",
    "<r xmlns:m='u'>",
    "</r>",
    "<m:a/>",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<!DOCTYPE a [<!ENTITY e 'x'>]>",
    "&e;",
    "&amp;",
    "&#x",
    "&#0;",
    "&",
    "<?xml version='1.0'?>",
    "<",
    ">",
    "'",
    "\"",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"a\"",
    "\"b\":",
    "1",
    "-0.5e9",
    "null",
    "true",
    "\\u00e9",
    "\\ud83d",
    "\\",
    " ",
    "<script>",
    "</script>",
    "x = {",
    "};",
    "\u{e9}",
    "\0",
    "\n",
    "<br>",
    "nil='true'",
    "srcset='a 1x,b,2x 9w'",
    "<picture>",
    "<source srcset='a 9w'>",
    "style='url(a)'",
    "data:,x",
];

const SOURCE: &[&str] = &[
    "\"/a\"",
    "\"/*\"",
    "\"/*/?\"",
    "\"\"",
    "\".\"",
    "\"a\"",
    "\"@b\"",
    "\"a@b\"",
    "\"^a\"",
    "\"//a\"",
    "\"m:a\"",
    "\"*\"",
    "{ source = ",
    ", each = ",
    ", parse = \"json\", then = ",
    ", parse = \"html\", then = ",
    ", behind = '='",
    ", pick = { largest = ",
    ", pick = \"last\"",
    ", unescape = true",
    ", strip_tags = true",
    ", capture = '(.)'",
    ", not = 'x'",
    ", text = \"1\"",
    ", lookup = { source = ",
    ", in = \"/b\" }",
    ", map = { \"*\" = \"x\" }",
    ", default = \"d\"",
    ", where = [",
    "]",
    "[",
    "{ value = ",
    ", equals = 1",
    ", matches = '.'",
    ", at_least = 1",
    ", exists = true",
    "{ any = [",
    " }",
    ", ",
    "}",
];

/// Sources that use everything there is, for pages of every kind.
const GOOD: &[&str] = &[
    "\"a\"",
    "\"a@b\"",
    "\"@b\"",
    "\".\"",
    "\"/a\"",
    "\"/*/b\"",
    "\"/*/?\"",
    "\"\"",
    "\"//a\"",
    "\"m:a@m:c\"",
    "\"^a\"",
    "\"source@srcset\"",
    "\"a@style\"",
    "{ source = \"a\", parse = \"json\", then = \"/*\" }",
    "{ source = \".\", behind = 'x', parse = \"json\", then = \"\" }",
    "{ source = \".\", parse = \"html\", then = \"a@b\" }",
    "{ source = \"/a\", parse = \"html\", then = \"a\" }",
    "{ each = \"a\", source = \"@b\", pick = { largest = \"@b\" }, where = [{ value = \".\", not_matches = 'x' }] }",
    "{ each = \"/*\", source = \"/b\", pick = { largest = '(\\d)' }, strip_tags = true, unescape = true }",
    "{ lookup = { source = \"/*\", in = \"^\" }, map = { \"*\" = \"x\" } }",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_page_panics_under_any_source(page in soup(PAGE)) {
        for kind in &kinds() {
            for select in ["\"a\"", "\"/*\"", "\"\"", "{ source = \".\", parse = \"html\", then = \"a\" }"] {
                let Ok(select) = path(kind, select) else { continue };
                for toml in GOOD {
                    let Ok(source) = source(kind, toml) else { continue };
                    let _ = try_read(kind, &page, &mut |root| {
                        for node in select.within(root).into_iter().chain([root]) {
                            let scope = Scope { node, outer: Some(root) };
                            for text in source.texts(scope) {
                                assert!(!text.is_empty() && text.len() <= 16 * 1024, "{text:?}");
                            }
                            source.exists(scope);
                        }
                    });
                }
            }
        }
    }

    #[test]
    fn no_source_or_condition_of_a_definition_panics(toml in soup(SOURCE)) {
        for kind in &kinds() {
            let _ = path(kind, &toml).map_err(|error| error.render("site.toml", false));
            let _ = condition(kind, &toml).map_err(|error| error.render("site.toml", false));
            let Ok(source) = source(kind, &toml) else { continue };
            let page = "<r xmlns:m='u'><a b='1'>{\"a\": {\"b\": 1}}</a></r><script>[{\"a\": 1}]</script>";
            for page in [page, "{\"a\": [{\"b\": \"<a b=2>\"}, null]}"] {
                let _ = try_read(kind, page, &mut |node| {
                    source.texts(Scope { node, outer: None });
                });
            }
        }
    }
}

#[test]
fn a_definition_of_nested_sources_overflows_no_stack() {
    for (open, close) in [
        ("[", "]"),
        ("{ source = ", " }"),
        ("{ source = \"a\", parse = \"html\", then = ", " }"),
        ("{ any = [", "] }"),
    ] {
        let deep = open.repeat(20_000) + "\"a\"" + &close.repeat(20_000);
        for kind in &kinds() {
            assert!(source(kind, &deep).is_err() && condition(kind, &deep).is_err());
        }
    }
}

/// What a page costs that asks for more than it may: it is refused as a whole.
fn outcome(
    kind: &DocumentKind,
    page: &str,
    select: &str,
    toml: &str,
) -> Result<(), ListingFailure> {
    let (select, source) = (path(kind, select).unwrap(), source(kind, toml).unwrap());
    try_read(kind, page, &mut |root| {
        for node in select.within(root) {
            source.texts(Scope {
                node,
                outer: Some(root),
            });
        }
    })
}

#[test]
fn a_json_page_whose_pointers_match_millions_of_values_is_refused() {
    let page = format!("[{}0]", "0,".repeat(20_000));
    let refused = outcome(&DocumentKind::Json, &page, "\"\"", "{ source = \"^/*/x\" }");
    assert!(
        matches!(refused, Err(ListingFailure::TooManyElements { .. })),
        "{refused:?}"
    );
    let members = (0..20_000).map(|at| format!("\"m{at}\":0,"));
    let page = format!(
        "{{{}\"i\":[{}0]}}",
        members.collect::<String>(),
        "1,".repeat(20_000)
    );
    let lookup = "{ lookup = { source = \"\", in = \"^\" } }";
    let refused = outcome(&DocumentKind::Json, &page, "\"/i\"", lookup);
    assert!(
        matches!(refused, Err(ListingFailure::TooManyElements { .. })),
        "{refused:?}"
    );
}

#[test]
fn html_items_in_each_other_do_not_multiply_their_texts() {
    let nest = "<p class=a>".replace('p', "div").repeat(200)
        + &"long words ".repeat(1_000)
        + &"</div>".repeat(200);
    let page = nest.repeat(20);
    assert!(outcome(&DocumentKind::Html, &nest, "\".a\"", "\".\"").is_ok());
    let refused = outcome(&DocumentKind::Html, &page, "\".a\"", "\"div\"");
    assert!(
        matches!(refused, Err(ListingFailure::TooManyElements { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_text_that_is_parsed_for_every_item_is_bounded() {
    let page = format!(
        "{{\"big\":\"{}\",\"i\":[{}0]}}",
        "[0,".repeat(100_000),
        "1,".repeat(50_000)
    );
    let source = "{ source = \"^/big\", parse = \"json\", then = \"\" }";
    let refused = outcome(&DocumentKind::Json, &page, "\"/i\"", source);
    assert!(
        matches!(refused, Err(ListingFailure::TooManyElements { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_source_gives_at_most_a_thousand_texts_of_16_kilobytes() {
    let page = format!("[{}\"{}\"]", "1,".repeat(5_000), "x".repeat(100_000));
    let found = super::testing::texts(&DocumentKind::Json, &page, "[\"/5000\", \"/*\"]");
    assert_eq!((found.len(), found[0].len()), (1_000, 16 * 1024));
}

#[test]
fn a_selector_that_compares_every_element_with_all_others_is_refused() {
    let page = format!("<div>{}</div>", "<p></p><a></a><!---->".repeat(20_000));
    for select in ["p:not(:has(~ b))", "b ~ a"] {
        let refused = outcome(
            &DocumentKind::Html,
            &page,
            &format!("\"{select}\""),
            "\".\"",
        );
        assert!(
            matches!(refused, Err(ListingFailure::TooManySteps { .. })),
            "{select}: {refused:?}"
        );
    }
    for select in ["p:has(b)", "p:nth-last-child(1)", "div > p + a", "p ~ a"] {
        let small = page.replace("<!---->", "");
        let small = &small[..small.len() / 20];
        let read = outcome(
            &DocumentKind::Html,
            small,
            &format!("\"{select}\""),
            "\".\"",
        );
        assert!(read.is_ok(), "{select}: {read:?}");
    }
}

#[test]
fn attributes_and_comments_without_end_are_counted_for_every_item() {
    let classes = (0..2_000).map(|at| format!("c{at} ")).collect::<String>();
    let page = format!("<p class='{classes}'></p>").repeat(400);
    let not = (0..150)
        .map(|at| format!(":not(.d{at})"))
        .collect::<String>();
    let refused = outcome(
        &DocumentKind::Html,
        &page,
        "\"p\"",
        &format!("\"^p{not}@id\""),
    );
    assert!(
        matches!(refused, Err(ListingFailure::TooManySteps { .. })),
        "{refused:?}"
    );
    let page = format!("<p>{}</p>", "<!---->".repeat(150_000)) + &"<i></i>".repeat(2_000);
    let refused = outcome(&DocumentKind::Html, &page, "\"i\"", "\"^p\"");
    assert!(
        matches!(refused, Err(ListingFailure::TooManySteps { .. })),
        "{refused:?}"
    );
}

#[test]
fn patterns_are_counted_by_their_size_and_the_texts() {
    let text = "01".repeat(8_000);
    let page = format!("[{}0]", format!("\"{text}\",").repeat(250));
    let costly = "[01]*1[01]{600}x";
    for source in [
        format!("{{ source = \"\", capture = '{costly}' }}"),
        format!("{{ source = \"\", not = '{costly}' }}"),
        format!("{{ source = \"\", where = [{{ value = \"\", matches = '{costly}' }}] }}"),
        format!("{{ source = \"\", pick = {{ largest = '({costly})' }} }}"),
        format!("{{ source = \"\", behind = '{costly}', parse = \"json\", then = \"\" }}"),
    ] {
        let refused = outcome(&DocumentKind::Json, &page, "\"\"", &source);
        assert!(
            matches!(refused, Err(ListingFailure::TooManySteps { .. })),
            "{source}: {refused:?}"
        );
    }
    let usual = "{ source = \"\", capture = '^(?P<n>.+?)-(\\d+)x(\\d+)\\.jpe?g$' }";
    assert!(outcome(&DocumentKind::Json, &page, "\"\"", usual).is_ok());
}
