//! What a healthy page looks like, and what is made of one that shows no image.

/// What was counted on a listing page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Things the definition takes for items.
    pub items: usize,
    /// Items among them in which no thumb was found.
    pub without_thumb: usize,
    /// Items whose thumb has no address that could be asked for.
    pub unusable: usize,
    /// True when the page nested so deep that it was read in pieces: an item may have been torn.
    pub torn: bool,
    /// True when a page without items, looking like this one, is behind the last.
    pub ending: bool,
}

/// What a page is taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageVerdict {
    /// A page of the gallery: it shows images.
    Items,
    /// The page behind the last one.
    End,
    /// A page that no longer looks like the site: why.
    Unexpected(&'static str),
}

impl Health {
    /// Judges the page; `first` when no page comes before it, so that it cannot be behind the last.
    pub fn look(&self, first: bool) -> PageVerdict {
        let shown = self
            .items
            .saturating_sub(self.without_thumb + self.unusable);
        if shown > 0 {
            PageVerdict::Items
        } else if self.without_thumb > 0 {
            PageVerdict::Unexpected(
                "there are items and no thumb in them: compare the page with `thumb` in the site's definition",
            )
        } else if self.unusable > 0 {
            PageVerdict::Unexpected("no thumb on it has an address that could be asked for")
        } else if first {
            PageVerdict::Unexpected(
                "the first page shows no image: compare it with `select` in the site's definition",
            )
        } else if self.ending {
            PageVerdict::End
        } else {
            PageVerdict::Unexpected(
                "there is no image on it, nor what marks the end: the site may have changed, or something else answered",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(items: usize, without_thumb: usize, unusable: usize, ending: bool) -> Health {
        Health {
            items,
            without_thumb,
            unusable,
            torn: false,
            ending,
        }
    }

    #[test]
    fn one_good_image_makes_a_gallery() {
        assert_eq!(health(3, 1, 1, false).look(true), PageVerdict::Items);
        assert_eq!(health(1, 0, 0, true).look(false), PageVerdict::Items);
    }

    #[test]
    fn an_empty_page_is_the_end_only_with_the_mark_and_behind_another() {
        assert_eq!(health(0, 0, 0, true).look(false), PageVerdict::End);
        assert!(matches!(
            health(0, 0, 0, true).look(true),
            PageVerdict::Unexpected(_)
        ));
        assert!(matches!(
            health(0, 0, 0, false).look(false),
            PageVerdict::Unexpected(_)
        ));
    }

    #[test]
    fn items_without_any_good_thumb_are_never_the_end() {
        assert!(matches!(
            health(2, 2, 0, true).look(false),
            PageVerdict::Unexpected(_)
        ));
        assert!(matches!(
            health(2, 0, 2, true).look(false),
            PageVerdict::Unexpected(_)
        ));
    }
}
