//! The way of one question: policy, robots.txt, the host's pace, the request, and on where it redirects to.

use std::pin::pin;
use std::sync::Arc;

use reqwest::header::HeaderMap;
use tokio::time::sleep;
use url::{Position, Url};

use crate::fetch::access::policy::{MOST_HOPS, host_of, same_origin};
use crate::fetch::access::robots::Rules;
use crate::fetch::body::ranges::Rest;
use crate::fetch::error::FetchError;
use crate::fetch::limits::host::Host;
use crate::fetch::limits::stall::Lost;
use crate::fetch::transport::client::Kind;
use crate::fetch::transport::host_response::Answer;
use crate::fetch::{Fetcher, Robots};

/// The longest headers of an answer, all of them together. The clients' buffers end what never ends.
const LONGEST_HEAD: usize = 64 * 1024;

impl Fetcher {
    /// Asks, again where that may help, until there is an answer or no hope.
    pub(crate) async fn persist<T, F>(&self, ask: impl Fn() -> F) -> Result<T, FetchError>
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
    pub(crate) async fn ask(
        &self,
        kind: Kind,
        address: Url,
        rest: Option<Rest<'_>>,
    ) -> Result<Answer, FetchError> {
        self.policy.check(&address)?;
        let mut address = address;
        let mut left = Vec::new();
        loop {
            let host = self.hosts.of(&address);
            if kind != Kind::Robots {
                self.heed(&host, &address).await?;
            }
            let at_home = left
                .first()
                .is_none_or(|first| same_origin(first, &address));
            let own = at_home && kind != Kind::Robots;
            let answer = self.send(kind, host, address, rest, own).await?;
            let Some(next) = answer.leads_to()? else {
                return Ok(answer);
            };
            address = Box::pin(self.follow(answer, next, &mut left)).await?;
        }
    }

    /// Leaves an answer for where it redirects to, if that may be asked.
    async fn follow(
        &self,
        answer: Answer,
        next: Url,
        left: &mut Vec<Url>,
    ) -> Result<Url, FetchError> {
        let host = answer.host().to_owned();
        self.policy.check_hop(&answer.address, &next)?;
        left.push(answer.address.clone());
        if left.contains(&next) {
            return Err(FetchError::Redirect {
                host,
                reason: "in a circle".to_owned(),
            });
        }
        if left.len() > MOST_HOPS {
            return Err(FetchError::Redirect {
                host,
                reason: format!("more than {MOST_HOPS} times"),
            });
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
        let begun = turn.map_err(|failures| FetchError::GivenUp {
            host: host.name.clone(),
            failures,
        })?;
        let mut further = if own {
            self.headers.clone()
        } else {
            HeaderMap::new()
        };
        if let Some(rest) = rest {
            rest.ask(&mut further);
        }
        let mut patience = self.patience();
        // The whole time to the last header counts: one byte a second is no sign of life.
        let answered = {
            // Pinned here it is not copied into the one who waits for it.
            let asked = pin!(self.clients.get(kind, &address, further));
            patience.wait(asked).await
        };
        let error = match answered {
            Ok(Ok(response)) if response.head() > LONGEST_HEAD => {
                let reason = format!("its headers are longer than {} KB", LONGEST_HEAD / 1024);
                FetchError::NotHttp {
                    host: host_of(&address),
                    reason,
                }
            }
            Ok(Ok(response)) => {
                return Ok(Answer::new(
                    response,
                    host,
                    begun,
                    patience.renewed(),
                    address,
                ));
            }
            Ok(Err(error)) => error,
            Err(Lost::Silent | Lost::Slow) => FetchError::Stalled {
                host: host_of(&address),
                limit: self.settings.stall_timeout,
            },
        };
        host.pace.went_wrong(begun, &error);
        Err(error)
    }

    /// Refuses what the host's robots.txt forbids, reading it first if nobody did; whoever comes meanwhile waits.
    pub(crate) async fn heed(&self, host: &Host, address: &Url) -> Result<(), FetchError> {
        if self.settings.robots == Robots::Ignore {
            return Ok(());
        }
        let rules = match host.rules.get() {
            Some(known) => known,
            None => Box::pin(host.rules.get_or_init(|| self.rules(host, address))).await,
        };
        match rules {
            Ok(rules) if rules.allow(address) => Ok(()),
            Ok(_) => {
                let path = address[Position::BeforePath..].to_owned();
                Err(FetchError::Forbidden {
                    host: host.name.clone(),
                    path,
                })
            }
            Err(cause) => Err(FetchError::Robots {
                host: host.name.clone(),
                cause: Arc::clone(cause),
            }),
        }
    }

    /// Reads the robots.txt of the host of `address`. One that is not there, or leads astray, makes no rule.
    async fn rules(&self, host: &Host, address: &Url) -> Result<Rules, Arc<FetchError>> {
        let mut robots = address.clone();
        robots.set_path("/robots.txt");
        robots.set_query(None);
        robots.set_fragment(None);
        match self.persist(|| self.read_robots(&robots)).await {
            Ok(text) => {
                let rules = Rules::read(&text);
                rules
                    .interval()
                    .into_iter()
                    .for_each(|interval| host.pace.slow_down(interval));
                Ok(rules)
            }
            Err(FetchError::Status { status: ..500, .. } | FetchError::Redirect { .. }) => {
                Ok(Rules::none())
            }
            Err(error) => Err(Arc::new(error)),
        }
    }
}
