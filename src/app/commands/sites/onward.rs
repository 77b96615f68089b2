//! Where a listing goes on after a page that is tried.

use crate::report::{escape, messages};
use crate::site::{ListingPage, NextPage, PageAnswer, PageContent, PageRequest, Pager, Site, Step};
use crate::units::plural;

/// What a page is to the listing.
pub(super) enum Onward {
    /// It leads to listings and shows no images: in words, safe to print.
    Links(String),
    /// It shows images, and this comes after it: in words, safe to print.
    After(String),
    /// It does not fit, or what comes next is known only when the page after it is.
    Unknown,
}

/// Answers `request` with a page, and says where the listing goes on.
pub(super) fn onward(
    site: &Site,
    pager: &mut Pager,
    request: &PageRequest,
    page: &ListingPage,
    images: usize,
) -> Onward {
    let Ok(content) = pager.read(site, request, page) else {
        return Onward::Unknown;
    };
    let answer = match content {
        PageContent::Items => PageAnswer::Items {
            new: images,
            repeated: 0,
        },
        PageContent::Links { new, repeated } => PageAnswer::Items { new, repeated },
        PageContent::Empty => PageAnswer::Empty,
    };
    let next = match pager.answered(request, answer) {
        Step::Failed(_) => return Onward::Unknown,
        Step::Ended(end) => messages::listing_end(&end),
        Step::GoesOn => match pager.next_page() {
            NextPage::Request(next) => format!("next is {}", escape(next.url.as_str())),
            NextPage::AfterAnswer => return Onward::Unknown,
            NextPage::NoMore => match pager.finish().1 {
                Ok(end) => messages::listing_end(&end),
                Err(failure) => escape(&messages::listing_failure(&failure)).into_owned(),
            },
        },
    };
    match content {
        PageContent::Links { new, .. } => {
            let links = plural(new, "link to a listing", "links to listings");
            Onward::Links(format!("{links}; {next}"))
        }
        PageContent::Items | PageContent::Empty => Onward::After(next),
    }
}
