//! The elements that galleries are made of, by what the standard asks of them.

use html5ever::{LocalName, local_name};

/// What the standard asks before an element is opened, and what may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ElementKind {
    Html,
    Head,
    Body,
    /// `p` and all that closes an open one.
    Block,
    Paragraph,
    Heading,
    /// Closes an open one, unless a list is between them.
    ListItem,
    List,
    DescriptionItem,
    DescriptionList,
    /// Not within another of the same kind.
    Anchor,
    Button,
    Form,
    /// Opened as it stands, formatting or not: what is formatted is closed where it was opened.
    Inline,
    /// Without content.
    Void,
    /// Without content, and closes an open `p`.
    Rule,
    /// Without content, and may stand in the head.
    Metadata,
    /// Text up to its end tag, and may stand in the head.
    Script,
    Style,
    /// The same, but references count.
    Title,
}

/// The atom of an element's name, and what kind it is.
pub(super) fn kind_of(name: &str) -> Option<(LocalName, ElementKind)> {
    macro_rules! kinds {
        ($($kind:ident: [$($name:tt)*];)*) => {
            match name {
                $($($name => Some((local_name!($name), ElementKind::$kind)),)*)*
                // The standard treats all of the page's own elements alike.
                own if own.contains('-') && own.starts_with(|c: char| c.is_ascii_lowercase()) => {
                    Some((LocalName::from(own), ElementKind::Inline))
                }
                _ => None,
            }
        };
    }
    kinds! {
        Html: ["html"];
        Head: ["head"];
        Body: ["body"];
        Block: ["address" "article" "aside" "blockquote" "details" "div" "fieldset" "figcaption" "figure" "footer" "header"
            "main" "nav" "section" "summary"];
        Paragraph: ["p"];
        Heading: ["h1" "h2" "h3" "h4" "h5" "h6"];
        ListItem: ["li"];
        List: ["ol" "ul"];
        DescriptionItem: ["dd" "dt"];
        DescriptionList: ["dl"];
        Anchor: ["a"];
        Button: ["button"];
        Form: ["form"];
        Inline: ["abbr" "b" "big" "cite" "code" "em" "font" "i" "label" "mark" "picture" "s" "small" "span" "strike" "strong"
            "sub" "sup" "time" "tt" "u" "video"];
        Void: ["area" "br" "embed" "img" "input" "source" "track" "wbr"];
        Rule: ["hr"];
        Metadata: ["base" "link" "meta"];
        Script: ["script"];
        Style: ["style"];
        Title: ["title"];
    }
}
