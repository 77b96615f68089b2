//! Makes images that no library would write.

use image::ImageFormat;

use crate::support::gallery::picture;

/// A chunk of a PNG, with the right checksum.
pub(super) fn chunk(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len())
        .expect("it is small")
        .to_be_bytes();
    let named = [&kind[..], content].concat();
    [&length[..], &named, &crc32fast::hash(&named).to_be_bytes()].concat()
}

/// The PNG with another size in its head, and the right checksum for that.
pub(super) fn sized(png: &[u8], width: u32, height: u32) -> Vec<u8> {
    let header = [
        &width.to_be_bytes()[..],
        &height.to_be_bytes(),
        &png[24..29],
    ]
    .concat();
    [&png[..8], &chunk(*b"IHDR", &header), &png[33..]].concat()
}

/// A PNG of more than so many bytes, nearly all of them in a chunk of nobody's; another one for each `index`.
pub(super) fn large(index: usize, bytes: usize) -> Vec<u8> {
    let png = picture(index, ImageFormat::Png);
    let (before, end) = png.split_at(png.len() - 12);
    [before, &chunk(*b"paDd", &vec![b'.'; bytes]), end].concat()
}

/// The boxes that an AVIF has, its pixels aside.
pub(super) fn avif(width: u32, height: u32) -> Vec<u8> {
    let made = |kind: &[u8; 4], content: &[u8]| {
        let length = u32::try_from(content.len() + 8)
            .expect("it is small")
            .to_be_bytes();
        [&length, &kind[..], content].concat()
    };
    let size = made(
        b"ispe",
        &[[0; 4], width.to_be_bytes(), height.to_be_bytes()].concat(),
    );
    // Item 1 is the picture: its data are the first 8 bytes of the file, and it has property 1.
    let primary = made(b"pitm", b"\0\0\0\0\0\x01");
    let location = b"\0\0\0\0\x44\0\0\x01\0\x01\0\0\0\x01\0\0\0\0\0\0\0\x08";
    let association = made(b"ipma", b"\0\0\0\0\0\0\0\x01\0\x01\x01\x81");
    let properties = made(b"iprp", &[made(b"ipco", &size), association].concat());
    let meta = [
        b"\0\0\0\0".to_vec(),
        made(b"hdlr", b"pict"),
        primary,
        made(b"iloc", location),
        properties,
    ]
    .concat();
    [
        made(b"ftyp", b"avif\0\0\0\0miafavif"),
        made(b"meta", &meta),
        made(b"mdat", b"compressed"),
    ]
    .concat()
}
