//! A ledger that lasts as long as its run: for runs that keep nothing, and for tests.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use super::rules::{self, File, FileId, ImageRow, NewImageRow, Tables};
use super::{
    HooksWaiting, ImageWaiting, Intent, KnownState, Ledger, LedgerError, LedgerRow, Placement,
    Record, RowState, Selection, Stats, StoredFile, Unfinished,
};
use crate::job::{ImageKey, ImageName, Stem};
use crate::outcome::Content;

/// The ledger in memory.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Rows>);

impl Memory {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Ledger for Memory {
    async fn known(
        &self,
        images: Vec<(ImageKey, Stem)>,
        now: Timestamp,
    ) -> Result<HashMap<ImageKey, KnownState>, LedgerError> {
        let Ok(known) = rules::known(&mut *self.rows(), images, now);
        Ok(known)
    }

    async fn placing(&self, group: Vec<Intent>) -> Result<Vec<Placement>, LedgerError> {
        let Ok(berths) = rules::placing(&mut *self.rows(), group);
        Ok(berths)
    }

    async fn record(&self, group: Vec<Record>) -> Result<(), LedgerError> {
        let Ok(()) = rules::record(&mut *self.rows(), group);
        Ok(())
    }

    async fn adopt(&self, files: Vec<(ImageName, Content)>) -> Result<usize, LedgerError> {
        let Ok(adopted) = rules::adopt(&mut *self.rows(), files);
        Ok(adopted)
    }

    async fn unfinished(&self) -> Result<Vec<Unfinished>, LedgerError> {
        let rows = self.rows();
        let promise = |(key, image): (&ImageKey, &Image)| {
            let file = image
                .file(&rows)
                .filter(|_| image.entry.state == RowState::Placing)?;
            Some(Unfinished {
                key: key.clone(),
                name: file.name.clone(),
                content: file.content,
            })
        };
        Ok(rows.in_order().into_iter().filter_map(promise).collect())
    }

    fn each(
        &self,
        selection: &Selection,
        row: &mut dyn FnMut(LedgerRow) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        let rows = self.rows();
        let mut images = rows.in_order();
        // What is promised comes after what was written down at the same moment.
        images.sort_by_key(|(_, image)| (image.entry.at, image.entry.state == RowState::Placing));
        let all: Vec<LedgerRow> = images
            .into_iter()
            .map(|(key, image)| image.row(key, &rows))
            .collect();
        // Whoever gets the rows may ask the ledger again.
        drop(rows);
        let _ = all
            .into_iter()
            .filter(rules::chosen(selection))
            .try_for_each(row);
        Ok(())
    }

    fn files(&self) -> Result<Vec<StoredFile>, LedgerError> {
        let rows = self.rows();
        let told = |file: &Kept| StoredFile {
            name: file.name.clone(),
            content: file.content,
            saved: file.saved,
        };
        let mut files: Vec<_> = rows.files.values().map(told).collect();
        files.sort_by_cached_key(|file| file.name.to_string());
        Ok(files)
    }

    async fn forget(
        &self,
        files: Vec<(ImageName, String)>,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        let Ok(()) = rules::forget(&mut *self.rows(), files, at);
        Ok(())
    }

    async fn hooks_waiting(&self) -> Result<HooksWaiting, LedgerError> {
        let mut rows = self.rows();
        let Rows { images, hooks, .. } = &mut *rows;
        let is_saved = |key: &ImageKey| {
            images
                .get(key)
                .is_some_and(|image| image.entry.state == RowState::Saved)
        };
        hooks.retain(|of, _| of.as_ref().is_none_or(is_saved));
        let end = hooks.get(&None).map(|hook| hook.failed);
        Ok(HooksWaiting {
            images: hooks.keys().flatten().count() as u64,
            end,
        })
    }

    async fn images_waiting(
        &self,
        below: i64,
        limit: usize,
    ) -> Result<Vec<ImageWaiting>, LedgerError> {
        let rows = self.rows();
        let waiting = |(of, hook): (&Option<ImageKey>, &Hook)| {
            let key = of.as_ref()?;
            let image = rows
                .images
                .get(key)
                .filter(|image| image.entry.state == RowState::Saved)?;
            Some(ImageWaiting {
                number: hook.number,
                failed: hook.failed,
                image: image.row(key, &rows),
            })
        };
        let mut images: Vec<_> = rows
            .hooks
            .iter()
            .filter_map(waiting)
            .filter(|image| image.number < below)
            .collect();
        images.sort_by_key(|image| std::cmp::Reverse(image.number));
        images.truncate(limit);
        Ok(images)
    }

    fn stats(&self) -> Result<Stats, LedgerError> {
        let rows = self.rows();
        let count = |state| {
            rows.images
                .values()
                .filter(|image| image.entry.state == state)
                .count() as u64
        };
        let saved = || rows.files.values().filter(|file| file.saved);
        let fetched = || {
            rows.images
                .values()
                .map(|image| &image.entry)
                .filter(|entry| entry.state == RowState::Saved)
        };
        let mut formats = HashMap::<String, u64>::new();
        for file in saved() {
            *formats.entry(file.content.format.to_string()).or_default() += 1;
        }
        let mut formats: Vec<_> = formats.into_iter().collect();
        formats.sort_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
        Ok(Stats {
            saved: count(RowState::Saved),
            files: saved().count() as u64,
            bytes: saved().map(|file| file.content.bytes).sum(),
            failed: count(RowState::Failed),
            gone: count(RowState::Gone),
            formats,
            first: fetched().map(|entry| entry.at).min(),
            last: fetched().map(|entry| entry.at).max(),
        })
    }
}

#[derive(Debug, Default)]
struct Rows {
    images: HashMap<ImageKey, Image>,
    files: HashMap<FileId, Kept>,
    names: HashMap<String, FileId>,
    /// Of the files that were adopted.
    stems: BTreeSet<(Stem, FileId)>,
    /// By image; by none for the end of a run.
    hooks: HashMap<Option<ImageKey>, Hook>,
    written: i64,
}

/// An image's row and its place in the order of writing.
#[derive(Debug)]
struct Image {
    number: i64,
    entry: NewImageRow,
}

/// What waits for the user's commands, in the order of writing.
#[derive(Debug)]
struct Hook {
    number: i64,
    failed: u32,
}

#[derive(Debug)]
struct Kept {
    name: ImageName,
    content: Content,
    saved: bool,
}

impl Rows {
    fn next(&mut self) -> i64 {
        self.written += 1;
        self.written
    }

    fn in_order(&self) -> Vec<(&ImageKey, &Image)> {
        let mut images: Vec<_> = self.images.iter().collect();
        images.sort_by_key(|(_, image)| image.number);
        images
    }

    fn delist(&mut self, id: FileId, name: &ImageName) {
        self.names.remove(&name.normalized());
        self.stems.remove(&(name.stem(), id));
    }
}

impl Image {
    fn file<'a>(&self, rows: &'a Rows) -> Option<&'a Kept> {
        rows.files.get(&self.entry.file?)
    }

    fn row(&self, key: &ImageKey, rows: &Rows) -> LedgerRow {
        let file = self.file(rows);
        let entry = self.entry.clone();
        LedgerRow {
            key: key.clone(),
            state: entry.state,
            at: entry.at,
            name: file.map(|file| file.name.to_string()),
            content: file.map(|file| file.content),
            page: entry.page,
            address: entry.address,
            title: entry.title,
            etag: entry.etag,
            last_modified: entry.last_modified,
            cause: entry.cause,
            until: entry.until,
        }
    }
}

impl Tables for Rows {
    type Error = Infallible;

    fn image(&mut self, key: &ImageKey) -> Result<Option<ImageRow>, Infallible> {
        let noted = |image: &Image| ImageRow {
            state: image.entry.state,
            file: image.entry.file,
            until: image.entry.until,
        };
        Ok(self.images.get(key).map(noted))
    }

    fn write_image(&mut self, key: &ImageKey, entry: NewImageRow) -> Result<(), Infallible> {
        let number = self.next();
        match self.images.get_mut(key) {
            Some(image) if entry.state != RowState::Placing => image.entry = entry,
            Some(_) | None => drop(self.images.insert(key.clone(), Image { number, entry })),
        }
        Ok(())
    }

    fn settle_image(&mut self, key: &ImageKey) -> Result<(), Infallible> {
        let number = self.next();
        if let Some(image) = self.images.get_mut(key) {
            image.number = number;
            image.entry.state = RowState::Saved;
        }
        Ok(())
    }

    fn drop_image(&mut self, key: &ImageKey) -> Result<(), Infallible> {
        self.images.remove(key);
        Ok(())
    }

    fn file(&mut self, id: FileId) -> Result<Option<File>, Infallible> {
        Ok(self.files.get(&id).map(
            |Kept {
                 name,
                 content,
                 saved,
             }| File {
                id,
                name: name.clone(),
                bytes: content.bytes,
                hash: content.hash,
                saved: *saved,
            },
        ))
    }

    fn file_named(&mut self, name: &ImageName) -> Result<Option<File>, Infallible> {
        match self.names.get(&name.normalized()) {
            Some(&id) => self.file(id),
            None => Ok(None),
        }
    }

    fn adoptable(&mut self, stem: &Stem) -> Result<bool, Infallible> {
        let mut same = self
            .stems
            .range((stem.clone(), FileId::MIN)..=(stem.clone(), FileId::MAX));
        let in_use = |id| {
            self.images
                .values()
                .any(|image| image.entry.file == Some(id))
        };
        Ok(same.any(|(_, id)| !in_use(*id)))
    }

    fn add_file(
        &mut self,
        name: &ImageName,
        content: &Content,
        saved: bool,
    ) -> Result<FileId, Infallible> {
        let id = self.next();
        self.names.insert(name.normalized(), id);
        if saved {
            self.stems.insert((name.stem(), id));
        }
        self.files.insert(
            id,
            Kept {
                name: name.clone(),
                content: *content,
                saved,
            },
        );
        Ok(id)
    }

    fn rename_file(&mut self, id: FileId, name: &ImageName) -> Result<(), Infallible> {
        if let Some(mut file) = self.files.remove(&id) {
            self.names.remove(&file.name.normalized());
            self.names.insert(name.normalized(), id);
            file.name = name.clone();
            self.files.insert(id, file);
        }
        Ok(())
    }

    fn settle_file(&mut self, id: FileId) -> Result<(), Infallible> {
        if let Some(file) = self.files.get_mut(&id) {
            file.saved = true;
        }
        Ok(())
    }

    fn hand_over(&mut self, from: FileId, to: FileId) -> Result<(), Infallible> {
        for image in self
            .images
            .values_mut()
            .filter(|image| image.entry.file == Some(from))
        {
            image.entry.file = Some(to);
        }
        Ok(())
    }

    fn release(&mut self, id: FileId, cause: &str, at: Timestamp) -> Result<(), Infallible> {
        for image in self
            .images
            .values_mut()
            .filter(|image| image.entry.file == Some(id))
        {
            let entry = &mut image.entry;
            (entry.state, entry.file, entry.cause, entry.at) =
                (RowState::Failed, None, Some(cause.to_owned()), at);
        }
        Ok(())
    }

    fn in_use(&mut self, id: FileId) -> Result<bool, Infallible> {
        Ok(self
            .images
            .values()
            .any(|image| image.entry.file == Some(id)))
    }

    fn write_hooks(
        &mut self,
        of: Option<&ImageKey>,
        failed: Option<u32>,
    ) -> Result<(), Infallible> {
        let (of, number) = (of.cloned(), self.next());
        match failed {
            Some(failed) => {
                self.hooks
                    .entry(of)
                    .or_insert(Hook { number, failed })
                    .failed = failed
            }
            None => drop(self.hooks.remove(&of)),
        }
        Ok(())
    }

    fn drop_file(&mut self, id: FileId) -> Result<(), Infallible> {
        if let Some(file) = self.files.remove(&id) {
            self.delist(id, &file.name);
        }
        Ok(())
    }
}
