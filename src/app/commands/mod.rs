//! One file or folder for each command. They do not import each other: code that two of them need is in `app`, beside
//! this folder.

mod fetch;
mod ledger;
mod queue;
mod rebuild;
mod sites;
mod urls;
mod verify;
mod work;

pub use fetch::{fetch, scan};
pub use ledger::{count_ledger, list_ledger, show_ledger};
pub use queue::{PurgeTarget, QueueTask, queue};
pub use rebuild::rebuild_ledger;
pub use sites::{
    DetailPage, NewOptions, RecordOptions, TestOptions, check_site, list_sites, new_site,
    print_schema, record_site, show_site, test_site,
};
pub use urls::urls;
pub use verify::{VerifyOptions, verify};
pub use work::work;
