//! Compiles a definition: every error in it is found here, so that a [`Site`] can be used without further checks.

mod full;
mod item;
mod names;

use std::sync::Arc;

use toml::Spanned;
use url::Url;

pub(super) use full::follow_page;
pub(super) use item::written;

use super::diagnostic::Diagnostic;
use super::document::{ItemPath, SourceContext};
use super::extract::EndMark;
use super::fields::FieldRef;
use super::hosts::ImageHosts;
use super::paging::{PageOrder, PagingContext};
use super::schema::{DocumentTable, FileTable, ItemPathInput, ItemTable, SiteFile, SiteTable};
use super::template::{PlaceholderError, Template};
use super::variables::{Given, Variables, VariablesError};
use super::{Site, SiteError, address, requests};
use full::FullContext;
use item::ItemContext;

/// Compiles the definition in `text`.
pub(super) fn compile(text: &str, given: Given<'_>) -> Result<Site, SiteError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file = toml::from_str::<SiteFile>(text);
    file.map_err(|error| VariablesError::Definition(Diagnostic::from_toml(&error)))
        .and_then(|file| site(file, given, text))
        .map_err(|error| match error {
            VariablesError::Definition(error) => {
                SiteError::Definition(Box::new(error.locate(text)))
            }
            VariablesError::User(error) => SiteError::Variable(error),
        })
}

#[expect(
    clippy::too_many_lines,
    reason = "one value after the other, none of them forgotten"
)]
fn site(file: SiteFile, given: Given<'_>, text: &str) -> Result<Site, VariablesError> {
    let SiteFile {
        site,
        variables,
        secrets,
        request,
        listing,
        page,
        item,
        full,
        file,
    } = file;
    let SiteTable {
        name,
        description,
        base,
        image_hosts,
        inferred,
        opt_in,
    } = site;
    let variables = Variables::compile(variables, given, &name, text)?;
    let requests = requests::compile(request, &secrets, variables.values())?;
    let base = origin(&base, &variables, text)?;
    let image_hosts = ImageHosts::compile(&image_hosts)?;
    let is_host = |host: &str| base.host_str() == Some(host) || image_hosts.names(host);
    let (document, paging, mut stop) = listing.split();
    let DocumentTable {
        kind,
        script,
        namespaces,
    } = document;
    let (marker, empty) = (stop.marker.take(), stop.empty);
    let kind = item::document_kind(Some(kind), script, namespaces, text)?;
    let context = SourceContext::new(&kind, text);
    let end_mark = end_mark(marker, empty, context)?;
    let paging_context = PagingContext {
        base: &base,
        is_host: &is_host,
        variables: variables.values(),
        source: context,
    };
    let page_order = Arc::new(PageOrder::compile(paging, stop, &paging_context)?);
    let names = names::compile(&item, &page, &variables)?;
    let secure_hosts = if base.scheme() == "https" {
        let patterns = image_hosts.named.iter().map(ToString::to_string);
        base.host_str()
            .map(str::to_owned)
            .into_iter()
            .chain(patterns)
            .collect()
    } else {
        Vec::new()
    };
    let candidates = full::rules(
        full,
        &FullContext {
            names: &names,
            variables: &variables,
            secure_hosts: &secure_hosts,
            text,
        },
    )?;
    let ItemTable {
        select,
        each,
        conditions,
        thumb,
        link,
        title,
        fields,
        key,
        key_ignore,
        verify,
    } = item;
    let item_context = ItemContext {
        names: &names,
        variables: &variables,
        text,
    };
    let sources = |needs: &[FieldRef]| item::needs(needs, &[&thumb, &link, &title], &fields, text);
    let identity = item_context.identity(key.as_ref(), &key_ignore)?;
    let key = match (&key, &identity.key) {
        (Some(key), Some(template)) => item_context.made_of("key", key, template, &sources),
        _ => String::new(),
    };
    let declared = item_context.declared(verify, &sources)?;
    let FileTable {
        capture,
        name: file_name,
        min_width,
        min_height,
        skip_small,
    } = file;
    let file_name = item_context.file_name(capture, file_name)?;
    let sources = item::ItemSources {
        select,
        each,
        conditions,
        thumb,
        link,
        title,
        fields,
        page,
        key,
    };
    let extractor = sources.compile(kind, end_mark, &candidates, text)?;
    Ok(Site {
        id: name,
        rules: format!("{text}\n{:?}", variables.values()),
        description,
        inferred,
        opt_in,
        variables,
        requests,
        page_order,
        extractor,
        candidates,
        identity,
        declared,
        min_size: (min_width, min_height),
        skips_small: skip_small,
        file_name,
        base,
        image_hosts,
    })
}

/// The origin of a site's pages. It may be made of variables; then only the origin of the result counts.
fn origin(written: &Spanned<String>, variables: &Variables, text: &str) -> Result<Url, Diagnostic> {
    let template = Template::<()>::parse(written, text, |name| match variables.value(name) {
        Some(value) => Ok(super::template::Placeholder::Text(value.to_owned())),
        None => Err(PlaceholderError::unknown(
            name,
            &variables.names().collect::<Vec<_>>(),
        )),
    })?;
    let is_fixed = !written.get_ref().contains('{');
    let filled = template.fill(|()| None).unwrap_or_default();
    let refuse = |reason: &str| {
        Diagnostic::at(written, format!("not an origin: {reason}"))
            .help("write it as `https://example.com`")
    };
    let mut base = Url::parse(&filled).map_err(|error| refuse(&error.to_string()))?;
    address::usable(&base).map_err(|reason| refuse(&reason))?;
    if !is_fixed {
        base.set_path("/");
        base.set_query(None);
        base.set_fragment(None);
    }
    if base.path() != "/" || base.query().is_some() || base.fragment().is_some() {
        return Err(refuse("only scheme and host are expected")
            .help("put the path of the pages into `listing.url`"));
    }
    Ok(base)
}

fn end_mark(
    marker: Option<Spanned<ItemPathInput>>,
    empty: bool,
    context: SourceContext<'_>,
) -> Result<EndMark, Diagnostic> {
    match marker {
        Some(marker) if empty => {
            let help = "with `empty` any page without items ends the listing, with `marker` only one that has such an element";
            Err(
                Diagnostic::at(&marker, "`marker` and `empty = true` exclude each other")
                    .help(help),
            )
        }
        Some(marker) => Ok(EndMark::Marker(ItemPath::from_input(&marker, context)?)),
        None if empty => Ok(EndMark::Empty),
        None => Ok(EndMark::Never),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::LocatedDiagnostic;

    const GOOD: &str = r#"[site]
name = "small"
base = "https://small.invalid"
image_hosts = ["static.small.invalid"]

[listing]
kind = "html"
url = "/all/{page}"

[item]
select = "li"
thumb = ["img@data-src", "img@src"]

[[full]]
rewrite = { from = "thumb", regex = '^(?<full>.+)-small\.png$', to = "${full}.png" }

[file]
capture = { from = "full", regex = '/(?<name>[^/]+)$' }
name = "{name}"
"#;

    fn compile(text: &str) -> Result<Site, SiteError> {
        Site::from_toml(text)
    }

    /// The error in a definition.
    fn wrong_place(text: &str) -> LocatedDiagnostic {
        match compile(text) {
            Err(SiteError::Definition(error)) => *error,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("no error in {text}"),
        }
    }

    /// Every case: what to replace, by what, and the line, the column and words of the error.
    fn assert_errors(cases: &[(&str, &str, usize, usize, &str)]) {
        for (right, wrong, line, column, words) in cases {
            let text = GOOD.replacen(right, wrong, 1);
            let error = wrong_place(&text);
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
            ("\"html\"", "\"jsn\"", 7, 8, "did you mean `json`?"),
            ("\"thumb\"", "\"tumb\"", 15, 20, "did you mean `thumb`?"),
            ("rewrite =", "rewirte =", 15, 1, "did you mean `rewrite`?"),
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
                "[\"img@data-src\", \"img@src\"]",
                "5",
                12,
                9,
                "expected a source: a string or a table, or a list of them",
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
    fn a_list_in_a_tables_place_is_refused() {
        assert_errors(&[
            (
                "[item]",
                "stop = []\n[item]",
                10,
                8,
                "expected a table with `status`",
            ),
            (
                "[item]",
                "window = [1, \"2000-01-01\"]\n[item]",
                10,
                10,
                "expected a table with `days`",
            ),
            (
                "[listing]",
                "[[request]]\n[listing]",
                6,
                1,
                "expected a table with `headers`",
            ),
            (
                "[listing]",
                "[[listing]]",
                6,
                1,
                "expected a table with `kind`",
            ),
            (
                "thumb =",
                "verify = []\nthumb =",
                12,
                10,
                "expected a table with `md5`",
            ),
            (
                "thumb =",
                "where = [[]]\nthumb =",
                12,
                10,
                "expected a table with `value`",
            ),
            (
                "rewrite =",
                "follow = []\nrewrite =",
                15,
                10,
                "expected a table with `from`",
            ),
            (
                "capture = {",
                "capture = []\n# {",
                18,
                11,
                "expected a table with `from`",
            ),
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
            ("\"img@src\"", "\"..@src\"", 12, 26, "not a selector"),
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
                "more than 262144 bytes",
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
            ("{name}", "{nmae}", 19, 9, "did you mean `name`?"),
            (
                "(?<name>[^/]+)",
                "[^/]+",
                19,
                9,
                "unknown placeholder `{name}`",
            ),
            (
                "{name}",
                "{name}.{ext}",
                19,
                16,
                "the extension of a file is added by itself",
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
                "`text = true` the text inside",
            ),
            (
                "[\"img@data-src\", \"img@src\"]",
                "[]",
                12,
                9,
                "an empty list",
            ),
            ("from = \"thumb\", ", "", 15, 21, "add `from = \"thumb\"`"),
            ("\"{name}\"", "\"wallpaper\"", 19, 8, "the same name"),
            ("\"{name}\"", "\"all/{name}\"", 19, 12, "cannot contain `/`"),
            ("\"{name}\"", "\"{name\"", 19, 9, "`{` without `}`"),
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
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn a_wrong_way_to_an_original_is_reported_at_its_place() {
        let follow =
            |inner: &str| format!("follow = {{ from = \"thumb\", find = \"img@src\"{inner} }}\n#");
        let deep =
            "{ find = 'a@href', follow = ".repeat(3) + "{ find = 'a@href' }" + &"}".repeat(3);
        assert_errors(&[
            (
                "rewrite =",
                "field = \"thmb\"\n#",
                15,
                9,
                "unknown field `thmb`",
            ),
            (
                "rewrite =",
                "field = \"thmb\"\n#",
                15,
                9,
                "did you mean `thumb`?",
            ),
            (
                "rewrite =",
                "field = \"link\"\n#",
                15,
                9,
                "add `link = …` to `[item]`",
            ),
            (
                "rewrite =",
                "field = \"thumb\"\nrewrite =",
                14,
                1,
                "exclude each other",
            ),
            ("rewrite =", "#", 14, 1, "without a rule"),
            (
                "rewrite =",
                "template = \"/{iid}\"\n#",
                15,
                14,
                "unknown placeholder `{iid}`",
            ),
            (
                "rewrite =",
                "template = \"/a.png\"\n#",
                15,
                12,
                "the same address",
            ),
            (
                "rewrite =",
                "template = \"/{secret.key}\"\n#",
                15,
                14,
                "is a secret",
            ),
            (
                "rewrite =",
                "where = [{ field = \"tumb\", exists = true }]\nrewrite =",
                15,
                20,
                "unknown field `tumb`",
            ),
            (
                "rewrite =",
                &follow(", fnd = 1"),
                15,
                46,
                "did you mean `find`?",
            ),
            (
                "rewrite =",
                "follow = { find = \"img@src\" }\n#",
                15,
                10,
                "does not say which page",
            ),
            (
                "rewrite =",
                &follow(", template = \"/{thumb}\""),
                15,
                57,
                "exclude each other",
            ),
            (
                "rewrite =",
                &follow(", follow = { from = \"thumb\", find = \"a@href\" }"),
                15,
                64,
                "a later page",
            ),
            (
                "rewrite =",
                &follow(&format!(", follow = {deep}")),
                15,
                111,
                "more than 3 pages",
            ),
            (
                "rewrite =",
                &follow(", script = \"script\""),
                15,
                55,
                "`script` has no effect",
            ),
            (
                "rewrite =",
                &follow(", kind = \"embedded\""),
                15,
                53,
                "need `script`",
            ),
        ]);
    }

    #[test]
    fn a_wrong_name_key_or_host_pattern_is_reported_at_its_place() {
        assert_errors(&[
            (
                "thumb =",
                "fields = { Id = \"img@id\" }\nthumb =",
                12,
                12,
                "`Id` cannot be a name",
            ),
            (
                "thumb =",
                "fields = { link = \"img@id\" }\nthumb =",
                12,
                12,
                "in `[item]` itself",
            ),
            (
                "thumb =",
                "key = \"{id}\"\nthumb =",
                12,
                8,
                "unknown placeholder `{id}`",
            ),
            ("thumb =", "key = \"x\"\nthumb =", 12, 7, "the same key"),
            (
                "thumb =",
                "verify = { git_sha1 = \"{thumb}\" }\nthumb =",
                12,
                23,
                "without `bytes`",
            ),
            (
                "thumb =",
                "key_ignore = [\"*\"]\nthumb =",
                12,
                15,
                "not a parameter",
            ),
            (
                "thumb =",
                "verify = { md4 = \"\" }\nthumb =",
                12,
                12,
                "did you mean `md5`?",
            ),
            (
                "static.small.invalid",
                "*.invalid",
                4,
                16,
                "top-level domain",
            ),
            ("static.small.invalid", "*", 4, 16, "`*` within the name"),
            (
                "[item]",
                "[variables]\nid = { default = 1 }\n[item]",
                11,
                18,
                "expected a string",
            ),
            ("[item]", "expect = 0\n[item]", 10, 10, "fewer than 0 items"),
            (
                "[item]",
                "script = \"script\"\n[item]",
                10,
                10,
                "`script` has no effect",
            ),
            (
                "[item]",
                "namespaces = {}\n[item]",
                10,
                14,
                "`namespaces` has no effect",
            ),
            ("name = \"{name}\"", "", 18, 11, "no effect without `name`"),
            ("{name}", "{name:path}", 19, 8, "has no encoding"),
        ]);
        let variable = "[variables]\nid = \"x\"\n[item]\nkey = \"{id}\"";
        assert_errors(&[(
            "[item]",
            variable,
            13,
            8,
            "cannot depend on the variable `id`",
        )]);
    }

    #[test]
    fn a_definition_has_at_most_64_ways_and_64_regex_steps() {
        let rule = &GOOD[GOOD.find("[[full]]").unwrap()..GOOD.find("[file]").unwrap()];
        assert!(compile(&GOOD.replace(rule, &rule.repeat(64))).is_ok());
        let error = wrong_place(&GOOD.replace(rule, &rule.repeat(65))).to_string();
        assert!(
            error.contains("more than 64 ways to an original"),
            "{error}"
        );
        let step = ", { regex = '(.*)', to = '$1' }";
        let rewrite = &rule[rule.find("= {").unwrap() + 2..].trim_end();
        let steps = |count: usize| {
            let list = format!("[{rewrite}{}]", step.repeat(count - 1));
            GOOD.replace(rewrite, &list)
        };
        assert!(compile(&steps(64)).is_ok());
        let error = wrong_place(&steps(65)).to_string();
        assert!(error.contains("more than 64 rewrite steps"), "{error}");
    }

    #[test]
    fn an_error_is_shown_in_its_line() {
        let error = wrong_place(&GOOD.replace("^(?<full>.+)", "^(?<full>.+"));
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
        let error = wrong_place(&foreign.replace("select = \"li\"", "selct = \"li\""));
        assert_eq!((error.line(), error.column()), (11, 1));
        assert!(
            error
                .render("small.toml", false)
                .contains("11 | selct = \"li\"")
        );
    }

    #[test]
    fn no_broken_definition_panics() {
        let optional = GOOD.find("[file]").unwrap() - 2;
        for cut in 0..GOOD.len() {
            assert!(compile(&GOOD[..cut]).is_err() || cut >= optional);
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
        for (name, text) in super::super::shipped() {
            let site = Site::to_show(text);
            let site = site.unwrap_or_else(|error| panic!("{}", error.render(name, false)));
            assert_eq!(site.id().as_str(), *name);
        }
        let unknown = Site::shipped("simpledesktop").unwrap_err().to_string();
        assert!(
            unknown.contains("did you mean `simpledesktops`?"),
            "{unknown}"
        );
    }
}
