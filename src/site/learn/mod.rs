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
            // Nothing could be drafted from an item without any address.
            .filter(|block| !block.thumb.is_empty() || block.link.is_some())
            .collect(),
        paging: paging::find(&outline, page, &base),
    })
}

/// The address that `written` means on a page.
fn resolve(base: &Url, written: &str) -> Option<Url> {
    super::address::resolve(base, written, encoding_rs::UTF_8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::site::Site;

    const PIECES: &[&str] = &[
        "<div class=card>",
        "<div class=\"card it's\">",
        "</div>",
        "<li>",
        "<a href=/w/1>",
        "<a href=/w/2>",
        "<a href=/w/3.jpg>",
        "<a href=https://i.demo.invalid./4.png>",
        "</a>",
        "<img src=/t/1.png>",
        "<img src=/t/2.png alt=b>",
        "<img data-src=/t/3.jpg src='data:,x'>",
        "<i style='background: url(/t/4.png)'></i>",
        "<h3>Hill</h3>",
        "<a rel=next href='?page=2'>Next</a>",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn every_draft_compiles(
            card in prop::collection::vec(prop::sample::select(PIECES), 1..8),
            odd in prop::collection::vec(prop::sample::select(PIECES), 0..8),
        ) {
            let at = Url::parse("https://demo.invalid/list").unwrap();
            let cards = (0..4).map(|n| card.concat().replace("/t/", &format!("/t{n}/")).replace("/w/", &format!("/w{n}/")));
            let text = format!("{}{}", cards.collect::<String>(), odd.concat());
            let guess = page(&at, text.as_str().into()).unwrap();
            for block in &guess.blocks {
                let mut draft = Draft::html("demo".to_owned(), &at, block, guess.paging.as_ref());
                let compiles = |draft: &Draft| Site::from_toml(&draft.to_toml()).map(|_| ());
                prop_assert!(compiles(&draft).is_ok(), "{:?}: {}", compiles(&draft), draft.to_toml());
                for item in &block.items {
                    let both = [("thumb", &item.thumb), ("link", &item.link)];
                    for (name, url) in both.into_iter().filter_map(|(name, url)| Some((name, url.as_ref()?))) {
                        draft.add_host(url);
                        let (name, because) = (name.to_owned(), String::new());
                        draft.full.push(FullGuess::Field { name, because });
                    }
                }
                draft.full.truncate(10);
                prop_assert!(compiles(&draft).is_ok(), "{:?}: {}", compiles(&draft), draft.to_toml());
            }
        }
    }
}
