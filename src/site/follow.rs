//! From a page that leads to an original to the original's own address.

use url::Url;

use super::PageText;
use crate::job::{Candidate, FollowRule};
use crate::outcome::SkipReason;

/// The candidates that `rule` finds on the page that came from `page`, in the order to be tried.
///
/// # Errors
///
/// When it finds none that may be requested: why.
pub fn follow(
    _rule: &FollowRule,
    _page: &Url,
    _body: PageText<'_>,
) -> Result<Vec<Candidate>, SkipReason> {
    Err(SkipReason::NoRule)
}
