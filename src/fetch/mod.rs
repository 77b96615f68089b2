//! The only door to the network: pages as text, images as bytes, and nothing that was not named.
//!
//! ```text
//! page(), image() -> mirror (what is really asked) -> [ policy -> robots -> pace -> request ] -> Body
//!                                                      ^------------- redirect -----------+
//! ```

mod access;
mod body;
mod error;
mod limits;
mod request;
#[cfg(test)]
mod scripted;
mod transport;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use url::Url;

use crate::fetch::access::mirror::Mirror;
use crate::fetch::access::policy::Policy;
use crate::fetch::body::ranges::Rest;
use crate::fetch::limits::bandwidth::Throttle;
use crate::fetch::limits::host::Hosts;
use crate::fetch::limits::stall::StallTimer;
use crate::fetch::transport::client::{Clients, Kind};
use crate::fetch::transport::host_response::Answer;
use crate::job::ImageRef;
use crate::part::ResumeInfo;

pub use crate::fetch::access::policy::SiteOrigins;
pub use crate::fetch::body::stream::Body;
pub use crate::fetch::error::{Again, FetchError};
pub use crate::fetch::limits::retry::Retry;

/// Readers of what servers say, for those who try them with anything at all; nobody else needs them from outside.
#[doc(hidden)]
pub mod doors {
    pub use crate::fetch::body::charset::decode;
    pub use crate::fetch::body::ranges::read as content_range;
    pub use crate::fetch::limits::retry::wish as retry_after;
}

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
    /// The most bytes a second that bodies are read at, all together.
    pub limit_rate: Option<NonZeroU64>,
    /// Whether the proxies that the environment names are used.
    pub proxies: bool,
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
    throttle: Option<Arc<Throttle>>,
    settings: FetchSettings,
}

impl Fetcher {
    /// A door to the site on `premises`, or to the `mirror` it is to be fetched from instead. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// When a setting cannot be used: a header, a certificate file, a host of the definition.
    pub fn new(
        settings: &FetchSettings,
        premises: &SiteOrigins,
        mirror: Option<Url>,
    ) -> Result<Self, FetchError> {
        Self::with(
            Policy::new(premises, mirror.as_ref())?,
            settings,
            premises,
            mirror,
        )
    }

    /// A door to wherever the user says: every address that is asked for names its origin, and may redirect to any
    /// host that is public. `premises` stand for nothing real.
    ///
    /// # Errors
    ///
    /// As [`Fetcher::new`].
    pub fn anywhere(settings: &FetchSettings, premises: &SiteOrigins) -> Result<Self, FetchError> {
        Self::with(Policy::anywhere(), settings, premises, None)
    }

    fn with(
        policy: Policy,
        settings: &FetchSettings,
        premises: &SiteOrigins,
        mirror: Option<Url>,
    ) -> Result<Self, FetchError> {
        let retry = Retry::new(settings.retries, settings.retry_wait);
        Ok(Self {
            clients: Clients::new(settings, &policy)?,
            policy,
            mirror: Mirror::new(premises, mirror),
            hosts: Hosts::new(settings.wait, retry),
            retry,
            headers: transport::client::headers(&settings.headers)?,
            throttle: settings
                .limit_rate
                .map(|rate| Arc::new(Throttle::new(rate))),
            settings: settings.clone(),
        })
    }

    /// Reads the robots.txt that holds for a canonical address, if nobody did: whoever asks there next need not wait.
    pub async fn read_rules(&self, address: &Url) {
        let asked = self.asked(address);
        if self.policy.check(&asked).is_ok() {
            // What it forbids, and why it could not be read, is told to whoever asks.
            let _ = self.heed(&self.hosts.of(&asked), &asked).await;
        }
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
    pub async fn image(
        &self,
        address: &Url,
        resume: Option<(&ResumeInfo, u64)>,
    ) -> Result<Body, FetchError> {
        let rest = resume.and_then(|(note, have)| Rest::of(address, note, have));
        self.policy.give(address);
        let answer = self.ask(Kind::Image, self.asked(address), rest).await?;
        let limit = self.settings.max_image_bytes;
        match (answer.status(), rest) {
            (200, _) => self.paced(Body::whole(answer.unpacked()?, limit)),
            (206, Some(rest)) => match rest.check(answer.headers()) {
                Ok(()) => self.paced(Body::rest(
                    answer.unpacked()?,
                    limit,
                    rest.from(),
                    rest.whole(),
                )),
                Err(reason) => Err(FetchError::StalePart {
                    host: answer.host().to_owned(),
                    reason,
                }),
            },
            (416, Some(_)) => {
                let (host, reason) = (
                    answer.host().to_owned(),
                    "the image is shorter by now".to_owned(),
                );
                answer.put_away().await;
                Err(FetchError::StalePart { host, reason })
            }
            _ => Err(Box::pin(answer.turned_down()).await),
        }
    }

    /// What is really asked for a canonical address: with a mirror, the mirror's path and query in its place.
    pub fn asked(&self, address: &Url) -> Url {
        self.mirror.asked(address)
    }

    /// Brings images found on one page of a mirror home: their thumbs to the site's image host, page and links to the
    /// page host. Without a mirror, and for addresses that are canonical already, nothing changes.
    pub fn home(&self, images: &mut [ImageRef]) {
        self.mirror.home(images);
    }

    async fn read_page(&self, asked: &Url) -> Result<Page, FetchError> {
        let answer = self.ask(Kind::Page, asked.clone(), None).await?;
        let asked = answer.address.clone();
        let content_type = answer.header(&CONTENT_TYPE).map(str::to_owned);
        let page = self
            .text(answer, self.settings.max_page_bytes)
            .await?
            .all(usize::MAX)
            .await?;
        Ok(Page {
            asked,
            text: body::charset::decode(&page, content_type.as_deref()),
        })
    }

    async fn read_robots(&self, robots: &Url) -> Result<Vec<u8>, FetchError> {
        let answer = self.ask(Kind::Robots, robots.clone(), None).await?;
        self.text(answer, u64::MAX)
            .await?
            .all(access::robots::LONGEST)
            .await
    }

    /// The body of an answer that should be text.
    async fn text(&self, answer: Answer, limit: u64) -> Result<Body, FetchError> {
        match answer.status() {
            200 => self.paced(Body::whole(answer.unpacked()?, limit)),
            _ => Err(answer.turned_down().await),
        }
    }

    fn paced(&self, body: Result<Body, FetchError>) -> Result<Body, FetchError> {
        body.map(|body| body.paced(self.throttle.clone()))
    }

    fn patience(&self) -> StallTimer {
        StallTimer::new(self.settings.stall_timeout, self.settings.min_speed)
    }
}
