//! Decodes every picture of a WebP with the crate `image-webp`: each of the streams in its chunks
//! by itself. Read as a whole, the crate makes colors of the lossy ones, adds an alpha channel, and
//! draws each frame upon a canvas, which takes up to 14 bytes for a pixel where the streams take
//! four, and finds no fault that the streams do not show.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use image_webp::{DecodingError, WebPDecoder, vp8::Vp8Decoder};

use crate::outcome::{Content, StoredSize};
use crate::verify::decode::{DecodeError, FormatDecoder, ImageReader, Workspace};
use crate::verify::limits::Dimensions;

pub(super) const DECODER: FormatDecoder = FormatDecoder {
    memory: |width, height| {
        width
            .saturating_mul(height)
            .saturating_mul(BYTES_PER_PIXEL)
            .saturating_add(OVERHEAD)
    },
    decode,
};

/// What a lossless stream is decoded into: three colors and alpha. A lossy one takes 1.5 bytes, and
/// its compressed data.
const BYTES_PER_PIXEL: u64 = 4;

/// The tables of codes.
const OVERHEAD: u64 = 4 << 20;

/// The longest side that the crate decodes in a lossless stream, in pixels. The format allows one
/// more, of which the crate (0.2.4) makes none.
const LONGEST_SIDE: u32 = 16_383;

fn decode(
    file: ImageReader<'_>,
    content: &Content,
    workspace: &mut Workspace,
) -> Result<(), DecodeError> {
    let mut streams = Streams { file, workspace };
    let StoredSize { width, height } = content.stored_size();
    streams.riff(Dimensions { width, height })
}

/// A chunk's place in the file.
#[derive(Clone, Copy)]
struct Chunk {
    kind: [u8; 4],
    /// Where its data begin.
    at: u64,
    length: u64,
}

impl Chunk {
    /// Where the next chunk begins.
    fn end(self) -> u64 {
        self.at
            .saturating_add(self.length)
            .saturating_add(self.length % 2)
    }
}

/// The streams of a file, to be decoded one after the other.
struct Streams<'f, 'w> {
    file: ImageReader<'f>,
    workspace: &'w mut Workspace,
}

impl Streams<'_, '_> {
    /// Decodes the still image, or all frames.
    fn riff(&mut self, canvas: Dimensions) -> Result<(), DecodeError> {
        let header = self.read::<12>()?;
        let [l0, l1, l2, l3] = [4, 5, 6, 7].map(|at| header[at]);
        let end = u64::from(u32::from_le_bytes([l0, l1, l2, l3])).saturating_add(8);
        let mut at = header.len() as u64;
        while let Some(chunk) = self.chunk(at, end)? {
            match &chunk.kind {
                b"ALPH" => self.alpha(chunk, canvas)?,
                b"ANMF" => self.frame(chunk, canvas)?,
                // What follows the one picture of a still image is not shown.
                b"VP8 " => return self.lossy(chunk, canvas),
                b"VP8L" => return self.lossless(chunk, canvas),
                _ => {}
            }
            at = chunk.end();
        }
        Ok(())
    }

    /// Decodes a frame of an animation: its alpha channel, if it has one apart, and its picture.
    fn frame(&mut self, frame: Chunk, canvas: Dimensions) -> Result<(), DecodeError> {
        let fields = self.read::<16>()?;
        let number =
            |at: usize| u32::from_le_bytes([fields[at], fields[at + 1], fields[at + 2], 0]);
        let size = Dimensions {
            width: number(6) + 1,
            height: number(9) + 1,
        };
        if number(0) * 2 + size.width > canvas.width || number(3) * 2 + size.height > canvas.height
        {
            return Err(damaged("a frame outside its canvas"));
        }
        let (mut at, end) = (frame.at + fields.len() as u64, frame.at + frame.length);
        while let Some(chunk) = self.chunk(at, end)? {
            match &chunk.kind {
                b"ALPH" => self.alpha(chunk, size)?,
                b"VP8 " => return self.lossy(chunk, size),
                b"VP8L" => return self.lossless(chunk, size),
                _ => {}
            }
            at = chunk.end();
        }
        Err(damaged("a frame without a picture"))
    }

    fn lossy(&mut self, chunk: Chunk, size: Dimensions) -> Result<(), DecodeError> {
        let header = self.read::<10>()?;
        let pixels =
            |at: usize| u32::from(u16::from_le_bytes([header[at], header[at + 1]]) & 0x3FFF);
        if (pixels(6), pixels(8)) != (size.width, size.height) {
            return Err(damaged("a picture of another size than its frame"));
        }
        let needed = size.pixels().saturating_mul(3) / 2 + chunk.length;
        if needed > self.workspace.memory {
            let reason = format!("{} bytes of compressed data are too many", chunk.length);
            return Err(DecodeError::Unsupported(reason));
        }
        self.seek(chunk.at)?;
        Vp8Decoder::decode_frame((&mut self.file).take(chunk.length))
            .map(drop)
            .map_err(webp_error)
    }

    fn lossless(&mut self, chunk: Chunk, size: Dimensions) -> Result<(), DecodeError> {
        let mut header = self.read::<5>()?;
        // Without alpha, the crate decodes into a buffer of its own, and from there into ours.
        header[4] |= ALPHA_FLAG;
        self.lossless_stream(header, chunk.at + header.len() as u64, chunk, size)
    }

    /// Decodes an alpha channel that stands in a chunk of its own.
    fn alpha(&mut self, chunk: Chunk, size: Dimensions) -> Result<(), DecodeError> {
        let [flags] = self.read()?;
        match flags & 3 {
            0 if chunk.length > size.pixels() => Ok(()),
            0 => Err(damaged("an alpha channel that lacks pixels")),
            1 => {
                // The stream is that of a lossless image, without its header.
                let sides = ((size.width - 1) & 0x3FFF) | (((size.height - 1) & 0x3FFF) << 14);
                let [b0, b1, b2, b3] = sides.to_le_bytes();
                let header = [0x2F, b0, b1, b2, b3 | ALPHA_FLAG];
                self.lossless_stream(header, chunk.at + 1, chunk, size)
            }
            _ => Err(damaged("an alpha channel in an unknown compression")),
        }
    }

    /// Decodes the lossless stream that begins with `header` and goes on at `at` to the end of
    /// `chunk`.
    fn lossless_stream(
        &mut self,
        header: [u8; 5],
        at: u64,
        chunk: Chunk,
        size: Dimensions,
    ) -> Result<(), DecodeError> {
        if size.width > LONGEST_SIDE || size.height > LONGEST_SIDE {
            let reason = format!("a side of more than {LONGEST_SIDE} pixels is not supported");
            return Err(DecodeError::Unsupported(reason));
        }
        self.seek(at)?;
        let tail = (chunk.at + chunk.length).saturating_sub(at);
        let stream = SplicedStream::new(&mut self.file, header, at, tail);
        let mut decoder = WebPDecoder::new(stream).map_err(webp_error)?;
        if decoder.dimensions() != (size.width, size.height) {
            return Err(damaged("a picture of another size than its frame"));
        }
        let length = usize::try_from(size.pixels() * BYTES_PER_PIXEL).unwrap_or(usize::MAX);
        let pixels = self.workspace.buffer(length);
        decoder.read_image(pixels).map_err(webp_error)
    }

    /// The chunk whose header stands at `at`, unless the list of chunks ends at `end`.
    fn chunk(&mut self, at: u64, end: u64) -> Result<Option<Chunk>, DecodeError> {
        if at.saturating_add(8) > end {
            return Ok(None);
        }
        self.seek(at)?;
        let [k0, k1, k2, k3, l0, l1, l2, l3] = self.read()?;
        Ok(Some(Chunk {
            kind: [k0, k1, k2, k3],
            at: at + 8,
            length: u32::from_le_bytes([l0, l1, l2, l3]).into(),
        }))
    }

    fn seek(&mut self, at: u64) -> Result<(), DecodeError> {
        self.file.seek(SeekFrom::Start(at)).map_err(read_error)?;
        Ok(())
    }

    fn read<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(read_error)?;
        Ok(bytes)
    }
}

fn damaged(reason: &str) -> DecodeError {
    DecodeError::Damaged(reason.to_owned())
}

fn read_error(error: io::Error) -> DecodeError {
    webp_error(error.into())
}

/// What an error of the crate says about the image.
fn webp_error(error: DecodingError) -> DecodeError {
    let reason = error.to_string();
    match error {
        DecodingError::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            DecodeError::Unsupported(reason)
        }
        DecodingError::ImageTooLarge
        | DecodingError::UnsupportedFeature(_)
        | DecodingError::InvalidParameter(_)
        | DecodingError::MemoryLimitExceeded => DecodeError::Unsupported(reason),
        // The crate may add errors; those of the stream are the many.
        _ => DecodeError::Damaged(reason),
    }
}

/// The bit of a lossless stream's fifth byte that announces alpha.
const ALPHA_FLAG: u8 = 0x10;

/// A WebP file of one lossless stream: `RIFF`, one chunk and the stream's header in front of the
/// rest of the stream, which stays in the file.
struct SplicedStream<'a, 'b> {
    head: [u8; 25],
    file: &'a mut ImageReader<'b>,
    /// Where the rest of the stream stands in the file.
    tail_at: u64,
    /// The length of head and rest together.
    length: u64,
    position: u64,
}

impl<'a, 'b> SplicedStream<'a, 'b> {
    fn new(file: &'a mut ImageReader<'b>, header: [u8; 5], tail_at: u64, tail: u64) -> Self {
        let length = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        let mut head = [0; 25];
        head[..4].copy_from_slice(b"RIFF");
        head[4..8].copy_from_slice(&length(tail.saturating_add(17)));
        head[8..16].copy_from_slice(b"WEBPVP8L");
        head[16..20].copy_from_slice(&length(tail.saturating_add(5)));
        head[20..].copy_from_slice(&header);
        Self {
            head,
            file,
            tail_at,
            length: tail.saturating_add(25),
            position: 0,
        }
    }
}

impl Read for SplicedStream<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for SplicedStream<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let head = usize::try_from(self.position).unwrap_or(usize::MAX);
        if let Some(left @ [_, ..]) = self.head.get(head..) {
            return Ok(left);
        }
        let left = usize::try_from(self.length - self.position).unwrap_or(usize::MAX);
        let bytes = self.file.fill_buf()?;
        Ok(&bytes[..bytes.len().min(left)])
    }

    fn consume(&mut self, amount: usize) {
        if self.position >= self.head.len() as u64 {
            self.file.consume(amount);
        }
        self.position += amount as u64;
    }
}

impl Seek for SplicedStream<'_, '_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
        };
        let position = position
            .ok_or(io::ErrorKind::InvalidInput)?
            .min(self.length);
        let in_tail = position.saturating_sub(self.head.len() as u64);
        self.file.seek(SeekFrom::Start(self.tail_at + in_tail))?;
        self.position = position;
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::ImageFormat;

    use super::*;
    use crate::verify::testing::{drawn, find, inspect, patched};
    use crate::verify::{DecodeResult, Decoder, Defect, Limits};

    // Made by `cwebp -q 60` 1.2 and by Pillow from a picture of 19 x 11 pixels that a few lines
    // drew; the last two have alpha in a chunk of its own.
    const LOSSY: &[u8] = include_bytes!("../../../../tests/fixtures/webp/lossy.webp");
    const WITH_ALPHA: &[u8] =
        include_bytes!("../../../../tests/fixtures/webp/lossy-with-alpha.webp");
    const ANIMATED: &[u8] = include_bytes!("../../../../tests/fixtures/webp/animated.webp");

    fn decode(bytes: &[u8]) -> Result<DecodeResult, Defect> {
        let content = inspect(bytes).expect("its structure is valid");
        Decoder::new(Limits::default()).decode(Cursor::new(bytes), &content)
    }

    #[test]
    fn every_stream_of_a_webp_is_decoded() {
        let lossless = drawn(ImageFormat::WebP);
        for bytes in [LOSSY, WITH_ALPHA, ANIMATED, &lossless] {
            assert_eq!(decode(bytes), Ok(DecodeResult::Complete));
        }
    }

    /// Overwrites the second half of the first chunk of this kind.
    fn broken(bytes: &[u8], kind: &[u8]) -> Vec<u8> {
        let at = find(bytes, kind) + 4;
        let [l0, l1, l2, l3] = [0, 1, 2, 3].map(|place| bytes[at + place]);
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let half = length / 2;
        patched(bytes, at + 4 + half, &vec![0xFF; length - half])
    }

    #[test]
    fn webp_whose_alpha_or_lossless_stream_is_broken_is_damaged() {
        for bytes in [
            broken(WITH_ALPHA, b"ALPH"),
            broken(ANIMATED, b"ALPH"),
            broken(&drawn(ImageFormat::WebP), b"VP8L"),
        ] {
            let result = decode(&bytes);
            assert!(
                matches!(result, Err(Defect::Undecodable { .. })),
                "{result:?}"
            );
        }
    }

    #[test]
    fn webp_whose_lossy_partition_is_cut_short_is_damaged() {
        // The first partition claims to be longer than the chunk: bits 5 to 23 of its tag.
        let at = find(LOSSY, b"VP8 ") + 8;
        let result = decode(&patched(LOSSY, at + 1, &[0xFF, 0xFF]));
        assert!(
            matches!(result, Err(Defect::Undecodable { .. })),
            "{result:?}"
        );
    }

    #[test]
    fn webp_picture_of_another_size_than_its_frame_is_damaged() {
        let at = find(ANIMATED, b"ANMF") + 8;
        for (place, says) in [(6, "another size"), (0, "outside")] {
            let result = decode(&patched(ANIMATED, at + place, &[2]));
            assert!(
                matches!(&result, Err(Defect::Undecodable { reason }) if reason.contains(says)),
                "{result:?}"
            );
        }
    }

    #[test]
    fn webp_of_120_megapixels_fits_the_memory() {
        assert!((DECODER.memory)(12_000, 10_000) < crate::verify::decode::MEMORY_LIMIT);
    }
}
