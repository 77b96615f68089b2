//! `wallhaul verify`: looks at every file of a collection, beside its ledger and at its own structure.

mod judge;
mod repair;
pub(super) mod told;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use self::judge::{FileCheck, FileVerdict};
use self::told::{Counts, Finding, Kind, Told};
use super::ledger::open_to_read;
use super::many::{cores, parallel_ordered};
use super::visit::collected;
use super::{Environment, blocking, folder, print};
use crate::config::{Options, Settings};
use crate::engine::Shutdown;
use crate::exit::Exit;
use crate::job::ImageName;
use crate::ledger::{Ledger, StoredFile};
use crate::report::OutputSettings;
use crate::sink::SinkError;
use crate::verify::Decoder;

/// How deep to look, and what to do then.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Fetch again what is damaged or missing.
    pub repair: bool,
    /// Look at every pixel.
    pub decode: bool,
    /// Write the SHA-256 sums of what is sound to this file, or to standard output.
    pub sums: Option<PathBuf>,
    /// Files looked at a time; as many as there are cores, where nothing is said.
    pub threads: Option<u16>,
}

/// Looks at every file of a site's collection, and says on standard output what is not as it was fetched.
///
/// # Errors
///
/// When there is no collection, its ledger or its folder cannot be used, or standard output cannot be written to.
pub async fn verify(
    site: Option<String>,
    wanted: VerifyOptions,
    options: Options,
    world: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    let settings = Settings::new(options, world.stderr, world.clock);
    let site = collected(site, &settings)?;
    let id = site.id().clone();
    let directory = settings.place.collection(id.as_str(), false);
    // Also before a repair, which would make a collection where there is none.
    let ledger = open_to_read(&directory)?;
    let look = Verifier::new(directory, &settings, &wanted, shutdown);
    let found = if wanted.repair {
        drop(ledger);
        let Some(found) = repair::repair(look, site, &settings, world).await? else {
            return Ok(Exit::Done);
        };
        found
    } else {
        blocking(move || look.over(&*ledger)).await?
    };
    if !settings.output.quiet {
        // Where nobody listens nothing can be said.
        let _ = io::stderr().write_all(found.counts.summary(id.as_str()).as_bytes());
    }
    if let Some(path) = wanted.sums.filter(|_| !found.counts.stopped) {
        write_sums(&path, &found.sums)?;
    }
    let whole = if found.counts.broken() > 0 {
        Exit::Incomplete
    } else {
        Exit::Done
    };
    Ok(found.exit.max_severity(whole))
}

/// How a collection is looked at.
struct Verifier {
    judge: FileCheck,
    threads: NonZeroUsize,
    telling: OutputSettings,
    /// Whether standard output is for the sums, so that findings go beside it.
    sums_to_stdout: bool,
}

/// What was found in a collection.
struct Findings {
    counts: Counts,
    /// What is not there as it was fetched, in the order of the names.
    broken: Vec<BadFile>,
    /// The SHA-256 sum of each sound file.
    sums: BTreeMap<String, String>,
    /// How a repair ended.
    exit: Exit,
}

/// A file that is not there as it was fetched.
struct BadFile {
    name: ImageName,
    reason: String,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Damaged,
    Missing,
    /// Something that is not ours lies under its name.
    Displaced,
}

impl Verifier {
    fn new(
        directory: PathBuf,
        settings: &Settings,
        wanted: &VerifyOptions,
        shutdown: Shutdown,
    ) -> Self {
        let VerifyOptions {
            repair: _,
            decode,
            sums,
            threads,
        } = wanted;
        let pixels = decode.then(|| Decoder::new(settings.limits));
        Self {
            judge: FileCheck {
                directory,
                pixels,
                sums: sums.is_some(),
                shutdown,
            },
            threads: threads
                .and_then(|threads| NonZeroUsize::new(threads.into()))
                .unwrap_or_else(cores),
            telling: settings.output,
            sums_to_stdout: sums.as_deref() == Some(Path::new("-")),
        }
    }

    /// Looks at the whole collection. Blocks.
    fn over(&self, ledger: &dyn Ledger) -> anyhow::Result<Findings> {
        // The folder first: a run at work beside this writes a name down before it gives it to a file.
        let mut entries = folder::entries(&self.judge.directory)?;
        let files = ledger.files()?;
        for filed in &files {
            entries.remove(OsStr::new(&filed.name.to_string()));
        }
        let (saved, unfinished): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|filed| filed.saved);
        let mut told = Told::new(&self.telling, self.out(), "verifying", saved.len());
        let mut found = Findings {
            counts: Counts::default(),
            broken: Vec::new(),
            sums: BTreeMap::new(),
            exit: Exit::Done,
        };
        self.judge_each(&saved, &mut told, |filed, verdict, told| {
            found.note(filed, verdict, told)
        })?;
        for filed in unfinished {
            let reason =
                "a run was about to place it; the next `wallhaul fetch` settles it".to_owned();
            told.tell(&Finding {
                kind: Kind::Unfinished,
                name: filed.name.to_string(),
                reason,
            })?;
        }
        for (name, what) in entries {
            let reason = format!("{} that the ledger does not know", folder::kind(what));
            told.tell(&Finding {
                kind: Kind::Foreign,
                name: name.to_string_lossy().into_owned(),
                reason,
            })?;
        }
        found.counts = told.counts;
        Ok(found)
    }

    /// Judges files and has each verdict noted, in the order of the files.
    fn judge_each(
        &self,
        files: &[StoredFile],
        told: &mut Told,
        mut note: impl FnMut(&StoredFile, FileVerdict, &mut Told) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut seen = 0;
        parallel_ordered(
            files,
            self.threads,
            |filed| self.judge.verdict(filed),
            |filed, verdict| {
                note(filed, verdict, told)?;
                seen += 1;
                told.set_progress(seen);
                Ok(())
            },
        )?;
        told.counts.stopped |= seen < files.len();
        Ok(())
    }

    fn out(&self) -> Box<dyn Write + Send> {
        if self.sums_to_stdout {
            Box::new(io::stderr())
        } else {
            Box::new(io::stdout())
        }
    }
}

impl Findings {
    fn note(
        &mut self,
        filed: &StoredFile,
        verdict: FileVerdict,
        told: &mut Told,
    ) -> anyhow::Result<()> {
        let name = || filed.name.to_string();
        let (state, kind, reason) = match verdict {
            FileVerdict::Sound { sum, unseen } => {
                self.note_sound(filed, sum, told);
                return match unseen {
                    Some(reason) => told.tell(&Finding {
                        kind: Kind::Undecoded,
                        name: name(),
                        reason,
                    }),
                    None => Ok(()),
                };
            }
            FileVerdict::Damaged(why) => (State::Damaged, Kind::Damaged, why),
            FileVerdict::Displaced(why) => (State::Displaced, Kind::Damaged, why),
            FileVerdict::Missing => {
                let why = "deleted on purpose it stays deleted; `--repair` fetches it".to_owned();
                (State::Missing, Kind::Missing, why)
            }
        };
        told.tell(&Finding {
            kind,
            name: name(),
            reason: reason.clone(),
        })?;
        self.broken.push(BadFile {
            name: filed.name.clone(),
            reason,
            state,
        });
        Ok(())
    }

    fn note_sound(&mut self, filed: &StoredFile, sum: Option<String>, told: &mut Told) {
        told.counts.sound += 1;
        told.counts.bytes += filed.content.bytes;
        if let Some(sum) = sum {
            self.sums.insert(filed.name.to_string(), sum);
        }
    }
}

/// Writes sums as `sha256sum -c` reads them, beside the images.
fn write_sums(path: &Path, sums: &BTreeMap<String, String>) -> anyhow::Result<Exit> {
    let mut text = String::new();
    for (name, sum) in sums {
        text.extend([sum, "  ", name, "\n"]);
    }
    if path == Path::new("-") {
        return print(text.as_bytes());
    }
    let what = format!("writing the sums to `{}`", path.display());
    fs::write(path, text).map_err(|source| SinkError::Storage { what, source })?;
    Ok(Exit::Done)
}
