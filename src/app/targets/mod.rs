//! From what the user named to the sites and URLs that a command works on.

mod addresses;
mod session;
mod url_file;

pub(super) use addresses::{Target, targets};
pub(super) use session::{SelectedSource, SiteSession, select_sites, select_source, wanted_pages};
