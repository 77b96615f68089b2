//! The plug of folders, and what only a folder does.

use super::*;

pub(super) async fn folder() -> Fixture {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("collection");
    let OpenSink { sink, staging } = open(&Location::Folder(folder), &options()).await.unwrap();
    let parts = staging.parts().clone();
    Fixture { sink, parts, home }
}

#[tokio::test]
async fn a_locked_collection_is_refused_and_can_be_read() {
    let place = folder().await;
    place.stored(1, "a.png").await;
    let location = Location::Folder(place.home.path().join("collection"));
    let refused = open(&location, &options()).await.err().unwrap();
    assert!(matches!(refused, SinkError::Locked { .. }), "{refused}");
    let reader = open_to_read(&location, &StoreOptions::default())
        .await
        .unwrap()
        .unwrap();
    let listed: Vec<_> = reader.list().try_collect().await.unwrap();
    assert_eq!(listed.len(), 1);
    let missing = Location::Folder(place.home.path().join("missing"));
    assert!(
        open_to_read(&missing, &StoreOptions::default())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_damaged_file_is_quarantined_out_of_the_collection() {
    let place = folder().await;
    place.stored(1, "a.png").await;
    let sink = &place.sink;
    sink.quarantine(&name("a.png"), "cut").await.unwrap();
    assert_eq!(place.listed().await, BTreeMap::new());
    let rejected = place.home.path().join("collection/.wallhaul/rejected");
    assert_eq!(std::fs::read(rejected.join("a.png")).unwrap(), bytes(1));
    assert!(matches!(
        sink.quarantine(&name("a.png"), "cut").await,
        Err(SinkError::Name { .. })
    ));
}
