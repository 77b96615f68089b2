//! Colours, and the at most 256 of them that one drawing may use.

/// A colour, each part 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rgb {
    red: f32,
    green: f32,
    blue: f32,
}

impl Rgb {
    /// The colour written `0xRRGGBB`.
    pub(super) const fn hex(written: u32) -> Self {
        let [_, red, green, blue] = written.to_be_bytes();
        Self {
            red: red as f32,
            green: green as f32,
            blue: blue as f32,
        }
    }

    /// This colour with `share` (0 to 1) of `other` in it.
    pub(super) fn mix(self, other: Self, share: f32) -> Self {
        let part = |mine: f32, other: f32| mine + (other - mine) * share;
        Self {
            red: part(self.red, other.red),
            green: part(self.green, other.green),
            blue: part(self.blue, other.blue),
        }
    }

    /// How far apart two colours are: the largest difference in one part.
    pub(super) fn distance(self, other: Self) -> f32 {
        let (red, green, blue) = (
            self.red - other.red,
            self.green - other.green,
            self.blue - other.blue,
        );
        red.abs().max(green.abs()).max(blue.abs())
    }

    fn bytes(self) -> [u8; 3] {
        [self.red, self.green, self.blue].map(|part| part.round() as u8)
    }
}

/// The inks of one drawing. Once all 256 are mixed, the nearest stands in for a new one.
pub(super) struct Palette {
    colours: Vec<Rgb>,
    /// What one ink laid thinly over another gives: ink + 1, or 0 where nobody asked yet.
    mixed: Vec<u16>,
    /// How many there may be before mixtures make do with what is there.
    most_mixed: usize,
}

impl Palette {
    /// How many there can be: a pixel is one byte.
    const MOST: usize = 256;

    /// How many mixtures may use up while there are washes to come.
    const MIXED: usize = 176;

    /// The number of steps of coverage; a power of two.
    pub(super) const LEVELS: usize = 32;

    pub(super) fn new() -> Self {
        let mixed = vec![0; Self::MOST * Self::MOST * Self::LEVELS];
        Self {
            colours: Vec::with_capacity(Self::MOST),
            mixed,
            most_mixed: Self::MIXED,
        }
    }

    /// Says that no wash comes any more: mixtures may use up what is left.
    pub(super) fn spend(&mut self) {
        self.most_mixed = Self::MOST;
    }

    /// The ink of a wash: `color` itself, as long as there is room.
    pub(super) fn ink(&mut self, color: Rgb) -> u8 {
        self.nearest(color, 0.9, Self::MOST)
    }

    /// The nearest ink, or a new one where that is further than `tolerance` and there are fewer than `most`.
    fn nearest(&mut self, color: Rgb, tolerance: f32, most: usize) -> u8 {
        let (mut nearest, mut least) = (0, f32::MAX);
        for (ink, known) in self.colours.iter().enumerate() {
            let distance = known.distance(color);
            if distance < least {
                (nearest, least) = (ink, distance);
            }
        }
        if least > tolerance && self.colours.len() < most {
            nearest = self.colours.len();
            self.colours.push(color);
        }
        nearest as u8
    }

    /// The ink that shows where `over` covers `under` by `level` of [`Palette::LEVELS`].
    pub(super) fn over(&mut self, under: u8, over: u8, level: usize) -> u8 {
        let place = (usize::from(under) * Self::MOST + usize::from(over)) * Self::LEVELS + level;
        if self.mixed[place] == 0 {
            let share = level as f32 / Self::LEVELS as f32;
            let color =
                self.colours[usize::from(under)].mix(self.colours[usize::from(over)], share);
            // The fuller the palette, the less a mixture may ask for.
            let tolerance = 2.0 + self.colours.len() as f32 / 40.0;
            self.mixed[place] = u16::from(self.nearest(color, tolerance, self.most_mixed)) + 1;
        }
        (self.mixed[place] - 1) as u8
    }

    /// The colours in the order of their inks, three bytes each.
    pub(super) fn palette(&self) -> Vec<[u8; 3]> {
        self.colours.iter().map(|color| color.bytes()).collect()
    }
}
