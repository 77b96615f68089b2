//! The command line as clap parses it. Nothing is decided here.

mod queue;
mod sites;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use wallhaul::config::archive::ArchiveArgs;
use wallhaul::config::arguments;
use wallhaul::config::file::ConfigSource;
use wallhaul::config::options::{LocationArgs, LockArgs, OutputArgs, PagingArgs, StorageArgs};
use wallhaul::config::{HumanDuration, NetworkArgs, Options, QueueArgs};
use wallhaul::ledger::RowState;

use queue::QUEUE_HELP;
pub(crate) use queue::{QueueCommand, WhichQueue};
use sites::SITES_HELP;
pub(crate) use sites::SitesCommand;

/// Downloads wallpapers: reads a gallery's listing pages, finds the original of each thumbnail, and builds a
/// verified collection. Nothing is fetched twice.
#[derive(Debug, Parser)]
#[command(
    name = "wallhaul",
    version,
    max_term_width = 100,
    bin_name = "wallhaul",
    after_help = "Try `wallhaul fetch demo` first: it needs no network. See `wallhaul COMMAND --help` for examples."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads the arguments and the variables of this process.
    pub(crate) fn from_process() -> Result<Self, clap::Error> {
        let given: Vec<OsString> = std::env::args_os().collect();
        if let [_, flag] = &given[..]
            && (flag == "--version" || flag == "-V")
        {
            // It needs none of the commands, and making them all takes longer than the rest of such a run.
            let program = clap::Command::new("wallhaul").version(env!("CARGO_PKG_VERSION"));
            let matches = program.try_get_matches_from(given)?;
            return Self::from_arg_matches(&matches);
        }
        let matches = arguments::parse(Self::command, &given)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut Self::command()))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fetch new images of a site into its collection
    #[command(after_help = FETCH_HELP)]
    Fetch {
        /// Site names (see `wallhaul sites`), or URLs of a listing page or an image [default: simpledesktops]
        #[arg(value_name = "SITE|URL")]
        sites: Vec<String>,
        #[command(flatten)]
        options: Box<Options>,
        #[command(flatten)]
        config: ConfigSource,
    },
    /// Queue the new images of a site for workers on this and other machines
    #[command(after_help = SCAN_HELP)]
    Scan {
        /// Site names (see `wallhaul sites`), or URLs of a listing page or an image [default: simpledesktops]
        #[arg(value_name = "SITE|URL")]
        sites: Vec<String>,
        /// Wait until every image that was queued has been fetched, or given up, and report it as `fetch` does
        #[arg(long)]
        follow: bool,
        #[command(flatten)]
        options: Box<Options>,
        #[command(flatten)]
        config: ConfigSource,
    },
    /// Fetch images that runs on this and other machines have queued
    #[command(after_help = WORK_HELP, mut_args(without_coordination))]
    Work {
        /// End once there was nothing to do for TIME, and the queue is empty [default: never]
        #[arg(long, value_name = "TIME")]
        until_idle: Option<HumanDuration>,
        #[command(flatten)]
        options: Box<WorkArgs>,
        #[command(flatten)]
        config: ConfigSource,
    },
    /// Show the queue, and look after it
    #[command(after_help = QUEUE_HELP)]
    Queue {
        #[command(subcommand)]
        command: QueueCommand,
    },
    /// Print the URLs of a site's originals, one a line
    #[command(after_help = URLS_HELP)]
    Urls {
        /// Site names; see `wallhaul sites` [default: simpledesktops]
        #[arg(value_name = "SITE")]
        sites: Vec<String>,
        #[command(flatten)]
        paging: PagingArgs,
        #[command(flatten)]
        network: Box<NetworkArgs>,
        #[command(flatten)]
        archive: Box<ArchiveArgs>,
        #[command(flatten)]
        config: ConfigSource,
    },
    /// Check every image for missing, changed or corrupt files
    #[command(after_help = VERIFY_HELP)]
    Verify {
        /// The site whose collection is checked [default: simpledesktops]
        site: Option<String>,
        /// Fetch damaged and missing images again; a file keeps its name until its replacement is there, and is then
        /// in DIR/.wallhaul/rejected
        #[arg(long)]
        repair: bool,
        /// Also decode every image to its last pixel
        #[arg(long)]
        decode: bool,
        /// Write the SHA-256 sums of all good images to FILE; `-` is standard output
        #[arg(long, value_name = "FILE")]
        sha256sums: Option<PathBuf>,
        /// Check, and fetch, N images at a time [default: the number of cores]
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
        jobs: Option<u16>,
        #[command(flatten)]
        location: LocationArgs,
        #[command(flatten)]
        lock: LockArgs,
        #[command(flatten)]
        storage: StorageArgs,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        network: Box<NetworkArgs>,
        #[command(flatten)]
        archive: Box<ArchiveArgs>,
        #[command(flatten)]
        config: ConfigSource,
    },
    /// List, show, try, check, record and draft site definitions
    #[command(after_help = SITES_HELP)]
    Sites {
        #[command(subcommand)]
        command: Option<SitesCommand>,
    },
    /// Query or rebuild a collection's ledger
    #[command(after_help = LEDGER_HELP)]
    Ledger {
        #[command(subcommand)]
        command: LedgerCommand,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell to complete for
        shell: Shell,
    },
    /// Print the manual page of wallhaul or of a command
    Man {
        /// A command, as in `wallhaul man ledger list`
        command: Vec<String>,
    },
}

/// Hides the options that are for whoever queues jobs.
fn without_coordination(arg: Arg) -> Arg {
    const OPTIONS: [&str; 3] = ["host_jobs", "max_queued", "lease"];
    let is_one = OPTIONS.contains(&arg.get_id().as_str());
    arg.hide(is_one)
}

/// What a worker takes of the options of a run: it finds no images, and runs no hooks.
#[derive(Debug, Args)]
pub(crate) struct WorkArgs {
    #[command(flatten)]
    pub(crate) queue: QueueArgs,
    #[command(flatten)]
    pub(crate) location: LocationArgs,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    /// Fetch N images at a time [default: 8]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096), env = "WALLHAUL_JOBS", hide_env = true, help_heading = "What to fetch")]
    pub(crate) jobs: Option<u16>,
    /// Start no new image after TIME; this counts as success
    #[arg(
        long,
        value_name = "TIME",
        env = "WALLHAUL_MAX_TIME",
        hide_env = true,
        help_heading = "What to fetch"
    )]
    pub(crate) max_time: Option<HumanDuration>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Print one image a line, oldest first: time, state, bytes, name, URL
    List {
        /// Print only images in this state
        #[arg(long, value_enum)]
        state: Option<StateName>,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        which: CollectionArgs,
    },
    /// Print everything about the images whose URL or name contains TEXT, and every other place that the same bytes came from
    Show {
        /// Text to search for; case is ignored
        text: String,
        #[command(flatten)]
        which: CollectionArgs,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Make a new ledger from the images in the folder; fetches nothing and keeps a copy of the old one
    Rebuild {
        #[command(flatten)]
        which: CollectionArgs,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Print counts and totals of the collection
    Stats {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        which: CollectionArgs,
    },
}

/// The collection whose ledger is meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Collection")]
pub(crate) struct CollectionArgs {
    #[command(flatten)]
    pub(crate) location: LocationArgs,
    /// Use the collection of SITE [default: simpledesktops]
    #[arg(
        short,
        long,
        value_name = "SITE",
        default_value = "simpledesktops",
        hide_default_value = true
    )]
    pub(crate) site: String,
    #[command(flatten)]
    pub(crate) config: ConfigSource,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StateName {
    Saved,
    Placing,
    Failed,
    Gone,
    Skipped,
}

impl From<StateName> for RowState {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Saved => Self::Saved,
            StateName::Placing => Self::Placing,
            StateName::Failed => Self::Failed,
            StateName::Gone => Self::Gone,
            StateName::Skipped => Self::Skipped,
        }
    }
}

const FETCH_HELP: &str = "\
Every long flag is also an environment variable (`--max-downloads` is `WALLHAUL_MAX_DOWNLOADS`) and
a key of the configuration file. A flag wins over the variable, the variable over the file. An empty
variable counts as unset. `~` and `$HOME` at the head of a path are your home folder, also there.
TIME is `30s`, `1m30s`, `500ms` or plain seconds; SIZE is bytes, or `64k`, `100M`, `1Gi`.

CMD is split into words by shell rules, but no shell runs it: for `&&`, `|` and `>` write
`sh -c '...' sh {path}`, with \"$1\" for the path inside. The placeholders {path} {name} {directory}
{url} {site} {address} {page} {title} {format} {width} {height} {bytes} {hash} are filled in;
without any, the path is added at the end. Commands also get them as variables: WALLHAUL_PATH and so
on. `image:CMD`, or just CMD, runs for each saved image, in parallel on all cores; `end:CMD` knows
{directory} {url} {site} {saved}. A command that fails or is interrupted runs again in the next run
with --exec, in at most three runs. Commands do not see your WALLHAUL_* variables, those with the
secrets of a site, variables named like a TOKEN, SECRET, PASSWORD or KEY, or proxies with a
password.

Exit codes: 0 everything wanted is there · 1 some images or hooks failed, or a URL that you gave (as
an argument or in a list, -i) is gone · 2 wrong usage or site definition · 3 cannot read the
listing · 4 disk full or not writable · 5 collection in use, or its ledger unusable · 6 object store
out of reach, or refuses · 129, 130, 143 ended by a signal, state saved.

Examples:
  wallhaul fetch demo                          the built-in site, without a network
  wallhaul fetch                               everything new on simpledesktops.com
  wallhaul fetch -d ~/Pictures -p 1-3          the newest three pages, into your own folder
  wallhaul fetch --archive fallback            what the site has lost, from the web archive
  wallhaul fetch -q --lock skip                for cron: silent unless something goes wrong
  wallhaul fetch -i favourites.txt             images by URL, one a line
  wallhaul fetch --exec 'feh --no-fehbg --bg-fill {path}'
  wallhaul fetch --exec 'end:notify-send \"{saved} new wallpapers\"'
  wallhaul fetch --json | jq -r 'select(.outcome == \"saved\").name'
  wallhaul fetch --base-url http://127.0.0.1:8080 -d /tmp/mirror";

const SCAN_HELP: &str = "\
Examples:
  wallhaul scan demo --queue nats://127.0.0.1            # queue what is new; workers fetch it
  wallhaul scan --follow -d s3://bucket/walls            # and wait for them; WALLHAUL_QUEUE names the queue
Images go to DIR/SITE, as workers serve every site. See docs/machines.md.";

const WORK_HELP: &str = "\
Examples:
  wallhaul work --queue nats://127.0.0.1 -d s3://bucket/walls -j 16
  wallhaul work --until-idle 1m                          # for a cron job; WALLHAUL_QUEUE names the queue
Images go to DIR/SITE. See docs/machines.md.";

const URLS_HELP: &str = "\
Variables and the configuration file work as for `wallhaul fetch`.

Exit codes: 0 all URLs printed · 2 wrong usage or site definition · 3 cannot read the listing ·
4 cannot write the output · 129, 130, 143 ended by a signal · 141 the output pipe was closed.

Examples:
  wallhaul urls > originals.txt
  wallhaul urls -p 1-3 | aria2c -i - -d pictures
  wallhaul urls | xargs -P 4 -n 1 curl -O";

const VERIFY_HELP: &str = "\
Prints a line for each finding, `finding<TAB>name<TAB>reason`, or an object with --json:
  damaged      the bytes changed, or the image is incomplete
  missing      the file is gone; a file you deleted stays deleted unless you --repair
  repaired     fetched again by --repair; the reason has the new name if the format is another
  undecodable  no decoder reads it, and the server has the same bytes: --repair leaves it as it is
  undecoded    not checked by --decode: AVIF, variants without a decoder (arithmetic and lossless
               JPEG), or too large for its memory (512 MB for all threads)
  unfinished   a killed run was about to place it; the next fetch finishes it
  foreign      not in the ledger; never changed, opened or followed
The network options, --sync and --min-free-space apply to --repair. JPEG, GIF, WebP and JPEG XL
have no checksums: --decode finds files that no decoder can read.

Exit codes: 0 every image in the ledger is there and good · 1 something is damaged or missing ·
2 wrong usage · 3 --repair cannot read the listing · 4 disk full or not writable · 5 collection in
use, or its ledger unusable · 6 object store out of reach · 129, 130, 143 ended by a signal · 141 the
output pipe was closed.

Examples:
  wallhaul verify -d ~/Pictures --decode
  wallhaul verify demo --repair
  wallhaul verify --sha256sums sums && (cd wallpapers/simpledesktops && sha256sum -c ../../sums)";

const LEDGER_HELP: &str = "\
The ledger is an SQLite file, DIR/.wallhaul/ledger.db; query its view `collection`.

Examples:
  wallhaul ledger stats
  wallhaul ledger list --state failed
  wallhaul ledger show mountains -d ~/Pictures
  wallhaul ledger rebuild                      when the ledger is damaged or lost
  sqlite3 wallpapers/simpledesktops/.wallhaul/ledger.db 'select name, bytes from collection limit 5'";
