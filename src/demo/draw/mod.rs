//! Draws the demo's wallpapers: flat, quiet scenes, each wholly given by its kind, its seed and its size.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "coordinates go from units to pixels and back all the time, and are clamped where it matters"
)]

mod canvas;
mod encode;
mod heavens;
mod land;
mod palette;
mod pattern;
mod rng;
mod sea;
mod shape;
mod terrain;
mod things;
mod tones;

use std::io;
use std::ops::RangeInclusive;

use canvas::Canvas;
use encode::Raster;
use rng::Rng;

/// How a picture's bytes are written, which its name need not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Portable Network Graphics.
    Png,
    /// JPEG, baseline.
    Jpeg,
    /// GIF 89a.
    Gif,
}

/// What a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scene {
    /// Range behind range.
    Mountains,
    /// Open water under the sun.
    Sea,
    /// Dunes.
    Dunes,
    /// Stars and northern lights over a forest.
    Night,
    /// Round hills with trees and a house.
    Hills,
    /// A planet with rings.
    Planet,
    /// Lights out of focus.
    Bubbles,
    /// A valley of cut paper.
    Paper,
    /// A lighthouse on its rock.
    Lighthouse,
    /// Triangles.
    Facets,
    /// A lone tree before the sun.
    Tree,
    /// Hot-air balloons.
    Balloons,
}

/// How long a side may be: more would take a machine's memory.
const SIDE: RangeInclusive<u32> = 1..=16_384;

impl Scene {
    /// Every scene.
    pub const ALL: [Self; 12] = [
        Self::Mountains,
        Self::Sea,
        Self::Planet,
        Self::Hills,
        Self::Night,
        Self::Paper,
        Self::Dunes,
        Self::Lighthouse,
        Self::Facets,
        Self::Tree,
        Self::Bubbles,
        Self::Balloons,
    ];

    /// Draws the scene at a size and gives the file's bytes: the same ones for the same arguments.
    ///
    /// # Errors
    ///
    /// When a side is not 1 to 16,384 pixels long.
    pub(super) fn draw(
        self,
        seed: u64,
        (width, height): (u32, u32),
        coding: Coding,
    ) -> io::Result<Vec<u8>> {
        if ![width, height].iter().all(|side| SIDE.contains(side)) {
            let sides = format!(
                "{width}x{height}: a side must be 1 to {} pixels long",
                SIDE.end()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, sides));
        }
        let mut rng = Rng::new(seed);
        let coarseness = coarseness(&mut rng);
        let mut canvas = Canvas::new(width, height, coarseness, &mut rng);
        let paint = match self {
            Self::Mountains => land::mountains,
            Self::Sea => sea::sea,
            Self::Dunes => land::dunes,
            Self::Night => heavens::night,
            Self::Hills => land::hills,
            Self::Planet => heavens::planet,
            Self::Bubbles => pattern::bubbles,
            Self::Paper => pattern::paper,
            Self::Lighthouse => sea::lighthouse,
            Self::Facets => pattern::facets,
            Self::Tree => land::tree_alone,
            Self::Balloons => heavens::balloons,
        };
        paint(&mut canvas, &mut rng);
        let (pixels, palette) = canvas.finish();
        Raster {
            width,
            height,
            pixels,
            palette,
        }
        .encode(coding)
    }
}

/// How grainy a picture is, in steps of its washes: most are clean, a few are like film. It is what
/// spreads the files' sizes as widely as a real gallery's.
fn coarseness(rng: &mut Rng) -> f32 {
    match rng.count(0, 99) {
        0..86 => 0.0,
        86..92 => 0.3,
        92..96 => 0.8,
        96..98 => 3.0,
        _ => 24.0,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_seeds_or_scenes_look_alike() {
        let drawn = |seed| Scene::ALL.map(|scene| scene.draw(seed, (64, 40), Coding::Png).unwrap());
        let files: HashSet<Vec<u8>> = (0..4).flat_map(drawn).collect();
        assert_eq!(files.len(), 4 * Scene::ALL.len());
    }

    #[test]
    fn every_scene_can_be_drawn_at_any_shape() {
        for scene in Scene::ALL {
            for (width, height) in [(1, 1), (1, 90), (90, 1), (2, 3), (7, 200), (333, 40)] {
                let bytes = scene.draw(7, (width, height), Coding::Png).unwrap();
                let decoded = image::load_from_memory(&bytes).unwrap();
                assert_eq!(
                    (decoded.width(), decoded.height()),
                    (width, height),
                    "{scene:?}"
                );
            }
        }
    }

    #[test]
    fn files_weigh_what_simple_wallpapers_weigh() {
        let mut sizes =
            Scene::ALL.map(|scene| scene.draw(3, (1280, 800), Coding::Png).unwrap().len());
        sizes.sort_unstable();
        assert!((4_000..40_000).contains(&sizes[1]), "{sizes:?}");
        assert!((8_000..120_000).contains(&sizes[6]), "{sizes:?}");
        assert!(sizes[11] < 1_500_000, "{sizes:?}");
    }

    #[test]
    fn grain_makes_some_files_much_larger_than_others() {
        let size = |seed| {
            Scene::Dunes
                .draw(seed, (320, 200), Coding::Png)
                .unwrap()
                .len()
        };
        let sizes = (0..60).map(size);
        let (least, most) = sizes.fold((usize::MAX, 0), |(least, most), size| {
            (least.min(size), most.max(size))
        });
        assert!(most > 6 * least, "{least} to {most}");
    }
}
