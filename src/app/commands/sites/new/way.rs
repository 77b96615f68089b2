//! The way from an item to its original: theories, each held against the bytes of an image.

use std::collections::BTreeSet;

use url::Url;

use super::super::live::load_image;
use super::{Author, page_text, say};
use crate::app::blocking::blocking;
use crate::app::targets::user_origins;
use crate::fetch::{Fetcher, Page};
use crate::site::learn::{
    self, BlockGuess, Draft, FullGuess, ItemGuess, OriginalGuess, RewriteGuess, SourceGuess,
};

/// Items whose links are followed.
const SAMPLE: usize = 5;

/// A page behind an item that shows so many images of one kind may be an album.
const ALBUM_IMAGES: usize = 4;

/// An image this wide may be an original though no smaller one is known.
const ORIGINAL_WIDTH: u32 = 1_000;

/// A rewrite that explains so many pairs is trusted.
const TRUSTED_PAIRS: usize = 3;

impl Author<'_> {
    /// Adds the ways to the originals to the draft; whether there is one.
    pub(super) async fn find_way(
        &self,
        draft: &mut Draft,
        block: &BlockGuess,
        page: &Page,
    ) -> anyhow::Result<bool> {
        let sample: Vec<_> = block.items.iter().take(SAMPLE).cloned().collect();
        let thumbs = block.items.iter().filter_map(|item| item.thumb.as_ref());
        thumbs.for_each(|thumb| draft.add_host(thumb));
        if let Some(original) = &self.wanted.original {
            return Ok(Self::by_original(draft, block, original));
        }
        let fetcher = self.fetcher(page, &sample, &[])?;
        let judge = Judge::new(self, &fetcher, &sample).await;
        for (at, source) in block.others.iter().enumerate() {
            let urls = sample
                .iter()
                .filter_map(|item| item.others.get(at)?.clone());
            let urls: Vec<_> = urls.collect();
            if let Some(facts) = judge.accepts(urls.first()).await {
                draft.add_field("original", source);
                let because = format!("an address in each item, {facts}");
                return Ok(Self::field(draft, "original", because, &urls));
            }
        }
        let links = sample.iter().filter_map(|item| item.link.clone());
        let links: Vec<_> = links.collect();
        if links
            .iter()
            .filter(|link| learn::has_image_path(link))
            .count()
            * 2
            > links.len()
            && let Some(facts) = judge.accepts(links.first()).await
        {
            let because = format!("the items link to images, {facts}");
            return Ok(Self::field(draft, "link", because, &links));
        }
        if Box::pin(self.by_details(draft, page, &sample)).await? {
            return Ok(true);
        }
        if let Some((rule, facts)) = judge.custom(&sample).await {
            let because = format!("guess: what thumbs commonly have more is cut, {facts}");
            draft.full.push(FullGuess::Rewrite {
                from: "thumb".to_owned(),
                rule,
                because,
            });
            return Ok(true);
        }
        match (
            judge.thumb_size,
            sample.first().and_then(|item| item.thumb.clone()),
        ) {
            (Some((width, height)), Some(thumb)) if width >= ORIGINAL_WIDTH => {
                let because =
                    format!("guess: nothing larger than the shown {width}x{height} was found");
                Ok(Self::field(draft, "thumb", because, &[thumb]))
            }
            _ => Ok(false),
        }
    }

    /// Adds a field as the way to the original.
    fn field(draft: &mut Draft, name: &str, because: String, originals: &[Url]) -> bool {
        say(&format!("originals: {because}"));
        for url in originals {
            draft.add_host(url);
        }
        draft.names_are_alike = are_alike(originals);
        draft.full.push(FullGuess::Field {
            name: name.to_owned(),
            because,
        });
        true
    }

    /// The way by which the user's example is reached from the item that it belongs to.
    fn by_original(draft: &mut Draft, block: &BlockGuess, original: &Url) -> bool {
        draft.add_host(original);
        if block
            .items
            .iter()
            .any(|item| item.link.as_ref() == Some(original))
        {
            let because = "your original is what its item links to".to_owned();
            return Self::field(draft, "link", because, &[]);
        }
        for (at, source) in block.others.iter().enumerate() {
            let has =
                |item: &ItemGuess| item.others.get(at).and_then(Option::as_ref) == Some(original);
            if block.items.iter().any(has) {
                draft.add_field("original", source);
                let because = "your original is an address in its item".to_owned();
                return Self::field(draft, "original", because, &[]);
            }
        }
        let both = |item: &ItemGuess| [("thumb", item.thumb.clone()), ("link", item.link.clone())];
        let starts = block.items.iter().flat_map(both);
        let nearest = starts
            .filter_map(|(from, url)| Some((from, url?)))
            .max_by_key(|(_, url)| learn::likeness(url, original));
        let Some((from, start)) = nearest else {
            return false;
        };
        let mut rules = learn::rewrites(&[(start.clone(), original.clone())]);
        let Some(rule) = rules.pop() else {
            say("no rule leads from an item of this page to your original");
            return false;
        };
        let because = format!("guess: learned from one example, {start} -> {original}");
        say(&format!("originals: {because}"));
        draft.full.push(FullGuess::Rewrite {
            from: from.to_owned(),
            rule,
            because,
        });
        true
    }

    /// The way over the pages that the items link to, and where their originals can be told from the thumbs, the way
    /// that does without them.
    async fn by_details(
        &self,
        draft: &mut Draft,
        page: &Page,
        sample: &[ItemGuess],
    ) -> anyhow::Result<bool> {
        let fetcher = self.fetcher(page, sample, &[])?;
        let mut items = Vec::new();
        let mut pages: Vec<Vec<OriginalGuess>> = Vec::new();
        let mut album = None;
        for item in sample {
            let link = item.link.clone().filter(|link| same_site(link, &page.url));
            let Some(link) = link else { continue };
            match fetcher.page(&link).await {
                Ok(detail) => {
                    let about = item.clone();
                    let (found, images) = blocking(move || {
                        let text = page_text(&detail);
                        let images = learn::page(&detail.url, text).unwrap_or_default();
                        let images = images.blocks.first().map_or(0, |block| block.items.len());
                        (learn::originals(&detail.url, text, &about), images)
                    })
                    .await;
                    items.push(item);
                    pages.push(found.unwrap_or_default());
                    if images >= ALBUM_IMAGES {
                        album.get_or_insert((link, images));
                    }
                }
                Err(error) => say(&format!("{link}: {error}")),
            }
        }
        if pages.is_empty() {
            return Ok(false);
        }
        for SourceGuess {
            source,
            largest,
            originals,
            ..
        } in learn::best_sources(&pages)
        {
            let found: Vec<_> = originals.iter().flatten().cloned().collect();
            let fetcher = self.fetcher(page, sample, &found)?;
            let judge = Judge::new(self, &fetcher, sample).await;
            let Some(facts) = judge.accepts(found.first()).await else {
                continue;
            };
            for url in &found {
                draft.add_host(url);
            }
            draft.names_are_alike = are_alike(&found);
            let pairs: Vec<_> = items
                .iter()
                .zip(&originals)
                .filter_map(|(item, original)| Some((item.thumb.clone()?, original.clone()?)))
                .collect();
            for rule in learn::rewrites(&pairs) {
                let RewriteGuess { explained, .. } = rule;
                if explained < TRUSTED_PAIRS.min(pairs.len()) {
                    continue;
                }
                let because = format!(
                    "guess: gives the originals of {explained} of {} detail pages from their thumbs",
                    pairs.len()
                );
                say(&format!("originals: {because}"));
                let from = "thumb".to_owned();
                draft.full.push(FullGuess::Rewrite {
                    from,
                    rule,
                    because,
                });
            }
            let because = format!(
                "found on {} of {} detail pages, {facts}",
                found.len(),
                pages.len()
            );
            say(&format!("originals: `{source}` {because}"));
            draft.full.push(FullGuess::Follow {
                find: vec![(source, largest)],
                because,
            });
            return Ok(true);
        }
        if let Some((link, images)) = album {
            say(&format!(
                "{link} shows {images} images: if it is an album, draft a definition from that page, and let \
                 `listing.through` lead to the albums from this one"
            ));
        }
        Ok(false)
    }

    /// A fetcher for the page's host, and for those of what was found on it. Only the origin that the user named may be
    /// private.
    fn fetcher(
        &self,
        page: &Page,
        items: &[ItemGuess],
        further: &[Url],
    ) -> anyhow::Result<Fetcher> {
        let found = items.iter().flat_map(|item| {
            let own = item.thumb.iter().chain(&item.link);
            own.chain(item.others.iter().flatten())
        });
        let hosts = found.chain(further).filter_map(|url| url.host_str());
        let hosts: BTreeSet<_> = hosts.map(str::to_owned).collect();
        let origins = user_origins(&page.url, &self.wanted.url, hosts.into_iter().collect());
        Ok(Fetcher::new(&self.settings.fetch, &origins, None)?)
    }
}

/// Holds what may be an original against the thumb of the first item.
struct Judge<'a> {
    author: &'a Author<'a>,
    fetcher: &'a Fetcher,
    thumb_size: Option<(u32, u32)>,
}

impl<'a> Judge<'a> {
    async fn new(author: &'a Author<'a>, fetcher: &'a Fetcher, sample: &[ItemGuess]) -> Self {
        let mut judge = Self {
            author,
            fetcher,
            thumb_size: None,
        };
        let thumb = sample.first().and_then(|item| item.thumb.as_ref());
        if let Some(thumb) = thumb {
            judge.thumb_size = judge.size(thumb).await.ok();
        }
        judge
    }

    async fn size(&self, url: &Url) -> Result<(u32, u32), String> {
        let image = load_image(self.fetcher, url, None, self.author.settings.limits).await?;
        Ok((image.content.width, image.content.height))
    }

    /// What is known of the image at `url`, if it is larger than its thumb.
    async fn accepts(&self, url: Option<&Url>) -> Option<String> {
        let url = url?;
        match (self.size(url).await, self.thumb_size) {
            (Ok((width, height)), Some(thumb)) if (width, height) > thumb => Some(format!(
                "{width}x{height} where the thumb has {}x{}",
                thumb.0, thumb.1
            )),
            (Ok((width, height)), None) => Some(format!("{width}x{height}")),
            (Ok((width, height)), Some(_)) => {
                say(&format!(
                    "{url}: {width}x{height} is not larger than the thumb"
                ));
                None
            }
            (Err(reason), _) => {
                say(&format!("{url}: {reason}"));
                None
            }
        }
    }

    /// A rule that undoes a custom of thumbs, if it leads to a larger image from the first item.
    async fn custom(&self, sample: &[ItemGuess]) -> Option<(RewriteGuess, String)> {
        let thumb = sample.first()?.thumb.as_ref()?;
        for rule in learn::without_size(thumb) {
            let url = rule
                .apply(thumb.as_str())
                .and_then(|url| Url::parse(&url).ok());
            if let Some(facts) = self.accepts(url.as_ref()).await {
                return Some((rule, facts));
            }
        }
        None
    }
}

/// Whether two addresses are on one host, or on hosts of one domain.
fn same_site(one: &Url, other: &Url) -> bool {
    let domain = |url: &Url| {
        let host = url.host_str().unwrap_or_default().to_owned();
        match url.domain() {
            Some(name) => {
                let labels: Vec<_> = name.rsplit('.').take(2).collect();
                labels.join(".")
            }
            None => host,
        }
    };
    domain(one) == domain(other)
}

/// Whether the last parts of different addresses are alike, so that they cannot name files.
fn are_alike(urls: &[Url]) -> bool {
    let last = |url: &Url| url.path().rsplit('/').next().map(str::to_owned);
    let names: BTreeSet<_> = urls.iter().map(last).collect();
    urls.len() > 1 && names.len() < urls.len()
}
