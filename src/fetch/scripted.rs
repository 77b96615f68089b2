//! A server for tests: it sends scripted bytes and records the requests it received.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::fetch::{FetchError, FetchSettings, Fetcher, Proxies, Robots, SiteOrigins};

/// The response to one request, and what happens to the connection afterwards.
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
    /// These bytes; the connection stays open for the next request.
    pub(crate) fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self {
            pieces: vec![bytes.as_ref().to_vec()],
            pause: Duration::ZERO,
            then: Then::KeepOpen,
        }
    }

    /// A complete response: status, further header lines, body.
    pub(crate) fn new(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut lines = format!(
            "HTTP/1.1 {status} Reason\r\nContent-Length: {}\r\n",
            body.len()
        );
        lines.extend(headers.iter().flat_map(|line| [line, "\r\n"]));
        Self::raw([lines.as_bytes(), b"\r\n", body].concat())
    }

    /// 200 with this body.
    pub(crate) fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::new(200, &[], body)
    }

    /// A redirect.
    pub(crate) fn to(location: &str) -> Self {
        Self::new(302, &[&format!("Location: {location}")], "moved")
    }

    /// The same, and then the connection is closed.
    pub(crate) fn and_close(self) -> Self {
        Self {
            then: Then::Close,
            ..self
        }
    }

    /// The same, and then silence.
    pub(crate) fn and_hang(self) -> Self {
        Self {
            then: Then::Hang,
            ..self
        }
    }

    /// The same, one byte at a time with a pause after each.
    pub(crate) fn dripping(self, pause: Duration) -> Self {
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
    received: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    heads: Vec<String>,
    /// How many requests came on each connection.
    requests: Vec<usize>,
}

type Script = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

impl Server {
    /// A server that replies to each request head with what `script` returns.
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
        let received = Arc::new(Mutex::new(Received::default()));
        let server = Self {
            address,
            scheme,
            received: Arc::clone(&received),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let requests = &mut received.lock().unwrap().requests;
                    requests.push(0);
                    requests.len() - 1
                };
                let (script, received, tls) =
                    (Arc::clone(&script), Arc::clone(&received), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, script, received, number).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, script, received, number).await,
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
        self.received.lock().unwrap().heads.clone()
    }

    /// How many requests there were for `path`.
    pub(crate) fn request_count(&self, path: &str) -> usize {
        self.heads()
            .iter()
            .filter(|head| path_of(head) == path)
            .count()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.requests_by_connection().len()
    }

    /// How many requests came on each connection, in the order in which they were opened.
    pub(crate) fn requests_by_connection(&self) -> Vec<usize> {
        self.received.lock().unwrap().requests.clone()
    }

    /// A fetcher that is allowed this origin, with these settings.
    pub(crate) fn fetcher_with(&self, settings: &FetchSettings) -> Fetcher {
        let here = self.url("/");
        let site = SiteOrigins {
            pages: here.clone(),
            images: here.clone(),
            hosts: Vec::new(),
            named: vec![here],
        };
        Fetcher::new(settings, &site, None).unwrap()
    }

    /// The same with [`settings`].
    pub(crate) fn fetcher(&self) -> Fetcher {
        self.fetcher_with(&settings())
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: Script,
    received: Arc<Mutex<Received>>,
    connection: usize,
) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let reply = script(&head);
        {
            let mut received = received.lock().unwrap();
            received.heads.push(head);
            received.requests[connection] += 1;
        }
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

/// Path and query of a request head.
pub(crate) fn path_of(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// The value of a header line in a request head.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .find(|(said, _)| said.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Settings for tests: no robots.txt, no retries.
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
        proxies: Proxies::default(),
        connections: 4,
        headers: Vec::new(),
        cookies: None,
        wait: Duration::ZERO,
        limit_rate: None,
        archive: None,
    }
}

/// Fetches an image and returns its bytes.
pub(crate) async fn image(fetcher: &Fetcher, address: &Url) -> Result<Vec<u8>, FetchError> {
    fetcher
        .image(address, None)
        .await?
        .collect(usize::MAX)
        .await
}
