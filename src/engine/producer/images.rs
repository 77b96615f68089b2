//! The images of a page: which are new, which have an original, and what becomes of the others.

use std::sync::Arc;

use url::Url;

use super::{Producer, Stop};
use crate::engine::EngineError;
use crate::engine::deferred::Unresolved;
use crate::engine::discover::{Discovery, NewImage};
use crate::engine::seen::counts;
use crate::event::{Event, ListingFailure};
use crate::job::{ImageKey, ImageRef};
use crate::ledger::KnownState;
use crate::outcome::{Outcome, Skip, SkipReason};
use crate::site::{ImageResolver, ListingPage, PageAnswer, PageRequest};

/// What became of a page's images.
pub(super) enum Enqueued {
    /// Those that are new are in the queue.
    All(PageAnswer),
    /// None has an original, on the first page with images.
    NoOriginals(ListingFailure),
    /// The run stopped first.
    Stopped,
}

impl Producer {
    /// Reports the images that no page completed.
    pub(super) async fn give_up_deferred(&mut self, stop: Stop) -> Result<Stop, EngineError> {
        let left = self.deferred.take();
        let failure = left
            .first()
            .filter(|_| self.resolved == 0 && !left.iter().any(is_elsewhere))
            .map(|(_key, thumb, why)| {
                let reason = ListingFailure::NoOriginals {
                    images: left.len(),
                    example: why.clone(),
                };
                (self.discovery.run.shown(thumb), reason)
            });
        self.report_skips(left).await?;
        Ok(match (stop, failure) {
            (Stop::Ended(page, _), Some((thumb, failure))) => {
                Stop::Failed(page.unwrap_or(thumb), failure, None)
            }
            (stop, _) => stop,
        })
    }

    /// Enqueues what is new on a page. Returns what its images were to this run, or why the listing stops here.
    pub(super) async fn enqueue_page(
        &mut self,
        request: &PageRequest,
        shown: &Url,
        listing: ListingPage,
    ) -> Result<Enqueued, EngineError> {
        let (without_thumb, unusable) = (listing.health.without_thumb, listing.health.unusable);
        // Where answers are partial, another one has what these items lack.
        if without_thumb + unusable > 0 && !self.deferred.is_on() {
            self.discovery
                .run
                .events
                .emit(Event::ItemsUnusable {
                    page: shown.clone(),
                    without_thumb,
                    unusable,
                })
                .await;
        }
        let left_out = listing.health.filtered;
        // One for the whole page, whose cost it counts.
        let site = Arc::clone(&self.site);
        let resolver = site.resolver();
        let images = listing.images.len();
        let Unseen {
            images: mut unseen,
            unresolved,
            completed,
        } = self.resolve_unseen(&resolver, listing.images);
        self.resolved += unseen.len();
        let new = unseen.len() + unresolved.len();
        // An image that an earlier page showed without an original was found there.
        let (found, repeated) = (new - completed, images - new);
        let known = self
            .discovery
            .look_up(&mut unseen, move |image, candidates, masks| {
                resolver.stem(image, candidates, masks)
            })
            .await?;
        let (already_there, gone) = counts(&known);
        let counts = [found, already_there, gone, repeated, left_out];
        self.emit_page_read(request, shown.clone(), counts).await;
        // Only for the first page with images: if no rule matches there, the rules no longer fit the site. Later
        // pages may hold odd images, each of which is skipped.
        let failure = unresolved
            .first()
            .filter(|_| self.pages == 1 && unseen.is_empty() && !self.deferred.is_on())
            // An image on a host that the user does not want shows that the rules fit.
            .filter(|_| !unresolved.iter().any(is_elsewhere))
            .map(|(_key, _thumb, why)| ListingFailure::NoOriginals {
                images: found,
                example: why.clone(),
            });
        let unresolved = self.deferred.keep(unresolved);
        self.report_skips(unresolved).await?;
        if let Some(failure) = failure {
            return Ok(Enqueued::NoOriginals(failure));
        }
        for (image, known) in unseen.into_iter().zip(known) {
            match known {
                None => {}
                Some(KnownState::Saved | KnownState::Gone { .. }) => continue,
                Some(KnownState::Skipped(reason)) => {
                    self.discovery.report_skip(image, reason, false).await;
                    continue;
                }
            }
            if !self.discovery.send(self.discovery.job(image)).await? {
                return Ok(Enqueued::Stopped);
            }
        }
        if !self.discovery.flush().await? {
            return Ok(Enqueued::Stopped);
        }
        Ok(Enqueued::All(PageAnswer::Items { new, repeated }))
    }

    /// Reports the images of a page that have no original, each as new if no earlier run skipped it for this reason.
    async fn report_skips(&self, unresolved: Vec<Unresolved>) -> Result<(), EngineError> {
        // Most pages skip nothing, and are spared the ledger's transaction.
        if unresolved.is_empty() {
            return Ok(());
        }
        let Discovery { run, ledger, .. } = &self.discovery;
        let skips = unresolved
            .iter()
            .map(|(key, _thumb, reason)| (key.clone(), reason.to_string()))
            .collect();
        let are_new = ledger.note_skips(skips, (run.clock)()).await?;
        for ((key, thumb, reason), new) in unresolved.into_iter().zip(are_new) {
            let address = run.shown(&thumb).into();
            let outcome = Outcome::Skipped(Skip {
                address,
                reason,
                new,
            });
            run.events.emit(Event::ImageFinished { key, outcome }).await;
        }
        Ok(())
    }

    /// Drops the images that this run has seen, and finds the originals of the others.
    fn resolve_unseen(&mut self, of_page: &ImageResolver<'_>, mut images: Vec<ImageRef>) -> Unseen {
        let (site, fetcher) = (&self.site, &self.discovery.run.fetcher);
        fetcher.canonicalize(&mut images);
        let masks = fetcher.masks();
        let asks_again = self.discovery.options.retry_gone;
        let mut unseen = Unseen {
            images: Vec::with_capacity(images.len()),
            ..Unseen::default()
        };
        for image in images {
            let resolved = of_page.resolve(&image, masks);
            let key = resolved.as_ref().map_or_else(
                |_| site.key_without_original(&image, masks),
                |resolved| resolved.key.clone(),
            );
            let is_new = self.seen.insert(&key);
            match resolved {
                Ok(resolved) if is_new || self.deferred.complete(&key) => {
                    unseen.completed += usize::from(!is_new);
                    unseen
                        .images
                        .push(NewImage::new(image, resolved, asks_again));
                }
                Err(mut why) if is_new => {
                    why.mask(masks);
                    unseen.unresolved.push((key, image.thumb, why));
                }
                Ok(_) | Err(_) => {}
            }
        }
        unseen
    }
}

fn is_elsewhere((_key, _thumb, why): &(ImageKey, Url, SkipReason)) -> bool {
    matches!(why, SkipReason::OtherHost(_))
}

/// A page's images that this run had not seen, or not with an original.
#[derive(Default)]
struct Unseen {
    /// Those with an original.
    images: Vec<NewImage>,
    /// Those without an original to request.
    unresolved: Vec<Unresolved>,
    /// Images with an original that an earlier page had shown without one.
    completed: usize,
}
