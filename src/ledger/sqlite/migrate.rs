//! Brings a ledger of an older schema up to this build's, a step a version, and keeps the old one beside it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params};

use super::file::{SCHEMA, trouble};
use super::replace::free_name;
use crate::job::ImageName;
use crate::ledger::LedgerError;
use crate::ledger::rules::FileId;

/// What leads from one schema to the next: statements, and then what they cannot say.
struct Step {
    statements: &'static str,
    then: fn(&Connection) -> rusqlite::Result<()>,
}

/// From schema 1 to 2, from 2 to 3, and so on. A step never changes again, whatever `schema.sql` becomes.
const STEPS: [Step; 1] = [Step {
    statements: include_str!("steps/1-to-2.sql"),
    then: fold_anew,
}];

/// Brings the ledger at `path` from the schema `found` to this build's, in one transaction; before it a copy is kept
/// as `ledger-schema1.db`. A kill leaves the old ledger or the new one.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    found: i32,
) -> Result<(), LedgerError> {
    keep_copy(connection, path, found)?;
    take_steps(connection, found).map_err(|error| trouble(path, &error))
}

fn keep_copy(connection: &Connection, path: &Path, schema: i32) -> Result<(), LedgerError> {
    let storage = |error: io::Error| LedgerError::Storage {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    // A copy has its name when it is whole: a killed one is begun anew.
    let unfinished = path.with_file_name("ledger.copying");
    let written = unfinished
        .to_str()
        .ok_or_else(|| storage(io::Error::other("its folder's name is no text")))?;
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(storage(error)),
        _ => {}
    }
    connection
        .execute("VACUUM INTO ?1", [written])
        .map_err(|error| trouble(path, &error))?;
    let name = || {
        File::open(&unfinished)?.sync_all()?;
        fs::rename(&unfinished, free_name(path, &format!("schema{schema}"))?)?;
        File::open(path.parent().unwrap_or(path))?.sync_all()
    };
    name().map_err(storage)
}

fn take_steps(connection: &mut Connection, found: i32) -> rusqlite::Result<()> {
    // Tables are made anew and take the names of the old ones, which those that point at them must not notice.
    connection.pragma_update(None, "foreign_keys", false)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another start may have taken some of them since the file was judged.
    let now: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for step in STEPS
        .iter()
        .skip(usize::try_from(now.max(found) - 1).unwrap_or_default())
    {
        transaction.execute_batch(step.statements)?;
        (step.then)(&transaction)?;
    }
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    transaction.commit()?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// Folds every name anew: schema 1 took `ß` and `ss` for two letters. A file whose name is another's by now is forgotten:
/// its image is asked for once more and named apart, and the file stays where it is. So is what was promised but not kept.
fn fold_anew(connection: &Connection) -> rusqlite::Result<()> {
    let mut files = connection.prepare("SELECT id, name, folded FROM files ORDER BY id")?;
    let files = files.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let files = files.collect::<Result<Vec<(FileId, String, String)>, _>>()?;
    for (id, name, folded) in files {
        let name = ImageName::from_stored(&name);
        if name.normalized() == folded {
            continue;
        }
        let fold = "UPDATE OR IGNORE files SET folded = ?2, stem = iif(stem IS NULL, NULL, ?3) WHERE id = ?1";
        if connection.execute(fold, params![id, name.normalized(), name.stem().as_str()])? == 0 {
            connection.execute("DELETE FROM images WHERE file = ?1", [id])?;
            connection.execute("DELETE FROM files WHERE id = ?1", [id])?;
        }
        connection.execute("DELETE FROM promises", [])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::path::PathBuf;

    use super::*;
    use crate::ledger::contract::{content, key, name};
    use crate::ledger::{KnownState, Ledger, Record, Selection, open, open_to_read};

    /// The ledger of a killed run, as schema 1 had it: an image of each state, one adopted file, and a group of three
    /// about to be named, of which one is a twin of what is there and one of what is not there yet.
    fn old_ledger(directory: &Path) -> PathBuf {
        let files = [
            (1, "a.png", "saved"),
            (2, "found.png", "saved"),
            (3, "b.png", "placing"),
        ];
        let images = [
            ("1.png", "saved", Some(1), None),
            ("2.png", "failed", None, None),
            ("3.png", "gone", None, Some("2026-06-01T00:00:00Z")),
            ("4.png", "placing", Some(3), None),
            ("5.png", "placing", Some(1), None),
            ("6.png", "placing", Some(3), None),
        ];
        old_ledger_of(directory, &files, &images)
    }

    /// An image's name, its state, its file's number, and until when it is gone.
    type OldImage<'a> = (&'a str, &'a str, Option<i64>, Option<&'a str>);

    /// The same with these files and these images.
    fn old_ledger_of(
        directory: &Path,
        files: &[(i64, &str, &str)],
        images: &[OldImage<'_>],
    ) -> PathBuf {
        let path = directory.join("ledger.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch("PRAGMA journal_mode = wal; PRAGMA application_id = 2002873452; PRAGMA user_version = 1;")
            .unwrap();
        old.execute_batch(include_str!("steps/schema-1.sql"))
            .unwrap();
        // As names were folded then.
        let folded = |text: &str| text.to_lowercase();
        for (id, file, state) in files {
            let content = content(u8::try_from(*id).unwrap());
            old.execute(
                "INSERT INTO files VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                rusqlite::params![
                    id,
                    file,
                    folded(file),
                    folded(file.rsplit_once('.').unwrap().0),
                    i64::try_from(content.bytes).unwrap(),
                    content.hash.to_string(),
                    content.format.extension(),
                    content.width,
                    content.height,
                    state
                ],
            )
            .unwrap();
        }
        for (image, state, file, until) in images {
            let key = key(image);
            old.execute(
                "INSERT INTO images (key, site, state, file, address, title, at, until)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'A \"title\"', '2026-03-01T12:00:00Z', ?6)",
                rusqlite::params![key.as_str(), key.site(), state, file, key.address(), until],
            )
            .unwrap();
        }
        path
    }

    fn rows(ledger: &dyn Ledger) -> Vec<(String, String, Option<String>)> {
        let mut rows = Vec::new();
        let row = &mut |row: crate::ledger::LedgerRow| {
            assert_eq!(row.title.as_deref(), Some("A \"title\""));
            rows.push((
                row.key.address().to_owned(),
                row.state.as_str().to_owned(),
                row.name,
            ));
            ControlFlow::Continue(())
        };
        ledger.each(&Selection::default(), row).unwrap();
        rows.sort();
        rows
    }

    #[test]
    fn there_is_a_step_to_each_schema_but_the_first() {
        assert_eq!(STEPS.len(), usize::try_from(SCHEMA - 1).unwrap());
    }

    #[tokio::test]
    async fn an_older_ledger_is_what_it_was_after_all_steps_and_a_copy_is_kept() {
        let home = tempfile::tempdir().unwrap();
        old_ledger(home.path());
        let ledger = open(home.path(), true).unwrap();
        let address = |image: &str| key(image).address().to_owned();
        let due = [
            ("1.png", "saved", Some("a.png")),
            ("2.png", "failed", None),
            ("3.png", "gone", None),
            ("4.png", "placing", Some("b.png")),
            ("5.png", "placing", Some("a.png")),
            ("6.png", "placing", Some("b.png")),
        ];
        let due = due.map(|(image, state, name)| {
            (address(image), state.to_owned(), name.map(str::to_owned))
        });
        assert_eq!(rows(&*ledger), due);
        let promised: Vec<_> = ledger
            .unfinished()
            .await
            .unwrap()
            .into_iter()
            .map(|one| (one.key, one.name))
            .collect();
        assert_eq!(
            promised,
            [("4.png", "b.png"), ("5.png", "a.png"), ("6.png", "b.png")]
                .map(|(image, file)| (key(image), name(file)))
        );
        let asked = ["1.png", "found.png", "new.png"].map(|image| (key(image), name(image).stem()));
        let known = ledger
            .known(asked.to_vec(), "2026-04-01T00:00:00Z".parse().unwrap())
            .await
            .unwrap();
        assert_eq!(
            (
                known.get(&key("1.png")),
                known.get(&key("found.png")),
                known.len()
            ),
            (Some(&KnownState::Saved), Some(&KnownState::Adopted), 2)
        );
        let saved = |image, file| Record::Saved {
            key: key(image),
            name: name(file),
        };
        ledger
            .record(vec![
                saved("4.png", "b.png"),
                saved("5.png", "a.png"),
                saved("6.png", "b.png"),
            ])
            .await
            .unwrap();
        let stats = ledger.stats().unwrap();
        assert_eq!(
            (stats.saved, stats.files, stats.failed, stats.gone),
            (4, 3, 1, 1)
        );
        drop(ledger);

        let copy = Connection::open(home.path().join("ledger-schema1.db")).unwrap();
        assert_eq!(
            copy.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))
                .unwrap(),
            1
        );
        let placing = "SELECT count(*) FROM images WHERE state = 'placing'";
        assert_eq!(
            copy.query_row(placing, [], |row| row.get::<_, i32>(0))
                .unwrap(),
            3
        );
        drop(copy);
        drop(open(home.path(), true).unwrap());
        let mut names: Vec<_> = fs::read_dir(home.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(
            names,
            ["ledger-schema1.db", "ledger.db"],
            "it is migrated once"
        );
    }

    #[test]
    fn a_migrated_ledger_is_made_like_a_new_one() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        old_ledger(old.path());
        let made = [old, new].map(|home| {
            drop(open(home.path(), true).unwrap());
            let ledger = Connection::open(home.path().join("ledger.db")).unwrap();
            let mut made = ledger
                .prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")
                .unwrap();
            let text = |sql: Option<String>| sql.unwrap_or_default().replace(['"', ' ', '\n'], "");
            let made = made.query_map([], |row| Ok((row.get(0)?, row.get(1)?, text(row.get(2)?))));
            made.unwrap()
                .collect::<rusqlite::Result<Vec<(String, String, String)>>>()
                .unwrap()
        });
        assert_eq!(made[0], made[1]);
    }

    #[tokio::test]
    async fn names_are_folded_anew_and_of_two_that_are_alike_by_now_one_stays() {
        let home = tempfile::tempdir().unwrap();
        let files = [
            (1, "Stra\u{df}e.png", "saved"),
            (2, "strasse.png", "saved"),
            (3, "Fu\u{df}.png", "saved"),
            (4, "\u{3c2}.png", "saved"),
            (5, "\u{3a3}.png", "saved"),
            (6, "mass.png", "placing"),
        ];
        let images = [
            (1, "saved"),
            (2, "saved"),
            (4, "saved"),
            (5, "saved"),
            (6, "placing"),
        ];
        let written =
            images.map(|(number, state)| (format!("{number}.png"), state, Some(number), None));
        let images: Vec<OldImage<'_>> = written
            .iter()
            .map(|(image, state, file, until)| (image.as_str(), *state, *file, *until))
            .collect();
        old_ledger_of(home.path(), &files, &images);
        let ledger = open(home.path(), true).unwrap();
        let mut names: Vec<_> = ledger
            .files()
            .unwrap()
            .into_iter()
            .map(|filed| filed.name.to_string())
            .collect();
        names.sort();
        assert_eq!(names, ["Fu\u{df}.png", "strasse.png", "\u{3a3}.png"]);
        assert_eq!(ledger.unfinished().await.unwrap(), []);
        let asked =
            [1, 2, 4, 5, 6].map(|number| (key(&format!("{number}.png")), name("x.png").stem()));
        let found = [(key("new.png"), name("FUSS.png").stem())];
        let known = ledger.known(
            asked.into_iter().chain(found).collect(),
            "2026-04-01T00:00:00Z".parse().unwrap(),
        );
        let expected = [
            ("2.png", KnownState::Saved),
            ("5.png", KnownState::Saved),
            ("new.png", KnownState::Adopted),
        ];
        assert_eq!(
            known.await.unwrap(),
            expected
                .into_iter()
                .map(|(image, past)| (key(image), past))
                .collect()
        );
    }

    #[test]
    fn a_step_that_fails_leaves_the_old_ledger_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let path = old_ledger(home.path());
        let mut old = Connection::open(&path).unwrap();
        old.execute_batch("CREATE TABLE images_2 (name TEXT)")
            .unwrap();
        let before: i64 = old
            .pragma_query_value(None, "schema_version", |row| row.get(0))
            .unwrap();
        assert!(migrate(&mut old, &path, 1).is_err());
        let after: i64 = old
            .pragma_query_value(None, "schema_version", |row| row.get(0))
            .unwrap();
        assert_eq!(before, after);
        assert_eq!(
            old.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))
                .unwrap(),
            1
        );
    }

    #[test]
    fn a_reader_of_an_older_ledger_is_told_who_brings_it_up_to_date() {
        let home = tempfile::tempdir().unwrap();
        let path = old_ledger(home.path());
        let before = fs::read(&path).unwrap();
        let told = open_to_read(home.path()).err().unwrap().to_string();
        assert!(
            told.contains("schema 1") && told.contains("wallhaul fetch"),
            "{told}"
        );
        assert!(fs::read(&path).unwrap() == before);
    }
}
