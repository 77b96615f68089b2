//! Hooks that are still to run.

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

async fn pending(ledger: &dyn Ledger, below: i64, limit: usize) -> Vec<(String, u32, i64)> {
    let images = ledger
        .pending_image_hooks(below, limit)
        .await
        .unwrap()
        .into_iter();
    images
        .map(|hook| (hook.image.name.unwrap(), hook.failed, hook.number))
        .collect()
}

fn names_and_failures(images: &[(String, u32, i64)]) -> Vec<(&str, u32)> {
    images
        .iter()
        .map(|(name, failed, _)| (name.as_str(), *failed))
        .collect()
}

#[tokio::test]
async fn hooks_are_pending_from_saving_an_image_until_they_are_done() {
    for (_home, ledger) in plugs() {
        let ledger = &*ledger;
        assert_eq!(
            ledger.pending_hooks().await.unwrap(),
            PendingHooks::default()
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
            ledger.pending_hooks().await.unwrap(),
            PendingHooks {
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
            names_and_failures(&pending(ledger, i64::MAX, 9).await),
            [("3.png", 0), ("1.png", 1)]
        );
        assert_eq!(
            ledger.pending_hooks().await.unwrap(),
            PendingHooks {
                images: 2,
                end: Some(2)
            }
        );
        ledger
            .record(vec![hooks("3.png", None), hooks("1.png", None), end(None)])
            .await
            .unwrap();
        assert_eq!(
            ledger.pending_hooks().await.unwrap(),
            PendingHooks::default()
        );
        let rows = ledger.pending_image_hooks(i64::MAX, 9).await.unwrap();
        assert_eq!(rows, []);
    }
}

#[tokio::test]
async fn reading_pending_hooks_downwards_meets_each_once_and_no_new_ones() {
    for (_home, ledger) in plugs() {
        let ledger = &*ledger;
        ledger.pending_hooks().await.unwrap();
        for (number, image) in (1..).zip(["1.png", "2.png", "3.png"]) {
            keep(ledger, image, image, number).await;
            ledger.record(vec![hooks(image, Some(0))]).await.unwrap();
        }
        let first = pending(ledger, i64::MAX, 2).await;
        assert_eq!(names_and_failures(&first), [("3.png", 0), ("2.png", 0)]);
        ledger
            .record(vec![hooks("3.png", None), hooks("2.png", None)])
            .await
            .unwrap();
        keep(ledger, "4.png", "4.png", 4).await;
        ledger
            .record(vec![hooks("4.png", Some(0)), hooks("1.png", Some(1))])
            .await
            .unwrap();
        assert_eq!(
            names_and_failures(&pending(ledger, first[1].2, 2).await),
            [("1.png", 1)]
        );
    }
}

#[tokio::test]
async fn an_image_that_left_the_collection_has_no_pending_hooks() {
    for (_home, ledger) in plugs() {
        ledger.pending_hooks().await.unwrap();
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
        assert_eq!(
            names_and_failures(&pending(&*ledger, i64::MAX, 9).await),
            []
        );
        assert_eq!(
            ledger.pending_hooks().await.unwrap(),
            PendingHooks {
                images: 0,
                end: Some(0)
            }
        );
    }
}
