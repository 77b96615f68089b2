//! The pictures of the demo gallery: mostly ordinary names, plus every kind of name known to break scrapers.

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::draw::{Coding, Scene};
use super::gallery::Picture;

/// How many pictures have ordinary names; with the others they fill five pages and begin a sixth.
const ORDINARY: usize = 124;

/// The newest ordinary picture's day; each other one is some weeks older.
const NEWEST: Date = Date::constant(2021, 3, 18);

/// Words that suit any scene.
const MOODS: [&str; 21] = [
    "Quiet", "Distant", "Amber", "Hollow", "Gentle", "Northern", "Slow", "Violet", "Paper",
    "Silver", "Drifting", "Early", "Faded", "Golden", "Hidden", "Last", "Mellow", "Open", "Pale",
    "Restless", "Velvet",
];

/// A name seen in the wild, or worse: where, what it is called, what it shows, what it really is.
type AwkwardName = (&'static str, &'static str, Scene, Coding, (u32, u32));

const USUAL: (u32, u32) = (2560, 1600);
const LARGE: (u32, u32) = (2880, 1800);

/// Names as they stand in an address, percent-escaped; titles as a reader would see them.
const AWKWARD: [AwkwardName; 29] = [
    // one base name, four days
    (
        "2019/06/14/bubbles.png",
        "Bubbles",
        Scene::Bubbles,
        Coding::Png,
        USUAL,
    ),
    (
        "2016/02/03/bubbles.png",
        "bubbles",
        Scene::Bubbles,
        Coding::Png,
        USUAL,
    ),
    (
        "2012/11/20/bubbles.png",
        "Bubbles, again",
        Scene::Bubbles,
        Coding::Png,
        USUAL,
    ),
    (
        "2010/05/07/bubbles.png",
        "BUBBLES",
        Scene::Bubbles,
        Coding::Png,
        LARGE,
    ),
    // letter case alone
    (
        "2013/05/02/CMYK.png",
        "CMYK",
        Scene::Facets,
        Coding::Png,
        USUAL,
    ),
    (
        "2011/09/12/cmyk.png",
        "cmyk",
        Scene::Facets,
        Coding::Png,
        USUAL,
    ),
    // extensions: other ones, shouted, missing, and a wrong one
    (
        "2020/08/11/Harbor-Lights.jpg",
        "Harbor Lights",
        Scene::Lighthouse,
        Coding::Jpeg,
        LARGE,
    ),
    (
        "2017/10/05/Long-Way-Home.jpg",
        "Long Way Home",
        Scene::Hills,
        Coding::Jpeg,
        USUAL,
    ),
    (
        "2015/01/22/first_snow.jpg",
        "First Snow?",
        Scene::Mountains,
        Coding::Jpeg,
        LARGE,
    ),
    (
        "2014/07/30/Orbit.jpg",
        "f/4: Orbit",
        Scene::Planet,
        Coding::Jpeg,
        USUAL,
    ),
    (
        "2012/03/16/old.dunes.jpg",
        "Old Dunes...",
        Scene::Dunes,
        Coding::Jpeg,
        USUAL,
    ),
    (
        "2010/03/09/QUIET_SEA.PNG",
        "QUIET SEA",
        Scene::Sea,
        Coding::Png,
        USUAL,
    ),
    (
        "2010/02/14/paper-valley.gif",
        "paper <3 valley",
        Scene::Paper,
        Coding::Gif,
        (1920, 1200),
    ),
    (
        "2012/02/08/Liquid-45",
        "Liquid 45",
        Scene::Paper,
        Coding::Png,
        USUAL,
    ),
    (
        "2011/10/28/Lanterns.png",
        "Lanterns",
        Scene::Balloons,
        Coding::Jpeg,
        USUAL,
    ),
    // no name at all
    (
        "2010/08/31/.png",
        "|||||",
        Scene::Facets,
        Coding::Png,
        USUAL,
    ),
    // beyond ASCII: whole words, and an accent of its own
    (
        "2018/09/21/%E9%9D%99%E3%81%8B%E3%81%AA%E6%B5%B7.png",
        "静かな海",
        Scene::Sea,
        Coding::Png,
        LARGE,
    ),
    (
        "2014/04/01/%E5%B1%B1-1.jpg",
        "山 ★ 1",
        Scene::Mountains,
        Coding::Jpeg,
        USUAL,
    ),
    (
        "2013/12/24/ete%CC%81.png",
        "e\u{301}te\u{301}",
        Scene::Hills,
        Coding::Png,
        USUAL,
    ),
    // dots and sizes where they mislead
    (
        "2012/03/08/08.03.12.png",
        "08.03.12",
        Scene::Tree,
        Coding::Png,
        USUAL,
    ),
    (
        "2013/10/31/st.-elmo.png",
        "St. Elmo\u{a0}",
        Scene::Night,
        Coding::Png,
        USUAL,
    ),
    (
        "2020/12/21/Northern_Glow_2880x1800.png",
        "Northern Glow 2880x1800",
        Scene::Night,
        Coding::Png,
        LARGE,
    ),
    (
        "2016/06/06/2880x1800.png",
        "★",
        Scene::Planet,
        Coding::Png,
        LARGE,
    ),
    (
        "2011/04/18/Drifter2560x1600.jpg",
        "Drifter",
        Scene::Balloons,
        Coding::Jpeg,
        USUAL,
    ),
    // titles that are no file names
    (
        "2019/11/02/waves.png",
        "WAV/ES",
        Scene::Sea,
        Coding::Png,
        USUAL,
    ),
    (
        "2018/01/30/quote.png",
        "The \"Quiet\" Hour",
        Scene::Tree,
        Coding::Png,
        LARGE,
    ),
    (
        "2015/08/19/salt.png",
        "Salt & Light",
        Scene::Lighthouse,
        Coding::Png,
        USUAL,
    ),
    (
        "2011/01/13/con.png",
        "con",
        Scene::Dunes,
        Coding::Png,
        (2194, 1371),
    ),
    (
        "2009/10/10/01-Bloom_.png",
        "..",
        Scene::Bubbles,
        Coding::Png,
        (2561, 1600),
    ),
];

/// All of them, newest first.
pub(super) fn pictures() -> Vec<Picture> {
    let mut pictures: Vec<Picture> = AWKWARD
        .into_iter()
        .map(awkward)
        .chain((0..ORDINARY).map(ordinary))
        .collect();
    pictures.sort_by_key(|picture| std::cmp::Reverse(picture.day()));
    pictures
}

fn awkward((place, title, scene, coding, (width, height)): AwkwardName) -> Picture {
    let plain = Picture::at(&format!("/uploads/desktops/{place}"));
    Picture {
        title: title.to_owned(),
        coding,
        width,
        height,
        scene,
        ..plain
    }
}

/// The ordinary picture `at`, counted from the newest: scenes take turns, moods do not keep step with them.
fn ordinary(at: usize) -> Picture {
    let scene = Scene::ALL[at % Scene::ALL.len()];
    let subjects = subjects(scene);
    let (mood, subject) = (
        MOODS[at * 8 % MOODS.len()],
        subjects[at / Scene::ALL.len() % subjects.len()],
    );
    let weeks = i64::try_from(at * at / 60 + at * 3).unwrap_or_default();
    let day = NEWEST.saturating_sub(weeks.weeks().days(i64::from(at % 5 == 3)));
    let plain = Picture::at(&format!(
        "/uploads/desktops/{}/{mood}-{subject}.png",
        day.strftime("%Y/%m/%d")
    ));
    let (width, height) = if at.is_multiple_of(5) { LARGE } else { USUAL };
    Picture {
        width,
        height,
        scene,
        ..plain
    }
}

/// What a scene may be called.
fn subjects(scene: Scene) -> [&'static str; 5] {
    match scene {
        Scene::Mountains => ["Ridge", "Summit", "Pass", "Cordillera", "Ascent"],
        Scene::Sea => ["Tide", "Harbor", "Regatta", "Voyage", "Horizon"],
        Scene::Dunes => ["Dunes", "Mirage", "Caravan", "Sirocco", "Sands"],
        Scene::Night => ["Aurora", "Midnight", "Solstice", "Nocturne", "Vigil"],
        Scene::Hills => ["Hills", "Orchard", "Meadow", "Homestead", "Pasture"],
        Scene::Planet => ["Orbit", "Giant", "Satellite", "Voyager", "Sphere"],
        Scene::Bubbles => ["Lights", "Lanterns", "Glow", "Shimmer", "Haze"],
        Scene::Paper => ["Valley", "Canyon", "Layers", "Folds", "Ravine"],
        Scene::Lighthouse => ["Beacon", "Lighthouse", "Watch", "Headland", "Signal"],
        Scene::Facets => ["Facets", "Prism", "Quartz", "Shards", "Mosaic"],
        Scene::Tree => ["Oak", "Solitude", "Acacia", "Elder", "Shade"],
        Scene::Balloons => ["Balloons", "Ascension", "Drift", "Festival", "Morning"],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::gallery::{Gallery, base_and_extension};
    use super::*;

    #[test]
    fn the_demo_fills_five_pages_and_begins_a_sixth() {
        let gallery = Gallery::demo();
        assert!((1..=5).all(|page| gallery.page(page).len() == Gallery::PER_PAGE));
        assert!((1..Gallery::PER_PAGE).contains(&gallery.page(6).len()));
        assert!(
            gallery
                .pictures()
                .is_sorted_by(|newer, older| newer.day() >= older.day())
        );
        let years: HashSet<i16> = gallery
            .pictures()
            .iter()
            .map(|picture| picture.day().year())
            .collect();
        assert!(years.len() >= 10, "{years:?}");
    }

    #[test]
    fn no_two_pictures_share_a_path_or_a_page() {
        let pictures = pictures();
        let paths: HashSet<&str> = pictures
            .iter()
            .map(|picture| picture.path.as_str())
            .collect();
        let pages: HashSet<&str> = pictures
            .iter()
            .map(|picture| picture.detail.as_str())
            .collect();
        assert_eq!((paths.len(), pages.len()), (pictures.len(), pictures.len()));
    }

    #[test]
    fn base_names_collide_as_in_a_real_gallery() {
        let pictures = pictures();
        let named = |base: &str| {
            pictures
                .iter()
                .filter(|picture| {
                    base_and_extension(&picture.path)
                        .0
                        .eq_ignore_ascii_case(base)
                })
                .count()
        };
        assert_eq!((named("bubbles"), named("cmyk"), named("")), (4, 2, 1));
    }

    #[test]
    fn one_name_says_png_and_holds_jpeg() {
        let is_misnamed = |picture: &Picture| {
            base_and_extension(&picture.path).1 == "png" && picture.coding != Coding::Png
        };
        assert_eq!(
            pictures()
                .iter()
                .filter(|picture| is_misnamed(picture))
                .count(),
            1
        );
    }
}
