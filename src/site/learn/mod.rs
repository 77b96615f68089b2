//! Drafts a definition from pages: finds the repeated block with images, the way to the originals, and the next page.
//!
//! Everything here is a guess, and pure: `wallhaul sites new` fetches the pages, and holds the draft against a page that
//! was not used for it.
//!
//! ```text
//! page -> outline -> blocks -> fields (thumb, link, title) -> detail pages -> originals | align (thumb -> original) -> draft
//! ```

mod align;
mod blocks;
mod data;
mod detail;
mod draft;
mod embedded;
mod feed;
mod fields;
mod hints;
mod original;
mod outline;
mod paging;
mod selection;
mod shrink;

use url::Url;

use super::extract::PageText;
use crate::event::ListingFailure;

pub use align::{RewriteGuess, likeness, rewrites};
pub use data::{DataDraft, data_draft, longest_list};
pub use detail::{OriginalGuess, SourceGuess, best_sources, originals};
pub use draft::{Draft, FullGuess};
pub use embedded::embedded_draft;
pub use hints::{has_image_path, site_name};
pub use paging::PagingGuess;
pub use shrink::without_size;

use outline::Outline;

/// Blocks of a page that are tried one after another.
const MAX_BLOCKS: usize = 3;

/// What a page seems to be made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PageGuess {
    /// The repeated blocks with images, the most likely one first.
    pub blocks: Vec<BlockGuess>,
    /// How further pages are reached.
    pub paging: Option<PagingGuess>,
}

/// A repeated block with an image in each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BlockGuess {
    /// The selector of the items.
    pub select: String,
    /// The sources of the thumb, the preferred one first; none where the items only link to images.
    pub thumb: Vec<String>,
    /// The source of the link.
    pub link: Option<String>,
    /// The source of the title.
    pub title: Option<String>,
    /// Sources of further addresses of images in an item: perhaps the original.
    pub others: Vec<String>,
    /// The items.
    pub items: Vec<ItemGuess>,
}

/// What was found in one item.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ItemGuess {
    /// The address of its thumb.
    pub thumb: Option<Url>,
    /// The address that it links to.
    pub link: Option<Url>,
    /// The addresses at [`BlockGuess::others`].
    pub others: Vec<Option<Url>>,
}

/// Looks for the gallery on an HTML page that came from `page`.
///
/// # Errors
///
/// When reading the page would take too much memory or time.
pub fn page(page: &Url, body: PageText<'_>) -> Result<PageGuess, ListingFailure> {
    let outline = Outline::read(body)?;
    let base = outline.base(page);
    let blocks = blocks::find(&outline, &base);
    Ok(PageGuess {
        blocks: blocks
            .iter()
            .take(MAX_BLOCKS)
            .map(|block| fields::of(&outline, &base, block))
            .collect(),
        paging: paging::find(&outline, page, &base),
    })
}

/// The address that `written` means on a page.
fn resolve(base: &Url, written: &str) -> Option<Url> {
    super::address::resolve(base, written, encoding_rs::UTF_8)
}
