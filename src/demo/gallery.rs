//! The pictures of a gallery, newest first, and their division into pages.

use std::io;

use jiff::civil::Date;

use super::catalogue;
use super::draw::{Coding, Scene};

/// One picture. [`Picture::at`] derives everything from a path; tests override the fields they care about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The absolute path of its original, percent-encoded as on the wire.
    pub path: String,
    /// Its title, as plain text.
    pub title: String,
    /// The path of its own page.
    pub detail: String,
    /// How its bytes are encoded, which its extension need not say.
    pub coding: Coding,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// What it shows.
    pub scene: Scene,
    /// The seed of the generator that varies the scene.
    pub seed: u64,
}

impl Picture {
    /// The picture whose original is at `path`; everything else is derived from it.
    pub fn at(path: &str) -> Self {
        let (base, extension) = base_and_extension(path);
        let seed = seed_of(path);
        let scene = Scene::ALL[usize::from(seed.to_le_bytes()[7]) % Scene::ALL.len()];
        let coding = match extension.to_ascii_lowercase().as_str() {
            "jpg" | "jpeg" => Coding::Jpeg,
            "gif" => Coding::Gif,
            _ => Coding::Png,
        };
        let title = base.replace(['-', '_'], " ");
        Self {
            path: path.to_owned(),
            detail: detail(path, base),
            title,
            coding,
            width: 2560,
            height: 1600,
            scene,
            seed,
        }
    }

    /// The day in its path, as in `/uploads/desktops/2018/03/29/Mountains.png`.
    pub(super) fn day(&self) -> Date {
        day_in(&self.path).unwrap_or(Date::constant(2009, 9, 1))
    }

    /// The bytes of its original, the same each time. CPU work of up to a second: not for an async thread.
    ///
    /// # Errors
    ///
    /// When a side is not 1 to 16,384 pixels long.
    pub fn original(&self) -> io::Result<Vec<u8>> {
        self.scene
            .draw(self.seed, (self.width, self.height), self.coding)
    }

    /// The bytes of the same picture as a PNG of another size.
    pub(super) fn thumb(&self, size: (u32, u32)) -> io::Result<Vec<u8>> {
        self.scene.draw(self.seed, size, Coding::Png)
    }
}

/// Pictures, newest first, [`Gallery::PER_PAGE`] to a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gallery {
    pictures: Vec<Picture>,
}

impl Gallery {
    /// How many pictures a full listing page shows.
    pub const PER_PAGE: usize = 28;

    /// A gallery of these pictures, in this order.
    pub fn new(pictures: Vec<Picture>) -> Self {
        Self { pictures }
    }

    /// The gallery that the site `demo` shows: every awkward name that a real one was seen to have.
    pub fn demo() -> Self {
        Self::new(catalogue::pictures())
    }

    /// All its pictures, as the pages show them one after another.
    pub fn pictures(&self) -> &[Picture] {
        &self.pictures
    }

    /// The pictures of page `number`, from 1; none past the last page.
    pub fn page(&self, number: usize) -> &[Picture] {
        number
            .checked_sub(1)
            .and_then(|at| self.pictures.chunks(Self::PER_PAGE).nth(at))
            .unwrap_or_default()
    }
}

/// A file's name up to its last dot, and what follows that.
pub(super) fn base_and_extension(path: &str) -> (&str, &str) {
    let name = path.rsplit_once('/').map_or(path, |(_folder, name)| name);
    name.rsplit_once('.').unwrap_or((name, ""))
}

fn day_in(path: &str) -> Option<Date> {
    let mut folders = path.rsplit('/').skip(1);
    let (day, month, year) = (folders.next()?, folders.next()?, folders.next()?);
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

/// The path of the detail page: the day, the month by name, and a slug.
fn detail(path: &str, base: &str) -> String {
    let slug: String = base
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let day = day_in(path).map_or_else(String::new, |day| {
        day.strftime("%Y/%b/%d/").to_string().to_lowercase()
    });
    format!(
        "/browse/desktops/{day}{}/",
        if slug.is_empty() { "untitled" } else { &slug }
    )
}

/// A number that stands for `path` (FNV-1a).
fn seed_of(path: &str) -> u64 {
    path.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_follows_from_its_path() {
        let picture = Picture::at("/uploads/desktops/2018/03/29/Quiet-Ridge.JPG");
        assert_eq!(picture.title, "Quiet Ridge");
        assert_eq!(picture.detail, "/browse/desktops/2018/mar/29/quiet-ridge/");
        assert_eq!(picture.coding, Coding::Jpeg);
        assert_eq!(picture.day(), Date::constant(2018, 3, 29));
    }

    #[test]
    fn a_path_without_day_or_name_is_a_picture_too() {
        for path in [
            "/.png",
            "/Liquid-45",
            "",
            "/a/b/c/d.gif",
            "/2018/13/45/x.png",
        ] {
            let picture = Picture::at(path);
            assert!(
                picture.detail.starts_with("/browse/desktops/") && picture.detail.ends_with('/'),
                "{path:?}"
            );
            assert_eq!(picture.day(), Date::constant(2009, 9, 1), "{path:?}");
        }
    }

    #[test]
    fn the_last_page_is_what_is_left_over() {
        let gallery = Gallery::new(
            (0..30)
                .map(|at| Picture::at(&format!("/{at}.png")))
                .collect(),
        );
        assert_eq!(gallery.page(1).len(), Gallery::PER_PAGE);
        assert_eq!(gallery.page(2).len(), 2);
        assert!(
            gallery.page(0).is_empty()
                && gallery.page(3).is_empty()
                && gallery.page(usize::MAX).is_empty()
        );
    }

    #[test]
    fn an_original_is_drawn_the_same_each_time_and_decodes_as_its_coding_says() {
        for (coding, format) in [
            (Coding::Png, image::ImageFormat::Png),
            (Coding::Jpeg, image::ImageFormat::Jpeg),
            (Coding::Gif, image::ImageFormat::Gif),
        ] {
            let picture = Picture {
                coding,
                width: 64,
                height: 40,
                ..Picture::at("/uploads/desktops/2018/03/29/a.png")
            };
            let bytes = picture.original().unwrap();
            assert_eq!(bytes, picture.original().unwrap());
            assert_eq!(image::guess_format(&bytes).unwrap(), format);
            let decoded = image::load_from_memory(&bytes).unwrap();
            assert_eq!((decoded.width(), decoded.height()), (64, 40));
        }
    }

    #[test]
    fn a_picture_without_a_side_is_an_error_and_no_panic() {
        for (width, height) in [(0, 40), (64, 0), (16_385, 1)] {
            for coding in [Coding::Png, Coding::Jpeg, Coding::Gif] {
                let picture = Picture {
                    coding,
                    width,
                    height,
                    ..Picture::at("/a.png")
                };
                assert!(picture.original().is_err(), "{coding:?} {width}x{height}");
            }
        }
    }
}
