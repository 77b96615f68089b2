//! Finds the images of a folder whose ledger is gone, so that a new ledger can know them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::sync::Arc;

use super::entries;
use crate::app::blocking::{blocking, cores, parallel_ordered};
use crate::app::console::{Finding, FindingKind};
use crate::engine::Shutdown;
use crate::job::ImageName;
use crate::ledger::{self, Ledger, LedgerError};
use crate::outcome::Content;
use crate::sink::{EntryKind, OpenSink, ReadError, SinkError, SinkReader, StoredImageReader};
use crate::verify::{Limits, verify_file};

/// The images of a collection whose ledger is gone, for [`adopt`]; none where there is a ledger, or the run was
/// interrupted.
///
/// # Errors
///
/// When the collection cannot be listed.
pub(in crate::app) async fn orphaned_images(
    opened: &OpenSink,
    shutdown: &Shutdown,
) -> anyhow::Result<Vec<(ImageName, Content)>> {
    if !ledger::is_blank(opened.staging.state_dir()) {
        return Ok(Vec::new());
    }
    let (sink, shutdown) = (Arc::clone(&opened.sink), shutdown.clone());
    let entries = entries(&*sink).await?;
    let collecting =
        blocking(move || collect_images(&*sink, entries, &shutdown, &mut |_, _| Ok(())));
    Ok(collecting.await?.unwrap_or_default())
}

/// Rows in one transaction: enough that its cost does not matter, few enough to be written in a moment.
const GROUP: usize = 1_000;

/// Adds images to the ledger; returns how many were new to it.
///
/// # Errors
///
/// When the ledger cannot be written.
pub(in crate::app) async fn adopt(
    ledger: &dyn Ledger,
    images: Vec<(ImageName, Content)>,
) -> Result<usize, LedgerError> {
    let mut adopted = 0;
    for group in images.chunks(GROUP) {
        adopted += ledger.adopt(group.to_vec()).await?;
    }
    Ok(adopted)
}

/// Checks every entry and returns the images; `None` where it was interrupted. `on_checked` gets the number of
/// entries checked so far, and the finding if the last one is foreign.
pub(in crate::app) fn collect_images(
    reader: &dyn SinkReader,
    entries: BTreeMap<OsString, EntryKind>,
    shutdown: &Shutdown,
    on_checked: &mut dyn FnMut(usize, Option<Finding>) -> anyhow::Result<()>,
) -> anyhow::Result<Option<Vec<(ImageName, Content)>>> {
    let entries: Vec<_> = entries.into_iter().collect();
    let mut images = Vec::new();
    let mut checked = 0;
    let check = |(name, kind): &(OsString, EntryKind)| {
        (!shutdown.is_stopping()).then(|| image(reader, &name.to_string_lossy(), *kind))
    };
    parallel_ordered(&entries, cores(), check, |(name, _kind), image| {
        checked += 1;
        let foreign = match image? {
            Ok(image) => {
                images.push(image);
                None
            }
            Err(reason) => Some(Finding {
                kind: FindingKind::Foreign,
                name: name.to_string_lossy().into_owned(),
                reason,
            }),
        };
        on_checked(checked, foreign)
    })?;
    Ok((checked == entries.len()).then_some(images))
}

/// The image of this name, or the reason why the entry is not an image that this program made.
///
/// # Errors
///
/// When the place is out of reach.
fn image(
    reader: &dyn SinkReader,
    name: &str,
    kind: EntryKind,
) -> Result<Result<(ImageName, Content), String>, SinkError> {
    match kind {
        EntryKind::File { bytes: _ } => {}
        EntryKind::Folder
        | EntryKind::Symlink
        | EntryKind::Pipe
        | EntryKind::Socket
        | EntryKind::Device => return Ok(Err(format!("{kind}, left alone"))),
    }
    Ok(match reader.read(name) {
        Ok(file) => identified(file, name),
        // It was listed, so it exists: only the conversion of its name to text can have changed it.
        Err(ReadError::Missing) => Err("its name is not valid UTF-8".to_owned()),
        Err(error @ (ReadError::NotAFile(_) | ReadError::Unreadable(_))) => Err(error.to_string()),
        Err(ReadError::OutOfReach(error)) => return Err(error),
    })
}

fn identified(
    file: Box<dyn StoredImageReader>,
    name: &str,
) -> Result<(ImageName, Content), String> {
    let unreadable = |error: io::Error| ReadError::Unreadable(error).to_string();
    let bytes = file.size().map_err(unreadable)?;
    let any_size = Limits {
        max_pixels: u64::MAX,
    };
    let content = verify_file(file, bytes, any_size)
        .map_err(unreadable)?
        .map_err(|defect| defect.to_string())?;
    let extension = content.format.extension();
    match name.rsplit_once('.') {
        Some((_stem, found)) if found == extension => Ok((ImageName::from_stored(name), content)),
        // This program names images by their format, so it did not make this one.
        _ => Err(format!(
            "its bytes are .{extension}, its name says otherwise"
        )),
    }
}
