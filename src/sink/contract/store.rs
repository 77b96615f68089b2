//! The plug of object stores: over one in memory, and over real servers.

#[expect(dead_code, reason = "the tests from outside use the rest")]
#[path = "../../../tests/it/support/stores.rs"]
mod servers;

use std::sync::atomic::{AtomicU32, Ordering};

use self::servers::{BUCKET, Role, Variables};
use super::*;

pub(super) async fn in_memory() -> Fixture {
    at("memory://bucket/pre fix", &Vec::new()).await
}

pub(super) async fn seaweedfs() -> Fixture {
    let variables = servers::seaweedfs().s3(Role::Worker);
    at(&new_place("s3"), &variables).await
}

pub(super) async fn moto() -> Fixture {
    at(&new_place("s3"), &servers::moto().s3(Role::Worker)).await
}

pub(super) async fn azurite() -> Fixture {
    at(&new_place("az"), &servers::azurite().azure()).await
}

/// A prefix that nobody has used.
fn new_place(scheme: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{scheme}://{BUCKET}/pre fix/\u{e9}+{number}")
}

async fn at(place: &str, variables: &Variables) -> Fixture {
    let home = tempfile::tempdir().unwrap();
    let location = Location::parse(place.as_ref(), |_, _| home.path().join("state"));
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)))
        .collect();
    let mut options = options();
    options.store.variables = &variables;
    let OpenSink { sink, staging } = open(&location, &options).await.unwrap();
    let parts = staging.parts().clone();
    Fixture { sink, parts, home }
}

/// How many programs put at once, each by itself.
const WORKERS: u8 = 20;

/// Each worker puts an image of this seed under one name: what each says the name is.
async fn race(seed: impl Fn(u8) -> u8) -> (Fixture, Vec<String>) {
    let (place, variables) = (new_place("s3"), servers::seaweedfs().s3(Role::Worker));
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(at(&place, &variables).await);
    }
    let putting = workers.iter().zip(0..);
    let putting = putting.map(|(worker, number)| worker.stored(seed(number), "a.png"));
    let names = futures_util::future::join_all(putting).await;
    (workers.remove(0), names)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_workers_that_race_with_one_image_store_it_once() {
    let (place, names) = race(|_| 1).await;
    assert_eq!(names, vec!["a.png"; WORKERS.into()]);
    assert_eq!(place.listed().await.len(), 1);
    assert_eq!(place.read("a.png").await.unwrap(), bytes(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_workers_that_race_with_images_of_one_name_store_each() {
    let (place, names) = race(|number| number).await;
    let mut winners = 0;
    for (seed, name) in (0..).zip(&names) {
        if name == "a.png" {
            winners += 1;
        } else {
            assert_eq!(*name, with_suffix("a.png", seed));
        }
        assert_eq!(place.read(name).await.unwrap(), bytes(seed), "{name}");
    }
    assert_eq!(winners, 1, "{names:?}");
    assert_eq!(place.listed().await.len(), usize::from(WORKERS));
}
