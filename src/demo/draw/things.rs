//! What stands, hangs and sails in more than one scene.

use super::canvas::{Canvas, Edge, HEIGHT};
use super::palette::Rgb;
use super::rng::Rng;
use super::shape::{Shape, disc, ellipse, polygon, stroke};
use super::terrain::Outline;
use super::tones::Tones;

/// The sky from top to the height `meets`.
pub(super) fn sky(canvas: &mut Canvas, tones: &Tones, meets: f32) {
    let gradient = canvas.fade(0.0, tones.zenith, meets, tones.haze);
    canvas.cover(&gradient);
}

/// Sun or full moon, in two rings of its own light.
pub(super) fn sun(canvas: &mut Canvas, tones: &Tones, (x, y): (f32, f32), radius: f32) {
    let light = canvas.flat(tones.light);
    for (reach, opacity) in [(2.3, 0.10), (1.55, 0.16)] {
        canvas.shape(&disc(x, y, radius * reach), &light, opacity, 0.0);
    }
    canvas.shape(&disc(x, y, radius), &light, 1.0, 0.0);
}

/// A young moon.
pub(super) fn crescent(canvas: &mut Canvas, tones: &Tones, (x, y): (f32, f32), radius: f32) {
    let light = canvas.flat(tones.light);
    let shadow = disc(x + radius * 0.45, y - radius * 0.2, radius * 0.88);
    canvas.shape(&disc(x, y, radius).less(shadow), &light, 1.0, 0.0);
}

/// Stars, few of them bright, down to the height `until`.
pub(super) fn stars(canvas: &mut Canvas, tones: &Tones, until: f32, count: usize, rng: &mut Rng) {
    let light = canvas.flat(tones.light);
    for _ in 0..count {
        let (x, height) = (rng.between(0.0, canvas.width()), rng.share());
        let bright = rng.share().powi(6);
        let star = disc(x, height.powf(1.3) * until, 0.8 + bright * 2.2);
        canvas.shape(&star, &light, (0.25 + bright) * (1.1 - height), 0.0);
    }
}

/// A flat-bottomed cloud `size` units wide.
pub(super) fn cloud(canvas: &mut Canvas, color: Rgb, opacity: f32, (x, y): (f32, f32), size: f32) {
    let gradient = canvas.flat(color);
    let floor = polygon([
        (x - size, y - size),
        (x + size, y - size),
        (x + size, y),
        (x - size, y),
    ]);
    let puff =
        |offset: f32, radius: f32| disc(x + offset * size, y - radius * size * 0.25, radius * size);
    // One shape of four discs, so that a see-through cloud shows no seams.
    let (one, two, three, four) = (
        puff(-0.3, 0.13),
        puff(-0.1, 0.21),
        puff(0.14, 0.17),
        puff(0.33, 0.1),
    );
    let body = stroke(
        (x - size * 0.42, y - size * 0.05),
        (x + size * 0.42, y - size * 0.05),
        size * 0.1,
    );
    let all = Shape {
        bounds: floor.bounds,
        distance: move |px: f32, py: f32| {
            let puffs = [
                (one.distance)(px, py),
                (two.distance)(px, py),
                (three.distance)(px, py),
                (four.distance)(px, py),
            ];
            puffs.into_iter().fold((body.distance)(px, py), f32::min)
        },
    };
    canvas.shape(&all.and(floor), &gradient, opacity, 0.0);
}

/// A few gulls, far off.
pub(super) fn gulls(canvas: &mut Canvas, color: Rgb, (x, y): (f32, f32), rng: &mut Rng) {
    let gradient = canvas.flat(color);
    for _ in 0..rng.count(3, 6) {
        let (x, y) = (x + rng.between(-90.0, 90.0), y + rng.between(-45.0, 45.0));
        let span = rng.between(7.0, 13.0);
        for side in [-1.0, 1.0] {
            let (elbow, tip) = (
                (x + side * span * 0.5, y - span * 0.42),
                (x + side * span, y - span * 0.12),
            );
            canvas.shape(&stroke((x, y), elbow, 2.0), &gradient, 1.0, 0.0);
            canvas.shape(&stroke(elbow, tip, 1.6), &gradient, 1.0, 0.0);
        }
    }
}

/// A boat under sail, `size` units high, on the water at (`x`, `y`).
pub(super) fn sailboat(canvas: &mut Canvas, tones: &Tones, (x, y): (f32, f32), size: f32) {
    let at = |across: f32, up: f32| (x + across * size, y - up * size);
    let (sail, jib, hull) = (
        canvas.flat(tones.light),
        canvas.flat(tones.accent),
        canvas.flat(tones.near),
    );
    canvas.shape(
        &polygon([at(0.03, 0.98), at(0.42, 0.2), at(0.03, 0.2)]),
        &sail,
        1.0,
        0.0,
    );
    canvas.shape(
        &polygon([at(-0.03, 0.88), at(-0.03, 0.2), at(-0.3, 0.2)]),
        &jib,
        1.0,
        0.0,
    );
    canvas.shape(
        &stroke(at(0.0, 0.1), at(0.0, 1.0), size * 0.022),
        &hull,
        1.0,
        0.0,
    );
    canvas.shape(
        &polygon([
            at(-0.42, 0.13),
            at(0.5, 0.15),
            at(0.36, -0.02),
            at(-0.3, -0.02),
        ]),
        &hull,
        1.0,
        0.0,
    );
    let mirrored = ellipse(x, y + size * 0.06, size * 0.42, size * 0.035, 0.0);
    canvas.shape(&mirrored, &hull, 0.35, size * 0.04);
}

/// Streaks of light on water, under something bright at `x`, from the height `from` to the lower edge.
pub(super) fn glitter(
    canvas: &mut Canvas,
    tones: &Tones,
    x: f32,
    from: f32,
    width: f32,
    rng: &mut Rng,
) {
    let light = canvas.flat(tones.light);
    let mut y = from + 8.0;
    let mut gap = 9.0;
    while y < HEIGHT {
        let share = (y - from) / (HEIGHT - from);
        let half = width * (0.35 + 0.75 * share) * rng.between(0.25, 1.0);
        let middle = x + rng.between(-0.35, 0.35) * width * (0.3 + share);
        let streak = stroke((middle - half, y), (middle + half, y), gap * 0.36);
        canvas.shape(&streak, &light, 0.75 - 0.55 * share, 0.0);
        y += gap * rng.between(0.75, 1.25);
        gap *= 1.09;
    }
}

/// A round tree on the ground at (`x`, `y`), `size` units high.
pub(super) fn tree(canvas: &mut Canvas, trunk: Rgb, crown: Rgb, (x, y): (f32, f32), size: f32) {
    let (wood, leaves) = (canvas.flat(trunk), canvas.flat(crown));
    canvas.shape(
        &stroke((x, y + size * 0.03), (x, y - size * 0.6), size * 0.055),
        &wood,
        1.0,
        0.0,
    );
    canvas.shape(
        &ellipse(x, y - size * 0.66, size * 0.26, size * 0.36, 0.0),
        &leaves,
        1.0,
        0.0,
    );
    canvas.shape(
        &stroke(
            (x, y - size * 0.3),
            (x + size * 0.1, y - size * 0.47),
            size * 0.025,
        ),
        &wood,
        0.6,
        0.0,
    );
    canvas.shape(
        &stroke((x, y - size * 0.3), (x, y - size * 0.66), size * 0.03),
        &wood,
        0.6,
        0.0,
    );
}

/// Land below `outline`, from `crest` at its highest to `foot` at the lower edge of what is seen of it.
pub(super) fn land(
    canvas: &mut Canvas,
    outline: &Outline,
    top: f32,
    crest: Rgb,
    bottom: f32,
    foot: Rgb,
) {
    let gradient = canvas.fade(top, crest, bottom, foot);
    canvas.below(|x| outline.at(x), &gradient);
}

/// A soft shadow along the upper rim of what lies below `outline`.
pub(super) fn shadow(canvas: &mut Canvas, outline: &Outline, reach: f32) {
    let dark = canvas.flat(Rgb::hex(0x0010_1020));
    let edge = Edge {
        opacity: 0.3,
        upper: reach * 1.6,
        lower: 0.0,
    };
    canvas.between(
        |x| outline.at(x) - reach * 0.4,
        |x| outline.at(x) + 4.0,
        &dark,
        edge,
    );
}
