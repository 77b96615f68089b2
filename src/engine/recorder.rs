//! Where outcomes are recorded: the trait between the committer and the ledger. A worker without a ledger would send
//! its results elsewhere through the same trait.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::EngineError;
use super::hooks::HookSender;
use crate::hooks::HookImage;
use crate::ledger::{Intent, Ledger, Placement, Record};
use crate::mask::Masks;
use crate::outcome::{Duplicate, Outcome, Saved, Skip, SkipReason, Stage};
use crate::queue::Lease;

/// An image that is gone (404, 410) is not requested again for 30 days,
const GONE_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// and one whose page has no original for 7: a page that shows none today may do so for a while only, but a page that
/// never has one (a video of the day) must not be read each night.
const NO_ORIGINAL_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A job with the outcome of its image.
pub struct CompletedJob {
    /// The job, not acknowledged yet.
    pub lease: Lease,
    /// How its image ended.
    pub outcome: Outcome,
}

/// Records how images ended, a group at a time. For each group the committer calls, in this order: `placing`,
/// then it places the files, `record`, then it acknowledges the jobs, `acknowledged`. A kill between any two of
/// these repeats work and loses none.
#[async_trait]
pub trait Recorder: Send + Sync {
    /// Records durably what is about to be placed, and answers with the name that each image gets, in the order of
    /// the group.
    ///
    /// # Errors
    ///
    /// When it cannot be recorded; nothing of the group may be placed then.
    async fn placing(&self, group: Vec<Intent>) -> Result<Vec<Placement>, EngineError>;

    /// Records durably how a group ended at the time `at`. Answers with the images that [`Recorder::acknowledged`]
    /// takes.
    ///
    /// # Errors
    ///
    /// When it cannot be recorded; no job of the group may be acknowledged then.
    async fn record(
        &self,
        group: &[CompletedJob],
        at: Timestamp,
    ) -> Result<Vec<HookImage>, EngineError>;

    /// Called with what `record` answered, if that was anything, once every job of the group is acknowledged. May
    /// wait, and the committer with it.
    async fn acknowledged(&self, saved: Vec<HookImage>);
}

/// Records in a ledger, and forwards saved images to the hooks.
pub struct LedgerRecorder {
    ledger: Arc<dyn Ledger>,
    masks: Masks,
    /// When it is dropped, the hook runner knows that no more images come.
    hooks: Option<HookSender>,
}

impl LedgerRecorder {
    pub(super) fn new(ledger: Arc<dyn Ledger>, masks: Masks, hooks: Option<HookSender>) -> Self {
        Self {
            ledger,
            masks,
            hooks,
        }
    }

    /// The image, if it is new in the collection: a duplicate's file was there before.
    fn new_image(&self, CompletedJob { lease, outcome }: &CompletedJob) -> Option<HookImage> {
        match outcome {
            Outcome::Saved(Saved {
                name,
                address,
                content,
                capture: _,
            }) => {
                let job = &lease.job;
                Some(HookImage {
                    key: job.key.clone(),
                    address: address.to_string(),
                    name: name.clone(),
                    content: *content,
                    page: Some(self.masks.apply_url(&job.page).to_string()),
                    title: job.title.clone(),
                })
            }
            Outcome::Duplicate(_)
            | Outcome::AlreadyThere
            | Outcome::Gone(_)
            | Outcome::Skipped(_)
            | Outcome::Failed(_)
            | Outcome::Queued
            | Outcome::Interrupted => None,
        }
    }
}

#[async_trait]
impl Recorder for LedgerRecorder {
    async fn placing(&self, group: Vec<Intent>) -> Result<Vec<Placement>, EngineError> {
        Ok(self.ledger.placing(group).await?)
    }

    async fn record(
        &self,
        group: &[CompletedJob],
        at: Timestamp,
    ) -> Result<Vec<HookImage>, EngineError> {
        let mut records: Vec<_> = group
            .iter()
            .filter_map(|completed| ledger_record(completed, at))
            .collect();
        let mut saved = Vec::new();
        if let Some(hooks) = &self.hooks {
            let new = group
                .iter()
                .filter_map(|completed| self.new_image(completed));
            saved.extend(new);
            // In the transaction that says that they are saved: a kill must not come between the two.
            records.extend(hooks.pending(&saved));
        }
        self.ledger.record(records).await?;
        Ok(saved)
    }

    async fn acknowledged(&self, saved: Vec<HookImage>) {
        if let Some(hooks) = &self.hooks {
            hooks.send(saved).await;
        }
    }
}

/// What the ledger is to remember of an outcome, if anything.
fn ledger_record(CompletedJob { lease, outcome }: &CompletedJob, at: Timestamp) -> Option<Record> {
    let key = lease.job.key.clone();
    match outcome {
        Outcome::Saved(Saved { name, .. }) | Outcome::Duplicate(Duplicate { name, .. }) => {
            Some(Record::Saved {
                key,
                name: name.clone(),
            })
        }
        Outcome::Failed(failure) => {
            let gone_for = match failure.stage {
                Stage::Rewrite => NO_ORIGINAL_FOR,
                Stage::Fetch | Stage::Write | Stage::Verify | Stage::Place => GONE_FOR,
            };
            let until = failure
                .gone
                .then(|| at.checked_add(gone_for).unwrap_or(Timestamp::MAX));
            Some(Record::Failed {
                key,
                site: lease.job.site.clone(),
                failure: failure.clone(),
                at,
                until,
                rules: lease.job.rules,
            })
        }
        // Its page need not be read each night, nor the small image be fetched.
        Outcome::Skipped(
            skip @ Skip {
                reason: SkipReason::NoImage | SkipReason::TooSmall(_),
                ..
            },
        ) => Some(Record::Skipped {
            key,
            skip: skip.clone(),
            attempts: lease.attempt,
            at,
            until: at.checked_add(NO_ORIGINAL_FOR).unwrap_or(Timestamp::MAX),
            rules: lease.job.rules,
        }),
        Outcome::AlreadyThere
        | Outcome::Gone(_)
        | Outcome::Skipped(_)
        | Outcome::Queued
        | Outcome::Interrupted => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::batch::tests::leases;
    use crate::job::RulesHash;
    use crate::ledger::{self, KnownState};
    use crate::outcome::Failure;

    #[tokio::test]
    async fn a_404_is_gone_for_30_days_a_page_without_an_original_for_7_and_a_timeout_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let ledger: Arc<dyn Ledger> = ledger::open(directory.path(), false).unwrap().into();
        let recorder = LedgerRecorder::new(Arc::clone(&ledger), Masks::default(), None);
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let failed = |stage, gone| {
            Outcome::Failed(Failure {
                stage,
                address: "https://demo.invalid/0.png".to_owned(),
                cause: "no".to_owned(),
                attempts: 1,
                gone,
            })
        };
        let mut group = Vec::new();
        let ends = [
            (Stage::Fetch, true),
            (Stage::Rewrite, true),
            (Stage::Fetch, false),
        ];
        for (lease, (stage, gone)) in leases(3).await.into_iter().zip(ends) {
            let outcome = failed(stage, gone);
            group.push(CompletedJob { lease, outcome });
        }
        assert!(recorder.record(&group, now).await.unwrap().is_empty());
        let keys = group
            .iter()
            .map(|completed| completed.lease.job.key.clone());
        let known = ledger
            .known(keys.collect(), RulesHash::default(), now)
            .await
            .unwrap()
            .states;
        let gone_for = [Some(GONE_FOR), Some(NO_ORIGINAL_FOR), None];
        let expected = gone_for.map(|gone_for| {
            let until = now.checked_add(gone_for?).unwrap();
            Some(KnownState::Gone { since: now, until })
        });
        assert_eq!(known, expected);
    }
}
