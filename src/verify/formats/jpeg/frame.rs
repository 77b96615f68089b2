//! A frame and its components: how many coded units each scan has to hold.

/// The most components of a frame that are looked at: scans hold at most four, and no format of
/// colors in use has more.
pub(super) const MAX_COMPONENTS: usize = 4;

/// The samples of a data unit on each side: a block of the DCT.
const BLOCK_SIDE: u32 = 8;

/// How a frame is coded, by the code of its marker: T.81 table B.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// Baseline or extended sequential DCT (`SOF0`, `SOF1`; `SOF9` with arithmetic codes).
    Sequential {
        arithmetic: bool,
    },
    /// Progressive DCT (`SOF2`; `SOF10` with arithmetic codes).
    Progressive {
        arithmetic: bool,
    },
    Lossless,
    /// A difference to another frame.
    Differential,
}

impl Process {
    /// The process of a frame that the marker of this code begins; `None` when it begins none.
    pub(super) fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0xC0 | 0xC1 => Self::Sequential { arithmetic: false },
            0xC2 => Self::Progressive { arithmetic: false },
            0xC9 => Self::Sequential { arithmetic: true },
            0xCA => Self::Progressive { arithmetic: true },
            0xC3 | 0xCB => Self::Lossless,
            0xC5..=0xC7 | 0xCD..=0xCF => Self::Differential,
            _ => return None,
        })
    }

    /// Whether its data units are blocks of 8 x 8 samples.
    pub(super) fn codes_blocks(self) -> bool {
        matches!(self, Self::Sequential { .. } | Self::Progressive { .. })
    }
}

/// A component as its frame declares it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Its samples against those of the other components, across and down.
    across: u8,
    down: u8,
    /// Which quantization table it uses.
    pub(super) quantization: u8,
}

impl Component {
    /// A component by the three bytes that declare it: T.81 figure B.3.
    pub(super) fn new([id, sampling, quantization]: [u8; 3]) -> Self {
        Self {
            id,
            across: sampling >> 4,
            down: sampling & 15,
            quantization,
        }
    }

    /// How many of its blocks an interleaved unit holds.
    pub(super) fn blocks_in_unit(self) -> usize {
        usize::from(self.across) * usize::from(self.down)
    }
}

/// A frame with the components that it has declared so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    width: u32,
    height: u32,
    components: [Component; MAX_COMPONENTS],
    count: usize,
}

/// How many units stand in a row, and how many rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnitGrid {
    pub(super) columns: u32,
    pub(super) rows: u32,
}

impl UnitGrid {
    pub(super) fn units(self) -> u64 {
        u64::from(self.columns) * u64::from(self.rows)
    }
}

impl Frame {
    /// A frame of this size, in samples, without components yet.
    pub(super) fn new(width: u16, height: u16) -> Self {
        Self {
            width: width.into(),
            height: height.into(),
            components: [Component::default(); MAX_COMPONENTS],
            count: 0,
        }
    }

    /// Adds a component; false when there is no place for it.
    pub(super) fn push(&mut self, component: Component) -> bool {
        let place = self.components.get_mut(self.count);
        let is_free = place.is_some();
        if let Some(place) = place {
            *place = component;
            self.count += 1;
        }
        is_free
    }

    pub(super) fn components(&self) -> &[Component] {
        &self.components[..self.count]
    }

    /// Whether all sampling factors are within the format's bounds, 1 to 4.
    pub(super) fn sampling_is_valid(&self) -> bool {
        let mut components = self.components().iter();
        components.all(|c| (1..=4).contains(&c.across) && (1..=4).contains(&c.down))
    }

    /// The units (MCUs) of a scan of the components with these indexes: T.81 A.2. A unit of a scan
    /// with one component is one of its blocks. `None` without valid sampling factors.
    pub(super) fn units(&self, members: &[usize]) -> Option<UnitGrid> {
        if self.count == 0 || !self.sampling_is_valid() {
            return None;
        }
        let components = self.components();
        let most = |factor: fn(&Component) -> u8| {
            u32::from(components.iter().map(factor).max().unwrap_or(1))
        };
        let (most_across, most_down) = (most(|c| c.across), most(|c| c.down));
        let (across, down) = match *members {
            [only] => {
                let component = components.get(only)?;
                (component.across.into(), component.down.into())
            }
            _ => (1, 1),
        };
        // At most 65,535 x 4: no overflow. For a single component this is the number of its blocks
        // by A.1.1 and A.2.2 in one division.
        Some(UnitGrid {
            columns: (self.width * across).div_ceil(most_across * BLOCK_SIDE),
            rows: (self.height * down).div_ceil(most_down * BLOCK_SIDE),
        })
    }
}

/// How many restart markers stand in a scan of so many units: one behind each interval but the
/// last.
pub(super) fn restarts(units: u64, interval: u16) -> u64 {
    match u64::from(interval) {
        0 => 0,
        interval => units.div_ceil(interval).saturating_sub(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: u16, height: u16, sampling: &[u8]) -> Frame {
        let mut frame = Frame::new(width, height);
        for (id, &sampling) in (1..).zip(sampling) {
            assert!(frame.push(Component::new([id, sampling, 0])));
        }
        frame
    }

    #[test]
    fn mcus_of_a_scan_follow_from_size_and_sampling() {
        let grid = |columns, rows| Some(UnitGrid { columns, rows });
        let color = frame(17, 9, &[0x22, 0x11, 0x11]);
        assert_eq!(color.units(&[0, 1, 2]), grid(2, 1));
        assert_eq!(color.units(&[0]), grid(3, 2));
        assert_eq!(color.units(&[1]), grid(2, 1));
        assert_eq!(color.units(&[3]), None);
        // The factors of a single component do not matter.
        assert_eq!(frame(17, 9, &[0x42]).units(&[0]), grid(3, 2));
        let odd = frame(100, 100, &[0x31, 0x11, 0x21]);
        assert_eq!(odd.units(&[0, 1, 2]), grid(5, 13));
        assert_eq!(odd.units(&[2]), grid(9, 13));
    }

    #[test]
    fn sampling_factors_out_of_bounds_give_no_mcus() {
        for sampling in [0x01, 0x10, 0x51, 0x15] {
            assert_eq!(frame(8, 8, &[0x11, sampling]).units(&[0, 1]), None);
        }
        let mut full = frame(8, 8, &[0x11; 4]);
        assert!(!full.push(Component::new([5, 0x11, 0])));
        assert_eq!(full.components().len(), 4);
    }

    #[test]
    fn restart_markers_stand_between_intervals() {
        let counts = [(10, 0), (10, 3), (9, 3), (10, 10), (10, 11), (0, 3)];
        assert_eq!(
            counts.map(|(units, interval)| restarts(units, interval)),
            [0, 3, 2, 0, 0, 0]
        );
    }
}
