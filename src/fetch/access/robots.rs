//! robots.txt: what a host asks crawlers not to request, and how slowly they should send requests.

use std::fmt;
use std::time::Duration;

use texting_robots::Robot;
use url::Url;

/// Our product token (RFC 9309, 2.2.1): a name without a version, or no group would match it.
const PRODUCT: &str = "wallhaul";

/// The most of a robots.txt that is read; the rest is ignored. RFC 9309 (2.5) wants at least 500
/// KiB.
pub(crate) const MAX_ROBOTS_BYTES: usize = 512 * 1024;

/// The rules of a host's robots.txt for us.
pub(crate) struct RobotRules(Option<Robot>);

impl RobotRules {
    /// The rules of a host without a robots.txt: everything is allowed.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Parses a robots.txt; one that is not valid forbids nothing.
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(Robot::new(PRODUCT, complete_lines(text)).ok())
    }

    pub(crate) fn allow(&self, address: &Url) -> bool {
        self.0
            .as_ref()
            .is_none_or(|robot| robot.allowed(address.as_str()))
    }

    /// The host's `Crawl-delay`, to the millisecond: 0.3 as a `f32` is a little more than 300 ms.
    pub(crate) fn crawl_delay(&self) -> Option<Duration> {
        let milliseconds = f64::from(self.0.as_ref()?.delay?) * 1000.0;
        Duration::try_from_secs_f64(milliseconds.round() / 1000.0).ok()
    }
}

impl fmt::Debug for RobotRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RobotRules")
            .field("any", &self.0.is_some())
            .finish()
    }
}

/// `text` without the line that the size limit cut in two: half a path forbids more than the whole
/// path.
fn complete_lines(text: &[u8]) -> &[u8] {
    if text.len() < MAX_ROBOTS_BYTES {
        return text;
    }
    let end = text[..MAX_ROBOTS_BYTES]
        .iter()
        .rposition(|byte| matches!(byte, b'\n' | b'\r'))
        .unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use futures_util::stream::FuturesUnordered;
    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;
    use crate::fetch::scripted::{Reply, Server, image, path_of, settings};
    use crate::fetch::{FetchErrorKind, FetchSettings, Robots};

    fn allows(text: &str, path: &str) -> bool {
        RobotRules::parse(text.as_bytes()).allow(
            &Url::parse("http://gallery.test")
                .unwrap()
                .join(path)
                .unwrap(),
        )
    }

    #[test]
    fn robots_txt_group_for_wallhaul_wins_over_the_one_for_all() {
        let text = "User-agent: *\nDisallow: /\n\nUser-agent: Wallhaul\nDisallow: /private/\n";
        assert!(allows(text, "/browse/"));
        assert!(!allows(text, "/private/a.png"));
        assert!(!allows(
            "User-agent: *\nDisallow: /uploads\n",
            "/uploads/a.png"
        ));
        assert!(allows(
            "User-agent: *\nDisallow: /uploads\nAllow: /uploads/desktops\n",
            "/uploads/desktops/a.png"
        ));
    }

    #[test]
    fn a_missing_or_empty_robots_txt_forbids_nothing() {
        assert!(RobotRules::none().allow(&Url::parse("http://gallery.test/").unwrap()));
        assert!(allows("", "/browse/"));
        assert!(allows("<html>no such page</html>", "/browse/"));
    }

    #[test]
    fn a_crawl_delay_is_parsed_and_an_invalid_one_ignored() {
        let delay = |delay| {
            RobotRules::parse(format!("User-agent: *\nCrawl-delay: {delay}\n").as_bytes())
                .crawl_delay()
        };
        assert_eq!(delay("2.5"), Some(Duration::from_millis(2500)));
        assert_eq!(delay("0.3"), Some(Duration::from_millis(300)));
        for senseless in ["-1", "nan", "1e39", "soon"] {
            assert_eq!(delay(senseless), None, "{senseless}");
        }
    }

    #[test]
    fn a_robots_txt_line_cut_at_the_size_limit_is_ignored() {
        let mut text = b"User-agent: *\n".to_vec();
        text.resize(MAX_ROBOTS_BYTES - b"Disallow: /".len() - 1, b'#');
        text.extend_from_slice(b"\nDisallow: /private/");
        assert!(
            RobotRules::parse(&text[..MAX_ROBOTS_BYTES])
                .allow(&Url::parse("http://gallery.test/a").unwrap())
        );
    }

    const FORBIDDING: &str = "User-agent: wallhaul\nDisallow: /uploads/\n";

    fn obeying() -> FetchSettings {
        FetchSettings {
            robots: Robots::Obey,
            retries: 1,
            ..settings()
        }
    }

    async fn gallery(robots: Reply) -> Server {
        Server::start(move |head| match path_of(head) {
            "/robots.txt" => robots.clone(),
            _ => Reply::ok("x"),
        })
        .await
    }

    #[tokio::test]
    async fn robots_txt_is_fetched_once_for_concurrent_requests() {
        let server = gallery(Reply::ok(FORBIDDING)).await;
        let (fetcher, address) = (server.fetcher_with(&obeying()), server.url("/a.png"));
        let asking: FuturesUnordered<_> = (0..10).map(|_| image(&fetcher, &address)).collect();
        assert!(asking.all(async |image| image.is_ok()).await);
        assert_eq!(
            (
                server.request_count("/robots.txt"),
                server.request_count("/a.png")
            ),
            (1, 10)
        );
    }

    #[tokio::test]
    async fn an_address_that_robots_txt_disallows_is_not_requested() {
        let server = gallery(Reply::ok(FORBIDDING)).await;
        let error = image(
            &server.fetcher_with(&obeying()),
            &server.url("/uploads/a.png"),
        )
        .await
        .unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::RobotsDisallowed { path } if path == "/uploads/a.png"),
            "{error}"
        );
        assert_eq!(server.request_count("/uploads/a.png"), 0);
    }

    #[tokio::test]
    async fn robots_txt_is_not_fetched_when_it_is_ignored() {
        let server = gallery(Reply::ok(FORBIDDING)).await;
        image(&server.fetcher(), &server.url("/uploads/a.png"))
            .await
            .unwrap();
        assert_eq!(server.request_count("/robots.txt"), 0);
    }

    #[tokio::test]
    async fn a_redirect_to_an_address_that_robots_txt_disallows_is_refused() {
        let server = Server::start(|head| match path_of(head) {
            "/robots.txt" => Reply::ok(FORBIDDING),
            _ => Reply::to("/uploads/a.png"),
        });
        let server = server.await;
        let error = image(&server.fetcher_with(&obeying()), &server.url("/a.png"))
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::RobotsDisallowed { .. }),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_robots_txt_with_a_4xx_or_a_bad_redirect_forbids_nothing() {
        for none in [
            Reply::new(404, &[], ""),
            Reply::new(403, &[], ""),
            Reply::to("/robots.txt"),
            Reply::to("ftp://x/"),
        ] {
            let server = gallery(none).await;
            image(&server.fetcher_with(&obeying()), &server.url("/a.png"))
                .await
                .unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_robots_txt_that_cannot_be_read_forbids_everything_and_is_not_fetched_again() {
        let server = gallery(Reply::new(503, &[], "")).await;
        let fetcher = server.fetcher_with(&obeying());
        for _ in 0..3 {
            let error = image(&fetcher, &server.url("/a.png")).await.unwrap_err();
            assert!(
                matches!(error.kind(), FetchErrorKind::RobotsUnreadable { .. }),
                "{error}"
            );
            assert!(error.to_string().contains("answered 503"), "{error}");
        }
        assert_eq!(
            (
                server.request_count("/robots.txt"),
                server.request_count("/a.png")
            ),
            (2, 0)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_robots_txt_that_is_not_packed_as_its_content_encoding_says_is_obeyed_if_it_is_text()
    {
        for coding in ["gzip", "zstd", "br, compress"] {
            let coding = format!("Content-Encoding: {coding}");
            let server = gallery(Reply::new(200, &[&coding], FORBIDDING)).await;
            let fetcher = server.fetcher_with(&obeying());
            image(&fetcher, &server.url("/a.png")).await.unwrap();
            let error = image(&fetcher, &server.url("/uploads/a.png")).await;
            let error = error.unwrap_err();
            assert!(
                matches!(error.kind(), FetchErrorKind::RobotsDisallowed { .. }),
                "{coding}: {error}"
            );
        }
        let packed = b"\x28\xb5\x2f\xfd\x04\x00";
        let server = gallery(Reply::new(200, &["Content-Encoding: zstd"], packed)).await;
        let fetcher = server.fetcher_with(&obeying());
        let error = image(&fetcher, &server.url("/a.png")).await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("content encoding that was not requested: `zstd`"),
            "{error}"
        );
        assert_eq!(server.request_count("/robots.txt"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crawl_delay_slows_requests_down() {
        let server = gallery(Reply::ok("User-agent: *\nCrawl-delay: 3\n")).await;
        let fetcher = server.fetcher_with(&obeying());
        image(&fetcher, &server.url("/a.png")).await.unwrap();
        let start = Instant::now();
        image(&fetcher, &server.url("/b.png")).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test]
    async fn an_endless_robots_txt_is_read_to_its_size_limit() {
        let endless = [
            b"HTTP/1.1 200 OK\r\n\r\n".as_slice(),
            FORBIDDING.as_bytes(),
            &vec![b'\n'; MAX_ROBOTS_BYTES],
        ]
        .concat();
        let server = gallery(Reply::raw(endless).and_hang()).await;
        image(&server.fetcher_with(&obeying()), &server.url("/a.png"))
            .await
            .unwrap();
        image(
            &server.fetcher_with(&obeying()),
            &server.url("/uploads/a.png"),
        )
        .await
        .unwrap_err();
    }

    proptest! {
        #[test]
        fn no_robots_txt_makes_the_parser_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let rules = RobotRules::parse(&text);
            rules.allow(&Url::parse("http://gallery.test/a%20b?c").unwrap());
            rules.crawl_delay();
        }
    }
}
