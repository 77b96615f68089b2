//! How large an image may say that it is.

use super::Defect;

/// Bounds on what an image declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most pixels an image may have: width times height.
    pub max_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pixels: 200_000_000,
        }
    }
}

impl Limits {
    /// The declared size, if it is within the limits.
    pub(super) fn allow(self, width: u32, height: u32) -> Result<Dimensions, Defect> {
        let size = Dimensions { width, height };
        match size.pixels() {
            0 => Err(Defect::NoPixels { width, height }),
            pixels if pixels > self.max_pixels => Err(Defect::TooManyPixels {
                width,
                height,
                limit: self.max_pixels,
            }),
            _ => Ok(size),
        }
    }
}

/// A declared size within the limits, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dimensions {
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Dimensions {
    /// The size after a quarter turn.
    pub(super) fn turned(self) -> Self {
        Self {
            width: self.height,
            height: self.width,
        }
    }

    pub(super) fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_pixels_is_compared_without_overflow() {
        let limits = Limits {
            max_pixels: u64::MAX,
        };
        assert!(limits.allow(u32::MAX, u32::MAX).is_ok());
        assert_eq!(
            limits.allow(0, 7),
            Err(Defect::NoPixels {
                width: 0,
                height: 7
            })
        );
        let defect = Defect::TooManyPixels {
            width: 3,
            height: 4,
            limit: 11,
        };
        assert_eq!(Limits { max_pixels: 11 }.allow(3, 4), Err(defect));
        assert!(Limits { max_pixels: 12 }.allow(3, 4).is_ok());
    }
}
