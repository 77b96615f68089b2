//! From pixels to a file's bytes.

use std::io;

use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

use super::Coding;

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
            Coding::Jpeg => self.jpeg().map_err(io::Error::other),
            Coding::Gif => self.gif().map_err(io::Error::other),
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

    fn jpeg(&self) -> image::ImageResult<Vec<u8>> {
        let mut bytes = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
        encoder.write_image(
            &self.spread(),
            self.width,
            self.height,
            ExtendedColorType::Rgb8,
        )?;
        Ok(bytes)
    }

    fn gif(&self) -> image::ImageResult<Vec<u8>> {
        let mut bytes = Vec::new();
        GifEncoder::new(&mut bytes).encode(
            &self.spread(),
            self.width,
            self.height,
            ExtendedColorType::Rgb8,
        )?;
        Ok(bytes)
    }

    /// Three bytes a pixel, for the formats that know no palette here.
    fn spread(&self) -> Vec<u8> {
        let mut spread = Vec::with_capacity(self.pixels.len() * 3);
        for ink in &self.pixels {
            spread.extend_from_slice(&self.palette[usize::from(*ink)]);
        }
        spread
    }
}
