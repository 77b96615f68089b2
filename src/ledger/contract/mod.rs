//! What every ledger keeps, whichever plug it is: each rule is told to all of them.

mod berths;
mod files;
mod hooks;
mod known;
mod listing;
mod sequences;

use std::ops::ControlFlow;

use jiff::Timestamp;
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::job::ContentHash;
use crate::outcome::{Format, Stage};

/// Every plug, opened empty, with the folder it may lie in.
fn plugs() -> [(TempDir, Box<dyn Ledger>); 2] {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let on_disk = open(homes[1].path(), false).unwrap();
    let [nowhere, home] = homes;
    [(nowhere, in_memory()), (home, on_disk)]
}

fn site() -> SiteId {
    SiteId::new("demo").unwrap()
}

fn address(image: &str) -> Url {
    Url::parse("https://demo.invalid/originals/")
        .unwrap()
        .join(image)
        .unwrap()
}

pub(super) fn key(image: &str) -> ImageKey {
    ImageKey::new(&site(), &address(image))
}

pub(super) fn name(written: &str) -> ImageName {
    ImageName::from_stored(written)
}

fn stem(of: &str) -> Stem {
    Stem::new(of)
}

fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// Bytes that differ from picture to picture; pictures from 200 up share the first digits of their hash.
pub(super) fn content(picture: u8) -> Content {
    let mut hash = [0xa7; 32];
    hash[31] = picture;
    if picture < 200 {
        hash[0] = picture;
    }
    Content {
        bytes: 1000,
        hash: ContentHash::from_bytes(hash),
        format: Format::Png,
        width: 2880,
        height: 1800,
    }
}

pub(super) fn intent(image: &str, wanted: &str, picture: u8) -> Intent {
    Intent {
        key: key(image),
        site: site(),
        origin: Origin {
            page: Url::parse("https://demo.invalid/browse/1/").unwrap(),
            address: address(image),
            title: Some("Tall 'quoted' \u{1b}[31m title".to_owned()),
            etag: Some("\"5f-abc\"".to_owned()),
            last_modified: Some("Sun, 01 Mar 2026 11:00:00 GMT".to_owned()),
        },
        name: name(wanted),
        content: content(picture),
        at: noon(),
    }
}

pub(super) fn saved(image: &str, written: &str) -> Record {
    Record::Saved {
        key: key(image),
        name: name(written),
    }
}

fn unplaced(image: &str) -> Record {
    Record::Unplaced { key: key(image) }
}

fn failed(image: &str, until: Option<Timestamp>) -> Record {
    let cause = "404 Not Found".to_owned();
    let address = address(image).into();
    let failure = Failure {
        stage: Stage::Fetch,
        address,
        cause,
        attempts: 1,
        gone: until.is_some(),
    };
    Record::Failed {
        key: key(image),
        site: site(),
        failure,
        at: noon(),
        until,
    }
}

fn free(written: &str) -> Placement {
    Placement::New(name(written))
}

fn twin(written: &str) -> Placement {
    Placement::Duplicate(name(written))
}

async fn past(ledger: &dyn Ledger, image: &str, of: &str) -> Option<KnownState> {
    ledger
        .known(vec![(key(image), stem(of))], noon())
        .await
        .unwrap()
        .remove(&key(image))
}

async fn keep(ledger: &dyn Ledger, image: &str, wanted: &str, picture: u8) -> Placement {
    let berth = ledger
        .placing(vec![intent(image, wanted, picture)])
        .await
        .unwrap()
        .remove(0);
    let (Placement::New(given) | Placement::Duplicate(given)) = berth.clone();
    ledger
        .record(vec![Record::Saved {
            key: key(image),
            name: given,
        }])
        .await
        .unwrap();
    berth
}

fn rows(ledger: &dyn Ledger, selection: &Selection) -> Vec<LedgerRow> {
    let mut rows = Vec::new();
    let row = &mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    };
    ledger.each(selection, row).unwrap();
    rows
}

fn names(ledger: &dyn Ledger) -> Vec<(String, Option<String>)> {
    let rows = rows(ledger, &Selection::default());
    rows.into_iter()
        .map(|row| {
            (
                row.key.address().rsplit('/').next().unwrap().to_owned(),
                row.name,
            )
        })
        .collect()
}

fn named(image: &str, written: &str) -> (String, Option<String>) {
    (image.to_owned(), Some(written.to_owned()))
}
