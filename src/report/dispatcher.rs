//! Reads the events of a run, counts them, and passes them on to every reporter.

use std::io;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::select;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{FailedReporter, Reporter, Tally};
use crate::event::{Event, Warning};

/// How often progress is redrawn: as fast as figures can be read.
const TICK: Duration = Duration::from_millis(100);

/// The most events taken at once: one wake-up and one write for many where they come fast.
const BATCH: usize = 256;

/// The pause after events that come fast, in which more gather for the next batch.
const GATHER: Duration = Duration::from_millis(2);

/// Counts `events` and passes them to `reporters` until the channel closes; then finishes the reporters and
/// returns the counts.
///
/// A reporter that fails is dropped and named in [`Tally::failed_reporters`]; the run continues.
///
/// # Errors
///
/// When the system starts no further thread.
///
/// # Panics
///
/// When a reporter does.
pub fn dispatch(
    events: mpsc::Receiver<Event>,
    reporters: Vec<Box<dyn Reporter>>,
) -> io::Result<impl Future<Output = Tally>> {
    let (sender, tally) = oneshot::channel();
    // Reporters write synchronously, and a stopped terminal or a pipe that nobody reads blocks them. So they get a
    // separate thread with a timer: on the runtime's threads they would hold up signals and downloads.
    let thread = thread::Builder::new()
        .name("reports".to_owned())
        .spawn(move || {
            let runtime = Builder::new_current_thread().enable_time().build();
            let runtime =
                runtime.expect("a runtime with a timer alone needs nothing from the system");
            // An aborted run has dropped the receiver and needs no counts.
            let _ = sender
                .send(runtime.block_on(async { Dispatcher::new(reporters).run(events).await }));
        })?;
    Ok(async move {
        match tally.await {
            Ok(tally) => tally,
            Err(_sender_dropped) => resume_unwind(
                thread
                    .join()
                    .expect_err("a thread that did not panic has sent its counts"),
            ),
        }
    })
}

struct Dispatcher {
    reporters: Vec<Box<dyn Reporter>>,
    tally: Tally,
    start: Instant,
}

impl Dispatcher {
    fn new(reporters: Vec<Box<dyn Reporter>>) -> Self {
        Self {
            reporters,
            tally: Tally::default(),
            start: Instant::now(),
        }
    }

    async fn run(mut self, mut events: mpsc::Receiver<Event>) -> Tally {
        let mut ticks = interval(TICK);
        // After a write that blocked, one redraw is enough: the ticks missed meanwhile are not made up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        let mut before = self.start;
        loop {
            // Both branches are cancel-safe. Ticks first: a flood of events must not stop the redrawing.
            select! {
                biased;
                now = ticks.tick() => self.tick(now - self.start),
                taken = events.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return self.finish();
                    }
                    for event in batch.drain(..) {
                        self.on_event(&event);
                    }
                    self.for_each(|reporter, _| reporter.flush());
                    // An event that comes alone is not followed by a pause: the next one should be shown at once.
                    if taken > 1 || before.elapsed() < GATHER {
                        sleep(GATHER).await;
                    }
                    before = Instant::now();
                }
            }
        }
    }

    fn tick(&mut self, since_start: Duration) {
        self.for_each(|reporter, tally| reporter.tick(tally, since_start));
    }

    fn on_event(&mut self, event: &Event) {
        self.tally.add(event);
        self.for_each(|reporter, _| reporter.on_event(event));
    }

    /// Calls each reporter; those that fail are dropped.
    fn for_each(&mut self, mut call: impl FnMut(&mut dyn Reporter, &Tally) -> io::Result<()>) {
        let mut failed = Vec::new();
        self.reporters
            .retain_mut(|reporter| match call(reporter.as_mut(), &self.tally) {
                Ok(()) => true,
                Err(error) => {
                    failed.push(FailedReporter::new(reporter.as_ref(), &error));
                    false
                }
            });
        for reporter in failed {
            self.record_failure(reporter);
        }
    }

    /// Counts a failed reporter and has the others warn of it.
    fn record_failure(&mut self, failed: FailedReporter) {
        let warning = Warning::ReporterFailed {
            reporter: failed.reporter,
            cause: failed.cause.clone(),
            reader_gone: failed.reader_gone,
        };
        self.tally.failed_reporters.push(failed);
        self.on_event(&Event::Warned { warning });
    }

    /// Finishes one reporter after the other, so that the later ones warn of the earlier ones that failed.
    fn finish(mut self) -> Tally {
        let elapsed = self.start.elapsed();
        while !self.reporters.is_empty() {
            let mut reporter = self.reporters.remove(0);
            if let Err(error) = reporter.finish(&self.tally, elapsed) {
                self.record_failure(FailedReporter::new(reporter.as_ref(), &error));
            }
        }
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Events;
    use crate::report::samples::{
        Broken, SharedBuffer, default_output, eventful_run, page_read, saved, second_run, tally_of,
    };
    use crate::report::{OutputSettings, open};

    async fn dispatch_all(events: Vec<Event>, reporters: Vec<Box<dyn Reporter>>) -> Tally {
        let (events_in, receiver) = Events::channel(true);
        let dispatched = tokio::spawn(dispatch(receiver, reporters).unwrap());
        for event in events {
            events_in.emit(event).await;
        }
        drop(events_in);
        dispatched.await.unwrap()
    }

    #[tokio::test]
    async fn every_event_is_counted_once_until_the_channel_closes() {
        let tally = dispatch_all(eventful_run(), Vec::new()).await;
        assert_eq!(tally, tally_of(&eventful_run()));
    }

    #[tokio::test]
    async fn more_events_than_the_channel_holds_all_arrive() {
        let mut events = vec![page_read(1, 30_000, 0)];
        events.extend((0..30_000).map(|number| saved(&format!("{number}.png"), 1)));
        let json = SharedBuffer::default();
        let reporters = open(
            &OutputSettings {
                json: true,
                ..default_output()
            },
            json.writer(),
            Box::new(io::sink()),
        );
        let tally = dispatch_all(events, reporters).await;
        assert_eq!(
            (tally.saved, tally.not_started(), tally.bytes),
            (30_000, 0, 30_000)
        );
        assert_eq!(json.text().lines().count(), 30_002);
    }

    #[tokio::test]
    async fn a_run_without_news_prints_nothing_off_a_terminal() {
        let (out, err) = (SharedBuffer::default(), SharedBuffer::default());
        dispatch_all(
            second_run(),
            open(&default_output(), out.writer(), err.writer()),
        )
        .await;
        assert_eq!((out.text(), err.text()), (String::new(), String::new()));
    }

    #[tokio::test]
    async fn a_closed_json_pipe_drops_its_reporter_and_the_run_continues() {
        let err = SharedBuffer::default();
        let reporters = open(
            &OutputSettings {
                json: true,
                ..default_output()
            },
            Box::new(Broken),
            err.writer(),
        );
        let tally = dispatch_all(eventful_run(), reporters).await;
        assert_eq!(tally.failed_reporters.len(), 1);
        assert!(tally.failed_reporters[0].reader_gone);
        assert_eq!(tally.saved, tally_of(&eventful_run()).saved);
        let said = "warning: the reader of the JSON lines on stdout is gone; the run continues\n";
        assert_eq!(err.text().matches(said).count(), 1, "{}", err.text());
    }

    #[tokio::test]
    async fn a_run_whose_reporters_all_fail_is_still_counted() {
        let reporters = open(
            &OutputSettings {
                json: true,
                ..default_output()
            },
            Box::new(Broken),
            Box::new(Broken),
        );
        let tally = dispatch_all(eventful_run(), reporters).await;
        assert_eq!(tally.failed_reporters.len(), 2);
        assert_eq!(tally.failed, tally_of(&eventful_run()).failed);
    }

    /// A full disk.
    struct Full;

    impl io::Write for Full {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn json_lines_that_could_not_be_written_are_an_error_even_when_quiet() {
        let err = SharedBuffer::default();
        let quiet = OutputSettings {
            json: true,
            quiet: true,
            ..default_output()
        };
        let tally = dispatch_all(second_run(), open(&quiet, Box::new(Full), err.writer())).await;
        assert!(tally.lost_output().is_some());
        assert!(
            err.text()
                .starts_with("error: cannot write the JSON lines on stdout: "),
            "{}",
            err.text()
        );
    }

    #[tokio::test]
    async fn neither_a_full_disk_under_the_log_nor_a_closed_json_pipe_is_lost_output() {
        let tally = dispatch_all(
            eventful_run(),
            open(&default_output(), Box::new(io::sink()), Box::new(Full)),
        )
        .await;
        assert_eq!(
            (tally.failed_reporters.len(), tally.lost_output()),
            (1, None)
        );
        let reporters = open(
            &OutputSettings {
                json: true,
                ..default_output()
            },
            Box::new(Broken),
            Box::new(io::sink()),
        );
        assert_eq!(
            dispatch_all(eventful_run(), reporters).await.lost_output(),
            None
        );
    }

    struct Faulty;

    impl Reporter for Faulty {
        fn name(&self) -> &'static str {
            "a faulty reporter"
        }

        fn on_event(&mut self, _event: &Event) -> io::Result<()> {
            Ok(())
        }

        fn finish(&mut self, _tally: &Tally, _elapsed: Duration) -> io::Result<()> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
    }

    #[tokio::test]
    async fn a_reporter_that_fails_in_finish_is_named_by_those_after_it() {
        let err = SharedBuffer::default();
        let mut reporters = open(&default_output(), Box::new(io::sink()), err.writer());
        reporters.insert(0, Box::new(Faulty));
        let tally = dispatch_all(second_run(), reporters).await;
        assert!(!tally.failed_reporters[0].reader_gone);
        assert!(
            err.text()
                .starts_with("warning: cannot write a faulty reporter: "),
            "{}",
            err.text()
        );
    }
}
