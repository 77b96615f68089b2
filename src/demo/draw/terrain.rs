//! Lines of land and water: how high they stand along the width of a canvas.

use super::rng::Rng;

/// The outline of a range, a hill or a forest: heights at even steps, straight in between.
pub(super) struct Outline {
    heights: Vec<f32>,
}

/// Units from one height to the next.
const STEP: f32 = 2.0;

impl Outline {
    /// The outline that `height` gives over `width` units.
    pub(super) fn new(width: f32, height: impl Fn(f32) -> f32) -> Self {
        let steps = (width / STEP).max(1.0) as usize + 2;
        Self {
            heights: (0..steps).map(|step| height(step as f32 * STEP)).collect(),
        }
    }

    /// Peaks and saddles around `middle`, at most `swing` from it: a line broken in half again and again.
    pub(super) fn range(
        width: f32,
        middle: f32,
        swing: f32,
        roughness: f32,
        rng: &mut Rng,
    ) -> Self {
        const BREAKS: usize = 256;
        let mut points = vec![0.0; BREAKS + 1];
        let mut stride = BREAKS / 4;
        for point in (0..=BREAKS).step_by(stride) {
            points[point] = rng.between(-swing, swing);
        }
        let mut reach = swing * 0.55;
        while stride > 1 {
            let half = stride / 2;
            for point in (half..BREAKS).step_by(stride) {
                points[point] = f32::midpoint(points[point - half], points[point + half])
                    + rng.between(-reach, reach);
            }
            reach *= roughness;
            stride = half;
        }
        let gap = width / BREAKS as f32;
        Self::new(width, |x| middle + along(&points, x / gap))
    }

    /// Long soft curves around `middle`, at most `swing` from it, about `length` units from crest to crest.
    pub(super) fn rolling(width: f32, middle: f32, swing: f32, length: f32, rng: &mut Rng) -> Self {
        let mut wave = |share: f32| {
            (
                std::f32::consts::TAU / (length * share * rng.between(0.85, 1.2)),
                rng.between(0.0, 6.3),
            )
        };
        let ((long, at), (middling, later), (short, last)) = (wave(1.0), wave(0.61), wave(0.37));
        Self::new(width, |x| {
            let waves = (x * long + at).sin() * 0.6
                + (x * middling + later).sin() * 0.28
                + (x * short + last).sin() * 0.12;
            middle + waves * swing
        })
    }

    /// The same outline with firs of about `tall` units standing on it, denser where `wooded` is nearer to 1.
    pub(super) fn wooded(mut self, tall: f32, wooded: f32, rng: &mut Rng) -> Self {
        let ground = self.heights.clone();
        let mut at = 0.0;
        while (at as usize) < ground.len() {
            let tree = tall * rng.between(0.55, 1.15);
            if rng.chance(wooded) {
                self.plant(&ground, at as usize, tree);
            }
            at += (tall * rng.between(0.14, 0.4) / STEP).max(1.0);
        }
        self
    }

    fn plant(&mut self, ground: &[f32], at: usize, tall: f32) {
        let half = (tall * 0.2 / STEP).max(1.0);
        let reach = half as usize + 1;
        let top = ground[at] - tall;
        let places = at.saturating_sub(reach)..(at + reach).min(ground.len());
        for (place, height) in places.clone().zip(&mut self.heights[places]) {
            let offset = place.abs_diff(at) as f32 / half;
            // Boughs: the flank falls in steps that overhang a little.
            let bough = (offset * 4.0).fract() * 0.09;
            let flank = top + tall * (offset - bough).max(0.0);
            *height = height.min(flank.min(ground[place]));
        }
    }

    /// The height at `x` units.
    pub(super) fn at(&self, x: f32) -> f32 {
        along(&self.heights, x / STEP)
    }

    /// Where, within the middle part of the width, it stands highest.
    pub(super) fn summit(&self) -> f32 {
        let steps = self.heights.len();
        let inner = self
            .heights
            .iter()
            .enumerate()
            .take(steps - steps / 6)
            .skip(steps / 6);
        inner
            .min_by(|(_, one), (_, other)| one.total_cmp(other))
            .map_or(0.0, |(step, _)| step as f32 * STEP)
    }
}

/// The value between two of `points`, the ends continued.
fn along(points: &[f32], place: f32) -> f32 {
    let last = points.len() - 1;
    let before = (place.max(0.0) as usize).min(last);
    let after = (before + 1).min(last);
    let share = (place - before as f32).clamp(0.0, 1.0);
    points[before] + (points[after] - points[before]) * share
}
