//! Listings and figures, as people and scripts read them.

use jiff::SignedDuration;

use super::*;
use crate::outcome::{Capture, ImageWarning, StoredSize};

#[tokio::test]
async fn a_row_reads_back_as_it_was_written() {
    for (_home, ledger) in plugs() {
        keep(&*ledger, "1.png", "a.png", 1).await;
        let later = noon() + SignedDuration::from_hours(1);
        ledger
            .record(vec![failed("2.png", Some(later))])
            .await
            .unwrap();
        let Origin {
            page,
            address,
            title,
            etag,
            last_modified,
            capture,
        } = intent("1.png", "a.png", 1).origin;
        let first = LedgerRow {
            key: key("1.png"),
            state: RowState::Saved,
            at: noon(),
            name: Some("a.png".to_owned()),
            content: Some(content(1)),
            page: Some(page.to_string()),
            address: address.into(),
            title,
            etag,
            last_modified,
            capture,
            cause: None,
            until: None,
        };
        let second = LedgerRow {
            key: key("2.png"),
            state: RowState::Gone,
            name: None,
            content: None,
            page: None,
            address: contract::address("2.png").into(),
            title: None,
            etag: None,
            last_modified: None,
            capture: None,
            cause: Some("404 Not Found".to_owned()),
            until: Some(later),
            ..first.clone()
        };
        assert_eq!(rows(&*ledger, &Selection::default()), [first, second]);
    }
}

#[tokio::test]
async fn a_displayed_size_and_a_warning_read_back_as_they_were_written() {
    for (_home, ledger) in plugs() {
        let mut turned = intent("1.png", "a.png", 1);
        turned.content.stored = Some(StoredSize {
            width: turned.content.height,
            height: turned.content.width,
        });
        turned.content.warning = Some(ImageWarning::BytesBetweenSegments);
        ledger.placing(vec![turned.clone()]).await.unwrap();
        let name = turned.name.clone();
        let key = turned.key.clone();
        ledger
            .record(vec![Record::Saved { key, name }])
            .await
            .unwrap();
        let files = ledger.files().unwrap();
        assert_eq!(files[0].content, turned.content);
        let row = &rows(&*ledger, &Selection::default())[0];
        assert_eq!(row.content, Some(turned.content));
    }
}

#[tokio::test]
async fn a_capture_of_the_web_archive_reads_back_as_it_was_written() {
    for (_home, ledger) in plugs() {
        let base = Url::parse("https://web.archive.org/").unwrap();
        let mut archived = intent("1.png", "a.png", 1);
        let capture = Capture::new(&base, noon(), &archived.origin.address);
        archived.origin.capture = Some(capture.clone());
        ledger
            .placing(vec![archived, intent("2.png", "b.png", 1)])
            .await
            .unwrap();
        let read = |ledger: &dyn Ledger| {
            let rows = rows(ledger, &Selection::default());
            rows.into_iter().map(|row| row.capture).collect::<Vec<_>>()
        };
        assert_eq!(read(&*ledger), [Some(capture), None]);
        // The site has it again.
        keep(&*ledger, "1.png", "a.png", 2).await;
        assert_eq!(read(&*ledger), [None, None]);
    }
}

#[tokio::test]
async fn rows_are_listed_oldest_first_and_filtered_by_text_and_state() {
    for (_home, ledger) in plugs() {
        for (image, wanted, hours) in [
            ("b.png", "Late.png", 2),
            ("a.png", "Zo\u{cb}.png", 1),
            ("C.png", "c.png", 1),
        ] {
            let at =
                noon() + SignedDuration::from_hours(hours) + SignedDuration::from_millis(hours);
            ledger
                .placing(vec![Intent {
                    at,
                    ..intent(image, wanted, 1)
                }])
                .await
                .unwrap();
        }
        ledger
            .record(vec![saved("a.png", "Zo\u{cb}.png")])
            .await
            .unwrap();
        let found = |like: Option<&str>, state| {
            let selection = Selection {
                like: like.map(str::to_owned),
                state,
                with_same_bytes: false,
            };
            let rows = rows(&*ledger, &selection);
            rows.into_iter()
                .map(|row| row.name.unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(found(None, None), ["Zo\u{cb}.png", "c.png", "Late.png"]);
        assert_eq!(found(None, Some(RowState::Placing)), ["c.png", "Late.png"]);
        assert_eq!(found(Some("ZO\u{eb}"), None), ["Zo\u{cb}.png"]);
        assert_eq!(found(Some("originals/c"), None), ["c.png"]);
        assert_eq!(found(Some("%"), None), [""; 0]);
        assert_eq!(found(Some("late"), Some(RowState::Saved)), [""; 0]);
    }
}

#[tokio::test]
async fn the_same_image_is_shown_with_every_place_it_came_from() {
    for (_home, ledger) in plugs() {
        keep(&*ledger, "1.png", "a.png", 1).await;
        assert_eq!(
            keep(&*ledger, "2.png", "a.png", 1).await,
            duplicate("a.png")
        );
        keep(&*ledger, "3.png", "b.png", 1).await;
        keep(&*ledger, "4.png", "c.png", 2).await;
        ledger.record(vec![failed("5.png", None)]).await.unwrap();
        let found = |like: &str, with_same_bytes| {
            let selection = Selection {
                like: Some(like.to_owned()),
                state: None,
                with_same_bytes,
            };
            let rows = rows(&*ledger, &selection);
            rows.into_iter().map(|row| row.address).collect::<Vec<_>>()
        };
        let addresses = |images: &[&str]| {
            let all = images.iter().map(|image| address(image).into());
            all.collect::<Vec<String>>()
        };
        assert_eq!(found("2.png", false), addresses(&["2.png"]));
        let same = addresses(&["1.png", "2.png", "3.png"]);
        for like in ["1.png", "2.png", "3.png", "a.png", "b.png"] {
            assert_eq!(found(like, true), same, "{like}");
        }
        assert_eq!(found("c.png", true), addresses(&["4.png"]));
        assert_eq!(found("5.png", true), addresses(&["5.png"]));
    }
}

#[tokio::test]
async fn an_image_known_by_an_id_keeps_its_address_and_stays_known_when_that_changes() {
    for (_home, ledger) in plugs() {
        let key = ImageKey::with_id(&site(), "94x38z");
        let by_id = |image: &str| Intent {
            key: key.clone(),
            ..intent(image, "a.png", 1)
        };
        let lookups = vec![key.clone()];
        ledger.placing(vec![by_id("1.png?token=1")]).await.unwrap();
        ledger
            .record(vec![Record::Saved {
                key: key.clone(),
                name: name("a.png"),
            }])
            .await
            .unwrap();
        let known = ledger
            .known(lookups, RulesHash::default(), noon())
            .await
            .unwrap();
        assert_eq!(known.states, [Some(KnownState::Saved)]);
        let shown = rows(
            &*ledger,
            &Selection {
                like: Some("94X38Z".to_owned()),
                ..Selection::default()
            },
        );
        assert_eq!(shown[0].address, address("1.png?token=1").as_str());
        // Fetched again, by `verify --repair`, it is the same image from its new address.
        ledger.placing(vec![by_id("1.png?token=2")]).await.unwrap();
        let all = rows(&*ledger, &Selection::default());
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].address, address("1.png?token=2").as_str());
    }
}

#[tokio::test]
async fn a_listing_stops_where_its_reader_breaks() {
    for (_home, ledger) in plugs() {
        ledger
            .placing(vec![
                intent("1.png", "a.png", 1),
                intent("2.png", "b.png", 2),
            ])
            .await
            .unwrap();
        let mut rows = 0;
        let row = &mut |_| {
            rows += 1;
            ControlFlow::Break(())
        };
        ledger.each(&Selection::default(), row).unwrap();
        assert_eq!(rows, 1);
    }
}

#[tokio::test]
async fn stats_count_images_by_state_and_files_by_format() {
    for (_home, ledger) in plugs() {
        assert_eq!(ledger.stats().unwrap(), Stats::default());
        keep(&*ledger, "1.png", "a.png", 1).await;
        let mut photo = intent("2.jpg", "b.jpg", 2);
        photo.content.format = Format::Jpeg;
        photo.at = noon() + SignedDuration::from_hours(1);
        ledger
            .placing(vec![photo, intent("3.png", "c.png", 3)])
            .await
            .unwrap();
        ledger
            .record(vec![
                saved("2.jpg", "b.jpg"),
                failed("4.png", None),
                failed("5.png", Some(noon())),
            ])
            .await
            .unwrap();
        ledger
            .adopt(vec![(name("d.png"), content(4))])
            .await
            .unwrap();
        let stats = Stats {
            saved: 2,
            files: 3,
            bytes: 3000,
            failed: 1,
            gone: 1,
            skipped: 0,
            formats: vec![("png".to_owned(), 2), ("jpg".to_owned(), 1)],
            first: Some(noon()),
            last: Some(noon() + SignedDuration::from_hours(1)),
        };
        assert_eq!(ledger.stats().unwrap(), stats);
    }
}
