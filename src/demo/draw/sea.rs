//! Scenes of water: open sea, and a lighthouse.

use super::canvas::{Canvas, Edge, HEIGHT};
use super::rng::Rng;
use super::shape::{disc, polygon};
use super::terrain::Outline;
use super::things::{cloud, glitter, gulls, land, sailboat, sky, stars, sun};
use super::tones::{DAY, DUSK, NIGHT, Tones};

/// The sun over swell, and somebody under sail.
pub(super) fn sea(canvas: &mut Canvas, rng: &mut Rng) {
    let tones = if rng.chance(0.65) {
        rng.pick(&DUSK)
    } else {
        rng.pick(&DAY)
    };
    let width = canvas.width();
    let horizon = rng.between(540.0, 620.0);
    sky(canvas, tones, horizon);
    for _ in 0..rng.count(1, 3) {
        let at = (rng.between(0.05, 0.95) * width, rng.between(180.0, 380.0));
        cloud(canvas, tones.light, 0.35, at, rng.between(180.0, 380.0));
    }
    let x = width * rng.between(0.25, 0.75);
    sun(
        canvas,
        tones,
        (x, horizon - rng.between(0.0, 60.0)),
        rng.between(95.0, 150.0),
    );
    water(canvas, tones, horizon);
    glitter(canvas, tones, x, horizon, 130.0, rng);
    let boat = (
        x + *rng.pick(&[-1.0, 1.0]) * rng.between(200.0, 380.0),
        horizon + rng.between(50.0, 90.0),
    );
    sailboat(canvas, tones, boat, rng.between(110.0, 190.0));
    swell(canvas, tones, rng.between(800.0, 850.0), rng);
    gulls(
        canvas,
        tones.near,
        (width * rng.between(0.15, 0.85), 300.0),
        rng,
    );
}

/// A lighthouse on its rock, lit.
pub(super) fn lighthouse(canvas: &mut Canvas, rng: &mut Rng) {
    let tones = if rng.chance(0.5) {
        rng.pick(&NIGHT)
    } else {
        rng.pick(&DUSK)
    };
    let width = canvas.width();
    let horizon = 690.0;
    sky(canvas, tones, horizon);
    stars(canvas, tones, 520.0, 130, rng);
    water(canvas, tones, horizon);
    let side = *rng.pick(&[-1.0, 1.0]);
    let x = width * (0.5 - side * 0.22);
    let (foot, tall) = (660.0, 330.0);
    let lamp = foot - tall - 18.0;
    let beam = canvas.flat(tones.light);
    for (towards, spread, opacity) in [(side, 130.0, 0.22), (side, 60.0, 0.25), (-side, 70.0, 0.10)]
    {
        let end = x + towards * width;
        let ray = polygon([
            (x, lamp - 4.0),
            (x, lamp + 4.0),
            (end, lamp + spread - 60.0),
            (end, lamp - spread - 60.0),
        ]);
        canvas.shape(&ray, &beam, opacity, 10.0);
    }
    glitter(canvas, tones, x, horizon + 70.0, 70.0, rng);
    tower(canvas, tones, (x, foot), tall);
    let rock = Outline::range(width, 0.0, 16.0, 0.6, rng);
    let dark = canvas.flat(tones.near);
    let shore = |at: f32| rock.at(at) + 650.0 + (((at - x) / 330.0).powi(4) * 50.0).min(400.0);
    canvas.below(shore, &dark);
    swell(canvas, tones, 860.0, rng);
}

/// Still water from the horizon down.
fn water(canvas: &mut Canvas, tones: &Tones, horizon: f32) {
    let (far, near) = (tones.haze.mix(tones.far, 0.6), tones.land(0.55));
    let gradient = canvas.fade(horizon, far, HEIGHT, near);
    canvas.between(|_| horizon, |_| HEIGHT + 1.0, &gradient, Edge::SHARP);
}

/// Waves that come nearer, each with a thin crest of foam.
fn swell(canvas: &mut Canvas, tones: &Tones, from: f32, rng: &mut Rng) {
    let width = canvas.width();
    for wave in 0..3 {
        let share = wave as f32 / 2.0;
        let middle = from + 75.0 * wave as f32;
        let (length, swing) = (210.0 + 110.0 * share, 10.0 + 9.0 * share);
        let outline = Outline::rolling(width, middle, swing * 1.4, length, rng);
        let foam = canvas.flat(tones.light);
        let breaking = |x: f32| (x * 0.011 + middle).sin().max(0.0) * (4.0 + 4.0 * share);
        canvas.between(
            |x| outline.at(x) - breaking(x),
            |x| outline.at(x) + 2.0,
            &foam,
            Edge::thin(0.45),
        );
        let color = tones.land(0.55 + 0.4 * share);
        land(
            canvas,
            &outline,
            middle - swing,
            color,
            middle + 160.0,
            color.mix(tones.near, 0.35),
        );
    }
}

fn tower(canvas: &mut Canvas, tones: &Tones, (x, foot): (f32, f32), tall: f32) {
    let half = |up: f32| 46.0 - 20.0 * up;
    let at = |across: f32, up: f32| (x + across * half(up), foot - up * tall);
    let (white, red, dark) = (
        canvas.flat(tones.light),
        canvas.flat(tones.accent),
        canvas.flat(tones.near),
    );
    canvas.shape(
        &polygon([at(-1.0, -0.15), at(1.0, -0.15), at(1.0, 1.0), at(-1.0, 1.0)]),
        &white,
        1.0,
        0.0,
    );
    for stripe in 0..3 {
        let up = 0.14 + 0.3 * stripe as f32;
        let band = polygon([
            at(-1.0, up),
            at(1.0, up),
            at(1.0, up + 0.15),
            at(-1.0, up + 0.15),
        ]);
        canvas.shape(&band, &red, 1.0, 0.0);
    }
    // The side away from the light.
    let shade = polygon([at(0.25, -0.15), at(1.0, -0.15), at(1.0, 1.0), at(0.25, 1.0)]);
    canvas.shape(&shade, &dark, 0.22, 0.0);
    let top = foot - tall;
    let block = |half: f32, low: f32, high: f32| {
        polygon([
            (x - half, top - low),
            (x + half, top - low),
            (x + half, top - high),
            (x - half, top - high),
        ])
    };
    canvas.shape(&block(36.0, -4.0, 4.0), &dark, 1.0, 0.0);
    canvas.shape(&block(20.0, 4.0, 36.0), &white, 1.0, 0.0);
    canvas.shape(&block(1.5, 4.0, 36.0), &dark, 0.7, 0.0);
    canvas.shape(
        &polygon([
            (x - 27.0, top - 35.0),
            (x, top - 66.0),
            (x + 27.0, top - 35.0),
        ]),
        &red,
        1.0,
        0.0,
    );
    canvas.shape(&disc(x, top - 19.0, 60.0), &white, 0.14, 50.0);
}
