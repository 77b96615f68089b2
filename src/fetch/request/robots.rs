//! The robots.txt of the hosts: read before the first request to each, and obeyed.

use std::sync::Arc;

use url::{Position, Url};

use super::Requester;
use crate::event::{Warning, WeakEvents};
use crate::fetch::access::{MAX_ROBOTS_BYTES, RobotRules, Subject};
use crate::fetch::body::Accepted;
use crate::fetch::error::{FetchError, FetchErrorKind};
use crate::fetch::hops::Question;
use crate::fetch::limits::Host;
use crate::fetch::settings::Robots;
use crate::fetch::transport::RequestKind;

impl Requester {
    /// Reads the robots.txt for `address`, unless that happened already.
    pub(in crate::fetch) async fn load_robots(&self, address: &Url) {
        if self.policy.check(address, Subject::Image).is_ok() {
            // If it forbids the address or could not be read, each later request to the host fails
            // with that error.
            let _ = self.check_robots(&self.hosts.of(address), address).await;
        }
    }

    /// Whether the host of `address` gets its requests at an interval, as far as is known so far.
    pub(in crate::fetch) fn has_interval(&self, address: &Url) -> bool {
        self.hosts.of(address).rate.has_interval()
    }

    /// Refuses what the host's robots.txt disallows. The first request to a host reads it; others
    /// wait for that.
    pub(super) async fn check_robots(&self, host: &Host, address: &Url) -> Result<(), FetchError> {
        if self.settings.robots == Robots::Ignore {
            return Ok(());
        }
        let rules = match host.rules.get() {
            Some(rules) => rules,
            // Boxed: one request a host needs it, and a request for robots.txt is itself a request:
            // unboxed, the future would contain itself.
            None => Box::pin(host.rules.get_or_init(|| self.read_robots(host, address))).await,
        };
        let kind = match rules {
            Ok(rules) if rules.allow(address) => {
                if rules.crawl_delay().is_some() {
                    Box::pin(self.tell_crawl_delay(host)).await;
                }
                return Ok(());
            }
            Ok(_) => FetchErrorKind::RobotsDisallowed {
                path: address[Position::BeforePath..].to_owned(),
            },
            Err(cause) => FetchErrorKind::RobotsUnreadable {
                cause: Arc::clone(cause),
            },
        };
        Err(FetchError::new(&*host.name, kind))
    }

    /// Tells that robots.txt slows the run down, if the next request has to wait and nobody knows.
    async fn tell_crawl_delay(&self, host: &Host) {
        let Some((asked, wait)) = host.rate.unreported_crawl_delay() else {
            return;
        };
        let events = self.events.lock().as_ref().and_then(WeakEvents::upgrade);
        if let Some(events) = events {
            let host = host.name.clone();
            events.warn(Warning::CrawlDelay { host, asked, wait }).await;
        }
    }

    /// Reads the robots.txt of the host of `address`. A missing one (4xx) and one behind a bad
    /// redirect disallow nothing, as RFC 9309 (2.3.1) has it; one that cannot be read disallows
    /// everything.
    async fn read_robots(&self, host: &Host, address: &Url) -> Result<RobotRules, Arc<FetchError>> {
        let mut url = address.clone();
        url.set_path("/robots.txt");
        url.set_query(None);
        url.set_fragment(None);
        let error = match self.retry(|| self.robots_txt(&url)).await {
            Ok(text) => {
                let rules = RobotRules::parse(&text);
                if let Some(delay) = rules.crawl_delay() {
                    host.rate.apply_crawl_delay(delay);
                }
                return Ok(rules);
            }
            Err(error) => error,
        };
        match error.kind() {
            FetchErrorKind::Status { status: ..500, .. } | FetchErrorKind::Redirect { .. } => {
                Ok(RobotRules::none())
            }
            _ => Err(Arc::new(error)),
        }
    }

    async fn robots_txt(&self, address: &Url) -> Result<Vec<u8>, FetchError> {
        let question = Question::new(RequestKind::Robots);
        let response = self.request(question, address.clone()).await?;
        let mut body = self
            .text_body(response, Accepted::PackedOrText, u64::MAX, false)
            .await?;
        let text = body.collect_to_close(MAX_ROBOTS_BYTES).await?;
        // No robots.txt could show that it is complete; to refuse this one would be to refuse
        // everything on a host that closes all its connections so.
        body.accept_end();
        Ok(text)
    }
}
