//! The web archive as a worker's last resort: what a site has lost, the archive may have.

use url::Url;

use super::attempt::{AttemptError, AttemptErrorKind};
use super::candidates::Candidates;
use super::worker::{Fetched, Worker};
use crate::queue::Lease;

/// How many captures of one address are read at most: one that turns out to be bad is not given again.
const MAX_CAPTURES: usize = 3;

impl Worker {
    /// Fetches the image from its site, or else from the web archive, if the user wants that and the site has lost it.
    pub(super) async fn fetch_or_recover(&self, lease: &Lease) -> Result<Fetched, AttemptError> {
        let result = self.fetch(lease).await;
        match result {
            // Boxed: hardly any image needs it, and unboxed every worker would hold the room for it all the time.
            Err(error) if self.is_lost(lease, &error) => Box::pin(self.recover(lease, error)).await,
            result => result,
        }
    }

    /// Whether the site has lost the image: no further attempt helps, and the cause is not ours.
    fn is_lost(&self, lease: &Lease, error: &AttemptError) -> bool {
        let is_loss = match error.candidate().map(|(_, kind)| kind) {
            Some(AttemptErrorKind::Fetch(error)) => error.is_loss(),
            // The page that a site shows for an image that is gone, or the one for its name that is for sale.
            Some(AttemptErrorKind::Defect(defect)) => defect.is_not_an_image(),
            Some(
                AttemptErrorKind::Write(_)
                | AttemptErrorKind::NoOriginal(_)
                | AttemptErrorKind::NotFollowed(_)
                | AttemptErrorKind::OtherHost,
            )
            | None => false,
        };
        is_loss && self.retry_after(lease, error).is_none()
    }

    /// Asks the archive for one candidate after the other. Where it has none of them, `error` stays the reason.
    async fn recover(&self, lease: &Lease, error: AttemptError) -> Result<Fetched, AttemptError> {
        let (job, mut error) = (&lease.job, error);
        let mut candidates = Candidates::lost(&self.run.fetcher, &job.candidates);
        while let Some(next) = candidates.next().await {
            let address = match next {
                Ok(address) => address,
                Err((_page, kind)) if kind.leads_nowhere() => continue,
                Err((page, kind)) => return Err(failed(&page, kind)),
            };
            let address = &address;
            let Some(archived) = self.run.fetcher.archived_url(address) else {
                break;
            };
            for _ in 0..MAX_CAPTURES {
                match self.stream(job, &archived, true).await {
                    Ok((image, served)) => return Ok(self.fetched(job, address, image, served)),
                    Err(kind) if kind.is_not_archived() => break,
                    // A page in the image's place: what the site had lost was lost then.
                    Err(AttemptErrorKind::Defect(defect)) if defect.is_not_an_image() => {}
                    Err(kind) if kind.is_bad_capture() => {
                        error = failed(address, kind);
                    }
                    Err(kind) => return Err(failed(address, kind)),
                }
            }
        }
        Err(error)
    }
}

fn failed(address: &Url, kind: AttemptErrorKind) -> AttemptError {
    AttemptError::Candidate {
        address: address.clone(),
        kind,
    }
}
