//! How a listing ended.

use serde::Serialize;

use crate::outcome::SkipReason;

/// Why a listing ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum ListingEnd {
    /// The last page that the user wanted was read.
    LastPageRequested,
    /// The last page of the listing was read: it says so, it leads to no further page, or the definition names no
    /// further one.
    LastPage {
        /// The page.
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<u32>,
    },
    /// The last page leads back to one that was read before.
    NextRepeated {
        /// The page.
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<u32>,
    },
    /// Enough consecutive pages looked like the one after the last.
    EmptyPage {
        /// The last of them.
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<u32>,
    },
    /// The server says that there is no such page.
    NoSuchPage {
        /// The page that was requested.
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<u32>,
        /// The HTTP status of the response.
        status: u16,
    },
    /// Consecutive pages showed only images that earlier pages had shown.
    NothingNew {
        /// The last of them.
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<u32>,
        /// How many pages in a row.
        repeated_pages: u32,
    },
    /// The first page says that there is nothing: by an empty list of items, or as an error rule of the definition knows.
    NothingFound,
    /// Every URL that the user gave was read; there is no listing.
    UrlListRead,
}

/// Why a listing could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum ListingFailure {
    /// The page could not be fetched.
    Fetch {
        /// The HTTP status of the response, if there was one.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// The network's or the server's words: untrusted text.
        cause: String,
    },
    /// Building the page's tree would take too much memory.
    TooManyElements {
        /// The most elements and texts that a page may have.
        limit: usize,
    },
    /// The selectors and patterns of the definition would take too much time on the page.
    TooManySteps {
        /// The most steps: elements and bytes that they are compared with.
        limit: usize,
    },
    /// The page has more items than are read.
    TooManyItems {
        /// The most items of a page.
        limit: usize,
    },
    /// A tag or comment is so long that reading it would take too much time.
    TagTooLong {
        /// The most attributes or words that it may have.
        limit: usize,
    },
    /// The page is not what the definition says it is written in.
    Unreadable {
        /// What it should be: `HTML`, `JSON` or `XML`.
        language: &'static str,
        /// The parser's words, with the place: may quote the page, so it is untrusted text.
        cause: String,
    },
    /// Items were found, and nothing in any of them that leads to an original.
    NoThumbs {
        /// What was looked for, as the definition writes it.
        sources: String,
    },
    /// No item has an address that can be requested.
    NoUsableThumbs {
        /// Where addresses were found, as the definition writes it.
        sources: String,
    },
    /// A condition of the definition left out every item, as none has what it looks at.
    NoConditionValue {
        /// Items on the page.
        items: usize,
        /// The condition, as the definition writes it.
        condition: String,
    },
    /// The definition's `key` gives none of the images an identity.
    NoKeys {
        /// The key and what it is made of, as the definition writes them.
        key: String,
    },
    /// No item was found on the site's first page.
    FirstPageEmpty {
        /// What was looked for: `item.select`, as the definition writes it; empty where no page is at fault alone.
        #[serde(skip_serializing_if = "String::is_empty")]
        select: String,
    },
    /// A page without items does not show the mark of the page after the last.
    NoEndMark {
        /// What was looked for: `item.select`, as the definition writes it; empty where no page is at fault alone.
        #[serde(skip_serializing_if = "String::is_empty")]
        select: String,
    },
    /// No link to a further listing was found on the site's first page.
    NoLinks,
    /// A page that cannot be the last one leads to no further page.
    NextMissing {
        /// Where the next page was looked for, as the definition writes it.
        next: String,
    },
    /// A page leads to no further page, and lacks the element that holds the links to the others.
    PagerMissing {
        /// What was looked for, as the definition writes it.
        pager: String,
    },
    /// What leads to the next page is there and cannot be used, or its address cannot be requested.
    NextUnusable {
        /// Where it was found, as the definition writes it.
        #[serde(skip_serializing_if = "String::is_empty")]
        next: String,
        /// Why not: may quote the page, so it is untrusted text.
        cause: String,
    },
    /// A page had fewer items than the definition expects, and was not the last.
    ShortPage {
        /// The page.
        number: u32,
        /// Its items.
        items: usize,
        /// Items on every page but the last.
        expected: usize,
        /// What was looked for: `item.select`, as the definition writes it.
        #[serde(skip_serializing_if = "String::is_empty")]
        select: String,
    },
    /// So many pages in a row are missing or empty that the listing is not there where the definition says it is.
    LongGap {
        /// The pages.
        pages: u32,
    },
    /// The listing does not end.
    TooManyPages {
        /// The most pages that are read in a run.
        limit: u32,
    },
    /// The site's first page was read, and none of its thumbs leads to an original.
    NoOriginals {
        /// Images on the page.
        images: usize,
        /// Why the first of them was skipped.
        example: SkipReason,
    },
}

impl ListingFailure {
    /// No item was found, and no page is at fault alone.
    pub(crate) const fn no_items() -> Self {
        Self::FirstPageEmpty {
            select: String::new(),
        }
    }
}
