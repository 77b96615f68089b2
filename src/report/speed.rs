//! Speed and remaining time of a run, from the counts of the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

/// Long enough that the speed does not jump, short enough that it follows changes.
const WINDOW: Duration = Duration::from_secs(10);

/// A speed measured over less than this says nothing.
const MIN_WINDOW: Duration = Duration::from_secs(1);

/// The counts of the last [`WINDOW`], the oldest first.
#[derive(Debug, Default)]
pub(super) struct Speed(VecDeque<Sample>);

/// The counts at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Since the run's start.
    pub(super) at: Duration,
    /// Bytes received so far.
    pub(super) bytes: u64,
    /// Images with an outcome.
    pub(super) done: usize,
}

impl Speed {
    /// Adds the present counts and drops those older than the window.
    pub(super) fn add(&mut self, sample: Sample) {
        self.0.push_back(sample);
        while self
            .0
            .front()
            .is_some_and(|oldest| sample.at.saturating_sub(oldest.at) > WINDOW)
        {
            self.0.pop_front();
        }
    }

    /// Unknown in the first second.
    pub(super) fn bytes_per_second(&self) -> Option<u64> {
        let (first, last, span) = self.window()?;
        let speed = u128::from(last.bytes.saturating_sub(first.bytes)) * 1_000 / span.as_millis();
        u64::try_from(speed).ok()
    }

    /// How long `images` more take at this rate; unknown while none has finished in the window.
    pub(super) fn remaining(&self, images: usize) -> Option<Duration> {
        let (first, last, span) = self.window()?;
        let done = last.done.saturating_sub(first.done);
        let millis = (span.as_millis() * images as u128).checked_div(done as u128)?;
        u64::try_from(millis / 1_000).ok().map(Duration::from_secs)
    }

    fn window(&self) -> Option<(Sample, Sample, Duration)> {
        let (first, last) = (*self.0.front()?, *self.0.back()?);
        let span = last.at.saturating_sub(first.at);
        (span >= MIN_WINDOW).then_some((first, last, span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed_of(samples: impl IntoIterator<Item = (u64, u64, usize)>) -> Speed {
        let mut speed = Speed::default();
        for (second, bytes, done) in samples {
            speed.add(Sample {
                at: Duration::from_secs(second),
                bytes,
                done,
            });
        }
        speed
    }

    #[test]
    fn speed_covers_only_the_last_seconds() {
        let burst = (0..15).map(|second| (second, second * 1_000_000, 0));
        let trickle = (15..30).map(|second| (second, 15_000_000 + second * 2_000, 0));
        assert_eq!(
            speed_of(burst.chain(trickle)).bytes_per_second(),
            Some(2_000)
        );
    }

    #[test]
    fn speed_and_remaining_time_are_unknown_without_measurements() {
        assert_eq!(speed_of([]).bytes_per_second(), None);
        assert_eq!(speed_of([(0, 0, 0)]).bytes_per_second(), None);
        assert_eq!(
            speed_of([(0, 0, 0), (5, 9, 0)]).remaining(7),
            None,
            "no image ended"
        );
        assert_eq!(
            speed_of([(0, 0, 0), (5, 9, 2)]).remaining(4),
            Some(Duration::from_secs(10))
        );
    }
}
