//! Scenes of the sky: a night with northern lights, a planet, balloons.

use super::canvas::{Canvas, Edge, Gradient, HEIGHT};
use super::rng::Rng;
use super::shape::{Shape, disc, ellipse, polygon, stroke};
use super::terrain::Outline;
use super::things::{cloud, crescent, land, sky, stars};
use super::tones::{DAY, DUSK, NIGHT, Tones};

/// Stars, a young moon, and curtains of light over a forest.
pub(super) fn night(canvas: &mut Canvas, rng: &mut Rng) {
    // The last of them has lamplight for an accent: no colour for a sky.
    let tones = rng.pick(&NIGHT[..4]);
    let width = canvas.width();
    sky(canvas, tones, 850.0);
    if rng.chance(0.7) {
        for curtain in 0..3 {
            let foot = Outline::rolling(width, 430.0 + 85.0 * curtain as f32, 110.0, 1500.0, rng);
            let (tall, opacity) = (rng.between(230.0, 330.0), rng.between(0.32, 0.5));
            let color = tones.accent.mix(tones.haze, 0.18 * curtain as f32);
            let light = canvas.flat(color);
            let edge = Edge {
                opacity,
                upper: tall,
                lower: 36.0,
            };
            canvas.between(|x| foot.at(x) - tall * 0.5, |x| foot.at(x), &light, edge);
        }
    }
    stars(canvas, tones, 800.0, 420, rng);
    crescent(
        canvas,
        tones,
        (width * rng.between(0.12, 0.88), rng.between(130.0, 240.0)),
        rng.between(38.0, 58.0),
    );
    for row in 0..3 {
        let share = row as f32 / 2.0;
        let middle = 800.0 + 70.0 * share;
        let ground = Outline::rolling(width, middle, 34.0, 1100.0, rng).wooded(
            50.0 + 60.0 * share,
            0.9,
            rng,
        );
        let color = tones.land(0.3 + 0.7 * share);
        land(
            canvas,
            &ground,
            middle - 100.0,
            color,
            middle + 150.0,
            color.mix(tones.haze, 0.16 * (1.0 - share)),
        );
    }
}

/// A banded planet with rings and a moon.
pub(super) fn planet(canvas: &mut Canvas, rng: &mut Rng) {
    let tones = if rng.chance(0.6) {
        rng.pick(&NIGHT)
    } else {
        rng.pick(&DUSK)
    };
    let width = canvas.width();
    let deep = tones.near.mix(tones.zenith, 0.55);
    let space = canvas.fade(0.0, deep, HEIGHT, tones.zenith.mix(tones.haze, 0.25));
    canvas.cover(&space);
    stars(canvas, tones, HEIGHT, 160, rng);
    let (x, y, radius) = (
        width * rng.between(0.36, 0.64),
        rng.between(440.0, 540.0),
        rng.between(190.0, 250.0),
    );
    let turn = rng.between(-0.45, 0.45);
    let body = tones.accent.mix(tones.haze, 0.3);
    let ringed = rng.chance(0.75);
    if ringed {
        rings(canvas, tones, (x, y, radius), turn, false);
    }
    let gradient = canvas.flat(body);
    canvas.shape(&disc(x, y, radius), &gradient, 1.0, 0.0);
    bands(canvas, tones, (x, y, radius), turn, rng);
    let night = canvas.flat(deep);
    let lit = disc(x - radius * 0.34, y - radius * 0.26, radius * 1.08);
    canvas.shape(&disc(x, y, radius).less(lit), &night, 0.38, 0.0);
    if ringed {
        rings(canvas, tones, (x, y, radius), turn, true);
    }
    let side = *rng.pick(&[-1.0, 1.0]);
    let (moon_x, moon_y) = (
        x + side * radius * rng.between(1.9, 2.3),
        y - radius * rng.between(0.7, 1.1),
    );
    let pale = canvas.flat(tones.light.mix(tones.haze, 0.25));
    canvas.shape(&disc(moon_x, moon_y, 30.0), &pale, 1.0, 0.0);
    canvas.shape(
        &disc(moon_x, moon_y, 30.0).less(disc(moon_x - 10.0, moon_y - 8.0, 33.0)),
        &night,
        0.45,
        0.0,
    );
}

/// Hot-air balloons over hills in the morning.
pub(super) fn balloons(canvas: &mut Canvas, rng: &mut Rng) {
    let tones = if rng.chance(0.6) {
        rng.pick(&DAY)
    } else {
        rng.pick(&DUSK)
    };
    let width = canvas.width();
    sky(canvas, tones, 850.0);
    for _ in 0..rng.count(3, 5) {
        let at = (rng.between(0.0, 1.0) * width, rng.between(150.0, 650.0));
        cloud(canvas, tones.light, 0.5, at, rng.between(140.0, 330.0));
    }
    for row in 0..3 {
        let share = row as f32 / 2.0;
        let middle = 800.0 + 65.0 * share;
        let outline = Outline::rolling(width, middle, 45.0, 900.0, rng);
        land(
            canvas,
            &outline,
            middle - 45.0,
            tones.land(0.1 + 0.4 * share),
            middle + 150.0,
            tones.land(0.25 + 0.5 * share),
        );
    }
    let colours = [tones.accent, tones.near, tones.land(0.45)];
    let places = [
        (0.3, 400.0, 120.0),
        (0.62, 290.0, 84.0),
        (0.8, 520.0, 54.0),
        (0.47, 610.0, 36.0),
    ];
    let mirrored = rng.chance(0.5);
    for (place, (x, y, size)) in places.into_iter().take(rng.count(2, 4)).enumerate() {
        let x = if mirrored { 1.0 - x } else { x } + rng.between(-0.04, 0.04);
        let gradient = canvas.flat(colours[place % colours.len()]);
        let at = (x * width, y + rng.between(-30.0, 30.0));
        balloon(canvas, tones, &gradient, at, size);
    }
}

/// How far out, in planets' radii, each ring ends and begins, and how dense it is.
const RINGS: [(f32, f32, f32); 2] = [(2.05, 1.78, 0.9), (1.72, 1.45, 0.55)];

/// The rings as they lie behind the planet, or, where `before`, the part that passes before it.
fn rings(
    canvas: &mut Canvas,
    tones: &Tones,
    (x, y, radius): (f32, f32, f32),
    turn: f32,
    before: bool,
) {
    let gradient = canvas.flat(tones.light.mix(tones.haze, 0.35));
    let (sine, cosine) = turn.sin_cos();
    for (outer, inner, density) in RINGS {
        let rim = |reach: f32| ellipse(x, y, radius * reach, radius * reach * 0.26, turn);
        let ring = rim(outer).less(rim(inner));
        if before {
            let nearer = Shape {
                bounds: ring.bounds,
                distance: |px: f32, py: f32| (px - x) * sine - (py - y) * cosine,
            };
            canvas.shape(
                &ring.and(nearer).and(disc(x, y, radius)),
                &gradient,
                density,
                0.0,
            );
        } else {
            canvas.shape(&ring, &gradient, density, 0.0);
        }
    }
}

/// Bands of weather across a planet.
fn bands(
    canvas: &mut Canvas,
    tones: &Tones,
    (x, y, radius): (f32, f32, f32),
    turn: f32,
    rng: &mut Rng,
) {
    let (along_x, along_y) = (turn.cos() * radius, turn.sin() * radius);
    let mut down = -0.75;
    while down < 0.8 {
        let thickness = rng.between(0.06, 0.2);
        let color = if rng.chance(0.5) {
            tones.light
        } else {
            tones.far
        };
        let gradient = canvas.flat(color);
        let (mid_x, mid_y) = (
            x - turn.sin() * radius * down,
            y + turn.cos() * radius * down,
        );
        let (from, to) = (rng.between(-1.1, -0.2), rng.between(0.2, 1.1));
        let ends = (
            (mid_x + along_x * from, mid_y + along_y * from),
            (mid_x + along_x * to, mid_y + along_y * to),
        );
        let band = stroke(ends.0, ends.1, thickness * radius).and(disc(x, y, radius));
        canvas.shape(&band, &gradient, rng.between(0.25, 0.55), 0.0);
        down += thickness + rng.between(0.08, 0.2);
    }
}

fn balloon(canvas: &mut Canvas, tones: &Tones, gradient: &Gradient, (x, y): (f32, f32), size: f32) {
    let at = |across: f32, down: f32| (x + across * size, y + down * size);
    let (light, dark) = (canvas.flat(tones.light), canvas.flat(tones.near));
    for side in [-1.0, 1.0] {
        canvas.shape(
            &stroke(at(side * 0.22, 1.3), at(side * 0.13, 1.66), size * 0.02),
            &dark,
            0.8,
            0.0,
        );
    }
    let throat = [
        at(-0.82, 0.57),
        at(0.82, 0.57),
        at(0.24, 1.34),
        at(-0.24, 1.34),
    ];
    canvas.shape(&polygon(throat), gradient, 1.0, 0.0);
    canvas.shape(&disc(x, y, size), gradient, 1.0, 0.0);
    for (outer, inner) in [(0.72, 0.46), (0.2, 0.0)] {
        // Gores: ellipses of one height, clipped to the envelope.
        let gore = ellipse(x, y + size * 0.17, size * outer, size * 1.17, 0.0);
        let hole = ellipse(
            x,
            y + size * 0.17,
            (size * inner).max(0.01),
            size * 1.17,
            0.0,
        );
        let lower = polygon([at(-1.0, -1.0), at(1.0, -1.0), at(1.0, 1.34), at(-1.0, 1.34)]);
        canvas.shape(&gore.less(hole).and(lower), &light, 0.62, 0.0);
    }
    canvas.shape(
        &polygon([
            at(-0.17, 1.66),
            at(0.17, 1.66),
            at(0.13, 1.92),
            at(-0.13, 1.92),
        ]),
        &dark,
        1.0,
        0.0,
    );
}
