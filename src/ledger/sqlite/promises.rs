//! Names that images are about to get. They are few and last for a moment, so they stand in memory and, as one text,
//! in one row of the file: tables and indices are touched once an image, when it has its name.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};

use crate::job::{ContentHash, ImageKey, ImageName, SiteId};
use crate::ledger::rules::{File, FileId, NewImageRow};
use crate::ledger::{LedgerRow, RowState};
use crate::outcome::{Content, Format};

/// What is promised, and the files that will hold it.
#[derive(Debug, Default)]
pub(super) struct PendingPlacements {
    images: HashMap<ImageKey, Promise>,
    /// Files that are not there yet, by numbers below zero.
    files: HashMap<FileId, (ImageName, Content)>,
    names: HashMap<String, FileId>,
    /// The numbers that such files have by now.
    settled: HashMap<FileId, FileId>,
    /// Files that rows of the tables point at before they are there.
    awaited: HashSet<FileId>,
    counted: i64,
    changed: bool,
}

/// An image about to get its name.
#[derive(Debug, Clone)]
struct Promise {
    /// Its place in the order of promising.
    number: i64,
    entry: NewImageRow,
}

impl PendingPlacements {
    /// Reads what a ledger's file holds of them.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let told: Option<String> = connection
            .query_row("SELECT told FROM promises", [], |row| row.get(0))
            .optional()?;
        let Some(told) = told else {
            return Ok(Self::default());
        };
        let failed = |reason| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, reason);
        let written: Written = serde_json::from_str(&told).map_err(|error| failed(error.into()))?;
        Self::from_stored(written)
            .ok_or_else(|| failed("a promise that nobody can have made".into()))
    }

    /// Writes them down, if anything changed since.
    pub(super) fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        if self.images.is_empty() && self.files.is_empty() {
            self.settled.clear();
            self.names.clear();
            return connection
                .prepare_cached("DELETE FROM promises")?
                .execute([])
                .map(drop);
        }
        let told = serde_json::to_string(&self.written())
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let statement = "INSERT INTO promises (id, told) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET told = ?1";
        connection
            .prepare_cached(statement)?
            .execute([told])
            .map(drop)
    }

    /// The file that the image under `key` is to lie in.
    pub(super) fn file_of(&self, key: &ImageKey) -> Option<FileId> {
        self.images
            .get(key)
            .and_then(|promise| promise.entry.file)
            .map(|file| self.resolve_id(file))
    }

    pub(super) fn promise(&mut self, key: &ImageKey, entry: NewImageRow) {
        self.changed = true;
        self.counted += 1;
        self.images.insert(
            key.clone(),
            Promise {
                number: self.counted,
                entry,
            },
        );
    }

    /// Takes back what was promised to `key`; its row as it stands now.
    pub(super) fn take(&mut self, key: &ImageKey) -> Option<NewImageRow> {
        let Promise { mut entry, .. } = self.images.remove(key)?;
        self.changed = true;
        entry.file = entry.file.map(|file| self.resolve_id(file));
        Some(entry)
    }

    /// Adds a file that is not there yet.
    pub(super) fn add_file(&mut self, name: &ImageName, content: Content) -> FileId {
        self.changed = true;
        self.counted += 1;
        let id = -self.counted;
        self.names.insert(name.normalized(), id);
        self.files.insert(id, (name.clone(), content));
        id
    }

    pub(super) fn file(&self, id: FileId) -> Option<File> {
        let (name, content) = self.files.get(&id)?;
        Some(File {
            id,
            name: name.clone(),
            bytes: content.bytes,
            hash: content.hash,
            saved: false,
        })
    }

    pub(super) fn file_named(&self, folded: &str) -> Option<File> {
        self.file(*self.names.get(folded)?)
    }

    /// Gives a file that is not there yet another name; false when it is there.
    pub(super) fn rename(&mut self, id: FileId, name: &ImageName) -> bool {
        let Some((old, _content)) = self.files.get_mut(&id) else {
            return false;
        };
        self.changed = true;
        self.names.remove(&old.normalized());
        self.names.insert(name.normalized(), id);
        *old = name.clone();
        true
    }

    /// Takes a file that is not there yet out of the promises.
    pub(super) fn take_file(&mut self, id: FileId) -> Option<(ImageName, Content)> {
        let (name, content) = self.files.remove(&id)?;
        self.changed = true;
        self.names.remove(&name.normalized());
        Some((name, content))
    }

    /// Remembers that the file is there, by the number it has from now on.
    pub(super) fn settle(&mut self, id: FileId, number: FileId) {
        self.settled.insert(id, number);
    }

    /// The number by which a file is known now.
    pub(super) fn resolve_id(&self, id: FileId) -> FileId {
        self.settled.get(&id).copied().unwrap_or(id)
    }

    /// Lets every image that was to lie in `from` lie in `to`.
    pub(super) fn hand_over(&mut self, from: FileId, to: FileId) {
        let settled = &self.settled;
        let is_from = |file: FileId| settled.get(&file).copied().unwrap_or(file) == from;
        for promise in self
            .images
            .values_mut()
            .filter(|promise| promise.entry.file.is_some_and(is_from))
        {
            promise.entry.file = Some(to);
            self.changed = true;
        }
    }

    /// Remembers that rows point at a file that is not there yet.
    pub(super) fn reference_ahead(&mut self, id: FileId) {
        self.awaited.insert(id);
    }

    /// Whether rows pointed at it; they do no more.
    pub(super) fn is_forward_referenced(&mut self, id: FileId) -> bool {
        self.awaited.remove(&id)
    }

    /// The images that are to lie in the file.
    pub(super) fn of_file(&self, id: FileId) -> Vec<ImageKey> {
        let lies_there = |promise: &Promise| {
            promise
                .entry
                .file
                .is_some_and(|file| self.resolve_id(file) == id)
        };
        let images = self
            .images
            .iter()
            .filter(|(_key, promise)| lies_there(promise));
        images.map(|(key, _promise)| key.clone()).collect()
    }

    /// The files that are not there yet.
    pub(super) fn files(&self) -> impl Iterator<Item = &(ImageName, Content)> {
        self.files.values()
    }

    /// The images as rows, in the order they were promised; `there` looks up a file that is there.
    pub(super) fn rows(
        &self,
        mut there: impl FnMut(FileId) -> rusqlite::Result<Option<(ImageName, Content)>>,
    ) -> rusqlite::Result<Vec<(LedgerRow, ImageName, Content)>> {
        let mut rows = Vec::with_capacity(self.images.len());
        for (key, Promise { entry, .. }) in self.in_order() {
            let Some(file) = entry.file.map(|file| self.resolve_id(file)) else {
                continue;
            };
            let found = match self.files.get(&file) {
                Some((name, content)) => Some((name.clone(), *content)),
                None => there(file)?,
            };
            if let Some((name, content)) = found {
                rows.push((row(key, entry.clone(), &name, content), name, content));
            }
        }
        Ok(rows)
    }

    fn in_order(&self) -> Vec<(&ImageKey, &Promise)> {
        let mut images: Vec<_> = self.images.iter().collect();
        images.sort_unstable_by_key(|(_key, promise)| promise.number);
        images
    }

    fn written(&self) -> Written<'_> {
        Written {
            images: self
                .in_order()
                .into_iter()
                .map(|(key, promise)| self.written_image(key, promise))
                .collect(),
            files: self
                .files
                .iter()
                .map(|(id, (name, content))| written_file(*id, name, *content))
                .collect(),
        }
    }

    fn written_image<'a>(
        &self,
        key: &'a ImageKey,
        Promise { entry, .. }: &'a Promise,
    ) -> WrittenImage<'a> {
        WrittenImage {
            key: key.as_str().into(),
            site: other_than(key.site(), entry.site.as_str()),
            file: entry.file.map_or(0, |file| self.resolve_id(file)),
            page: entry.page.as_deref().map(Into::into),
            address: other_than(key.address(), &entry.address),
            title: entry.title.as_deref().map(Into::into),
            etag: entry.etag.as_deref().map(Into::into),
            last_modified: entry.last_modified.as_deref().map(Into::into),
            at: entry.at,
        }
    }

    fn from_stored(Written { images, files }: Written<'_>) -> Option<Self> {
        let mut promises = Self::default();
        for WrittenFile {
            id,
            name,
            bytes,
            blake3,
            format,
            width,
            height,
        } in files
        {
            let (hash, format) = (
                ContentHash::from_hex(&blake3)?,
                Format::from_extension(&format)?,
            );
            let name = ImageName::from_stored(&name);
            promises.counted = promises
                .counted
                .max(id.checked_neg().filter(|count| *count > 0)?);
            promises.names.insert(name.normalized(), id);
            promises.files.insert(
                id,
                (
                    name,
                    Content {
                        bytes,
                        hash,
                        format,
                        width,
                        height,
                    },
                ),
            );
        }
        for WrittenImage {
            key,
            site,
            file,
            page,
            address,
            title,
            etag,
            last_modified,
            at,
        } in images
        {
            let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
            let key = ImageKey::from_stored(key.into_owned());
            let entry = NewImageRow {
                site: SiteId::new(site.as_deref().unwrap_or(key.site())).ok()?,
                state: RowState::Placing,
                file: Some(file),
                page: owned(page),
                address: address.as_deref().unwrap_or(key.address()).to_owned(),
                title: owned(title),
                etag: owned(etag),
                last_modified: owned(last_modified),
                at,
                cause: None,
                attempts: None,
                until: None,
            };
            promises.promise(&key, entry);
        }
        promises.changed = false;
        Some(promises)
    }
}

fn written_file(id: FileId, name: &ImageName, content: Content) -> WrittenFile<'_> {
    let Content {
        bytes,
        hash,
        format,
        width,
        height,
    } = content;
    let (name, blake3, format) = (
        name.as_str().into(),
        hash.to_string(),
        format.extension().into(),
    );
    WrittenFile {
        id,
        name,
        bytes,
        blake3,
        format,
        width,
        height,
    }
}

fn row(key: &ImageKey, entry: NewImageRow, name: &ImageName, content: Content) -> LedgerRow {
    LedgerRow {
        key: key.clone(),
        state: RowState::Placing,
        at: entry.at,
        name: Some(name.to_string()),
        content: Some(content),
        page: entry.page,
        address: entry.address,
        title: entry.title,
        etag: entry.etag,
        last_modified: entry.last_modified,
        cause: None,
        until: None,
    }
}

/// The promises as they stand in the file: JSON.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    images: Vec<WrittenImage<'a>>,
    files: Vec<WrittenFile<'a>>,
}

#[derive(Serialize, Deserialize)]
struct WrittenImage<'a> {
    key: Cow<'a, str>,
    /// Where the key does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<Cow<'a, str>>,
    /// A row of the files, or below zero one of the files beside this.
    file: FileId,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<Cow<'a, str>>,
    /// Where it is not the key's.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<Cow<'a, str>>,
    at: Timestamp,
}

/// What is written of a text that is `known`: nothing, unless it is another.
fn other_than<'a>(known: &str, text: &'a str) -> Option<Cow<'a, str>> {
    (text != known).then_some(text.into())
}

#[derive(Serialize, Deserialize)]
struct WrittenFile<'a> {
    id: FileId,
    name: Cow<'a, str>,
    bytes: u64,
    blake3: String,
    format: Cow<'a, str>,
    width: u32,
    height: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_key_says_need_not_be_written_and_may_be() {
        let key = "demo https://demo.invalid/a.png";
        let terse = format!(r#"{{"key":"{key}","file":-1,"at":"2026-11-26T00:00:00Z"}}"#);
        let full = format!(
            r#"{{"key":"{key}","site":"demo","file":-1,"page":null,"address":"https://demo.invalid/a.png","title":null,
                "etag":null,"last_modified":null,"at":"2026-11-26T00:00:00Z"}}"#
        );
        for image in [&terse, &full] {
            let mut promises = PendingPlacements::from_stored(Written {
                images: vec![serde_json::from_str(image).unwrap()],
                files: Vec::new(),
            });
            let promises = promises.as_mut().unwrap();
            assert_eq!(
                serde_json::to_string(&promises.written().images[0]).unwrap(),
                terse
            );
            let entry = promises
                .take(&ImageKey::from_stored(key.to_owned()))
                .unwrap();
            assert_eq!(
                (entry.site.as_str(), entry.address.as_str()),
                ("demo", "https://demo.invalid/a.png")
            );
        }
    }
}
