//! The ledger: looking up a page of keys, and writing a group of images.

use divan::Bencher;
use divan::counter::ItemsCount;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use wallhaul::job::{ContentHash, ImageKey, ImageName, RulesHash};
use wallhaul::ledger::{self, Intent, Ledger, Origin, Placement, Record};
use wallhaul::outcome::{Content, Format};

use crate::{address, job, runtime, sure};

/// The most images that a committer writes at once.
const GROUP: usize = 256;
const ROWS: usize = 100_000;
const ON_A_PAGE: usize = 28;

/// A ledger in a folder that is gone with it.
struct Open {
    runtime: Runtime,
    ledger: Box<dyn Ledger>,
    _folder: TempDir,
}

impl Open {
    fn new(durable: bool) -> Self {
        let folder = sure(tempfile::tempdir());
        Self {
            runtime: runtime(),
            ledger: sure(ledger::open(folder.path(), durable)),
            _folder: folder,
        }
    }

    /// Writes a group as the committer does: placed, then recorded.
    fn insert(&self, group: Vec<Intent>) {
        self.runtime.block_on(async {
            let keys: Vec<ImageKey> = group.iter().map(|intent| intent.key.clone()).collect();
            let placements = sure(self.ledger.placing(group).await);
            let saved = keys
                .into_iter()
                .zip(placements)
                .map(|(key, placement)| match placement {
                    Placement::New(name) | Placement::Duplicate(name) => {
                        Record::Saved { key, name }
                    }
                });
            sure(self.ledger.record(saved.collect()).await);
        });
    }

    /// How many of a page's images are known.
    fn known(&self, page: Vec<ImageKey>) -> usize {
        sure(
            self.runtime.block_on(self.ledger.known(
                page,
                RulesHash::default(),
                Timestamp::UNIX_EPOCH,
            )),
        )
        .states
        .iter()
        .flatten()
        .count()
    }
}

fn intent(number: usize) -> Intent {
    let job = job(number);
    let hash = ContentHash::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes());
    Intent {
        site: job.site,
        origin: Origin {
            page: job.page,
            address: address(job.key.identity()),
            title: job.title,
            etag: Some("\"5a3f9c1e-8d2b4\"".to_owned()),
            last_modified: Some("Thu, 29 Mar 2018 17:04:11 GMT".to_owned()),
            capture: None,
        },
        key: job.key,
        name: ImageName::from_stored(&format!("2018-03-29-Mountains_{number}.png")),
        content: Content {
            bytes: 400_000,
            hash,
            format: Format::Png,
            width: 2880,
            height: 1800,
            stored: None,
            warning: None,
        },
        at: Timestamp::UNIX_EPOCH,
    }
}

#[divan::bench(args = [false, true], sample_size = 1)]
fn insert_a_group_of_256_durable(bencher: Bencher<'_, '_>, durable: bool) {
    let open = Open::new(durable);
    let mut next = 0;
    let group = || {
        next += GROUP;
        (next - GROUP..next).map(intent).collect()
    };
    bencher
        .counter(ItemsCount::new(GROUP))
        .with_inputs(group)
        .bench_local_values(|group| open.insert(group));
}

/// A page of a second run, where all images are known.
#[divan::bench]
fn ask_for_a_page_of_28_in_100_000(bencher: Bencher<'_, '_>) {
    let open = Open::new(false);
    for first in (0..ROWS).step_by(10_000) {
        open.insert((first..first + 10_000).map(intent).collect());
    }
    let shown = (ROWS / 2..ROWS / 2 + ON_A_PAGE).map(intent);
    let page: Vec<_> = shown.map(|intent| intent.key).collect();
    assert_eq!(open.known(page.clone()), ON_A_PAGE);
    bencher
        .with_inputs(|| page.clone())
        .bench_local_values(|page| open.known(page));
}
