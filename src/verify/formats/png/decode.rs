//! Decodes every pixel of a PNG, row by row, with the crate `png`.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use super::animation::{self, Animation};
use crate::outcome::Content;
use crate::verify::decode::{DecodeError, FormatDecoder, ImageReader, MEMORY_LIMIT, Workspace};

pub(super) const DECODER: FormatDecoder = FormatDecoder {
    // It is decoded row by row, so the height does not count.
    memory: |width, _| width.saturating_mul(64),
    decode,
};

fn decode(mut file: ImageReader<'_>, _: &Content, _: &mut Workspace) -> Result<(), DecodeError> {
    let read_error = |error: io::Error| png_error(error.into());
    let animation = animation::find(&mut file).map_err(read_error)?;
    file.rewind().map_err(read_error)?;
    match animation {
        Animation::Frames(frames) => decode_pictures(file, frames).map_err(png_error),
        Animation::Irregular => {
            // The crate refuses the whole file, where viewers show the picture in front.
            decode_pictures(WithoutAnimation::new(file), 0).map_err(png_error)?;
            Err(DecodeError::Unsupported(
                "its animation breaks the rules of APNG, so that only its first picture was decoded"
                    .to_owned(),
            ))
        }
    }
}

/// Decodes the first picture and `frames` more.
fn decode_pictures(file: impl BufRead + Seek, frames: u32) -> Result<(), png::DecodingError> {
    let mut options = png::DecodeOptions::default();
    // Off by default. Without it, wrong pixels in a chunk whose checksum was computed from them
    // pass as right.
    options.set_ignore_adler32(false);
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    let mut decoder = png::Decoder::new_with_options(file, options);
    decoder.set_limits(png::Limits {
        bytes: usize::try_from(MEMORY_LIMIT).unwrap_or(usize::MAX),
    });
    let mut reader = decoder.read_info()?;
    while reader.next_row()?.is_some() {}
    for _ in 0..frames {
        reader.next_frame_info()?;
        while reader.next_row()?.is_some() {}
    }
    reader.finish()
}

/// What an error of the crate says about the image.
fn png_error(error: png::DecodingError) -> DecodeError {
    let reason = error.to_string();
    match error {
        png::DecodingError::Format(_) => DecodeError::Damaged(reason),
        png::DecodingError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            DecodeError::Damaged(reason)
        }
        png::DecodingError::IoError(_)
        | png::DecodingError::Parameter(_)
        | png::DecodingError::LimitsExceeded => DecodeError::Unsupported(reason),
    }
}

/// A PNG without its animation: the chunks of APNG are left out.
struct WithoutAnimation<R> {
    file: R,
    /// The header of the current chunk, or the file's signature, as far as it was not read.
    header: Vec<u8>,
    /// Bytes left of the current chunk behind its header, checksum included.
    left: u64,
}

impl<R: BufRead + Seek> WithoutAnimation<R> {
    fn new(file: R) -> Self {
        Self {
            file,
            header: Vec::new(),
            // The signature passes like the data of a chunk.
            left: 8,
        }
    }

    /// Goes on to the next chunk that stays, if there is one.
    fn next_chunk(&mut self) -> io::Result<()> {
        while self.header.is_empty() && self.left == 0 && !self.file.fill_buf()?.is_empty() {
            let mut header = [0; 8];
            self.file.read_exact(&mut header)?;
            let [l0, l1, l2, l3, kind @ ..] = header;
            let behind = u64::from(u32::from_be_bytes([l0, l1, l2, l3])) + 4;
            if matches!(&kind, b"acTL" | b"fcTL" | b"fdAT") {
                self.file
                    .seek_relative(i64::try_from(behind).unwrap_or(i64::MAX))?;
            } else {
                self.header = header.to_vec();
                self.left = behind;
            }
        }
        Ok(())
    }
}

impl<R: BufRead + Seek> Read for WithoutAnimation<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead + Seek> BufRead for WithoutAnimation<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.next_chunk()?;
        if !self.header.is_empty() {
            return Ok(&self.header);
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let bytes = self.file.fill_buf()?;
        Ok(&bytes[..bytes.len().min(left)])
    }

    fn consume(&mut self, amount: usize) {
        if self.header.is_empty() {
            self.file.consume(amount);
            self.left -= amount as u64;
        } else {
            self.header.drain(..amount);
        }
    }
}

/// The crate asks for it and does not use it.
impl<R> Seek for WithoutAnimation<R> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
