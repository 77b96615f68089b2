//! Which images of a listing need not be fetched.

use jiff::SignedDuration;

use super::*;
use crate::outcome::{Skip, SkipReason};

#[tokio::test]
async fn an_image_is_known_once_it_is_saved_and_not_while_it_is_pending() {
    for (_home, ledger) in plugs() {
        assert_eq!(known_state(&*ledger, "a.png", "a").await, None);
        assert_eq!(
            ledger
                .placing(vec![intent("a.png", "a.png", 1)])
                .await
                .unwrap(),
            [new("a.png")]
        );
        assert_eq!(known_state(&*ledger, "a.png", "a").await, None);
        ledger.record(vec![saved("a.png", "a.png")]).await.unwrap();
        assert_eq!(
            known_state(&*ledger, "a.png", "a").await,
            Some(KnownState::Saved)
        );
        assert_eq!(known_state(&*ledger, "b.png", "a").await, None);
    }
}

#[tokio::test]
async fn a_failed_image_is_fetched_again_at_once_and_a_gone_one_after_its_time() {
    for (_home, ledger) in plugs() {
        let later = noon() + SignedDuration::from_hours(1);
        ledger
            .record(vec![failed("a.png", None), failed("b.png", Some(later))])
            .await
            .unwrap();
        ledger
            .record(vec![failed("c.png", Some(noon()))])
            .await
            .unwrap();
        assert_eq!(known_state(&*ledger, "a.png", "a").await, None);
        assert_eq!(
            known_state(&*ledger, "b.png", "b").await,
            Some(KnownState::Gone {
                since: noon(),
                until: later
            })
        );
        assert_eq!(known_state(&*ledger, "c.png", "c").await, None);
    }
}

#[tokio::test]
async fn what_is_gone_or_skipped_by_other_rules_is_fetched_at_once() {
    for (_home, ledger) in plugs() {
        let until = noon() + SignedDuration::from_hours(1);
        let (rules, others) = (RulesHash::of(["a", "b"]), RulesHash::of(["ab"]));
        let reason = SkipReason::TooSmall("16x16".to_owned());
        let Record::Failed {
            key: gone,
            site,
            failure,
            at,
            ..
        } = failed("a.png", Some(until))
        else {
            unreachable!()
        };
        let skipped = key("b.png");
        let group = vec![
            Record::Failed {
                key: gone.clone(),
                site,
                failure,
                at,
                until: Some(until),
                rules,
            },
            Record::Skipped {
                key: skipped.clone(),
                skip: Skip::new(address("b.png"), reason.clone()),
                attempts: 1,
                at,
                until,
                rules,
            },
        ];
        ledger.record(group).await.unwrap();
        let lookups = || vec![gone.clone(), skipped.clone()];
        let known = ledger.known(lookups(), rules, noon()).await.unwrap();
        let expected = [
            Some(KnownState::Gone {
                since: noon(),
                until,
            }),
            Some(KnownState::Skipped(reason)),
        ];
        assert_eq!(known.states, expected);
        for (rules, now) in [(others, noon()), (rules, until)] {
            let known = ledger.known(lookups(), rules, now).await.unwrap();
            assert_eq!(known.states, [None, None]);
        }
        let stats = ledger.stats().unwrap();
        assert_eq!((stats.gone, stats.skipped), (1, 1));
        let selection = Selection {
            state: Some(RowState::Skipped),
            ..Selection::default()
        };
        let row = rows(&*ledger, &selection).remove(0);
        assert_eq!(row.cause.as_deref(), Some("smaller than wanted"));
        keep(&*ledger, "b.png", "b.png", 1).await;
        assert_eq!(rows(&*ledger, &selection), []);
    }
}

#[tokio::test]
async fn a_failed_image_that_is_fetched_later_is_saved() {
    for (_home, ledger) in plugs() {
        ledger
            .record(vec![failed("a.png", Some(noon()))])
            .await
            .unwrap();
        keep(&*ledger, "a.png", "a.png", 1).await;
        let row = rows(&*ledger, &Selection::default()).remove(0);
        assert_eq!(
            (row.state, row.cause, row.until),
            (RowState::Saved, None, None)
        );
    }
}

#[tokio::test]
async fn a_failure_never_removes_an_image_from_the_collection() {
    for (_home, ledger) in plugs() {
        keep(&*ledger, "a.png", "a.png", 1).await;
        ledger
            .record(vec![failed("a.png", None), unplaced("a.png")])
            .await
            .unwrap();
        assert_eq!(
            known_state(&*ledger, "a.png", "a").await,
            Some(KnownState::Saved)
        );
    }
}

#[tokio::test]
async fn an_adopted_file_is_known_by_its_stem_in_any_case_and_unicode_form() {
    for (_home, ledger) in plugs() {
        let files = vec![
            (name("2010-01-01-\u{c9}t\u{e9}.png"), content(1)),
            (name("b.png"), content(2)),
        ];
        let known = ledger.known(Vec::new(), RulesHash::default(), noon());
        assert!(!known.await.unwrap().has_adopted);
        assert_eq!(ledger.adopt(files.clone()).await.unwrap(), 2);
        assert_eq!(ledger.adopt(files).await.unwrap(), 0);
        assert_eq!(
            known_state(&*ledger, "a.png", "2010-01-01-e\u{301}te\u{301}").await,
            Some(KnownState::Saved)
        );
        ledger.record(vec![failed("b.png", None)]).await.unwrap();
        assert_eq!(
            known_state(&*ledger, "b.png", "b").await,
            Some(KnownState::Saved),
            "it is there, though it failed once"
        );
    }
}

#[tokio::test]
async fn an_adopted_file_with_a_duplicate_is_adopted_by_no_other_image() {
    for (_home, ledger) in plugs() {
        ledger
            .adopt(vec![(name("a.png"), content(1))])
            .await
            .unwrap();
        assert_eq!(
            keep(&*ledger, "a.png", "a.png", 1).await,
            duplicate("a.png")
        );
        assert_eq!(known_state(&*ledger, "b.png", "a").await, None);
    }
}

#[tokio::test]
async fn recording_an_image_without_a_placement_changes_nothing() {
    for (_home, ledger) in plugs() {
        ledger
            .record(vec![saved("1.png", "a.png"), unplaced("2.png")])
            .await
            .unwrap();
        assert_eq!(names(&*ledger), []);
    }
}

#[tokio::test]
async fn an_unplaced_image_is_fetched_again_and_may_be_a_duplicate_of_its_old_file() {
    for (_home, ledger) in plugs() {
        keep(&*ledger, "1.png", "a.png", 1).await;
        ledger
            .placing(vec![intent("1.png", "a.png", 2)])
            .await
            .unwrap();
        ledger.record(vec![unplaced("1.png")]).await.unwrap();
        assert_eq!(known_state(&*ledger, "1.png", "a").await, None);
        assert_eq!(
            keep(&*ledger, "1.png", "a.png", 1).await,
            duplicate("a.png")
        );
    }
}
