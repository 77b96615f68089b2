//! `wallhaul ledger rebuild`: makes a new ledger from the images of a collection, without fetching anything.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::app::blocking::blocking;
use crate::app::collection::{acquire_lock, adopt, collect_images, entries, store_options};
use crate::app::console::{FindingWriter, note_on_stderr, print_note};
use crate::app::environment::Environment;
use crate::config::{Options, Settings};
use crate::engine::Shutdown;
use crate::exit::Exit;
use crate::ledger;
use crate::report::escape;
use crate::sink::{self, OpenSink, SinkError};
use crate::units::plural;

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
    if sink::open_to_read(&location, &store_options(&settings, environment))
        .await?
        .is_none()
    {
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
            FindingWriter::new(&output, Box::new(io::stdout()), "checking", entries.len());
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
    print_note(&format!("the new ledger knows {images}{old}"));
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
