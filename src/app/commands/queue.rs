//! `wallhaul queue status`, `dead`, `retry`, `purge` and `pause`: look after the queue of a broker.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

use crate::app::blocking::blocking;
use crate::app::console::{print, print_note};
use crate::app::environment::Environment;
use crate::app::queued::{broker, queue_options};
use crate::config::{Options, Settings};
use crate::engine::Shutdown;
use crate::event::Events;
use crate::exit::Exit;
use crate::queue::{self, DeadJob, Purge, QueueAdmin, QueueStatus};
use crate::report::{escape, object};
use crate::units::{count, plural};

/// How often `--watch` looks.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// The longest pause: a longer one would be forgotten.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// Dead letters are everybody's: who looks after them is no collection.
const NOBODY: &str = "admin";

/// What is to be done with a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueTask {
    /// Print what is in it; again and again with `watch`.
    Status {
        /// Whether to go on until a signal.
        watch: bool,
        /// Whether to print JSON.
        json: bool,
    },
    /// Print the jobs that were given up.
    Dead {
        /// Whether to print JSON.
        json: bool,
    },
    /// Queue jobs again that were given up: those of these numbers; all where none is given.
    Retry(Vec<u64>),
    /// Remove jobs.
    Purge(PurgeTarget),
    /// Deliver no job of a host for a while.
    Pause {
        /// The host, with its port where that is not the scheme's own.
        host: String,
        /// For how long.
        pause: Duration,
    },
}

/// Which jobs are removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PurgeTarget {
    /// Every job in the queue.
    Jobs,
    /// The jobs of one host.
    Host(String),
    /// Those that were given up.
    Dead,
}

/// Does something with the queue.
///
/// # Errors
///
/// When no queue is named, it is out of reach, or standard output cannot be written to.
pub async fn queue(
    task: QueueTask,
    options: Options,
    environment: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    let settings = Settings::new(options, environment.stderr, environment.clock);
    let broker = broker(&settings)?;
    // Nobody watches: what goes wrong with the broker ends the command as an error.
    let (events, _heard) = Events::channel(false);
    let options = queue_options(&settings, NOBODY.to_owned());
    let admin = queue::administer(&broker, &options, &events).await?;
    let admin = &*admin;
    match task {
        QueueTask::Status { watch, json } => status(admin, (watch, json), &shutdown).await,
        QueueTask::Dead { json } => dead(admin, json).await,
        QueueTask::Retry(numbers) => retry(admin, numbers).await,
        QueueTask::Purge(target) => {
            let what = match &target {
                PurgeTarget::Jobs => Purge::Jobs,
                PurgeTarget::Host(host) => Purge::Host(host),
                PurgeTarget::Dead => Purge::Dead,
            };
            let removed = admin.purge(what).await?;
            print_note(&format!("{} removed", jobs(removed)));
            Ok(Exit::Done)
        }
        QueueTask::Pause { host, pause } => {
            if pause > LONGEST_PAUSE {
                bail!("a host is paused for at most 120 s at a time");
            }
            if !admin.pause(&host, pause).await? {
                bail!("the queue has no jobs of `{host}`: `wallhaul queue status` lists the hosts");
            }
            Ok(Exit::Done)
        }
    }
}

async fn status(
    admin: &dyn QueueAdmin,
    (watch, json): (bool, bool),
    shutdown: &Shutdown,
) -> anyhow::Result<Exit> {
    let mut before: Option<(QueueStatus, Instant)> = None;
    loop {
        let (now, at) = (admin.status().await?, Instant::now());
        let text = if json {
            object(&now)? + "\n"
        } else {
            let rate = before.as_ref().map(|(before, then)| {
                let finished = now.finished.saturating_sub(before.finished);
                per_second(finished, at.duration_since(*then))
            });
            table(&now, rate)
        };
        // A reader that does not read must not keep signals from being heard.
        blocking(move || print(text.as_bytes())).await?;
        if !watch {
            return Ok(Exit::Done);
        }
        before = Some((now, at));
        tokio::select! {
            () = shutdown.stopping() => return Ok(Exit::Done),
            () = sleep(WATCH_EVERY) => {}
        }
    }
}

fn per_second(finished: u64, time: Duration) -> f64 {
    f64::from(u32::try_from(finished).unwrap_or(u32::MAX)) / time.as_secs_f64().max(0.001)
}

/// The counts, and a line for each host with jobs.
fn table(status: &QueueStatus, rate: Option<f64>) -> String {
    let QueueStatus {
        jobs: queued,
        results,
        dead,
        finished,
        hosts,
    } = status;
    let in_flight: u64 = hosts.iter().map(|host| host.in_flight).sum();
    let mut text = format!(
        "{} ({} in flight), {} finished, {}, {}",
        jobs(*queued),
        counted(in_flight),
        counted(*finished),
        plural(
            usize_of(*results),
            "result not recorded",
            "results not recorded"
        ),
        plural(usize_of(*dead), "dead letter", "dead letters"),
    );
    if let Some(rate) = rate {
        let _ = write!(text, ", {rate:.1} a second");
    }
    text.push('\n');
    let width = hosts.iter().map(|host| host.host.len()).max().unwrap_or(0);
    for host in hosts {
        let name = escape(&host.host);
        let _ = write!(
            text,
            "{name:width$}  {:>9} waiting  {:>5} of {} in flight",
            counted(host.waiting),
            counted(host.in_flight),
            counted(host.cap),
        );
        if host.redelivered > 0 {
            let _ = write!(text, "  {} again", counted(host.redelivered));
        }
        if let Some(until) = host.paused_until {
            let _ = write!(text, "  paused until {}", until.strftime("%FT%TZ"));
        }
        text.push('\n');
    }
    text
}

/// Prints the dead letters, one a line.
async fn dead(admin: &dyn QueueAdmin, json: bool) -> anyhow::Result<Exit> {
    let mut after = 0;
    loop {
        let letters = admin.dead(after).await?;
        let Some(last) = letters.last() else {
            return Ok(Exit::Done);
        };
        after = last.number;
        let mut text = String::new();
        for letter in &letters {
            text += &if json {
                object(letter)? + "\n"
            } else {
                line(letter)
            };
        }
        blocking(move || print(text.as_bytes())).await?;
    }
}

/// Number, time, image and reason, separated by tabs.
fn line(letter: &DeadJob) -> String {
    let DeadJob {
        number,
        at,
        collection: _,
        job,
        reason,
    } = letter;
    let image = job.as_ref().map_or("-", |job| job.key.as_str());
    let at = at.strftime("%FT%TZ");
    format!("{number}\t{at}\t{}\t{}\n", escape(image), escape(reason))
}

/// Queues jobs again; exit code 1 when one of these numbers has no job.
async fn retry(admin: &dyn QueueAdmin, numbers: Vec<u64>) -> anyhow::Result<Exit> {
    let (mut queued, mut missing) = (0, Vec::new());
    let is_all = numbers.is_empty();
    let numbers = if is_all {
        all_numbers(admin).await?
    } else {
        numbers
    };
    for number in numbers {
        if admin.retry(number).await? {
            queued += 1;
        } else if !is_all {
            missing.push(number.to_string());
        }
    }
    print_note(&format!("{} queued again", jobs(queued)));
    if missing.is_empty() {
        return Ok(Exit::Done);
    }
    print_note(&format!(
        "no job in the dead letters: {}",
        missing.join(", ")
    ));
    Ok(Exit::Incomplete)
}

/// The dead letters that are there now: what fails again has a new one.
async fn all_numbers(admin: &dyn QueueAdmin) -> anyhow::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    loop {
        let after = numbers.last().copied().unwrap_or_default();
        let letters = admin.dead(after).await?;
        if letters.is_empty() {
            return Ok(numbers);
        }
        numbers.extend(letters.iter().map(|letter| letter.number));
    }
}

fn jobs(number: u64) -> String {
    plural(usize_of(number), "job", "jobs")
}

fn counted(number: u64) -> String {
    count(usize_of(number))
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use async_trait::async_trait;
    use jiff::Timestamp;
    use parking_lot::Mutex;

    use super::*;
    use crate::queue::QueueError;

    /// Dead letters whose jobs fail again at once: each makes a new letter.
    struct Hopeless {
        letters: Mutex<RangeInclusive<u64>>,
    }

    #[async_trait]
    impl QueueAdmin for Hopeless {
        async fn status(&self) -> Result<QueueStatus, QueueError> {
            Err(QueueError::Closed)
        }

        async fn dead(&self, after: u64) -> Result<Vec<DeadJob>, QueueError> {
            let number = (*self.letters.lock().start()).max(after + 1);
            let is_there = self.letters.lock().contains(&number);
            let letter = DeadJob {
                number,
                at: Timestamp::UNIX_EPOCH,
                collection: String::new(),
                job: None,
                reason: String::new(),
            };
            Ok(Vec::from_iter(is_there.then_some(letter)))
        }

        async fn retry(&self, number: u64) -> Result<bool, QueueError> {
            let mut letters = self.letters.lock();
            assert_eq!(number, *letters.start());
            let last = *letters.end();
            assert!(last < 10, "it does not end");
            *letters = number + 1..=last + 1;
            Ok(true)
        }

        async fn purge(&self, _what: Purge<'_>) -> Result<u64, QueueError> {
            Err(QueueError::Closed)
        }

        async fn pause(&self, _host: &str, _pause: Duration) -> Result<bool, QueueError> {
            Err(QueueError::Closed)
        }
    }

    #[tokio::test]
    async fn retry_of_all_dead_letters_ends_where_their_jobs_fail_again_at_once() {
        let admin = Hopeless {
            letters: Mutex::new(1..=3),
        };
        assert_eq!(retry(&admin, Vec::new()).await.unwrap(), Exit::Done);
        assert_eq!(*admin.letters.lock(), 4..=6);
    }
}
