//! What is done with bytes that nobody vouches for, and what must hold of it for all of them: one
//! function a target. `tests/it/fuzz.rs` feeds them what is kept in `corpus` and bends it a little,
//! `run` feeds them for hours.

pub mod portable;

use std::fs;
use std::io::{self, Read};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use http_body_util::Empty;
use hyper::Request;
use hyper::body::{Body as _, Bytes};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use wallhaul::fetch::fuzzing;
use wallhaul::job::{ImageKey, ImageName, ImageRef, RulesHash};
use wallhaul::ledger::{self, Selection};
use wallhaul::outcome::Format;
use wallhaul::site::{NextPage, Pages, Site, SiteError};
use wallhaul::verify::{self, Limits};

use url::Url;

/// A site with every kind of field and more than one way to an original.
const LAZY: &str = include_str!("../../fixtures/sites/lazy/definition.toml");

/// That one, and the one that is known best.
static SITES: LazyLock<[Site; 2]> = LazyLock::new(|| {
    let sites = [Site::shipped("simpledesktops"), Site::from_toml(LAZY)];
    sites.map(|site| site.expect("a definition that is known to be good"))
});

/// What takes bytes and holds what must hold.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const ALL: [(&str, Target); 12] = [
    ("config", config),
    ("content_coding", content_coding),
    ("content_range", content_range),
    ("definition", definition),
    ("html", html),
    ("image", image),
    ("ledger", ledger),
    ("listing", listing),
    ("name", name),
    ("response_head", response_head),
    ("retry_after", retry_after),
    ("rewrite", rewrite),
];

/// A listing page: a `Content-Type` in the first line, the page behind it.
pub fn listing(data: &[u8]) {
    let (content_type, body) = halves(data);
    let body = fuzzing::decode(body, Some(&String::from_utf8_lossy(content_type)));
    for site in &*SITES {
        let Ok(page) = site.read(&site.first_page(), &body) else {
            continue;
        };
        let health = &page.health;
        assert_eq!(
            page.images.len() + health.filtered + health.without_thumb + health.unusable,
            health.items
        );
        let _ = (health.verdict(true), health.verdict(false));
        page.images.iter().for_each(|image| hold_image(site, image));
    }
}

/// An HTML page, whose tree is the same by both ways of reading it.
pub fn html(data: &[u8]) {
    let page = String::from_utf8_lossy(data);
    assert!(
        wallhaul::site::fuzzing::matches_html_parser(&page),
        "{page}"
    );
    let body = format!("<!DOCTYPE html><html><head></head><body>{page}</body></html>");
    assert!(
        wallhaul::site::fuzzing::matches_html_parser(&body),
        "{page}"
    );
}

/// A thumb's address, under the rules of two sites.
pub fn name(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for site in &*SITES {
        for base in [site.base().clone(), site.first_page()] {
            let Ok(address) = base.join(&text) else {
                continue;
            };
            hold_name(site, &shown(site, &address), &address);
        }
    }
}

/// A rule: a pattern, what it is rewritten to, and a thumb's address, a line each.
pub fn rewrite(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let rule = format!(
        "{{ from = \"thumb\", regex = {}, to = {} }}",
        quoted(line()),
        quoted(line())
    );
    let known = "{ from = \"thumb\", regex = '^(?<head>.+)_300x168(?<ext>\\.jpg)$', to = \"${head}_1920x1080$ext\" }";
    assert!(
        LAZY.contains(known),
        "the definition has another first rule by now"
    );
    let (site, address) = (Site::from_toml(&LAZY.replace(known, &rule)), line());
    match site {
        Err(error) => hold_told(&error),
        Ok(site) => {
            let thumb = site
                .base()
                .join(address)
                .ok()
                .filter(is_one_to_ask)
                .unwrap_or_else(|| site.first_page());
            hold_image(&site, &shown(&site, &thumb));
        }
    }
}

/// A site's definition.
pub fn definition(data: &[u8]) {
    match Site::from_toml(&String::from_utf8_lossy(data)) {
        Err(error) => hold_told(&error),
        Ok(site) => {
            assert!(matches!(site.scheme(), "http" | "https"));
            assert!(
                site.first_page()
                    .host_str()
                    .is_some_and(|host| site.names_host(host))
            );
            let mut pager = site.pager(Pages::default(), jiff::civil::date(2028, 2, 29));
            let mut requests = std::iter::from_fn(|| match pager.next_page() {
                NextPage::Request(request) => Some(request.url),
                NextPage::AfterAnswer | NextPage::NoMore => None,
            });
            let (one, two) = (requests.next(), requests.next());
            assert!(one.is_none() || one != two);
            let thumb = two.unwrap_or_else(|| site.first_page());
            hold_image(&site, &shown(&site, &thumb));
        }
    }
}

/// A configuration file.
pub fn config(data: &[u8]) {
    if let Err(error) = wallhaul::config::file::read(&String::from_utf8_lossy(data)) {
        assert!(
            error.line > 0 && error.column > 0 && !error.message.is_empty(),
            "{error}"
        );
    }
}

/// A line that names content codings, and a body below it.
pub fn content_coding(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n');
    let (line, body) = data.split_at(end.unwrap_or(data.len()));
    let body = body.get(1..).unwrap_or_default();
    let codings = String::from_utf8_lossy(line);
    let whole = fuzzing::undo_codings(&codings, body, 0);
    let cut = fuzzing::undo_codings(&codings, body, body.len() / 2);
    assert_eq!(cut, whole, "{codings:?}");
}

/// The head of a response.
pub fn response_head(data: &[u8]) {
    if let Some(head) = fuzzing::clean_head(data) {
        assert_eq!(fuzzing::clean_head(&head).as_ref(), Some(&head));
    }
    // What is read without hyper means the same to hyper.
    if let Some((end, length)) = fuzzing::usual_head(data) {
        assert_eq!(status_and_length(&data[..end]), (200, Some(length)));
    }
}

/// The status of a response with this head, and how long its body is, as hyper reads it.
fn status_and_length(head: &[u8]) -> (u16, Option<u64>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let response = async {
        let (client, mut server) = tokio::io::duplex(1 << 16);
        let (mut sender, driver) = http1::handshake(TokioIo::new(client)).await.expect("no IO");
        tokio::spawn(driver);
        let request = sender.send_request(Request::new(Empty::<Bytes>::new()));
        let server = async {
            server.read_u8().await.expect("a request");
            server.write_all(head).await.expect("a client");
            server
        };
        let (response, _server) = tokio::join!(request, server);
        response.expect("a head that was read without hyper")
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.build().expect("a runtime without IO");
    let response = runtime.block_on(response);
    (
        response.status().as_u16(),
        response.body().size_hint().exact(),
    )
}

/// A `Content-Range`.
pub fn content_range(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some((first, last, length)) = fuzzing::parse_content_range(&text) {
        let written = format!("bytes {first}-{last}/{length}");
        assert_eq!(
            fuzzing::parse_content_range(&written),
            Some((first, last, length)),
            "{text:?}"
        );
    }
}

/// A `Retry-After`.
pub fn retry_after(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for now in [0, 784_111_777, 4_000_000_000] {
        let wish =
            fuzzing::parse_retry_after(&text, SystemTime::UNIX_EPOCH + Duration::from_secs(now));
        assert!(wish.is_none_or(|wish| !wish.is_zero()), "{text:?}");
    }
}

/// An image, in chunks as large as its first two bytes say.
pub fn image(data: &[u8]) {
    let (seed, bytes) = data.split_at(data.len().min(2));
    let limits = Limits::default();
    let length = bytes.len() as u64;
    let whole = verify::verify_file(bytes, length, limits).expect("bytes that can be read");
    let chunked = verify::verify_file(Chunks { bytes, seed, at: 0 }, length, limits)
        .expect("bytes that can be read");
    assert_eq!(whole, chunked, "in chunks it is judged otherwise");
    if let Ok(content) = whole {
        assert_eq!(content.bytes, length);
        assert!(u64::from(content.width) * u64::from(content.height) <= limits.max_pixels);
        let longer =
            verify::verify_file(bytes, length + 1, limits).expect("bytes that can be read");
        assert!(longer.is_err(), "a byte is missing");
    }
}

/// A ledger's file.
pub fn ledger(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ledger.db");
    fs::write(&file, data).expect("a file in it");
    let message = match ledger::open(folder.path(), false) {
        Ok(ledger) => {
            // Damage in a row is reported when the row is read.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime");
            let key = ImageKey::from_stored("s https://s.invalid/a".to_owned());
            let name = ImageName::from_stored("a.jpg");
            let now = jiff::Timestamp::UNIX_EPOCH;
            let _ = (
                ledger.stats(),
                ledger.files(),
                runtime.block_on(ledger.pending()),
                runtime.block_on(ledger.pending_hooks()),
                runtime.block_on(ledger.known(vec![key.clone()], RulesHash::default(), now)),
                runtime.block_on(ledger.adopted(vec![(key.clone(), name.stem())])),
                runtime.block_on(ledger.record(vec![ledger::Record::Unplaced { key }])),
                runtime.block_on(ledger.forget(vec![(name, "missing".to_owned())], now)),
            );
            let _ = ledger.each(&Selection::default(), &mut |_row| {
                std::ops::ControlFlow::Continue(())
            });
            return;
        }
        Err(error) => error.to_string(),
    };
    assert!(message.contains("ledger.db"), "{message}");
    assert!(
        fs::read(&file).expect("it is still there") == data,
        "a refused file was changed: {message}"
    );
}

/// What must hold of an image that a page shows.
fn hold_image(site: &Site, image: &ImageRef) {
    let ImageRef {
        site: _,
        page: _,
        thumb,
        link,
        title,
        is_original: _,
        record: _,
    } = image;
    for address in [Some(thumb), link.as_ref()].into_iter().flatten() {
        assert!(is_one_to_ask(address), "{address}");
    }
    assert!(
        title
            .as_ref()
            .is_none_or(|title| !title.is_empty() && title.chars().count() <= 300)
    );
    let Ok(candidates) = site.candidates(image) else {
        return;
    };
    assert!(!candidates.is_empty());
    for candidate in candidates {
        let address = candidate.url();
        assert!(
            address.host_str().is_some_and(|host| site.names_host(host)),
            "{address}"
        );
        assert!(is_one_to_ask(address), "{address}");
        hold_name(site, image, address);
    }
}

/// What must hold of the name that an image gets.
fn hold_name(site: &Site, image: &ImageRef, original: &Url) {
    let name = site.name(image, original, Format::Webp);
    assert_eq!(
        portable::flaw(&name.to_string()),
        None,
        "{name:?} of {original}"
    );
    assert_eq!(site.stem(image, original), name.stem());
}

/// The message about a definition holds nothing that a terminal would obey.
fn hold_told(error: &SiteError) {
    let message = format!("{error}{}", error.render("site.toml", false));
    assert!(
        !message.contains(|c: char| c.is_control() && c != '\n'),
        "{message:?}"
    );
}

fn is_one_to_ask(address: &Url) -> bool {
    matches!(address.scheme(), "http" | "https")
        && address.username().is_empty()
        && address.password().is_none()
}

fn shown(site: &Site, thumb: &Url) -> ImageRef {
    let link = Some(thumb.clone());
    ImageRef {
        site: site.id().clone(),
        page: site.first_page().into(),
        thumb: thumb.clone(),
        link,
        title: None,
        is_original: false,
        record: wallhaul::job::Record::default(),
    }
}

/// What stands before and behind the first line end.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data
        .iter()
        .position(|&byte| byte == b'\n')
        .unwrap_or(data.len());
    (&data[..end], data.get(end + 1..).unwrap_or_default())
}

/// Bytes that come in chunks of sizes by chance, each between one and some hundred.
struct Chunks<'a> {
    bytes: &'a [u8],
    seed: &'a [u8],
    at: usize,
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let chance = self.seed.get(self.at % 2).copied().unwrap_or(0);
        self.at += 1;
        let size = 1 + usize::from(chance.wrapping_mul(self.at.to_le_bytes()[0] | 1));
        self.bytes.read(&mut buffer[..size])
    }
}
