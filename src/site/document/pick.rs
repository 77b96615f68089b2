//! Which of several texts is taken: the first, the last, or that of the largest image.

use toml::Spanned;

use super::condition::number;
use super::source::Source;
use super::{Scope, SourceContext};
use crate::site::diagnostic::{Diagnostic, nearest_of};
use crate::site::pattern::{Pattern, pattern};
use crate::site::schema::{PickInput, SourceInput};

#[derive(Debug)]
pub(super) enum Pick {
    First,
    Last,
    Largest(Size),
}

/// How large something is said to be.
#[derive(Debug)]
pub(super) enum Size {
    /// The product of the numbers that the pattern captures in the text itself.
    Captured(Pattern),
    /// The number there.
    At(Source),
}

/// A text that may be picked.
#[derive(Debug)]
pub(super) struct RankedText {
    pub(super) text: String,
    /// Its size; one that says none comes behind all others.
    pub(super) rank: Option<f64>,
}

impl Pick {
    pub(super) fn compile(
        written: Spanned<PickInput>,
        context: SourceContext<'_>,
    ) -> Result<Self, Diagnostic> {
        let span = written.span();
        match written.into_inner() {
            PickInput::Word(word) => match &*word {
                "first" => Ok(Self::First),
                "last" => Ok(Self::Last),
                _ => {
                    let error = Diagnostic::new(span, format!("unknown value `{word}`"));
                    Err(error.help(nearest_of(&word, &["first", "last"])))
                }
            },
            PickInput::Largest(table) => size(table.largest, context).map(Self::Largest),
        }
    }

    /// What the pick needs to know of a text that was found in `scope`.
    pub(super) fn rank(&self, text: &str, scope: Scope<'_>) -> Option<f64> {
        match self {
            Self::First | Self::Last => None,
            Self::Largest(Size::At(source)) => {
                let texts = source.texts(scope);
                texts.iter().find_map(|text| number(text))
            }
            Self::Largest(Size::Captured(pattern)) => {
                let captures = pattern.captures(text, &scope.node.shared.work)?;
                let mut product = None;
                for part in captures.iter().skip(1).flatten() {
                    product = Some(product.unwrap_or(1.0) * number(part.as_str())?);
                }
                product
            }
        }
    }

    /// The text that is taken; of equals the first.
    pub(super) fn choose(&self, texts: Vec<RankedText>) -> Option<RankedText> {
        let mut texts = texts.into_iter();
        match self {
            Self::First => texts.next(),
            Self::Last => texts.next_back(),
            Self::Largest(_) => texts.reduce(|best, next| {
                if next
                    .rank
                    .is_some_and(|rank| best.rank.is_none_or(|best| rank > best))
                {
                    next
                } else {
                    best
                }
            }),
        }
    }
}

/// A pattern with captures, or else a source: no source can be read as such a pattern but CSS with a function, for which
/// a table `{ source = .. }` leaves no doubt.
fn size(written: Spanned<SourceInput>, context: SourceContext<'_>) -> Result<Size, Diagnostic> {
    let SourceInput::Text(text) = written.get_ref() else {
        return Source::compile(written, context).map(Size::At);
    };
    if !text.contains('(') {
        return Source::compile(written, context).map(Size::At);
    }
    let spanned = Spanned::new(written.span(), text.clone());
    let pattern = pattern(&spanned, context.definition)?;
    if pattern.regex().captures_len() == 1 {
        let error = Diagnostic::at(&written, "the pattern captures no number");
        return Err(error.help("write it as `'-(\\d+)x(\\d+)-'`"));
    }
    Ok(Size::Captured(pattern))
}
