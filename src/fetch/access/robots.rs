//! robots.txt: what a host wishes not to be asked for, and how slowly.

use std::fmt;
use std::time::Duration;

use texting_robots::Robot;
use url::Url;

/// The name we go by in a robots.txt; a version behind it would match nothing.
const PRODUCT: &str = "wallhaul";

/// How much of a robots.txt is read; what stands behind it is ignored.
pub(crate) const LONGEST: usize = 512 * 1024;

/// What a host's robots.txt says to us.
pub(crate) struct Rules(Option<Robot>);

impl Rules {
    /// No rule at all: a host without a robots.txt.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Reads a robots.txt; one that cannot be read forbids nothing.
    pub(crate) fn read(text: &[u8]) -> Self {
        Self(Robot::new(PRODUCT, whole_lines(text)).ok())
    }

    /// Whether `address` may be asked.
    pub(crate) fn allow(&self, address: &Url) -> bool {
        self.0
            .as_ref()
            .is_none_or(|robot| robot.allowed(address.as_str()))
    }

    /// The interval the host wishes for.
    pub(crate) fn interval(&self) -> Option<Duration> {
        let delay = self.0.as_ref()?.delay?;
        Duration::try_from_secs_f32(delay).ok()
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("any", &self.0.is_some())
            .finish()
    }
}

/// What was cut off at the limit loses its last line: half a path forbids more than the whole.
fn whole_lines(text: &[u8]) -> &[u8] {
    if text.len() < LONGEST {
        return text;
    }
    let end = text[..LONGEST]
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
    use crate::fetch::{FetchError, FetchSettings, Robots};

    fn allows(text: &str, path: &str) -> bool {
        Rules::read(text.as_bytes()).allow(
            &Url::parse("http://gallery.test")
                .unwrap()
                .join(path)
                .unwrap(),
        )
    }

    #[test]
    fn our_own_group_counts_before_the_one_for_everybody() {
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
    fn a_missing_or_empty_robots_forbids_nothing() {
        assert!(Rules::none().allow(&Url::parse("http://gallery.test/").unwrap()));
        assert!(allows("", "/browse/"));
        assert!(allows("<html>no such page</html>", "/browse/"));
    }

    #[test]
    fn a_delay_is_read_and_a_senseless_one_passed_over() {
        let delay = |delay| {
            Rules::read(format!("User-agent: *\nCrawl-delay: {delay}\n").as_bytes()).interval()
        };
        assert_eq!(delay("2.5"), Some(Duration::from_millis(2500)));
        for senseless in ["-1", "nan", "1e39", "soon"] {
            assert_eq!(delay(senseless), None, "{senseless}");
        }
    }

    #[test]
    fn half_a_line_at_the_limit_forbids_nothing() {
        let mut text = b"User-agent: *\n".to_vec();
        text.resize(LONGEST - b"Disallow: /".len() - 1, b'#');
        text.extend_from_slice(b"\nDisallow: /private/");
        assert!(Rules::read(&text[..LONGEST]).allow(&Url::parse("http://gallery.test/a").unwrap()));
    }

    const FORBIDDING: &str = "User-agent: wallhaul\nDisallow: /uploads/\n";

    fn obedient() -> FetchSettings {
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
    async fn it_is_read_once_however_many_ask_at_once() {
        let server = gallery(Reply::ok(FORBIDDING)).await;
        let (fetcher, address) = (server.fetcher_with(&obedient()), server.url("/a.png"));
        let asking: FuturesUnordered<_> = (0..10).map(|_| image(&fetcher, &address)).collect();
        assert!(asking.all(async |image| image.is_ok()).await);
        assert_eq!(
            (server.asked("/robots.txt"), server.asked("/a.png")),
            (1, 10)
        );
    }

    #[tokio::test]
    async fn what_it_forbids_is_not_asked() {
        let server = gallery(Reply::ok(FORBIDDING)).await;
        let error = image(
            &server.fetcher_with(&obedient()),
            &server.url("/uploads/a.png"),
        )
        .await
        .unwrap_err();
        assert!(
            matches!(&error, FetchError::Forbidden { path, .. } if path == "/uploads/a.png"),
            "{error}"
        );
        assert_eq!(server.asked("/uploads/a.png"), 0);
    }

    #[tokio::test]
    async fn whoever_ignores_it_does_not_ask_for_it() {
        let server = gallery(Reply::ok(FORBIDDING)).await;
        image(&server.fetcher(), &server.url("/uploads/a.png"))
            .await
            .unwrap();
        assert_eq!(server.asked("/robots.txt"), 0);
    }

    #[tokio::test]
    async fn a_redirect_is_held_to_it_as_well() {
        let server = Server::start(|head| match path_of(head) {
            "/robots.txt" => Reply::ok(FORBIDDING),
            _ => Reply::to("/uploads/a.png"),
        });
        let server = server.await;
        let error = image(&server.fetcher_with(&obedient()), &server.url("/a.png"))
            .await
            .unwrap_err();
        assert!(matches!(error, FetchError::Forbidden { .. }), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_not_there_or_leads_astray_forbids_nothing() {
        for none in [
            Reply::new(404, &[], ""),
            Reply::new(403, &[], ""),
            Reply::to("/robots.txt"),
            Reply::to("ftp://x/"),
        ] {
            let server = gallery(none).await;
            image(&server.fetcher_with(&obedient()), &server.url("/a.png"))
                .await
                .unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_cannot_be_read_forbids_everything_and_is_not_asked_for_again() {
        let server = gallery(Reply::new(503, &[], "")).await;
        let fetcher = server.fetcher_with(&obedient());
        for _ in 0..3 {
            let error = image(&fetcher, &server.url("/a.png")).await.unwrap_err();
            assert!(matches!(error, FetchError::Robots { .. }), "{error}");
            assert!(error.to_string().contains("answered 503"), "{error}");
        }
        assert_eq!(
            (server.asked("/robots.txt"), server.asked("/a.png")),
            (2, 0)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_delay_it_wishes_for_is_kept() {
        let server = gallery(Reply::ok("User-agent: *\nCrawl-delay: 3\n")).await;
        let fetcher = server.fetcher_with(&obedient());
        image(&fetcher, &server.url("/a.png")).await.unwrap();
        let start = Instant::now();
        image(&fetcher, &server.url("/b.png")).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test]
    async fn one_without_end_is_read_to_its_limit() {
        let endless = [
            b"HTTP/1.1 200 OK\r\n\r\n".as_slice(),
            FORBIDDING.as_bytes(),
            &vec![b'\n'; LONGEST],
        ]
        .concat();
        let server = gallery(Reply::raw(endless).and_hang()).await;
        image(&server.fetcher_with(&obedient()), &server.url("/a.png"))
            .await
            .unwrap();
        image(
            &server.fetcher_with(&obedient()),
            &server.url("/uploads/a.png"),
        )
        .await
        .unwrap_err();
    }

    proptest! {
        #[test]
        fn no_robots_makes_a_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let rules = Rules::read(&text);
            rules.allow(&Url::parse("http://gallery.test/a%20b?c").unwrap());
            rules.interval();
        }
    }
}
