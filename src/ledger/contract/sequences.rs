//! Any sequence of groups, with files that are placed, renamed, withdrawn, or left by a crash. A folder and a list of the
//! images are kept beside the ledger, in a few lines that know nothing of tables.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;

/// What happens to an image after its placement was written.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Saved,
    /// A foreign file was in the way.
    Renamed,
    Unplaced,
    /// Nothing: the run was killed.
    Crashed,
}

/// An image, the index of the name it wants, its picture, and its fate.
type Step = (u8, usize, u8, Fate);

fn groups() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let fate = prop_oneof![
        4 => Just(Fate::Saved),
        1 => Just(Fate::Renamed),
        1 => Just(Fate::Unplaced),
        1 => Just(Fate::Crashed),
    ];
    let image = (0..8u8, 0..WANTED.len(), 198..203u8, fate);
    prop::collection::vec(prop::collection::vec(image, 1..6), 1..8)
}

const WANTED: [&str; 5] = [
    "a.png",
    "A.png",
    "\u{e9}.png",
    "E\u{301}.png",
    "a~a7a7a7a7.png",
];

/// What the ledger has to know.
#[derive(Debug, Default)]
struct Model {
    /// A folder that is never overwritten, by normalized name.
    folder: HashMap<String, ContentHash>,
    /// The name of each image's file; none while it is pending.
    images: BTreeMap<u8, Option<ImageName>>,
}

impl Model {
    /// Checks a group's placements. Returns its new files, with the fate of each: duplicates share it.
    fn check_placements(
        &self,
        group: &[Step],
        placements: &[Placement],
    ) -> HashMap<String, (ContentHash, Fate)> {
        let mut new_files = HashMap::new();
        for ((_, _, picture, fate), placement) in group.iter().zip(placements) {
            let hash = content(*picture).hash;
            match placement {
                Placement::New(name) => {
                    let normalized = name.normalized();
                    assert!(!self.folder.contains_key(&normalized), "{name} is taken");
                    let earlier = new_files.insert(normalized, (hash, *fate));
                    assert!(earlier.is_none(), "{name} is given twice");
                }
                Placement::Duplicate(name) => {
                    let new = new_files.get(&name.normalized()).map(|(hash, _)| hash);
                    let same = new.or(self.folder.get(&name.normalized()));
                    assert_eq!(same, Some(&hash), "{name} has other bytes");
                }
            }
        }
        new_files
    }

    /// Lets each image of the group meet its fate; returns what is to be recorded.
    fn settle(&mut self, group: Vec<Step>, placements: Vec<Placement>) -> Vec<Record> {
        let new_files = self.check_placements(&group, &placements);
        let (mut records, mut renamed) = (Vec::new(), HashMap::new());
        for ((image, _, picture, fate), placement) in group.into_iter().zip(placements) {
            let key = key(&image.to_string());
            let hash = content(picture).hash;
            let (decided, is_new) = match placement {
                Placement::New(name) => (name, true),
                Placement::Duplicate(name) => (name, false),
            };
            let fate = new_files
                .get(&decided.normalized())
                .map_or(fate, |(_, fate)| *fate);
            match fate {
                Fate::Saved | Fate::Renamed => {
                    let suffixed = decided.with_hash_suffix(&hash);
                    let is_free = !self.folder.contains_key(&suffixed.normalized())
                        && !new_files.contains_key(&suffixed.normalized());
                    let mut name = renamed.get(&decided).unwrap_or(&decided).clone();
                    if is_new {
                        if matches!(fate, Fate::Renamed) && is_free {
                            name = suffixed;
                            renamed.insert(decided, name.clone());
                        }
                        self.folder.insert(name.normalized(), hash);
                    }
                    self.images.insert(image, Some(name.clone()));
                    records.push(Record::Saved { key, name });
                }
                Fate::Unplaced => {
                    self.images.remove(&image);
                    records.push(Record::Unplaced { key });
                }
                Fate::Crashed => {
                    self.images.insert(image, None);
                }
            }
        }
        records
    }

    async fn assert_same(&self, ledger: &dyn Ledger) {
        let rows = rows(ledger, &Selection::default());
        let image = |key: &ImageKey| key.identity().rsplit('/').next().unwrap().parse().unwrap();
        let listed: BTreeMap<u8, _> = rows
            .iter()
            .map(|row| {
                let name = row.name.as_deref().map(ImageName::from_stored);
                let is_saved = row.state == RowState::Saved;
                (image(&row.key), name.filter(|_| is_saved))
            })
            .collect();
        assert_eq!(listed, self.images);
        assert_eq!(listed.len(), rows.len(), "an image has two rows: {rows:?}");
        for row in rows.iter().filter(|row| row.state == RowState::Saved) {
            let name = ImageName::from_stored(row.name.as_deref().unwrap());
            let hash = row.content.map(|content| content.hash);
            assert_eq!(self.folder.get(&name.normalized()).copied(), hash, "{name}");
        }
        let mut pending: Vec<u8> = ledger
            .pending()
            .await
            .unwrap()
            .iter()
            .map(|one| image(&one.key))
            .collect();
        pending.sort_unstable();
        let unsettled = self.images.iter().filter(|(_, name)| name.is_none());
        assert_eq!(
            pending,
            unsettled.map(|(image, _)| *image).collect::<Vec<_>>()
        );
        for image in 0..8 {
            let is_saved = self.images.get(&image).is_some_and(Option::is_some);
            let known = known_state(ledger, &image.to_string(), "no such stem").await;
            assert_eq!(known, is_saved.then_some(KnownState::Saved), "{image}");
        }
        let saved: HashMap<_, _> = ledger
            .files()
            .unwrap()
            .into_iter()
            .filter(|file| file.saved)
            .map(|file| (file.name.normalized(), file.content.hash))
            .collect();
        assert_eq!(saved, self.folder);
    }
}

async fn play(ledger: &dyn Ledger, groups: Vec<Vec<Step>>) {
    let mut model = Model::default();
    for mut group in groups {
        group.sort_by_key(|(image, ..)| *image);
        group.dedup_by_key(|(image, ..)| *image);
        let intents = group.iter().map(|(image, wanted, picture, _)| {
            intent(&image.to_string(), WANTED[*wanted], *picture)
        });
        let placements = ledger.placing(intents.collect()).await.unwrap();
        let records = model.settle(group, placements);
        ledger.record(records).await.unwrap();
        model.assert_same(ledger).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn collisions_duplicates_and_crashes_in_any_order_leave_ledger_and_folder_alike(groups in groups()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (_home, ledger) in plugs() {
            runtime.block_on(play(&*ledger, groups.clone()));
        }
    }
}
