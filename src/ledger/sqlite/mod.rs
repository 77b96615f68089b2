//! The ledger in an `SQLite` file. One thread has the connection for everything that a run asks and writes.

mod cache;
mod column;
mod file;
mod hooks;
mod lookups;
mod migrate;
mod pending;
mod placing;
mod read;
pub(super) mod replace;
mod statements;
mod storage;
mod tables;
mod texts;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use self::cache::Cache;
use self::file::ledger_error;
use self::tables::Tables;
use crate::job::{ImageKey, ImageName, RulesHash, Stem};
use crate::ledger::{
    Intent, Known, Ledger, LedgerError, LedgerRow, PendingHooks, PendingImageHooks,
    PendingPlacement, Placement, Record, Selection, Stats, StoredFile,
};
use crate::outcome::Content;

/// The file's name in its directory.
pub(super) const NAME: &str = "ledger.db";

/// Requests that wait for the thread: a group that is written and a page of each site. Past that, the sender waits.
const REQUESTS: usize = 16;

/// Work for the thread that has the connection.
type Request = Box<dyn FnOnce(&mut Connection, &mut Cache) + Send>;

/// An open ledger file.
#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    /// `None` once it closes: dropping the sender ends the thread.
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Sqlite {
    pub(super) fn open(directory: &Path, durable: bool) -> Result<Self, LedgerError> {
        let path = directory.join(NAME);
        let connection = file::open(&path, durable, file::LOCK_TIMEOUT)?;
        Self::start(path, connection)
    }

    pub(super) fn open_to_read(directory: &Path) -> Result<Option<Self>, LedgerError> {
        let path = directory.join(NAME);
        match file::open_to_read(&path)? {
            Some(connection) => Ok(Some(Self::start(path, connection)?)),
            None => Ok(None),
        }
    }

    /// Starts the thread. A separate thread and not `spawn_blocking`, so that statements stay prepared on one
    /// connection and groups are written in the order in which they were sent.
    fn start(path: PathBuf, mut connection: Connection) -> Result<Self, LedgerError> {
        let mut cache = Cache::read(&connection).map_err(|error| ledger_error(&path, &error))?;
        let (requests, mut received) = mpsc::channel::<Request>(REQUESTS);
        let work = move || {
            while let Some(request) = received.blocking_recv() {
                request(&mut connection, &mut cache);
            }
        };
        match thread::Builder::new().name("ledger".to_owned()).spawn(work) {
            Ok(thread) => Ok(Self {
                path,
                requests: Some(requests),
                thread: Some(thread),
            }),
            Err(error) => Err(LedgerError::Storage {
                path,
                reason: error.to_string(),
            }),
        }
    }

    /// Runs `work` on the thread. Once it was sent it is done, even if the caller stops waiting.
    async fn request<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, &mut Cache) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (answer, answered) = oneshot::channel();
        let request = Box::new(move |connection: &mut Connection, cache: &mut Cache| {
            // An error means that the caller no longer waits; the work is done all the same.
            let _ = answer.send(work(connection, cache));
        });
        if let Some(requests) = &self.requests {
            // If the thread is gone, `answer` is dropped with the request, and the next line returns an error.
            let _ = requests.send(request).await;
        }
        match answered.await {
            Ok(done) => done.map_err(|error| ledger_error(&self.path, &error)),
            Err(_) => Err(LedgerError::Closed {
                path: self.path.clone(),
            }),
        }
    }

    /// Runs `work` on the thread in one transaction that writes.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.request(move |connection, cache| write(connection, cache, work))
            .await
    }

    /// A second connection for long reads, so that the run's own questions do not wait for them.
    fn reader(&self) -> Result<Connection, LedgerError> {
        file::open_to_read(&self.path)?.ok_or_else(|| LedgerError::Storage {
            path: self.path.clone(),
            reason: "it was removed while it was open".to_owned(),
        })
    }
}

/// Runs `work` in one transaction. Rows and the ranges of the pending ones are committed together, or none of them.
fn write<T>(
    connection: &mut Connection,
    cache: &mut Cache,
    work: impl FnOnce(&mut Tables<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let commit = || {
        // Immediate: a transaction that only reads at first cannot wait for another writer when it comes to write.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&mut Tables::new(&transaction, cache)?)?;
        cache.pending.write(&transaction)?;
        transaction.commit()?;
        Ok(done)
    };
    commit().inspect_err(|_| {
        // The file is as it was before, and the cache is not.
        cache.invalidate();
    })
}

/// Runs `work` in one transaction that only reads: all answers are of one moment.
///
/// Not in rusqlite's, which compiles its `BEGIN` and `ROLLBACK` once more for every page of a listing (measured: 2 % of the time
/// of a run over images that are all there).
fn read<T>(
    connection: &Connection,
    cache: &mut Cache,
    work: impl FnOnce(&mut Tables<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let done = Tables::new(connection, cache).and_then(|mut tables| work(&mut tables));
    // Some errors end the transaction themselves.
    if !connection.is_autocommit() {
        connection.prepare_cached("ROLLBACK")?.execute([])?;
    }
    done
}

#[async_trait]
impl Ledger for Sqlite {
    async fn known(
        &self,
        images: Vec<ImageKey>,
        rules: RulesHash,
        now: Timestamp,
    ) -> Result<Known, LedgerError> {
        self.request(move |connection, cache| {
            let known = |tables: &mut Tables<'_>| lookups::known(tables, &images, rules, now);
            read(connection, cache, known)
        })
        .await
    }

    async fn adopted(&self, images: Vec<(ImageKey, Stem)>) -> Result<Vec<bool>, LedgerError> {
        self.request(move |connection, cache| {
            read(connection, cache, |tables| {
                lookups::adopted(tables, &images)
            })
        })
        .await
    }

    async fn placing(&self, group: Vec<Intent>) -> Result<Vec<Placement>, LedgerError> {
        self.write(move |tables| placing::placing(tables, group))
            .await
    }

    async fn record(&self, group: Vec<Record>) -> Result<(), LedgerError> {
        self.write(move |tables| placing::record(tables, group))
            .await
    }

    async fn adopt(&self, files: Vec<(ImageName, Content)>) -> Result<usize, LedgerError> {
        self.write(move |tables| lookups::adopt(tables, files))
            .await
    }

    async fn pending(&self) -> Result<Vec<PendingPlacement>, LedgerError> {
        self.request(|connection, _cache| read::pending(connection))
            .await
    }

    fn each(
        &self,
        selection: &Selection,
        row: &mut dyn FnMut(LedgerRow) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        read::each(&self.reader()?, selection, row)
            .map_err(|error| ledger_error(&self.path, &error))
    }

    fn files(&self) -> Result<Vec<StoredFile>, LedgerError> {
        read::files(&self.reader()?).map_err(|error| ledger_error(&self.path, &error))
    }

    async fn forget(
        &self,
        files: Vec<(ImageName, String)>,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        self.write(move |tables| lookups::forget(tables, files, at))
            .await
    }

    async fn note_skips(
        &self,
        skips: Vec<(ImageKey, String)>,
        at: Timestamp,
    ) -> Result<Vec<bool>, LedgerError> {
        self.request(move |connection, cache| {
            if file::only_reads(connection)? {
                return read(connection, cache, |tables| {
                    lookups::note_skips(tables, skips, at, false)
                });
            }
            write(connection, cache, |tables| {
                lookups::note_skips(tables, skips, at, true)
            })
        })
        .await
    }

    async fn pending_hooks(&self) -> Result<PendingHooks, LedgerError> {
        self.request(|connection, _cache| hooks::pending(connection))
            .await
    }

    async fn pending_image_hooks(
        &self,
        below: i64,
        limit: usize,
    ) -> Result<Vec<PendingImageHooks>, LedgerError> {
        self.request(move |connection, _cache| hooks::images(connection, below, limit))
            .await
    }

    fn stats(&self) -> Result<Stats, LedgerError> {
        read::stats(&mut self.reader()?).map_err(|error| ledger_error(&self.path, &error))
    }
}

/// Closes the file after the last request: `SQLite` then folds the write-ahead log into it.
impl Drop for Sqlite {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to write.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;
    use crate::ledger::contract::{content, failed, intent, key, known_state, name, saved};
    use crate::ledger::{KnownState, LedgerRow, RowState, open, open_to_read};

    fn files(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Has every attempt to create a file of this name fail, as on a read-only file system.
    fn forbid_creating(path: &Path) {
        std::os::unix::fs::symlink("/nowhere/at/all", path).unwrap();
    }

    async fn keep(ledger: &dyn Ledger, image: &str, wanted: &str, picture: u8) {
        ledger
            .placing(vec![intent(image, wanted, picture)])
            .await
            .unwrap();
        ledger.record(vec![saved(image, wanted)]).await.unwrap();
    }

    #[tokio::test]
    async fn a_closed_ledger_is_one_file_and_reads_back() {
        let home = tempfile::tempdir().unwrap();
        for durable in [true, false] {
            let ledger = open(home.path(), durable).unwrap();
            keep(
                &*ledger,
                &format!("{durable}.png"),
                &format!("{durable}.png"),
                1,
            )
            .await;
            drop(ledger);
            assert_eq!(files(home.path()), [NAME]);
        }
        let ledger = open_to_read(home.path()).unwrap().unwrap();
        assert_eq!(ledger.stats().unwrap().saved, 2);
        drop(ledger);
        assert_eq!(files(home.path()), [NAME], "a reader leaves nothing behind");
    }

    #[tokio::test]
    async fn a_request_that_was_sent_is_done_before_the_ledger_closes() {
        let home = tempfile::tempdir().unwrap();
        let ledger = open(home.path(), false).unwrap();
        let mut placing = Box::pin(ledger.placing(vec![intent("1.png", "a.png", 1)]));
        let _ = futures_util::poll!(&mut placing);
        drop(placing);
        drop(ledger);
        let ledger = open(home.path(), false).unwrap();
        assert_eq!(ledger.pending().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn placements_of_a_crashed_run_are_pending_for_the_next_one() {
        let home = tempfile::tempdir().unwrap();
        let ledger = open(home.path(), true).unwrap();
        keep(&*ledger, "1.png", "a.png", 1).await;
        ledger
            .placing(vec![
                intent("2.png", "b.png", 2),
                intent("3.png", "A.png", 1),
            ])
            .await
            .unwrap();
        // A copy of the files at this moment is what a kill leaves.
        let left = tempfile::tempdir().unwrap();
        for file in files(home.path()) {
            fs::copy(home.path().join(&file), left.path().join(&file)).unwrap();
        }
        let ledger = open(left.path(), true).unwrap();
        let placement = |image, written, picture| PendingPlacement {
            key: key(image),
            name: name(written),
            content: content(picture),
        };
        assert_eq!(
            ledger.pending().await.unwrap(),
            [
                placement("2.png", "b.png", 2),
                placement("3.png", "a.png", 1)
            ]
        );
        let ends = vec![
            Record::Unplaced { key: key("2.png") },
            saved("3.png", "a.png"),
        ];
        ledger.record(ends).await.unwrap();
        assert_eq!(ledger.pending().await.unwrap(), []);
        assert_eq!(ledger.stats().unwrap().saved, 2);
    }

    #[tokio::test]
    async fn the_sqlite3_shell_reads_the_collection() {
        let home = tempfile::tempdir().unwrap();
        let ledger = open(home.path(), false).unwrap();
        keep(&*ledger, "1.png", "2018-03-29-Mountains.png", 1).await;
        keep(&*ledger, "2.png", "2018-03-29-Mountains.png", 1).await;
        ledger
            .adopt(vec![(name("found.jpg"), content(2))])
            .await
            .unwrap();
        let later = "2026-06-01T00:00:00Z".parse().unwrap();
        ledger
            .record(vec![failed("8.png", None), failed("9.png", Some(later))])
            .await
            .unwrap();
        ledger
            .placing(vec![intent("5.png", "new.png", 5)])
            .await
            .unwrap();
        drop(ledger);
        let shell = Command::new("sqlite3")
            .arg(home.path().join(NAME))
            .arg(
                "PRAGMA integrity_check; SELECT state, at, name, bytes, substr(blake3, 1, 6), address FROM collection;",
            )
            .output()
            .expect("the sqlite3 shell is installed");
        let expected = "ok\n\
            saved|2026-03-01T12:00:00Z|2018-03-29-Mountains.png|1000|01a7a7|https://demo.invalid/originals/1.png\n\
            duplicate|2026-03-01T12:00:00Z|2018-03-29-Mountains.png|1000|01a7a7|https://demo.invalid/originals/2.png\n\
            adopted||found.jpg|1000|02a7a7|\n\
            failed|2026-03-01T12:00:00Z||||https://demo.invalid/originals/8.png\n\
            gone|2026-03-01T12:00:00Z||||https://demo.invalid/originals/9.png\n\
            placing|2026-03-01T12:00:00Z|new.png|1000|05a7a7|https://demo.invalid/originals/5.png\n";
        assert_eq!(String::from_utf8(shell.stdout).unwrap(), expected);
    }

    #[tokio::test]
    async fn a_reader_works_while_a_writer_holds_a_transaction_and_sees_nothing_of_it() {
        let home = tempfile::tempdir().unwrap();
        let ledger = open(home.path(), false).unwrap();
        keep(&*ledger, "1.png", "a.png", 1).await;
        let mut writer = Connection::open(home.path().join(NAME)).unwrap();
        let transaction = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .unwrap();
        transaction
            .execute("UPDATE images SET title = 'changed'", [])
            .unwrap();
        let reader = open_to_read(home.path()).unwrap().unwrap();
        assert_eq!(reader.stats().unwrap().saved, 1);
        let known = reader
            .known(
                vec![key("1.png")],
                RulesHash::default(),
                Timestamp::UNIX_EPOCH,
            )
            .await
            .unwrap();
        assert_eq!(known.states, [Some(KnownState::Saved)]);
        let row = &mut |row: LedgerRow| {
            assert_ne!(row.title.as_deref(), Some("changed"));
            ControlFlow::Continue(())
        };
        reader
            .each(
                &Selection {
                    state: Some(RowState::Saved),
                    ..Selection::default()
                },
                row,
            )
            .unwrap();
    }

    #[tokio::test]
    async fn a_reader_cannot_write() {
        let home = tempfile::tempdir().unwrap();
        drop(open(home.path(), false).unwrap());
        let reader = open_to_read(home.path()).unwrap().unwrap();
        let refused = reader.placing(vec![intent("1.png", "a.png", 1)]).await;
        assert!(
            matches!(refused, Err(LedgerError::Storage { .. })),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn a_ledger_on_a_read_only_file_system_is_read_also_in_a_folder_named_like_a_url() {
        let home = tempfile::tempdir().unwrap();
        let odd = home.path().join("file:a?mode=rw#%41");
        fs::create_dir(&odd).unwrap();
        let ledger = open(&odd, false).unwrap();
        keep(&*ledger, "1.png", "a.png", 1).await;
        drop(ledger);
        forbid_creating(&odd.join("ledger.db-wal"));
        let reader = open_to_read(&odd).unwrap().unwrap();
        assert_eq!(reader.stats().unwrap().saved, 1);
        assert_eq!(reader.pending().await.unwrap(), []);
        let refused = open(&odd, false).err();
        assert!(
            matches!(refused, Some(LedgerError::Storage { .. })),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn a_ledger_with_a_log_is_not_read_without_it() {
        let home = tempfile::tempdir().unwrap();
        let ledger = open(home.path(), false).unwrap();
        keep(&*ledger, "1.png", "a.png", 1).await;
        let left = tempfile::tempdir().unwrap();
        for file in [NAME, "ledger.db-wal"] {
            fs::copy(home.path().join(file), left.path().join(file)).unwrap();
        }
        forbid_creating(&left.path().join("ledger.db-shm"));
        let refused = open_to_read(left.path()).err();
        assert!(
            matches!(refused, Some(LedgerError::Storage { .. })),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn a_group_is_not_written_in_part_when_the_disk_is_full() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(NAME);
        let connection = file::open(&path, false, file::LOCK_TIMEOUT).unwrap();
        connection
            .pragma_update(None, "max_page_count", 20)
            .unwrap();
        let ledger = Sqlite::start(path, connection).unwrap();
        let group = |images: std::ops::Range<u8>| {
            images
                .map(|image| intent(&format!("{image}.png"), &format!("{image}.png"), image))
                .collect::<Vec<_>>()
        };
        ledger.placing(group(0..3)).await.unwrap();
        let refused = ledger.placing(group(3..200)).await;
        assert!(
            matches!(refused, Err(LedgerError::Full { .. })),
            "{refused:?}"
        );
        assert_eq!(ledger.pending().await.unwrap().len(), 3);
        ledger.record(vec![saved("1.png", "1.png")]).await.unwrap();
        assert_eq!(ledger.stats().unwrap().saved, 1);
    }
    /// Runs SQL over a closed ledger.
    fn edit(home: &Path, sql: &str) {
        let connection = Connection::open(home.join(NAME)).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    async fn known(ledger: &dyn Ledger, image: &str) -> Option<KnownState> {
        known_state(ledger, image, "no such stem").await
    }

    #[tokio::test]
    async fn a_collision_of_64_bit_hashes_is_resolved_by_the_text() {
        let home = tempfile::tempdir().unwrap();
        let ledger = open(home.path(), false).unwrap();
        keep(&*ledger, "1.png", "a.png", 1).await;
        drop(ledger);
        // Image 1 and its name get the hashes of image 2 and its name.
        let hashes = [key("2.png").as_str(), "b.png"].map(column::hash64);
        let sql = format!(
            "UPDATE images SET key_hash = {}, name_hash = {}",
            hashes[0], hashes[1]
        );
        edit(home.path(), &sql);
        let ledger = open(home.path(), false).unwrap();
        assert_eq!(known(&*ledger, "2.png").await, None);
        keep(&*ledger, "2.png", "b.png", 2).await;
        assert_eq!(known(&*ledger, "2.png").await, Some(KnownState::Saved));
        let names: Vec<_> = ledger
            .files()
            .unwrap()
            .into_iter()
            .map(|file| file.name)
            .collect();
        assert_eq!(names, [name("a.png"), name("b.png")]);
    }

    #[tokio::test]
    async fn an_image_that_another_process_wrote_is_found_though_it_was_absent_before() {
        let home = tempfile::tempdir().unwrap();
        let (ledger, other) = (
            open(home.path(), false).unwrap(),
            open(home.path(), false).unwrap(),
        );
        assert_eq!(known(&*ledger, "1.png").await, None);
        keep(&*other, "1.png", "a.png", 1).await;
        keep(&*ledger, "1.png", "a.png", 1).await;
        assert_eq!(ledger.pending().await.unwrap(), []);
        let mut rows = 0;
        let row = &mut |_| {
            rows += 1;
            ControlFlow::Continue(())
        };
        ledger.each(&Selection::default(), row).unwrap();
        assert_eq!(rows, 1);
    }

    #[tokio::test]
    async fn a_pending_file_without_an_image_is_discarded_by_the_next_start() {
        let home = tempfile::tempdir().unwrap();
        let ledger = open(home.path(), false).unwrap();
        let twice = vec![intent("1.png", "a.png", 1), intent("1.png", "a.png", 2)];
        ledger.placing(twice).await.unwrap();
        ledger
            .record(vec![Record::Unplaced { key: key("1.png") }])
            .await
            .unwrap();
        assert_eq!(ledger.files().unwrap().len(), 1);
        drop(ledger);
        let ledger = open(home.path(), false).unwrap();
        assert_eq!(ledger.files().unwrap(), []);
        ledger
            .adopt(vec![(name("b.png"), content(2))])
            .await
            .unwrap();
        let saved: Vec<_> = ledger
            .files()
            .unwrap()
            .iter()
            .map(|file| file.saved)
            .collect();
        assert_eq!(saved, [true], "no range of pending ids is left");
    }

    #[tokio::test]
    async fn a_reader_tells_new_skips_from_reported_ones_and_writes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let (now, old, new) = (Timestamp::UNIX_EPOCH, key("1.png"), key("2.png"));
        let skips = |key: &ImageKey| (key.clone(), "no rule".to_owned());
        let ledger = open(home.path(), false).unwrap();
        ledger.note_skips(vec![skips(&old)], now).await.unwrap();
        drop(ledger);
        let reader = open_to_read(home.path()).unwrap().unwrap();
        for _ in 0..2 {
            let noted = reader.note_skips(vec![skips(&old), skips(&new)], now).await;
            assert_eq!(noted.unwrap(), [false, true]);
        }
    }

    fn intent_of_page(number: u8, page: &str) -> Intent {
        let mut intent = intent(&format!("{number}.png"), &format!("{number}.png"), number);
        let page = format!("https://demo.invalid/browse/{page}/");
        intent.origin.page = url::Url::parse(&page).unwrap().into();
        intent
    }

    /// The listing pages of all images, without what they have in common, in the order of their keys.
    fn pages(ledger: &dyn Ledger) -> Vec<String> {
        let mut pages = Vec::new();
        let row = &mut |row: LedgerRow| {
            let page = row.page.unwrap();
            let number = page.trim_end_matches('/').rsplit('/').next().unwrap();
            pages.push((row.key, number.to_owned()));
            ControlFlow::Continue(())
        };
        ledger.each(&Selection::default(), row).unwrap();
        pages.sort();
        pages.into_iter().map(|(_, page)| page).collect()
    }

    #[tokio::test]
    async fn texts_of_a_transaction_that_was_rolled_back_are_written_again() {
        let home = tempfile::tempdir().unwrap();
        let ledger = Sqlite::open(home.path(), false).unwrap();
        ledger.placing(vec![intent_of_page(1, "a")]).await.unwrap();
        let failed = ledger.write(|tables| {
            placing::placing(tables, vec![intent_of_page(2, "b"), intent_of_page(3, "c")])?;
            Err::<(), _>(rusqlite::Error::InvalidQuery)
        });
        assert!(failed.await.is_err());
        // The ids of the pages that were rolled back go to other pages now.
        let group = [(4, "d"), (5, "e"), (2, "b"), (3, "c"), (6, "a")];
        let group = group.map(|(number, page)| intent_of_page(number, page));
        ledger.placing(group.to_vec()).await.unwrap();
        assert_eq!(pages(&ledger), ["a", "b", "c", "d", "e", "a"]);
    }

    #[tokio::test]
    async fn texts_of_two_processes_that_write_in_turn_are_not_mixed_up() {
        let home = tempfile::tempdir().unwrap();
        let ledgers = [0, 1].map(|_| Sqlite::open(home.path(), false).unwrap());
        for (number, page) in (1..=9).zip(["a", "b", "b", "a", "c", "d", "d", "a", "e"]) {
            let ledger = &ledgers[usize::from(number % 2)];
            ledger
                .placing(vec![intent_of_page(number, page)])
                .await
                .unwrap();
            assert_eq!(known(ledger, "1.png").await, None, "it is pending");
        }
        for ledger in &ledgers {
            assert_eq!(pages(ledger), ["a", "b", "b", "a", "c", "d", "d", "a", "e"]);
        }
        drop(ledgers);
        let connection = Connection::open(home.path().join(NAME)).unwrap();
        let texts = connection.query_row("SELECT count(*) FROM texts", [], |row| row.get(0));
        assert_eq!(texts, Ok(6), "each was written once");
    }

    #[tokio::test]
    async fn a_row_without_its_text_is_reported_as_damage() {
        let home = tempfile::tempdir().unwrap();
        let ledger = open(home.path(), false).unwrap();
        keep(&*ledger, "1.png", "a.png", 1).await;
        drop(ledger);
        edit(home.path(), "DELETE FROM texts");
        let ledger = open(home.path(), false).unwrap();
        let known = ledger
            .known(
                vec![key("1.png")],
                RulesHash::default(),
                Timestamp::UNIX_EPOCH,
            )
            .await;
        assert!(
            matches!(known, Err(LedgerError::Damaged { .. })),
            "{known:?}"
        );
        let listed = ledger.each(&Selection::default(), &mut |_| ControlFlow::Continue(()));
        assert!(
            matches!(listed, Err(LedgerError::Damaged { .. })),
            "{listed:?}"
        );
    }
}
