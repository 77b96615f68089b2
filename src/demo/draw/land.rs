//! Scenes of land: mountains, dunes, hills, a lone tree.

use super::canvas::{Canvas, Edge};
use super::rng::Rng;
use super::shape::{disc, polygon, stroke};
use super::terrain::Outline;
use super::things::{cloud, gulls, land, sky, sun, tree};
use super::tones::{DAY, DUSK, Tones};

/// Range behind range, misty at the foot, firs on the nearest.
pub(super) fn mountains(canvas: &mut Canvas, rng: &mut Rng) {
    let tones = light(rng);
    let width = canvas.width();
    sky(canvas, tones, 720.0);
    let at = (width * rng.between(0.22, 0.78), rng.between(230.0, 400.0));
    sun(canvas, tones, at, rng.between(55.0, 95.0));
    if rng.chance(0.6) {
        gulls(
            canvas,
            tones.land(0.5),
            (width * rng.between(0.2, 0.8), at.1 + 110.0),
            rng,
        );
    }
    let ranges = rng.count(4, 6);
    for range in 0..ranges {
        let share = range as f32 / (ranges - 1) as f32;
        let middle = 500.0 + 390.0 * share;
        let swing = 150.0 - 95.0 * share;
        let mut outline = Outline::range(width, middle, swing, 0.52, rng);
        if share > 0.7 {
            outline = outline.wooded(46.0 + 40.0 * share * share, 0.85, rng);
        }
        let color = tones.land(share.powf(0.85));
        let foot = color.mix(tones.haze, 0.45 * (1.0 - share));
        land(
            canvas,
            &outline,
            middle - swing,
            color,
            middle + 170.0,
            foot,
        );
    }
}

/// Dunes with a lit and a shaded flank each.
pub(super) fn dunes(canvas: &mut Canvas, rng: &mut Rng) {
    let tones = rng.pick(&[&DUSK[0], &DUSK[2], &DUSK[5], &DAY[2], &DAY[5]]);
    let width = canvas.width();
    sky(canvas, tones, 640.0);
    sun(
        canvas,
        tones,
        (width * rng.between(0.2, 0.8), rng.between(240.0, 380.0)),
        rng.between(50.0, 80.0),
    );
    let dunes = rng.count(4, 5);
    for dune in 0..dunes {
        let share = dune as f32 / (dunes - 1) as f32;
        let (middle, swing) = (580.0 + 260.0 * share, 60.0 + 50.0 * share);
        let outline = Outline::rolling(width, middle, swing, 900.0 + 500.0 * share, rng);
        let lit = tones.land(share * 0.62);
        land(
            canvas,
            &outline,
            middle - swing,
            lit.mix(tones.light, 0.16),
            middle + 280.0,
            lit,
        );
        // The shade begins at the summit and widens down the flank that looks away from the sun.
        let summit = outline.summit();
        let flank = |x: f32| {
            let past = (x - summit).max(0.0);
            outline.at(x) + past * 0.34 + (past * 0.012).sin() * past.min(60.0) * 0.3
        };
        let (dark, pale) = (lit.mix(tones.near, 0.42), lit.mix(tones.near, 0.12));
        let shaded = canvas.fade(middle - swing, dark, middle + 330.0, pale);
        let crest = |x: f32| outline.at(x) + (summit - x).clamp(-1.0, 8.0);
        canvas.between(crest, flank, &shaded, Edge::SHARP);
    }
}

/// Round hills with round trees and a house.
pub(super) fn hills(canvas: &mut Canvas, rng: &mut Rng) {
    let tones = rng.pick(&DAY);
    let width = canvas.width();
    sky(canvas, tones, 760.0);
    sun(
        canvas,
        tones,
        (width * rng.between(0.15, 0.85), rng.between(170.0, 290.0)),
        62.0,
    );
    for _ in 0..rng.count(2, 4) {
        let at = (rng.between(0.05, 0.95) * width, rng.between(160.0, 420.0));
        cloud(canvas, tones.light, 0.75, at, rng.between(130.0, 280.0));
    }
    let rows = 4;
    for row in 0..rows {
        let share = row as f32 / (rows - 1) as f32;
        let (middle, swing) = (600.0 + 250.0 * share, 75.0 - 15.0 * share);
        let outline = Outline::rolling(width, middle, swing, 640.0 + 260.0 * share, rng);
        let color = tones.land(share * 0.85);
        let crown = tones.land((share * 0.85 + 0.32).min(1.0));
        let tall = 46.0 + 66.0 * share;
        for _ in 0..rng.count(3, 7) {
            let x = rng.between(0.02, 0.98) * width;
            tree(
                canvas,
                tones.near,
                crown,
                (x, outline.at(x) + 4.0),
                tall * rng.between(0.7, 1.2),
            );
        }
        if row == 2 {
            let x = outline.summit();
            router(canvas, tones, (x, outline.at(x) + 6.0), 54.0);
        }
        land(
            canvas,
            &outline,
            middle - swing,
            color.mix(tones.haze, 0.12),
            middle + 200.0,
            color,
        );
    }
}

/// One tree before a low, large sun.
pub(super) fn tree_alone(canvas: &mut Canvas, rng: &mut Rng) {
    let tones = light(rng);
    let width = canvas.width();
    sky(canvas, tones, 800.0);
    let x = width * *rng.pick(&[0.36, 0.5, 0.64]);
    sun(
        canvas,
        tones,
        (x + rng.between(-40.0, 40.0), 560.0),
        rng.between(190.0, 240.0),
    );
    let behind = Outline::rolling(width, 770.0, 36.0, 1300.0, rng);
    land(
        canvas,
        &behind,
        740.0,
        tones.land(0.45),
        900.0,
        tones.land(0.55),
    );
    let phase = rng.between(0.0, 6.0);
    let hill = Outline::new(width, |at| {
        815.0 - 80.0 * (-((at - x) / 420.0).powi(2)).exp() + 9.0 * (at * 0.006 + phase).sin()
    });
    let (ground, size) = ((x, hill.at(x) + 8.0), rng.between(300.0, 360.0));
    crooked(canvas, tones, ground, size, rng);
    land(canvas, &hill, 730.0, tones.near, 1000.0, tones.near);
    gulls(
        canvas,
        tones.near,
        (x + *rng.pick(&[-260.0, 260.0]), 380.0),
        rng,
    );
}

/// Dusk as often as day.
fn light(rng: &mut Rng) -> &'static Tones {
    if rng.chance(0.6) {
        rng.pick(&DUSK)
    } else {
        rng.pick(&DAY)
    }
}

fn router(canvas: &mut Canvas, tones: &Tones, (x, y): (f32, f32), size: f32) {
    let at = |across: f32, up: f32| (x + across * size, y - up * size);
    let (wall, roof, dark) = (
        canvas.flat(tones.light),
        canvas.flat(tones.accent),
        canvas.flat(tones.near),
    );
    canvas.shape(
        &polygon([at(0.2, 1.25), at(0.36, 1.25), at(0.36, 0.7), at(0.2, 0.7)]),
        &wall,
        1.0,
        0.0,
    );
    canvas.shape(
        &polygon([at(-0.6, 0.7), at(0.6, 0.7), at(0.6, -0.1), at(-0.6, -0.1)]),
        &wall,
        1.0,
        0.0,
    );
    canvas.shape(
        &polygon([at(-0.75, 0.66), at(0.0, 1.2), at(0.75, 0.66)]),
        &roof,
        1.0,
        0.0,
    );
    canvas.shape(
        &polygon([
            at(-0.12, 0.42),
            at(0.14, 0.42),
            at(0.14, -0.1),
            at(-0.12, -0.1),
        ]),
        &dark,
        1.0,
        0.0,
    );
    canvas.shape(
        &polygon([at(0.28, 0.5), at(0.46, 0.5), at(0.46, 0.3), at(0.28, 0.3)]),
        &dark,
        1.0,
        0.0,
    );
}

/// A tree that grew in the wind: bent trunk, boughs, a crown of many discs.
fn crooked(canvas: &mut Canvas, tones: &Tones, (x, y): (f32, f32), size: f32, rng: &mut Rng) {
    let lean = rng.between(-0.08, 0.08) * size;
    let dark = canvas.flat(tones.near);
    let knee = (x + lean * 0.3, y - size * 0.3);
    let fork = (x + lean, y - size * 0.48);
    let foot = size * 0.05;
    let trunk = [
        (x - foot, y),
        (x + foot, y),
        (fork.0 + foot * 0.35, fork.1),
        (fork.0 - foot * 0.35, fork.1),
    ];
    canvas.shape(&polygon(trunk), &dark, 1.0, 0.0);
    for bough in 0..5 {
        let turn = (bough as f32 - 2.0) * 0.42 + rng.between(-0.1, 0.1);
        let from = if bough % 2 == 0 {
            fork
        } else {
            (f32::midpoint(knee.0, fork.0), f32::midpoint(knee.1, fork.1))
        };
        let reach = size * rng.between(0.3, 0.38);
        let tip = (
            from.0 + turn.sin() * reach,
            from.1 - turn.cos() * reach * 0.8,
        );
        canvas.shape(&stroke(from, tip, size * 0.018), &dark, 1.0, 0.0);
        for _ in 0..9 {
            let (offset, up) = (
                rng.between(-0.13, 0.13) * size,
                rng.between(-0.09, 0.07) * size,
            );
            canvas.shape(
                &disc(tip.0 + offset, tip.1 + up, size * rng.between(0.035, 0.085)),
                &dark,
                1.0,
                0.0,
            );
        }
    }
}
