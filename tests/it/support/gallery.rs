//! Writes the real catalogue as a site into a folder: listing pages, thumbs, and small originals,
//! each with unique bytes.

use std::fmt::Write as _;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use blake3::Hash;
use image::{DynamicImage, GrayImage, ImageFormat, Luma};

const CATALOGUE: &str = include_str!("../../fixtures/simpledesktops/catalog.tsv");

/// Images on a full listing page.
const ON_A_PAGE: usize = 28;

/// A site that was laid out.
pub(crate) struct Gallery {
    /// How many listing pages it has: `/browse/1/` and on; `/browse/` is the first once more.
    pub(crate) pages: usize,
    /// Its originals, in the order of the listing.
    pub(crate) originals: Vec<Original>,
    /// What every thumb holds: nothing that may ever be kept.
    pub(crate) thumb: Hash,
}

/// An image as the site has it.
#[derive(Debug, Clone)]
pub(crate) struct Original {
    /// The path of its address, escaped as the listing has it.
    pub(crate) path: String,
    /// What its bytes really are, which its name need not say.
    pub(crate) format: ImageFormat,
    pub(crate) hash: Hash,
}

impl Gallery {
    /// How many images the catalogue has.
    pub(crate) const ALL: usize = 1_436;

    /// Lays out the first `count` images in `folder`. The pages name their thumbs at `origin`; an empty one
    /// makes them relative to the site's root.
    pub(crate) fn lay(folder: &Path, origin: &str, count: usize) -> Self {
        let thumb_bytes = picture(usize::MAX, ImageFormat::Png);
        let mut originals = Vec::new();
        let mut items = Vec::new();
        for (index, row) in CATALOGUE.lines().skip(1).take(count).enumerate() {
            let [thumb, original, page, _bytes, kind, _size] =
                row.split('\t').collect::<Vec<_>>()[..]
            else {
                panic!("the catalogue's row {index} has not six columns")
            };
            let (thumb, path) = (path(thumb), path(original));
            // The five that nobody measured are called `.png`.
            let format = if kind.is_empty() {
                ImageFormat::Png
            } else {
                format(kind)
            };
            let bytes = picture(index, format);
            keep(folder, thumb, &thumb_bytes);
            keep(folder, path, &bytes);
            items.push(item(&format!("{origin}{thumb}"), page));
            originals.push(Original {
                path: path.to_owned(),
                format,
                hash: blake3::hash(&bytes),
            });
        }
        let pages = items.chunks(ON_A_PAGE);
        let listing = Self {
            pages: pages.len(),
            originals,
            thumb: blake3::hash(&thumb_bytes),
        };
        for (number, items) in (1..).zip(pages) {
            show(folder, number, items);
        }
        listing
    }

    /// Lets the listing page of this number show these thumbs instead, wherever they lead.
    pub(crate) fn hang(folder: &Path, number: usize, thumbs: &[String]) {
        let items: Vec<String> = thumbs.iter().map(|thumb| item(thumb, "/browse/")).collect();
        show(folder, number, &items);
    }
}

impl Original {
    /// The path of the thumb that the listing shows for it.
    pub(crate) fn thumb(&self) -> String {
        format!("{}.295x184_q100.png", self.path)
    }
}

/// Writes the listing page of this number.
fn show(folder: &Path, number: usize, items: &[String]) {
    let page = page(number, items);
    keep(
        folder,
        &format!("/browse/{number}/index.html"),
        page.as_bytes(),
    );
    if number == 1 {
        keep(folder, "/browse/index.html", page.as_bytes());
    }
}

/// The path of a catalogued address.
fn path(address: &str) -> &str {
    address
        .strip_prefix("http://static.simpledesktops.com")
        .expect("the catalogue's one image host")
}

fn format(kind: &str) -> ImageFormat {
    ImageFormat::from_extension(kind).expect("a kind that the catalogue has")
}

/// A small picture that shows the bits of `index` as black and white squares: no two are alike, even in JPEG.
pub(crate) fn picture(index: usize, format: ImageFormat) -> Vec<u8> {
    let square = |x: u32, y: u32| {
        if index >> (x / 8 + y / 8 * 4) & 1 == 1 {
            Luma([255])
        } else {
            Luma([0])
        }
    };
    let picture = DynamicImage::from(GrayImage::from_fn(32, 32, square)).to_rgb8();
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, format)
        .expect("a format that is built in");
    bytes.into_inner()
}

/// Writes the file that a server has at `path`.
pub(super) fn keep(folder: &Path, path: &str, bytes: &[u8]) {
    let file = file(folder, path);
    fs::create_dir_all(file.parent().expect("a file lies in a folder"))
        .expect("a folder of the site");
    fs::write(file, bytes).expect("a file of the site");
}

/// The file that a server looks for when it is asked for `path`.
pub(crate) fn file(folder: &Path, path: &str) -> PathBuf {
    folder.join(unescaped(path.trim_start_matches('/')))
}

/// Decodes percent-escapes, as a server does before it looks for the file.
fn unescaped(path: &str) -> String {
    let mut pieces = path.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (escape, rest) = piece.split_at(2);
        bytes.push(u8::from_str_radix(escape, 16).expect("two hexadecimal digits"));
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).expect("the catalogue's names are UTF-8")
}

pub(crate) fn item(thumb: &str, page: &str) -> String {
    let title = page
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    format!(
        "\t<div class=\"edge\">\n\t\t<div class=\"desktop\" height=\"184px\">\n\t\t\t<a href=\"{page}\">\n\
         \t\t\t<img src=\"{thumb}\" title=\"{title}\" alt=\"{title}\" width=\"295px\" height=\"184px\" />\n\
         \t\t\t</a>\n\t\t\t<h2><a href=\"{page}\">{title}</a></h2>\n\
         \t\t\t<span class=\"creator\">By: <a href=\"\">somebody</a></span>\n\t\t</div>\n\t</div>\n"
    )
}

pub(crate) fn page(number: usize, items: &[String]) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html>\n<head><title>Wallpapers, page {number}</title></head>\n<body>\n\
         <div class=\"wrapper\"><div class=\"container\"><div class=\"column span-28\">\n\
         <div class=\"desktops column span-24 archive\">\n"
    );
    page.extend(items.iter().map(String::as_str));
    let _ = write!(
        page,
        "</div>\n<a class=\"more\" href=\"/browse/{}/\">Older</a>\n",
        number + 1
    );
    page.push_str("</div></div></div>\n</body>\n</html>\n");
    page
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::nginx::Nginx;
    use super::*;

    #[test]
    fn gallery_writes_the_whole_catalogue_with_unique_originals() {
        let folder = tempfile::tempdir().unwrap();
        let gallery = Gallery::lay(folder.path(), "", Gallery::ALL);
        assert_eq!((gallery.pages, gallery.originals.len()), (52, Gallery::ALL));
        let mut hashes: HashSet<Hash> = gallery
            .originals
            .iter()
            .map(|original| original.hash)
            .collect();
        hashes.insert(gallery.thumb);
        assert_eq!(hashes.len(), Gallery::ALL + 1);
        let of = |format| {
            gallery
                .originals
                .iter()
                .filter(|original| original.format == format)
                .count()
        };
        assert_eq!(
            (
                of(ImageFormat::Png),
                of(ImageFormat::Jpeg),
                of(ImageFormat::Gif)
            ),
            (1_359, 76, 1)
        );
    }

    #[test]
    fn gallery_is_served_with_listing_and_originals() {
        let folder = tempfile::tempdir().unwrap();
        let gallery = Gallery::lay(folder.path(), "http://static.example", 40);
        let nginx = Nginx::serve(folder.path(), "");
        let (status, first) = nginx.get("/browse/1/");
        let first = String::from_utf8(first).unwrap();
        assert_eq!(
            (
                status,
                first
                    .matches("<img src=\"http://static.example/uploads/")
                    .count()
            ),
            (200, 28)
        );
        assert_eq!(nginx.get("/browse/"), (200, first.into_bytes()));
        assert_eq!(
            (
                gallery.pages,
                nginx.get("/browse/2/").0,
                nginx.get("/browse/3/").0
            ),
            (2, 200, 404)
        );
        for original in &gallery.originals {
            let (status, bytes) = nginx.get(&original.path);
            assert_eq!(
                (status, blake3::hash(&bytes)),
                (200, original.hash),
                "{original:?}"
            );
            assert_eq!(image::guess_format(&bytes).unwrap(), original.format);
            let (status, bytes) = nginx.get(&original.thumb());
            assert_eq!((status, blake3::hash(&bytes)), (200, gallery.thumb));
        }
    }
}
