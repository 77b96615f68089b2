//! From pixels to a file's bytes.

use std::io;

use jpeg_encoder::ColorType;

use super::Coding;

/// Of the JPEG files, from 1 to 100.
const QUALITY: u8 = 90;

/// The pixels of a finished drawing.
pub(super) struct Raster {
    pub width: u32,
    pub height: u32,
    pub pixels: Vec<u8>,
    pub palette: Vec<[u8; 3]>,
}

impl Raster {
    /// The file's bytes.
    ///
    /// # Errors
    ///
    /// When a side is 0, or longer than the format can say.
    pub(super) fn encode(&self, coding: Coding) -> io::Result<Vec<u8>> {
        match coding {
            Coding::Png => self.png().map_err(io::Error::other),
            Coding::Jpeg => self.jpeg(),
            Coding::Gif => self.gif(),
        }
    }

    fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(self.palette.as_flattened());
        // Filters help photographs; runs of one ink are shortest as they are.
        encoder.set_filter(png::Filter::NoFilter);
        encoder.set_deflate_compression(png::DeflateCompression::Level(2));
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        writer.finish()?;
        Ok(bytes)
    }

    fn jpeg(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let (width, height) = self.sides()?;
        let encoder = jpeg_encoder::Encoder::new(&mut bytes, QUALITY);
        let written = encoder.encode(&self.spread(), width, height, ColorType::Rgb);
        written.map_err(io::Error::other)?;
        Ok(bytes)
    }

    fn gif(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let (width, height) = self.sides()?;
        let palette = self.palette.as_flattened();
        let encoder = gif::Encoder::new(&mut bytes, width, height, palette);
        let frame = gif::Frame {
            width,
            height,
            buffer: self.pixels.as_slice().into(),
            ..gif::Frame::default()
        };
        let written = encoder.and_then(|mut encoder| encoder.write_frame(&frame));
        written.map_err(io::Error::other)?;
        Ok(bytes)
    }

    /// Width and height as JPEG and GIF say them.
    fn sides(&self) -> io::Result<(u16, u16)> {
        let side = |side: u32| u16::try_from(side).map_err(io::Error::other);
        Ok((side(self.width)?, side(self.height)?))
    }

    /// Three bytes a pixel, for JPEG, which knows no palette.
    fn spread(&self) -> Vec<u8> {
        let mut spread = Vec::with_capacity(self.pixels.len() * 3);
        for ink in &self.pixels {
            spread.extend_from_slice(&self.palette[usize::from(*ink)]);
        }
        spread
    }
}
