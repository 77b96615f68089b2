//! What each station of the line costs by itself: `cargo bench`, or `cargo bench -- ledger` for one of them.
//!
//! Every figure comes with the allocations behind it. Nothing is asked of a network; the ledger's files lie where
//! temporary files lie (`TMPDIR`).

mod ledger;
mod queue;
mod site;
mod verify;

use std::fmt::Debug;
use std::time::Duration;

use divan::{AllocProfiler, Divan};
use tokio::runtime::{Builder, Runtime};
use url::Url;
use wallhaul::job::{
    Candidate, ImageKey, ImageRef, Job, JobLimits, JobVersion, RulesHash, SiteId, Tried,
};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    Divan::default()
        .max_time(Duration::from_secs(1))
        .config_with_args()
        .main();
}

/// The image of that number, as a listing of the shape of Simple Desktops shows it.
fn image(number: usize) -> ImageRef {
    let page = format!("https://simpledesktops.com/browse/{}/", number / 28 + 1);
    let link =
        format!("https://simpledesktops.com/browse/desktops/2018/mar/29/mountains-{number}/");
    ImageRef {
        site: sure(SiteId::new("simpledesktops")),
        page: address(&page).into(),
        thumb: address(&format!("{}.295x184_q100.png", original(number))),
        link: Some(address(&link)),
        title: Some(format!("Mountains {number}")),
        is_original: false,
        record: wallhaul::job::Record::default(),
    }
}

fn original(number: usize) -> String {
    format!("https://static.simpledesktops.com/uploads/desktops/2018/03/29/Mountains_{number}.png")
}

/// The job of that image.
fn job(number: usize) -> Job {
    let image = image(number);
    let original = address(&original(number));
    Job {
        version: JobVersion,
        key: ImageKey::new(&image.site, &original),
        site: image.site,
        candidates: vec![Candidate::Direct(original)],
        stem: format!("2018-03-29-Mountains_{number}"),
        page: image.page,
        title: image.title,
        declared: None,
        limits: JobLimits {
            min_width: 0,
            min_height: 0,
            skips_small: false,
            max_pixels: 200_000_000,
        },
        rules: RulesHash::default(),
        wait: Duration::ZERO,
        tried: Tried::default(),
    }
}

fn address(written: &str) -> Url {
    sure(Url::parse(written))
}

/// A runtime like the program's own.
fn runtime() -> Runtime {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    sure(
        Builder::new_multi_thread()
            .worker_threads(cores.min(4))
            .enable_all()
            .build(),
    )
}

/// What cannot fail where the stations work at all: a figure for anything else would be none.
fn sure<T, E: Debug>(done: Result<T, E>) -> T {
    done.expect("a station that works")
}
