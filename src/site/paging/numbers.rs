//! Pages that are counted: `{page}` and `{offset}`.

use url::Url;

use super::order::{CountedPages, PageAt, WalkValues};
use super::template::{PageTemplate, PlaceValues};

/// Pages whose number, or the offset of whose first item, stands in their address.
#[derive(Debug)]
pub(super) struct NumberedPages {
    /// The first page, where its address differs.
    pub(super) first: Option<PageTemplate>,
    pub(super) template: PageTemplate,
    /// What stands in the first page's address; where that differs, what would stand there.
    pub(super) start: u32,
    pub(super) step: u32,
}

impl NumberedPages {
    fn number(&self, index: u32) -> u64 {
        u64::from(self.start) + u64::from(index) * u64::from(self.step)
    }
}

impl CountedPages for NumberedPages {
    fn page(&self, index: u32, values: &WalkValues<'_>) -> PageAt {
        let template = self.first.as_ref().filter(|_| index == 0);
        let filled = template.unwrap_or(&self.template).fill(&PlaceValues {
            number: Some(self.number(index)),
            carried: values.carried,
            ..PlaceValues::default()
        });
        filled.map_or_else(PageAt::Unusable, PageAt::Url)
    }

    fn index_of(&self, url: &Url) -> Option<u32> {
        let values = WalkValues::default();
        let is_at = |index| matches!(self.page(index, &values), PageAt::Url(page) if page == *url);
        if is_at(0) {
            return Some(0);
        }
        // An address with a number that no listing reaches shows where the number stands.
        let marked = self.template.fill(&PlaceValues {
            number: Some(u64::MAX),
            ..PlaceValues::default()
        });
        let marked = marked.ok()?;
        let (before, _) = marked.as_str().split_once(&u64::MAX.to_string())?;
        let rest = url.as_str().strip_prefix(before)?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        let number: u64 = digits.parse().ok()?;
        let past = number.checked_sub(u64::from(self.start))?;
        let step = u64::from(self.step);
        let index = u32::try_from(past / step).ok()?;
        // `007` parses too, and is not an address of the site.
        (past % step == 0 && is_at(index)).then_some(index)
    }
    fn may_be_endless(&self) -> bool {
        true
    }
}
