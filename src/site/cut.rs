//! The commonest rewrite, which keeps the beginning of an address: without the price of captures.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Capture, Hir, HirKind, Look};

use super::pattern::PATTERN_BYTES;

/// A pattern `^(?P<head>HEAD)TAIL$` of which `${head}` is kept.
///
/// Captures have to be searched by backtracking; that a tail ends a text is found from its end, by an automaton, at an
/// eighth of the price.
#[derive(Debug)]
pub(super) struct Cut {
    /// Matches a whole head,
    head: Regex,
    /// and a tail at the end of a text.
    tail: Regex,
}

impl Cut {
    /// `None` where the pattern is of another shape, or more of it is kept.
    pub(super) fn new(pattern: &Regex, to: &str) -> Option<Self> {
        let HirKind::Concat(parts) = regex_syntax::parse(pattern.as_str()).ok()?.into_kind() else {
            return None;
        };
        let [start, head, tail @ .., end] = &parts[..] else {
            return None;
        };
        let HirKind::Capture(Capture {
            name: Some(name),
            sub: head,
            ..
        }) = head.kind()
        else {
            return None;
        };
        let tail = Hir::concat(tail.to_vec());
        let is_anchored = matches!(start.kind(), HirKind::Look(Look::Start))
            && matches!(end.kind(), HirKind::Look(Look::End));
        // Apart, each would see the other's text no more.
        let looks_around = [head.as_ref(), &tail]
            .iter()
            .any(|part| !part.properties().look_set().is_empty());
        if !is_anchored || looks_around || to != format!("${{{name}}}") {
            return None;
        }
        let build = |text: &str| {
            let mut builder = RegexBuilder::new(text);
            builder
                .size_limit(PATTERN_BYTES)
                .dfa_size_limit(PATTERN_BYTES);
            builder.build().ok()
        };
        Some(Self {
            head: build(&format!("^(?:{head})$"))?,
            tail: build(&format!("(?:{tail})$"))?,
        })
    }

    /// The head of a text. `None` where the whole pattern has to say whether it matches, and which of several tails is
    /// the one.
    pub(super) fn head<'t>(&self, text: &'t str) -> Option<&'t str> {
        let at = self.tail.find(text)?.start();
        let next = text[at..].chars().next().map(|c| at + c.len_utf8());
        let is_the_only_one = next.is_none_or(|next| self.tail.find_at(text, next).is_none());
        let head = &text[..at];
        (is_the_only_one && self.head.is_match(head)).then_some(head)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pattern: &str) -> Option<Cut> {
        Cut::new(&Regex::new(pattern).unwrap(), "${h}")
    }

    const PATTERNS: [&str; 7] = [
        r"^(?P<h>https?://[!-~]+)\.[0-9]+x[0-9]+\.(?:png|jpe?g)(?:\?[^#]*)?$",
        r"^(?P<h>a.*?)(?:ab)+$",
        r"^(?P<h>a.*)(?:ab)+$",
        r"^(?<h>[ab]+)b?$",
        r"^(?<h>.*)é*$",
        r"(?i)^(?<h>a|ab)B*$",
        r"^(?P<h>[^?]*)(?P<q>\?.*)?$",
    ];

    #[test]
    fn the_end_of_an_address_is_cut() {
        let cut = cut(PATTERNS[0]).unwrap();
        let head = cut.head("https://a.test/x.png.295x184.png?v=1");
        assert_eq!(head, Some("https://a.test/x.png"));
        assert_eq!(cut.head("https://a.test/x.png"), None);
        assert_eq!(cut.head("ftp://a.test/x.png.295x184.png"), None);
    }

    #[test]
    fn other_shapes_are_left_to_captures() {
        for other in [
            "(?P<h>a)b$",
            "^(?P<h>a)b",
            r"^(?P<h>a\b)b$",
            "^(?P<h>a)(?m:$)b$",
            "^x(?P<h>a)b$",
            "^(?P<h>a)|b$",
        ] {
            assert!(cut(other).is_none(), "{other}");
        }
        let pattern = Regex::new("^(?P<h>a)(?P<t>b)$").unwrap();
        assert!(Cut::new(&pattern, "${h}${t}").is_none());
        assert!(Cut::new(&pattern, "${t}").is_none());
    }

    proptest! {
        #[test]
        fn what_is_cut_is_what_the_captures_say(text in "(https://|a)?[ab.é0-9xpng?]{0,24}(ab|.1x2.png)?") {
            for pattern in PATTERNS {
                if let Some(head) = cut(pattern).unwrap().head(&text) {
                    let whole = Regex::new(pattern).unwrap();
                    let captures = whole.captures(&text);
                    let expected = captures.as_ref().map(|captures| &captures["h"]);
                    prop_assert_eq!(Some(head), expected, "{} on {}", pattern, text);
                }
            }
        }
    }
}
