//! The walk over listings, with links made by hand: what a page says is `document`'s to find.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use url::Url;

use super::continuation::Continuations;
use super::cursor::Cursors;
use super::links::NextLinks;
use super::list::ListedPages;
use super::numbers::NumberedPages;
use super::order::{Addresses, LinkedPages};
use super::page_links::{LinkSources, PageLinks};
use super::pager::Pager;
use super::stop::EndRule;
use super::template::PageTemplate;
use super::window::{DateWindows, Days};
use super::*;
use crate::site::document::{DocumentKind, SourceContext};
use crate::site::schema::WindowTable;
use crate::site::{ListingPage, PageHealth, Site};
