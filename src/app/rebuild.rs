//! `wallhaul ledger rebuild`: makes a new ledger from the images of a collection, without fetching anything.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use futures_util::TryStreamExt as _;

use super::hold::{acquire_lock, note_on_stderr};
use super::many::{cores, parallel_ordered};
use super::verify::findings::{Finding, FindingKind, FindingWriter};
use super::{Environment, blocking};
use crate::config::{Options, Settings};
use crate::engine::Shutdown;
use crate::exit::Exit;
use crate::job::ImageName;
use crate::ledger::{self, Ledger, LedgerError};
use crate::outcome::Content;
use crate::report::escape;
use crate::sink::{self, EntryKind, OpenSink, ReadError, SinkError, SinkReader};
use crate::units::plural;
use crate::verify::{Limits, verify_file};

/// Makes a new ledger from the images of a site's collection, and keeps the old one under a dated name.
///
/// # Errors
///
/// When there is no such collection, another run holds it, or the ledger cannot be written; the old one then stays.
pub async fn rebuild_ledger(
    site: &str,
    options: Options,
    environment: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    let settings = Settings::new(options, environment.stderr, environment.clock);
    let location = settings.place.collection(site, false);
    // Before the lock, which would create a collection where there is none.
    if sink::open_to_read(&location).await?.is_none() {
        bail!("there is no folder `{location}`: name it with -d, or its site with --site");
    }
    let locking = acquire_lock(
        &location,
        &settings,
        environment,
        &shutdown,
        note_on_stderr(&settings.output),
    );
    let Some(OpenSink { sink, staging }) = locking.await? else {
        return Ok(Exit::Done);
    };
    let scratch = ScratchDir::create(staging.state_dir())?;
    let new_ledger = ledger::open(&scratch.0, true)?;
    let entries = entries(&*sink).await?;
    let output = settings.output;
    let checking = blocking(move || {
        let mut writer =
            FindingWriter::new(&output, Box::new(io::stdout()), "judging", entries.len());
        collect_images(&*sink, entries, &shutdown, &mut |checked, foreign| {
            writer.set_checked(checked);
            foreign.map_or(Ok(()), |finding| writer.write(&finding))
        })
    });
    let Some(images) = checking.await? else {
        return Ok(Exit::Done);
    };
    let adopted = adopt(&*new_ledger, images).await?;
    // Closing it moves everything into its one file.
    drop(new_ledger);
    let old = ledger::replace(staging.state_dir(), &scratch.0, (environment.clock)())?;
    if !settings.output.quiet {
        print_summary(adopted, old.as_deref());
    }
    Ok(Exit::Done)
}

fn print_summary(adopted: usize, old: Option<&Path>) {
    let images = plural(adopted, "image", "images");
    let old = old.map_or_else(String::new, |old| {
        format!("; the old one is `{}`", escape(&old.display().to_string()))
    });
    // A closed stderr is no reason to fail.
    let _ = writeln!(io::stderr(), "the new ledger knows {images}{old}");
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

/// The images of a collection whose ledger is gone, for [`adopt`]; none where there is a ledger, or the run was
/// interrupted.
///
/// # Errors
///
/// When the collection cannot be listed.
pub(super) async fn orphaned_images(
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

/// The folder in which the new ledger is made; removed when dropped.
struct ScratchDir(PathBuf);

impl ScratchDir {
    fn create(state_dir: &Path) -> Result<Self, SinkError> {
        let folder = state_dir.join("rebuilding");
        let what = format!("creating the folder `{}`", folder.display());
        // A rebuild that was killed left a ledger that is not complete.
        let created = match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::create_dir(&folder),
        };
        created.map_err(|source| SinkError::Storage { what, source })?;
        Ok(Self(folder))
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // If this fails, the next rebuild removes it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Rows in one transaction: enough that its cost does not matter, few enough to be written in a moment.
const GROUP: usize = 1_000;

/// Adds images to the ledger; returns how many were new to it.
///
/// # Errors
///
/// When the ledger cannot be written.
pub(super) async fn adopt(
    ledger: &dyn Ledger,
    images: Vec<(ImageName, Content)>,
) -> Result<usize, LedgerError> {
    let mut adopted = 0;
    for group in images.chunks(GROUP) {
        adopted += ledger.adopt(group.to_vec()).await?;
    }
    Ok(adopted)
}

/// Checks every entry and returns the images; `None` where it was interrupted. `on_checked` gets how many entries were
/// checked, and what is not an image of ours.
fn collect_images(
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
        let foreign = match image {
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

/// The image of this name, or why it is not one of ours: in words.
fn image(
    reader: &dyn SinkReader,
    name: &str,
    kind: EntryKind,
) -> Result<(ImageName, Content), String> {
    match kind {
        EntryKind::File { bytes: _ } => {}
        EntryKind::Folder
        | EntryKind::Symlink
        | EntryKind::Pipe
        | EntryKind::Socket
        | EntryKind::Device => return Err(format!("{kind}, left alone")),
    }
    let file = reader.read(name).map_err(|error| match error {
        // It was listed, so only its name as text can be wrong.
        ReadError::Missing => "its name is not valid UTF-8".to_owned(),
        ReadError::NotAFile(_) | ReadError::Unreadable(_) => error.to_string(),
    })?;
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
        // We name images by their format, so this one is not ours.
        _ => Err(format!(
            "its bytes are .{extension}, its name says otherwise"
        )),
    }
}
