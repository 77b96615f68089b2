//! Undoes the content codings of a body (RFC 9110, 8.4): gzip, deflate and br, several in a row,
//! however the bytes are cut into packets.
//!
//! Here and not in the HTTP client, whose decoders stop at the first member of a gzip file, know no
//! codings in capitals, and refuse a body whose header names a charset or nothing at all.

use std::fmt;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};

use super::layer::{Coding, CodingError, Layer};

/// What pages are requested with.
pub(crate) const PAGE_CODINGS: &str = "gzip, deflate, br";

/// The most codings of one body. Two happen: a proxy that packs what was packed already.
const MAX_CODINGS: usize = 4;

/// Codings that are not undone, or not for every body (IANA, "HTTP Content Coding Registry").
const UNKNOWN: [&str; 6] = ["br", "zstd", "compress", "x-compress", "dcb", "dcz"];

/// How much of the names of codings is quoted, in characters.
const QUOTED: usize = 60;

/// What a request accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// A page: all that this module can undo.
    Packed,
    /// A robots.txt: the same, and text that is not packed as the header says. Browsers refuse that,
    /// but here it would forbid the whole host, and rules that can be read can be obeyed.
    PackedOrText,
    /// An image: nothing. What some stores send all the same is gzip or deflate, which is undone.
    /// Not br, whose window takes up to 16 MB of memory for each image.
    Identity,
}

/// The most bytes that layers pass on to one another. The limit of a body counts what comes out of the last layer, and
/// a hostile one may take gigabytes of blocks without content.
const MAX_BETWEEN: usize = 256 << 20;

/// Decodes a body as it arrives. No more than one packet and a few kilobytes are in memory.
pub(super) struct Decoder {
    /// The coding that was applied last comes first.
    layers: Vec<Layer>,
    /// How many bytes one layer has passed on to another.
    between: usize,
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
                    b"br" if accepted != Accepted::Identity => codings.push(Coding::Brotli),
                    word => {
                        let unknown = UNKNOWN.iter().find(|name| name.as_bytes() == word);
                        codings.extend(unknown.map(|&name| Coding::Unknown(name)));
                        is_known &= unknown.is_none();
                    }
                }
            }
        }
        let takes_text = accepted == Accepted::PackedOrText;
        if (!is_known && !takes_text) || codings.len() > MAX_CODINGS {
            return Err(quoted(headers));
        }
        if codings.is_empty() {
            return Ok(None);
        }
        let layers = codings
            .into_iter()
            .rev()
            .map(|coding| Layer::new(coding, takes_text))
            .collect();
        Ok(Some(Self { layers, between: 0 }))
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
                // What follows behind the end of the next coding means nothing, and may be without end.
                Some(index) if self.layers[index + 1].ignores_input() => {
                    self.layers[index].ignore_rest();
                }
                Some(index) => {
                    self.between += output.len();
                    if self.between > MAX_BETWEEN {
                        let coding = self.layers[index].coding();
                        return Err(CodingError { coding });
                    }
                    self.layers[index + 1].push(&output);
                }
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
        let codings: Vec<Coding> = self.layers.iter().map(Layer::coding).collect();
        f.debug_tuple("Decoder").field(&codings).finish()
    }
}

/// The first `most` bytes of what `bytes` are unpacked, as the headers say; as many as can be read where they are
/// damaged or cut off.
pub(crate) fn unpacked_start(headers: &HeaderMap, bytes: Vec<u8>, most: usize) -> Vec<u8> {
    let Ok(Some(mut decoder)) = Decoder::new(headers, Accepted::Packed) else {
        return bytes;
    };
    decoder.push(&bytes);
    decoder.end();
    let mut start = Vec::new();
    while start.len() < most {
        match decoder.next() {
            Ok(Some(unpacked)) => start.extend_from_slice(&unpacked),
            Ok(None) | Err(_) => break,
        }
    }
    start.truncate(most);
    start
}

/// For the fuzz target: decodes `bytes` in two packets, and returns how many come of it; `None`
/// where they are damaged.
pub fn undo_codings(codings: &str, bytes: &[u8], cut: usize) -> Option<usize> {
    let value = HeaderValue::from_str(codings).ok()?;
    let headers = HeaderMap::from_iter([(CONTENT_ENCODING, value)]);
    let mut decoder = Decoder::new(&headers, Accepted::Packed).ok()??;
    let (first, second) = bytes.split_at(cut.min(bytes.len()));
    let mut length = 0;
    for packet in [first, second] {
        decoder.push(packet);
        while let Some(decoded) = decoder.next().ok()? {
            length += decoded.len();
        }
    }
    decoder.end();
    while let Some(decoded) = decoder.next().ok()? {
        length += decoded.len();
    }
    Some(length)
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn packed<W>(mut encoder: W, bytes: &[u8], finish: impl FnOnce(W) -> Vec<u8>) -> Vec<u8>
    where
        W: Write,
    {
        encoder.write_all(bytes).unwrap();
        finish(encoder)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let encoder = GzEncoder::new(Vec::new(), Compression::default());
        packed(encoder, bytes, |encoder| encoder.finish().unwrap())
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        packed(encoder, bytes, |encoder| encoder.finish().unwrap())
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        packed(encoder, bytes, |encoder| encoder.finish().unwrap())
    }

    /// The word `page`, by brotli.
    const BROTLI: &[u8] = b"\x8b\x01\x80\x70\x61\x67\x65\x03";

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on, as far as it goes";

    fn headers(codings: &[&str]) -> HeaderMap {
        let values = codings.iter().map(|coding| coding.parse().unwrap());
        values.map(|value| (CONTENT_ENCODING, value)).collect()
    }

    /// Decodes bytes that arrive in packets of this size; `None` where they are damaged.
    fn decode(codings: &[&str], bytes: &[u8], packet: usize) -> Option<Vec<u8>> {
        let decoder = Decoder::new(&headers(codings), Accepted::Packed).unwrap();
        let Some(mut decoder) = decoder else {
            return Some(bytes.to_vec());
        };
        let mut whole = Vec::new();
        for packet in bytes.chunks(packet) {
            decoder.push(packet);
            while let Some(bytes) = decoder.next().ok()? {
                whole.extend_from_slice(&bytes);
            }
        }
        decoder.end();
        while let Some(bytes) = decoder.next().ok()? {
            whole.extend_from_slice(&bytes);
        }
        Some(whole)
    }

    /// What is decoded, however the bytes are cut into packets.
    #[track_caller]
    fn decoded(codings: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
        let whole = decode(codings, bytes, bytes.len().max(1));
        for packet in [1, 2, 3, 7, 18, 19, 100] {
            let pieces = decode(codings, bytes, packet);
            assert_eq!(pieces, whole, "{codings:?} in packets of {packet}");
        }
        whole
    }

    #[test]
    fn names_of_codings_know_no_case() {
        for name in [
            "gzip", "GZIP", "Gzip", "x-gzip", "X-GZIP", " gzip ", "gzip,",
        ] {
            assert_eq!(decoded(&[name], &gzip(b"page")).unwrap(), b"page", "{name}");
        }
        for name in ["deflate", "Deflate"] {
            assert_eq!(decoded(&[name], &zlib(b"page")).unwrap(), b"page");
            assert_eq!(decoded(&[name], &deflate(b"page")).unwrap(), b"page");
        }
        for name in ["br", "BR"] {
            assert_eq!(decoded(&[name], BROTLI).unwrap(), b"page");
        }
    }

    #[test]
    fn robots_txt_that_is_not_packed_as_its_header_says_is_taken_if_it_is_text() {
        let text = "User-agent: *\nDisallow: /\u{e9}\n".as_bytes();
        let cut_in_a_character = "\u{feff}# 3456789012\u{e9}".as_bytes();
        let undone = |codings: &str, bytes: &[u8]| {
            let mut decoder =
                Decoder::new(&headers(&[codings]), Accepted::PackedOrText).unwrap()?;
            decoder.push(bytes);
            decoder.end();
            let mut whole = Vec::new();
            while let Some(bytes) = decoder.next().ok()? {
                whole.extend_from_slice(&bytes);
            }
            Some(whole)
        };
        for coding in [
            "gzip",
            "deflate",
            "br",
            "zstd",
            "compress",
            "x-compress",
            "dcb",
            "gzip, zstd",
        ] {
            for text in [text, cut_in_a_character, b"", b"#"] {
                assert_eq!(undone(coding, text).as_deref(), Some(text), "{coding}");
            }
            assert_eq!(
                undone(coding, b"\x28\xb5\x2f\xfd\x24\x04"),
                None,
                "{coding}"
            );
            assert_eq!(
                undone(coding, &[0; 40]).unwrap_or_default(),
                b"",
                "{coding}"
            );
        }
        for (coding, bytes) in [
            ("gzip", gzip(text)),
            ("deflate", zlib(text)),
            ("deflate", deflate(text)),
            ("gzip, deflate", zlib(&gzip(text))),
        ] {
            assert_eq!(undone(coding, &bytes).as_deref(), Some(text), "{coding}");
        }
        assert_eq!(undone("br", BROTLI).as_deref(), Some(&b"page"[..]));
        assert_eq!(decoded(&["gzip"], text), None, "a page is not taken");
    }

    #[test]
    fn words_that_are_no_coding_are_ignored() {
        for word in [
            "UTF-8",
            "none",
            "binary",
            "aws-chunked",
            "identity",
            "",
            ",",
            "rot13",
            "8bit",
            "text/html",
            "chunked",
            "\u{e9}",
        ] {
            assert_eq!(decoded(&[word], b"page").unwrap(), b"page", "{word}");
            assert_eq!(
                decoded(&[word, "gzip"], &gzip(b"page")).unwrap(),
                b"page",
                "{word}"
            );
        }
    }

    #[test]
    fn codings_in_a_row_are_undone_from_the_last_one() {
        let twice = zlib(&gzip(b"page"));
        assert_eq!(decoded(&["gzip, deflate"], &twice).unwrap(), b"page");
        assert_eq!(decoded(&["gzip", "deflate"], &twice).unwrap(), b"page");
        assert_eq!(decoded(&["deflate, gzip"], &twice), None);
        assert_eq!(decoded(&["br, gzip"], &gzip(BROTLI)).unwrap(), b"page");
    }

    #[test]
    fn too_many_codings_and_those_without_a_decoder_are_named() {
        let named =
            |codings: &[&str], accepted| Decoder::new(&headers(codings), accepted).unwrap_err();
        for coding in ["zstd", "compress", "x-compress", "dcb", "gzip, zstd"] {
            assert_eq!(named(&[coding], Accepted::Packed), coding);
        }
        assert_eq!(named(&["br"], Accepted::Identity), "br");
        assert_eq!(
            named(&["gzip"; 5], Accepted::Packed),
            ["gzip"; 5].join(", ")
        );
        let long = named(&[&["gzip"; 200].join(", ")], Accepted::Packed);
        assert!(long.starts_with("gzip, gzip") && long.len() < 80, "{long}");
    }

    #[test]
    fn every_member_of_a_gzip_file_is_decoded() {
        let words = [
            "one ",
            "",
            "two ",
            "three ",
            &"four ".repeat(50_000),
            "five",
        ];
        let members: Vec<u8> = words
            .iter()
            .flat_map(|word| gzip(word.as_bytes()))
            .collect();
        assert!(decoded(&["gzip"], &members).unwrap() == words.concat().as_bytes());
    }

    #[test]
    fn bytes_after_the_end_are_ignored() {
        for junk in [
            &[0][..],
            &[0; 512],
            b"\r\n",
            b"\x1f",
            b"\x1f\x8b",
            b"\x1f\x8bx",
            b"<!-- cached -->",
        ] {
            for (coding, bytes) in [
                ("gzip", gzip(b"page")),
                ("deflate", zlib(b"page")),
                ("deflate", deflate(b"page")),
                ("br", BROTLI.to_vec()),
            ] {
                let bytes = [&bytes, junk].concat();
                assert_eq!(
                    decoded(&[coding], &bytes).unwrap(),
                    b"page",
                    "{coding} {junk:?}"
                );
            }
        }
    }

    #[test]
    fn a_cut_body_is_an_error_wherever_it_is_cut() {
        let text = "a page of some length, ".repeat(20);
        let bytes = text.as_bytes();
        let two = [gzip(bytes), gzip(bytes)].concat();
        let first = two.len() / 2;
        for end in 1..two.len() {
            // A file may end after a member; one or two bytes of the next are as good as junk.
            if !(first..first + 3).contains(&end) {
                assert_eq!(decode(&["gzip"], &two[..end], 100), None, "{end}");
            }
        }
        for (coding, bytes) in [
            ("deflate", zlib(bytes)),
            ("deflate", deflate(bytes)),
            ("br", BROTLI.to_vec()),
        ] {
            for end in 1..bytes.len() {
                assert_eq!(
                    decode(&[coding], &bytes[..end], 100),
                    None,
                    "{coding} {end}"
                );
            }
        }
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        let mut checksum = gzip(b"page");
        let last = checksum.len() - 5;
        checksum[last] ^= 1;
        assert_eq!(decoded(&["gzip"], &checksum), None);
        assert_eq!(decoded(&["gzip"], b"<html>this was never packed"), None);
        assert_eq!(
            decoded(&["gzip, gzip"], &gzip(b"<html>packed once, named twice")),
            None
        );
        assert_eq!(decoded(&["gzip"], b"").unwrap(), b"");
    }

    #[test]
    fn an_image_that_is_not_packed_is_taken_as_it_is() {
        for coding in ["gzip", "deflate", "br", "gzip, gzip"] {
            assert_eq!(decoded(&[coding], PNG).unwrap(), PNG, "{coding}");
        }
        assert_eq!(decoded(&["gzip"], &gzip(PNG)).unwrap(), PNG);
        assert_eq!(decoded(&["gzip, gzip"], &gzip(PNG)).unwrap(), PNG);
    }

    #[test]
    fn a_bomb_comes_out_in_small_pieces() {
        let zeros = vec![0; 20_000_000];
        for (coding, bomb) in [
            ("gzip", gzip(&zeros)),
            ("deflate", deflate(&zeros)),
            ("gzip, gzip", gzip(&gzip(&zeros))),
        ] {
            let mut decoder = Decoder::new(&headers(&[coding]), Accepted::Packed)
                .unwrap()
                .unwrap();
            decoder.push(&bomb);
            decoder.end();
            let mut length = 0;
            while let Some(bytes) = decoder.next().unwrap() {
                assert!(bytes.len() <= 64 * 1024, "{}", bytes.len());
                length += bytes.len();
            }
            assert_eq!(length, zeros.len());
            // A gzip file may have had another member.
            assert_eq!(decoder.is_proven(), coding == "deflate");
        }
    }

    #[test]
    fn what_follows_behind_the_end_of_an_inner_coding_is_not_decoded() {
        let zeros = vec![0; 20_000_000];
        let bomb = zlib(&[&gzip(b"page"), &zeros[..]].concat());
        let mut decoder = Decoder::new(&headers(&["gzip, deflate"]), Accepted::Packed)
            .unwrap()
            .unwrap();
        decoder.push(&bomb);
        decoder.end();
        assert_eq!(decoder.next().unwrap().unwrap(), &b"page"[..]);
        assert!(decoder.next().unwrap().is_none());
        assert!(decoder.between < 1_000_000, "{}", decoder.between);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            codings in "(gzip|deflate|br|, ){0,5}",
            packet in 1_usize..50,
        ) {
            let _ = Decoder::new(&headers(&[&codings]), Accepted::Packed)
                .map(|_| decode(&[&codings], &bytes, packet));
        }

        #[test]
        fn what_was_packed_comes_back(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2000), 1..6),
            packet in 1_usize..500,
        ) {
            let members: Vec<u8> = pieces.iter().flat_map(|piece| gzip(piece)).collect();
            prop_assert_eq!(decode(&["gzip"], &members, packet).unwrap(), pieces.concat());
        }
    }
}
