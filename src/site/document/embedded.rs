//! JSON in a script of an HTML page.

use toml::Spanned;

use super::html;
use super::json::JsonTree;
use super::limits::Work;
use super::trees;
use crate::event::ListingFailure;
use crate::site::diagnostic::Diagnostic;
use crate::site::extract::PageText;
use crate::site::pattern::{Pattern, pattern, selector};
use crate::site::schema::{ScriptInput, ScriptTable};
use crate::site::selector::Selector;

/// The element that holds the JSON: the first that the selector matches and whose text has a match of the pattern.
#[derive(Debug)]
pub(in crate::site) struct Script {
    select: Selector,
    /// The JSON begins behind this.
    behind: Option<Pattern>,
}

impl Script {
    /// Compiles `listing.script`; `text` is the definition.
    pub(in crate::site) fn compile(
        written: Spanned<ScriptInput>,
        text: &str,
    ) -> Result<Self, Diagnostic> {
        let span = written.span();
        let (select, behind) = match written.into_inner() {
            ScriptInput::Text(select) => (Spanned::new(span, select), None),
            ScriptInput::Table(ScriptTable { select, behind }) => (select, behind),
        };
        let behind = behind.map(|behind| pattern(&behind, text));
        Ok(Self {
            select: selector(&select)?,
            behind: behind.transpose()?,
        })
    }

    /// The value in the element, and the page's base. What follows the value is code, and not read.
    ///
    /// # Errors
    ///
    /// When there is no such element, or no JSON in it.
    pub(super) fn read(
        &self,
        page: PageText<'_>,
        work: &Work,
    ) -> Result<(JsonTree<'static>, Option<String>), ListingFailure> {
        let mut found = None;
        let mut base = None;
        let mut elements = 0;
        trees(page, &mut |page| {
            base = base.take().or_else(|| html::base_of(page));
            for element in self.select.select(page, work) {
                if found.is_some() {
                    break;
                }
                elements += 1;
                let text = element.text().collect::<String>();
                found = match &self.behind {
                    Some(pattern) => pattern.behind(&text, work).map(str::to_owned),
                    None => Some(without_assignment(&text).to_owned()),
                };
            }
        })?;
        work.check()?;
        let cause = if elements == 0 {
            "no element is what `script` in the site's definition selects".to_owned()
        } else {
            format!(
                "none of the {elements} elements that `script` in the site's definition selects has a match of `behind`"
            )
        };
        let text = found.ok_or(ListingFailure::Unreadable {
            language: "HTML",
            cause,
        })?;
        Ok((JsonTree::parse_first(&text)?.into_owned(), base))
    }
}

/// What a script assigns: `window.state = {};` is `{}`.
fn without_assignment(text: &str) -> &str {
    let text = text.trim().trim_end_matches([';', '\n', '\r', ' ', '\t']);
    let Some(brace) = text.find(['{', '[']) else {
        return text;
    };
    // In front of the value there is a name at most, as in `window["state"] =`: its bracket does not begin the value.
    let is_name = |text: &str| {
        let head = text.trim_end();
        !head.contains(['\n', '{', ';', '(']) && head.ends_with('=')
    };
    if brace == 0 || is_name(&text[..brace]) {
        return &text[brace..];
    }
    match text.find('=') {
        Some(sign) if is_name(&text[..=sign]) => text[sign + 1..].trim_start(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::super::testing::{embedded_in, item_texts, try_read};
    use super::*;

    #[test]
    fn json_in_a_script_is_read_without_what_assigns_it() {
        for script in [
            r#"{ "n": [1, 2] }"#,
            "\n window.state = { \"n\": [1, 2] };\n",
            r#"var state={"n":[1,2]}"#,
            r#"window["state"] = { "n": [1, 2] };"#,
            r#"window.state = { "n": [1, 2] }; more({ "n": 3 });"#,
            r#"{ "n": [1, 2] } trailing"#,
        ] {
            let page = format!("<base href='/b/'><script>1</script><script id=s>{script}</script>");
            let found = item_texts(&embedded_in("\"#s\""), &page, "\"/n\"", "", "\"\"");
            assert_eq!(found, [["1"], ["2"]], "{script}");
            let mut base = None;
            read(&embedded_in("\"#s\""), PageText::from(&page), &mut |page| {
                base = page.base();
            })
            .unwrap();
            assert_eq!(base.as_deref(), Some("/b/"));
        }
        let list = "<script>a.b = [{ \"n\": \"x = {\" }];</script>";
        let found = item_texts(&embedded_in("\"script\""), list, "\"\"", "", "\"/n\"");
        assert_eq!(found, [["x = {"]]);
    }

    #[test]
    fn the_script_is_the_one_with_what_is_before_its_json() {
        let page = "<script>go({ \"n\": 0 })</script>\
            <script>var a = [1];\nwindow.__STATE__=\n{ \"n\": [1, 2] };(function () { go() })()</script>\
            <script>window.__STATE__ = { \"n\": 3 }</script>";
        let script = "{ select = \"script\", behind = '__STATE__\\s*=' }";
        let found = item_texts(&embedded_in(script), page, "\"/n\"", "", "\"\"");
        assert_eq!(found, [["1"], ["2"]]);
        let script = "{ select = \"script\", behind = 'other' }";
        let refused = try_read(&embedded_in(script), page, &mut |_| ());
        let message = format!("{refused:?}");
        assert!(message.contains("none of the 3 elements"), "{message}");
    }

    #[test]
    fn a_page_without_the_script_or_its_json_is_unreadable() {
        let language = |page: &str| match try_read(&embedded_in("\"#s\""), page, &mut |_| ()) {
            Err(ListingFailure::Unreadable { language, .. }) => language,
            other => panic!("{other:?}"),
        };
        assert_eq!(language("<script>{}</script>"), "HTML");
        assert_eq!(language("<script id=s>go({ \"n\": 1 });</script>"), "JSON");
        assert_eq!(language("<script id=s></script>"), "JSON");
    }
}
