//! Who gets which name: twins, names told apart, promises kept and taken back.

use super::*;

#[tokio::test]
async fn names_that_differ_by_case_or_unicode_form_alone_are_told_apart() {
    for (_home, ledger) in plugs() {
        let group = vec![
            intent("1.png", "\u{c9}t\u{e9}.png", 1),
            intent("2.png", "e\u{301}te\u{301}.png", 2),
            intent("3.png", "\u{e9}T\u{e9}.PNG", 3),
            intent("4.png", "ete.png", 4),
        ];
        let berths = ledger.placing(group).await.unwrap();
        let apart = [
            free("\u{c9}t\u{e9}.png"),
            free("e\u{301}te\u{301}~02a7a7a7.png"),
            free("\u{e9}T\u{e9}~03a7a7a7.PNG"),
        ];
        assert_eq!(berths[..3], apart);
        assert_eq!(berths[3], free("ete.png"));
    }
}

#[tokio::test]
async fn the_same_bytes_under_the_same_name_are_one_file() {
    for (_home, ledger) in plugs() {
        let group = vec![intent("1.png", "a.png", 1), intent("2.png", "A.png", 1)];
        assert_eq!(
            ledger.placing(group).await.unwrap(),
            [free("a.png"), twin("a.png")]
        );
        ledger
            .record(vec![saved("1.png", "a.png"), saved("2.png", "a.png")])
            .await
            .unwrap();
        assert_eq!(keep(&*ledger, "3.png", "a.png", 1).await, twin("a.png"));
        assert_eq!(
            keep(&*ledger, "4.png", "b.png", 1).await,
            free("b.png"),
            "another name is another file"
        );
        let stats = ledger.stats().unwrap();
        assert_eq!((stats.saved, stats.files, stats.bytes), (4, 2, 2000));
    }
}

#[tokio::test]
async fn a_file_of_another_length_is_no_twin_whatever_its_hash() {
    for (_home, ledger) in plugs() {
        keep(&*ledger, "1.png", "a.png", 1).await;
        let mut longer = intent("2.png", "a.png", 1);
        longer.content.bytes += 1;
        assert_eq!(
            ledger.placing(vec![longer]).await.unwrap(),
            [free("a~01a7a7a7.png")]
        );
    }
}

#[tokio::test]
async fn a_promise_of_an_earlier_group_is_nobodys_twin() {
    for (_home, ledger) in plugs() {
        ledger
            .placing(vec![intent("1.png", "a.png", 1)])
            .await
            .unwrap();
        let berths = ledger
            .placing(vec![intent("2.png", "a.png", 1)])
            .await
            .unwrap();
        assert_eq!(
            berths,
            [free("a~01a7a7a7.png")],
            "nobody knows whether that file is there"
        );
    }
}

#[tokio::test]
async fn names_told_apart_are_told_apart_again_where_even_the_hash_begins_alike() {
    for (_home, ledger) in plugs() {
        let berths = [200, 201, 202, 203]
            .map(|picture| (picture, intent(&format!("{picture}.png"), "a.png", picture)));
        let mut given = Vec::new();
        for (picture, intent) in berths {
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
        let apart = [
            "a.png",
            "a~a7a7a7a7.png",
            "a~a7a7a7a7-2.png",
            "a~a7a7a7a7-3.png",
        ];
        assert_eq!(given, apart.map(free));
        assert_eq!(
            keep(&*ledger, "204.png", "a.png", 202).await,
            twin("a~a7a7a7a7-2.png")
        );
    }
}

#[tokio::test]
async fn a_file_told_apart_from_a_foreign_one_is_renamed_for_all_who_share_it() {
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
            free("a.png"),
            "the ledger holds that name no more"
        );
        assert_eq!(
            keep(&*ledger, "4.png", "a~01a7a7a7.png", 1).await,
            twin("a~01a7a7a7.png")
        );
    }
}

#[tokio::test]
async fn a_file_that_got_a_name_the_ledger_believed_taken_takes_over_what_lay_there() {
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
async fn a_promise_taken_back_frees_its_name_when_the_last_who_shares_it_lets_go() {
    for (_home, ledger) in plugs() {
        let group = vec![intent("1.png", "a.png", 1), intent("2.png", "a.png", 1)];
        ledger.placing(group).await.unwrap();
        ledger.record(vec![unplaced("1.png")]).await.unwrap();
        assert_eq!(ledger.unfinished().await.unwrap().len(), 1);
        ledger.record(vec![failed("2.png", None)]).await.unwrap();
        assert_eq!(ledger.unfinished().await.unwrap(), []);
        assert_eq!(keep(&*ledger, "3.png", "a.png", 3).await, free("a.png"));
    }
}

#[tokio::test]
async fn an_image_fetched_again_is_the_same_file_or_a_second_one_beside_it() {
    for (_home, ledger) in plugs() {
        keep(&*ledger, "1.png", "a.png", 1).await;
        assert_eq!(keep(&*ledger, "1.png", "a.png", 1).await, twin("a.png"));
        assert_eq!(
            keep(&*ledger, "1.png", "a.png", 2).await,
            free("a~02a7a7a7.png")
        );
        assert_eq!(names(&*ledger), [named("1.png", "a~02a7a7a7.png")]);
        let stats = ledger.stats().unwrap();
        assert_eq!(
            (stats.saved, stats.files),
            (1, 2),
            "the file it was before lies there still"
        );
    }
}

#[tokio::test]
async fn a_promise_made_again_to_the_same_image_is_the_same_promise() {
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
            [free("a.png")]
        );
        let promise = Unfinished {
            key: key("1.png"),
            name: name("a.png"),
            content: content(2),
        };
        assert_eq!(ledger.unfinished().await.unwrap(), [promise]);
    }
}

#[tokio::test]
async fn an_image_twice_in_one_group_does_not_get_one_name_for_two_contents() {
    for (_home, ledger) in plugs() {
        let group = vec![intent("1.png", "a.png", 1), intent("1.png", "a.png", 2)];
        assert_eq!(
            ledger.placing(group).await.unwrap(),
            [free("a.png"), free("a~02a7a7a7.png")]
        );
    }
}
