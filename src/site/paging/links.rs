//! Pages that name the next one: by a link on the page, or by the `Link` header.

use url::Url;

use super::order::LinkedPages;
use super::page_links::PageLinks;
use super::template::{PageTemplate, PlaceValues};

/// Pages with the address of the next one.
#[derive(Debug)]
pub(super) struct NextLinks {
    pub(super) first: PageTemplate,
    /// Whether the `Link` header has it; a link on the page otherwise.
    pub(super) from_header: bool,
}

impl LinkedPages for NextLinks {
    fn first(&self) -> Result<Url, String> {
        self.first.fill(&PlaceValues::default())
    }

    fn next(&self, links: &PageLinks, _carried: &[Option<String>]) -> Result<Option<Url>, String> {
        match (self.from_header, &links.next, &links.header_next) {
            (false, Some(next), _) | (true, _, Some(next)) => Ok(Some(next.clone())),
            (false, None, _) => links.no_next(),
            (true, _, None) => links.header_unusable.clone().map_or(Ok(None), Err),
        }
    }

    fn follows_addresses(&self) -> bool {
        true
    }
}
