//! Any sequence of groups, whatever becomes of its promises.

use proptest::prelude::*;

use super::*;
use crate::job::ContentHash;

/// What becomes of a promise.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Kept,
    KeptApart,
    TakenBack,
    Killed,
}

fn fates() -> impl Strategy<Value = Vec<Vec<(u8, usize, u8, Fate)>>> {
    let fate = prop_oneof![
        4 => Just(Fate::Kept),
        1 => Just(Fate::KeptApart),
        1 => Just(Fate::TakenBack),
        1 => Just(Fate::Killed),
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

/// Plays the groups against `ledger` and a folder that never overwrites; answers with all the ledger said.
async fn play(ledger: &dyn Ledger, groups: &[Vec<(u8, usize, u8, Fate)>]) -> Vec<String> {
    let mut folder = HashMap::<String, ContentHash>::new();
    let mut said = Vec::new();
    for group in groups {
        let mut group = group.clone();
        group.sort_by_key(|(image, ..)| *image);
        group.dedup_by_key(|(image, ..)| *image);
        let wanted = |(image, wanted, picture, _): &(u8, usize, u8, Fate)| {
            intent(&image.to_string(), WANTED[*wanted], *picture)
        };
        let berths = ledger
            .placing(group.iter().map(wanted).collect())
            .await
            .unwrap();
        said.push(format!("{berths:?}"));

        let mut promised = HashMap::new();
        for ((_, _, picture, fate), berth) in group.iter().zip(&berths) {
            let hash = content(*picture).hash;
            match berth {
                Placement::New(name) => {
                    assert!(
                        !folder.contains_key(&name.normalized()),
                        "{name} is there already"
                    );
                    assert!(
                        promised.insert(name.normalized(), (hash, *fate)).is_none(),
                        "{name} is promised twice"
                    );
                }
                Placement::Duplicate(name) => {
                    let same = promised
                        .get(&name.normalized())
                        .map(|(hash, _)| hash)
                        .or(folder.get(&name.normalized()));
                    assert_eq!(same, Some(&hash), "{name} holds other bytes");
                }
            }
        }

        let mut records = Vec::new();
        for ((image, _, picture, fate), berth) in group.into_iter().zip(berths) {
            let hash = content(picture).hash;
            let (name, fate, own) = match berth {
                Placement::New(name) => (name, fate, true),
                // Where the file does not get its name, its twins do not either.
                Placement::Duplicate(name) => {
                    let fate = promised
                        .get(&name.normalized())
                        .map_or(fate, |(_, fate)| *fate);
                    (name, fate, false)
                }
            };
            let apart = name.with_hash_suffix(&hash);
            let taken = folder.contains_key(&apart.normalized())
                || promised.contains_key(&apart.normalized());
            let name = if matches!(fate, Fate::KeptApart) && own && !taken {
                apart
            } else {
                name
            };
            let key = key(&image.to_string());
            match fate {
                Fate::Kept | Fate::KeptApart => {
                    if own {
                        folder.insert(name.normalized(), hash);
                    }
                    records.push(Record::Saved { key, name });
                }
                Fate::TakenBack => records.push(Record::Unplaced { key }),
                Fate::Killed => {}
            }
        }
        ledger.record(records).await.unwrap();
        said.push(format!("{:?}", ledger.unfinished().await.unwrap()));
    }
    said.push(format!(
        "{:?} {:?}",
        rows(ledger, &Selection::default()),
        ledger.stats().unwrap()
    ));
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_name_is_ever_promised_to_two_contents_and_all_ledgers_say_the_same(groups in fates()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let [memory, file] = plugs().map(|(_home, ledger)| runtime.block_on(play(&*ledger, &groups)));
        prop_assert_eq!(memory, file);
    }
}
