//! A gallery as a house to walk through: which path leads where, what is answered there, and the book in
//! which every request is written.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use hyper::body::Incoming;
use hyper::header::{HOST, RANGE};
use hyper::{Method, Request, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::answer::{self, Answer, File};
use super::gallery::{Gallery, Picture};
use super::page;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What it was for.
    pub what: What,
    /// `GET`, most often.
    pub method: Method,
    /// The path, as it came.
    pub path: String,
    /// The `Range` it asked for, if any.
    pub range: Option<String>,
}

/// What a request can be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// The rules for robots.
    Robots,
    /// A page of the listing.
    Listing,
    /// A picture's own page.
    Detail,
    /// A picture, small.
    Thumb,
    /// A picture as it is.
    Original,
    /// Something that lies elsewhere.
    Redirect,
    /// Nothing that is there.
    Nothing,
}

/// Where a path leads.
enum Place {
    Robots,
    Listing(usize),
    Detail(usize),
    Thumb(usize, (u32, u32)),
    Original(usize),
    Moved(StatusCode, String),
    Nowhere,
}

impl Place {
    fn what(&self) -> What {
        match self {
            Self::Robots => What::Robots,
            Self::Listing(_) => What::Listing,
            Self::Detail(_) => What::Detail,
            Self::Thumb(..) => What::Thumb,
            Self::Original(_) => What::Original,
            Self::Moved(..) => What::Redirect,
            Self::Nowhere => What::Nothing,
        }
    }
}

/// The gallery, where it is served, and a plan of it.
pub(super) struct House {
    pub gallery: Gallery,
    pub address: SocketAddr,
    originals: HashMap<String, usize>,
    details: HashMap<String, usize>,
    /// As many drawings at a time as there are processors: each holds some megabytes.
    easels: Arc<Semaphore>,
    asked: Mutex<Vec<Asked>>,
}

impl House {
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
        let easels = Arc::new(Semaphore::new(
            available_parallelism().map_or(1, usize::from),
        ));
        Self {
            gallery,
            address,
            originals,
            details,
            easels,
            asked: Mutex::default(),
        }
    }

    /// Every request so far.
    pub(super) fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        // A list that is only ever added to is whole whatever became of who held it.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where `path` leads.
    fn find(&self, path: &str, query: Option<&str>) -> Place {
        if let Some(number) = self.originals.get(path) {
            return Place::Original(*number);
        }
        if let Some(number) = self.details.get(path) {
            return Place::Detail(*number);
        }
        let thumb = [page::SMALL, page::MIDDLING].into_iter().find_map(|size| {
            let original = path.strip_suffix(page::thumb(size, "").as_str())?;
            Some(Place::Thumb(*self.originals.get(original)?, size))
        });
        thumb.unwrap_or_else(|| self.find_page(path, query))
    }

    fn find_page(&self, path: &str, query: Option<&str>) -> Place {
        let is_page =
            |path: &str| listing_number(path).is_some() || self.details.contains_key(path);
        let slashed = format!("{path}/");
        match (path, listing_number(path)) {
            (_, Some(number)) => Place::Listing(number),
            ("/robots.txt", _) => Place::Robots,
            ("/", _) => Place::Moved(StatusCode::FOUND, "/browse/".to_owned()),
            ("/download/", _) => self.find_download(query.unwrap_or_default()),
            _ if is_page(&slashed) => Place::Moved(StatusCode::MOVED_PERMANENTLY, slashed),
            _ => Place::Nowhere,
        }
    }

    fn find_download(&self, query: &str) -> Place {
        let number = query
            .strip_prefix("desktop=")
            .and_then(|number| number.parse().ok());
        let picture = number.and_then(|number: usize| self.gallery.pictures().get(number));
        picture.map_or(Place::Nowhere, |picture| {
            Place::Moved(StatusCode::FOUND, picture.path.clone())
        })
    }

    /// Answers one request.
    pub(super) async fn answer(&self, request: &Request<Incoming>) -> Answer {
        let path = request.uri().path();
        let place = self.find(path, request.uri().query());
        self.write_down(request, place.what());
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return answer::refusal();
        }
        let host = request
            .headers()
            .get(HOST)
            .and_then(|host| host.to_str().ok());
        let host = host.map_or_else(|| self.address.to_string(), str::to_owned);
        let nowhere = || answer::page(StatusCode::NOT_FOUND, page::nowhere());
        match place {
            Place::Robots => answer::text(StatusCode::OK, "User-agent: *\nDisallow:\n"),
            Place::Listing(number) => page::listing(&self.gallery, number, &host)
                .map_or_else(nowhere, |html| answer::page(StatusCode::OK, html)),
            Place::Detail(number) => answer::page(
                StatusCode::OK,
                page::detail(&self.gallery.pictures()[number], number, &host),
            ),
            Place::Thumb(number, size) => {
                self.hand_out(number, request, move |picture| picture.thumb(size))
                    .await
            }
            Place::Original(number) => self.hand_out(number, request, Picture::original).await,
            Place::Moved(status, path) => answer::redirect(status, &path),
            Place::Nowhere => nowhere(),
        }
    }

    /// Answers with a drawing of picture `number`, made where it keeps nobody waiting.
    async fn hand_out(
        &self,
        number: usize,
        request: &Request<Incoming>,
        draw: impl FnOnce(&Picture) -> io::Result<Vec<u8>> + Send + 'static,
    ) -> Answer {
        let picture = self.gallery.pictures()[number].clone();
        let file = File::new(
            &picture,
            request.uri().path(),
            request.method(),
            request.headers(),
        );
        if let Some(answer) = file.unchanged() {
            return answer;
        }
        let easel = Arc::clone(&self.easels).acquire_owned().await;
        let drawing = spawn_blocking(move || {
            let drawn = draw(&picture);
            drop(easel);
            drawn
        });
        file.sent(
            drawing
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error))),
        )
    }

    fn write_down(&self, request: &Request<Incoming>, what: What) {
        let range = request
            .headers()
            .get(RANGE)
            .and_then(|range| range.to_str().ok());
        let asked = Asked {
            what,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            range: range.map(str::to_owned),
        };
        self.asked().push(asked);
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
        let house = House::new(
            Gallery::new(pictures),
            SocketAddr::from(([127, 0, 0, 1], 80)),
        );
        assert_eq!(pairs.len(), 1436);
        for (number, (thumb, original)) in pairs.iter().enumerate() {
            assert!(
                matches!(house.find(thumb, None), Place::Thumb(found, page::SMALL) if found == number),
                "{thumb}"
            );
            assert!(
                matches!(house.find(original, None), Place::Original(found) if found == number),
                "{original}"
            );
            assert_eq!(page::thumb(page::SMALL, original), *thumb);
        }
    }
}
