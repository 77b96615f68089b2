//! Well-formed pages: the tree that the HTML parser would make, sooner.
//!
//! Most of the HTML Standard's tree construction (section 13.2.6) mends mistakes. A page without any, of the elements
//! that galleries are made of, has the tree that its tags say. Whatever else occurs (an element left open, one that the
//! standard moves or closes by itself, a table, an unknown name, a rare reference) ends this with `None`, and the parser
//! reads the page from its start: to be too strict costs the time up to there, to be too lax would give another tree.
//!
//! (Measured: of a run over 20,000 images that are all there, with pages of 28, the parser took a third of the CPU, and
//! this takes a tenth of what is left.)

mod attributes;
mod elements;
mod references;

use html5ever::tree_builder::{ElementFlags, NodeOrText, TreeSink};
use html5ever::{QualName, ns};
use scraper::{Html, HtmlTreeSink, StrTendril};

use self::elements::{ElementKind, kind_of};
use super::tree::{self, offset};

type NodeId = <HtmlTreeSink as TreeSink>::Handle;

/// Far below the limits of the HTML parser's trees, so that it alone decides about pages near them.
const MAX_DEPTH: usize = 100;

/// The same for elements and texts.
const MAX_NODES: usize = 50_000;

/// Where in a page the reader is (the standard's insertion modes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InsertionMode {
    Initial,
    BeforeHtml,
    BeforeHead,
    InHead,
    AfterHead,
    InBody,
    AfterBody,
    AfterAfterBody,
}

/// An element that is open.
struct OpenElement<'t> {
    node: NodeId,
    name: &'t str,
    kind: ElementKind,
}

struct Reader<'t> {
    whole: &'t StrTendril,
    text: &'t str,
    /// What is read so far, in bytes.
    at: usize,
    sink: HtmlTreeSink,
    mode: InsertionMode,
    open: Vec<OpenElement<'t>>,
    nodes: usize,
}

/// The tree of a page; `None` where only the HTML parser can say what it is.
pub(super) fn parse(whole: &StrTendril) -> Option<Html> {
    let text: &str = whole;
    // The parser turns these into others.
    if memchr::memchr2(b'\r', b'\0', text.as_bytes()).is_some() {
        return None;
    }
    let mut reader = Reader {
        whole,
        text,
        at: 0,
        sink: HtmlTreeSink::new(Html::new_document()),
        mode: InsertionMode::Initial,
        open: Vec::new(),
        nodes: 0,
    };
    reader.page()?;
    Some(reader.sink.finish())
}

/// Whether a page has the same tree by both ways, or is left to the HTML parser: for the fuzz targets.
pub fn matches_html_parser(page: &str) -> bool {
    let whole = StrTendril::from(page);
    parse(&whole).is_none_or(|tree| {
        tree::one(&whole, page, 0, usize::MAX).is_ok_and(|(expected, length)| {
            length == page.len()
                && tree.quirks_mode == expected.quirks_mode
                && tree.tree == expected.tree
        })
    })
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn page(&mut self) -> Option<()> {
        while self.at < self.text.len() {
            if self.nodes > MAX_NODES || self.open.len() > MAX_DEPTH {
                return None;
            }
            let rest = self.rest();
            if !rest.starts_with('<') {
                let length = memchr::memchr(b'<', rest.as_bytes()).unwrap_or(rest.len());
                self.characters(length)?;
                self.at += length;
            } else if let Some(inside) = rest.strip_prefix("<!--") {
                self.comment(inside)?;
            } else if rest.starts_with("<!") {
                self.doctype()?;
            } else if let Some(inside) = rest.strip_prefix("</") {
                self.end_tag(inside)?;
            } else {
                self.start_tag()?;
            }
        }
        // Before that, the parser adds what is missing.
        matches!(
            self.mode,
            InsertionMode::InBody | InsertionMode::AfterBody | InsertionMode::AfterAfterBody
        )
        .then_some(())
    }

    fn doctype(&mut self) -> Option<()> {
        const DOCTYPE: &str = "<!doctype html>";
        let written = self.rest().get(..DOCTYPE.len())?;
        if self.mode != InsertionMode::Initial || !written.eq_ignore_ascii_case(DOCTYPE) {
            return None;
        }
        let (name, none) = (StrTendril::from("html"), StrTendril::new());
        self.sink
            .append_doctype_to_document(name, none.clone(), none);
        self.at += DOCTYPE.len();
        self.mode = InsertionMode::BeforeHtml;
        Some(())
    }

    /// A comment, which begins behind `<!--`.
    fn comment(&mut self, inside: &str) -> Option<()> {
        let length = inside.find("--")?;
        if !inside[length..].starts_with("-->")
            || inside.starts_with('>')
            || inside.starts_with("->")
        {
            return None;
        }
        let node = self.sink.create_comment(self.piece(self.at + 4, length));
        let parent = match self.mode {
            InsertionMode::Initial | InsertionMode::BeforeHtml | InsertionMode::AfterAfterBody => {
                self.sink.get_document()
            }
            InsertionMode::AfterBody => self.open.first()?.node,
            InsertionMode::BeforeHead
            | InsertionMode::InHead
            | InsertionMode::AfterHead
            | InsertionMode::InBody => self.open.last()?.node,
        };
        self.append(parent, NodeOrText::AppendNode(node));
        self.at += 4 + length + 3;
        Some(())
    }

    /// The next `length` bytes as text of the element that is open.
    fn characters(&mut self, length: usize) -> Option<()> {
        let is_blank = || {
            let bytes = self.rest().as_bytes()[..length].iter();
            bytes.clone().all(u8::is_ascii_whitespace)
        };
        match self.mode {
            InsertionMode::Initial | InsertionMode::BeforeHtml | InsertionMode::BeforeHead => {
                return is_blank().then_some(());
            }
            InsertionMode::InHead
            | InsertionMode::AfterHead
            | InsertionMode::AfterBody
            | InsertionMode::AfterAfterBody
                if !is_blank() =>
            {
                return None;
            }
            InsertionMode::InHead
            | InsertionMode::AfterHead
            | InsertionMode::AfterBody
            | InsertionMode::AfterAfterBody
            | InsertionMode::InBody => {}
        }
        let text = self.decoded(self.at, length, false)?;
        self.append(self.open.last()?.node, NodeOrText::AppendText(text));
        Some(())
    }

    /// An end tag, which begins behind `</`.
    fn end_tag(&mut self, inside: &'t str) -> Option<()> {
        let name = tag_name(inside);
        if inside.as_bytes().get(name.len()) != Some(&b'>') {
            return None;
        }
        let last = self.open.last()?;
        match (self.mode, name) {
            // What is behind the page belongs to it.
            (InsertionMode::InBody, "body") if last.kind == ElementKind::Body => {
                self.mode = InsertionMode::AfterBody;
            }
            (InsertionMode::AfterBody, "html") => self.mode = InsertionMode::AfterAfterBody,
            (InsertionMode::InHead, "head") => {
                self.open.pop();
                self.mode = InsertionMode::AfterHead;
            }
            (InsertionMode::InBody, _) if last.name == name && last.kind != ElementKind::Body => {
                self.open.pop();
            }
            _ => return None,
        }
        self.at += "</>".len() + name.len();
        Some(())
    }

    fn start_tag(&mut self) -> Option<()> {
        let name = tag_name(&self.rest()[1..]);
        let (atom, kind) = kind_of(name)?;
        if !self.may_open(kind) {
            return None;
        }
        self.at += 1 + name.len();
        let (attributes, is_self_closed) = self.attributes()?;
        let is_void = matches!(
            kind,
            ElementKind::Void | ElementKind::Rule | ElementKind::Metadata
        );
        // The parser takes no notice of the slash, and leaves the element open.
        if is_self_closed && !is_void {
            return None;
        }
        let element = QualName::new(None, ns!(html), atom);
        let flags = ElementFlags::default();
        let node = self.sink.create_element(element, attributes, flags);
        let parent = match self.open.last() {
            Some(last) => last.node,
            None => self.sink.get_document(),
        };
        self.append(parent, NodeOrText::AppendNode(node));
        match kind {
            ElementKind::Void | ElementKind::Rule | ElementKind::Metadata => return Some(()),
            ElementKind::Script | ElementKind::Style | ElementKind::Title => {
                return self.raw_text(node, name, kind);
            }
            ElementKind::Html => self.mode = InsertionMode::BeforeHead,
            ElementKind::Head => self.mode = InsertionMode::InHead,
            ElementKind::Body => self.mode = InsertionMode::InBody,
            _ => {}
        }
        self.open.push(OpenElement { node, name, kind });
        Some(())
    }

    /// Whether an element of this kind becomes a child of the element that is open, and closes none.
    fn may_open(&self, kind: ElementKind) -> bool {
        match self.mode {
            InsertionMode::BeforeHtml => return kind == ElementKind::Html,
            InsertionMode::BeforeHead => return kind == ElementKind::Head,
            InsertionMode::AfterHead => return kind == ElementKind::Body,
            InsertionMode::InHead => {
                return matches!(
                    kind,
                    ElementKind::Metadata
                        | ElementKind::Script
                        | ElementKind::Style
                        | ElementKind::Title
                );
            }
            InsertionMode::Initial | InsertionMode::AfterBody | InsertionMode::AfterAfterBody => {
                return false;
            }
            InsertionMode::InBody => {}
        }
        let is_open = |kind| self.open.iter().any(|open| open.kind == kind);
        let parent = self.open.last().map(|open| open.kind);
        match kind {
            ElementKind::Html | ElementKind::Head | ElementKind::Body => false,
            ElementKind::Block
            | ElementKind::Paragraph
            | ElementKind::List
            | ElementKind::DescriptionList
            | ElementKind::Rule => !is_open(ElementKind::Paragraph),
            ElementKind::Heading => {
                !is_open(ElementKind::Paragraph) && parent != Some(ElementKind::Heading)
            }
            ElementKind::ListItem => {
                !is_open(ElementKind::Paragraph) && parent == Some(ElementKind::List)
            }
            ElementKind::DescriptionItem => {
                !is_open(ElementKind::Paragraph) && parent == Some(ElementKind::DescriptionList)
            }
            ElementKind::Form => !is_open(ElementKind::Paragraph) && !is_open(ElementKind::Form),
            ElementKind::Anchor | ElementKind::Button => !is_open(kind),
            ElementKind::Inline
            | ElementKind::Void
            | ElementKind::Metadata
            | ElementKind::Script
            | ElementKind::Style
            | ElementKind::Title => true,
        }
    }

    /// The text of a script, a style sheet or a title, and its end tag.
    fn raw_text(&mut self, node: NodeId, name: &str, kind: ElementKind) -> Option<()> {
        let from = self.at;
        let mut ends = memchr::memmem::find_iter(self.rest().as_bytes(), b"</");
        let length = ends.find(|end| {
            let behind = self.text.as_bytes().get(from + end + 2..);
            let behind = behind.and_then(|behind| behind.get(..name.len()));
            behind.is_some_and(|behind| behind.eq_ignore_ascii_case(name.as_bytes()))
        })?;
        let end = &self.text[from + length + 2..];
        // A script that holds a comment may hold an end tag in it.
        let is_escaped =
            kind == ElementKind::Script && self.text[from..from + length].contains("<!--");
        if is_escaped || !end.starts_with(name) || end.as_bytes().get(name.len()) != Some(&b'>') {
            return None;
        }
        let text = match kind {
            ElementKind::Title => self.decoded(from, length, false)?,
            _ => self.piece(from, length),
        };
        if length > 0 {
            self.append(node, NodeOrText::AppendText(text));
        }
        self.at = from + length + "</>".len() + name.len();
        Some(())
    }

    fn append(&mut self, parent: NodeId, child: NodeOrText<NodeId>) {
        self.nodes += 1;
        self.sink.append(&parent, child);
    }

    /// A part of the page as it stands there: a reference, not a copy.
    fn piece(&self, from: usize, length: usize) -> StrTendril {
        self.whole.subtendril(offset(from), offset(length))
    }

    /// A part of the page with its character references resolved.
    fn decoded(&self, from: usize, length: usize, is_attribute: bool) -> Option<StrTendril> {
        let written = &self.text[from..from + length];
        if memchr::memchr(b'&', written.as_bytes()).is_none() {
            return Some(self.piece(from, length));
        }
        let text = references::resolve(written, is_attribute)?;
        Some(StrTendril::from(text.as_str()))
    }
}

/// The name at the start of `text`, in the letters that names of elements are made of.
fn tag_name(text: &str) -> &str {
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    &text[..text.bytes().take_while(is_plain).count()]
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    /// Compares the tree with the HTML parser's; whether there is one.
    fn is_read(page: &str) -> bool {
        let whole = StrTendril::from(page);
        let Some(tree) = parse(&whole) else {
            return false;
        };
        let (expected, length) = tree::one(&whole, page, 0, usize::MAX).unwrap();
        assert_eq!(length, page.len());
        assert_eq!(tree.quirks_mode, expected.quirks_mode, "{page}");
        assert!(
            tree.tree == expected.tree,
            "{page}\n{:#?}\n{:#?}",
            tree.tree,
            expected.tree
        );
        true
    }

    fn in_body(body: &str) -> String {
        format!("<!DOCTYPE html>\n<html><head><title>a</title></head><body>{body}</body></html>\n")
    }

    #[test]
    fn a_well_formed_page_has_the_tree_of_the_html_parser() {
        for page in [
            "<!doctype html><html><head></head><body>",
            "<!-- a --> <!DOCTYPE html> <!-- b --><html lang=en class='a  b'> <!--c-->\n<head id=h>\n<meta charset=utf-8>\
             <link rel=next href='/2'/><!--[if IE]><b></b><![endif]--><title>A &amp; B</title>\n<style>a > b { }</style>\
             <script>if (a < b && c) { d('</p>') }</script></head>\n<!-- d --> <body onload=\"x\">a<!-- e -->b \n</body>\n\
             <!-- f -->\n</html>\n<!-- g -->\n",
            &in_body(
                "<h1><a href='/?a=1&b=2&amp;c=3#d' title=\"&quot;&#39;&#x2019;&nbsp;\">x &lt; y &raquo; &</a></h1>",
            ),
            &in_body(
                "<p>a<b>b<i>c</i></b><b><b><b><b>d</b></b></b></b></p><p></p><hr><ul><li><div><ol><li>1</li></ol></div></li></ul>",
            ),
            &in_body(
                "<form action=/a><label>a<input disabled checked value=''></label><button type=submit>b</button></form>",
            ),
            &in_body(
                "<dl><dt>a</dt><dd><p>b</p></dd></dl><h2>c</h2><h3>d</h3><script></script><title></title>",
            ),
            &in_body(
                "<img src=/a.png alt><br/><img src=\"b\" /><picture><source srcset='a 1x, b 2x'><img></picture>",
            ),
            &in_body(
                "<span data-a='<b>' x:y=1 data-a-b>größer</span><x-a b><p><x-y-z></x-y-z></p></x-a>",
            ),
        ] {
            assert!(is_read(page), "{page}");
        }
    }

    #[test]
    fn what_the_html_parser_mends_is_left_to_it() {
        for body in [
            "<p><p>",
            "<p><div></div></p>",
            "<li>a</li>",
            "<ul><li>a<li>b</ul>",
            "<a><a></a></a>",
            "<h1><h2></h2></h1>",
            "<table><tr><td></table>",
            "<b><i></b></i>",
            "<div/>",
            "<DIV></DIV>",
            "<div CLASS=a></div>",
            "<div a=1 a=2></div>",
            "<div a = 1></div>",
            "<div a='1'b></div>",
            "<div a=1/></div>",
            "<svg></svg>",
            "</p>",
            "</br>",
            "<image>",
            "<-a></-a>",
            "<x-A></x-A>",
            "a &notit; b",
            "AT&T",
            "<a href='?a&copy'></a>",
            "&#150;",
            "&#0;",
            "&#xd800;",
            "a\rb",
            "a\0b",
            "<!-->",
            "<!-- -- -->",
            "<!-- --!>",
            "<![CDATA[a]]>",
            "<?php ?>",
            "< a",
            "<form><form></form></form>",
            "<button><button></button></button>",
            "<script><!-- <script> </script> --></script>",
            "<script></SCRIPT></script>",
            "<title></title ></title>",
            "<template></template>",
            "<textarea>\n</textarea>",
            "<body a=b>",
            "<select><option></select>",
            "<div",
            "<div a='",
            "<!-- a",
        ] {
            assert!(!is_read(&in_body(body)), "{body}");
        }
        for page in [
            "",
            "<html><head></head><body></body></html>",
            "<!DOCTYPE html PUBLIC 'a'><html><head></head><body></body></html>",
            "<!DOCTYPE html><html><body></body></html>",
            "<!DOCTYPE html><html><head>a</head><body></body></html>",
            "<!DOCTYPE html><html><head></head>a<body></body></html>",
            "<!DOCTYPE html><html><head></head><body></body>a</html>",
            "<!DOCTYPE html><html><head></head><body></body></html>a",
            "<!DOCTYPE html><html><head></head><body><div></body></html>",
            "<!DOCTYPE html><html><head><noscript></noscript></head><body></body></html>",
            "<!DOCTYPE html><html><head>",
            "\u{feff}<!DOCTYPE html><html><head></head><body></body></html>",
        ] {
            assert!(!is_read(page), "{page}");
        }
    }

    #[test]
    fn the_pages_of_real_sites_have_the_trees_of_the_html_parser() {
        let mut read = Vec::new();
        let mut folders = vec![Path::new("tests/fixtures").to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path
                    .extension()
                    .is_some_and(|extension| extension == "html")
                {
                    let page = fs::read_to_string(&path).unwrap_or_default();
                    if is_read(&page) {
                        read.push(path);
                    }
                }
            }
        }
        assert!(!read.is_empty());
    }

    /// Parts of a page, nested and beside one another, few of them wrong.
    fn part() -> impl Strategy<Value = String> {
        let names = prop::sample::select(vec![
            "div", "p", "span", "a", "b", "i", "ul", "ol", "li", "dl", "dd", "h1", "h2", "form",
            "button", "section", "small", "label", "table", "tr", "td", "select", "option", "svg",
            "title", "script", "style", "video", "textarea", "em", "strong", "x-a", "noscript",
            "body", "template", "img", "hr", "nobr",
        ]);
        let attributes = prop::sample::select(vec![
            "",
            "",
            "",
            " a",
            " class='x y'",
            " href=/a?b=1&c=2",
            " title=\"a &amp; b\"",
            " a=1 b='&#228;'",
            " a a",
            "/",
        ]);
        let text = prop::sample::select(vec![
            "",
            "a",
            " \n",
            "x &lt; y",
            "&copy; &copy &#8217;",
            "<img src=a>",
            "<br>",
            "<hr>",
            "<!-- a -->",
            "<input>",
            "<meta>",
            "é",
            "<p>",
            "</p>",
            "</div>",
            "<li>",
            "<a>",
            "</b>",
            "<link>",
            "<title>a</title>",
        ]);
        let leaf = text.prop_map(str::to_owned);
        leaf.prop_recursive(6, 48, 5, move |inner| {
            (
                names.clone(),
                attributes.clone(),
                prop::collection::vec(inner, 0..5),
            )
                .prop_map(|(name, attributes, inner)| {
                    format!("<{name}{attributes}>{}</{name}>", inner.concat())
                })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn any_page_has_the_tree_of_the_html_parser(head in part(), body in part(), cut in 0_usize..4000) {
            is_read(&in_body(&body));
            let page = format!("<!DOCTYPE html><html><head>{head}</head> <body>{body}</body> </html> {head}");
            is_read(&page);
            if let Some(page) = page.get(..cut) {
                is_read(page);
            }
        }
    }
}
