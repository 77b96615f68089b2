//! The canvas: pixels of one byte, covered row by row, with soft edges.
//!
//! Scenes measure in units: a canvas is 1,000 units high at any number of pixels, and as wide as
//! its shape says.

use std::ops::Range;

use super::palette::{Palette, Rgb};
use super::rng::Rng;
use super::shape::Shape;

/// How many units a canvas is high.
pub(super) const HEIGHT: f32 = 1000.0;

/// Pixels after which the grain repeats; rows start at different places of it.
const GRAIN: usize = 1 << 16;

/// A drawing under way.
pub(super) struct Canvas {
    columns: usize,
    rows: usize,
    pixels: Vec<u8>,
    palette: Palette,
    /// Pixels a unit.
    scale: f32,
    /// Noise from -0.5 to 0.5, and how much of it washes take.
    grain: Vec<f32>,
    coarseness: f32,
}

/// A colour that changes from row to row only, mixed for one canvas.
pub(super) struct Gradient {
    palette: Vec<u8>,
    top: f32,
    rows_an_ink: f32,
}

/// How a covered area ends.
#[derive(Clone, Copy)]
pub(super) struct Edge {
    /// How much of what lies below it hides, 0 to 1.
    pub opacity: f32,
    /// Units over which it begins, from above.
    pub upper: f32,
    /// Units over which it ends, downwards.
    pub lower: f32,
}

impl Edge {
    /// Cut as with scissors.
    pub(super) const SHARP: Self = Self {
        opacity: 1.0,
        upper: 0.0,
        lower: 0.0,
    };

    /// Sharp, and see-through.
    pub(super) const fn thin(opacity: f32) -> Self {
        Self {
            opacity,
            upper: 0.0,
            lower: 0.0,
        }
    }
}

impl Canvas {
    /// An empty canvas of `width` by `height` pixels whose washes are as grainy as `coarseness`, in ink steps.
    pub(super) fn new(width: u32, height: u32, coarseness: f32, rng: &mut Rng) -> Self {
        let (columns, rows) = (width as usize, height as usize);
        let grain = (0..GRAIN).map(|_| rng.share() - 0.5).collect();
        let scale = rows as f32 / HEIGHT;
        Self {
            columns,
            rows,
            pixels: vec![0; columns * rows],
            palette: Palette::new(),
            scale,
            grain,
            coarseness,
        }
    }

    /// How many units it is wide.
    pub(super) fn width(&self) -> f32 {
        self.columns as f32 / self.scale
    }

    /// The pixels, row by row, each an ink; and the inks' colours.
    pub(super) fn finish(self) -> (Vec<u8>, Vec<[u8; 3]>) {
        let palette = self.palette.palette();
        (self.pixels, palette)
    }

    /// One colour all over.
    pub(super) fn flat(&mut self, color: Rgb) -> Gradient {
        self.fade(0.0, color, HEIGHT, color)
    }

    /// A wash from `high` at `top` units to `low` at `bottom`.
    pub(super) fn fade(&mut self, top: f32, high: Rgb, bottom: f32, low: Rgb) -> Gradient {
        let steps = (high.distance(low) / 1.5).clamp(1.0, 64.0) as usize;
        let share = |step: usize| step as f32 / (steps.max(2) - 1) as f32;
        let palette = (0..steps)
            .map(|step| self.palette.ink(high.mix(low, share(step))))
            .collect();
        let rows = (bottom - top).max(1.0) * self.scale;
        Gradient {
            palette,
            top: top * self.scale,
            rows_an_ink: rows / steps as f32,
        }
    }

    /// Says that every wash of the drawing is mixed.
    pub(super) fn all_mixed(&mut self) {
        self.palette.spend();
    }

    /// Covers everything.
    pub(super) fn cover(&mut self, gradient: &Gradient) {
        self.between(|_| -1.0, |_| HEIGHT + 1.0, gradient, Edge::SHARP);
    }

    /// Covers everything from the line `top` downwards.
    pub(super) fn below(&mut self, top: impl Fn(f32) -> f32, gradient: &Gradient) {
        self.between(top, |_| HEIGHT + 1.0, gradient, Edge::SHARP);
    }

    /// Covers what lies between two lines, given as heights over the width.
    pub(super) fn between(
        &mut self,
        top: impl Fn(f32) -> f32,
        bottom: impl Fn(f32) -> f32,
        gradient: &Gradient,
        edge: Edge,
    ) {
        let top = Line::new(top, self.columns, self.scale, edge.upper);
        let bottom = Line::new(bottom, self.columns, self.scale, edge.lower);
        let first = self.row_at(top.highest - 1.0 - edge.upper * self.scale);
        let last = self.row_at(bottom.lowest + 2.0 + edge.lower * self.scale);
        // Where coverage changes slowly its levels would show as bands; grain hides them.
        let soft = edge.upper.max(edge.lower) > 30.0;
        let mut paint = vec![0; self.columns];
        for row in first..last {
            self.mix_row(gradient, row, 0..self.columns, &mut paint);
            let middle = row as f32 + 0.5;
            let past_top = middle > top.lowest + 1.0 + edge.upper * self.scale;
            let before_bottom = middle < bottom.highest - 1.0 - edge.lower * self.scale;
            let pixels = &mut self.pixels[row * self.columns..][..self.columns];
            if past_top && before_bottom && edge.opacity >= 1.0 {
                pixels.copy_from_slice(&paint);
                continue;
            }
            for (column, (pixel, ink)) in pixels.iter_mut().zip(&paint).enumerate() {
                let mut coverage = top.below(column, middle);
                if !before_bottom {
                    coverage = coverage.min(1.0 - bottom.below(column, middle));
                }
                if coverage > 0.0 {
                    let grain = if soft {
                        self.grain[grain_at(row, column)] / 24.0
                    } else {
                        0.0
                    };
                    lay(
                        &mut self.palette,
                        pixel,
                        *ink,
                        coverage * edge.opacity + grain,
                    );
                }
            }
        }
    }

    /// Covers `shape`, which ends over `soft` units and hides `opacity` of what lies below it.
    pub(super) fn shape(
        &mut self,
        shape: &Shape<impl Fn(f32, f32) -> f32>,
        gradient: &Gradient,
        opacity: f32,
        soft: f32,
    ) {
        let [left, top, right, bottom] = shape.bounds.map(|bound| bound * self.scale);
        let half = (soft * self.scale).max(1.0) / 2.0;
        let (first, last) = (
            self.row_at(top - half - 1.0),
            self.row_at(bottom + half + 2.0),
        );
        let left = self.column_at(left - half - 1.0);
        // What two shapes share may be nothing: its bounds are then the wrong way round.
        let right = self.column_at(right + half + 2.0).max(left);
        let mut paint = vec![0; self.columns];
        for row in first..last {
            self.mix_row(gradient, row, left..right, &mut paint);
            let y = (row as f32 + 0.5) / self.scale;
            let pixels = &mut self.pixels[row * self.columns..][..self.columns];
            let mut column = left;
            while column < right {
                let x = (column as f32 + 0.5) / self.scale;
                let rim = (shape.distance)(x, y) * self.scale;
                let coverage = (0.5 - rim / (2.0 * half)).clamp(0.0, 1.0);
                // As far as the rim is, nothing changes; some distances are a little too long.
                let run = (((rim.abs() - half) * 0.7).max(1.0) as usize).min(right - column);
                if coverage > 0.0 {
                    for column in column..column + run {
                        lay(
                            &mut self.palette,
                            &mut pixels[column],
                            paint[column],
                            coverage * opacity,
                        );
                    }
                }
                column += run;
            }
        }
    }

    /// Mixes the inks of a part of one row of a wash.
    fn mix_row(&self, gradient: &Gradient, row: usize, part: Range<usize>, paint: &mut [u8]) {
        let place = (row as f32 - gradient.top) / gradient.rows_an_ink;
        let last = gradient.palette.len() - 1;
        let ink = |place: f32| gradient.palette[(place.max(0.0) as usize).min(last)];
        if self.coarseness <= 0.0 || last == 0 {
            return paint[part].fill(ink(place));
        }
        for column in part {
            paint[column] = ink(place + self.coarseness * self.grain[grain_at(row, column)]);
        }
    }

    fn row_at(&self, y: f32) -> usize {
        (y.max(0.0) as usize).min(self.rows)
    }

    fn column_at(&self, x: f32) -> usize {
        (x.max(0.0) as usize).min(self.columns)
    }
}

/// Which grain falls on a pixel: a large odd stride, so that rows near each other share no pattern.
fn grain_at(row: usize, column: usize) -> usize {
    (row * 40_503 + column) % GRAIN
}

/// Lays `ink` on a pixel, of which it covers a share.
#[inline]
fn lay(palette: &mut Palette, pixel: &mut u8, ink: u8, coverage: f32) {
    let level = (coverage * Palette::LEVELS as f32 + 0.5) as usize;
    if level >= Palette::LEVELS {
        *pixel = ink;
    } else if level > 0 {
        *pixel = palette.over(*pixel, ink, level);
    }
}

/// A line across the canvas, in pixels, with how quickly each column passes from one side to the other.
struct Line {
    heights: Vec<f32>,
    sharpness: Vec<f32>,
    highest: f32,
    lowest: f32,
}

impl Line {
    fn new(height: impl Fn(f32) -> f32, columns: usize, scale: f32, soft: f32) -> Self {
        let at = |column: usize| height((column as f32 + 0.5) / scale) * scale;
        let heights: Vec<f32> = (0..columns).map(at).collect();
        // Steep lines pass a pixel slowly, seen along a column; measured across the line they are as sharp as flat ones.
        let slope = |column: usize| {
            let (before, after) = (column.saturating_sub(1), (column + 1).min(columns - 1));
            (heights[after] - heights[before]) / (after - before).max(1) as f32
        };
        let sharpness = (0..columns)
            .map(|column| 1.0 / (slope(column).hypot(1.0).max(soft * scale)))
            .collect();
        let highest = heights.iter().copied().fold(f32::MAX, f32::min);
        let lowest = heights.iter().copied().fold(f32::MIN, f32::max);
        Self {
            heights,
            sharpness,
            highest,
            lowest,
        }
    }

    /// How much of the pixel around (`column`, `y`) lies below the line, 0 to 1.
    fn below(&self, column: usize, y: f32) -> f32 {
        ((y - self.heights[column]) * self.sharpness[column] + 0.5).clamp(0.0, 1.0)
    }
}
