//! Shapes as distances: how far a point lies from a shape's rim, below zero inside.

/// Something to be covered: where it can be, in units (left, top, right, bottom), and the distance to its rim.
pub(super) struct Shape<F> {
    pub bounds: [f32; 4],
    pub distance: F,
}

/// A disc around (`x`, `y`).
pub(super) fn disc(x: f32, y: f32, radius: f32) -> Shape<impl Fn(f32, f32) -> f32> {
    Shape {
        bounds: [x - radius, y - radius, x + radius, y + radius],
        distance: move |px: f32, py: f32| {
            ((px - x) * (px - x) + (py - y) * (py - y)).sqrt() - radius
        },
    }
}

/// A line from one point to another with round ends, `thickness` across.
pub(super) fn stroke(
    from: (f32, f32),
    to: (f32, f32),
    thickness: f32,
) -> Shape<impl Fn(f32, f32) -> f32> {
    let radius = thickness / 2.0;
    let (along_x, along_y) = (to.0 - from.0, to.1 - from.1);
    let length = (along_x * along_x + along_y * along_y).max(f32::EPSILON);
    Shape {
        bounds: [
            from.0.min(to.0) - radius,
            from.1.min(to.1) - radius,
            from.0.max(to.0) + radius,
            from.1.max(to.1) + radius,
        ],
        distance: move |px: f32, py: f32| {
            let (x, y) = (px - from.0, py - from.1);
            let share = ((x * along_x + y * along_y) / length).clamp(0.0, 1.0);
            let (x, y) = (x - share * along_x, y - share * along_y);
            (x * x + y * y).sqrt() - radius
        },
    }
}

/// The convex polygon with these corners, in either direction.
pub(super) fn polygon<const CORNERS: usize>(
    corners: [(f32, f32); CORNERS],
) -> Shape<impl Fn(f32, f32) -> f32> {
    let next = |corner: usize| corners[(corner + 1) % CORNERS];
    let area: f32 = (0..CORNERS)
        .map(|at| corners[at].0 * next(at).1 - next(at).0 * corners[at].1)
        .sum();
    let sides: [(f32, f32, f32); CORNERS] = std::array::from_fn(|at| {
        let ((x, y), (to_x, to_y)) = (corners[at], next(at));
        let length = (to_x - x).hypot(to_y - y).max(f32::EPSILON) * area.signum();
        let (across_x, across_y) = ((to_y - y) / length, (x - to_x) / length);
        (across_x, across_y, across_x * x + across_y * y)
    });
    let span = |part: fn(&(f32, f32)) -> f32| {
        let parts = || corners.iter().map(part);
        (
            parts().fold(f32::MAX, f32::min),
            parts().fold(f32::MIN, f32::max),
        )
    };
    let ((left, right), (top, bottom)) = (span(|corner| corner.0), span(|corner| corner.1));
    Shape {
        bounds: [left, top, right, bottom],
        distance: move |x: f32, y: f32| {
            sides
                .iter()
                .map(|(across_x, across_y, at)| x * across_x + y * across_y - at)
                .fold(f32::MIN, f32::max)
        },
    }
}

/// An upright or lying ellipse around (`x`, `y`), turned by `turn`.
pub(super) fn ellipse(
    x: f32,
    y: f32,
    across: f32,
    down: f32,
    turn: f32,
) -> Shape<impl Fn(f32, f32) -> f32> {
    let (sine, cosine) = turn.sin_cos();
    let (wide, high) = (
        (across * cosine).hypot(down * sine),
        (across * sine).hypot(down * cosine),
    );
    let narrow = across.min(down);
    Shape {
        bounds: [x - wide, y - high, x + wide, y + high],
        distance: move |px: f32, py: f32| {
            let (px, py) = (px - x, py - y);
            let (px, py) = (
                (px * cosine + py * sine) / across,
                (py * cosine - px * sine) / down,
            );
            let from_middle = (px * px + py * py).sqrt();
            if from_middle < 0.8 {
                return (from_middle - 1.0) * narrow;
            }
            // To first order: the excess over how fast it grows here.
            let (grows_x, grows_y) = (px / across, py / down);
            (from_middle - 1.0) * from_middle / (grows_x * grows_x + grows_y * grows_y).sqrt()
        },
    }
}

impl<F: Fn(f32, f32) -> f32> Shape<F> {
    /// What lies in both.
    pub(super) fn and<G: Fn(f32, f32) -> f32>(
        self,
        other: Shape<G>,
    ) -> Shape<impl Fn(f32, f32) -> f32> {
        let ([left, top, right, bottom], theirs) = (self.bounds, other.bounds);
        Shape {
            bounds: [
                left.max(theirs[0]),
                top.max(theirs[1]),
                right.min(theirs[2]),
                bottom.min(theirs[3]),
            ],
            distance: move |x: f32, y: f32| (self.distance)(x, y).max((other.distance)(x, y)),
        }
    }

    /// What lies in this and not in the other.
    pub(super) fn less<G: Fn(f32, f32) -> f32>(
        self,
        other: Shape<G>,
    ) -> Shape<impl Fn(f32, f32) -> f32> {
        Shape {
            bounds: self.bounds,
            distance: move |x: f32, y: f32| (self.distance)(x, y).max(-(other.distance)(x, y)),
        }
    }
}
