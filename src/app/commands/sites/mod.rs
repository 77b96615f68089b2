//! `wallhaul sites`: finds, tries, records and writes site definitions. One file a subcommand; `items` is what `test`,
//! `check` and `new` say of a page.

mod check;
mod fixture;
mod hops;
mod items;
mod list;
mod live;
mod new;
mod onward;
mod record;
mod schema;
mod show;
mod test;
mod walk;

pub use check::check_site;
pub use list::list_sites;
pub use new::{NewOptions, new_site};
pub use record::{RecordOptions, record_site};
pub use schema::print_schema;
pub use show::show_site;
pub use test::{DetailPage, TestOptions, test_site};
