//! The addresses that may have an image's original. A page among the candidates is read when its turn comes, and what
//! it leads to is tried in its place.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use url::Url;

use super::attempt::AttemptErrorKind;
use super::{Run, joined};
use crate::fetch::{Fetcher, Page};
use crate::job::{Candidate, Follow, FollowRule};
use crate::outcome::{Outcome, Skip, SkipReason};
use crate::site::{self, PageText};

/// The most pages that lead one to the next: what a definition may nest.
const MAX_HOPS: usize = 3;

/// The most addresses that are requested for one image, pages among them: no page may send us all over its site.
const MAX_CANDIDATES: usize = 20;

/// A walk over an image's candidates, in the order in which they stand in its job and on its pages.
///
/// That order never changes, not even where the second candidate of all images before this one was theirs: the first
/// candidate is the better image where a site has both, and a run must not depend on what an earlier image met. The
/// price is a request an image, once.
pub(super) struct Candidates {
    fetcher: Arc<Fetcher>,
    /// The next one is the last; each with the number of pages that led to it.
    left: Vec<(Candidate, usize)>,
    /// Every address that had its turn.
    tried: Vec<Url>,
    /// How many more had it before the job came to this host.
    tried_before: usize,
    pages: PagesFrom,
    /// The only host that may be asked, as [`Job::host`] writes it.
    ///
    /// [`Job::host`]: crate::job::Job::host
    only_host: Option<String>,
    /// [`site::follow`], but for tests.
    follow: FollowFn,
}

/// How pages among the candidates are read.
#[derive(Clone, Copy)]
enum PagesFrom {
    /// Once, from the site: another attempt at the image requests them again.
    Site,
    /// From the site, with retries.
    SiteWithRetries,
    /// Once, from the web archive where it has them.
    Archive,
}

/// Finds the candidates on a page.
type FollowFn = fn(&FollowRule, &Url, PageText<'_>) -> Result<Vec<Candidate>, SkipReason>;

impl Candidates {
    pub(super) fn new(fetcher: &Arc<Fetcher>, candidates: &[Candidate]) -> Self {
        Self {
            fetcher: Arc::clone(fetcher),
            left: candidates
                .iter()
                .rev()
                .cloned()
                .map(|found| (found, 0))
                .collect(),
            tried: Vec::new(),
            tried_before: 0,
            pages: PagesFrom::Site,
            only_host: None,
            follow: site::follow,
        }
    }

    /// From now on a candidate on another host is [`AttemptErrorKind::OtherHost`], and stays among those that are left.
    /// `tried_before` of the others had their turn there.
    pub(super) fn stay_on(&mut self, host: String, tried_before: usize) {
        self.only_host = Some(host);
        self.tried_before = tried_before;
    }

    /// How many candidates had their turn, on other hosts as well.
    pub(super) fn tried(&self) -> usize {
        self.tried_before.saturating_add(self.tried.len())
    }

    /// The candidates that had no turn, in their order.
    pub(super) fn left(self) -> Vec<Candidate> {
        let untried = self.left.into_iter().rev().map(|(candidate, _)| candidate);
        untried
            .filter(|candidate| !self.tried.contains(candidate.url()))
            .collect()
    }

    /// The same for an image that its site has lost: pages come from the web archive.
    pub(super) fn lost(fetcher: &Arc<Fetcher>, candidates: &[Candidate]) -> Self {
        Self {
            pages: PagesFrom::Archive,
            ..Self::new(fetcher, candidates)
        }
    }

    /// Whether another candidate follows the one that was returned last.
    pub(super) fn has_next(&self) -> bool {
        self.tried() < MAX_CANDIDATES
            && self
                .left
                .iter()
                .any(|(candidate, _)| !self.tried.contains(candidate.url()))
    }

    /// The next address that may have the original, or a page that led to none: which, and why. `None` after the last.
    pub(super) async fn next(&mut self) -> Option<Result<Url, (Url, AttemptErrorKind)>> {
        while self.tried() < MAX_CANDIDATES {
            let (candidate, hops) = self.left.pop()?;
            if self.tried.contains(candidate.url()) {
                continue;
            }
            let is_elsewhere = |only: &String| *only != candidate.host();
            if self.only_host.as_ref().is_some_and(is_elsewhere) {
                let address = candidate.url().clone();
                self.left.push((candidate, hops));
                return Some(Err((address, AttemptErrorKind::OtherHost)));
            }
            self.tried.push(candidate.url().clone());
            let follow = match candidate {
                Candidate::Direct(address) => return Some(Ok(address)),
                Candidate::Follow(follow) => follow,
            };
            // Boxed: most images need no page, and every worker would hold the room for one.
            let found = match Box::pin(self.read(&follow, hops)).await {
                Ok(found) => found,
                Err(kind) => return Some(Err((follow.page, kind))),
            };
            let found = found.into_iter().rev().map(|found| (found, hops + 1));
            self.left.extend(found);
        }
        None
    }

    /// Reads a page, and returns the candidates on it: at least one that was not tried before.
    async fn read(&self, follow: &Follow, hops: usize) -> Result<Vec<Candidate>, AttemptErrorKind> {
        if hops == MAX_HOPS {
            let why = format!("{MAX_HOPS} pages led to it, and no more are followed");
            return Err(AttemptErrorKind::NotFollowed(why));
        }
        let page = match self.pages {
            PagesFrom::Site => {
                let has_next = self.has_next();
                self.fetcher.candidate_page(&follow.page, has_next).await?
            }
            PagesFrom::SiteWithRetries => self.fetcher.page(&follow.page).await?,
            PagesFrom::Archive => match self.fetcher.lost_page(&follow.page).await {
                Some(page) => page?,
                None => return Err(AttemptErrorKind::NoOriginal(None)),
            },
        };
        let url = page.url.clone();
        let mut found = candidates_on(page, follow, self.follow).await?;
        self.fetcher.canonicalize_candidates(&url, &mut found);
        found.retain(|candidate| !self.tried.contains(candidate.url()));
        if found.is_empty() {
            return Err(AttemptErrorKind::NoOriginal(None));
        }
        Ok(found)
    }
}

/// Looks for candidates on a page, on a thread for blocking work: a page may be so large that every other image would
/// have to wait for it.
async fn candidates_on(
    page: Page,
    Follow { page: _, rule }: &Follow,
    follow: FollowFn,
) -> Result<Vec<Candidate>, AttemptErrorKind> {
    let rule = rule.clone();
    let reading = spawn_blocking(move || {
        let text = PageText {
            text: &page.text,
            encoding: page.encoding,
            is_xml: page.is_xml,
        };
        follow(&rule, &page.url, text)
    });
    joined(reading.await).map_err(|why| match why {
        SkipReason::NoRule => AttemptErrorKind::NoOriginal(None),
        SkipReason::Address(_)
        | SkipReason::OtherHost(_)
        | SkipReason::ErrorRule(_)
        | SkipReason::NoImage
        | SkipReason::TooSmall(_)
        | SkipReason::InQueue
        | SkipReason::DryRun => AttemptErrorKind::NoOriginal(Some(why)),
    })
}

/// The address of an image's original, as far as it can be told without requesting that: its first candidate, or the
/// first that a page leads to. `None` where there is no candidate at all.
///
/// # Errors
///
/// When no page leads to one: the image's outcome.
pub async fn first_original(run: &Run, candidates: &[Candidate]) -> Result<Option<Url>, Outcome> {
    let mut candidates = Candidates {
        pages: PagesFrom::SiteWithRetries,
        ..Candidates::new(&run.fetcher, candidates)
    };
    let mut failure = None;
    while let Some(next) = candidates.next().await {
        match next {
            Ok(address) => return Ok(Some(address)),
            Err((page, AttemptErrorKind::NoOriginal(Some(reason @ SkipReason::NoImage)))) => {
                failure = Some(Outcome::Skipped(Skip::new(run.shown(&page), reason)));
            }
            Err((page, kind)) => {
                failure = Some(Outcome::Failed(kind.into_failure(run.shown(&page), 1)));
            }
        }
    }
    failure.map_or(Ok(None), Err)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{LazyLock, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::fetch::scripted::{Reply, Server, path_of};
    use crate::outcome::Stage;

    /// The candidates of a page on which each line is a word and a path: `image /a.png`, `page /view/1`, `refused /x`.
    fn follow_lines(
        rule: &FollowRule,
        page: &Url,
        body: PageText<'_>,
    ) -> Result<Vec<Candidate>, SkipReason> {
        let mut found = Vec::new();
        for (word, path) in body.text.lines().filter_map(|line| line.split_once(' ')) {
            let url = page.join(path).unwrap();
            let rule = rule.clone();
            found.push(match word {
                "image" => Candidate::Direct(url),
                "page" => Candidate::Follow(Follow { page: url, rule }),
                _ => return Err(SkipReason::Address(format!("{path} is refused"))),
            });
        }
        if found.is_empty() {
            return Err(SkipReason::NoRule);
        }
        Ok(found)
    }

    fn page(server: &Server, path: &str) -> Candidate {
        Candidate::Follow(Follow {
            page: server.url(path),
            rule: FollowRule::from_toml(""),
        })
    }

    fn image(server: &Server, path: &str) -> Candidate {
        Candidate::Direct(server.url(path))
    }

    async fn gallery() -> Server {
        Server::start(|head| match path_of(head) {
            "/two" => Reply::ok("image /1.png\nimage /2.png"),
            "/onward" => Reply::ok("page /two\nimage /3.png"),
            "/empty" => Reply::ok("video"),
            "/refused" => Reply::ok("refused http://elsewhere.invalid/"),
            "/circle" => Reply::ok("page /circle"),
            "/hop1" => Reply::ok("page /hop2"),
            "/hop2" => Reply::ok("page /hop3"),
            "/hop3" => Reply::ok("page /hop4\nimage /late.png"),
            "/many" => Reply::ok(
                (0..100).fold(String::new(), |page, n| page + &format!("image /{n}.png\n")),
            ),
            "/busy" => Reply::new(503, &[], ""),
            _ => Reply::new(404, &[], ""),
        })
        .await
    }

    fn walk(server: &Server, candidates: &[Candidate]) -> Candidates {
        Candidates {
            follow: follow_lines,
            ..Candidates::new(&Arc::new(server.fetcher()), candidates)
        }
    }

    /// Every step of a walk: the path of an address, or of a page with what was wrong with it.
    async fn steps(server: &Server, candidates: &[Candidate]) -> Vec<String> {
        let mut walk = walk(server, candidates);
        let mut steps = Vec::new();
        while let Some(next) = walk.next().await {
            steps.push(match next {
                Ok(address) => address.path().to_owned(),
                Err((page, kind)) => format!("{}: {kind}", page.path()),
            });
        }
        assert!(!walk.has_next());
        steps
    }

    #[tokio::test]
    async fn what_a_page_leads_to_is_tried_in_its_place_over_two_hops() {
        let server = gallery().await;
        let candidates = [
            image(&server, "/0.png"),
            page(&server, "/onward"),
            image(&server, "/4.png"),
        ];
        assert_eq!(
            steps(&server, &candidates).await,
            ["/0.png", "/1.png", "/2.png", "/3.png", "/4.png"]
        );
        let candidates = Candidates::new(&Arc::new(server.fetcher()), &candidates[..1]);
        assert!(candidates.has_next());
    }

    #[tokio::test]
    async fn no_page_is_read_before_its_turn() {
        let server = gallery().await;
        let mut walk = walk(&server, &[image(&server, "/0.png"), page(&server, "/two")]);
        assert!(walk.next().await.is_some_and(|next| next.is_ok()));
        assert!(walk.has_next());
        assert_eq!(server.heads().len(), 0);
    }

    #[tokio::test]
    async fn a_page_without_an_original_is_named_and_the_next_candidate_follows() {
        let server = gallery().await;
        let paths = ["/empty", "/refused", "/gone", "/busy"];
        let mut candidates = paths.map(|path| page(&server, path)).to_vec();
        candidates.push(image(&server, "/a.png"));
        let host = server.url("/").authority().to_owned();
        assert_eq!(
            steps(&server, &candidates).await,
            [
                "/empty: no original found on it".to_owned(),
                "/refused: no original found on it: address not allowed: http://elsewhere.invalid/ is refused"
                    .to_owned(),
                format!("/gone: `{host}` answered 404"),
                format!("/busy: `{host}` answered 503"),
                "/a.png".to_owned(),
            ]
        );
        let mut walk = walk(&server, &candidates);
        let mut gone = Vec::new();
        while let Some(next) = walk.next().await {
            gone.extend(
                next.err()
                    .map(|(_, kind)| (kind.is_gone(), kind.is_absence())),
            );
        }
        let failure = AttemptErrorKind::NoOriginal(None).into_failure("https://demo.invalid/1/", 1);
        assert_eq!((failure.stage, failure.gone), (Stage::Rewrite, true));
        let expected = [(true, true), (false, true), (true, true), (false, false)];
        assert_eq!(
            gone, expected,
            "whether it is gone, and whether the next is tried"
        );
    }

    #[tokio::test]
    async fn a_circle_of_pages_and_a_fourth_hop_are_not_followed() {
        let server = gallery().await;
        assert_eq!(
            steps(&server, &[page(&server, "/circle")]).await,
            ["/circle: no original found on it"]
        );
        assert_eq!(
            steps(&server, &[page(&server, "/hop1")]).await,
            [
                "/hop4: 3 pages led to it, and no more are followed",
                "/late.png"
            ]
        );
        assert_eq!(server.request_count("/hop4"), 0);
    }

    #[tokio::test]
    async fn a_page_full_of_addresses_makes_twenty_candidates_at_most_and_none_twice() {
        let server = gallery().await;
        let candidates = [
            image(&server, "/7.png"),
            image(&server, "/7.png"),
            page(&server, "/many"),
        ];
        let steps = steps(&server, &candidates).await;
        assert_eq!(steps.len(), MAX_CANDIDATES - 1, "the page is one as well");
        assert_eq!(steps.iter().filter(|step| *step == "/7.png").count(), 1);
    }

    type Signal = (Mutex<Sender<()>>, Mutex<Receiver<()>>);

    static GO: LazyLock<Signal> = LazyLock::new(|| {
        let (sender, receiver) = channel();
        (Mutex::new(sender), Mutex::new(receiver))
    });

    /// Reads a page for as long as it takes until the runtime's only thread does something else.
    fn follow_slowly(
        rule: &FollowRule,
        page: &Url,
        body: PageText<'_>,
    ) -> Result<Vec<Candidate>, SkipReason> {
        let go = GO.1.lock().unwrap();
        go.recv_timeout(Duration::from_secs(60))
            .expect("the runtime is blocked");
        follow_lines(rule, page, body)
    }

    #[tokio::test]
    async fn a_page_that_takes_long_to_parse_does_not_block_the_runtime() {
        let server = gallery().await;
        let mut walk = Candidates {
            follow: follow_slowly,
            ..walk(&server, &[page(&server, "/two")])
        };
        let go = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            GO.0.lock().unwrap().send(()).unwrap();
        };
        let (next, ()) = tokio::join!(walk.next(), go);
        assert!(next.is_some_and(|next| next.is_ok()));
    }
}
