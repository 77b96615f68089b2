//! The rules every ledger keeps, written once: what counts as known, who gets which name, what an end changes.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::{Intent, KnownState, LedgerRow, Placement, Record, RowState, Selection};
use crate::job::{ContentHash, ImageKey, ImageName, SiteId, Stem};
use crate::outcome::Content;

/// What a plug looks up and writes down, a row at a time, for the rules above it.
pub(super) trait Tables {
    /// Why a row cannot be read or written.
    type Error;

    /// What stands under `key`.
    fn image(&mut self, key: &ImageKey) -> Result<Option<ImageRow>, Self::Error>;
    /// Writes `entry` under `key`, over what stood there.
    fn write_image(&mut self, key: &ImageKey, entry: NewImageRow) -> Result<(), Self::Error>;
    /// Says that the image under `key` is in the collection.
    fn settle_image(&mut self, key: &ImageKey) -> Result<(), Self::Error>;
    /// Strikes out what stands under `key`.
    fn drop_image(&mut self, key: &ImageKey) -> Result<(), Self::Error>;

    /// The file of this number.
    fn file(&mut self, id: FileId) -> Result<Option<File>, Self::Error>;
    /// The file whose folded name is that of `name`.
    fn file_named(&mut self, name: &ImageName) -> Result<Option<File>, Self::Error>;
    /// Whether a file of this stem was adopted and no image lies in it.
    fn adoptable(&mut self, stem: &Stem) -> Result<bool, Self::Error>;
    /// Writes down a file under a name nothing else has: one that is there is adopted.
    fn add_file(
        &mut self,
        name: &ImageName,
        content: &Content,
        saved: bool,
    ) -> Result<FileId, Self::Error>;
    /// Gives the file another name that nothing else has.
    fn rename_file(&mut self, id: FileId, name: &ImageName) -> Result<(), Self::Error>;
    /// Says that the file is there.
    fn settle_file(&mut self, id: FileId) -> Result<(), Self::Error>;
    /// Lets every image that lies in `from` lie in `to`.
    fn hand_over(&mut self, from: FileId, to: FileId) -> Result<(), Self::Error>;
    /// Lets every image that lies in the file count as failed for this reason, at this time.
    fn release(&mut self, id: FileId, cause: &str, at: Timestamp) -> Result<(), Self::Error>;
    /// Whether any image lies in the file.
    fn in_use(&mut self, id: FileId) -> Result<bool, Self::Error>;
    /// Says that hooks wait for the image, or for the end of a run, and how often they failed, or strikes that out.
    fn write_hooks(
        &mut self,
        of: Option<&ImageKey>,
        failed: Option<u32>,
    ) -> Result<(), Self::Error>;
    /// Strikes out a file that no image lies in.
    fn drop_file(&mut self, id: FileId) -> Result<(), Self::Error>;
}

/// A file's number in its ledger.
pub(super) type FileId = i64;

/// What the rules need of an image's row.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImageRow {
    pub(super) state: RowState,
    pub(super) file: Option<FileId>,
    pub(super) until: Option<Timestamp>,
}

/// What the rules need of a file's row.
#[derive(Debug)]
pub(super) struct File {
    pub(super) id: FileId,
    pub(super) name: ImageName,
    pub(super) bytes: u64,
    pub(super) hash: ContentHash,
    pub(super) saved: bool,
}

/// An image's whole row, its key aside.
#[derive(Debug, Clone)]
pub(super) struct NewImageRow {
    pub(super) site: SiteId,
    pub(super) state: RowState,
    pub(super) file: Option<FileId>,
    pub(super) page: Option<String>,
    pub(super) address: String,
    pub(super) title: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    pub(super) at: Timestamp,
    pub(super) cause: Option<String>,
    pub(super) attempts: Option<u32>,
    pub(super) until: Option<Timestamp>,
}

/// Answers [`super::Ledger::known`].
pub(super) fn known<B: Tables>(
    book: &mut B,
    images: Vec<(ImageKey, Stem)>,
    now: Timestamp,
) -> Result<HashMap<ImageKey, KnownState>, B::Error> {
    let mut known = HashMap::with_capacity(images.len());
    for (key, stem) in images {
        if let Some(past) = past(book, &key, &stem, now)? {
            known.insert(key, past);
        }
    }
    Ok(known)
}

fn past<B: Tables>(
    book: &mut B,
    key: &ImageKey,
    stem: &Stem,
    now: Timestamp,
) -> Result<Option<KnownState>, B::Error> {
    if let Some(noted) = book.image(key)? {
        match (noted.state, noted.until) {
            (RowState::Saved, _) => return Ok(Some(KnownState::Saved)),
            (RowState::Gone, Some(until)) if until > now => {
                return Ok(Some(KnownState::Gone { until }));
            }
            (RowState::Placing, _) => return Ok(None),
            (RowState::Gone | RowState::Failed, _) => {}
        }
    }
    Ok(book.adoptable(stem)?.then_some(KnownState::Adopted))
}

/// Answers [`super::Ledger::placing`], within the transaction that `book` writes to.
pub(super) fn placing<B: Tables>(
    book: &mut B,
    group: Vec<Intent>,
) -> Result<Vec<Placement>, B::Error> {
    let mut promised = HashSet::with_capacity(group.len());
    group
        .into_iter()
        .map(|intent| promise(book, intent, &mut promised))
        .collect()
}

fn promise<B: Tables>(
    book: &mut B,
    intent: Intent,
    promised: &mut HashSet<FileId>,
) -> Result<Placement, B::Error> {
    let Intent {
        key,
        site,
        origin,
        name,
        content,
        at,
    } = intent;
    take_back(book, &key, promised)?;
    let (berth, file) = berth(book, &name, &content, promised)?;
    let entry = NewImageRow {
        site,
        state: RowState::Placing,
        file: Some(file),
        page: Some(origin.page.into()),
        address: origin.address.into(),
        title: origin.title,
        etag: origin.etag,
        last_modified: origin.last_modified,
        at: to_the_second(at),
        cause: None,
        attempts: None,
        until: None,
    };
    book.write_image(&key, entry)?;
    Ok(berth)
}

/// Finds the name for `content`: the wanted one or the next that nothing else has, unless a file with the
/// same bytes is met on the way. Only what is there, or promised in this very group, can be such a twin.
fn berth<B: Tables>(
    book: &mut B,
    wanted: &ImageName,
    content: &Content,
    promised: &mut HashSet<FileId>,
) -> Result<(Placement, FileId), B::Error> {
    let mut name = wanted.clone();
    let mut tried = 0;
    while let Some(file) = book.file_named(&name)? {
        let there = file.saved || promised.contains(&file.id);
        if there && file.hash == content.hash && file.bytes == content.bytes {
            return Ok((Placement::Duplicate(file.name), file.id));
        }
        tried += 1;
        name = another(wanted, &content.hash, tried);
    }
    let id = book.add_file(&name, content, false)?;
    promised.insert(id);
    Ok((Placement::New(name), id))
}

/// The name to try after `tried` others: told apart by the content, and past that by a number, so no two are alike.
fn another(wanted: &ImageName, hash: &ContentHash, tried: u64) -> ImageName {
    let with_hash_suffix = wanted.with_hash_suffix(hash);
    if tried == 1 {
        return with_hash_suffix;
    }
    let written = with_hash_suffix.to_string();
    let (stem, extension) = written.rsplit_once('.').unwrap_or((&written, ""));
    ImageName::from_stored(&format!("{stem}-{tried}.{extension}"))
}

/// Does the work of [`super::Ledger::record`], within the transaction that `book` writes to.
pub(super) fn record<B: Tables>(book: &mut B, group: Vec<Record>) -> Result<(), B::Error> {
    for record in group {
        match record {
            Record::Saved { key, name } => settle(book, &key, &name)?,
            Record::Unplaced { key } => take_back(book, &key, &HashSet::new())?,
            Record::Failed {
                key,
                site,
                failure,
                at,
                until,
            } => {
                if book
                    .image(&key)?
                    .is_some_and(|noted| noted.state == RowState::Saved)
                {
                    continue;
                }
                take_back(book, &key, &HashSet::new())?;
                let entry = NewImageRow {
                    site,
                    state: if failure.gone {
                        RowState::Gone
                    } else {
                        RowState::Failed
                    },
                    file: None,
                    page: None,
                    address: failure.address,
                    title: None,
                    etag: None,
                    last_modified: None,
                    at: to_the_second(at),
                    cause: Some(failure.cause),
                    attempts: Some(failure.attempts),
                    until: until.map(to_the_second),
                };
                book.write_image(&key, entry)?;
            }
            Record::Hooks { of, failed } => book.write_hooks(of.as_ref(), failed)?,
        }
    }
    Ok(())
}

/// Keeps a promise. The first image to say where a file lies names it for all that share it.
fn settle<B: Tables>(book: &mut B, key: &ImageKey, name: &ImageName) -> Result<(), B::Error> {
    let Some(id) = book.image(key)?.and_then(|noted| noted.file) else {
        return Ok(());
    };
    if let Some(file) = book.file(id)?.filter(|file| !file.saved) {
        if file.name != *name {
            // Nothing is ever overwritten: what the ledger believed to have this name was not there any more.
            if let Some(stale) = book.file_named(name)?.filter(|stale| stale.id != id) {
                book.hand_over(stale.id, id)?;
                book.drop_file(stale.id)?;
            }
            book.rename_file(id, name)?;
        }
        book.settle_file(id)?;
    }
    book.settle_image(key)
}

/// Takes back what was promised to `key`, and its name with it unless that is saved, shared or in `kept`.
fn take_back<B: Tables>(
    book: &mut B,
    key: &ImageKey,
    kept: &HashSet<FileId>,
) -> Result<(), B::Error> {
    let Some(noted) = book
        .image(key)?
        .filter(|noted| noted.state == RowState::Placing)
    else {
        return Ok(());
    };
    book.drop_image(key)?;
    let Some(id) = noted.file.filter(|id| !kept.contains(id)) else {
        return Ok(());
    };
    let saved = book.file(id)?.is_none_or(|file| file.saved);
    if !saved && !book.in_use(id)? {
        book.drop_file(id)?;
    }
    Ok(())
}

/// Answers [`super::Ledger::adopt`], within the transaction that `book` writes to.
pub(super) fn adopt<B: Tables>(
    book: &mut B,
    files: Vec<(ImageName, Content)>,
) -> Result<usize, B::Error> {
    let mut adopted = 0;
    for (name, content) in files {
        if book.file_named(&name)?.is_none() {
            book.add_file(&name, &content, true)?;
            adopted += 1;
        }
    }
    Ok(adopted)
}

/// Does the work of [`super::Ledger::forget`], within the transaction that `book` writes to.
pub(super) fn forget<B: Tables>(
    book: &mut B,
    files: Vec<(ImageName, String)>,
    at: Timestamp,
) -> Result<(), B::Error> {
    for (name, cause) in files {
        // One that is being placed is its run's to settle.
        if let Some(file) = book.file_named(&name)?.filter(|file| file.saved) {
            book.release(file.id, &cause, to_the_second(at))?;
            book.drop_file(file.id)?;
        }
    }
    Ok(())
}

/// Tells the rows of `selection` from others.
pub(super) fn chosen(selection: &Selection) -> impl Fn(&LedgerRow) -> bool + use<> {
    let state = selection.state;
    let like = selection.like.as_deref().map(str::to_lowercase);
    move |row| {
        let holds = |text: &str| {
            like.as_deref()
                .is_none_or(|like| text.to_lowercase().contains(like))
        };
        state.is_none_or(|state| state == row.state)
            && (holds(&row.address) || row.name.as_deref().is_some_and(holds))
    }
}

/// Whole seconds: written out they all have one length and sort as text.
fn to_the_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
