//! The plug of object stores, over one in memory.

use super::*;

pub(super) async fn in_memory() -> Fixture {
    let home = tempfile::tempdir().unwrap();
    let location = Location::parse("memory://bucket/pre fix".as_ref(), |_, _| {
        home.path().join("state")
    });
    let OpenSink { sink, staging } = open(&location, &options()).await.unwrap();
    let parts = staging.parts().clone();
    Fixture { sink, parts, home }
}
