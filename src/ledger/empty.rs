//! A ledger that knows no image and keeps none: for `urls`, and for `--dry-run` where there is no collection yet.

use std::ops::ControlFlow;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    Intent, Known, Ledger, LedgerError, LedgerRow, PendingHooks, PendingImageHooks,
    PendingPlacement, Placement, Record, Selection, Stats, StoredFile,
};
use crate::job::{ImageKey, ImageName, RulesHash, Stem};
use crate::outcome::Content;

/// A ledger without rows. It refuses to be written, so that a run that saves images by mistake fails rather than
/// forgets them.
#[derive(Debug)]
pub(super) struct Empty;

#[async_trait]
impl Ledger for Empty {
    async fn known(
        &self,
        images: Vec<ImageKey>,
        _rules: RulesHash,
        _now: Timestamp,
    ) -> Result<Known, LedgerError> {
        Ok(Known {
            states: vec![None; images.len()],
            has_adopted: false,
        })
    }

    async fn adopted(&self, images: Vec<(ImageKey, Stem)>) -> Result<Vec<bool>, LedgerError> {
        Ok(vec![false; images.len()])
    }

    async fn placing(&self, _group: Vec<Intent>) -> Result<Vec<Placement>, LedgerError> {
        Err(LedgerError::Empty)
    }

    async fn record(&self, _group: Vec<Record>) -> Result<(), LedgerError> {
        Err(LedgerError::Empty)
    }

    async fn adopt(&self, _files: Vec<(ImageName, Content)>) -> Result<usize, LedgerError> {
        Err(LedgerError::Empty)
    }

    async fn pending(&self) -> Result<Vec<PendingPlacement>, LedgerError> {
        Ok(Vec::new())
    }

    fn each(
        &self,
        _selection: &Selection,
        _row: &mut dyn FnMut(LedgerRow) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        Ok(())
    }

    fn files(&self) -> Result<Vec<StoredFile>, LedgerError> {
        Ok(Vec::new())
    }

    async fn forget(
        &self,
        _files: Vec<(ImageName, String)>,
        _at: Timestamp,
    ) -> Result<(), LedgerError> {
        Err(LedgerError::Empty)
    }

    async fn note_skips(
        &self,
        skips: Vec<(ImageKey, String)>,
        _at: Timestamp,
    ) -> Result<Vec<bool>, LedgerError> {
        Ok(vec![true; skips.len()])
    }

    async fn pending_hooks(&self) -> Result<PendingHooks, LedgerError> {
        Ok(PendingHooks::default())
    }

    async fn pending_image_hooks(
        &self,
        _below: i64,
        _limit: usize,
    ) -> Result<Vec<PendingImageHooks>, LedgerError> {
        Ok(Vec::new())
    }

    fn stats(&self) -> Result<Stats, LedgerError> {
        Ok(Stats::default())
    }
}

#[cfg(test)]
mod tests {
    use crate::job::RulesHash;
    use crate::ledger::contract::{intent, key, name};
    use crate::ledger::{Known, LedgerError, empty};

    #[tokio::test]
    async fn an_empty_ledger_knows_no_image_and_refuses_to_keep_one() {
        let ledger = empty();
        let asked = vec![key("1.png")];
        let now = jiff::Timestamp::UNIX_EPOCH;
        let known = ledger.known(asked, RulesHash::default(), now).await;
        let nothing = Known {
            states: vec![None],
            has_adopted: false,
        };
        assert_eq!(known.unwrap(), nothing);
        let asked = vec![(key("1.png"), name("a.png").stem())];
        assert_eq!(ledger.adopted(asked).await.unwrap(), [false]);
        let refused = ledger.placing(vec![intent("1.png", "a.png", 1)]).await;
        assert!(matches!(refused, Err(LedgerError::Empty)), "{refused:?}");
        let skips = vec![(key("1.png"), "no rule".to_owned())];
        assert_eq!(ledger.note_skips(skips, now).await.unwrap(), [true]);
    }
}
