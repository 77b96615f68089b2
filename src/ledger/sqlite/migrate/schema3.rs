//! Ledgers of schema 3.
//!
//! Schema 3 had the whole key and the listing page in each row of `images`, and every date of a server as text. All other
//! columns and tables are the same.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, params};

use super::super::column::stored_last_modified;
use super::super::file::create_images;
use super::super::pending::PendingPlacements;
use super::super::tables::RowId;
use super::super::texts::{Texts, split_key};

/// Rows to copy before the old ones are deleted. The next new rows take the pages of these, so the file hardly grows.
const BATCH: u32 = 1_000;

/// Converts it, within a transaction.
pub(super) fn convert(transaction: &Connection) -> rusqlite::Result<()> {
    add_columns(transaction)?;
    transaction.execute_batch(
        "DROP VIEW IF EXISTS collection;
         DROP INDEX IF EXISTS images_by_key;
         DROP INDEX IF EXISTS images_by_name;
         DROP INDEX IF EXISTS images_by_owner;
         DROP INDEX IF EXISTS images_by_stem;
         ALTER TABLE images RENAME TO old_images;",
    )?;
    create_images(transaction)?;
    // To sort all hashes at the end takes a fraction of the time that it takes to find the place of each.
    let indices = drop_indices(transaction)?;
    copy_images(transaction)?;
    transaction.execute_batch("DROP TABLE old_images")?;
    for index in indices {
        transaction.execute_batch(&index)?;
    }
    // The table was not touched, and is read first from now on. Damage in it is found while the old ledger is there.
    PendingPlacements::read(transaction).map(drop)
}

/// Gives the ledger of an early build the columns that it lacks.
fn add_columns(connection: &Connection) -> rusqlite::Result<()> {
    let has_columns = connection
        .prepare("SELECT 1 FROM pragma_table_info('images') WHERE name = 'skip'")?
        .exists([])?;
    if has_columns {
        return Ok(());
    }
    connection.execute_batch(
        "ALTER TABLE images ADD COLUMN rules INTEGER; ALTER TABLE images ADD COLUMN skip TEXT;",
    )
}

/// Drops the indices of `images`, and returns the statements that create them.
fn drop_indices(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'images'",
    )?;
    let indices = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let indices: Vec<(String, String)> = indices.collect::<rusqlite::Result<_>>()?;
    for (name, _) in &indices {
        connection.execute_batch(&format!("DROP INDEX {name}"))?;
    }
    Ok(indices.into_iter().map(|(_, sql)| sql).collect())
}

/// Copies the rows under the same ids. What stays the same is copied within `SQLite`, and keeps its type.
fn copy_images(connection: &Connection) -> rusqlite::Result<()> {
    let mut select = connection
        .prepare("SELECT id, key, page, last_modified FROM old_images ORDER BY id LIMIT ?1")?;
    let mut insert = connection.prepare(
        "INSERT INTO images (id, state, key_hash, name_hash, at, bytes, format, width, height, blake3, owner, until,
             attempts, key_start, key_rest, name, address, page, title, etag, last_modified, cause, stem, item,
             second_address, capture, displayed_width, displayed_height, warnings, rules, skip)
         SELECT id, state, key_hash, name_hash, at, bytes, format, width, height, blake3, owner, until,
             attempts, ?2, ?3, name, address, ?4, title, etag, ?5, cause, stem, item,
             second_address, capture, displayed_width, displayed_height, warnings, rules, skip
         FROM old_images WHERE id = ?1",
    )?;
    let mut delete = connection.prepare("DELETE FROM old_images WHERE id <= ?1")?;
    let mut texts = Texts::default();
    loop {
        let mut last: Option<RowId> = None;
        let mut rows = select.query([BATCH])?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            let key = row.get_ref(1)?.as_str_or_null()?.map(split_key);
            let key_start = key
                .map(|(start, _)| texts.find_or_insert(connection, start))
                .transpose()?;
            let page = row.get_ref(2)?.as_str_or_null()?;
            let page = page
                .map(|page| texts.find_or_insert(connection, page))
                .transpose()?;
            let last_modified = match row.get_ref(3)? {
                ValueRef::Null => ToSqlOutput::Borrowed(ValueRef::Null),
                value => stored_last_modified(value.as_str()?),
            };
            let key_rest = key.map(|(_, rest)| rest);
            insert.execute(params![id, key_start, key_rest, page, last_modified])?;
            last = Some(id);
        }
        drop(rows);
        let Some(last) = last else {
            return Ok(());
        };
        delete.execute([last])?;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::ops::ControlFlow;

    use jiff::Timestamp;
    use rusqlite::types::Value;

    use super::super::migrate;
    use super::super::tests::{SCHEMA_3, home_of};
    use super::*;
    use crate::job::{ImageKey, RulesHash};
    use crate::ledger::contract::{content, intent, key, name, saved};
    use crate::ledger::{
        KnownState, PendingPlacement, Placement, Record, Selection, open, open_to_read,
    };

    /// What the program of schema 3 printed of that ledger: its figures, and then each row.
    const EXPECTED: &str = include_str!("../../../../tests/fixtures/ledgers/schema-3.jsonl");

    fn query(connection: &Connection, query: &str) -> Vec<Vec<Value>> {
        let mut statement = connection.prepare(query).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..columns).map(|column| row.get(column)).collect()
        });
        rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn figures_and_rows_of_a_schema_3_ledger_are_the_same_after_the_migration() {
        let home = home_of(SCHEMA_3);
        drop(open(home.path(), true).unwrap());
        let ledger = open_to_read(home.path()).unwrap().unwrap();
        let mut lines = vec![serde_json::to_string(&ledger.stats().unwrap()).unwrap()];
        let row = &mut |row| {
            lines.push(serde_json::to_string(&row).unwrap());
            ControlFlow::Continue(())
        };
        ledger.each(&Selection::default(), row).unwrap();
        assert_eq!(lines, EXPECTED.lines().collect::<Vec<_>>());
    }

    #[test]
    fn every_column_and_table_of_a_schema_3_ledger_is_migrated() {
        let home = home_of(SCHEMA_3);
        drop(open(home.path(), true).unwrap());
        let new = Connection::open(home.path().join("ledger.db")).unwrap();
        let old = Connection::open(home.path().join("ledger-schema3.db")).unwrap();
        for same in [
            "SELECT id, state, key_hash, name_hash, owner, bytes, blake3, format, width, height, at, until, attempts,
                 name, address, title, etag, cause, stem, item, second_address, capture, displayed_width,
                 displayed_height, warnings, rules, skip FROM images ORDER BY id",
            "SELECT * FROM collection ORDER BY name, address",
            "SELECT * FROM pending",
            "SELECT * FROM pending_hooks",
            "SELECT * FROM reported_skips",
            "SELECT * FROM seen_ranges",
            "SELECT * FROM sqlite_sequence",
        ] {
            let before = query(&old, same);
            assert!(!before.is_empty(), "{same}");
            assert_eq!(query(&new, same), before, "{same}");
        }
        assert_eq!(
            query(
                &new,
                "SELECT start.text || key_rest, page.text FROM images LEFT JOIN texts AS start ON start.id = key_start
                     LEFT JOIN texts AS page ON page.id = page ORDER BY images.id"
            ),
            query(&old, "SELECT key, page FROM images ORDER BY id"),
        );
        let texts = query(&new, "SELECT count(*), count(DISTINCT text) FROM texts");
        assert_eq!(texts, [[Value::Integer(19), Value::Integer(19)]]);
        let dates = "SELECT typeof(last_modified), count(*) FROM images GROUP BY 1 ORDER BY 1";
        let types = [("integer", 20), ("null", 7), ("text", 7)]
            .map(|(kind, count)| vec![Value::Text(kind.to_owned()), Value::Integer(count)]);
        assert_eq!(query(&new, dates), types);
    }

    #[tokio::test]
    async fn a_migrated_schema_3_ledger_goes_on_where_the_old_one_ended() {
        let home = home_of(SCHEMA_3);
        let ledger = open(home.path(), true).unwrap();
        let placement = |image, file, picture| PendingPlacement {
            key: key(image),
            name: name(file),
            content: content(picture),
        };
        let pending = [
            placement("10.png", "p.png", 10),
            placement("11.png", "p.png", 10),
            placement("12.png", "a.png", 1),
        ];
        assert_eq!(ledger.pending().await.unwrap(), pending);
        let records = [
            ("10.png", "p.png"),
            ("11.png", "p.png"),
            ("12.png", "a.png"),
        ];
        let records = records.map(|(image, file)| saved(image, file)).to_vec();
        ledger.record(records).await.unwrap();
        assert_eq!(ledger.stats().unwrap().saved, 26);

        let hooks = ledger.pending_image_hooks(i64::MAX, 9).await.unwrap();
        let hooks = hooks.into_iter().map(|hook| (hook.number, hook.image.key));
        assert_eq!(
            hooks.collect::<Vec<_>>(),
            [(2, key("3.png")), (1, key("1.png"))]
        );

        let asked = ["1.png", "s.png", "8.png", "new.png"].map(key);
        let odd = ["nospace", "", "s https://h.invalid/", "s https://h.invalid"]
            .map(|odd| ImageKey::from_stored(odd.to_owned()));
        let asked = asked.into_iter().chain(odd).collect();
        let rules = RulesHash::of(["a", "b"]);
        let known = ledger
            .known(asked, rules, Timestamp::UNIX_EPOCH)
            .await
            .unwrap()
            .states;
        let is_saved: Vec<_> = known
            .iter()
            .map(|state| *state == Some(KnownState::Saved))
            .collect();
        assert_eq!(
            is_saved,
            [true, false, false, false, true, true, true, true]
        );
        assert!(matches!(known[1], Some(KnownState::Skipped(_))));
        assert_eq!(known[2..4], [None, None]);

        let mut again = intent("8.png", "a.png", 8);
        let page = "https://demo.invalid/browse/8/?q=%F0%9F";
        again.origin.page = url::Url::parse(page).unwrap().into();
        let placed = ledger.placing(vec![again]).await.unwrap();
        assert_eq!(placed, [Placement::New(name("a~08a7a7a7.png"))]);
        ledger
            .record(vec![Record::Unplaced { key: key("8.png") }])
            .await
            .unwrap();
        drop(ledger);
        let ledger = Connection::open(home.path().join("ledger.db")).unwrap();
        let texts = query(&ledger, "SELECT count(*) FROM texts");
        assert_eq!(texts, [[Value::Integer(19)]], "none is written again");
    }

    #[test]
    fn a_schema_3_ledger_of_an_early_build_gets_the_columns_that_it_lacks() {
        let home = home_of(SCHEMA_3);
        let early = Connection::open(home.path().join("ledger.db")).unwrap();
        early
            .execute_batch(
                "DROP VIEW collection; CREATE VIEW collection AS SELECT name FROM images;
                 ALTER TABLE images DROP COLUMN rules; ALTER TABLE images DROP COLUMN skip;",
            )
            .unwrap();
        drop(early);
        let ledger = open(home.path(), true).unwrap();
        let stats = ledger.stats().unwrap();
        assert_eq!((stats.saved, stats.gone, stats.skipped), (23, 2, 0));
    }

    #[test]
    fn a_migration_of_schema_3_that_fails_leaves_the_old_ledger_as_it_was() {
        for damage in [
            "UPDATE images SET page = x'00' WHERE id = 34",
            "INSERT INTO pending VALUES ('here', 'there'); UPDATE images SET key = x'ff' WHERE id = 34",
        ] {
            let home = home_of(SCHEMA_3);
            let path = home.path().join("ledger.db");
            let mut old = Connection::open(&path).unwrap();
            old.execute_batch(damage).unwrap();
            let all = "SELECT * FROM images";
            let before = query(&old, all);
            assert!(migrate(&mut old, &path, 3).is_err());
            assert_eq!(query(&old, all), before);
            let schema = old.pragma_query_value(None, "user_version", |row| row.get(0));
            assert_eq!(schema, Ok(3));
            drop(old);
            let before = fs::read(&path).unwrap();
            assert!(open(home.path(), true).is_err());
            assert!(fs::read(&path).unwrap() == before);
        }
    }
}
