//! What a listing shows that is no failure and that a user should know: told once, when it has ended.

use url::Url;

use crate::event::{ListingEnd, Warning};
use crate::site::{ListingPage, Site, UnusableDeclaration};

/// What the pages so far have shown.
#[derive(Default)]
pub(super) struct ListingNotes {
    /// Pages in a row that showed nothing but items that the definition leaves out, and those items.
    left_out_pages: u32,
    left_out_items: usize,
    /// Whether any page showed an image.
    has_images: bool,
    /// Images without an identity by the definition's key.
    without_key: usize,
    /// The first page with one of them, and the key.
    first_without_key: Option<(Url, String)>,
    unusable_declaration: Option<(Url, UnusableDeclaration)>,
}

impl ListingNotes {
    /// Takes note of a page with items, whose shown address is `page`.
    pub(super) fn add(&mut self, site: &Site, page: &Url, listing: &ListingPage) {
        let health = &listing.health;
        if health.filtered > 0 && health.filtered == health.items {
            self.left_out_pages += 1;
            self.left_out_items += health.filtered;
        } else {
            (self.left_out_pages, self.left_out_items) = (0, 0);
            self.has_images |= !listing.images.is_empty();
        }
        if health.without_key > 0 {
            self.without_key += health.without_key;
            self.first_without_key
                .get_or_insert_with(|| (page.clone(), health.sources.key.clone()));
        }
        if self.unusable_declaration.is_none() {
            let mut images = listing.images.iter();
            let unusable = images.find_map(|image| site.unusable_declaration(image));
            self.unusable_declaration = unusable.map(|unusable| (page.clone(), unusable));
        }
    }

    /// What is to be said once the listing has ended; `end` says how, if it was read to its end.
    pub(super) fn warnings(self, end: Option<&ListingEnd>) -> Vec<Warning> {
        let Self {
            left_out_pages: pages,
            left_out_items: items,
            has_images,
            without_key,
            first_without_key,
            unusable_declaration,
        } = self;
        // A last page that is left out among others is nothing to speak of: it is in the counts.
        let is_row = matches!(end, Some(ListingEnd::NothingNew { .. })) || !has_images;
        let left_out = (pages > 0 && is_row).then_some(Warning::ItemsLeftOut { pages, items });
        let without_key = first_without_key.map(|(page, key)| Warning::KeysMissing {
            images: without_key,
            page,
            key,
        });
        let unusable = unusable_declaration.map(|(page, unusable)| {
            let UnusableDeclaration { declared, value } = unusable;
            Warning::DeclarationUnusable {
                page,
                declared,
                value,
            }
        });
        [left_out, without_key, unusable]
            .into_iter()
            .flatten()
            .collect()
    }
}
