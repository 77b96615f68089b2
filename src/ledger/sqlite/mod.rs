//! The ledger in an `SQLite` file: all writes, and what a run asks, on one thread of its own.

mod file;
mod hooks;
mod migrate;
mod promises;
mod read;
pub(super) mod replace;
mod write;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use self::file::trouble;
use self::promises::PendingPlacements;
use self::write::Rows;
use crate::job::{ImageKey, ImageName, Stem};
use crate::ledger::{
    HooksWaiting, ImageWaiting, Intent, KnownState, Ledger, LedgerError, LedgerRow, Placement,
    Record, Selection, Stats, StoredFile, Unfinished, rules,
};
use crate::outcome::Content;

/// The file's name in the directory it is opened in.
pub(super) const NAME: &str = "ledger.db";

/// One group being written and a page of each site's producer; who asks more waits.
const ASKS: usize = 16;

/// A piece of work for the thread that has the connection.
type Ask = Box<dyn FnOnce(&mut Connection, &mut PendingPlacements) + Send>;

/// An open ledger file.
#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    asks: Option<mpsc::Sender<Ask>>,
    thread: Option<JoinHandle<()>>,
}

impl Sqlite {
    pub(super) fn open(directory: &Path, durable: bool) -> Result<Self, LedgerError> {
        let path = directory.join(NAME);
        let connection = file::open(&path, durable, file::PATIENCE)?;
        Self::start(path, connection)
    }

    pub(super) fn open_to_read(directory: &Path) -> Result<Option<Self>, LedgerError> {
        let path = directory.join(NAME);
        match file::open_to_read(&path)? {
            Some(connection) => Ok(Some(Self::start(path, connection)?)),
            None => Ok(None),
        }
    }

    fn start(path: PathBuf, mut connection: Connection) -> Result<Self, LedgerError> {
        let mut promises =
            PendingPlacements::read(&connection).map_err(|error| trouble(&path, &error))?;
        let (asks, mut asked) = mpsc::channel::<Ask>(ASKS);
        let work = move || {
            while let Some(ask) = asked.blocking_recv() {
                ask(&mut connection, &mut promises);
            }
        };
        match thread::Builder::new().name("ledger".to_owned()).spawn(work) {
            Ok(thread) => Ok(Self {
                path,
                asks: Some(asks),
                thread: Some(thread),
            }),
            Err(error) => Err(LedgerError::Storage {
                path,
                reason: error.to_string(),
            }),
        }
    }

    /// Has `work` done on the thread. Once it was asked for it is done, whether or not anybody waits for it.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, &mut PendingPlacements) -> rusqlite::Result<T>
        + Send
        + 'static,
    ) -> Result<T, LedgerError> {
        let (answer, answered) = oneshot::channel();
        let ask = Box::new(
            move |connection: &mut Connection, promises: &mut PendingPlacements| {
                // Who asked may have gone since.
                let _ = answer.send(work(connection, promises));
            },
        );
        if let Some(asks) = &self.asks {
            // A thread that is gone drops the answer's line as well, which is told below.
            let _ = asks.send(ask).await;
        }
        match answered.await {
            Ok(done) => done.map_err(|error| trouble(&self.path, &error)),
            Err(_) => Err(LedgerError::Closed {
                path: self.path.clone(),
            }),
        }
    }

    /// Has `work` done in one transaction that can write.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Rows<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.ask(move |connection, promises| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = {
                let mut rows = Rows::new(&transaction, promises);
                work(&mut rows)
            };
            let done = done
                .and_then(|done| promises.write(&transaction).map(|()| done))
                .and_then(|done| transaction.commit().map(|()| done));
            if done.is_err() {
                // Nothing of it was written down, so nothing of it was promised.
                *promises = PendingPlacements::read(connection).unwrap_or_default();
            }
            done
        })
        .await
    }

    /// A connection of its own for what is read at length, so that a run is not held up.
    fn reader(&self) -> Result<Connection, LedgerError> {
        file::open_to_read(&self.path)?.ok_or_else(|| LedgerError::Storage {
            path: self.path.clone(),
            reason: "it was removed while it was open".to_owned(),
        })
    }
}

#[async_trait]
impl Ledger for Sqlite {
    async fn known(
        &self,
        images: Vec<(ImageKey, Stem)>,
        now: Timestamp,
    ) -> Result<HashMap<ImageKey, KnownState>, LedgerError> {
        self.ask(move |connection, promises| {
            let transaction = connection.transaction()?;
            rules::known(&mut Rows::new(&transaction, promises), images, now)
        })
        .await
    }

    async fn placing(&self, group: Vec<Intent>) -> Result<Vec<Placement>, LedgerError> {
        self.write(move |rows| rules::placing(rows, group)).await
    }

    async fn record(&self, group: Vec<Record>) -> Result<(), LedgerError> {
        self.write(move |rows| rules::record(rows, group)).await
    }

    async fn adopt(&self, files: Vec<(ImageName, Content)>) -> Result<usize, LedgerError> {
        self.write(move |rows| rules::adopt(rows, files)).await
    }

    async fn unfinished(&self) -> Result<Vec<Unfinished>, LedgerError> {
        self.ask(|connection, _promises| read::unfinished(connection))
            .await
    }

    fn each(
        &self,
        selection: &Selection,
        row: &mut dyn FnMut(LedgerRow) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        read::each(&self.reader()?, selection, row).map_err(|error| trouble(&self.path, &error))
    }

    fn files(&self) -> Result<Vec<StoredFile>, LedgerError> {
        read::files(&self.reader()?).map_err(|error| trouble(&self.path, &error))
    }

    async fn forget(
        &self,
        files: Vec<(ImageName, String)>,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        self.write(move |rows| rules::forget(rows, files, at)).await
    }

    async fn hooks_waiting(&self) -> Result<HooksWaiting, LedgerError> {
        self.ask(|connection, _promises| hooks::waiting(connection))
            .await
    }

    async fn images_waiting(
        &self,
        below: i64,
        limit: usize,
    ) -> Result<Vec<ImageWaiting>, LedgerError> {
        self.ask(move |connection, _promises| hooks::images(connection, below, limit))
            .await
    }

    fn stats(&self) -> Result<Stats, LedgerError> {
        read::stats(&mut self.reader()?).map_err(|error| trouble(&self.path, &error))
    }
}

/// Closes the file after the last write: `SQLite` then folds its log back into it.
impl Drop for Sqlite {
    fn drop(&mut self) {
        self.asks = None;
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
    use crate::ledger::contract::{content, intent, key, name, saved};
    use crate::ledger::{LedgerRow, RowState, open, open_to_read};

    fn files(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Sees to it that nobody can make a file of this name, as on a file system that is read-only.
    fn cannot_be_made(path: &Path) {
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
    async fn a_ledger_outlives_its_run_as_one_file() {
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
    async fn work_that_was_asked_for_is_done_before_the_ledger_closes() {
        let home = tempfile::tempdir().unwrap();
        let ledger = open(home.path(), false).unwrap();
        let mut placing = Box::pin(ledger.placing(vec![intent("1.png", "a.png", 1)]));
        let _ = futures_util::poll!(&mut placing);
        drop(placing);
        drop(ledger);
        let ledger = open(home.path(), false).unwrap();
        assert_eq!(ledger.unfinished().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_a_killed_run_promised_is_unfinished_for_the_next() {
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
        // What lies on the disk at this moment is what a kill leaves.
        let left = tempfile::tempdir().unwrap();
        for file in files(home.path()) {
            fs::copy(home.path().join(&file), left.path().join(&file)).unwrap();
        }
        let ledger = open(left.path(), true).unwrap();
        let promise = |image, written, picture| Unfinished {
            key: key(image),
            name: name(written),
            content: content(picture),
        };
        assert_eq!(
            ledger.unfinished().await.unwrap(),
            [promise("2.png", "b.png", 2), promise("3.png", "a.png", 1)]
        );
        let ends = vec![
            Record::Unplaced { key: key("2.png") },
            saved("3.png", "a.png"),
        ];
        ledger.record(ends).await.unwrap();
        assert_eq!(ledger.unfinished().await.unwrap(), []);
        assert_eq!(ledger.stats().unwrap().saved, 2);
    }

    #[tokio::test]
    async fn the_sqlite3_shell_reads_the_collection() {
        let home = tempfile::tempdir().unwrap();
        let ledger = open(home.path(), false).unwrap();
        keep(&*ledger, "1.png", "2018-03-29-Mountains.png", 1).await;
        ledger
            .adopt(vec![(name("found.jpg"), content(2))])
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
        let told = "ok\n\
            saved|2026-03-01T12:00:00Z|2018-03-29-Mountains.png|1000|01a7a7|https://demo.invalid/originals/1.png\n\
            adopted||found.jpg|1000|02a7a7|\n";
        assert_eq!(String::from_utf8(shell.stdout).unwrap(), told);
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
            .execute("UPDATE images SET state = 'saved', title = 'changed'", [])
            .unwrap();
        let reader = open_to_read(home.path()).unwrap().unwrap();
        assert_eq!(reader.stats().unwrap().saved, 1);
        let known = reader
            .known(
                vec![(key("1.png"), name("a.png").stem())],
                Timestamp::UNIX_EPOCH,
            )
            .await
            .unwrap();
        assert_eq!(known[&key("1.png")], KnownState::Saved);
        let row = &mut |row: LedgerRow| {
            assert_ne!(row.title.as_deref(), Some("changed"));
            ControlFlow::Continue(())
        };
        reader
            .each(
                &Selection {
                    state: Some(RowState::Saved),
                    like: None,
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
    async fn a_ledger_is_read_where_nothing_can_be_written_whatever_its_folder_is_called() {
        let home = tempfile::tempdir().unwrap();
        let odd = home.path().join("file:a?mode=rw#%41");
        fs::create_dir(&odd).unwrap();
        let ledger = open(&odd, false).unwrap();
        keep(&*ledger, "1.png", "a.png", 1).await;
        drop(ledger);
        cannot_be_made(&odd.join("ledger.db-wal"));
        let reader = open_to_read(&odd).unwrap().unwrap();
        assert_eq!(reader.stats().unwrap().saved, 1);
        assert_eq!(reader.unfinished().await.unwrap(), []);
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
        cannot_be_made(&left.path().join("ledger.db-shm"));
        let refused = open_to_read(left.path()).err();
        assert!(
            matches!(refused, Some(LedgerError::Storage { .. })),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn a_group_that_the_disk_has_no_room_for_is_not_written_in_part() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(NAME);
        let connection = file::open(&path, false, file::PATIENCE).unwrap();
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
            matches!(refused, Err(LedgerError::Storage { .. })),
            "{refused:?}"
        );
        assert_eq!(ledger.unfinished().await.unwrap().len(), 3);
        ledger.record(vec![saved("1.png", "1.png")]).await.unwrap();
        assert_eq!(ledger.stats().unwrap().saved, 1);
    }
}
