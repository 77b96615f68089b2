//! A server for tests: it says what it is told to, byte by byte, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::fetch::{FetchError, FetchSettings, Fetcher, Robots, SiteOrigins};

/// What is said to one request, and then.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pieces: Vec<Vec<u8>>,
    pause: Duration,
    then: Then,
}

#[derive(Debug, Clone, Copy)]
enum Then {
    KeepOpen,
    Close,
    Hang,
}

impl Reply {
    /// Bytes as they are, the connection kept open for the next request.
    pub(crate) fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self {
            pieces: vec![bytes.as_ref().to_vec()],
            pause: Duration::ZERO,
            then: Then::KeepOpen,
        }
    }

    /// A whole answer: status, further header lines, body.
    pub(crate) fn new(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut lines = format!(
            "HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n",
            body.len()
        );
        lines.extend(headers.iter().flat_map(|line| [line, "\r\n"]));
        Self::raw([lines.as_bytes(), b"\r\n", body].concat())
    }

    /// 200, with this body.
    pub(crate) fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::new(200, &[], body)
    }

    /// A redirect.
    pub(crate) fn to(location: &str) -> Self {
        Self::new(302, &[&format!("Location: {location}")], "moved")
    }

    /// The same, but the connection is closed afterwards.
    pub(crate) fn and_close(self) -> Self {
        Self {
            then: Then::Close,
            ..self
        }
    }

    /// The same, but nothing is said ever after.
    pub(crate) fn and_hang(self) -> Self {
        Self {
            then: Then::Hang,
            ..self
        }
    }

    /// The same, but a byte at a time with a pause after each.
    pub(crate) fn drop_by_drop(self, pause: Duration) -> Self {
        let pieces = self
            .pieces
            .concat()
            .into_iter()
            .map(|byte| vec![byte])
            .collect();
        Self {
            pieces,
            pause,
            ..self
        }
    }
}

/// A server on loopback that lives as long as its test.
pub(crate) struct Server {
    address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    heads: Vec<String>,
    connections: usize,
}

type Script = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

impl Server {
    /// A server that says to each request head what `script` makes of it.
    pub(crate) async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(Arc::new(script), None).await
    }

    /// The same behind TLS.
    pub(crate) async fn start_tls(
        tls: TlsAcceptor,
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Arc::new(script), Some(tls)).await
    }

    async fn listen(script: Script, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let seen = Arc::new(Mutex::new(Seen::default()));
        let server = Self {
            address,
            scheme,
            seen: Arc::clone(&seen),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                seen.lock().unwrap().connections += 1;
                let (script, seen, tls) = (Arc::clone(&script), Arc::clone(&seen), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => set_concurrency(stream, script, seen).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => set_concurrency(stream, script, seen).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        server
    }

    /// The address of `path` here.
    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("{}://{}", self.scheme, self.address))
            .unwrap()
            .join(path)
            .unwrap()
    }

    /// The request heads so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().heads.clone()
    }

    /// How often `path` was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.heads()
            .iter()
            .filter(|head| path_of(head) == path)
            .count()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    /// Someone who was told of this very origin, and asks it with these settings.
    pub(crate) fn fetcher_with(&self, settings: &FetchSettings) -> Fetcher {
        let here = self.url("/");
        let premises = SiteOrigins {
            pages: here.clone(),
            images: here.clone(),
            hosts: Vec::new(),
            named: vec![here],
        };
        Fetcher::new(settings, &premises, None).unwrap()
    }

    /// The same with [`settings`].
    pub(crate) fn fetcher(&self) -> Fetcher {
        self.fetcher_with(&settings())
    }
}

async fn set_concurrency(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: Script,
    seen: Arc<Mutex<Seen>>,
) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let reply = script(&head);
        seen.lock().unwrap().heads.push(head);
        for piece in reply.pieces {
            stream.write_all(&piece).await.ok()?;
            stream.flush().await.ok()?;
            if !reply.pause.is_zero() {
                tokio::time::sleep(reply.pause).await;
            }
        }
        match reply.then {
            Then::KeepOpen => {}
            Then::Close => return stream.shutdown().await.ok(),
            Then::Hang => std::future::pending().await,
        }
    }
}

/// The path, and query, that a request head asks for.
pub(crate) fn path_of(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// The value of a header line in a request head.
pub(crate) fn line<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .find(|(said, _)| said.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Settings for tests: no robots.txt, no second try.
pub(crate) fn settings() -> FetchSettings {
    FetchSettings {
        user_agent: "wallhaul/test".to_owned(),
        connect_timeout: Duration::from_secs(10),
        stall_timeout: Duration::from_secs(30),
        min_speed: 100,
        retries: 0,
        retry_wait: Duration::from_millis(500),
        max_page_bytes: 64 * 1024,
        max_image_bytes: 64 * 1024,
        ca_certificates: Vec::new(),
        insecure: false,
        http2: false,
        robots: Robots::Ignore,
        proxies: true,
        connections: 4,
        headers: Vec::new(),
        wait: Duration::ZERO,
        limit_rate: None,
    }
}

/// An image's bytes, all of them.
pub(crate) async fn image(fetcher: &Fetcher, address: &Url) -> Result<Vec<u8>, FetchError> {
    fetcher
        .image(address, None)
        .await?
        .collect(usize::MAX)
        .await
}
