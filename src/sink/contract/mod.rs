//! What every sink keeps, whichever plug it is. A new plug adds one line at the end of this file.

mod in_memory;
mod local;
#[cfg(feature = "object-store")]
mod store;

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _, Seek as _};

use futures_util::TryStreamExt as _;
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::job::{ImageKey, SiteId};
use crate::part::Parts;
use crate::verify::{Inspector, Limits, verify, verify_file};

/// An empty plug and a place to prepare images for it.
struct Fixture {
    sink: Arc<dyn Sink>,
    parts: Parts,
    /// Removed when dropped.
    home: TempDir,
}

impl Fixture {
    /// A verified image whose bytes are made of `seed`; two seeds make two images of one size.
    fn image(&self, seed: u8) -> VerifiedImage {
        let site = SiteId::new("demo").unwrap();
        // A separate part for each: the same image may be on its way twice.
        let number = std::fs::read_dir(self.parts.folder()).unwrap().count();
        let address = format!("https://demo.invalid/{seed}-{number}.png");
        let key = ImageKey::new(&site, &Url::parse(&address).unwrap());
        let (mut part, _) = self
            .parts
            .begin(&key, Inspector::new(Limits::default()))
            .unwrap();
        part.write(&bytes(seed)).unwrap();
        verify(part.finish().unwrap(), None).unwrap()
    }

    async fn place(&self, seed: u8, name: &str) -> Result<Placed, SinkError> {
        let group = vec![(self.image(seed), self::name(name))];
        let mut placed = self.sink.place(group).await;
        assert_eq!(placed.len(), 1);
        placed.remove(0)
    }

    /// Places an image and answers with its name. An unknown outcome is settled as the program settles it.
    async fn stored(&self, seed: u8, name: &str) -> String {
        match self.place(seed, name).await.unwrap() {
            Placed::Stored(name) => name.to_string(),
            Placed::Unknown => self.exists(seed, name).await.expect("nothing was stored"),
        }
    }

    async fn exists(&self, seed: u8, name: &str) -> Option<String> {
        let found = self.sink.exists(&self::name(name), &content(seed)).await;
        found.unwrap().map(|name| name.to_string())
    }

    async fn listed(&self) -> BTreeMap<String, EntryKind> {
        let entries: Vec<_> = self.sink.list().try_collect().await.unwrap();
        entries
            .into_iter()
            .map(|entry| (entry.name.into_string().unwrap(), entry.kind))
            .collect()
    }

    /// How many prepared images are left over.
    fn parts_left(&self) -> usize {
        std::fs::read_dir(self.parts.folder()).unwrap().count()
    }

    /// The bytes stored under a name, read off the async threads as the program does.
    async fn read(&self, name: &str) -> Result<Vec<u8>, ReadError> {
        let (sink, name) = (Arc::clone(&self.sink), name.to_owned());
        let reading = move || {
            let mut reader = sink.read(&name)?;
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(reader.size().unwrap(), read.len() as u64);
            Ok(read)
        };
        tokio::task::spawn_blocking(reading).await.unwrap()
    }
}

fn name(text: &str) -> ImageName {
    ImageName::from_stored(text)
}

/// A PNG whose pixels are `seed`.
fn bytes(seed: u8) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let picture = image::GrayImage::from_pixel(7, 5, image::Luma([seed]));
    picture
        .write_to(&mut file, image::ImageFormat::Png)
        .unwrap();
    file.into_inner()
}

fn content(seed: u8) -> Content {
    let bytes = bytes(seed);
    let size = bytes.len() as u64;
    verify_file(Cursor::new(bytes), size, Limits::default())
        .unwrap()
        .unwrap()
}

fn with_suffix(text: &str, seed: u8) -> String {
    name(text).with_hash_suffix(&content(seed).hash).to_string()
}

/// Opens a plug's place, empty.
trait OpenFixture: AsyncFn() -> Fixture {}
impl<F: AsyncFn() -> Fixture> OpenFixture for F {}

async fn a_placed_image_exists_is_listed_and_reads_back(open: impl OpenFixture) {
    let place = open().await;
    assert_eq!(place.listed().await, BTreeMap::new());
    assert_eq!(place.exists(1, "a.png").await, None);
    assert_eq!(place.stored(1, "a.png").await, "a.png");
    assert_eq!(place.exists(1, "a.png").await.as_deref(), Some("a.png"));
    assert_eq!(place.read("a.png").await.unwrap(), bytes(1));
    let kind = EntryKind::File {
        bytes: content(1).bytes,
    };
    assert_eq!(place.listed().await, [("a.png".to_owned(), kind)].into());
    assert_eq!(place.parts_left(), 0);
}

async fn a_collision_with_other_bytes_gets_a_hash_suffix_and_overwrites_nothing(
    open: impl OpenFixture,
) {
    let place = open().await;
    place.stored(1, "a.png").await;
    let second = with_suffix("a.png", 2);
    assert_eq!(place.stored(2, "a.png").await, second);
    assert_eq!(place.read("a.png").await.unwrap(), bytes(1));
    assert_eq!(place.read(&second).await.unwrap(), bytes(2));
    assert_eq!(place.exists(2, "a.png").await, Some(second));
}

async fn a_duplicate_is_stored_once(open: impl OpenFixture) {
    let place = open().await;
    for _ in 0..2 {
        assert_eq!(place.stored(1, "a.png").await, "a.png");
    }
    place.stored(2, "a.png").await;
    assert_eq!(place.stored(2, "a.png").await, with_suffix("a.png", 2));
    assert_eq!(place.listed().await.len(), 2);
    assert_eq!(place.parts_left(), 0);
}

async fn an_image_whose_names_are_both_taken_fails_alone(open: impl OpenFixture) {
    let place = open().await;
    place.stored(1, "a.png").await;
    let suffixed = with_suffix("a.png", 3);
    place.stored(2, &suffixed).await;
    let group = [(3, "a.png"), (4, "b.png")];
    let group = group.map(|(seed, text)| (place.image(seed), name(text)));
    let placed = place.sink.place(group.into()).await;
    assert!(
        matches!(&placed[..], [Err(SinkError::Name { .. }), Ok(_)]),
        "{placed:?}"
    );
    assert_eq!(place.exists(4, "b.png").await.as_deref(), Some("b.png"));
    assert_eq!(place.read("a.png").await.unwrap(), bytes(1));
    assert_eq!(place.read(&suffixed).await.unwrap(), bytes(2));
}

async fn a_group_is_answered_in_its_order(open: impl OpenFixture) {
    let place = open().await;
    let names: Vec<_> = (0..20).map(|seed| format!("{seed}.png")).collect();
    let group = names.iter().zip(0..);
    let group = group.map(|(text, seed)| (place.image(seed), name(text)));
    let placed = place.sink.place(group.collect()).await;
    assert_eq!(placed.len(), names.len());
    for (text, placed) in names.iter().zip(placed) {
        match placed.unwrap() {
            Placed::Stored(name) => assert_eq!(name.to_string(), *text),
            Placed::Unknown => {}
        }
    }
    assert!(place.sink.place(Vec::new()).await.is_empty());
}

async fn one_name_placed_twice_at_once_loses_no_image(open: impl OpenFixture) {
    let place = open().await;
    for round in 0..10 {
        let text = format!("{round}.png");
        tokio::join!(place.stored(1, &text), place.stored(2, &text));
        let found = [
            place.exists(1, &text).await.unwrap(),
            place.exists(2, &text).await.unwrap(),
        ];
        assert!(found.contains(&text) && found[0] != found[1], "{found:?}");
    }
}

async fn only_the_very_bytes_exist(open: impl OpenFixture) {
    let place = open().await;
    place.stored(1, "a.png").await;
    assert_eq!(content(1).bytes, content(2).bytes);
    assert_eq!(place.exists(2, "a.png").await, None);
    let mut longer = content(1);
    longer.bytes += 1;
    let found = place.sink.exists(&name("a.png"), &longer).await;
    assert_eq!(found.unwrap(), None);
}

async fn a_replaced_image_has_the_new_bytes_under_its_name(open: impl OpenFixture) {
    let place = open().await;
    place.stored(1, "a.png").await;
    // Also one that was deleted in the meantime.
    for name in ["a.png", "b.png"] {
        let replaced = place.sink.replace(place.image(2), self::name(name)).await;
        match replaced.unwrap() {
            Placed::Stored(stored) => assert_eq!(stored.to_string(), name),
            Placed::Unknown => {}
        }
        assert_eq!(place.read(name).await.unwrap(), bytes(2));
    }
    assert_eq!(place.listed().await.len(), 2);
    assert_eq!(place.parts_left(), 0);
}

async fn what_is_not_there_reads_as_missing(open: impl OpenFixture) {
    let place = open().await;
    place.stored(1, "a.png").await;
    assert!(matches!(place.read("b.png").await, Err(ReadError::Missing)));
}

async fn an_image_can_be_read_twice_by_one_reader(open: impl OpenFixture) {
    let place = open().await;
    place.stored(1, "a.png").await;
    let sink = Arc::clone(&place.sink);
    let reading = move || {
        let mut reader = sink.read("a.png").unwrap();
        let mut read = [Vec::new(), Vec::new()];
        for read in &mut read {
            reader.rewind().unwrap();
            reader.read_to_end(read).unwrap();
        }
        read
    };
    let read = tokio::task::spawn_blocking(reading).await.unwrap();
    assert_eq!(read, [bytes(1), bytes(1)]);
}

async fn hostile_names_are_kept_as_they_are(open: impl OpenFixture) {
    let place = open().await;
    let names = [
        " spaces .png",
        "a#b?c&d=e+f%2Fg%.png",
        "~tilde~1f1f1f1f.png",
        "[brackets]{}<>\"'`.png",
        "\u{c9}t\u{e9}.png",
        "e\u{301}te\u{301}.png",
        "\u{1f304}.png",
        ".dot.png",
        "Case.png",
        "case.png",
    ];
    for (seed, name) in (0..).zip(names) {
        assert_eq!(place.stored(seed, name).await, name);
    }
    let listed = place.listed().await;
    for (seed, name) in (0..).zip(names) {
        assert_eq!(place.read(name).await.unwrap(), bytes(seed), "{name}");
        assert!(listed.contains_key(name), "{name}: {listed:?}");
    }
}

async fn finishing_is_no_loss_at_any_time(open: impl OpenFixture) {
    let place = open().await;
    place.sink.finish().await.unwrap();
    place.stored(1, "a.png").await;
    place.exists(1, "a.png").await.unwrap();
    for _ in 0..2 {
        place.sink.finish().await.unwrap();
    }
    assert_eq!(place.read("a.png").await.unwrap(), bytes(1));
    assert_eq!(place.stored(2, "b.png").await, "b.png");
}

/// Runs every rule for one plug: its name, and what opens it.
macro_rules! contract {
    ($plug:ident, $open:expr) => {
        contract!($plug, $open,
            a_placed_image_exists_is_listed_and_reads_back
            a_collision_with_other_bytes_gets_a_hash_suffix_and_overwrites_nothing
            a_duplicate_is_stored_once
            an_image_whose_names_are_both_taken_fails_alone
            a_group_is_answered_in_its_order
            one_name_placed_twice_at_once_loses_no_image
            only_the_very_bytes_exist
            a_replaced_image_has_the_new_bytes_under_its_name
            what_is_not_there_reads_as_missing
            an_image_can_be_read_twice_by_one_reader
            hostile_names_are_kept_as_they_are
            finishing_is_no_loss_at_any_time
        );
    };
    ($plug:ident, $open:expr, $($rule:ident)*) => {
        mod $plug {
            use super::*;
            $(
                // As in the program: what a plug does beside the caller runs on another thread.
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    super::$rule($open).await;
                }
            )*
        }
    };
}

fn options() -> SinkOptions<'static> {
    SinkOptions {
        durability: Durability::Group,
        min_free: MinFree::Bytes(0),
        boot_id: "boot",
        now: Timestamp::UNIX_EPOCH,
        store: StoreOptions::default(),
        worker: None,
    }
}

#[cfg(feature = "object-store")]
contract!(object_store_in_memory, store::in_memory);
#[cfg(feature = "object-store")]
contract!(seaweedfs, store::seaweedfs);
#[cfg(feature = "object-store")]
contract!(moto, store::moto);
#[cfg(feature = "object-store")]
contract!(azurite, store::azurite);
contract!(local_folder, local::folder);
contract!(in_memory_store, async || in_memory::fixture(false));
contract!(in_memory_store_that_loses_answers, async || {
    in_memory::fixture(true)
});

#[tokio::test]
async fn a_scheme_without_a_plug_is_refused_by_name() {
    let location = Location::parse("ftp://bucket/prefix".as_ref(), |_, _| PathBuf::new());
    let refused = [
        open(&location, &options()).await.err().unwrap(),
        open_to_read(&location, &StoreOptions::default())
            .await
            .err()
            .unwrap(),
    ];
    for refused in refused {
        assert_eq!(
            refused.to_string(),
            "no sink for `ftp:` in this build: give a folder"
        );
    }
}
