//! `wallhaul ledger rebuild`: a new ledger from the images that lie in the folder; nothing is fetched for it.

use std::ffi::OsString;
use std::fs::{self, FileType};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::folder::{self, NoFile};
use super::hold::{aloud, hold};
use super::many::{cores, parallel_ordered};
use super::verify::told::{Finding, Kind, Told};
use super::{Environment, blocking};
use crate::config::{Options, Settings};
use crate::engine::Shutdown;
use crate::exit::Exit;
use crate::job::ImageName;
use crate::ledger::{self, Ledger, LedgerError};
use crate::outcome::Content;
use crate::report::escape;
use crate::sink::{self, SinkError};
use crate::units::plural;
use crate::verify::{Limits, verify_file};

/// Makes a new ledger of the images in a site's collection, and moves the old one aside under a dated name.
///
/// # Errors
///
/// When there is no such folder, another run holds it, or the ledger cannot be written; the old one then stays.
pub async fn rebuild_ledger(
    site: &str,
    options: Options,
    world: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    let settings = Settings::new(options, world.stderr, world.clock);
    let directory = settings.place.collection(site, false);
    if !directory.is_dir() {
        bail!(
            "there is no folder `{}`: name it with -d, or its site with --site",
            directory.display()
        );
    }
    let held = hold(
        &directory,
        &settings,
        world,
        &shutdown,
        aloud(&settings.output),
    )
    .await?;
    let Some(_held) = held else {
        return Ok(Exit::Done);
    };
    let workshop = ScratchDir::open(&directory)?;
    let ledger = ledger::open(&workshop.0, true)?;
    let (looked, telling) = (directory.clone(), settings.output);
    let judged = blocking(move || {
        let entries = folder::entries(&looked)?;
        let mut told = Told::new(&telling, Box::new(io::stdout()), "judging", entries.len());
        judge(&looked, entries, &shutdown, &mut |seen, foreign| {
            told.set_progress(seen);
            foreign.map_or(Ok(()), |finding| told.tell(&finding))
        })
    });
    let Some(images) = judged.await? else {
        return Ok(Exit::Done);
    };
    let adopted = adopt(&*ledger, images).await?;
    // Closed, it is whole and in one file.
    drop(ledger);
    let old = ledger::replace(&sink::ours(&directory), &workshop.0, (world.clock)())?;
    if !settings.output.quiet {
        tell(adopted, old.as_deref());
    }
    Ok(Exit::Done)
}

fn tell(adopted: usize, old: Option<&Path>) {
    let images = plural(adopted, "image", "images");
    let old = old.map_or_else(String::new, |old| {
        format!("; the old one is `{}`", escape(&old.display().to_string()))
    });
    // Where nobody listens nothing can be said.
    let _ = writeln!(io::stderr(), "the new ledger knows {images}{old}");
}

/// The images of a collection whose ledger is not there any more, for [`adopt`]; none where there is a ledger, or
/// the run is to end.
///
/// # Errors
///
/// When the folder cannot be read.
pub(super) async fn left_behind(
    directory: &Path,
    shutdown: &Shutdown,
) -> anyhow::Result<Vec<(ImageName, Content)>> {
    if !ledger::is_blank(&sink::ours(directory)) {
        return Ok(Vec::new());
    }
    let (directory, shutdown) = (directory.to_owned(), shutdown.clone());
    let judged = blocking(move || {
        judge(
            &directory,
            folder::entries(&directory)?,
            &shutdown,
            &mut |_, _| Ok(()),
        )
    });
    Ok(judged.await?.unwrap_or_default())
}

/// The folder in which the new ledger is made; removed when dropped.
struct ScratchDir(PathBuf);

impl ScratchDir {
    fn open(directory: &Path) -> Result<Self, SinkError> {
        let folder = sink::ours(directory).join("rebuilding");
        let what = format!("making the folder `{}`", folder.display());
        // What a killed rebuilding left is of no use.
        let cleared = match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::create_dir(&folder),
        };
        cleared.map_err(|source| SinkError::Storage { what, source })?;
        Ok(Self(folder))
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // What cannot be removed now is cleared away by the next one.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Rows written at once: enough that a transaction costs nothing, few enough to be soon written.
const GROUP: usize = 1_000;

/// Has the ledger take images in; answers with how many it did not know.
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

/// Judges everything in the folder and answers with the images; nothing where the run is to end. `tell` hears how many
/// were seen, and what is left alone.
fn judge(
    directory: &Path,
    entries: impl IntoIterator<Item = (OsString, FileType)>,
    shutdown: &Shutdown,
    tell: &mut dyn FnMut(usize, Option<Finding>) -> anyhow::Result<()>,
) -> anyhow::Result<Option<Vec<(ImageName, Content)>>> {
    let entries: Vec<_> = entries.into_iter().collect();
    let mut images = Vec::new();
    let mut seen = 0;
    let work = |(name, kind): &(OsString, FileType)| {
        (!shutdown.is_stopping()).then(|| image(directory, &name.to_string_lossy(), *kind))
    };
    parallel_ordered(&entries, cores(), work, |(name, _kind), judged| {
        seen += 1;
        let foreign = match judged {
            Ok(image) => {
                images.push(image);
                None
            }
            Err(reason) => Some(Finding {
                kind: Kind::Foreign,
                name: name.to_string_lossy().into_owned(),
                reason,
            }),
        };
        tell(seen, foreign)
    })?;
    Ok((seen == entries.len()).then_some(images))
}

/// The image of this name, or why there is none: in words.
fn image(directory: &Path, name: &str, kind: FileType) -> Result<(ImageName, Content), String> {
    if !kind.is_file() {
        return Err(format!("{}, left alone", folder::kind(kind)));
    }
    let file = folder::open(directory, name).map_err(|why| match why {
        NoFile::Missing => "its name cannot be written here".to_owned(),
        NoFile::Odd(why) | NoFile::Unreadable(why) => why,
    })?;
    let unreadable = |error: io::Error| format!("it cannot be read: {error}");
    let bytes = file.metadata().map_err(unreadable)?.len();
    let any_size = Limits {
        max_pixels: u64::MAX,
    };
    let content = verify_file(&file, bytes, any_size)
        .map_err(unreadable)?
        .map_err(|flaw| flaw.to_string())?;
    let due = content.format.extension();
    match name.rsplit_once('.') {
        Some((_stem, extension)) if extension == due => Ok((ImageName::from_stored(name), content)),
        // Ours always say what they are, so this is somebody else's.
        _ => Err(format!(
            "its bytes are those of a .{due}, its name is another's"
        )),
    }
}
