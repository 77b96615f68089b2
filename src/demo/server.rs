//! Serves a gallery over HTTP on a loopback port.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

use super::gallery::Gallery;
use super::router::{LoggedRequest, Resource, Router};

/// Serves `gallery` on a free loopback port until the returned server is dropped.
///
/// # Errors
///
/// When no port is free.
pub async fn serve(gallery: Gallery) -> io::Result<DemoServer> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let url = Url::parse(&format!("http://{address}/")).map_err(io::Error::other)?;
    let router = Arc::new(Router::new(gallery, address));
    let accepting = tokio::spawn(open(listener, Arc::clone(&router)));
    Ok(DemoServer {
        url,
        router,
        accepting,
    })
}

/// A running demo server; dropping it closes every connection.
pub struct DemoServer {
    url: Url,
    router: Arc<Router>,
    accepting: JoinHandle<()>,
}

impl DemoServer {
    /// Its base URL, such as `http://127.0.0.1:40123/`.
    pub fn address(&self) -> &Url {
        &self.url
    }

    /// The gallery it serves.
    pub fn gallery(&self) -> &Gallery {
        &self.router.gallery
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.router.log().clone()
    }

    /// How many requests there were for this kind of resource.
    pub fn count_requests(&self, what: Resource) -> usize {
        self.router
            .log()
            .iter()
            .filter(|asked| asked.resource == what)
            .count()
    }
}

impl Drop for DemoServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts connections until it is dropped, which closes them all (the `JoinSet` aborts its tasks).
async fn open(listener: TcpListener, router: Arc<Router>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _visitor)) => {
                    connections.spawn(serve_connection(stream, Arc::clone(&router)));
                }
                // Most likely no file descriptor is left: wait for a connection to close.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_left) = connections.join_next() => {}
        }
    }
}

/// Serves one connection. A client that hangs up is not an error.
async fn serve_connection(stream: TcpStream, router: Arc<Router>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let router = Arc::clone(&router);
        async move { Ok::<_, Infallible>(router.answer(&request).await) }
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::demo::{Coding, Picture};

    const MOUNTAINS: &str = "/uploads/desktops/2018/03/29/Mountains.png";

    /// Thirty small pictures; the first is the one at [`MOUNTAINS`].
    fn small() -> Gallery {
        let others = (1..30).map(|at| format!("/uploads/desktops/2017/01/{at:02}/picture.png"));
        let paths = std::iter::once(MOUNTAINS.to_owned()).chain(others);
        Gallery::new(
            paths
                .map(|path| Picture {
                    width: 64,
                    height: 40,
                    ..Picture::at(&path)
                })
                .collect(),
        )
    }

    struct Reply {
        head: String,
        body: Vec<u8>,
    }

    impl Reply {
        fn status(&self) -> &str {
            self.head.split(' ').nth(1).unwrap()
        }

        fn header(&self, name: &str) -> Option<&str> {
            let lines = self.head.lines().filter_map(|line| line.split_once(": "));
            lines
                .into_iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        }
    }

    async fn ask(served: &DemoServer, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut stream = TcpStream::connect(served.router.address).await.unwrap();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: gallery.invalid\r\nConnection: close\r\n");
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.unwrap();
        let end = reply
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap();
        Reply {
            head: String::from_utf8(reply[..end].to_vec()).unwrap(),
            body: reply[end + 4..].to_vec(),
        }
    }

    async fn get(served: &DemoServer, path: &str) -> Reply {
        ask(served, "GET", path, &[]).await
    }

    #[tokio::test]
    async fn the_listing_is_walked_page_by_page_up_to_a_404_without_a_picture() {
        let served = serve(small()).await.unwrap();
        let (first, second, third) = (
            get(&served, "/browse/").await,
            get(&served, "/browse/2/").await,
            get(&served, "/browse/3/").await,
        );
        let images = |reply: &Reply| {
            String::from_utf8_lossy(&reply.body)
                .matches("/uploads/desktops/")
                .count()
        };
        assert_eq!((first.status(), images(&first)), ("200", 28));
        assert_eq!((second.status(), images(&second)), ("200", 2));
        assert_eq!((third.status(), images(&third)), ("404", 0));
        assert_eq!(
            third.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert!(!String::from_utf8_lossy(&third.body).contains("<img"));
        assert!(String::from_utf8_lossy(&first.body).contains("http://gallery.invalid/uploads/"));
    }

    #[tokio::test]
    async fn a_page_without_its_slash_is_a_redirect() {
        let served = serve(small()).await.unwrap();
        let detail = "/browse/desktops/2018/mar/29/mountains/";
        for (path, status, target) in [
            ("/browse", "301", "/browse/"),
            ("/browse/2", "301", "/browse/2/"),
            (&detail[..detail.len() - 1], "301", detail),
            ("/", "302", "/browse/"),
            ("/download/?desktop=0", "302", MOUNTAINS),
        ] {
            let reply = get(&served, path).await;
            assert_eq!(
                (reply.status(), reply.header("location")),
                (status, Some(target)),
                "{path}"
            );
        }
        assert_eq!(get(&served, detail).await.status(), "200");
    }

    #[tokio::test]
    async fn what_is_nowhere_is_a_404() {
        let served = serve(small()).await.unwrap();
        let huge = "/browse/99999999999999999999999/";
        for path in [
            "/browse/0/",
            "/browse/x/",
            "/browse//",
            huge,
            "/download/?desktop=30",
            "/download/",
            "/a.png",
            "/notice.js",
        ] {
            assert_eq!(get(&served, path).await.status(), "404", "{path}");
        }
        assert_eq!(served.count_requests(Resource::Original), 0);
    }

    #[tokio::test]
    async fn an_original_comes_whole_with_all_that_names_its_version() {
        let served = serve(small()).await.unwrap();
        let reply = get(&served, MOUNTAINS).await;
        assert_eq!(reply.status(), "200");
        assert_eq!(
            reply.body,
            served.gallery().pictures()[0].original().unwrap()
        );
        assert_eq!(
            reply.header("content-length").unwrap(),
            reply.body.len().to_string()
        );
        assert_eq!(reply.header("content-type"), Some("image/png"));
        assert_eq!(reply.header("accept-ranges"), Some("bytes"));
        assert_eq!(
            reply.header("last-modified"),
            Some("Thu, 29 Mar 2018 12:00:00 GMT")
        );
        assert!(reply.header("etag").unwrap().starts_with('"'));
    }

    #[tokio::test]
    async fn an_original_comes_in_parts_that_make_up_the_whole() {
        let served = serve(small()).await.unwrap();
        let whole = get(&served, MOUNTAINS).await;
        let tag = whole.header("etag").unwrap();
        let length = whole.body.len();
        let first = ask(&served, "GET", MOUNTAINS, &[("Range", "bytes=0-99")]).await;
        let rest = ask(
            &served,
            "GET",
            MOUNTAINS,
            &[("Range", "bytes=100-"), ("If-Range", tag)],
        )
        .await;
        assert_eq!((first.status(), rest.status()), ("206", "206"));
        assert_eq!(
            first.header("content-range").unwrap(),
            format!("bytes 0-99/{length}")
        );
        assert_eq!([first.body, rest.body].concat(), whole.body);

        let beyond = ask(
            &served,
            "GET",
            MOUNTAINS,
            &[("Range", &format!("bytes={length}-"))],
        )
        .await;
        assert_eq!((beyond.status(), beyond.body.len()), ("416", 0));
        assert_eq!(
            beyond.header("content-range").unwrap(),
            format!("bytes */{length}")
        );

        let other = ask(
            &served,
            "GET",
            MOUNTAINS,
            &[("Range", "bytes=100-"), ("If-Range", "\"other\"")],
        )
        .await;
        assert_eq!((other.status(), other.body.len()), ("200", length));
        assert_eq!(served.requests()[1].range.as_deref(), Some("bytes=0-99"));
    }

    #[tokio::test]
    async fn client_with_current_validators_gets_304() {
        let served = serve(small()).await.unwrap();
        let whole = get(&served, MOUNTAINS).await;
        let (tag, modified) = (
            whole.header("etag").unwrap(),
            whole.header("last-modified").unwrap(),
        );
        let several = format!("\"old\", W/{tag}");
        for (name, value) in [
            ("If-None-Match", tag),
            ("If-None-Match", &several),
            ("If-None-Match", "*"),
            ("If-Modified-Since", modified),
        ] {
            let reply = ask(&served, "GET", MOUNTAINS, &[(name, value)]).await;
            assert_eq!(
                (reply.status(), reply.body.len(), reply.header("etag")),
                ("304", 0, Some(tag)),
                "{name}: {value}"
            );
        }
        let stale = [
            ("If-None-Match", "\"old\""),
            ("If-Modified-Since", modified),
        ];
        assert_eq!(ask(&served, "GET", MOUNTAINS, &stale).await.status(), "200");
    }

    #[tokio::test]
    async fn a_head_has_every_header_and_no_body_and_other_methods_are_refused() {
        let served = serve(small()).await.unwrap();
        let (whole, head) = (
            get(&served, MOUNTAINS).await,
            ask(&served, "HEAD", MOUNTAINS, &[]).await,
        );
        assert_eq!((head.status(), head.body.len()), ("200", 0));
        assert_eq!(
            head.header("content-length"),
            whole.header("content-length")
        );
        let post = ask(&served, "POST", MOUNTAINS, &[("Content-Length", "0")]).await;
        assert_eq!(
            (post.status(), post.header("allow")),
            ("405", Some("GET, HEAD"))
        );
    }

    #[tokio::test]
    async fn a_thumb_is_a_small_png_whatever_the_original_is() {
        let path = "/uploads/desktops/2010/08/31/.jpg";
        let served = serve(Gallery::new(vec![Picture::at(path)])).await.unwrap();
        let reply = get(&served, &format!("{path}.295x184_q100.png")).await;
        assert_eq!(
            image::guess_format(&reply.body).unwrap(),
            image::ImageFormat::Png
        );
        assert_eq!(image::load_from_memory(&reply.body).unwrap().width(), 295);
        assert_eq!(reply.header("content-type"), Some("image/png"));
    }

    #[tokio::test]
    async fn a_name_may_lie_about_what_it_holds() {
        let path = "/uploads/desktops/2011/10/28/Lanterns.png";
        let liar = Picture {
            coding: Coding::Jpeg,
            width: 64,
            height: 40,
            ..Picture::at(path)
        };
        let served = serve(Gallery::new(vec![liar])).await.unwrap();
        let reply = get(&served, path).await;
        assert_eq!(reply.header("content-type"), Some("image/png"));
        assert_eq!(
            image::guess_format(&reply.body).unwrap(),
            image::ImageFormat::Jpeg
        );
    }

    #[tokio::test]
    async fn a_picture_that_cannot_be_drawn_is_a_500() {
        let served = serve(Gallery::new(vec![Picture {
            width: 0,
            ..Picture::at("/a.png")
        }]))
        .await
        .unwrap();
        assert_eq!(get(&served, "/a.png").await.status(), "500");
    }

    #[tokio::test]
    async fn every_request_is_written_down_by_what_it_was_for() {
        let served = serve(small()).await.unwrap();
        for path in [
            "/robots.txt",
            "/browse/",
            "/browse",
            MOUNTAINS,
            "/nothing",
            "/browse/desktops/2018/mar/29/mountains/",
        ] {
            get(&served, path).await;
        }
        let kinds: Vec<Resource> = served
            .requests()
            .iter()
            .map(|asked| asked.resource)
            .collect();
        assert_eq!(
            kinds,
            [
                Resource::Robots,
                Resource::Listing,
                Resource::Redirect,
                Resource::Original,
                Resource::Missing,
                Resource::Detail
            ]
        );
        assert_eq!(served.count_requests(Resource::Thumb), 0);
    }

    #[tokio::test]
    async fn one_connection_serves_many_requests_until_the_gallery_closes() {
        let served = serve(small()).await.unwrap();
        let address = served.router.address;
        let mut stream = TcpStream::connect(address).await.unwrap();
        for _ in 0..3 {
            stream
                .write_all(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"Disallow:\n") {
                assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
            }
        }
        drop(served);
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
