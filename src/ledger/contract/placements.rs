//! Which name each image gets: duplicates, collisions, and placements that are settled or withdrawn.

use super::*;

#[tokio::test]
async fn names_that_differ_only_in_case_or_unicode_form_are_a_collision() {
    for (_home, ledger) in plugs() {
        let group = vec![
            intent("1.png", "\u{c9}t\u{e9}.png", 1),
            intent("2.png", "e\u{301}te\u{301}.png", 2),
            intent("3.png", "\u{e9}T\u{e9}.PNG", 3),
            intent("4.png", "ete.png", 4),
        ];
        let placements = ledger.placing(group).await.unwrap();
        let expected = [
            new("\u{c9}t\u{e9}.png"),
            new("e\u{301}te\u{301}~02a7a7a7.png"),
            new("\u{e9}T\u{e9}~03a7a7a7.PNG"),
        ];
        assert_eq!(placements[..3], expected);
        assert_eq!(placements[3], new("ete.png"));
    }
}

#[tokio::test]
async fn a_duplicate_of_the_same_name_shares_the_file() {
    for (_home, ledger) in plugs() {
        let group = vec![intent("1.png", "a.png", 1), intent("2.png", "A.png", 1)];
        assert_eq!(
            ledger.placing(group).await.unwrap(),
            [new("a.png"), duplicate("a.png")]
        );
        ledger
            .record(vec![saved("1.png", "a.png"), saved("2.png", "a.png")])
            .await
            .unwrap();
        assert_eq!(
            keep(&*ledger, "3.png", "a.png", 1).await,
            duplicate("a.png")
        );
        assert_eq!(
            keep(&*ledger, "4.png", "b.png", 1).await,
            new("b.png"),
            "another name is another file"
        );
        let stats = ledger.stats().unwrap();
        assert_eq!((stats.saved, stats.files, stats.bytes), (4, 2, 2000));
    }
}

#[tokio::test]
async fn a_file_of_another_length_is_no_duplicate_even_with_the_same_hash() {
    for (_home, ledger) in plugs() {
        keep(&*ledger, "1.png", "a.png", 1).await;
        let mut longer = intent("2.png", "a.png", 1);
        longer.content.bytes += 1;
        assert_eq!(
            ledger.placing(vec![longer]).await.unwrap(),
            [new("a~01a7a7a7.png")]
        );
    }
}

#[tokio::test]
async fn a_pending_file_of_an_earlier_group_has_no_duplicate() {
    for (_home, ledger) in plugs() {
        ledger
            .placing(vec![intent("1.png", "a.png", 1)])
            .await
            .unwrap();
        let placements = ledger
            .placing(vec![intent("2.png", "a.png", 1)])
            .await
            .unwrap();
        assert_eq!(
            placements,
            [new("a~01a7a7a7.png")],
            "nobody knows whether that file will be there"
        );
    }
}

#[tokio::test]
async fn a_collision_of_hash_suffixes_is_resolved_by_a_number() {
    for (_home, ledger) in plugs() {
        let placements = [200, 201, 202, 203]
            .map(|picture| (picture, intent(&format!("{picture}.png"), "a.png", picture)));
        let mut given = Vec::new();
        for (picture, intent) in placements {
            given.extend(ledger.placing(vec![intent]).await.unwrap());
            let Some(Placement::New(name)) = given.last().cloned() else {
                panic!("{given:?}")
            };
            ledger
                .record(vec![Record::Saved {
                    key: key(&format!("{picture}.png")),
                    name,
                }])
                .await
                .unwrap();
        }
        let expected = [
            "a.png",
            "a~a7a7a7a7.png",
            "a~a7a7a7a7-2.png",
            "a~a7a7a7a7-3.png",
        ];
        assert_eq!(given, expected.map(new));
        assert_eq!(
            keep(&*ledger, "204.png", "a.png", 202).await,
            duplicate("a~a7a7a7a7-2.png")
        );
    }
}

#[tokio::test]
async fn a_collision_with_a_foreign_file_renames_the_file_for_its_duplicates_too() {
    for (_home, ledger) in plugs() {
        let group = vec![intent("1.png", "a.png", 1), intent("2.png", "a.png", 1)];
        ledger.placing(group).await.unwrap();
        ledger
            .record(vec![
                saved("1.png", "a~01a7a7a7.png"),
                saved("2.png", "a.png"),
            ])
            .await
            .unwrap();
        assert_eq!(
            names(&*ledger),
            [
                named("1.png", "a~01a7a7a7.png"),
                named("2.png", "a~01a7a7a7.png")
            ]
        );
        assert_eq!(
            keep(&*ledger, "3.png", "a.png", 2).await,
            new("a.png"),
            "that name is free in the ledger"
        );
        assert_eq!(
            keep(&*ledger, "4.png", "a~01a7a7a7.png", 1).await,
            duplicate("a~01a7a7a7.png")
        );
    }
}

#[tokio::test]
async fn a_file_placed_under_the_name_of_a_missing_one_takes_over_its_images() {
    for (_home, ledger) in plugs() {
        keep(&*ledger, "1.png", "a~02a7a7a7.png", 1).await;
        ledger
            .placing(vec![intent("2.png", "a.png", 2)])
            .await
            .unwrap();
        ledger
            .record(vec![saved("2.png", "a~02a7a7a7.png")])
            .await
            .unwrap();
        assert_eq!(
            names(&*ledger),
            [
                named("1.png", "a~02a7a7a7.png"),
                named("2.png", "a~02a7a7a7.png")
            ]
        );
        assert_eq!(
            rows(&*ledger, &Selection::default())[0].content,
            Some(content(2))
        );
        assert_eq!(ledger.stats().unwrap().files, 1);
    }
}

#[tokio::test]
async fn an_unplaced_file_frees_its_name_once_no_duplicate_is_pending() {
    for (_home, ledger) in plugs() {
        let group = vec![intent("1.png", "a.png", 1), intent("2.png", "a.png", 1)];
        ledger.placing(group).await.unwrap();
        ledger.record(vec![unplaced("1.png")]).await.unwrap();
        assert_eq!(ledger.pending().await.unwrap().len(), 1);
        ledger.record(vec![failed("2.png", None)]).await.unwrap();
        assert_eq!(ledger.pending().await.unwrap(), []);
        assert_eq!(keep(&*ledger, "3.png", "a.png", 3).await, new("a.png"));
    }
}

#[tokio::test]
async fn an_image_fetched_again_is_a_duplicate_or_gets_a_second_file() {
    for (_home, ledger) in plugs() {
        keep(&*ledger, "1.png", "a.png", 1).await;
        assert_eq!(
            keep(&*ledger, "1.png", "a.png", 1).await,
            duplicate("a.png")
        );
        assert_eq!(
            keep(&*ledger, "1.png", "a.png", 2).await,
            new("a~02a7a7a7.png")
        );
        assert_eq!(names(&*ledger), [named("1.png", "a~02a7a7a7.png")]);
        let stats = ledger.stats().unwrap();
        assert_eq!(
            (stats.saved, stats.files),
            (1, 2),
            "the file it had before is still there"
        );
    }
}

#[tokio::test]
async fn placing_an_image_again_withdraws_its_earlier_placement() {
    for (_home, ledger) in plugs() {
        ledger
            .placing(vec![intent("1.png", "a.png", 1)])
            .await
            .unwrap();
        assert_eq!(
            ledger
                .placing(vec![intent("1.png", "a.png", 2)])
                .await
                .unwrap(),
            [new("a.png")]
        );
        let placement = PendingPlacement {
            key: key("1.png"),
            name: name("a.png"),
            content: content(2),
        };
        assert_eq!(ledger.pending().await.unwrap(), [placement]);
    }
}

#[tokio::test]
async fn an_image_twice_in_one_group_never_gets_one_name_for_two_contents() {
    for (_home, ledger) in plugs() {
        let group = vec![intent("1.png", "a.png", 1), intent("1.png", "a.png", 2)];
        assert_eq!(
            ledger.placing(group).await.unwrap(),
            [new("a.png"), new("a~02a7a7a7.png")]
        );
    }
}
