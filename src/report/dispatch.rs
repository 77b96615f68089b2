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

/// How often things are drawn: as often as an eye can follow figures.
const TICK: Duration = Duration::from_millis(100);

/// Events taken at once: one wake-up and one write for many where they come fast.
const BATCH: usize = 256;

/// How long those that come in a crowd are left to gather.
const GATHERING: Duration = Duration::from_millis(2);

/// Counts `events` and passes them on until their line ends; then has the end told and returns the counts.
///
/// Reporters write, and a terminal that was stopped or a pipe that nobody reads makes them wait: so they
/// have a thread and a clock of their own, and signals and downloads are served meanwhile. A reporter that
/// fails is let go of and named in [`Tally::silenced`].
///
/// # Errors
///
/// When the system lets no further thread begin.
///
/// # Panics
///
/// When a reporter does.
pub fn dispatch(
    events: mpsc::Receiver<Event>,
    reporters: Vec<Box<dyn Reporter>>,
) -> io::Result<impl Future<Output = Tally>> {
    let (done, tally) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("reports".to_owned())
        .spawn(move || {
            let clock = Builder::new_current_thread().enable_time().build();
            let clock =
                clock.expect("a runtime with a clock and nothing else asks nothing of the system");
            // Nobody waits for the counts of a run that was aborted.
            let _ =
                done.send(clock.block_on(async { Dispatcher::new(reporters).serve(events).await }));
        })?;
    Ok(async move {
        match tally.await {
            Ok(tally) => tally,
            Err(_sender_dropped) => resume_unwind(
                thread
                    .join()
                    .expect_err("a thread that ends well has sent its counts"),
            ),
        }
    })
}

/// Where events come in and the counts are kept.
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

    async fn serve(mut self, mut events: mpsc::Receiver<Event>) -> Tally {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            // Both are cancel-safe. Ticks first: a flood of events must not stop the clock.
            select! {
                biased;
                now = ticks.tick() => self.tick(now - self.start),
                taken = events.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return self.end();
                    }
                    for event in batch.drain(..) {
                        self.tell(&event);
                    }
                    self.each(|reporter, _| reporter.flush());
                    if taken > 1 {
                        sleep(GATHERING).await;
                    }
                }
            }
        }
    }

    fn tick(&mut self, since: Duration) {
        self.each(|reporter, tally| reporter.tick(tally, since));
    }

    fn tell(&mut self, event: &Event) {
        self.tally.add(event);
        self.each(|reporter, _| reporter.told(event));
    }

    /// Asks something of each reporter; those that fail are let go of.
    fn each(&mut self, mut ask: impl FnMut(&mut dyn Reporter, &Tally) -> io::Result<()>) {
        let mut silenced = Vec::new();
        self.reporters
            .retain_mut(|reporter| match ask(reporter.as_mut(), &self.tally) {
                Ok(()) => true,
                Err(error) => {
                    silenced.push(FailedReporter::new(reporter.as_ref(), &error));
                    false
                }
            });
        for reporter in silenced {
            self.forget(reporter);
        }
    }

    /// Remembers that a reporter fell silent, and has the others say so.
    fn forget(&mut self, silenced: FailedReporter) {
        let FailedReporter {
            reporter,
            cause,
            reader_gone,
            results: _,
        } = silenced.clone();
        self.tally.silenced.push(silenced);
        self.tell(&Event::Warned {
            warning: Warning::ReporterFailed {
                reporter,
                cause,
                reader_gone,
            },
        });
    }

    /// Has the end told, one after the other, so that those who come later tell of those who could not.
    fn end(mut self) -> Tally {
        let took = self.start.elapsed();
        while !self.reporters.is_empty() {
            let mut reporter = self.reporters.remove(0);
            if let Err(error) = reporter.ended(&self.tally, took) {
                self.forget(FailedReporter::new(reporter.as_ref(), &error));
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
        Broken, Shared, eventful_run, page_read, saved, second_run, tally_of, telling,
    };
    use crate::report::{OutputSettings, open};

    async fn tell_all(events: Vec<Event>, reporters: Vec<Box<dyn Reporter>>) -> Tally {
        let (line, reading) = Events::channel(true);
        let dispatched = tokio::spawn(dispatch(reading, reporters).unwrap());
        for event in events {
            line.emit(event).await;
        }
        drop(line);
        dispatched.await.unwrap()
    }

    #[tokio::test]
    async fn every_event_is_counted_once_and_the_end_of_the_line_is_the_end() {
        let tally = tell_all(eventful_run(), Vec::new()).await;
        assert_eq!(tally, tally_of(&eventful_run()));
    }

    #[tokio::test]
    async fn more_events_than_the_line_holds_all_arrive() {
        let mut events = vec![page_read(1, 30_000, 0)];
        events.extend((0..30_000).map(|number| saved(&format!("{number}.png"), 1)));
        let json = Shared::default();
        let reporters = open(
            &OutputSettings {
                json: true,
                ..telling()
            },
            json.writer(),
            Box::new(io::sink()),
        );
        let tally = tell_all(events, reporters).await;
        assert_eq!(
            (tally.saved, tally.left(), tally.bytes),
            (30_000, 0, 30_000)
        );
        assert_eq!(json.text().lines().count(), 30_002);
    }

    #[tokio::test]
    async fn a_second_run_off_a_terminal_says_nothing_at_all() {
        let (out, err) = (Shared::default(), Shared::default());
        tell_all(second_run(), open(&telling(), out.writer(), err.writer())).await;
        assert_eq!((out.text(), err.text()), (String::new(), String::new()));
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_ends_its_reporter_and_not_the_run() {
        let err = Shared::default();
        let reporters = open(
            &OutputSettings {
                json: true,
                ..telling()
            },
            Box::new(Broken),
            err.writer(),
        );
        let tally = tell_all(eventful_run(), reporters).await;
        assert_eq!(tally.silenced.len(), 1);
        assert!(tally.silenced[0].reader_gone);
        assert_eq!(tally.saved, tally_of(&eventful_run()).saved);
        let said = "warning: nobody reads the JSON lines on stdout any more; the run goes on\n";
        assert_eq!(err.text().matches(said).count(), 1, "{}", err.text());
    }

    #[tokio::test]
    async fn a_run_whose_reporters_all_fail_is_still_counted() {
        let reporters = open(
            &OutputSettings {
                json: true,
                ..telling()
            },
            Box::new(Broken),
            Box::new(Broken),
        );
        let tally = tell_all(eventful_run(), reporters).await;
        assert_eq!(tally.silenced.len(), 2);
        assert_eq!(tally.failed, tally_of(&eventful_run()).failed);
    }

    /// A full disk under whoever writes to it.
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
    async fn results_that_could_not_be_written_are_told_of_even_when_quiet() {
        let err = Shared::default();
        let quiet = OutputSettings {
            json: true,
            quiet: true,
            ..telling()
        };
        let tally = tell_all(second_run(), open(&quiet, Box::new(Full), err.writer())).await;
        assert!(tally.results_lost().is_some());
        assert!(
            err.text().starts_with("error: the JSON lines on stdout: "),
            "{}",
            err.text()
        );
    }

    #[tokio::test]
    async fn neither_a_lost_log_nor_a_lost_reader_is_a_lost_result() {
        let tally = tell_all(
            eventful_run(),
            open(&telling(), Box::new(io::sink()), Box::new(Full)),
        )
        .await;
        assert_eq!((tally.silenced.len(), tally.results_lost()), (1, None));
        let reporters = open(
            &OutputSettings {
                json: true,
                ..telling()
            },
            Box::new(Broken),
            Box::new(io::sink()),
        );
        assert_eq!(
            tell_all(eventful_run(), reporters).await.results_lost(),
            None
        );
    }

    struct Faulty;

    impl Reporter for Faulty {
        fn name(&self) -> &'static str {
            "a faulty reporter"
        }

        fn told(&mut self, _event: &Event) -> io::Result<()> {
            Ok(())
        }

        fn ended(&mut self, _tally: &Tally, _took: Duration) -> io::Result<()> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
    }

    #[tokio::test]
    async fn one_that_fails_at_the_end_is_told_of_by_those_after_it() {
        let err = Shared::default();
        let mut reporters = open(&telling(), Box::new(io::sink()), err.writer());
        reporters.insert(0, Box::new(Faulty));
        let tally = tell_all(second_run(), reporters).await;
        assert!(!tally.silenced[0].reader_gone);
        assert!(
            err.text().starts_with("warning: a faulty reporter: "),
            "{}",
            err.text()
        );
    }
}
