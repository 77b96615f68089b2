//! What is asked for where an earlier attempt has left a part of an image.

use url::Url;

use super::attempt::AttemptErrorKind;
use super::worker::Worker;
use crate::fetch::Body;
use crate::job::Job;
use crate::part::{Part, ResumeInfo};
use crate::verify::{Inspector, Limits};

impl Worker {
    /// Begins the image's part, or continues the one that an earlier attempt left for the same address; then with the
    /// facts that the server must confirm before anything is added to it.
    pub(super) fn begin(
        &self,
        job: &Job,
        address: &Url,
    ) -> Result<(Part<Inspector>, Option<ResumeInfo>), AttemptErrorKind> {
        let limits = Limits {
            max_pixels: job.limits.max_pixels.min(self.limits.max_pixels),
        };
        let (part, resume) = self.staging.parts().begin(
            &job.key,
            Inspector::comparing(limits, job.declared.as_deref()),
        )?;
        let stored = self.run.fetcher.masks().apply_url(address);
        Ok((part, resume.filter(|info| info.address == stored.as_str())))
    }

    /// Requests the bytes that `part` lacks, if the server still has the image that `resume` describes; otherwise the
    /// whole image. `page` shows it.
    pub(super) async fn request(
        &self,
        (address, page): (&Url, &Url),
        part: &mut Part<Inspector>,
        resume: Option<&ResumeInfo>,
        has_next: bool,
    ) -> Result<Body, AttemptErrorKind> {
        let fetcher = &self.run.fetcher;
        let body = match fetcher
            .candidate(
                address,
                Some(page),
                resume.map(|info| (info, part.received())),
                has_next,
            )
            .await
        {
            // Boxed, so that the rare second request does not double the size of every worker's task.
            Err(error) if error.is_stale_part() => {
                Box::pin(fetcher.candidate(address, Some(page), None, has_next)).await?
            }
            answer => answer?,
        };
        // The server sent the whole image instead of the rest.
        if body.from() != part.received() {
            part.restart()?;
        }
        Ok(body)
    }
}

/// What a server says about the image at `address`, as it is stored, beside its bytes, and whether a later attempt may resume it: only with a strong
/// validator (RFC 9110, 13.1.5) and a known length.
pub(super) fn resume_info(address: &Url, body: &Body) -> (ResumeInfo, bool) {
    let info = ResumeInfo {
        address: address.to_string(),
        etag: body.etag().map(str::to_owned),
        last_modified: body.last_modified().map(str::to_owned),
        length: body.length().unwrap_or_default(),
        file_name: body.file_name(),
        capture: body.capture().cloned(),
    };
    let resumable = body.strong_etag().is_some() && body.length().is_some();
    (info, resumable)
}
