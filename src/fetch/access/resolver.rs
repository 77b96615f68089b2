//! DNS: each name is looked up once for all connections, and private addresses are withheld.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout};

use super::origins::UserOrigins;
use super::private::is_private;

use crate::units::HumanDuration;

/// How long an answer is cached. Many connections are opened within a moment and few much later;
/// the system's resolver does not tell how long the answer is really valid.
const CACHED: Duration = Duration::from_secs(60);

/// The resolver of one run.
#[derive(Debug)]
pub(crate) struct Resolver {
    free: FreeNames,
    /// How long one connection attempt waits for a name.
    limit: Duration,
    /// Locked only to find or start a look-up, never while one is awaited.
    cache: Mutex<HashMap<String, CachedLookup>>,
}

/// The names that may have private addresses; those of all others are withheld.
#[derive(Debug, Default)]
pub(crate) struct FreeNames {
    /// Those that the user named before the run, and the proxies'.
    pub(crate) names: HashSet<String>,
    /// Those of a list that the user feeds to the run.
    pub(crate) user: Option<Arc<UserOrigins>>,
}

impl FreeNames {
    /// A literal address is free too: the policy has checked it, or it is a proxy's.
    fn contains(&self, name: &str) -> bool {
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        bare.unwrap_or(name).parse::<IpAddr>().is_ok()
            || self.names.contains(name)
            || self
                .user
                .as_ref()
                .is_some_and(|user| user.contains_host(name))
    }
}

#[derive(Debug, Clone)]
struct CachedLookup {
    started: Instant,
    lookup: Lookup,
}

/// A look-up that everybody who waits for the name shares. `getaddrinfo` runs on a blocking thread
/// and cannot be cancelled; if each retry started its own, a DNS server that hangs would use up the
/// thread pool.
type Lookup = Shared<BoxFuture<'static, Result<Arc<[SocketAddr]>, LookupError>>>;

/// All addresses of a name are private, and the user did not name it.
#[derive(Debug, thiserror::Error)]
#[error("it resolves to a private address ({0}), and the user did not name it")]
pub(crate) struct PrivateAddressError(IpAddr);

/// A name has no address, or none in time.
#[derive(Debug, Clone)]
pub(crate) enum LookupError {
    System(Arc<io::Error>),
    Timeout(Duration),
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => error.fmt(f),
            Self::Timeout(limit) => write!(f, "no answer within {}", HumanDuration(*limit)),
        }
    }
}

impl Error for LookupError {}

impl Resolver {
    /// Withholds private addresses of all names but those in `free`. A look-up may take up to
    /// `limit`.
    pub(crate) fn new(free: FreeNames, limit: Duration) -> Self {
        Self {
            free,
            limit,
            cache: Mutex::default(),
        }
    }

    /// The addresses of `name` that may be connected to.
    pub(crate) fn resolve_name(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>>> + Send + use<>
    {
        let (guarded, limit) = (!self.free.contains(name), self.limit);
        let CachedLookup { lookup, .. } = self.cached_lookup(name);
        async move {
            let addresses = timeout(limit, lookup)
                .await
                .map_err(|_elapsed| LookupError::Timeout(limit))??;
            let withheld = |address: &&SocketAddr| guarded && is_private(address.ip());
            let usable: Vec<SocketAddr> = addresses
                .iter()
                .filter(|address| !withheld(address))
                .copied()
                .collect();
            match addresses.iter().find(withheld) {
                Some(private) if usable.is_empty() => Err(PrivateAddressError(private.ip()).into()),
                Some(_) | None => Ok(usable),
            }
        }
    }

    /// The look-up of `name` that is under way or recently succeeded, or else a new one. A failure
    /// is not cached: the next try is to ask again.
    fn cached_lookup(&self, name: &str) -> CachedLookup {
        let mut cache = self.cache.lock();
        match cache.get(name) {
            Some(cached)
                if cached.started.elapsed() < CACHED
                    && !matches!(cached.lookup.peek(), Some(Err(_))) =>
            {
                cached.clone()
            }
            Some(_) | None => {
                let cached = CachedLookup {
                    started: Instant::now(),
                    lookup: lookup(name.to_owned()),
                };
                cache.insert(name.to_owned(), cached.clone());
                cached
            }
        }
    }
}

/// A look-up by the system's resolver; it starts when first polled.
fn lookup(name: String) -> Lookup {
    let addresses = async move { lookup_host((name, 0)).await.map(Iterator::collect) };
    addresses
        .map(|found| found.map_err(|error| LookupError::System(Arc::new(error))))
        .boxed()
        .shared()
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolving = self.resolve_name(name.as_str());
        Box::pin(async move { Ok(Box::new(resolving.await?.into_iter()) as Addrs) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCALHOST: &str = "localhost";

    /// Longer than any look-up.
    const LONG: Duration = Duration::from_secs(3600);

    /// One that withholds nothing of [`LOCALHOST`].
    fn open() -> Resolver {
        let free = FreeNames {
            names: HashSet::from([LOCALHOST.to_owned()]),
            user: None,
        };
        Resolver::new(free, LONG)
    }

    async fn resolve(resolver: &Resolver) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        Ok(resolver
            .resolve(LOCALHOST.parse().unwrap())
            .await?
            .collect())
    }

    #[tokio::test]
    async fn a_dns_answer_with_a_private_address_is_withheld_for_guarded_names() {
        let guarding = Resolver::new(FreeNames::default(), LONG);
        assert!(
            resolve(&guarding)
                .await
                .unwrap_err()
                .is::<PrivateAddressError>()
        );
        assert!(!resolve(&open()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_literal_address_is_left_to_the_policy() {
        // A SOCKS client asks for it as if it were a name.
        let guarding = Resolver::new(FreeNames::default(), LONG);
        for literal in ["127.0.0.1", "::1"] {
            assert!(guarding.resolve_name(literal).await.is_ok(), "{literal}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dns_answer_is_cached_for_a_minute() {
        let resolver = open();
        let mut looked_up = Vec::new();
        for _ in 0..3 {
            resolve(&resolver).await.unwrap();
            looked_up.push(resolver.cached_lookup(LOCALHOST).started);
        }
        assert!(looked_up.iter().all(|begun| *begun == looked_up[0]));
        tokio::time::advance(CACHED).await;
        assert!(resolver.cached_lookup(LOCALHOST).started > looked_up[0]);
    }

    #[tokio::test]
    async fn a_failed_dns_lookup_is_not_cached() {
        let resolver = open();
        // No name: the system does not even ask for it.
        let name = "a".repeat(64);
        assert!(resolver.resolve(name.parse().unwrap()).await.is_err());
        assert!(resolver.cached_lookup(&name).lookup.peek().is_none());
    }
}
