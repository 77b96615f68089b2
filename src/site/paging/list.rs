//! Pages that the definition names one by one: `listing.pages`, or a `listing.url` without a place.

use url::Url;

use super::order::{CountedPages, PageAt, WalkValues};
use super::template::{PageTemplate, PlaceValues};

/// A fixed list of pages.
#[derive(Debug)]
pub(super) struct ListedPages(pub(super) Vec<PageTemplate>);

impl CountedPages for ListedPages {
    fn page(&self, index: u32, _values: &WalkValues<'_>) -> PageAt {
        let template = usize::try_from(index)
            .ok()
            .and_then(|index| self.0.get(index));
        let Some(template) = template else {
            return PageAt::Beyond;
        };
        let filled = template.fill(&PlaceValues::default());
        filled.map_or_else(PageAt::Unusable, PageAt::Url)
    }

    fn index_of(&self, url: &Url) -> Option<u32> {
        let mut pages = self.0.iter();
        let index = pages.position(|page| {
            page.fill(&PlaceValues::default())
                .is_ok_and(|page| page == *url)
        })?;
        u32::try_from(index).ok()
    }

    fn len(&self) -> Option<usize> {
        Some(self.0.len())
    }
}
