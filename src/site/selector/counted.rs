//! Elements that count what comparing them with a selector takes.

use html5ever::{Namespace, local_name};
use scraper::ElementRef;
use scraper::selector::{CssLocalName, CssString, NonTSPseudoClass, PseudoElement, Simple};
use selectors::attr::{AttrSelectorOperation, CaseSensitivity, NamespaceConstraint};
use selectors::bloom::BloomFilter;
use selectors::context::MatchingContext;
use selectors::matching::ElementSelectorFlags;
use selectors::{Element, OpaqueElement};

use crate::site::document::{STEP_BYTES, Work};

/// An element of a page. Each way from it to another element, each class and each attribute that is looked at is a
/// step, and so are the bytes of their values: `:has()`, `~` and `:nth-child()` take as many as the page is large, for every element of it. When no steps are
/// left it has no neighbours, so that every search ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted<'a> {
    pub(super) element: ElementRef<'a>,
    pub(super) work: &'a Work,
}

impl Counted<'_> {
    fn step(self) -> bool {
        self.work.step(1)
    }
}

/// As scraper's own [`ElementRef`] does it, and counted.
impl Element for Counted<'_> {
    type Impl = Simple;

    fn opaque(&self) -> OpaqueElement {
        self.element.opaque()
    }

    fn parent_element(&self) -> Option<Self> {
        let element = self.element.parent_element();
        let element = element.filter(|_| self.step())?;
        Some(Self { element, ..*self })
    }

    fn prev_sibling_element(&self) -> Option<Self> {
        let mut nodes = self.element.prev_siblings().take_while(|_| self.step());
        let element = nodes.find_map(ElementRef::wrap)?;
        Some(Self { element, ..*self })
    }

    fn next_sibling_element(&self) -> Option<Self> {
        let mut nodes = self.element.next_siblings().take_while(|_| self.step());
        let element = nodes.find_map(ElementRef::wrap)?;
        Some(Self { element, ..*self })
    }

    fn first_element_child(&self) -> Option<Self> {
        let mut nodes = self.element.children().take_while(|_| self.step());
        let element = nodes.find_map(ElementRef::wrap)?;
        Some(Self { element, ..*self })
    }

    fn is_empty(&self) -> bool {
        let mut nodes = self.element.children().take_while(|_| self.step());
        !nodes.any(|node| node.value().is_element() || node.value().is_text())
    }

    fn has_class(&self, name: &CssLocalName, case: CaseSensitivity) -> bool {
        // Split each time: scraper keeps the classes of an element as atoms, which takes longer than all else here.
        let attributes = self.element.value().attrs.iter();
        let values = attributes.filter(|(key, value)| {
            key.local == local_name!("class") && self.work.step(value.len() / STEP_BYTES)
        });
        let classes = values.flat_map(|(_, value)| value.split_ascii_whitespace());
        let mut classes = classes.take_while(|_| self.step());
        classes.any(|class| case.eq(class.as_bytes(), name.0.as_bytes()))
    }

    fn attr_matches(
        &self,
        namespace: &NamespaceConstraint<&Namespace>,
        name: &CssLocalName,
        operation: &AttrSelectorOperation<&CssString>,
    ) -> bool {
        let attributes = self.element.value().attrs.iter();
        let mut named = attributes.filter(|(key, _)| {
            self.step()
                && name.0 == key.local
                && !matches!(*namespace, NamespaceConstraint::Specific(uri) if *uri != key.ns)
        });
        named
            .any(|(_, value)| self.work.step(value.len() / STEP_BYTES) && operation.eval_str(value))
    }

    fn has_id(&self, id: &CssLocalName, case: CaseSensitivity) -> bool {
        self.step() && self.element.has_id(id, case)
    }

    fn has_local_name(&self, name: &CssLocalName) -> bool {
        self.step() && self.element.has_local_name(name)
    }

    fn has_namespace(&self, namespace: &Namespace) -> bool {
        self.element.has_namespace(namespace)
    }

    fn is_same_type(&self, other: &Self) -> bool {
        self.element.is_same_type(&other.element)
    }

    fn is_html_element_in_html_document(&self) -> bool {
        self.element.is_html_element_in_html_document()
    }

    fn is_root(&self) -> bool {
        self.element.is_root()
    }

    fn is_link(&self) -> bool {
        self.element.is_link()
    }

    fn is_html_slot_element(&self) -> bool {
        self.element.is_html_slot_element()
    }

    // A page that was parsed has none of the following.

    fn parent_node_is_shadow_root(&self) -> bool {
        false
    }

    fn containing_shadow_host(&self) -> Option<Self> {
        None
    }

    fn is_pseudo_element(&self) -> bool {
        false
    }

    fn is_part(&self, _name: &CssLocalName) -> bool {
        false
    }

    fn imported_part(&self, _name: &CssLocalName) -> Option<CssLocalName> {
        None
    }

    fn has_custom_state(&self, _name: &CssLocalName) -> bool {
        false
    }

    fn match_non_ts_pseudo_class(
        &self,
        pseudo_class: &NonTSPseudoClass,
        _context: &mut MatchingContext<'_, Simple>,
    ) -> bool {
        match *pseudo_class {}
    }

    fn match_pseudo_element(
        &self,
        pseudo_element: &PseudoElement,
        _context: &mut MatchingContext<'_, Simple>,
    ) -> bool {
        match *pseudo_element {}
    }

    fn apply_selector_flags(&self, _flags: ElementSelectorFlags) {}

    fn add_element_unique_hashes(&self, _filter: &mut BloomFilter) -> bool {
        false
    }
}
