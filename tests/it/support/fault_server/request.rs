//! A request that the fault server received, and the right response to it.

use std::sync::Arc;
use std::time::Instant;

use super::response::Answer;

/// A request that was read.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// As it was written: with its query; a whole address where the server is taken for a proxy.
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    /// How often the path had been asked for with this, from 1; healing begins a new count.
    pub(crate) nth: usize,
    pub(crate) at: Instant,
    /// Which of the server's connections it came by, from 0.
    pub(crate) connection: usize,
    /// What lies at the path while nothing is wrong.
    pub(crate) shown: Arc<[u8]>,
}

impl Asked {
    /// Reads the head of a request; what cannot be read is empty.
    pub(super) fn read(head: &str) -> Self {
        let mut lines = head.lines();
        let mut words = lines
            .next()
            .unwrap_or_default()
            .split(' ')
            .map(str::to_owned);
        let (method, path) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers
            .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
            .collect();
        Self {
            method,
            path,
            headers,
            nth: 0,
            at: Instant::now(),
            connection: 0,
            shown: Arc::default(),
        }
    }

    /// A header's value; its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| &**value)
    }

    /// Where the rest begins that is asked for.
    pub(crate) fn from(&self) -> Option<usize> {
        self.header("range")?
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    }

    /// The same request, if something else were there.
    pub(crate) fn if_it_were(&self, shown: &[u8]) -> Self {
        Self {
            shown: shown.into(),
            ..self.clone()
        }
    }

    /// The right answer, ranges among them, under a strong validator.
    pub(crate) fn served(&self) -> Answer {
        let bytes = &self.shown[..];
        let etag = etag(bytes);
        let validator = format!("ETag: {etag}");
        let headers = [
            "Content-Type: image/png",
            "Accept-Ranges: bytes",
            &validator,
        ];
        match self
            .from()
            .filter(|from| *from < bytes.len() && self.header("if-range") == Some(&etag))
        {
            None => Answer::whole("200 OK", &headers, bytes),
            Some(from) => {
                let range = format!(
                    "Content-Range: bytes {from}-{}/{}",
                    bytes.len() - 1,
                    bytes.len()
                );
                Answer::whole(
                    "206 Partial Content",
                    &[&headers[..], &[&range]].concat(),
                    &bytes[from..],
                )
            }
        }
    }
}

/// The strong validator that a server gives for `bytes`.
pub(crate) fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &blake3::hash(bytes).to_hex()[..16])
}
