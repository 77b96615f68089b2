//! What the ledger tells of the files, and what becomes of those it lets go of.

use super::*;

fn listed(ledger: &dyn Ledger) -> Vec<(String, Content, bool)> {
    let files = ledger.files().unwrap();
    files
        .into_iter()
        .map(|file| (file.name.to_string(), file.content, file.saved))
        .collect()
}

#[tokio::test]
async fn every_file_is_listed_once_whoever_lies_in_it() {
    for (_home, ledger) in plugs() {
        keep(&*ledger, "b.png", "b.png", 2).await;
        assert_eq!(keep(&*ledger, "twin.png", "b.png", 2).await, twin("b.png"));
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
async fn what_lay_in_a_file_let_go_of_is_asked_for_again_and_gets_its_name() {
    for (_home, ledger) in plugs() {
        keep(&*ledger, "a.png", "a.png", 1).await;
        keep(&*ledger, "twin.png", "a.png", 1).await;
        keep(&*ledger, "b.png", "b.png", 2).await;
        ledger
            .forget(vec![(name("a.png"), "damaged: cut".to_owned())], noon())
            .await
            .unwrap();
        assert_eq!(past(&*ledger, "a.png", "a").await, None);
        assert_eq!(past(&*ledger, "twin.png", "a").await, None);
        assert_eq!(past(&*ledger, "b.png", "b").await, Some(KnownState::Saved));
        let row = rows(&*ledger, &Selection::default()).remove(0);
        assert_eq!(
            (row.state, row.name, row.cause.as_deref()),
            (RowState::Failed, None, Some("damaged: cut"))
        );
        assert!(
            row.page.is_some() && row.title.is_some(),
            "where it came from is not forgotten"
        );
        assert_eq!(keep(&*ledger, "a.png", "a.png", 3).await, free("a.png"));
    }
}

#[tokio::test]
async fn an_adopted_file_let_go_of_is_not_adopted_any_more() {
    for (_home, ledger) in plugs() {
        ledger
            .adopt(vec![(name("a.png"), content(1))])
            .await
            .unwrap();
        ledger
            .forget(vec![(name("a.png"), "missing".to_owned())], noon())
            .await
            .unwrap();
        assert_eq!(past(&*ledger, "a.png", "a").await, None);
        assert_eq!(listed(&*ledger), []);
    }
}

#[tokio::test]
async fn a_file_that_is_being_placed_or_that_nobody_knows_is_not_let_go_of() {
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
        assert_eq!(ledger.unfinished().await.unwrap().len(), 1);
    }
}
