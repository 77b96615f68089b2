//! What waits for the user's commands.

use super::*;

fn hooks(image: &str, failed: Option<u32>) -> Record {
    Record::Hooks {
        of: Some(key(image)),
        failed,
    }
}

const fn end(failed: Option<u32>) -> Record {
    Record::Hooks { of: None, failed }
}

async fn waiting(ledger: &dyn Ledger, below: i64, limit: usize) -> Vec<(String, u32, i64)> {
    let images = ledger
        .images_waiting(below, limit)
        .await
        .unwrap()
        .into_iter();
    images
        .map(|waiting| (waiting.image.name.unwrap(), waiting.failed, waiting.number))
        .collect()
}

fn told(images: &[(String, u32, i64)]) -> Vec<(&str, u32)> {
    images
        .iter()
        .map(|(name, failed, _)| (name.as_str(), *failed))
        .collect()
}

#[tokio::test]
async fn hooks_wait_from_the_moment_that_their_image_is_saved_until_they_are_done_with() {
    for (_home, ledger) in plugs() {
        let ledger = &*ledger;
        assert_eq!(
            ledger.hooks_waiting().await.unwrap(),
            HooksWaiting::default()
        );
        for (number, image) in (1..).zip(["1.png", "2.png", "3.png"]) {
            ledger
                .placing(vec![intent(image, image, number)])
                .await
                .unwrap();
            ledger
                .record(vec![
                    saved(image, image),
                    hooks(image, Some(0)),
                    end(Some(0)),
                ])
                .await
                .unwrap();
        }
        assert_eq!(
            ledger.hooks_waiting().await.unwrap(),
            HooksWaiting {
                images: 3,
                end: Some(0)
            }
        );
        ledger
            .record(vec![
                hooks("2.png", None),
                hooks("1.png", Some(1)),
                end(Some(2)),
            ])
            .await
            .unwrap();
        assert_eq!(
            told(&waiting(ledger, i64::MAX, 9).await),
            [("3.png", 0), ("1.png", 1)]
        );
        assert_eq!(
            ledger.hooks_waiting().await.unwrap(),
            HooksWaiting {
                images: 2,
                end: Some(2)
            }
        );
        ledger
            .record(vec![hooks("3.png", None), hooks("1.png", None), end(None)])
            .await
            .unwrap();
        assert_eq!(
            ledger.hooks_waiting().await.unwrap(),
            HooksWaiting::default()
        );
        let rows = ledger.images_waiting(i64::MAX, 9).await.unwrap();
        assert_eq!(rows, []);
    }
}

#[tokio::test]
async fn who_counts_down_meets_each_once_and_nothing_that_came_meanwhile() {
    for (_home, ledger) in plugs() {
        let ledger = &*ledger;
        ledger.hooks_waiting().await.unwrap();
        for (number, image) in (1..).zip(["1.png", "2.png", "3.png"]) {
            keep(ledger, image, image, number).await;
            ledger.record(vec![hooks(image, Some(0))]).await.unwrap();
        }
        let first = waiting(ledger, i64::MAX, 2).await;
        assert_eq!(told(&first), [("3.png", 0), ("2.png", 0)]);
        ledger
            .record(vec![hooks("3.png", None), hooks("2.png", None)])
            .await
            .unwrap();
        keep(ledger, "4.png", "4.png", 4).await;
        ledger
            .record(vec![hooks("4.png", Some(0)), hooks("1.png", Some(1))])
            .await
            .unwrap();
        assert_eq!(told(&waiting(ledger, first[1].2, 2).await), [("1.png", 1)]);
    }
}

#[tokio::test]
async fn nothing_waits_for_an_image_that_is_no_more_in_the_collection() {
    for (_home, ledger) in plugs() {
        ledger.hooks_waiting().await.unwrap();
        keep(&*ledger, "1.png", "1.png", 1).await;
        ledger
            .record(vec![
                hooks("1.png", Some(0)),
                hooks("never.png", Some(0)),
                end(Some(0)),
            ])
            .await
            .unwrap();
        ledger
            .forget(vec![(name("1.png"), "it was missing".to_owned())], noon())
            .await
            .unwrap();
        assert_eq!(told(&waiting(&*ledger, i64::MAX, 9).await), []);
        assert_eq!(
            ledger.hooks_waiting().await.unwrap(),
            HooksWaiting {
                images: 0,
                end: Some(0)
            }
        );
    }
}
