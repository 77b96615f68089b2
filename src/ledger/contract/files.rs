//! The files of a collection: listing them, and forgetting damaged and missing ones.

use super::*;

fn listed(ledger: &dyn Ledger) -> Vec<(String, Content, bool)> {
    let files = ledger.files().unwrap();
    files
        .into_iter()
        .map(|file| (file.name.to_string(), file.content, file.saved))
        .collect()
}

#[tokio::test]
async fn every_file_is_listed_once_however_many_duplicates_share_it() {
    for (_home, ledger) in plugs() {
        keep(&*ledger, "b.png", "b.png", 2).await;
        assert_eq!(
            keep(&*ledger, "duplicate.png", "b.png", 2).await,
            duplicate("b.png")
        );
        ledger
            .adopt(vec![(name("a.png"), content(1))])
            .await
            .unwrap();
        ledger
            .placing(vec![intent("c.png", "c.png", 3)])
            .await
            .unwrap();
        ledger.record(vec![failed("d.png", None)]).await.unwrap();
        let files = [("a.png", 1, true), ("b.png", 2, true), ("c.png", 3, false)];
        let files = files.map(|(name, picture, saved)| (name.to_owned(), content(picture), saved));
        assert_eq!(listed(&*ledger), files);
    }
}

#[tokio::test]
async fn images_of_a_forgotten_file_are_fetched_again_under_its_name() {
    for (_home, ledger) in plugs() {
        keep(&*ledger, "a.png", "a.png", 1).await;
        keep(&*ledger, "duplicate.png", "a.png", 1).await;
        keep(&*ledger, "b.png", "b.png", 2).await;
        ledger
            .forget(vec![(name("a.png"), "damaged: cut".to_owned())], noon())
            .await
            .unwrap();
        assert_eq!(known_state(&*ledger, "a.png", "a").await, None);
        assert_eq!(known_state(&*ledger, "duplicate.png", "a").await, None);
        assert_eq!(
            known_state(&*ledger, "b.png", "b").await,
            Some(KnownState::Saved)
        );
        let row = rows(&*ledger, &Selection::default()).remove(0);
        assert_eq!(
            (row.state, row.name, row.cause.as_deref()),
            (RowState::Failed, None, Some("damaged: cut"))
        );
        assert!(
            row.page.is_some() && row.title.is_some(),
            "where it came from is not forgotten"
        );
        assert_eq!(keep(&*ledger, "a.png", "a.png", 3).await, new("a.png"));
    }
}

#[tokio::test]
async fn a_forgotten_file_is_no_longer_adopted() {
    for (_home, ledger) in plugs() {
        ledger
            .adopt(vec![(name("a.png"), content(1))])
            .await
            .unwrap();
        ledger
            .forget(vec![(name("a.png"), "missing".to_owned())], noon())
            .await
            .unwrap();
        assert_eq!(known_state(&*ledger, "a.png", "a").await, None);
        assert_eq!(listed(&*ledger), []);
    }
}

#[tokio::test]
async fn a_pending_or_unknown_file_is_not_forgotten() {
    for (_home, ledger) in plugs() {
        ledger
            .placing(vec![intent("a.png", "a.png", 1)])
            .await
            .unwrap();
        let files = vec![
            (name("a.png"), "missing".to_owned()),
            (name("b.png"), "missing".to_owned()),
        ];
        ledger.forget(files, noon()).await.unwrap();
        assert_eq!(ledger.pending().await.unwrap().len(), 1);
    }
}
