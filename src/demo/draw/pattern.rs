//! Scenes of nothing in particular: bubbles, cut paper, facets.

use super::canvas::{Canvas, HEIGHT};
use super::rng::Rng;
use super::shape::{Shape, disc, polygon};
use super::terrain::Outline;
use super::things::{land, shadow, sky, sun};
use super::tones::{DAY, DUSK, NIGHT, Tones};

/// Soft lights out of focus.
pub(super) fn bubbles(canvas: &mut Canvas, rng: &mut Rng) {
    let tones = any(rng);
    let width = canvas.width();
    let air = canvas.fade(
        0.0,
        tones.zenith.mix(tones.haze, 0.3),
        HEIGHT,
        tones.haze.mix(tones.zenith, 0.15),
    );
    canvas.cover(&air);
    let lights = [tones.light, tones.light, tones.accent].map(|color| canvas.flat(color));
    canvas.all_mixed();
    let drift = rng.between(0.35, 0.65);
    for bubble in 0..rng.count(30, 46) {
        let nearness = rng.share().powi(2);
        let radius = 18.0 + 130.0 * nearness;
        let y = rng.between(0.05, 1.05) * HEIGHT;
        let x = width * (drift + rng.between(-0.65, 0.65));
        let gradient = &lights[bubble % lights.len()];
        // Few strengths, so that few inks are enough for all overlaps.
        let opacity = if nearness > 0.4 {
            0.13
        } else {
            *rng.pick(&[0.19, 0.28])
        };
        canvas.shape(
            &disc(x, y, radius),
            gradient,
            opacity,
            1.5 + 20.0 * nearness,
        );
        if rng.chance(0.5) {
            let rim = disc(x, y, radius).less(disc(x, y, radius * 0.94));
            canvas.shape(&rim, gradient, opacity, 1.5);
        }
    }
}

/// A valley cut out of sheets of paper, with the sun at its end.
pub(super) fn paper(canvas: &mut Canvas, rng: &mut Rng) {
    let tones = any(rng);
    let width = canvas.width();
    sky(canvas, tones, 700.0);
    let x = width * rng.between(0.35, 0.65);
    sun(
        canvas,
        tones,
        (x, rng.between(330.0, 430.0)),
        rng.between(80.0, 120.0),
    );
    let sheets = rng.count(5, 7);
    for sheet in 0..sheets {
        let share = sheet as f32 / (sheets - 1) as f32;
        let waves = Outline::rolling(width, 0.0, 42.0, 520.0 + 160.0 * share, rng);
        let hollow = (1.05 - share * 0.55) * 320.0;
        let outline = Outline::new(width, |at| {
            let offset = ((at - x) / (width * 0.62)).abs().min(1.0);
            560.0 + 330.0 * share - hollow * offset.powf(1.6) + waves.at(at)
        });
        shadow(canvas, &outline, 26.0 + 16.0 * share);
        let color = tones.land(share);
        land(
            canvas,
            &outline,
            400.0,
            color,
            HEIGHT,
            color.mix(tones.near, 0.12),
        );
    }
}

/// Triangles, edge to edge, shaded as if they were a crumpled sheet.
pub(super) fn facets(canvas: &mut Canvas, rng: &mut Rng) {
    let tones = any(rng);
    let width = canvas.width();
    let rows = rng.count(6, 10);
    let side = HEIGHT / rows as f32;
    let columns = (width / side) as usize + 3;
    let mut jitter = |at: usize| at as f32 * side - side + rng.between(-0.34, 0.34) * side;
    let corners: Vec<Vec<(f32, f32)>> = (0..rows + 3)
        .map(|row| {
            (0..=columns)
                .map(|column| (jitter(column), jitter(row)))
                .collect()
        })
        .collect();
    sky(canvas, tones, HEIGHT);
    for (upper, lower) in corners.iter().zip(&corners[1..]) {
        for (left, right) in upper.windows(2).zip(lower.windows(2)) {
            let (one, two, three, four) = (left[0], left[1], right[1], right[0]);
            let split = if rng.chance(0.5) {
                [[one, two, three], [one, three, four]]
            } else {
                [[one, two, four], [two, three, four]]
            };
            for triangle in split {
                facet(canvas, tones, triangle, rng);
            }
        }
    }
}

fn facet(canvas: &mut Canvas, tones: &Tones, corners: [(f32, f32); 3], rng: &mut Rng) {
    let middle = |part: fn((f32, f32)) -> f32| corners.map(part).iter().sum::<f32>() / 3.0;
    let (across, down) = (
        middle(|corner| corner.0) / canvas.width(),
        middle(|corner| corner.1) / HEIGHT,
    );
    let share = (across * 0.45 + down * 0.55 + rng.between(-0.09, 0.09)).clamp(0.0, 1.0);
    let ramp = [tones.haze, tones.far, tones.zenith, tones.near];
    let place = share * 2.999;
    let color = ramp[place as usize].mix(ramp[place as usize + 1], place.fract());
    let gradient = canvas.flat(color.mix(tones.light, rng.between(0.0, 0.12)));
    let flat = polygon(corners);
    // A hair larger than it is: neighbours overlap, and no seam shows between them.
    let [left, top, right, bottom] = flat.bounds;
    let grown = Shape {
        bounds: [left - 1.0, top - 1.0, right + 1.0, bottom + 1.0],
        distance: |x: f32, y: f32| (flat.distance)(x, y) - 0.7,
    };
    canvas.shape(&grown, &gradient, 1.0, 0.0);
}

fn any(rng: &mut Rng) -> &'static Tones {
    match rng.count(0, 2) {
        0 => rng.pick(&DUSK),
        1 => rng.pick(&DAY),
        _ => rng.pick(&NIGHT),
    }
}
