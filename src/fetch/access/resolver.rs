//! Looks names up as the system does, once for all connections, and keeps private addresses back.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout};

use crate::fetch::access::policy::Given;

/// How long what was found is believed: many connections are dialled at once, and few much later.
const BELIEVED: Duration = Duration::from_secs(60);

/// Looks up the names of a run.
#[derive(Debug)]
pub(crate) struct Resolver {
    guarded: Guarded,
    /// How long whoever dials waits for a name.
    limit: Duration,
    known: Mutex<HashMap<String, Found>>,
}

/// The names whose private addresses are kept back.
#[derive(Debug)]
enum Guarded {
    These(HashSet<String>),
    AllBut(Arc<Given>),
}

#[derive(Debug, Clone)]
struct Found {
    begun: Instant,
    looking: Looking,
}

/// A look-up for all who wait for it. The system's own cannot be ended: whoever asks again while it hangs joins it.
type Looking = Shared<BoxFuture<'static, Result<Arc<[SocketAddr]>, Unknown>>>;

/// What a [`Resolver`] says when nothing is left of an answer.
#[derive(Debug, thiserror::Error)]
#[error("its name leads to a private address ({0}), and the user did not name it")]
pub(crate) struct PrivateOnly(IpAddr);

/// What it says of a name that has no address, or none in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Unknown(Arc<io::Error>);

impl Resolver {
    /// Keeps private addresses of the names in `guarded` back; a name is waited for up to `limit`.
    pub(crate) fn new(guarded: HashSet<String>, limit: Duration) -> Self {
        Self {
            guarded: Guarded::These(guarded),
            limit,
            known: Mutex::default(),
        }
    }

    /// Keeps private addresses of all names back but of those the user has given.
    pub(crate) fn of_given(given: Arc<Given>, limit: Duration) -> Self {
        Self {
            guarded: Guarded::AllBut(given),
            limit,
            known: Mutex::default(),
        }
    }

    fn guards(&self, name: &str) -> bool {
        match &self.guarded {
            Guarded::These(names) => names.contains(name),
            Guarded::AllBut(given) => !given.names(name),
        }
    }

    /// The addresses of `name` that may be connected to.
    pub(crate) fn look_up(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>>> + Send + use<>
    {
        let (guarded, limit) = (self.guards(name), self.limit);
        let Found { looking, .. } = self.found(name);
        async move {
            let late = |_| {
                Unknown(Arc::new(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "no answer in time",
                )))
            };
            let addresses = timeout(limit, looking).await.map_err(late)??;
            let kept_back = |address: &&SocketAddr| guarded && is_private(address.ip());
            let open: Vec<SocketAddr> = addresses
                .iter()
                .filter(|address| !kept_back(address))
                .copied()
                .collect();
            match addresses.iter().find(kept_back) {
                Some(private) if open.is_empty() => Err(PrivateOnly(private.ip()).into()),
                Some(_) | None => Ok(open),
            }
        }
    }

    /// What was found for `name` a short while ago, or is being looked up; that it was not found is forgotten.
    fn found(&self, name: &str) -> Found {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(name) {
            Some(found)
                if found.begun.elapsed() < BELIEVED
                    && !matches!(found.looking.peek(), Some(Err(_))) =>
            {
                found.clone()
            }
            Some(_) | None => {
                let found = Found {
                    begun: Instant::now(),
                    looking: look_up(name.to_owned()),
                };
                known.insert(name.to_owned(), found.clone());
                found
            }
        }
    }
}

/// Has the system look a name up, once somebody waits for it.
fn look_up(name: String) -> Looking {
    let asking = async move { lookup_host((name, 0)).await.map(Iterator::collect) };
    asking
        .map(|found| found.map_err(|error| Unknown(Arc::new(error))))
        .boxed()
        .shared()
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let looking = self.look_up(name.as_str());
        Box::pin(async move { Ok(Box::new(looking.await?.into_iter()) as Addrs) })
    }
}

/// Whether an address belongs to this machine, its link or its network, or to nobody, whichever way it is written.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    match a {
        0 | 10 | 127 | 224.. => true,
        100 => (64..128).contains(&b),
        169 => b == 254,
        172 => (16..32).contains(&b),
        192 => b == 168 || (b == 0 && c == 0),
        198 => b == 18 || b == 19,
        _ => false,
    }
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // IPv4 in IPv6: compatible (`::` and `::1` among them) or mapped, behind a NAT64, and by 6to4.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => embedded(high, low),
        // A NAT64 of the local network's own.
        [0x64, 0xff9b, 1, ..] => true,
        // Unique local, link-local, the old site-local, multicast.
        [first, ..] => {
            first & 0xfe00 == 0xfc00 || first & 0xff80 == 0xfe80 || first & 0xff00 == 0xff00
        }
    }
}

fn embedded(high: u16, low: u16) -> bool {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    is_private_v4(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCALHOST: &str = "localhost";

    /// Longer than any look-up.
    const LONG: Duration = Duration::from_secs(3600);

    async fn resolve(resolver: &Resolver) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        Ok(resolver
            .resolve(LOCALHOST.parse().unwrap())
            .await?
            .collect())
    }

    #[test]
    fn an_address_of_ones_own_network_is_known_in_every_spelling() {
        let private = "127.0.0.1 0.0.0.0 10.0.0.1 100.64.0.1 169.254.169.254 172.31.0.1 192.168.1.1 198.18.0.1 224.0.0.1 \
            255.255.255.255 :: ::1 fe80::1 fc00::1 fd12::1 fec0::1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::7f00:1 \
            64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1::";
        for address in private.split_whitespace() {
            assert!(is_private(address.parse().unwrap()), "{address}");
        }
        let public = "1.1.1.1 100.128.0.1 172.32.0.1 192.167.0.1 2606:4700::1111 64:ff9b::101:101 2002:101:101:: ::ffff:8.8.8.8";
        for address in public.split_whitespace() {
            assert!(!is_private(address.parse().unwrap()), "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_kept_back_when_it_is_guarded() {
        let guarding = Resolver::new(HashSet::from([LOCALHOST.to_owned()]), LONG);
        assert!(resolve(&guarding).await.unwrap_err().is::<PrivateOnly>());
        assert!(
            !resolve(&Resolver::new(HashSet::new(), LONG))
                .await
                .unwrap()
                .is_empty()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_once_in_a_while() {
        let resolver = Resolver::new(HashSet::new(), LONG);
        let mut looked_up = Vec::new();
        for _ in 0..3 {
            resolve(&resolver).await.unwrap();
            looked_up.push(resolver.found(LOCALHOST).begun);
        }
        assert!(looked_up.iter().all(|begun| *begun == looked_up[0]));
        tokio::time::advance(BELIEVED).await;
        assert!(resolver.found(LOCALHOST).begun > looked_up[0]);
    }

    #[tokio::test]
    async fn a_failed_look_up_is_not_remembered() {
        let resolver = Resolver::new(HashSet::new(), LONG);
        // No name: the system does not even ask for it.
        let name = "a".repeat(64);
        assert!(resolver.resolve(name.parse().unwrap()).await.is_err());
        assert!(resolver.found(&name).looking.peek().is_none());
    }
}
