//! A local imitation of the web archive: an index in text rows and captures in the form `id_`, answering as the real
//! one does, repeated rows, revisits, redirects and all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use data_encoding::BASE32_NOPAD;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use sha1::{Digest as _, Sha1};

use super::fault_server::{Answer, Asked, FaultServer};

/// One capture of one address.
#[derive(Clone)]
pub(crate) struct Captured {
    /// 14 digits.
    pub(crate) at: &'static str,
    pub(crate) mime: &'static str,
    /// What the index says of it: a status, or `-` for a revisit.
    pub(crate) status: &'static str,
    /// What the site sent.
    pub(crate) bytes: Vec<u8>,
    /// What the archive answers, if not that.
    pub(crate) answer: Option<Answer>,
}

impl Captured {
    /// An image as it was.
    pub(crate) fn image(at: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            at,
            mime: "image/png",
            status: "200",
            bytes: bytes.into(),
            answer: None,
        }
    }

    /// A page as it was.
    pub(crate) fn page(at: &'static str, text: impl Into<Vec<u8>>) -> Self {
        Self {
            mime: "text/html",
            ..Self::image(at, text)
        }
    }

    /// The same with another answer of the archive.
    pub(crate) fn answering(self, answer: Answer) -> Self {
        Self {
            answer: Some(answer),
            ..self
        }
    }

    /// The header that makes an answer a capture.
    pub(crate) fn memento(&self) -> String {
        let date = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", self.at).expect("14 digits");
        let at: Timestamp = date
            .to_zoned(jiff::tz::TimeZone::UTC)
            .expect("a time")
            .timestamp();
        at.strftime("Memento-Datetime: %a, %d %b %Y %H:%M:%S GMT")
            .to_string()
    }

    fn given(&self) -> Answer {
        if let Some(answer) = &self.answer {
            return answer.clone();
        }
        let (memento, mime) = (self.memento(), format!("Content-Type: {}", self.mime));
        let length = format!("X-Archive-Orig-Content-Length: {}", self.bytes.len());
        Answer::whole("200 OK", &[&memento, &mime, &length], self.bytes.clone())
    }
}

/// A running archive.
pub(crate) struct WebArchive {
    pub(crate) server: FaultServer,
    captures: Arc<Mutex<HashMap<String, Vec<Captured>>>>,
}

impl WebArchive {
    /// An archive of nothing.
    pub(crate) fn start() -> Self {
        let server = FaultServer::start();
        let captures: Arc<Mutex<HashMap<String, Vec<Captured>>>> = Arc::default();
        let known = Arc::clone(&captures);
        server.everywhere(move |asked| {
            let known = known.lock().expect("no test breaks while it holds it");
            if let Some(query) = asked.path.strip_prefix("/cdx/search/cdx?") {
                return index(query, &known);
            }
            asked
                .path
                .strip_prefix("/web/")
                .and_then(|rest| capture(rest, &known))
                // The page that the archive has for what it has not.
                .unwrap_or_else(|| {
                    Answer::whole("404 Not Found", &["Content-Type: text/html"], "<html>none")
                })
        });
        Self { server, captures }
    }

    /// Adds a capture of `address`.
    pub(crate) fn add(&self, address: &str, one: Captured) {
        let mut captures = self
            .captures
            .lock()
            .expect("no test breaks while it holds it");
        captures.entry(address.to_owned()).or_default().push(one);
    }

    /// The paths of the captures that were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        let requests = self.server.requests().into_iter();
        requests
            .map(|Asked { path, .. }| path)
            .filter(|path| path.starts_with("/web/"))
            .collect()
    }
}

/// The rows of an address, each twice, as the real index does at times.
fn index(query: &str, known: &HashMap<String, Vec<Captured>>) -> Answer {
    let address = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("url="))
        .map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned())
        .unwrap_or_default();
    let plain = ["Content-Type: text/plain;charset=UTF-8"];
    let mut rows = String::new();
    for captured in known.get(&address).into_iter().flatten() {
        let digest = BASE32_NOPAD.encode(&Sha1::digest(&captured.bytes));
        let Captured {
            at, mime, status, ..
        } = captured;
        let mime = if *status == "-" { "warc/revisit" } else { mime };
        let row = format!("key)/ {at} {address} {mime} {status} {digest} 321\n");
        rows.push_str(&row.repeat(2));
    }
    Answer::whole("200 OK", &plain, rows)
}

/// The capture at `TIMESTAMPid_/ADDRESS`: at another time than a capture's, a redirect to the nearest.
fn capture(rest: &str, known: &HashMap<String, Vec<Captured>>) -> Option<Answer> {
    let (time, address) = rest.split_once("id_/")?;
    let captures = known.get(address)?;
    if let Some(captured) = captures.iter().find(|captured| captured.at == time) {
        return Some(captured.given());
    }
    let wanted: u64 = time.parse().ok()?;
    let nearest = captures.iter().min_by_key(|captured| {
        captured
            .at
            .parse::<u64>()
            .map_or(u64::MAX, |at| at.abs_diff(wanted))
    })?;
    Some(Answer::to(
        302,
        &format!("/web/{}id_/{address}", nearest.at),
    ))
}
