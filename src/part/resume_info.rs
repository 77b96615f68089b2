//! What must hold for a later run to continue a part: kept in a file beside the part, or in one
//! file for several parts.

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folder::PartId;
use super::{open_regular, remove_if_exists};
use crate::outcome::Capture;

/// What must hold of the server's copy for a part to be continued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeInfo {
    /// The address that the bytes came from.
    pub address: String,
    /// The `ETag` of the bytes. Only a strong one lets a part be continued; a complete part needs
    /// none.
    pub etag: Option<String>,
    /// The `Last-Modified` that came with the bytes.
    pub last_modified: Option<String>,
    /// The length of the complete image in bytes.
    pub length: u64,
    /// The name that the server gave the file: untrusted text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// The web archive's capture that the bytes are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
}

/// A [`ResumeInfo`] as it is stored: one JSON object, on its own line where several share a
/// file.
#[derive(Serialize, Deserialize)]
struct StoredResumeInfo {
    /// Grows when the meaning of a field changes; a part with another version is dropped.
    version: u32,
    /// Identifies the system's start. Parts are not flushed to disk, so that after another start (a
    /// crash of the system, a power cut) a part may lack bytes that were written, and is dropped.
    boot: String,
    /// In a shared file: the name of the part's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<String>,
    #[serde(flatten)]
    info: ResumeInfo,
}

const VERSION: u32 = 1;

/// The extension of a part's own file. This one and the next name what earlier builds left behind,
/// too.
const OWN_EXTENSION: &str = "note";

/// The extension of a file for several parts.
const SHARED_EXTENSION: &str = "notes";

/// The most that is read of a part's own file: more than any address and validators need.
const MAX_OWN_BYTES: u64 = 256 * 1024;

/// The most that is read of a shared file: more than all images need that wait for their names at
/// one moment.
const MAX_SHARED_BYTES: u64 = 16 << 20;

/// Where the resume information of `part` alone is kept.
pub(super) fn own_path(part: &Path) -> PathBuf {
    part.with_extension(OWN_EXTENSION)
}

impl ResumeInfo {
    /// Writes it to `path`, where no file may be.
    pub(super) fn write(&self, path: &Path, boot: &str) -> io::Result<()> {
        create(path, &self.to_json(None, boot)?)
    }

    fn to_json(&self, part: Option<&str>, boot: &str) -> io::Result<Vec<u8>> {
        let (boot, part) = (boot.to_owned(), part.map(str::to_owned));
        Ok(serde_json::to_vec(&StoredResumeInfo {
            version: VERSION,
            boot,
            part,
            info: self.clone(),
        })?)
    }
}

/// Reads what is stored at `path`, if it is valid and was written since the system's start.
pub(super) fn read(path: &Path, boot: &str) -> Option<ResumeInfo> {
    let json = read_at_most(path, MAX_OWN_BYTES).ok()?;
    Some(parse(&json, boot)?.info)
}

fn parse(json: &[u8], boot: &str) -> Option<StoredResumeInfo> {
    let stored = serde_json::from_slice::<StoredResumeInfo>(json).ok()?;
    (stored.version == VERSION && *stored.boot == *boot).then_some(stored)
}

fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    open_regular(path, OpenOptions::new().read(true))?
        .take(limit)
        .read_to_end(&mut text)?;
    Ok(text)
}

fn create(path: &Path, text: &[u8]) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?
        .write_all(text)
}

/// Writes the resume information of complete parts to the shared file number `number` in `folder`;
/// returns its path.
pub(super) fn write_shared(
    folder: &Path,
    number: u64,
    infos: &HashMap<PartId, ResumeInfo>,
    boot: &str,
) -> io::Result<PathBuf> {
    let path = folder
        .join(number.to_string())
        .with_extension(SHARED_EXTENSION);
    let mut text = Vec::new();
    for (part, info) in infos {
        text.extend(info.to_json(Some(&part.file_name()), boot)?);
        text.push(b'\n');
    }
    create(&path, &text)?;
    Ok(path)
}

/// Gives each part that is named in a shared file among `files` its own file, and removes the
/// shared files from the folder and from `files`. A part of another length than the stored one is
/// skipped: it is not the part that was meant.
pub(super) fn split_shared(files: &mut HashSet<PathBuf>, boot: &str) -> io::Result<()> {
    let all_shared: Vec<PathBuf> = files
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == SHARED_EXTENSION))
        .cloned()
        .collect();
    for shared in all_shared {
        // Unreadable: its parts are dropped like parts without resume information.
        let text = read_at_most(&shared, MAX_SHARED_BYTES).unwrap_or_default();
        for StoredResumeInfo { part, info, .. } in text
            .split(|byte| *byte == b'\n')
            .filter_map(|json| parse(json, boot))
        {
            let Some(part) = part
                .map(|part| shared.with_file_name(part))
                .filter(|part| files.contains(part))
            else {
                continue;
            };
            if fs::symlink_metadata(&part).is_ok_and(|found| found.len() == info.length) {
                let own = own_path(&part);
                // A start that was killed here may have left half of one.
                remove_if_exists(&own)?;
                info.write(&own, boot)?;
                files.insert(own);
            }
        }
        // Last: a kill before this line leaves the shared file for the next start, which splits it
        // again.
        remove_if_exists(&shared)?;
        files.remove(&shared);
    }
    Ok(())
}
