//! `wallhaul verify`: checks every file of a collection against its ledger and for its own structure.

mod file_check;
mod repair;
mod replace;
mod views;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::runtime::Handle;

use self::file_check::{FileCheck, FileVerdict};
use crate::app::blocking::{blocking, cores, parallel_ordered};
use crate::app::collection::{entries, open_to_read, store_options};
use crate::app::console::{
    Counts, Finding, FindingKind, FindingWriter, print, print_note, unlisted,
};
use crate::app::environment::Environment;
use crate::app::run::{check_archive, use_environment};
use crate::app::targets::{Definitions, select_source};
use crate::config::{Options, Settings};
use crate::engine::Shutdown;
use crate::exit::Exit;
use crate::job::{ImageKey, ImageName};
use crate::ledger::{Ledger, StoredFile};
use crate::outcome::Content;
use crate::report::OutputSettings;
use crate::sink::{self, EntryKind, SinkError, SinkReader};
use crate::verify::Decoder;

/// How thoroughly to check, and what to do then.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Fetch again what is damaged or missing.
    pub repair: bool,
    /// Decode every pixel.
    pub decode: bool,
    /// Write the SHA-256 sums of intact files to this file, or to standard output for `-`.
    pub sums: Option<PathBuf>,
    /// How many files are checked at a time; by default as many as there are cores.
    pub threads: Option<u16>,
}

/// Checks every file of a site's collection, and prints what is not as it was fetched.
///
/// # Errors
///
/// When there is no collection, its ledger or its images cannot be read, or standard output cannot be written to.
pub async fn verify(
    site: Option<String>,
    checks: VerifyOptions,
    options: Options,
    environment: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    check_archive(&options)?;
    let mut settings = Settings::new(options, environment.stderr, environment.clock);
    if checks.repair {
        use_environment(&mut settings, environment)?;
    }
    let definitions = Definitions::new(environment, &settings);
    let site = select_source(site, &settings, &definitions)?;
    let id = site.id().clone();
    let location = settings.place.collection(id.as_str(), false);
    // Also before a repair, which would create a collection where there is none.
    let ledger = open_to_read(&location)?;
    let reader = sink::open_to_read(&location, &store_options(&settings, environment)).await?;
    let reader = reader.with_context(|| format!("there is no collection in `{location}`"))?;
    let verifier = Verifier::new(reader, &settings, &checks, shutdown);
    let by_listing = verifier.by_listing;
    let found = if checks.repair {
        drop(ledger);
        let Some(found) = repair::repair(verifier, site, &settings, environment).await? else {
            return Ok(Exit::Done);
        };
        found
    } else {
        // The collection first: a concurrent run writes a name into the ledger before it gives it to a file, so a file
        // that is listed and is not in the ledger read later is foreign.
        let entries = entries(&*verifier.check.reader).await?;
        blocking(move || verifier.check_all(&*ledger, &*ledger, entries)).await?
    };
    if !settings.output.quiet {
        for name in &found.unlisted {
            print_note(&unlisted(name.as_str()));
        }
        if by_listing {
            print_note(BY_LISTING);
        }
        print_note(&found.counts.summary(id.as_str()));
    }
    if let Some(path) = checks.sums.filter(|_| !found.counts.stopped) {
        write_sums(&path, &found.sums)?;
    }
    let result = if found.counts.bad() > 0 {
        Exit::Incomplete
    } else {
        Exit::Done
    };
    Ok(found.exit.max_severity(result))
}

/// What a check by listing does not find.
const BY_LISTING: &str =
    "names and sizes were checked, not what is in the objects: `--decode` reads each of them";

/// Checks a collection.
struct Verifier {
    check: FileCheck,
    /// Whether what the place lists is enough, and no file is read.
    by_listing: bool,
    threads: NonZeroUsize,
    repair: bool,
    output: OutputSettings,
    /// Whether standard output is for the sums, so that findings go to stderr.
    sums_to_stdout: bool,
}

/// What was found in a collection.
struct Findings {
    counts: Counts,
    /// In the order of the names.
    bad_files: Vec<BadFile>,
    /// The SHA-256 sum of each intact file.
    sums: BTreeMap<String, String>,
    /// Files whose server has the same bytes, which cannot be decoded.
    as_fetched: HashSet<String>,
    /// Whether they are to be repaired.
    repair: bool,
    /// Of undecodable files, by their names: neither printed nor counted until their servers were asked.
    held_back: BTreeMap<String, Finding>,
    /// Bad files that neither the site's listing nor the ledger leads to.
    unlisted: Vec<ImageName>,
    /// How a repair ended.
    exit: Exit,
}

/// A file that is not as it was fetched.
#[derive(Clone)]
struct BadFile {
    name: ImageName,
    /// What was fetched.
    content: Content,
    reason: String,
    problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    Damaged,
    /// It is what was fetched, and its pixels cannot be decoded.
    Undecodable,
    Missing,
    /// Something other than a file has its name.
    Displaced,
}

impl Verifier {
    fn new(
        reader: Arc<dyn SinkReader>,
        settings: &Settings,
        checks: &VerifyOptions,
        shutdown: Shutdown,
    ) -> Self {
        let VerifyOptions {
            repair,
            decode,
            sums,
            threads,
        } = checks;
        let decoder = decode.then(|| Decoder::new(settings.limits));
        Self {
            check: FileCheck {
                reader,
                decoder,
                sums: sums.is_some(),
                shutdown,
            },
            // Reading a whole bucket costs money and hours: that is for those who ask for it.
            by_listing: settings.place.is_url() && !decode && sums.is_none(),
            threads: threads
                .and_then(|threads| NonZeroUsize::new(threads.into()))
                .unwrap_or_else(cores),
            repair: *repair,
            output: settings.output,
            sums_to_stdout: sums.as_deref() == Some(Path::new("-")),
        }
    }

    /// Checks the whole collection, whose names are `entries`. `facts` is the ledger, opened to be read. Blocks.
    fn check_all(
        &self,
        ledger: &dyn Ledger,
        facts: &dyn Ledger,
        mut entries: BTreeMap<OsString, EntryKind>,
    ) -> anyhow::Result<Findings> {
        let files = ledger.files()?;
        let mut listed = HashMap::new();
        for file in &files {
            let name = file.name.to_string();
            if let Some(kind) = entries.remove(OsStr::new(&name)) {
                listed.insert(name, kind);
            }
        }
        let (saved, unfinished): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.saved);
        let mut writer = FindingWriter::new(&self.output, self.out(), "verifying", saved.len());
        let mut found = Findings {
            counts: Counts::default(),
            bad_files: Vec::new(),
            sums: BTreeMap::new(),
            as_fetched: HashSet::new(),
            repair: self.repair,
            held_back: BTreeMap::new(),
            unlisted: Vec::new(),
            exit: Exit::Done,
        };
        let check = |file: &StoredFile| {
            if self.by_listing {
                self.check.listed(file, listed.get(file.name.as_str()))
            } else {
                self.check.verdict(file)
            }
        };
        self.check_each(
            &saved,
            check,
            &mut writer,
            |file, verdict, writer| match verdict {
                FileVerdict::Undecodable(reason) if is_as_fetched(facts, &file.content)? => {
                    found.add_as_fetched(file, &reason, writer)
                }
                verdict => found.add(file, verdict, writer),
            },
        )?;
        for file in unfinished {
            let reason =
                "a run was about to place it; the next `wallhaul fetch` settles it".to_owned();
            writer.write(&Finding {
                kind: FindingKind::Unfinished,
                name: file.name.to_string(),
                reason,
            })?;
        }
        for (name, kind) in entries {
            let reason = format!("{kind} that the ledger does not know");
            writer.write(&Finding {
                kind: FindingKind::Foreign,
                name: name.to_string_lossy().into_owned(),
                reason,
            })?;
        }
        found.counts = writer.counts;
        Ok(found)
    }

    /// Checks files and hands each verdict to `on_verdict`, in the order of the files.
    fn check_each(
        &self,
        files: &[StoredFile],
        check: impl Fn(&StoredFile) -> Option<Result<FileVerdict, SinkError>> + Sync,
        writer: &mut FindingWriter,
        mut on_verdict: impl FnMut(&StoredFile, FileVerdict, &mut FindingWriter) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut checked = 0;
        parallel_ordered(files, self.threads, check, |file, verdict| {
            on_verdict(file, verdict?, writer)?;
            checked += 1;
            writer.set_checked(checked);
            Ok(())
        })?;
        writer.counts.stopped |= checked < files.len();
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
    fn add(
        &mut self,
        file: &StoredFile,
        verdict: FileVerdict,
        writer: &mut FindingWriter,
    ) -> anyhow::Result<()> {
        let name = || file.name.to_string();
        let (problem, kind, reason) = match verdict {
            FileVerdict::Intact { sum, undecoded } => {
                self.add_intact(file, sum, writer);
                return match undecoded {
                    Some(reason) => writer.write(&Finding {
                        kind: FindingKind::Undecoded,
                        name: name(),
                        reason,
                    }),
                    None => Ok(()),
                };
            }
            FileVerdict::Damaged(reason) => (Problem::Damaged, FindingKind::Damaged, reason),
            FileVerdict::Undecodable(reason) => {
                (Problem::Undecodable, FindingKind::Damaged, reason)
            }
            FileVerdict::Displaced(reason) => (Problem::Displaced, FindingKind::Damaged, reason),
            FileVerdict::Missing => {
                let reason =
                    "not fetched again if you deleted it; `--repair` fetches it".to_owned();
                (Problem::Missing, FindingKind::Missing, reason)
            }
        };
        let finding = Finding {
            kind,
            name: name(),
            reason: reason.clone(),
        };
        if self.repair && problem == Problem::Undecodable {
            self.held_back.insert(name(), finding);
        } else {
            writer.write(&finding)?;
        }
        self.bad_files.push(BadFile {
            name: file.name.clone(),
            content: file.content,
            reason,
            problem,
        });
        Ok(())
    }

    /// A file that fetching again does not change.
    fn add_as_fetched(
        &mut self,
        file: &StoredFile,
        reason: &str,
        writer: &mut FindingWriter,
    ) -> anyhow::Result<()> {
        writer.write(&Finding {
            kind: FindingKind::Undecodable,
            name: file.name.to_string(),
            reason: format!(
                "undecodable as fetched: the server has these bytes, so `--repair` leaves it; delete it to have it fetched again ({reason})"
            ),
        })?;
        self.as_fetched.insert(file.name.to_string());
        Ok(())
    }

    fn add_intact(&mut self, file: &StoredFile, sum: Option<String>, writer: &mut FindingWriter) {
        writer.counts.intact += 1;
        writer.counts.bytes += file.content.bytes;
        if let Some(sum) = sum {
            self.sums.insert(file.name.to_string(), sum);
        }
    }
}

/// What the ledger remembers of bytes that cannot be decoded and came again when they were fetched again. It stands
/// with the skips that were reported once: like them it says of something, once, that asking again is of no use.
fn undecodable_fact(content: &Content) -> (ImageKey, String) {
    (
        ImageKey::from_stored(format!("blake3 {}", content.hash)),
        "undecodable as fetched".to_owned(),
    )
}

/// Whether bytes that cannot be decoded came again. Blocks.
fn is_as_fetched(facts: &dyn Ledger, content: &Content) -> anyhow::Result<bool> {
    // A ledger that was opened to be read only answers. The time would be that of a new fact.
    let asked = facts.note_skips(vec![undecodable_fact(content)], Timestamp::UNIX_EPOCH);
    let is_new = Handle::current().block_on(asked)?;
    Ok(is_new == [false])
}

/// Writes sums in the form that `sha256sum -c` reads, for names relative to the collection.
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
