//! Compiles a definition: every error in it is found here, so that a [`Site`] can be used without further checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use url::{Host, Url};

use super::diagnostic::{Diagnostic, LocatedDiagnostic};
use super::document::{DocumentKind, SourceContext};
use super::extract::{EndMark, ItemTable};
use super::file_name::FileNameTemplate;
use super::paging::{PageOrder, PagingContext};
use super::pattern::{Template, pattern};
use super::rewrite::{RewriteRule, RewriteStep};
use super::schema::{
    self, CaptureTable, FileTable, FullTable, OneOrMore, RewriteTable, SiteFile, SiteTable,
};
use super::{Site, address};

/// Each step may have a pattern of the largest size; a site needs fewer than five.
const MAX_STEPS: usize = 64;

/// Compiles the definition in `text`.
pub(super) fn compile(text: &str) -> Result<Site, LocatedDiagnostic> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file = schema::listing_kind(text).and_then(|kind| kind.parse(text));
    file.map_err(|error| Diagnostic::from_toml(&error))
        .and_then(|file| site(file, text))
        .map_err(|error| error.locate(text))
}

fn site(file: SiteFile<Box<dyn ItemTable>>, text: &str) -> Result<Site, Diagnostic> {
    let SiteFile {
        site,
        listing,
        item,
        full,
        file,
    } = file;
    let SiteTable {
        name,
        description,
        base,
        image_hosts,
    } = site;
    let (paging, mut stop) = listing.split();
    let (marker, empty) = (stop.marker.take(), stop.empty);
    let base = origin(&base)?;
    let image_hosts = image_hosts
        .iter()
        .map(host)
        .collect::<Result<Vec<_>, _>>()?;
    let is_host =
        |host: &str| base.host_str() == Some(host) || image_hosts.iter().any(|known| known == host);
    let paging_context = PagingContext {
        base: &base,
        is_host: &is_host,
        variables: &BTreeMap::new(),
        source: SourceContext {
            kind: &DocumentKind::Html,
            definition: text,
        },
    };
    Ok(Site {
        id: name,
        description,
        page_order: Arc::new(PageOrder::compile(paging, stop, &paging_context)?),
        extract: item.compile(end_mark(marker, empty)?)?,
        rules: rules(&full, text)?,
        min_size: (file.min_width, file.min_height),
        file_name: file_name(&file, text)?,
        base,
        image_hosts,
    })
}

fn origin(written: &Spanned<String>) -> Result<Url, Diagnostic> {
    let refuse = |reason: &str| {
        Diagnostic::at(written, format!("not an origin: {reason}"))
            .help("write it as `https://example.com`")
    };
    let base = Url::parse(written.get_ref()).map_err(|error| refuse(&error.to_string()))?;
    address::usable(&base).map_err(|reason| refuse(&reason))?;
    if base.path() != "/" || base.query().is_some() || base.fragment().is_some() {
        return Err(refuse("only scheme and host are expected")
            .help("put the path of the pages into `listing.url`"));
    }
    Ok(base)
}

fn host(written: &Spanned<String>) -> Result<String, Diagnostic> {
    let host = Host::parse(written.get_ref()).map_err(|_| {
        let help = "write the host alone, as `static.example.com`: no scheme, no port, no path";
        Diagnostic::at(written, "not a host").help(help)
    })?;
    Ok(host.to_string())
}

fn end_mark(
    marker: Option<Spanned<String>>,
    empty: bool,
) -> Result<EndMark<Spanned<String>>, Diagnostic> {
    match marker {
        Some(marker) if empty => {
            let help = "with `empty` any page without items ends the listing, with `marker` only one that has such an element";
            Err(
                Diagnostic::at(&marker, "`marker` and `empty = true` exclude each other")
                    .help(help),
            )
        }
        Some(marker) => Ok(EndMark::Marker(marker)),
        None if empty => Ok(EndMark::Empty),
        None => Ok(EndMark::Never),
    }
}

fn rules(full: &Spanned<OneOrMore<FullTable>>, text: &str) -> Result<Vec<RewriteRule>, Diagnostic> {
    let OneOrMore(written) = full.get_ref();
    if written.is_empty() {
        return Err(Diagnostic::at(full, "no rule leads to an original")
            .help("add a `[[full]]` with a `rewrite`"));
    }
    let steps = |FullTable { rewrite }: &FullTable| rewrite.get_ref().0.len();
    if written.iter().map(steps).sum::<usize>() > MAX_STEPS {
        return Err(Diagnostic::at(
            full,
            format!("more than {MAX_STEPS} rewrite steps"),
        ));
    }
    written
        .iter()
        .map(|FullTable { rewrite }| rule(rewrite, text))
        .collect()
}

fn rule(rewrite: &Spanned<OneOrMore<RewriteTable>>, text: &str) -> Result<RewriteRule, Diagnostic> {
    let OneOrMore(written) = rewrite.get_ref();
    let mut from = None;
    let mut steps = Vec::new();
    for RewriteTable {
        from: written_from,
        regex,
        to,
    } in written
    {
        match (written_from, steps.is_empty()) {
            (Some(input), true) => from = Some(*input.get_ref()),
            (None, false) => {}
            (Some(input), false) => {
                return Err(Diagnostic::at(
                    input,
                    "a later step starts from the result of the one before it",
                )
                .help("remove `from`"));
            }
            (None, true) => {
                let error = Diagnostic::at(regex, "the first step of a rewrite needs `from`");
                return Err(error.help("add `from = \"thumb\"` or `from = \"link\"`"));
            }
        }
        let pattern = pattern(regex, text)?;
        let to = Template::new(to, &pattern)?;
        steps.push(RewriteStep { pattern, to });
    }
    let from = from.ok_or_else(|| Diagnostic::at(rewrite, "a rewrite without a step"))?;
    Ok(RewriteRule { from, steps })
}

fn file_name(file: &FileTable, text: &str) -> Result<FileNameTemplate, Diagnostic> {
    let FileTable {
        capture: CaptureTable { from, regex },
        name,
        min_width: _,
        min_height: _,
    } = file;
    FileNameTemplate::new(*from, pattern(regex, text)?, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"[site]
name = "small"
base = "https://small.invalid"
image_hosts = ["static.small.invalid"]

[listing]
kind = "html"
url = "/all/{page}"

[item]
select = "li"
thumb = { select = "img", attr = ["src", "data-src"] }

[[full]]
rewrite = { from = "thumb", regex = '^(?<full>.+)-small\.png$', to = "${full}.png" }

[file]
capture = { from = "full", regex = '/(?<name>[^/]+)$' }
name = "{name}"
"#;

    /// Every case: what to replace, by what, and the line, the column and words of the error.
    fn assert_errors(cases: &[(&str, &str, usize, usize, &str)]) {
        for (right, wrong, line, column, words) in cases {
            let text = GOOD.replacen(right, wrong, 1);
            let error = compile(&text).expect_err(wrong);
            let rendered = error.render("small.toml", false);
            assert_eq!(
                (error.line(), error.column()),
                (*line, *column),
                "{rendered}"
            );
            assert!(
                rendered.contains(&format!("small.toml:{line}:{column}\n")),
                "{rendered}"
            );
            assert!(rendered.contains(words), "{rendered}");
        }
    }

    #[test]
    fn a_wrong_key_or_value_is_named_with_the_nearest_known_one() {
        assert_errors(&[
            (
                "select = \"li\"",
                "selct = \"li\"",
                11,
                1,
                "unknown key `selct`",
            ),
            (
                "select = \"li\"",
                "selct = \"li\"",
                11,
                1,
                "did you mean `select`?",
            ),
            (
                "[item]",
                "strat = 2\n[item]",
                10,
                1,
                "did you mean `start`? known here: `kind`",
            ),
            (
                "[item]",
                "stop = { stauts = [404] }\n[item]",
                10,
                10,
                "did you mean `status`?",
            ),
            (
                "[item]",
                "stop = { afer = 2 }\n[item]",
                10,
                10,
                "did you mean `after`?",
            ),
            ("\"html\"", "\"json\"", 7, 8, "unknown value `json`"),
            ("\"thumb\"", "\"tumb\"", 15, 20, "did you mean `thumb`?"),
            ("rewrite =", "follow =", 15, 1, "known here: `rewrite`"),
            ("{page}", "{pgae}", 8, 7, "did you mean `page`?"),
            ("base =", "# base =", 1, 1, "missing key `base`"),
        ]);
    }

    #[test]
    fn a_wrong_type_is_reported_with_the_expected_one() {
        assert_errors(&[
            (
                "\"/all/{page}\"",
                "7",
                8,
                7,
                "integer `7`, expected a string",
            ),
            (
                "[\"src\", \"data-src\"]",
                "5",
                12,
                34,
                "expected a string or a table, or a list of them",
            ),
            (
                "[\"static.small.invalid\"]",
                "[5]",
                4,
                16,
                "expected a string",
            ),
            ("[item]", "start = -1\n[item]", 10, 9, "expected u32"),
            (
                "name = \"{name}\"",
                "name = \"{name}\"\nmin_width = \"wide\"",
                20,
                13,
                "expected u32",
            ),
            ("[file]", "[file", 17, 6, "unclosed table"),
        ]);
    }

    #[test]
    fn a_site_name_or_host_that_is_not_one_is_refused() {
        assert_errors(&[
            ("\"small\"", "\"Small Site\"", 2, 8, "cannot name a site"),
            ("\"small\"", "\"../small\"", 2, 8, "cannot name a site"),
            (
                "https://small.invalid",
                "small.invalid",
                3,
                8,
                "not an origin",
            ),
            (
                "https://small.invalid",
                "ftp://small.invalid",
                3,
                8,
                "only http and https",
            ),
            (
                "https://small.invalid",
                "https://me@small.invalid",
                3,
                8,
                "user name",
            ),
            (
                "https://small.invalid",
                "https://small.invalid/all",
                3,
                8,
                "only scheme and host",
            ),
            (
                "static.small.invalid",
                "https://static.small.invalid",
                4,
                16,
                "not a host",
            ),
            (
                "static.small.invalid",
                "static.small.invalid:80",
                4,
                16,
                "not a host",
            ),
            (
                "/all/{page}",
                "//elsewhere.invalid/{page}",
                8,
                7,
                "`elsewhere.invalid` is neither",
            ),
            (
                "/all/{page}",
                "https://{page}.small.invalid/",
                8,
                7,
                "is neither the host",
            ),
            (
                "/all/{page}",
                "ftp://small.invalid/{page}",
                8,
                7,
                "not a page's address: `ftp:`",
            ),
            (
                "/all/{page}",
                "https://:secret@small.invalid/{page}",
                8,
                7,
                "a password",
            ),
            ("/all/{page}", "/all/#{page}", 8, 7, "same address"),
        ]);
    }

    #[test]
    fn a_bad_css_selector_is_reported_with_the_parsers_reason() {
        assert_errors(&[
            (
                "\"li\"",
                "\"li >\"",
                11,
                10,
                "not a selector: dangling combinator",
            ),
            (
                "\"li\"",
                "\"li:hover\"",
                11,
                10,
                "unsupported pseudo class or element",
            ),
            ("\"li\"", "\"\"", 11, 10, "empty selector"),
            ("\"li\"", "\"li[\"", 11, 10, "unexpected end"),
            ("\"img\"", "\"..\"", 12, 20, "not a selector"),
            (
                "[item]",
                "stop = { marker = \"a b >\" }\n[item]",
                10,
                19,
                "dangling combinator",
            ),
        ]);
        let deep = GOOD.replace(
            "\"li\"",
            &format!("\"{}li{}\"", ":not(".repeat(50_000), ")".repeat(50_000)),
        );
        assert!(compile(&deep).is_err());
    }

    #[test]
    fn a_bad_regex_is_marked_at_its_error() {
        assert_errors(&[
            ("^(?<full>.+)", "^(?<full>.+", 15, 39, "unclosed group"),
            (
                "^(?<full>.+)",
                "^\u{e9}(?<full>.+)[a",
                15,
                51,
                "unclosed character class",
            ),
            (
                "'^(?<full>.+)-small\\.png$'",
                "\"\\u005E(?<full>.+\"",
                15,
                37,
                "unclosed group",
            ),
            (
                ".+)-small",
                "(x{1000}){1000})-small",
                15,
                37,
                "more than 1048576 bytes",
            ),
            ("[^/]+", "[^/]+)", 18, 52, "unopened group"),
        ]);
    }

    #[test]
    fn an_unknown_regex_capture_is_reported_with_the_known_ones() {
        assert_errors(&[
            ("<full>", "<fall>", 15, 70, "no capture `full`"),
            ("<full>", "<fall>", 15, 70, "did you mean `fall`?"),
            ("${full}", "$1$2", 15, 70, "no capture `2`"),
            ("{name}", "{nmae}", 19, 8, "did you mean `name`?"),
            ("(?<name>[^/]+)", "[^/]+", 19, 8, "has no named capture"),
            (
                "{name}",
                "{name}.{ext}",
                19,
                8,
                "the extension is added by itself",
            ),
        ]);
    }

    #[test]
    fn contradictions_and_keys_without_effect_are_refused() {
        assert_errors(&[
            (
                "[item]",
                "stop = { empty = true, marker = \"b\" }\n[item]",
                10,
                33,
                "exclude each other",
            ),
            (
                "[item]",
                "stop = { status = [200] }\n[item]",
                10,
                20,
                "200 cannot mark the end",
            ),
            (
                "[item]",
                "stop = { after = 0 }\n[item]",
                10,
                18,
                "0 empty pages in a row cannot mark the end",
            ),
            (
                "thumb =",
                "title = { select = \"b\" }\nthumb =",
                12,
                9,
                "either an attribute or a text",
            ),
            (
                "[\"src\", \"data-src\"]",
                "[]",
                12,
                34,
                "no attribute is named",
            ),
            ("from = \"thumb\", ", "", 15, 21, "add `from = \"thumb\"`"),
            ("\"{name}\"", "\"wallpaper\"", 19, 8, "the same name"),
            ("\"{name}\"", "\"all/{name}\"", 19, 8, "cannot contain `/`"),
            ("\"{name}\"", "\"{name\"", 19, 8, "`{` without `}`"),
            (
                "[[full]]\nrewrite = {",
                "[[full]]\nrewrite = []\n[[full]]\nrewrite = {",
                15,
                11,
                "without a step",
            ),
        ]);
    }

    #[test]
    fn a_definition_has_at_most_64_regex_steps() {
        let rule = &GOOD[GOOD.find("[[full]]").unwrap()..GOOD.find("[file]").unwrap()];
        assert!(compile(&GOOD.replace(rule, &rule.repeat(64))).is_ok());
        let error = compile(&GOOD.replace(rule, &rule.repeat(65))).unwrap_err();
        assert!(
            error.to_string().contains("more than 64 rewrite steps"),
            "{error}"
        );
    }

    #[test]
    fn an_error_is_shown_in_its_line() {
        let error = compile(&GOOD.replace("^(?<full>.+)", "^(?<full>.+")).unwrap_err();
        insta::assert_snapshot!(error.render("small.toml", false), @r#"
        error: not a regular expression: unclosed group
          --> small.toml:15:39
           |
        15 | rewrite = { from = "thumb", regex = '^(?<full>.+-small\.png$', to = "${full}.png" }
           |                                       ^
        "#);
        insta::assert_snapshot!(error, @"line 15, column 39: not a regular expression: unclosed group");
        assert!(error.render("small.toml", true).contains("\u{1b}["));
    }

    #[test]
    fn a_byte_order_mark_and_windows_line_ends_are_accepted() {
        let foreign = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
        assert!(compile(&foreign).is_ok());
        let error = compile(&foreign.replace("select = \"li\"", "selct = \"li\"")).unwrap_err();
        assert_eq!((error.line(), error.column()), (11, 1));
        assert!(
            error
                .render("small.toml", false)
                .contains("11 | selct = \"li\"")
        );
    }

    #[test]
    fn no_broken_definition_panics() {
        for cut in 0..GOOD.len() {
            assert!(compile(&GOOD[..cut]).is_err() || cut > GOOD.trim_end().len() - 1);
            let bent = format!("{}\u{1b}\u{202e}'{}", &GOOD[..cut], &GOOD[cut..]);
            if let Err(error) = compile(&bent) {
                let rendered = error.render("small.toml", false) + &error.to_string();
                assert!(!rendered.contains(['\u{1b}', '\u{202e}']));
            }
        }
        let deep = format!("[site]\nname = {}", "[".repeat(100_000));
        assert!(compile(&deep).is_err());
    }

    #[test]
    fn shipped_definitions_compile_and_have_their_own_name() {
        for (name, _) in super::super::shipped() {
            assert_eq!(Site::shipped(name).unwrap().id().as_str(), *name);
        }
        let unknown = Site::shipped("simpledesktop").unwrap_err().to_string();
        assert!(
            unknown.contains("did you mean `simpledesktops`?"),
            "{unknown}"
        );
    }
}
