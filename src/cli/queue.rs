//! `wallhaul queue` as clap parses it.

use clap::{Args, Subcommand};
use wallhaul::config::file::ConfigSource;
use wallhaul::config::{HumanDuration, QueueArgs};

use super::without_coordination;

/// Which queue is meant.
#[derive(Debug, Args)]
pub(crate) struct WhichQueue {
    #[command(flatten)]
    pub(crate) queue: Box<QueueArgs>,
    #[command(flatten)]
    pub(crate) config: ConfigSource,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Print what is in the queue: jobs that wait and are in flight, by host, paused hosts, dead letters
    #[command(mut_args(without_coordination))]
    Status {
        /// Print it every two seconds, with the rate, until a signal
        #[arg(long)]
        watch: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        which: WhichQueue,
    },
    /// Print the jobs that were given up, one a line: number, time, image, reason
    #[command(mut_args(without_coordination))]
    Dead {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        which: WhichQueue,
    },
    /// Queue jobs again that were given up
    Retry {
        /// Their numbers (see `wallhaul queue dead`)
        #[arg(value_name = "NUMBER", required_unless_present = "all")]
        numbers: Vec<u64>,
        /// Queue all of them again
        #[arg(long, conflicts_with = "numbers")]
        all: bool,
        #[command(flatten)]
        which: WhichQueue,
    },
    /// Remove jobs from the queue; their images are found again by the next `scan`
    #[command(group(clap::ArgGroup::new("what").required(true)), mut_args(without_coordination))]
    Purge {
        /// Remove every job
        #[arg(long, group = "what")]
        all: bool,
        /// Remove the jobs of HOST
        #[arg(long, value_name = "HOST", group = "what")]
        host: Option<String>,
        /// Remove the dead letters
        #[arg(long, group = "what")]
        dead: bool,
        #[command(flatten)]
        which: WhichQueue,
    },
    /// Let no worker have a job of HOST for TIME, at most 120 seconds
    #[command(mut_args(without_coordination))]
    Pause {
        /// The host, with its port where that is not the scheme's own
        host: String,
        /// For how long
        #[arg(value_name = "TIME")]
        pause: HumanDuration,
        #[command(flatten)]
        which: WhichQueue,
    },
}

pub(super) const QUEUE_HELP: &str = "\
Examples:
  wallhaul queue status --queue nats://127.0.0.1         # WALLHAUL_QUEUE names the queue, too
  wallhaul queue dead --json | jq -r .reason | sort | uniq -c
  wallhaul queue retry --all
  wallhaul queue purge --host cdn.example.com";
