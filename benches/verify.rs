//! Verifying bytes while they pass: hash and structure together, and the hash alone for comparison.

use std::io::Cursor;
use std::iter::successors;
use std::sync::LazyLock;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use image::{DynamicImage, ImageFormat, RgbImage};
use wallhaul::part::ByteObserver as _;
use wallhaul::verify::{Inspector, Limits};

use crate::sure;

/// Chunk sizes in bytes: a small read of a slow connection, and a full one.
const CHUNKS: [usize; 2] = [16 * 1024, 64 * 1024];

/// Pixels along each side: some megabytes in all, more than the inner processor caches hold.
const SIDE: u32 = 1024;

/// Noise: no format compresses it, and a JPEG of it has the most stuffed bytes.
static NOISE: LazyLock<DynamicImage> = LazyLock::new(|| {
    let next = |seed: &u64| {
        Some(
            seed.wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407),
        )
    };
    let bytes = successors(Some(1_u64), next).map(|seed| seed.to_be_bytes()[0]);
    let pixels = bytes.take(SIDE as usize * SIDE as usize * 3).collect();
    DynamicImage::from(RgbImage::from_raw(SIDE, SIDE, pixels).expect("three bytes a pixel"))
});

fn drawn(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    sure(NOISE.write_to(&mut bytes, format));
    bytes.into_inner()
}

/// Hash and checks of an image. WebP and AVIF are absent: their checkers skip the image data without looking at it.
fn inspect(bencher: Bencher<'_, '_>, format: ImageFormat, chunk: usize) {
    let image = drawn(format);
    bencher
        .counter(BytesCount::of_slice(&image))
        .bench_local(|| {
            let mut inspector = Inspector::new(Limits::default());
            black_box(&image)
                .chunks(chunk)
                .for_each(|chunk| inspector.update(chunk));
            assert_eq!(inspector.defect(), None);
            inspector
        });
}

#[divan::bench(args = CHUNKS)]
fn inspect_png(bencher: Bencher<'_, '_>, chunk: usize) {
    inspect(bencher, ImageFormat::Png, chunk);
}

#[divan::bench(args = CHUNKS)]
fn inspect_jpeg(bencher: Bencher<'_, '_>, chunk: usize) {
    inspect(bencher, ImageFormat::Jpeg, chunk);
}

#[divan::bench(args = CHUNKS)]
fn inspect_gif(bencher: Bencher<'_, '_>, chunk: usize) {
    inspect(bencher, ImageFormat::Gif, chunk);
}

#[divan::bench(args = CHUNKS)]
fn hash_alone(bencher: Bencher<'_, '_>, chunk: usize) {
    let image = drawn(ImageFormat::Png);
    bencher
        .counter(BytesCount::of_slice(&image))
        .bench_local(|| {
            let mut hasher = blake3::Hasher::new();
            for chunk in black_box(&image).chunks(chunk) {
                hasher.update(chunk);
            }
            hasher.finalize()
        });
}
