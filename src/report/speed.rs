//! How fast a run goes, from what was counted in the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

/// Long enough that the figures do not jump, short enough that they follow.
const WINDOW: Duration = Duration::from_secs(10);

/// Below this a speed says nothing.
const SHORTEST_WINDOW: Duration = Duration::from_secs(1);

/// What was counted lately, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Speed(VecDeque<Sample>);

/// What was counted at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Since the run's start.
    pub(super) at: Duration,
    /// Bytes received so far.
    pub(super) bytes: u64,
    /// Images that had come to their end.
    pub(super) done: usize,
}

impl Speed {
    /// Adds what was counted now, and forgets what is too old.
    pub(super) fn note(&mut self, sample: Sample) {
        self.0.push_back(sample);
        while self
            .0
            .front()
            .is_some_and(|oldest| sample.at.saturating_sub(oldest.at) > WINDOW)
        {
            self.0.pop_front();
        }
    }

    /// Bytes a second; unknown in the first second.
    pub(super) fn bytes_a_second(&self) -> Option<u64> {
        let (first, last, span) = self.window()?;
        let speed = u128::from(last.bytes.saturating_sub(first.bytes)) * 1_000 / span.as_millis();
        u64::try_from(speed).ok()
    }

    /// How many seconds `left` images take like this; unknown while none comes to its end.
    pub(super) fn remaining(&self, left: usize) -> Option<Duration> {
        let (first, last, span) = self.window()?;
        let done = last.done.saturating_sub(first.done);
        let millis = (span.as_millis() * left as u128).checked_div(done as u128)?;
        u64::try_from(millis / 1_000).ok().map(Duration::from_secs)
    }

    fn window(&self) -> Option<(Sample, Sample, Duration)> {
        let (first, last) = (*self.0.front()?, *self.0.back()?);
        let span = last.at.saturating_sub(first.at);
        (span >= SHORTEST_WINDOW).then_some((first, last, span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed_of(samples: impl IntoIterator<Item = (u64, u64, usize)>) -> Speed {
        let mut speed = Speed::default();
        for (second, bytes, done) in samples {
            speed.note(Sample {
                at: Duration::from_secs(second),
                bytes,
                done,
            });
        }
        speed
    }

    #[test]
    fn speed_follows_the_last_seconds_only() {
        let burst = (0..15).map(|second| (second, second * 1_000_000, 0));
        let trickle = (15..30).map(|second| (second, 15_000_000 + second * 2_000, 0));
        assert_eq!(speed_of(burst.chain(trickle)).bytes_a_second(), Some(2_000));
    }

    #[test]
    fn nothing_is_claimed_before_something_was_measured() {
        assert_eq!(speed_of([]).bytes_a_second(), None);
        assert_eq!(speed_of([(0, 0, 0)]).bytes_a_second(), None);
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
