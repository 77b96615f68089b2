//! From what the user named to the sites and URLs that a command works on.

mod addresses;
mod definitions;
mod secrets;
mod session;
mod url_file;

pub(super) use addresses::{Target, targets};
pub(super) use definitions::{Definition, DefinitionPlace, Definitions};
pub(super) use session::{
    SelectedSite, SelectedSource, SiteSession, direct_origins, select_sites, select_source,
    user_origins, wanted_pages,
};
