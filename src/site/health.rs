//! What a healthy page looks like, and what is made of one that shows no image.

/// What was counted on a listing page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Things the definition takes for items.
    pub items: usize,
    /// Items among them in which no thumb was found.
    pub bare: usize,
    /// Items whose thumb has no address that could be asked for.
    pub odd: usize,
    /// True when the page nested so deep that it was read in pieces: an item may have been torn.
    pub torn: bool,
    /// True when a page without items, looking like this one, is behind the last.
    pub ending: bool,
}

/// What a page is taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// A page of the gallery: it shows images.
    Gallery,
    /// The page behind the last one.
    End,
    /// A page that no longer looks like the site: why.
    Strange(&'static str),
}

impl Health {
    /// Judges the page; `first` when no page comes before it, so that it cannot be behind the last.
    pub fn look(&self, first: bool) -> Look {
        let shown = self.items.saturating_sub(self.bare + self.odd);
        if shown > 0 {
            Look::Gallery
        } else if self.bare > 0 {
            Look::Strange(
                "there are items and no thumb in them: compare the page with `thumb` in the site's definition",
            )
        } else if self.odd > 0 {
            Look::Strange("no thumb on it has an address that could be asked for")
        } else if first {
            Look::Strange(
                "the first page shows no image: compare it with `select` in the site's definition",
            )
        } else if self.ending {
            Look::End
        } else {
            Look::Strange(
                "there is no image on it, nor what marks the end: the site may have changed, or something else answered",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(items: usize, bare: usize, odd: usize, ending: bool) -> Health {
        Health {
            items,
            bare,
            odd,
            torn: false,
            ending,
        }
    }

    #[test]
    fn one_good_image_makes_a_gallery() {
        assert_eq!(health(3, 1, 1, false).look(true), Look::Gallery);
        assert_eq!(health(1, 0, 0, true).look(false), Look::Gallery);
    }

    #[test]
    fn an_empty_page_is_the_end_only_with_the_mark_and_behind_another() {
        assert_eq!(health(0, 0, 0, true).look(false), Look::End);
        assert!(matches!(health(0, 0, 0, true).look(true), Look::Strange(_)));
        assert!(matches!(
            health(0, 0, 0, false).look(false),
            Look::Strange(_)
        ));
    }

    #[test]
    fn items_without_any_good_thumb_are_never_the_end() {
        assert!(matches!(
            health(2, 2, 0, true).look(false),
            Look::Strange(_)
        ));
        assert!(matches!(
            health(2, 0, 2, true).look(false),
            Look::Strange(_)
        ));
    }
}
