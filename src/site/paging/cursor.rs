//! Pages that give a cursor, which stands in the address of the next one: `{cursor}`.

use url::Url;

use super::order::LinkedPages;
use super::page_links::PageLinks;
use super::template::{PageTemplate, PlaceValues};

/// Pages with a cursor to the next one. On the first page its parameter is left out.
#[derive(Debug)]
pub(super) struct Cursors {
    /// The first page, where its address differs.
    pub(super) first: Option<PageTemplate>,
    pub(super) template: PageTemplate,
}

impl LinkedPages for Cursors {
    fn first(&self) -> Result<Url, String> {
        let first = self.first.as_ref().unwrap_or(&self.template);
        first.fill(&PlaceValues::default())
    }

    fn next(&self, links: &PageLinks, carried: &[Option<String>]) -> Result<Option<Url>, String> {
        let Some(cursor) = &links.cursor else {
            return links.no_next();
        };
        let filled = self.template.fill(&PlaceValues {
            cursor: Some(cursor),
            carried,
            ..PlaceValues::default()
        });
        filled.map(Some)
    }
}
