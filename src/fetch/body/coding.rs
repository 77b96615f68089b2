//! Undoes the content codings of a body (RFC 9110, 8.4): gzip, deflate and br, several in a row,
//! however the bytes are cut into packets.
//!
//! Here and not in the HTTP client, whose decoders stop at the first member of a gzip file, know no
//! codings in capitals, and refuse a body whose header names a charset or nothing at all.

use std::fmt;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use super::layer::{Coding, CodingError, Layer};

/// What pages are requested with.
pub(crate) const PAGE_CODINGS: &str = "gzip, deflate, br";

/// The most codings of one body. Two happen: a proxy that packs what was packed already.
const MAX_CODINGS: usize = 4;

/// How much of the names of codings is quoted, in characters.
const QUOTED: usize = 60;

/// What a request accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// A page: all that this module can undo.
    Packed,
    /// An image: nothing. What some stores send all the same is gzip or deflate, which is undone.
    /// Not br, whose window takes up to 16 MB of memory for each image.
    Identity,
}

/// Decodes a body as it arrives. No more than one packet and a few kilobytes are in memory.
pub(super) struct Decoder {
    /// The coding that was applied last comes first.
    layers: Vec<Layer>,
}

impl Decoder {
    /// The decoder of a body with these headers; `None` where its bytes are taken as they are.
    ///
    /// Words that are no coding (`UTF-8`, `none`, `binary`, `aws-chunked`) are ignored, as browsers
    /// do: a page is judged by its text and an image by its bytes.
    ///
    /// # Errors
    ///
    /// The codings, if one of them cannot be undone here or they are too many.
    pub(super) fn new(headers: &HeaderMap, accepted: Accepted) -> Result<Option<Self>, String> {
        let mut codings = Vec::new();
        let mut is_known = true;
        for value in headers.get_all(CONTENT_ENCODING) {
            for word in value.as_bytes().split(|&byte| byte == b',') {
                match word.trim_ascii().to_ascii_lowercase().as_slice() {
                    b"gzip" | b"x-gzip" => codings.push(Coding::Gzip),
                    b"deflate" => codings.push(Coding::Deflate),
                    b"br" if accepted == Accepted::Packed => codings.push(Coding::Brotli),
                    b"br" | b"zstd" | b"compress" | b"x-compress" | b"dcb" | b"dcz" => {
                        is_known = false;
                    }
                    _ => {}
                }
            }
        }
        if !is_known || codings.len() > MAX_CODINGS {
            return Err(quoted(headers));
        }
        if codings.is_empty() {
            return Ok(None);
        }
        let layers = codings.into_iter().rev().map(Layer::new).collect();
        Ok(Some(Self { layers }))
    }

    /// Adds bytes as they were received.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.layers[0].push(chunk);
    }

    /// No more bytes will be received.
    pub(super) fn end(&mut self) {
        self.layers[0].end();
    }

    /// Whether all layers came to their own end, which proves that the body is whole; not so where
    /// an image was not packed.
    pub(super) fn is_proven(&self) -> bool {
        self.layers.iter().all(Layer::is_proven)
    }

    /// The next decoded bytes; `None` where further ones must be received first, or at the end.
    ///
    /// # Errors
    ///
    /// When the bytes are damaged, or end too early.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, CodingError> {
        let last = self.layers.len() - 1;
        loop {
            // The innermost layer first, so that no buffer between two layers grows.
            let mut output = BytesMut::new();
            let mut moved = None;
            for index in (0..=last).rev() {
                if self.layers[index].step(&mut output)? {
                    moved = Some(index);
                    break;
                }
            }
            match moved {
                Some(index) if index == last => {
                    if !output.is_empty() {
                        return Ok(Some(output.freeze()));
                    }
                }
                Some(index) => self.layers[index + 1].push(&output),
                None => {
                    let mut pairs = self.layers.windows(2);
                    match pairs.position(|pair| pair[0].is_done() && !pair[1].has_ended()) {
                        Some(index) => self.layers[index + 1].end(),
                        None => return Ok(None),
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codings: Vec<Coding> = self.layers.iter().map(|layer| layer.coding()).collect();
        f.debug_tuple("Decoder").field(&codings).finish()
    }
}

/// The codings as the headers name them, cut to a readable length.
fn quoted(headers: &HeaderMap) -> String {
    let values = headers.get_all(CONTENT_ENCODING).into_iter();
    let names: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    let all = names.join(", ");
    match all.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}...", &all[..end]),
        None => all,
    }
}
