//! CSS selectors, compiled once and matched as a browser does.

mod counted;

use html5ever::LocalName;
use scraper::error::SelectorErrorKind;
use scraper::selector::{Parser, Simple};
use scraper::{ElementRef, Html};
use selectors::Element as _;
use selectors::context::{
    MatchingContext, MatchingForInvalidation, MatchingMode, NeedsSelectorFlags, QuirksMode,
    SelectorCaches,
};
use selectors::matching::matches_selector;
use selectors::parser::{Component, ParseRelative, SelectorList};

use super::document::Work;
use counted::Counted;

/// A list of CSS selectors.
///
/// Not scraper's own: that one compares classes and ids by case on every page, while browsers do not on a page in quirks
/// mode.
#[derive(Debug)]
pub(super) struct Selector {
    selectors: SelectorList<Simple>,
    /// The names of which each matching element has one; empty where it may have any.
    names: Vec<LocalName>,
}

impl Selector {
    /// Parses a list of selectors.
    pub(super) fn parse(text: &str) -> Result<Self, SelectorErrorKind> {
        let mut input = cssparser::Parser::new(text);
        let selectors = SelectorList::parse(&Parser, &mut input, ParseRelative::No)?;
        let names = selectors.slice().iter().map(names_of);
        let names = names.collect::<Option<Vec<_>>>().unwrap_or_default();
        Ok(Self {
            names: names.into_iter().flatten().collect(),
            selectors,
        })
    }

    /// The elements of a page that match, in its order; none that would exceed `work`.
    pub(super) fn select<'a>(
        &self,
        page: &'a Html,
        work: &Work,
    ) -> impl Iterator<Item = ElementRef<'a>> {
        let quirks = quirks(page);
        let mut caches = SelectorCaches::default();
        let nodes = page.tree.nodes().take_while(|_| work.step(1));
        let elements = nodes.filter_map(ElementRef::wrap);
        let elements = elements.take_while(|_| work.visit(1));
        elements.filter(move |element| {
            // A node that the parser dropped is still there, without a parent.
            element.parent().is_some() && self.matches(*element, None, quirks, &mut caches, work)
        })
    }

    /// The elements within `scope` that match, in the page's order; none that would exceed `work`.
    pub(super) fn within<'a>(
        &self,
        page: &Html,
        scope: ElementRef<'a>,
        work: &Work,
    ) -> impl Iterator<Item = ElementRef<'a>> {
        let quirks = quirks(page);
        let mut caches = SelectorCaches::default();
        let nodes = scope.descendants().skip(1).take_while(|_| work.step(1));
        let inner = nodes.filter_map(ElementRef::wrap);
        let inner = inner.take_while(|_| work.visit(1));
        inner.filter(move |element| self.matches(*element, Some(scope), quirks, &mut caches, work))
    }

    fn matches(
        &self,
        element: ElementRef<'_>,
        scope: Option<ElementRef<'_>>,
        quirks: QuirksMode,
        caches: &mut SelectorCaches,
        work: &Work,
    ) -> bool {
        // Most elements of a page are told from those wanted by their name, at a tenth of the cost.
        if !self.names.is_empty() && !self.names.contains(&element.value().name.local) {
            return false;
        }
        let mut context = MatchingContext::new(
            MatchingMode::Normal,
            None,
            caches,
            quirks,
            NeedsSelectorFlags::No,
            MatchingForInvalidation::No,
        );
        context.scope_element = scope.map(|scope| scope.opaque());
        let element = Counted { element, work };
        let mut alternatives = self.selectors.slice().iter();
        alternatives.any(|selector| matches_selector(selector, 0, None, &element, &mut context))
    }
}

/// The names that the elements of a selector may have: as it is written for XML, and in lower case for HTML. `None` where
/// any will do.
fn names_of(selector: &selectors::parser::Selector<Simple>) -> Option<[LocalName; 2]> {
    // The parts from right to left, up to the first combinator.
    selector.iter().find_map(|part| match part {
        Component::LocalName(name) => Some([name.name.0.clone(), name.lower_name.0.clone()]),
        _ => None,
    })
}

fn quirks(page: &Html) -> QuirksMode {
    use html5ever::tree_builder::QuirksMode as Parsed;
    match page.quirks_mode {
        Parsed::Quirks => QuirksMode::Quirks,
        Parsed::LimitedQuirks => QuirksMode::LimitedQuirks,
        Parsed::NoQuirks => QuirksMode::NoQuirks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(selector: &str, page: &str) -> usize {
        let selector = Selector::parse(selector).unwrap();
        let work = Work::default();
        selector.select(&Html::parse_document(page), &work).count()
    }

    #[test]
    fn quirks_mode_compares_classes_and_ids_without_case() {
        let items = "<div class='Item' id=One title=X></div><div class='item other'></div>";
        for selector in [".item", "div.ITEM", ":is(.Item)", "#one, .Other"] {
            assert_eq!(found(selector, items), 2, "{selector}");
        }
        let standard = format!("<!doctype html>{items}");
        assert_eq!(found(".item", &standard), 1);
        assert_eq!(found("#one", &standard), 0);
        assert_eq!(found("[class=item]", items), 0, "an attribute has its case");
    }

    #[test]
    fn the_names_of_a_selector_are_those_of_the_elements_that_match() {
        let page = "<!doctype html><ul><li class=x><svg><linearGradient id=g /></svg></li><li></li></ul><p class=x>";
        let cases = [
            ("li", 2),
            ("LI.x", 1),
            ("li, .x", 3),
            ("ul > *", 2),
            ("ul li:not(.x)", 1),
            (":is(li, p).x", 2),
            ("linearGradient", 1),
            ("p + li, p", 1),
        ];
        for (selector, expected) in cases {
            assert_eq!(found(selector, page), expected, "{selector}");
        }
    }

    #[test]
    fn a_long_class_is_as_many_steps_as_it_is_long() {
        let page = format!(
            "<body class='{}'>{}",
            " ".repeat(6_400),
            "<i></i>".repeat(10)
        );
        let (page, selector) = (
            Html::parse_document(&page),
            Selector::parse(".card i").unwrap(),
        );
        for (steps, is_enough) in [(600, false), (2_000, true)] {
            let work = Work::with_steps(steps);
            assert_eq!(selector.select(&page, &work).count(), 0);
            assert_eq!(work.is_over(), !is_enough, "{steps}");
        }
    }

    #[test]
    fn a_selector_within_an_element_does_not_match_that_element() {
        let page = Html::parse_document("<div class=a><p><div class=a id=x></div></p></div>");
        let selector = Selector::parse("div.a").unwrap();
        let work = Work::default();
        let outer = selector.select(&page, &work).next().unwrap();
        let inner = selector.within(&page, outer, &work).next().unwrap();
        assert_eq!(inner.attr("id"), Some("x"));
        assert!(selector.within(&page, inner, &work).next().is_none());
    }
}
