//! The command line: the shapes clap reads, and no decision.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use wallhaul::config::Options;
use wallhaul::config::file::Source;
use wallhaul::config::options::{
    LocationArgs, LockArgs, NetworkArgs, OutputArgs, PagingArgs, StorageArgs,
};
use wallhaul::ledger::RowState;

/// Hauls wallpapers: walks a gallery's listing pages, finds each thumbnail's original, and keeps a
/// verified collection that is never fetched twice.
#[derive(Debug, Parser)]
#[command(
    name = "wallhaul",
    version,
    max_term_width = 100,
    after_help = "Start with `wallhaul fetch demo`: it needs no network. `wallhaul COMMAND --help` has examples."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fetch what is new on a site into its collection
    #[command(after_help = FETCH_HELP)]
    Fetch {
        /// The sites, one after another; see `wallhaul sites`. Or addresses: of a site's listing, of an image
        /// [default: simpledesktops]
        #[arg(value_name = "SITE|URL")]
        sites: Vec<String>,
        #[command(flatten)]
        options: Box<Options>,
        #[command(flatten)]
        config: Source,
    },
    /// Print the addresses of a site's originals, one a line
    #[command(after_help = URLS_HELP)]
    Urls {
        /// The sites, one after another; see `wallhaul sites` [default: simpledesktops]
        #[arg(value_name = "SITE")]
        sites: Vec<String>,
        #[command(flatten)]
        paging: PagingArgs,
        #[command(flatten)]
        network: Box<NetworkArgs>,
        #[command(flatten)]
        config: Source,
    },
    /// Look at every image of a collection: is it there, is it what was fetched, is it whole
    #[command(after_help = VERIFY_HELP)]
    Verify {
        /// The site whose collection it is [default: simpledesktops]
        site: Option<String>,
        /// Fetch again what is damaged or missing; damaged files are kept in DIR/.wallhaul/rejected
        #[arg(long)]
        repair: bool,
        /// Decode every pixel, too
        #[arg(long)]
        decode: bool,
        /// Write the SHA-256 sums of the sound images to this file, `-` for standard output
        #[arg(long, value_name = "FILE")]
        sha256sums: Option<PathBuf>,
        /// Images looked at, or fetched, at a time [default: as many as there are cores]
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
        jobs: Option<u16>,
        #[command(flatten)]
        place: LocationArgs,
        #[command(flatten)]
        claim: LockArgs,
        #[command(flatten)]
        keeping: StorageArgs,
        #[command(flatten)]
        telling: OutputArgs,
        #[command(flatten)]
        network: Box<NetworkArgs>,
        #[command(flatten)]
        config: Source,
    },
    /// The sites this program knows
    Sites {
        #[command(subcommand)]
        command: Option<SitesCommand>,
    },
    /// What a collection's ledger remembers
    #[command(after_help = LEDGER_HELP)]
    Ledger {
        #[command(subcommand)]
        command: LedgerCommand,
    },
    /// Print a script that completes this program's commands in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print this program's manual page, or that of a command
    Man {
        /// The command, as in `wallhaul man ledger list`
        command: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SitesCommand {
    /// One site a line: its name, its address, what it is
    List,
    /// A site's definition, as TOML: the start of one of your own
    Show {
        /// The site's name
        site: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// One image a line, oldest first: when, state, bytes, name, address
    List {
        /// Only images in this state
        #[arg(long, value_enum)]
        state: Option<StateName>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        which: CollectionArgs,
    },
    /// Everything remembered of the images whose address or name holds a text
    Show {
        /// The text; letter case does not count
        text: String,
        #[command(flatten)]
        which: CollectionArgs,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Make a new ledger from the images in the folder; nothing is fetched, and the old one is kept aside
    Rebuild {
        #[command(flatten)]
        which: CollectionArgs,
        #[command(flatten)]
        claim: LockArgs,
    },
    /// The collection in figures
    Stats {
        /// One JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        which: CollectionArgs,
    },
}

/// Which collection a ledger belongs to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Collection")]
pub(crate) struct CollectionArgs {
    #[command(flatten)]
    pub(crate) place: LocationArgs,
    /// The site whose collection in the default place is meant [default: simpledesktops]
    #[arg(
        short,
        long,
        value_name = "SITE",
        default_value = "simpledesktops",
        hide_default_value = true
    )]
    pub(crate) site: String,
    #[command(flatten)]
    pub(crate) config: Source,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StateName {
    Saved,
    Placing,
    Failed,
    Gone,
}

impl From<StateName> for RowState {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Saved => Self::Saved,
            StateName::Placing => Self::Placing,
            StateName::Failed => Self::Failed,
            StateName::Gone => Self::Gone,
        }
    }
}

const FETCH_HELP: &str = "\
Every long flag is also a variable (`--max-downloads` is `WALLHAUL_MAX_DOWNLOADS`) and a key of the
configuration file; a flag wins over the variable, the variable over the file.
TIME is `30s`, `1m30s`, `500ms` or bare seconds; SIZE is bytes, or `64k`, `100M`, `1Gi`.

CMD is split into words as a shell would, but no shell runs it. {path} {name} {directory} {site}
{address} {page} {title} {format} {width} {height} {bytes} {hash} are filled into its words; without
any of them the path comes last. The same are variables: WALLHAUL_PATH and so on. `image:CMD`, or
just CMD, is run for each image that is safe in the collection, as many at a time as there are
cores; `end:CMD` knows {directory} {site} {saved}. What fails or is cut off is run again by the next
run with --exec, in three runs at most. Commands do not see WALLHAUL_* variables of yours, nor
those called a TOKEN, SECRET, PASSWORD or KEY, nor proxies with a password.

Exit codes: 0 all that was wanted is there · 1 some images or hooks failed · 2 wrong usage or
definition · 3 the listing could not be read · 4 a disk is full or may not be written to · 5 the
collection is in use, or its ledger unusable · 129, 130, 143 ended by a signal, state saved.

Examples:
  wallhaul fetch demo                          the built-in site, without a network
  wallhaul fetch                               all of simpledesktops.com, or what is new there
  wallhaul fetch -d ~/Pictures -p 1-3          the newest three pages, into a folder of yours
  wallhaul fetch -q --lock skip                for cron: silent unless something is wrong
  wallhaul fetch -i favourites.txt             images whose addresses you have, one a line
  wallhaul fetch --exec 'convert {path} -resize 640x thumbs/{name}'
  wallhaul fetch --exec 'end:notify-send \"{saved} new wallpapers\"'
  wallhaul fetch --json | jq -r 'select(.outcome == \"saved\").name'
  wallhaul fetch --base-url http://127.0.0.1:8080 -d /tmp/mirror";

const URLS_HELP: &str = "\
Variables and the configuration file say the same here as for `wallhaul fetch`.

Exit codes: 0 every address was printed · 2 wrong usage or definition · 3 the listing could not be
read · 4 the addresses could not be written · 129, 130, 143 ended by a signal · 141 nobody read on.

Examples:
  wallhaul urls > originals.txt
  wallhaul urls -p 1-3 | aria2c -i - -d pictures
  wallhaul urls | xargs -P 4 -n 1 curl -O";

const VERIFY_HELP: &str = "\
Standard output has a line for each finding, `finding<TAB>name<TAB>reason`, or with --json an object:
  damaged      other bytes than were fetched, or no whole image
  missing      not there; deleted on purpose it stays deleted, --repair fetches it
  repaired     fetched again by --repair
  undecoded    not looked at by --decode: AVIF, or too large for its memory (512 MB for all threads)
  unfinished   a run was about to place it; the next fetch settles it
  foreign      not in the ledger; never touched, opened or followed
The network options, --sync and --min-free-space serve --repair. JPEG, GIF and WebP have no checksums: --decode finds what no decoder can read.

Exit codes: 0 all that the ledger knows is there and sound · 1 something is damaged or missing · 2 wrong usage ·
3 --repair could not read the listing · 4 storage · 5 the collection or its ledger is in use or unusable ·
129, 130, 143 ended by a signal · 141 nobody read on.

Examples:
  wallhaul verify -d ~/Pictures --decode
  wallhaul verify demo --repair
  wallhaul verify --sha256sums sums && (cd wallpapers/simpledesktops && sha256sum -c ../../sums)";

const LEDGER_HELP: &str = "\
The ledger is an SQLite file, DIR/.wallhaul/ledger.db; its view `collection` is made for people.

Examples:
  wallhaul ledger stats
  wallhaul ledger list --state failed
  wallhaul ledger show mountains -d ~/Pictures
  wallhaul ledger rebuild                      after the ledger was damaged
  sqlite3 wallpapers/simpledesktops/.wallhaul/ledger.db 'select name, bytes from collection limit 5'";
