//! The only door to the network: pages as text, images as bytes, and nothing that was not named.
//!
//! ```text
//! page(), image() -> mirror (what is really asked) -> [ policy -> robots -> pace -> request ] -> Body
//!                                                      ^------------- redirect -----------+
//! ```

mod answer;
mod body;
mod cause;
mod client;
mod error;
mod host;
mod mirror;
mod pace;
mod page;
mod patience;
mod policy;
mod resume;
mod retry;
mod robots;
mod roots;
#[cfg(test)]
mod scripted;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, IF_RANGE, RANGE};
use tokio::time::{sleep, timeout};
use url::{Position, Url};

use self::answer::Answer;
use self::client::{Clients, Kind};
use self::host::{Host, Hosts};
use self::mirror::Mirror;
use self::patience::Patience;
use self::policy::{MOST_HOPS, Policy, host_of};
use self::resume::Rest;
use self::robots::Rules;
use crate::job::ImageRef;
use crate::part::Note;

pub use self::body::Body;
pub use self::error::{Again, FetchError};
pub use self::policy::Premises;
pub use self::retry::Retry;

/// How the network is used.
#[derive(Debug, Clone)]
pub struct FetchSettings {
    /// Who we say we are.
    pub user_agent: String,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long an answer, or its next bytes, are waited for.
    pub stall_timeout: Duration,
    /// The fewest bytes a second, over the stall limit, that are waited for.
    pub min_speed: u64,
    /// Further tries after the first.
    pub retries: u32,
    /// The pause before the first of them; it doubles.
    pub retry_wait: Duration,
    /// The longest page, unpacked.
    pub max_page_bytes: u64,
    /// The longest image.
    pub max_image_bytes: u64,
    /// PEM files with further roots of trust.
    pub ca_certificates: Vec<PathBuf>,
    /// Whether servers need no certificate at all.
    pub insecure: bool,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// What a robots.txt means to us.
    pub robots: Robots,
    /// Connections to a host that are kept while they are idle.
    pub connections: usize,
    /// Further headers, sent to the origin asked and to none it redirects to.
    pub headers: Vec<(String, String)>,
    /// The least time between two requests to one host.
    pub wait: Duration,
}

/// What a robots.txt means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Robots {
    /// It is read once and obeyed.
    #[default]
    Obey,
    /// It is not even asked for.
    Ignore,
}

/// A page that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The address that answered in the end: what relative addresses on the page are relative to.
    pub asked: Url,
    /// What it says.
    pub text: String,
}

/// Asks for one site's pages and images.
#[derive(Debug)]
pub struct Fetcher {
    clients: Clients,
    policy: Policy,
    mirror: Mirror,
    hosts: Hosts,
    retry: Retry,
    headers: HeaderMap,
    settings: FetchSettings,
}

impl Fetcher {
    /// A door to the site on `premises`, or to the `mirror` it is to be fetched from instead. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// When a setting cannot be used: a header, a certificate file, a host of the definition.
    pub fn new(settings: &FetchSettings, premises: &Premises, mirror: Option<Url>) -> Result<Self, FetchError> {
        let retry = Retry::new(settings.retries, settings.retry_wait);
        let policy = Policy::new(premises, mirror.as_ref())?;
        Ok(Self {
            clients: Clients::new(settings, &policy)?,
            policy,
            mirror: Mirror::new(premises, mirror),
            hosts: Hosts::new(settings.wait, retry),
            retry,
            headers: client::headers(&settings.headers)?,
            settings: settings.clone(),
        })
    }

    /// Reads the page at a canonical address, trying again in place where that may help.
    ///
    /// # Errors
    ///
    /// When it cannot be had, the last try's reason; [`FetchError::is_gone`] is how a listing ends.
    pub async fn page(&self, address: &Url) -> Result<Page, FetchError> {
        let asked = self.asked(address);
        self.persist(|| self.read_page(&asked)).await
    }

    /// Asks once for the image at a canonical address; with `resume`, for what is missing of a part that holds so
    /// many bytes. A part that cannot go on is passed over: [`Body::from`] is 0 then, and the part starts over.
    ///
    /// # Errors
    ///
    /// When it is not sent. [`Retry::pause`] says whether and when to ask again, and
    /// [`FetchError::is_stale_part`] that the part must be dropped before.
    pub async fn image(&self, address: &Url, resume: Option<(&Note, u64)>) -> Result<Body, FetchError> {
        let rest = resume.and_then(|(note, have)| Rest::of(address, note, have));
        let answer = self.ask(Kind::Image, self.asked(address), rest).await?;
        let limit = self.settings.max_image_bytes;
        match (answer.status(), rest) {
            (200, _) => Body::whole(answer.unpacked()?, self.patience(), limit),
            (206, Some(rest)) => match rest.check(answer.headers()) {
                Ok(()) => Body::rest(answer.unpacked()?, self.patience(), limit, rest.from(), rest.whole()),
                Err(reason) => Err(FetchError::StalePart { host: answer.host().to_owned(), reason }),
            },
            (416, Some(_)) => {
                let (host, reason) = (answer.host().to_owned(), "the image is shorter by now".to_owned());
                answer.put_away().await;
                Err(FetchError::StalePart { host, reason })
            }
            _ => Err(answer.turned_down().await),
        }
    }

    /// What is really asked for a canonical address: with a mirror, the mirror's path and query in its place.
    pub fn asked(&self, address: &Url) -> Url {
        self.mirror.asked(address)
    }

    /// Brings an image found on a mirror's page home: its thumb to the site's image host, its page and link to the
    /// page host. Without a mirror, and for addresses that are canonical already, nothing changes.
    pub fn home(&self, image: ImageRef) -> ImageRef {
        self.mirror.home(image)
    }

    async fn read_page(&self, asked: &Url) -> Result<Page, FetchError> {
        let answer = self.ask(Kind::Page, asked.clone(), None).await?;
        let asked = answer.address.clone();
        let content_type = answer.header(&CONTENT_TYPE).map(str::to_owned);
        let page = self.text(answer, self.settings.max_page_bytes).await?.all(usize::MAX).await?;
        Ok(Page { asked, text: page::decode(&page, content_type.as_deref()) })
    }

    async fn read_robots(&self, robots: &Url) -> Result<Vec<u8>, FetchError> {
        let answer = self.ask(Kind::Robots, robots.clone(), None).await?;
        self.text(answer, u64::MAX).await?.all(robots::LONGEST).await
    }

    /// The body of an answer that should be text.
    async fn text(&self, answer: Answer, limit: u64) -> Result<Body, FetchError> {
        match answer.status() {
            200 => Body::whole(answer.unpacked()?, self.patience(), limit),
            _ => Err(answer.turned_down().await),
        }
    }

    fn patience(&self) -> Patience {
        Patience::new(self.settings.stall_timeout, self.settings.min_speed)
    }

    /// Asks, again where that may help, until there is an answer or no hope.
    async fn persist<T, F>(&self, ask: impl Fn() -> F) -> Result<T, FetchError>
    where
        F: Future<Output = Result<T, FetchError>>,
    {
        let mut attempt = 1;
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match self.retry.pause(attempt, &error) {
                Some(pause) => sleep(pause).await,
                None => return Err(error),
            }
            attempt += 1;
        }
    }

    /// Asks for `address` and follows where it leads; every hop is judged like the first address.
    async fn ask(&self, kind: Kind, address: Url, rest: Option<Rest<'_>>) -> Result<Answer, FetchError> {
        self.policy.check(&address)?;
        let mut address = address;
        let mut left = Vec::new();
        loop {
            let host = self.hosts.of(&address);
            if kind != Kind::Robots {
                self.heed(&host, &address).await?;
            }
            let own = left.first().is_none_or(|first: &Url| first.origin() == address.origin());
            let answer = self.send(kind, host, address, rest, own).await?;
            let Some(next) = answer.leads_to()? else { return Ok(answer) };
            address = self.follow(answer, next, &mut left).await?;
        }
    }

    /// Leaves an answer for where it redirects to, if that may be asked.
    async fn follow(&self, answer: Answer, next: Url, left: &mut Vec<Url>) -> Result<Url, FetchError> {
        let host = answer.host().to_owned();
        self.policy.check_hop(&answer.address, &next)?;
        left.push(answer.address.clone());
        if left.contains(&next) {
            return Err(FetchError::Redirect { host, reason: "in a circle".to_owned() });
        }
        if left.len() > MOST_HOPS {
            return Err(FetchError::Redirect { host, reason: format!("more than {MOST_HOPS} times") });
        }
        answer.went_well();
        answer.put_away().await;
        Ok(next)
    }

    /// Sends one request, in its turn. `own` says that the user's headers may go along.
    async fn send(
        &self,
        kind: Kind,
        host: Arc<Host>,
        address: Url,
        rest: Option<Rest<'_>>,
        own: bool,
    ) -> Result<Answer, FetchError> {
        let turn = host.pace.turn().await;
        let begun = turn.map_err(|failures| FetchError::GivenUp { host: host.name.clone(), failures })?;
        let mut request = self.clients.of(kind).get(address.clone());
        if own && !self.headers.is_empty() {
            request = request.headers(self.headers.clone());
        }
        if let Some(rest) = rest {
            request = request.header(RANGE, rest.range()).header(IF_RANGE, rest.validator());
        }
        let limit = self.settings.stall_timeout;
        // The whole time to the last header counts: one byte a second is no sign of life.
        let error = match timeout(limit, request.send()).await {
            Ok(Ok(response)) => return Ok(Answer::new(response, host, begun, address)),
            Ok(Err(error)) => cause::of_request(&error, &address),
            Err(_) => FetchError::Stalled { host: host_of(&address), limit },
        };
        host.pace.went_wrong(begun, &error);
        Err(error)
    }

    /// Refuses what the host's robots.txt forbids, reading it first if nobody did; whoever comes meanwhile waits.
    async fn heed(&self, host: &Host, address: &Url) -> Result<(), FetchError> {
        if self.settings.robots == Robots::Ignore {
            return Ok(());
        }
        match host.rules.get_or_init(|| self.rules(host, address)).await {
            Ok(rules) if rules.allow(address) => Ok(()),
            Ok(_) => {
                let path = address[Position::BeforePath..].to_owned();
                Err(FetchError::Forbidden { host: host.name.clone(), path })
            }
            Err(cause) => Err(FetchError::Robots { host: host.name.clone(), cause: Arc::clone(cause) }),
        }
    }

    /// Reads the robots.txt of the host of `address`. One that is not there, or leads astray, makes no rule.
    async fn rules(&self, host: &Host, address: &Url) -> Result<Rules, Arc<FetchError>> {
        let mut robots = address.clone();
        robots.set_path("/robots.txt");
        robots.set_query(None);
        robots.set_fragment(None);
        // Boxed, for asking asks for rules.
        let text = Box::pin(self.persist(|| self.read_robots(&robots)));
        match text.await {
            Ok(text) => {
                let rules = Rules::read(&text);
                rules.interval().into_iter().for_each(|interval| host.pace.slow_down(interval));
                Ok(rules)
            }
            Err(FetchError::Status { status: ..500, .. } | FetchError::Redirect { .. }) => Ok(Rules::none()),
            Err(error) => Err(Arc::new(error)),
        }
    }
}
