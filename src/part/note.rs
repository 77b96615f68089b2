//! What must be true for a part to go on: its note. It lies beside the part, or on a sheet with those of others.

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{PartId, note_path, open_plain, remove};

/// What must be true of the server's copy for a part to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeInfo {
    /// The address the bytes came from.
    pub address: String,
    /// The `ETag` they belong to. A part goes on with a strong one alone; one that is whole needs none.
    pub etag: Option<String>,
    /// The `Last-Modified` that came with them.
    pub last_modified: Option<String>,
    /// The whole image's length.
    pub length: u64,
}

/// A [`ResumeInfo`] as it lies on disk.
#[derive(Serialize, Deserialize)]
struct Written {
    /// Grows when the meaning of a note changes; another version's part is dropped.
    version: u32,
    /// The system's boot: after another one the part's bytes may not be what was written.
    boot: String,
    /// On a sheet: the name of the part's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<String>,
    #[serde(flatten)]
    note: ResumeInfo,
}

const VERSION: u32 = 1;

/// More than any address and any validator need; what is longer is no note.
const LONGEST: u64 = 256 * 1024;

/// More than the notes of all images need that wait at a time.
const LONGEST_SHEET: u64 = 16 << 20;

/// How a sheet's name ends.
const SHEET: &str = "notes";

impl ResumeInfo {
    /// Writes it to `path`, where nothing may be.
    pub(super) fn write(&self, path: &Path, boot: &str) -> io::Result<()> {
        put(path, &self.line(None, boot)?)
    }

    fn line(&self, part: Option<&str>, boot: &str) -> io::Result<Vec<u8>> {
        let (boot, part) = (boot.to_owned(), part.map(str::to_owned));
        Ok(serde_json::to_vec(&Written {
            version: VERSION,
            boot,
            part,
            note: self.clone(),
        })?)
    }
}

/// Reads the note at `path`, if it is one and was written since the system's start.
pub(super) fn read(path: &Path, boot: &str) -> Option<ResumeInfo> {
    let text = read_text(path, LONGEST).ok()?;
    Some(read_line(&text, boot)?.note)
}

fn read_line(line: &[u8], boot: &str) -> Option<Written> {
    let written = serde_json::from_slice::<Written>(line).ok()?;
    (written.version == VERSION && *written.boot == *boot).then_some(written)
}

fn read_text(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    open_plain(path, OpenOptions::new().read(true))?
        .take(most)
        .read_to_end(&mut text)?;
    Ok(text)
}

fn put(path: &Path, text: &[u8]) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?
        .write_all(text)
}

/// Writes the notes of whole parts on sheet number `number` in `folder`, a line each; answers with where it lies.
pub(super) fn write_sheet(
    folder: &Path,
    number: u64,
    notes: &HashMap<PartId, ResumeInfo>,
    boot: &str,
) -> io::Result<PathBuf> {
    let path = folder.join(number.to_string()).with_extension(SHEET);
    let mut text = Vec::new();
    for (part, note) in notes {
        text.extend(note.line(Some(&part.file_name()), boot)?);
        text.push(b'\n');
    }
    put(&path, &text)?;
    Ok(path)
}

/// Gives each part that a sheet among `files` speaks of its own note, and removes the sheets from them. A part that is
/// not whole is none that was spoken of.
pub(super) fn spread_sheets(files: &mut HashSet<PathBuf>, boot: &str) -> io::Result<()> {
    let sheets: Vec<PathBuf> = files
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == SHEET))
        .cloned()
        .collect();
    for sheet in sheets {
        // What cannot be read speaks of nothing.
        let text = read_text(&sheet, LONGEST_SHEET).unwrap_or_default();
        for Written { part, note, .. } in text
            .split(|byte| *byte == b'\n')
            .filter_map(|line| read_line(line, boot))
        {
            let Some(part) = part
                .map(|part| sheet.with_file_name(part))
                .filter(|part| files.contains(part))
            else {
                continue;
            };
            if fs::symlink_metadata(&part).is_ok_and(|found| found.len() == note.length) {
                let own = note_path(&part);
                // Half of one, of a start that was killed.
                remove(&own)?;
                note.write(&own, boot)?;
                files.insert(own);
            }
        }
        remove(&sheet)?;
        files.remove(&sheet);
    }
    Ok(())
}
