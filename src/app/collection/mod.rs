//! A collection: opening and locking it, listing its entries, and adopting the images of one whose ledger is gone.

mod adopt;
mod lock;
mod queue_id;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use anyhow::bail;
use futures_util::TryStreamExt as _;

pub(super) use adopt::{adopt, collect_images, orphaned_images};
pub(super) use lock::{acquire_lock, open_for_worker, store_options};
pub(super) use queue_id::queue_id;

use crate::config::Settings;
use crate::hooks::Hooks;
use crate::ledger::{self, Ledger};
use crate::sink::{
    self, Durability, EntryKind, Location, OpenSink, Sink, SinkError, SinkReader, Staging,
};

/// A collection that this run works on: its folder is locked, and its ledger can be written.
pub(super) struct Collection {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) staging: Arc<Staging>,
    pub(super) ledger: Arc<dyn Ledger>,
    /// The user's commands that run for newly saved images.
    pub(super) hooks: Option<Hooks>,
}

impl Collection {
    /// Opens the ledger of a locked collection, once there is enough free space for more images.
    pub(super) fn open(opened: OpenSink, settings: &Settings) -> anyhow::Result<Self> {
        let OpenSink { sink, staging } = opened;
        staging.check_free_space()?;
        let ledger = ledger::open(
            staging.state_dir(),
            settings.durability == Durability::Group,
        )?;
        Ok(Self {
            sink,
            staging,
            ledger: Arc::from(ledger),
            hooks: None,
        })
    }
}

/// Opens the ledger of the collection at `location` for reading.
pub(super) fn open_to_read(location: &Location) -> anyhow::Result<Box<dyn Ledger>> {
    let state_dir = sink::state_dir(location)?;
    match ledger::open_to_read(&state_dir)? {
        Some(ledger) => Ok(ledger),
        None if state_dir.is_dir() => bail!(
            "the collection in `{location}` has no ledger: `wallhaul ledger rebuild -d {location}` makes one from its images"
        ),
        None => {
            bail!("there is no collection in `{location}`: name its folder with -d, or its site")
        }
    }
}

/// Everything in a place by name, so that it is checked and reported in the order of the names.
///
/// # Errors
///
/// When the place cannot be listed.
pub(super) async fn entries(
    reader: &dyn SinkReader,
) -> Result<BTreeMap<OsString, EntryKind>, SinkError> {
    let entries = reader.list().map_ok(|entry| (entry.name, entry.kind));
    entries.try_collect().await
}
