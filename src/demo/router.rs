//! Routes of the demo gallery: which path answers with what, and the log of all requests.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::available_parallelism;

use hyper::body::Incoming;
use hyper::header::{HOST, RANGE};
use hyper::{Method, Request, StatusCode};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::gallery::{Gallery, Picture};
use super::page;
use super::response::{self, HttpResponse, ServedFile};

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRequest {
    /// The kind of resource that its path names.
    pub resource: Resource,
    /// The method, mostly `GET`.
    pub method: Method,
    /// The path as sent.
    pub path: String,
    /// The `Range` header, if any.
    pub range: Option<String>,
}

/// What a request can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// robots.txt.
    Robots,
    /// A listing page.
    Listing,
    /// A picture's detail page.
    Detail,
    /// A thumbnail.
    Thumb,
    /// An original.
    Original,
    /// A path that redirects.
    Redirect,
    /// A path that does not exist.
    Missing,
}

/// The handler of a path, with what it needs.
enum Route {
    Robots,
    Listing(usize),
    Detail(usize),
    Thumb(usize, (u32, u32)),
    Original(usize),
    Redirect(StatusCode, String),
    NotFound,
}

impl Route {
    fn resource(&self) -> Resource {
        match self {
            Self::Robots => Resource::Robots,
            Self::Listing(_) => Resource::Listing,
            Self::Detail(_) => Resource::Detail,
            Self::Thumb(..) => Resource::Thumb,
            Self::Original(_) => Resource::Original,
            Self::Redirect(..) => Resource::Redirect,
            Self::NotFound => Resource::Missing,
        }
    }
}

/// The gallery with its routes by path.
pub(super) struct Router {
    pub gallery: Gallery,
    pub address: SocketAddr,
    originals: HashMap<String, usize>,
    details: HashMap<String, usize>,
    /// One permit per core: a rendering is CPU work and holds several megabytes, so more at a time only cost memory.
    render_permits: Arc<Semaphore>,
    log: Mutex<Vec<LoggedRequest>>,
}

impl Router {
    pub(super) fn new(gallery: Gallery, address: SocketAddr) -> Self {
        let plan = |path: fn(&Picture) -> &str| {
            let pictures = gallery.pictures().iter().enumerate();
            pictures
                .map(|(number, picture)| (path(picture).to_owned(), number))
                .collect()
        };
        let (originals, details) = (
            plan(|picture| &picture.path),
            plan(|picture| &picture.detail),
        );
        let render_permits = Arc::new(Semaphore::new(
            available_parallelism().map_or(1, usize::from),
        ));
        Self {
            gallery,
            address,
            originals,
            details,
            render_permits,
            log: Mutex::default(),
        }
    }

    /// Every request so far.
    pub(super) fn log(&self) -> MutexGuard<'_, Vec<LoggedRequest>> {
        self.log.lock()
    }

    /// Finds the route of `path`.
    fn route(&self, path: &str, query: Option<&str>) -> Route {
        if let Some(number) = self.originals.get(path) {
            return Route::Original(*number);
        }
        if let Some(number) = self.details.get(path) {
            return Route::Detail(*number);
        }
        let thumb = [page::SMALL, page::MIDDLING].into_iter().find_map(|size| {
            let original = path.strip_suffix(page::thumb(size, "").as_str())?;
            Some(Route::Thumb(*self.originals.get(original)?, size))
        });
        thumb.unwrap_or_else(|| self.route_page(path, query))
    }

    fn route_page(&self, path: &str, query: Option<&str>) -> Route {
        let is_page =
            |path: &str| listing_number(path).is_some() || self.details.contains_key(path);
        let slashed = format!("{path}/");
        match (path, listing_number(path)) {
            (_, Some(number)) => Route::Listing(number),
            ("/robots.txt", _) => Route::Robots,
            ("/", _) => Route::Redirect(StatusCode::FOUND, "/browse/".to_owned()),
            ("/download/", _) => self.route_download(query.unwrap_or_default()),
            _ if is_page(&slashed) => Route::Redirect(StatusCode::MOVED_PERMANENTLY, slashed),
            _ => Route::NotFound,
        }
    }

    fn route_download(&self, query: &str) -> Route {
        let number = query
            .strip_prefix("desktop=")
            .and_then(|number| number.parse().ok());
        let picture = number.and_then(|number: usize| self.gallery.pictures().get(number));
        picture.map_or(Route::NotFound, |picture| {
            Route::Redirect(StatusCode::FOUND, picture.path.clone())
        })
    }

    /// Answers one request.
    pub(super) async fn answer(&self, request: &Request<Incoming>) -> HttpResponse {
        let path = request.uri().path();
        let route = self.route(path, request.uri().query());
        self.record(request, route.resource());
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return response::refusal();
        }
        let host = request
            .headers()
            .get(HOST)
            .and_then(|host| host.to_str().ok());
        let host = host.map_or_else(|| self.address.to_string(), str::to_owned);
        let not_found = || response::page(StatusCode::NOT_FOUND, page::not_found());
        match route {
            Route::Robots => response::text(StatusCode::OK, "User-agent: *\nDisallow:\n"),
            Route::Listing(number) => page::listing(&self.gallery, number, &host)
                .map_or_else(not_found, |html| response::page(StatusCode::OK, html)),
            Route::Detail(number) => response::page(
                StatusCode::OK,
                page::detail(&self.gallery.pictures()[number], number, &host),
            ),
            Route::Thumb(number, size) => {
                self.render(number, request, move |picture| picture.thumb(size))
                    .await
            }
            Route::Original(number) => self.render(number, request, Picture::original).await,
            Route::Redirect(status, path) => response::redirect(status, &path),
            Route::NotFound => not_found(),
        }
    }

    /// Responds with a rendering of picture `number`, made on a blocking thread.
    async fn render(
        &self,
        number: usize,
        request: &Request<Incoming>,
        draw: impl FnOnce(&Picture) -> io::Result<Vec<u8>> + Send + 'static,
    ) -> HttpResponse {
        let picture = self.gallery.pictures()[number].clone();
        let file = ServedFile::new(
            &picture,
            request.uri().path(),
            request.method(),
            request.headers(),
        );
        if let Some(answer) = file.not_modified() {
            return answer;
        }
        let permit = Arc::clone(&self.render_permits).acquire_owned().await;
        let drawing = spawn_blocking(move || {
            let drawn = draw(&picture);
            drop(permit);
            drawn
        });
        file.respond(
            drawing
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error))),
        )
    }

    fn record(&self, request: &Request<Incoming>, resource: Resource) {
        let range = request
            .headers()
            .get(RANGE)
            .and_then(|range| range.to_str().ok());
        let log = LoggedRequest {
            resource,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            range: range.map(str::to_owned),
        };
        self.log().push(log);
    }
}

/// The number in `/browse/7/`; `/browse/` is the first page.
fn listing_number(path: &str) -> Option<usize> {
    if path == "/browse/" {
        return Some(1);
    }
    let digits = path.strip_prefix("/browse/")?.strip_suffix('/')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thumb_of_the_real_site_leads_to_its_original() {
        let host = "http://static.simpledesktops.com";
        let rows = include_str!("../../tests/fixtures/simpledesktops/catalog.tsv")
            .lines()
            .skip(1);
        let pairs: Vec<(&str, &str)> = rows
            .map(|row| {
                row.split('\t')
                    .map(|field| field.strip_prefix(host).unwrap_or(field))
            })
            .map(|mut fields| (fields.next().unwrap(), fields.next().unwrap()))
            .collect();
        let pictures = pairs
            .iter()
            .map(|(_, original)| Picture::at(original))
            .collect();
        let router = Router::new(
            Gallery::new(pictures),
            SocketAddr::from(([127, 0, 0, 1], 80)),
        );
        assert_eq!(pairs.len(), 1436);
        for (number, (thumb, original)) in pairs.iter().enumerate() {
            assert!(
                matches!(router.route(thumb, None), Route::Thumb(found, page::SMALL) if found == number),
                "{thumb}"
            );
            assert!(
                matches!(router.route(original, None), Route::Original(found) if found == number),
                "{original}"
            );
            assert_eq!(page::thumb(page::SMALL, original), *thumb);
        }
    }
}
