//! Paths in XML: `item`, `media:group/media:content[medium=image]@url`, `//img`, `*`.

use toml::Spanned;

use super::super::limits::Work;
use super::{XmlName, XmlTree};
use crate::site::diagnostic::{Diagnostic, nearest_of};

/// Parts of one path.
const MAX_STEPS: usize = 32;

/// A whole page, or an element of one.
#[derive(Debug, Clone, Copy)]
pub(in crate::site::document) struct XmlPlace<'a> {
    pub(in crate::site::document) tree: &'a XmlTree<'a>,
    pub(in crate::site::document) element: Option<usize>,
}

/// Where below an element others are, and which attribute of them is meant.
#[derive(Debug)]
pub(in crate::site::document) struct XmlPath {
    steps: Vec<XmlStep>,
    attribute: Option<NamePattern>,
}

#[derive(Debug)]
struct XmlStep {
    /// Whether the element may be at any depth: `//` is in front of it.
    is_deep: bool,
    name: Option<NamePattern>,
    tests: Vec<AttributeTest>,
}

/// A name as a definition writes it.
#[derive(Debug)]
struct NamePattern {
    local: Box<str>,
    /// The prefix, and the namespace that the definition says it stands for.
    prefix: Option<(Box<str>, Box<str>)>,
}

/// `[name]`, or `[name=value]` with one of the operators of CSS.
#[derive(Debug)]
struct AttributeTest {
    name: NamePattern,
    value: Option<(TestOperator, String)>,
}

#[derive(Debug, Clone, Copy)]
enum TestOperator {
    Is,
    Begins,
    Ends,
    Contains,
}

impl XmlPath {
    /// Compiles `text`; `written` is where it stands, `namespaces` what prefixes mean.
    pub(in crate::site::document) fn compile<T>(
        text: &str,
        written: &Spanned<T>,
        namespaces: &[(String, String)],
    ) -> Result<Self, Diagnostic> {
        let parser = PathParser {
            written: written.span(),
            namespaces,
        };
        parser.path(text.trim())
    }

    /// Whether an attribute is meant, which has nothing below it.
    pub(in crate::site::document) fn has_attribute(&self) -> bool {
        self.attribute.is_some()
    }

    /// At most `limit` elements there, in the page's order. Below a whole page the first part may be at any depth.
    pub(in crate::site::document) fn places<'a>(
        &self,
        place: XmlPlace<'a>,
        work: &Work,
        limit: usize,
    ) -> Vec<XmlPlace<'a>> {
        let mut places = places(&self.steps, place, work);
        places.truncate(limit);
        places
    }

    /// Whether what would hold the elements is there, and is empty; `None` where it holds others, or the path does not
    /// name it.
    pub(in crate::site::document) fn is_container_empty(
        &self,
        place: XmlPlace<'_>,
        work: &Work,
    ) -> Option<bool> {
        let (_, outer) = self.steps.split_last()?;
        if outer.is_empty() {
            return None;
        }
        let containers = places(outer, place, work);
        let holds_others = containers
            .iter()
            .any(|place| place.tree.children(place.element).next().is_some());
        (!holds_others).then_some(!containers.is_empty())
    }

    /// The value of the attribute at a place that [`XmlPath::places`] gave.
    pub(in crate::site::document) fn attribute<'a>(&self, place: XmlPlace<'a>) -> Option<&'a str> {
        let name = self.attribute.as_ref()?;
        let element = match place.element {
            Some(element) => element,
            None => place.tree.children(None).next()?,
        };
        name.value(place.tree, element)
    }
}

/// The places to which the steps lead from another.
fn places<'a>(steps: &[XmlStep], place: XmlPlace<'a>, work: &Work) -> Vec<XmlPlace<'a>> {
    let XmlPlace { tree, element } = place;
    let mut found = vec![element];
    for step in steps {
        let is_deep = step.is_deep || found == [None];
        let mut next = Vec::new();
        for at in found {
            let mut take = |at: usize| {
                if step.matches(tree, at) {
                    next.push(Some(at));
                }
            };
            if is_deep {
                let all = tree.descendants(at).take_while(|_| work.visit(1));
                all.for_each(&mut take);
            } else {
                let children = tree.children(at).take_while(|_| work.visit(1));
                children.for_each(&mut take);
            }
        }
        if is_deep {
            // What is below two of the elements before is still one element.
            next.sort_unstable();
            next.dedup();
        }
        found = next;
    }
    let places = found.into_iter();
    places.map(|element| XmlPlace { tree, element }).collect()
}

impl XmlStep {
    fn matches(&self, tree: &XmlTree<'_>, at: usize) -> bool {
        let is_named = self
            .name
            .as_ref()
            .is_none_or(|pattern| tree.name(at).is_some_and(|name| pattern.matches(name)));
        is_named && self.tests.iter().all(|test| test.holds(tree, at))
    }
}

impl AttributeTest {
    fn holds(&self, tree: &XmlTree<'_>, at: usize) -> bool {
        let Some(value) = self.name.value(tree, at) else {
            return false;
        };
        match &self.value {
            None => true,
            Some((TestOperator::Is, wanted)) => value == wanted,
            Some((TestOperator::Begins, wanted)) => value.starts_with(wanted.as_str()),
            Some((TestOperator::Ends, wanted)) => value.ends_with(wanted.as_str()),
            Some((TestOperator::Contains, wanted)) => value.contains(wanted.as_str()),
        }
    }
}

impl NamePattern {
    /// A name with a prefix is one of its namespace, whatever the page's own prefix is; where the page forgot to declare
    /// its prefix, one of the same. A name without a prefix is one that the page writes without.
    fn matches(&self, name: &XmlName) -> bool {
        if self.local != name.local {
            return false;
        }
        match (&self.prefix, &name.namespace) {
            (None, _) => name.prefix.is_none(),
            (Some((_, uri)), Some(namespace)) => uri == namespace,
            (Some((prefix, _)), None) => name.prefix.as_ref() == Some(prefix),
        }
    }

    fn value<'a>(&self, tree: &'a XmlTree<'_>, at: usize) -> Option<&'a str> {
        let mut attributes = tree.attributes(at);
        let (_, value) = attributes.find(|(name, _)| self.matches(name))?;
        Some(value)
    }
}

struct PathParser<'a> {
    written: std::ops::Range<usize>,
    namespaces: &'a [(String, String)],
}

impl PathParser<'_> {
    fn refuse(&self, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self.written.clone(), message).help(help)
    }

    fn path(&self, text: &str) -> Result<XmlPath, Diagnostic> {
        if text.is_empty() {
            let help = "write `.` for the item's own text, `enclosure@url` for an attribute";
            return Err(self.refuse("an empty path", help));
        }
        let (path, attribute) = match split_outside(text, '@') {
            Some((path, name)) => (path, Some(self.name(name.trim())?)),
            None => (text, None),
        };
        let mut steps = Vec::new();
        let mut rest = path.trim();
        if rest == "." {
            rest = "";
        }
        let mut is_first = true;
        while !rest.is_empty() {
            let (is_deep, after) = match (rest.strip_prefix("//"), rest.strip_prefix('/')) {
                (Some(after), _) => (true, after),
                (None, Some(after)) if !is_first => (false, after),
                (None, None) if is_first => (false, rest),
                _ => {
                    let help = "begin with the name of an element, as `item`; `//` is any depth";
                    return Err(self.refuse("a path cannot begin with `/`", help));
                }
            };
            is_first = false;
            let end = outside(after, '/').unwrap_or(after.len());
            let (step, following) = after.split_at(end);
            steps.push(self.step(step.trim(), is_deep)?);
            rest = following;
        }
        if steps.len() > MAX_STEPS {
            let message = format!("a path of more than {MAX_STEPS} parts");
            return Err(Diagnostic::new(self.written.clone(), message));
        }
        Ok(XmlPath { steps, attribute })
    }

    fn step(&self, text: &str, is_deep: bool) -> Result<XmlStep, Diagnostic> {
        let (name, mut rest) = text.split_at(text.find('[').unwrap_or(text.len()));
        let name = match name.trim() {
            "*" => None,
            name => Some(self.name(name)?),
        };
        let mut tests = Vec::new();
        while let Some(inside) = rest.strip_prefix('[') {
            let Some(end) = closing(inside) else {
                return Err(self.refuse("`[` without `]`", "write it as `link[rel=next]`"));
            };
            tests.push(self.test(&inside[..end])?);
            rest = &inside[end + 1..];
        }
        if !rest.is_empty() {
            let message = format!("`{rest}` behind `]`");
            return Err(self.refuse(message, "write it as `link[rel=next]@href`"));
        }
        Ok(XmlStep {
            is_deep,
            name,
            tests,
        })
    }

    fn test(&self, text: &str) -> Result<AttributeTest, Diagnostic> {
        let Some((name, value)) = text.split_once('=') else {
            let name = self.name(text.trim().trim_start_matches('@'))?;
            return Ok(AttributeTest { name, value: None });
        };
        let (name, operator) = match name.as_bytes().last() {
            Some(b'^') => (&name[..name.len() - 1], TestOperator::Begins),
            Some(b'$') => (&name[..name.len() - 1], TestOperator::Ends),
            Some(b'*') => (&name[..name.len() - 1], TestOperator::Contains),
            _ => (name, TestOperator::Is),
        };
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|quote| {
            let inside = value.strip_prefix(quote)?;
            inside.strip_suffix(quote)
        });
        Ok(AttributeTest {
            name: self.name(name.trim().trim_start_matches('@'))?,
            value: Some((operator, quoted.unwrap_or(value).to_owned())),
        })
    }

    fn name(&self, text: &str) -> Result<NamePattern, Diagnostic> {
        let (prefix, local) = match text.split_once(':') {
            Some((prefix, local)) => (Some(prefix), local),
            None => (None, text),
        };
        let is_name = |name: &str| {
            let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
            name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(is_part)
        };
        if !is_name(local) || prefix.is_some_and(|prefix| !is_name(prefix)) {
            let message = format!("`{text}` is not the name of an element or an attribute");
            return Err(self.refuse(message, "write paths as `media:content@url` or `a/b`"));
        }
        let prefix = match prefix {
            Some("xml") => Some(("xml", "http://www.w3.org/XML/1998/namespace")),
            Some(prefix) => Some((prefix, self.namespace(prefix)?)),
            None => None,
        };
        Ok(NamePattern {
            local: local.into(),
            prefix: prefix.map(|(prefix, uri)| (prefix.into(), uri.into())),
        })
    }

    fn namespace(&self, prefix: &str) -> Result<&str, Diagnostic> {
        let mut known = self.namespaces.iter();
        if let Some((_, uri)) = known.find(|(known, _)| known == prefix) {
            return Ok(uri);
        }
        let message = format!("the prefix `{prefix}` has no namespace");
        let names = self.namespaces.iter().map(|(name, _)| &**name);
        let names = names.collect::<Vec<_>>();
        let help = if names.is_empty() {
            format!("add it, as `namespaces = {{ {prefix} = \"http://...\" }}` in `[listing]`")
        } else {
            nearest_of(prefix, &names)
        };
        Err(self.refuse(message, help))
    }
}

/// Where `mark` is outside of brackets and quotes.
fn outside(text: &str, mark: char) -> Option<usize> {
    let mut open = false;
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(end), c) if end == c => quote = None,
            (None, '"' | '\'') if open => quote = Some(c),
            (None, '[') => open = true,
            (None, ']') => open = false,
            (None, c) if c == mark && !open => return Some(at),
            (Some(_) | None, _) => {}
        }
    }
    None
}

fn split_outside(text: &str, mark: char) -> Option<(&str, &str)> {
    let at = outside(text, mark)?;
    Some((&text[..at], &text[at + mark.len_utf8()..]))
}

/// Where the bracket ends, behind whose beginning `text` is.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(end), c) if end == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, ']') => return Some(at),
            (Some(_) | None, _) => {}
        }
    }
    None
}
