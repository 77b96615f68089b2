//! Compiles a definition: what can be wrong with it is found here, and a [`Site`] that comes out can be used.

use scraper::Selector;
use toml::Spanned;
use url::{Host, Url};

use super::fault::{Diagnostic, LocatedDiagnostic, nearest_of};
use super::listing::{Ending, Field, FieldSource, Listing};
use super::naming::FileNameTemplate;
use super::pattern::{Template, pattern, selector};
use super::rewrite::{Rule, Step};
use super::written::{
    Kind, OneOrMore, Written, WrittenAddress, WrittenCapture, WrittenFile, WrittenFull,
    WrittenItem, WrittenListing, WrittenSite, WrittenStep, WrittenStop, WrittenTitle,
};
use super::{PAGE_IN_PATH, PAGE_IN_QUERY, Paging, Site, address};

/// Each step may have a pattern of the largest size, and no site needs a handful.
const MAX_STEPS: usize = 64;

/// Whoever asks for more empty pages in a row asks for nothing.
const MAX_EMPTY_PAGES: u32 = 10;

/// Compiles the definition in `text`.
pub(super) fn compile(text: &str) -> Result<Site, LocatedDiagnostic> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let written = toml::from_str::<Written>(text).map_err(|error| Diagnostic::unreadable(&error));
    written
        .and_then(|written| site(written, text))
        .map_err(|fault| fault.within(text))
}

fn site(written: Written, text: &str) -> Result<Site, Diagnostic> {
    let Written {
        site,
        listing,
        item,
        full,
        file,
    } = written;
    let WrittenSite {
        name,
        description,
        base,
        image_hosts,
    } = site;
    let WrittenListing {
        kind: Kind::Html,
        url,
        start,
        stop,
    } = listing;
    let WrittenStop {
        status,
        marker,
        empty,
        after,
    } = stop;
    let base = origin(&base)?;
    let image_hosts = image_hosts
        .iter()
        .map(host)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Site {
        id: name,
        description,
        paging: Paging {
            template: page_template(&base, &image_hosts, &url)?,
            start,
        },
        end_statuses: status.iter().map(end_status).collect::<Result<_, _>>()?,
        empty_pages: empty_pages(&after)?,
        listing: listing_of(item, ending(marker, empty)?)?,
        rules: rules(&full, text)?,
        min_size: (file.min_width, file.min_height),
        naming: naming(&file, text)?,
        base,
        image_hosts,
        anywhere: false,
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
        return Err(refuse("there is something behind the host")
            .help("the path of the pages belongs into `listing.url`"));
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

fn page_template(
    base: &Url,
    image_hosts: &[String],
    written: &Spanned<String>,
) -> Result<Url, Diagnostic> {
    let refuse = |message: String| Diagnostic::at(written, message);
    let template = base
        .join(written.get_ref())
        .map_err(|error| refuse(format!("not a page's address: {error}")))?;
    address::usable(&template)
        .map_err(|reason| refuse(format!("not a page's address: {reason}")))?;
    let host = template.host_str().unwrap_or_default();
    if base.host_str() != Some(host) && !image_hosts.iter().any(|known| known == host) {
        return Err(refuse(format!(
            "`{host}` is neither the host of `base` nor among `image_hosts`"
        )));
    }
    let places = written
        .get_ref()
        .split('{')
        .skip(1)
        .map(|place| place.split('}').next().unwrap_or_default());
    if let Some(unknown) = places.clone().find(|&place| place != "page") {
        return Err(
            refuse(format!("unknown place `{{{unknown}}}`")).help(nearest_of(unknown, &["page"]))
        );
    }
    if template.path().contains(PAGE_IN_PATH)
        || template
            .query()
            .is_some_and(|query| query.contains(PAGE_IN_QUERY))
    {
        return Ok(template);
    }
    Err(refuse("every page would have the same address".to_owned())
        .help("write `{page}` where the page's number stands"))
}

fn end_status(written: &Spanned<u16>) -> Result<u16, Diagnostic> {
    match *written.get_ref() {
        status @ 300..=599 => Ok(status),
        other => Err(
            Diagnostic::at(written, format!("{other} cannot mark the end"))
                .help("a status from 300 to 599, as 404"),
        ),
    }
}

fn empty_pages(written: &Spanned<u32>) -> Result<u32, Diagnostic> {
    match *written.get_ref() {
        pages @ 1..=MAX_EMPTY_PAGES => Ok(pages),
        other => Err(Diagnostic::at(
            written,
            format!("{other} empty pages in a row cannot mark the end"),
        )
        .help(format!(
            "a number from 1, where the first one ends it, to {MAX_EMPTY_PAGES}"
        ))),
    }
}

fn ending(marker: Option<Spanned<String>>, empty: bool) -> Result<Ending, Diagnostic> {
    match marker {
        Some(marker) if empty => {
            let help = "`empty` ends at any page without items, `marker` only at one that has such an element";
            Err(
                Diagnostic::at(&marker, "`marker` and `empty = true` exclude each other")
                    .help(help),
            )
        }
        Some(marker) => Ok(Ending::Marker(selector(&marker)?)),
        None if empty => Ok(Ending::Empty),
        None => Ok(Ending::Never),
    }
}

fn listing_of(item: WrittenItem, ending: Ending) -> Result<Listing, Diagnostic> {
    let WrittenItem {
        select,
        thumb,
        link,
        title,
    } = item;
    Ok(Listing {
        item: selector(&select)?,
        thumb: address_field(thumb)?,
        link: link.map(address_field).transpose()?,
        title: title.map(title_field).transpose()?,
        ending,
    })
}

fn address_field(written: WrittenAddress) -> Result<Field, Diagnostic> {
    let WrittenAddress { select, attr } = written;
    Ok(Field {
        select: inner(select.as_ref())?,
        source: attributes(attr)?,
    })
}

fn title_field(written: Spanned<WrittenTitle>) -> Result<Field, Diagnostic> {
    let span = written.span();
    let WrittenTitle { select, attr, text } = written.into_inner();
    let source = match (attr, text) {
        (Some(attr), false) => attributes(attr)?,
        (None, true) => FieldSource::Text,
        (Some(_), true) | (None, false) => {
            let help = "`attr = \"title\"` is an attribute, `text = true` the text within";
            return Err(
                Diagnostic::new(span, "a title is either an attribute or a text").help(help),
            );
        }
    };
    Ok(Field {
        select: inner(select.as_ref())?,
        source,
    })
}

fn inner(select: Option<&Spanned<String>>) -> Result<Option<Selector>, Diagnostic> {
    select.map(selector).transpose()
}

fn attributes(written: Spanned<OneOrMore<String>>) -> Result<FieldSource, Diagnostic> {
    let span = written.span();
    let OneOrMore(names) = written.into_inner();
    if names.iter().all(|name| name.trim().is_empty()) {
        return Err(
            Diagnostic::new(span, "no attribute is named").help("write one, as `attr = \"src\"`")
        );
    }
    Ok(FieldSource::Attributes(
        names.iter().map(|name| name.to_ascii_lowercase()).collect(),
    ))
}

fn rules(full: &Spanned<OneOrMore<WrittenFull>>, text: &str) -> Result<Vec<Rule>, Diagnostic> {
    let OneOrMore(written) = full.get_ref();
    if written.is_empty() {
        return Err(Diagnostic::at(full, "there is no way to any original")
            .help("add a `[[full]]` with a `rewrite`"));
    }
    let steps = |WrittenFull { rewrite }: &WrittenFull| rewrite.get_ref().0.len();
    if written.iter().map(steps).sum::<usize>() > MAX_STEPS {
        return Err(Diagnostic::at(
            full,
            format!("more than {MAX_STEPS} steps to an original"),
        ));
    }
    written
        .iter()
        .map(|WrittenFull { rewrite }| rule(rewrite, text))
        .collect()
}

fn rule(rewrite: &Spanned<OneOrMore<WrittenStep>>, text: &str) -> Result<Rule, Diagnostic> {
    let OneOrMore(written) = rewrite.get_ref();
    let mut from = None;
    let mut steps = Vec::new();
    for WrittenStep {
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
                    "a later step begins with what the one before it yields",
                )
                .help("leave `from` out"));
            }
            (None, true) => {
                let fault = Diagnostic::at(regex, "it is not said what this rewrites");
                return Err(fault.help("add `from = \"thumb\"` or `from = \"link\"`"));
            }
        }
        let pattern = pattern(regex, text)?;
        let to = Template::new(to, &pattern)?;
        steps.push(Step { pattern, to });
    }
    let from = from.ok_or_else(|| Diagnostic::at(rewrite, "a rewrite without a step"))?;
    Ok(Rule { from, steps })
}

fn naming(file: &WrittenFile, text: &str) -> Result<FileNameTemplate, Diagnostic> {
    let WrittenFile {
        capture: WrittenCapture { from, regex },
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

    /// Every case: what to replace, by what, and the line, the column and words of what is told.
    fn hold(cases: &[(&str, &str, usize, usize, &str)]) {
        for (right, wrong, line, column, words) in cases {
            let text = GOOD.replacen(right, wrong, 1);
            let fault = compile(&text).expect_err(wrong);
            let told = fault.told("small.toml", false);
            assert_eq!((fault.line(), fault.column()), (*line, *column), "{told}");
            assert!(
                told.contains(&format!("small.toml:{line}:{column}\n")),
                "{told}"
            );
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn a_wrong_key_or_value_is_named_with_the_nearest_known_one() {
        hold(&[
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
    fn a_wrong_type_is_told_with_the_one_that_is_wanted() {
        hold(&[
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
                "expected a text or a table, or a list of them",
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
    fn a_name_or_host_that_cannot_be_one_is_refused() {
        hold(&[
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
                "behind the host",
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
    fn a_bad_selector_is_found_at_the_start_with_the_parsers_reason() {
        hold(&[
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
            ("\"li\"", "\"li[\"", 11, 10, "it ends too early"),
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
    fn a_bad_pattern_is_marked_where_it_is_bad() {
        hold(&[
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
    fn a_capture_that_does_not_exist_is_named_with_those_that_do() {
        hold(&[
            ("<full>", "<fall>", 15, 70, "no capture `full`"),
            ("<full>", "<fall>", 15, 70, "did you mean `fall`?"),
            ("${full}", "$1$2", 15, 70, "no capture `2`"),
            ("{name}", "{nmae}", 19, 8, "did you mean `name`?"),
            ("(?<name>[^/]+)", "[^/]+", 19, 8, "names no capture"),
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
    fn what_contradicts_itself_or_does_nothing_is_refused() {
        hold(&[
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
            ("\"{name}\"", "\"all/{name}\"", 19, 8, "holds no `/`"),
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
    fn no_definition_makes_more_patterns_than_there_is_room_for() {
        let rule = &GOOD[GOOD.find("[[full]]").unwrap()..GOOD.find("[file]").unwrap()];
        assert!(compile(&GOOD.replace(rule, &rule.repeat(64))).is_ok());
        let fault = compile(&GOOD.replace(rule, &rule.repeat(65))).unwrap_err();
        assert!(fault.to_string().contains("more than 64 steps"), "{fault}");
    }

    #[test]
    fn a_fault_is_shown_in_its_line() {
        let fault = compile(&GOOD.replace("^(?<full>.+)", "^(?<full>.+")).unwrap_err();
        insta::assert_snapshot!(fault.told("small.toml", false), @r#"
        error: not a regular expression: unclosed group
          --> small.toml:15:39
           |
        15 | rewrite = { from = "thumb", regex = '^(?<full>.+-small\.png$', to = "${full}.png" }
           |                                       ^
        "#);
        insta::assert_snapshot!(fault, @"line 15, column 39: not a regular expression: unclosed group");
        assert!(fault.told("small.toml", true).contains("\u{1b}["));
    }

    #[test]
    fn a_byte_order_mark_and_line_ends_of_other_systems_are_fine() {
        let foreign = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
        assert!(compile(&foreign).is_ok());
        let fault = compile(&foreign.replace("select = \"li\"", "selct = \"li\"")).unwrap_err();
        assert_eq!((fault.line(), fault.column()), (11, 1));
        assert!(
            fault
                .told("small.toml", false)
                .contains("11 | selct = \"li\"")
        );
    }

    #[test]
    fn nothing_that_is_no_definition_makes_a_panic() {
        for cut in 0..GOOD.len() {
            assert!(compile(&GOOD[..cut]).is_err() || cut > GOOD.trim_end().len() - 1);
            let bent = format!("{}\u{1b}\u{202e}'{}", &GOOD[..cut], &GOOD[cut..]);
            if let Err(fault) = compile(&bent) {
                let told = fault.told("small.toml", false) + &fault.to_string();
                assert!(!told.contains(['\u{1b}', '\u{202e}']));
            }
        }
        let deep = format!("[site]\nname = {}", "[".repeat(100_000));
        assert!(compile(&deep).is_err());
    }

    #[test]
    fn what_ships_compiles_and_carries_its_own_name() {
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
