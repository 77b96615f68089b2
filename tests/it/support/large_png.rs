//! PNG files of a wanted size, quickly made.

use std::io::Cursor;

use image::{GrayImage, ImageFormat};

/// What stands in front of a PNG's last chunk: four bytes of length before it, four of name.
const END: [u8; 4] = *b"IEND";

/// A small picture that carries so many bytes of noise in a chunk that decoders pass over; each `seed` has its own.
pub(crate) fn large_png(seed: u32, bytes: usize) -> Vec<u8> {
    let mut picture = Cursor::new(Vec::new());
    GrayImage::new(8, 8)
        .write_to(&mut picture, ImageFormat::Png)
        .expect("a format that is built in");
    let mut picture = picture.into_inner();
    let end = picture
        .windows(4)
        .rposition(|four| four == END)
        .expect("a last chunk")
        - 4;
    let mut chunk = b"noIs".to_vec();
    chunk.extend(noise(seed).take(bytes));
    let length = u32::try_from(bytes).expect("a chunk's length");
    let checksum = crc32fast::hash(&chunk);
    picture.splice(
        end..end,
        [&length.to_be_bytes(), &*chunk, &checksum.to_be_bytes()].concat(),
    );
    picture
}

fn noise(seed: u32) -> impl Iterator<Item = u8> {
    let mut state = u64::from(seed) << 1 | 1;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()
    })
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_png_is_valid_and_unique_per_seed() {
        let (one, other) = (large_png(1, 100_000), large_png(2, 100_000));
        assert!(
            one.len() > 100_000
                && one.len() < 101_000
                && one != other
                && one == large_png(1, 100_000)
        );
        assert!(image::load_from_memory(&one).is_ok());
    }
}
