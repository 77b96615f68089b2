//! Sources: alternatives of where a text is, and what is done with it.

mod compile;

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::Spanned;

use super::condition::Condition;
use super::html::{strip_tags, unescape};
use super::limits::{MAX_TEXT_BYTES, MAX_TEXTS};
use super::locator::{Locator, Wanted};
use super::parsed::{ParseRule, ParsedText};
use super::path::ItemPath;
use super::pick::{Pick, RankedText};
use super::{Place, Scope, SourceContext, Work};
use crate::site::diagnostic::Diagnostic;
use crate::site::name::char_boundary_before;
use crate::site::pattern::Pattern;
use crate::site::schema::SourceInput;

/// Where in an item a text is: alternatives, the preferred one first.
#[derive(Debug)]
pub(in crate::site) struct Source(Vec<Alternative>);

#[derive(Debug)]
enum Alternative {
    Plain(Locator),
    Table(Box<SourceSteps>),
}

/// A table, in the order in which its steps are taken.
#[derive(Debug)]
struct SourceSteps {
    /// Items within the item, each of which gives texts.
    each: Option<ItemPath>,
    conditions: Vec<Condition>,
    from: TextOrigin,
    label: Option<String>,
    unescape: bool,
    parse: Option<(ParseRule, Source)>,
    strip_tags: bool,
    not: Option<Pattern>,
    pick: Option<Pick>,
    capture: Option<Pattern>,
    map: Option<BTreeMap<String, String>>,
    default: Option<String>,
}

#[derive(Debug)]
enum TextOrigin {
    /// One place in the definition's text; only such texts can be chosen by a label and parsed whole.
    Place(Locator),
    Sources(Source),
    Lookup(Lookup),
}

/// A text that names the member of an object which holds the wanted texts.
#[derive(Debug)]
struct Lookup {
    name: Source,
    object: Locator,
    then: Source,
}

impl Source {
    /// Compiles what a definition says.
    pub(in crate::site) fn compile(
        written: Spanned<SourceInput>,
        context: SourceContext<'_>,
    ) -> Result<Self, Diagnostic> {
        compile::alternatives(written, context).map(Self)
    }

    /// The texts there, the preferred one first: trimmed, not empty, and no `data:` URL.
    pub(in crate::site) fn texts(&self, scope: Scope<'_>) -> Vec<String> {
        let mut texts = Vec::new();
        for alternative in &self.0 {
            if texts.len() >= MAX_TEXTS {
                break;
            }
            let found = match alternative {
                Alternative::Plain(locator) => {
                    let found = locator.texts(scope, Wanted::default());
                    found.into_iter().filter_map(usable).collect()
                }
                Alternative::Table(steps) => steps.texts(scope),
            };
            // Most sources have one alternative, whose texts need not be moved.
            if texts.is_empty() {
                texts = found;
            } else {
                texts.extend(found);
            }
        }
        texts.truncate(MAX_TEXTS);
        let work = &scope.node.shared.work;
        texts.retain(|text| work.read(text.len()));
        texts
    }

    /// Whether anything is there: an element, an attribute or a value other than null, with or without a text.
    pub(in crate::site) fn exists(&self, scope: Scope<'_>) -> bool {
        self.0.iter().any(|alternative| match alternative {
            Alternative::Plain(locator) => locator.exists(scope),
            Alternative::Table(steps) => !steps.texts(scope).is_empty(),
        })
    }

    /// Whether there is an object or a list in a text's place. Not where a table looks at several places: those that
    /// are no text are left out.
    pub(in crate::site) fn is_structure(&self, scope: Scope<'_>) -> bool {
        self.0.iter().any(|alternative| match alternative {
            Alternative::Plain(locator) => locator.is_structure(scope),
            Alternative::Table(steps) => match &steps.from {
                _ if steps.each.is_some() => false,
                TextOrigin::Place(locator) => locator.is_structure(scope),
                TextOrigin::Sources(source) => source.is_structure(scope),
                TextOrigin::Lookup(_) => false,
            },
        })
    }
}

/// A text as it is kept; `None` if it is empty or holds an image itself.
fn usable(text: Cow<'_, str>) -> Option<String> {
    let kept = text.trim();
    if kept.is_empty() || is_data(kept) {
        return None;
    }
    let kept = &kept[..char_boundary_before(kept, MAX_TEXT_BYTES)];
    Some(if kept.len() == text.len() {
        text.into_owned()
    } else {
        kept.to_owned()
    })
}

/// Whether `text` is a `data:` URL (RFC 2397), which no title looks like.
fn is_data(text: &str) -> bool {
    let is_scheme = |scheme: &str| scheme.eq_ignore_ascii_case("data:");
    if !text.get(..5).is_some_and(is_scheme) {
        return false;
    }
    let head = text[5..].split(',').next().unwrap_or_default();
    text[5..].contains(',') && !head.contains(char::is_whitespace)
}

impl SourceSteps {
    fn texts(&self, scope: Scope<'_>) -> Vec<String> {
        let holds = |scope: Scope<'_>| self.conditions.iter().all(|rule| rule.holds(scope));
        let mut found = Vec::new();
        match &self.each {
            Some(each) => {
                for node in each.within(scope.node) {
                    let inner = Scope {
                        node,
                        outer: Some(scope.node),
                    };
                    if found.len() < MAX_TEXTS && holds(inner) {
                        self.collect(inner, &mut found);
                    }
                }
            }
            None if holds(scope) => self.collect(scope, &mut found),
            None => {}
        }
        let picked = match &self.pick {
            Some(pick) => pick.choose(found).into_iter().collect(),
            None => found,
        };
        let work = &scope.node.shared.work;
        let texts = picked.into_iter().map(|found| found.text);
        let mut texts: Vec<String> = texts.filter_map(|text| self.finish(text, work)).collect();
        if texts.is_empty() {
            texts.extend(self.default.clone());
        }
        texts
    }

    /// The texts in `scope`, before one is picked.
    fn collect(&self, scope: Scope<'_>, found: &mut Vec<RankedText>) {
        for text in self.unfinished(scope) {
            let text = if self.strip_tags {
                strip_tags(&text)
            } else {
                text
            };
            let Some(text) = usable(text.into()) else {
                continue;
            };
            let work = &scope.node.shared.work;
            if self
                .not
                .as_ref()
                .is_some_and(|not| not.is_match(&text, work))
            {
                continue;
            }
            if found.len() >= MAX_TEXTS {
                return;
            }
            let rank = match &self.pick {
                Some(pick) => pick.rank(&text, scope),
                None => None,
            };
            found.push(RankedText { text, rank });
        }
    }

    /// The texts as they are in the page, or in what is parsed of it.
    fn unfinished(&self, scope: Scope<'_>) -> Vec<String> {
        let unescaped = |text: &str| {
            if self.unescape {
                unescape(text)
            } else {
                text.to_owned()
            }
        };
        let locator = match &self.from {
            TextOrigin::Place(locator) => locator,
            TextOrigin::Sources(source) => {
                let texts = source.texts(scope);
                return texts.iter().map(|text| unescaped(text)).collect();
            }
            TextOrigin::Lookup(lookup) => {
                let texts = lookup.texts(scope);
                return texts.iter().map(|text| unescaped(text)).collect();
            }
        };
        let wanted = Wanted {
            label: self.label.as_deref(),
            parsed_as: self.parse.as_ref().map(|(rule, _)| rule.language),
        };
        let work = &scope.node.shared.work;
        let texts = locator.texts(scope, wanted);
        let mut texts = texts
            .iter()
            .take_while(|text| work.read(text.len()))
            .map(|text| unescaped(text));
        let Some((rule, then)) = &self.parse else {
            return texts.collect();
        };
        let mut found = Vec::new();
        while let Some(text) = texts.next()
            && found.len() < MAX_TEXTS
        {
            let parsed = ParsedText::new(rule, &text, work);
            for node in scope.node.roots(&parsed) {
                found.extend(then.texts(Scope {
                    node,
                    outer: scope.outer,
                }));
            }
        }
        found
    }

    /// The part of a text that is wanted, and what the table says for it.
    fn finish(&self, text: String, work: &Work) -> Option<String> {
        let text = match &self.capture {
            Some(capture) => {
                let captures = capture.captures(&text, work)?;
                let part = captures.iter().skip(1).flatten().next();
                let part = part.or_else(|| captures.get(0))?;
                part.as_str().trim().to_owned()
            }
            None => text,
        };
        let text = match &self.map {
            Some(map) => map.get(&text).or_else(|| map.get("*"))?.clone(),
            None => text,
        };
        (!text.is_empty()).then_some(text)
    }
}

impl Lookup {
    fn texts(&self, scope: Scope<'_>) -> Vec<String> {
        let objects = self.object.values(scope);
        let mut found = Vec::new();
        for name in self.name.texts(scope) {
            for object in &objects {
                let Place::Json(place) = object.place else {
                    continue;
                };
                let Some(member) = place.member(&name, &object.shared.work) else {
                    continue;
                };
                found.extend(self.then.texts(Scope {
                    node: object.at_json(member),
                    outer: scope.outer,
                }));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::DocumentKind;
    use super::super::testing::{holds, item_texts, refusal, texts};

    fn html(page: &str, source: &str) -> Vec<String> {
        texts(&DocumentKind::Html, page, source)
    }

    #[test]
    fn selector_and_attribute_may_stand_apart() {
        let page = "<li><a href=x>one</a><img data-src=a src=b></li>";
        for (source, expected) in [
            ("{ select = 'img', attr = 'src' }", vec!["b"]),
            (
                "{ select = 'img', attr = ['data-src', 'SRC'] }",
                vec!["a", "b"],
            ),
            ("{ select = 'a', text = true }", vec!["one"]),
            ("{ select = 'a', attr = 'href', text = 'one' }", vec!["x"]),
            ("{ select = 'a', attr = 'href', text = 'two' }", vec![]),
            (
                "{ select = 'a', attr = 'href', capture = '(.)' }",
                vec!["x"],
            ),
        ] {
            assert_eq!(html(page, source), expected, "{source}");
        }
        for (source, words) in [
            ("{ select = 'img' }", "either an attribute or a text"),
            ("{ select = 'img', attr = ' ' }", "no attribute is named"),
            (
                "{ select = 'img', attr = 'a', source = 'b' }",
                "`source` names",
            ),
            ("{ source = 'a', text = 5 }", "neither a text nor `true`"),
        ] {
            let refused = refusal(&DocumentKind::Html, source);
            assert!(refused.contains(words), "{source}: {refused}");
        }
        let json = refusal(&DocumentKind::Json, "{ select = 'a', attr = 'b' }");
        assert!(json.contains("only HTML"), "{json}");
    }

    fn json(page: &str, source: &str) -> Vec<String> {
        texts(&DocumentKind::Json, page, source)
    }

    #[test]
    fn alternatives_are_in_order_and_placeholders_are_passed_over() {
        let page = "<img class=a src='data:image/gif;base64,R0lG' data-src=' /a.png\n'><img class=b src=/wait.png data-src=/b.png><i>data: a word, and more</i>";
        assert_eq!(
            html(page, "[\"img.a@data-src\", \"img.a@src\"]"),
            ["/a.png"]
        );
        assert_eq!(
            html(page, "[\"img.a@src\", \"img.a@data-src\"]"),
            ["/a.png"]
        );
        let not = "[{ source = \"img@src\", not = 'wait' }, \"img@data-src\"]";
        assert_eq!(html(page, not), ["/a.png", "/b.png"]);
        assert_eq!(html(page, "\"i\""), ["data: a word, and more"]);
    }

    #[test]
    fn texts_are_unescaped_stripped_captured_and_mapped() {
        let page = r#"{ "url": "/a?b=1&amp;c=2", "alt": "<font color='red'>sea</font> side", "type": "image/jpg", "id": "OHR.Otter_EN-US1" }"#;
        for (source, expected) in [
            ("{ source = \"/url\", unescape = true }", "/a?b=1&c=2"),
            ("{ source = \"/url\" }", "/a?b=1&amp;c=2"),
            ("{ source = \"/alt\", strip_tags = true }", "sea side"),
            ("{ source = \"/id\", capture = 'OHR\\.([^_]+)_' }", "Otter"),
            ("{ source = \"/id\", capture = '\\d$' }", "1"),
            (
                "{ source = \"/type\", map = { \"image/jpg\" = \"jpg\" } }",
                "jpg",
            ),
            ("{ source = \"/type\", map = { \"*\" = \"png\" } }", "png"),
            ("{ source = \"/none\", default = \"x\" }", "x"),
            (
                "{ source = \"/type\", map = { a = \"b\" }, default = \"x\" }",
                "x",
            ),
            (
                "{ source = [\"/none\", \"/id\"], capture = '(Otter)' }",
                "Otter",
            ),
        ] {
            assert_eq!(json(page, source), [expected], "{source}");
        }
        assert!(json(page, "{ source = \"/type\", map = { a = \"b\" } }").is_empty());
        assert!(json(page, "{ source = \"/id\", capture = 'x(.)' }").is_empty());
    }

    #[test]
    fn a_text_that_is_json_or_html_is_parsed_again() {
        let page = r#"{ "item": "{\"ad\": {\"image\": \"/a.jpg\"}}", "html": "<p><img src='/b.jpg'><img src='/c.jpg'></p>", "bad": "{" }"#;
        let source = "{ source = \"/item\", parse = \"json\", then = \"/ad/image\" }";
        assert_eq!(json(page, source), ["/a.jpg"]);
        let source = "{ source = \"/html\", parse = \"html\", then = \"img@src\" }";
        assert_eq!(json(page, source), ["/b.jpg", "/c.jpg"]);
        let source = "{ source = \"/bad\", parse = \"json\", then = \"\", default = \"x\" }";
        assert_eq!(json(page, source), ["x"]);
        let page = "<script>{ \"a  b\": \"c  d\" }</script>";
        let source = "{ source = \"script\", parse = \"json\", then = \"/a  b\" }";
        assert_eq!(html(page, source), ["c  d"]);
    }

    #[test]
    fn items_can_be_in_a_text_that_is_parsed() {
        let page = r#"{ "html": "<b id=1>a</b><b id=2>c</b>", "more": true }"#;
        let select = "{ source = \"/html\", parse = \"html\", then = \"b\" }";
        let found = item_texts(&DocumentKind::Json, page, select, "", "\"@id\"");
        assert_eq!(found, [["1"], ["2"]]);
        let texts = format!(
            "{{ each = {select}, source = \"@id\", where = [{{ value = \".\", equals = \"c\" }}] }}"
        );
        assert_eq!(json(page, &texts), ["2"]);
        let mixed = refusal(
            &DocumentKind::Json,
            &format!("{{ each = [{select}, \"\"], source = \"\" }}"),
        );
        assert!(mixed.contains("the same language"), "{mixed}");
    }

    #[test]
    fn the_parts_of_a_gallery_keep_their_order_and_are_looked_up() {
        let page = r#"{ "posts": [{
            "title": "walk",
            "order": [{ "id": "c" }, { "id": "a" }, { "id": "gone" }],
            "facts": { "a": { "m": "image/jpg" }, "b": {}, "c": { "m": "image/png" }, "gone": null }
        }] }"#;
        let texts = |source: &str| {
            item_texts(
                &DocumentKind::Json,
                page,
                "\"/posts/*\"",
                "\"/order/*\"",
                source,
            )
        };
        let looked_up = "{ lookup = { source = \"/id\", in = \"^/facts\", then = \"/m\" }, map = { \"image/jpg\" = \"jpg\", \"image/png\" = \"png\" } }";
        assert_eq!(texts(looked_up), [vec!["png"], vec!["jpg"], vec![]]);
        assert_eq!(texts("\"^/title\""), [["walk"]; 3]);
        let alone = item_texts(&DocumentKind::Json, page, "\"/posts/*\"", "", "\"^/title\"");
        assert_eq!(alone, [["walk"]]);
    }

    #[test]
    fn the_largest_is_picked_by_numbers_in_it_or_beside_it() {
        let page = "<select><option value=1920x1080>a<option value='no size'>b<option value=2560x1600>c<option value=800x600>d</select>";
        let source = "{ source = \"option@value\", pick = { largest = '(\\d+)x(\\d+)' } }";
        assert_eq!(html(page, source), ["2560x1600"]);
        assert_eq!(
            html(page, "{ source = \"option\", pick = \"first\" }"),
            ["a"]
        );
        assert_eq!(
            html(page, "{ source = \"option\", pick = \"last\" }"),
            ["d"]
        );
        let page = r#"{ "media": [{ "u": "a", "w": "100", "t": "image" }, { "u": "b", "w": 900, "t": "video" }, { "u": "c", "w": 640, "t": "image" }, { "u": "d", "t": "image" }] }"#;
        let images = "where = [{ value = \"/t\", equals = \"image\" }]";
        for largest in ["\"/w\"", "{ source = \"/w\" }"] {
            let source = format!(
                "{{ each = \"/media/*\", {images}, source = \"/u\", pick = {{ largest = {largest} }} }}"
            );
            assert_eq!(json(page, &source), ["c"], "{source}");
        }
        let all = format!("{{ each = \"/media/*\", {images}, source = \"/u\" }}");
        assert_eq!(json(page, &all), ["a", "c", "d"]);
    }

    #[test]
    fn a_condition_of_a_source_concerns_the_item_where_it_has_no_each() {
        let page = r#"{ "kind": "image", "u": "a" }"#;
        let when = |kind: &str| {
            format!("{{ source = \"/u\", where = [{{ value = \"/kind\", equals = \"{kind}\" }}] }}")
        };
        assert_eq!(json(page, &when("image")), ["a"]);
        assert!(json(page, &when("video")).is_empty());
    }

    #[test]
    fn elements_and_attributes_exist_without_a_text() {
        let page = "<video></video><img hidden>";
        for (value, expected) in [
            ("\"video\"", true),
            ("\"audio\"", false),
            ("\"img@hidden\"", true),
            ("\"img@src\"", false),
            ("[\"audio\", \"video\"]", true),
            ("{ source = \"video\" }", false),
        ] {
            let toml = format!("{{ value = {value}, exists = true }}");
            assert_eq!(holds(&DocumentKind::Html, page, &toml), expected, "{toml}");
        }
    }

    #[test]
    fn a_source_that_cannot_be_meant_is_refused_with_its_place() {
        for (source, words) in [
            ("[]", "an empty list of sources"),
            ("{ capture = 'a' }", "missing key `source`"),
            ("{ sorce = \"/a\" }", "did you mean `source`?"),
            (
                "{ source = \"/a\", parse = \"json\" }",
                "`parse` without `then`",
            ),
            (
                "{ source = \"/a\", then = \"/b\" }",
                "`then` without `parse`",
            ),
            (
                "{ source = \"/a\", parse = \"yaml\", then = \"/b\" }",
                "unknown value `yaml`",
            ),
            (
                "{ source = \"/a\", parse = \"html\", then = \"img@\" }",
                "is not the name of an attribute",
            ),
            (
                "{ source = [\"/a\"], parse = \"json\", then = \"\" }",
                "only a single source can be parsed",
            ),
            (
                "{ source = \"/a\", pick = \"fist\" }",
                "did you mean `first`?",
            ),
            (
                "{ source = \"/a\", pick = { largest = '(?:\\d+)' } }",
                "captures no number",
            ),
            (
                "{ source = \"/a\", capture = '[' }",
                "unclosed character class",
            ),
            (
                "{ source = \"/a\", where = [{ value = \"/b\" }] }",
                "without a test",
            ),
            (
                "{ source = \"/a\", lookup = { source = \"/a\", in = \"/b\" } }",
                "exclude each other",
            ),
            ("{ source = \"/a\", map = { a = 1 } }", "expected a string"),
            ("5", "a source: a string or a table, or a list of them"),
        ] {
            let refusal = refusal(&DocumentKind::Json, source);
            assert!(refusal.contains(words), "{refusal}");
            assert!(refusal.contains("site.toml:1:"), "{refusal}");
        }
        let refusal = refusal(
            &DocumentKind::Html,
            "{ lookup = { source = \"a\", in = \"b\" } }",
        );
        assert!(refusal.contains("only JSON has objects"), "{refusal}");
    }
}
