//! The order in which a listing's pages are requested, and when the listing is over.
//!
//! The engine asks a [`Pager`] for the next request and says what each page answered; only this module knows how pages
//! follow each other. To add another order: a plug that implements `CountedPages` (every address is known) or
//! `LinkedPages` (each page leads to the next one), and its key in `compile`.

mod compile;
mod continuation;
mod cursor;
mod findings;
mod keys;
mod links;
mod list;
mod numbers;
mod order;
mod page_links;
mod pager;
mod stop;
mod template;
#[cfg(test)]
mod tests;
mod walk;
mod window;

use url::Url;

pub use page_links::PageLinks;
pub use pager::Pager;

pub(super) use order::{PageOrder, PagingContext};
pub(super) use page_links::RawPageLinks;

use crate::event::{ListingEnd, ListingFailure};

/// The listing pages that the user wants, both ends included. They are counted from 1 in the listing's order, whatever
/// stands in their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pages {
    /// The site's first page where not given.
    pub first: Option<u32>,
    /// Up to the end of the listing where not given.
    pub last: Option<u32>,
}

/// A listing page to be requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Its canonical address.
    pub url: Url,
    /// Its number, from 1 in the listing's order; `None` for a listing that another one leads to.
    pub number: Option<u32>,
    /// Whether it is the site's first page, which cannot be the one after the last.
    pub is_first: bool,
    /// Whether its images are wanted; otherwise it is read only because the way to the wanted pages leads over it.
    pub is_wanted: bool,
    /// How many listings lead to it.
    level: usize,
}

impl PageRequest {
    /// Whether it is of a listing that another one leads to.
    pub fn is_inner(&self) -> bool {
        self.level > 0
    }
}

/// The answer to "what is the next request, and may it be made now?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextPage {
    /// This one may be requested now, even while earlier pages have not answered.
    Request(PageRequest),
    /// It follows from the answer to a page that was requested: ask again then.
    AfterAnswer,
    /// Every page that is wanted was requested.
    NoMore,
}

/// What a page that was read shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageContent {
    /// Images.
    Items,
    /// Links to further listings.
    Links {
        /// Those that no earlier page had.
        new: usize,
        /// The others.
        repeated: usize,
    },
    /// Nothing: it looks like the page after the last one.
    Empty,
}

/// How a page that was read turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageAnswer {
    /// It shows images, or links to listings.
    Items {
        /// Those that this run had not seen.
        new: usize,
        /// Those that an earlier page of this run had shown.
        repeated: usize,
    },
    /// It shows images, and none of them is wanted.
    Passed,
    /// It looks like the page after the last one.
    Empty,
}

/// What a status in place of a page means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusMeaning {
    /// The listing ends.
    End(ListingEnd),
    /// There is no such page, and others are there.
    Hole,
    /// The listing cannot be read.
    Error,
}

/// How a listing goes on after an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// With its next page.
    GoesOn,
    /// It was read to its end.
    Ended(ListingEnd),
    /// It is not what its definition says.
    Failed(ListingFailure),
}
