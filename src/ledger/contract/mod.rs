//! The contract that every plug keeps: each test runs against all of them.

mod files;
mod hooks;
mod known;
mod listing;
mod placements;
mod sequences;
mod skips;

use std::ops::ControlFlow;

use jiff::Timestamp;
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::job::{ContentHash, RulesHash, SiteId};
use crate::outcome::{Failure, Format, Stage};

/// Every plug, opened empty, with the folder it keeps its file in.
fn plugs() -> [(TempDir, Box<dyn Ledger>); 1] {
    let home = tempfile::tempdir().unwrap();
    let ledger = open(home.path(), false).unwrap();
    [(home, ledger)]
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

/// Content that differs from picture to picture. Pictures from 200 on share the first digits of their hashes.
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
        stored: None,
        warning: None,
    }
}

pub(super) fn intent(image: &str, wanted: &str, picture: u8) -> Intent {
    Intent {
        key: key(image),
        site: site(),
        origin: Origin {
            page: Url::parse("https://demo.invalid/browse/1/").unwrap().into(),
            address: address(image),
            title: Some("Tall 'quoted' \u{1b}[31m title".to_owned()),
            etag: Some("\"5f-abc\"".to_owned()),
            last_modified: Some("Sun, 01 Mar 2026 11:00:00 GMT".to_owned()),
            capture: None,
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

pub(super) fn failed(image: &str, until: Option<Timestamp>) -> Record {
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
        rules: RulesHash::default(),
    }
}

fn new(written: &str) -> Placement {
    Placement::New(name(written))
}

fn duplicate(written: &str) -> Placement {
    Placement::Duplicate(name(written))
}

/// What is known of an image, and of the stem of its file.
pub(super) async fn known_state(ledger: &dyn Ledger, image: &str, of: &str) -> Option<KnownState> {
    let keys = vec![key(image)];
    let known = ledger.known(keys, RulesHash::default(), noon()).await;
    let mut known = known.unwrap();
    let state = known.states.remove(0);
    if state.is_some() || !known.has_adopted {
        return state;
    }
    let named = vec![(key(image), stem(of))];
    let adopted = ledger.adopted(named).await.unwrap();
    adopted[0].then_some(KnownState::Saved)
}

async fn keep(ledger: &dyn Ledger, image: &str, wanted: &str, picture: u8) -> Placement {
    let placement = ledger
        .placing(vec![intent(image, wanted, picture)])
        .await
        .unwrap()
        .remove(0);
    let (Placement::New(given) | Placement::Duplicate(given)) = placement.clone();
    ledger
        .record(vec![Record::Saved {
            key: key(image),
            name: given,
        }])
        .await
        .unwrap();
    placement
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
                row.key.identity().rsplit('/').next().unwrap().to_owned(),
                row.name,
            )
        })
        .collect()
}

fn named(image: &str, written: &str) -> (String, Option<String>) {
    (image.to_owned(), Some(written.to_owned()))
}
