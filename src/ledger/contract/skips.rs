//! Skipped images that were reported before.

use super::*;

fn skip(image: &str, reason: &str) -> (ImageKey, String) {
    (key(image), reason.to_owned())
}

#[tokio::test]
async fn a_skip_is_new_once_for_each_image_and_reason() {
    for (_home, ledger) in plugs() {
        let note = async |skips| ledger.note_skips(skips, noon()).await.unwrap();
        let (a, b) = (skip("a.png", "no rule"), skip("b.png", "no rule"));
        assert_eq!(note(vec![a.clone(), b.clone()]).await, [true, true]);
        let again = vec![
            b,
            skip("a.png", "foreign host"),
            a,
            skip("c.png", "no rule"),
        ];
        assert_eq!(note(again).await, [false, true, false, true]);
        assert_eq!(note(Vec::new()).await, [false; 0]);
        let twice = vec![skip("d.png", "no rule"), skip("d.png", "no rule")];
        assert_eq!(note(twice).await, [true, false], "even within one call");
    }
}

#[tokio::test]
async fn a_reported_skip_is_no_image_of_the_collection() {
    for (_home, ledger) in plugs() {
        let skips = vec![skip("a.png", "no rule")];
        ledger.note_skips(skips, noon()).await.unwrap();
        assert_eq!(known_state(&*ledger, "a.png", "a").await, None);
        assert_eq!(rows(&*ledger, &Selection::default()), []);
        assert_eq!(keep(&*ledger, "a.png", "a.png", 1).await, new("a.png"));
    }
}
