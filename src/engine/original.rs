//! What a finished part must be to count as the original.

use super::attempt::AttemptErrorKind;
use crate::job::Job;
use crate::outcome::{Content, ImageWarning};
use crate::part::Part;
use crate::verify::{Defect, Inspector, RejectedImage, VerifiedImage, verify};

/// Verifies the bytes, and that they are large enough to be an original's. `length` is what the server announced. No
/// part stays of an image that is too small.
pub(super) fn verify_original(
    job: &Job,
    part: Part<Inspector>,
    length: Option<u64>,
) -> Result<VerifiedImage, AttemptErrorKind> {
    let image = verify(part.finish()?, length)
        .map_err(|RejectedImage { defect, .. }| AttemptErrorKind::Defect(defect))?;
    let (min_width, min_height) = (job.limits.min_width, job.limits.min_height);
    let Content { width, height, .. } = *image.content();
    if width < min_width || height < min_height {
        image.into_file().discard();
        return Err(AttemptErrorKind::Defect(Defect::TooSmall {
            width,
            height,
            min_width,
            min_height,
        }));
    }
    Ok(image)
}

/// What is wrong with the image if it happened on the way, and is no matter if the server has it so.
pub(super) fn doubt(image: &VerifiedImage) -> Option<Defect> {
    match image.content().warning? {
        ImageWarning::BadAncillaryChecksum { chunk } => Some(Defect::BadChecksum {
            chunk: chunk.to_string(),
        }),
        ImageWarning::BytesBetweenSegments => None,
    }
}
