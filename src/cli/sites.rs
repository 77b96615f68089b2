//! The arguments of `wallhaul sites`.

use std::path::PathBuf;

use clap::{Arg, Subcommand};
use url::Url;
use wallhaul::app::DetailPage;
use wallhaul::config::file::ConfigSource;
use wallhaul::config::{NetworkArgs, VariableValue};

#[derive(Debug, Subcommand)]
pub(crate) enum SitesCommand {
    /// Print one site a line: name, URL, description, and in brackets whose it is, what it needs, what is inferred
    List {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Print a site's definition in TOML, as a start for your own; what to know before using it goes to stderr
    Show {
        /// The site's name, or a file
        #[arg(value_name = "SITE|FILE")]
        site: String,
        /// Print what there is to know and not the definition: opt-in, secrets, variables, what is inferred
        #[arg(long)]
        facts: bool,
    },
    /// Print what a definition makes of a saved page, without a network: each item, and each way to its original
    #[command(after_help = SITES_TEST_HELP)]
    Test {
        /// The site's name, or a file
        #[arg(value_name = "SITE|FILE")]
        site: String,
        /// The saved page, or a folder made by `sites record`
        #[arg(long, value_name = "FILE|DIR")]
        page: PathBuf,
        /// The address that the page came from [default: the definition's first page]
        #[arg(long, value_name = "URL")]
        page_url: Option<Url>,
        /// A saved page that an item leads to, for `follow`; without URL, that of the next item in order
        #[arg(long, value_name = "[URL=]FILE")]
        detail: Vec<DetailPage>,
        /// Compare with FILE, a saved output of the same command, and print what differs
        #[arg(long, value_name = "FILE")]
        expect: Option<PathBuf>,
        /// Give the definition's variable NAME this value; once for each variable
        #[arg(short = 'V', long, value_name = "NAME=VALUE")]
        variable: Vec<VariableValue>,
        /// Also take images on hosts that the definition does not name, if it offers that
        #[arg(long)]
        allow_any_host: bool,
        /// Print one JSON object an item
        #[arg(long)]
        json: bool,
    },
    /// Request one page and one image of a site, and say whether the definition still fits; stores nothing
    #[command(after_help = SITES_CHECK_HELP, mut_args(without_site_file))]
    Check {
        /// The site's name, or a file [default: every site]
        #[arg(value_name = "SITE|FILE")]
        site: Option<String>,
        #[command(flatten)]
        network: Box<NetworkArgs>,
        #[command(flatten)]
        config: ConfigSource,
    },
    /// Store pages and a few images of a site in a folder, for `sites test` and for any static web server
    #[command(after_help = SITES_RECORD_HELP, mut_args(without_site_file))]
    Record {
        /// The site's name, or a file
        #[arg(value_name = "SITE|FILE")]
        site: String,
        /// The folder; empty, or not there yet
        #[arg(short, long, value_name = "DIR")]
        directory: PathBuf,
        /// Record N listing pages
        #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
        pages: u32,
        /// Record N images
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=1000))]
        images: u32,
        #[command(flatten)]
        network: Box<NetworkArgs>,
        #[command(flatten)]
        config: ConfigSource,
    },
    /// Draft a definition from a listing page: its items, the way to their originals, its next page
    #[command(after_help = SITES_NEW_HELP, mut_args(without_definition))]
    New {
        /// A listing page: HTML, JSON or a feed
        url: Url,
        /// The original of an image on that page, to learn the way from
        #[arg(long, value_name = "URL")]
        original: Option<Url>,
        /// The site's name [default: from its host]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Write the definition to FILE, which must not exist
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        network: Box<NetworkArgs>,
        #[command(flatten)]
        config: ConfigSource,
    },
    /// Print the JSON Schema of definitions, for editors
    Schema,
}

/// Hides the option that names a definition, where the command's argument does that.
fn without_site_file(arg: Arg) -> Arg {
    let is_it = arg.get_id() == "site_file";
    arg.hide(is_it)
}

/// Hides the options that concern a definition, where there is none yet.
fn without_definition(arg: Arg) -> Arg {
    const OPTIONS: [&str; 6] = [
        "base_url",
        "site_file",
        "variable",
        "secret_env",
        "allow_any_host",
        "opt_in",
    ];
    let is_one = OPTIONS.contains(&arg.get_id().as_str());
    arg.hide(is_one)
}

pub(super) const SITES_HELP: &str = "\
Your own definitions are the files $XDG_CONFIG_HOME/wallhaul/sites/NAME.toml (~/.config without the
variable). They are found by name wherever a site can be named, before those that ship.

Examples:
  wallhaul sites new https://example.com/wallpapers -o ~/.config/wallhaul/sites/example.toml
  wallhaul sites check example
  wallhaul fetch example";

const SITES_TEST_HELP: &str = "\
Prints a line for each way, separated by tabs: item, rule, `direct`, `follow`, `refused` or `no match`,
the address or the reason, the file's name without extension, and the key. Behind a `follow` stands what
its page shows (`full 1 page 1`), where that page is at hand: given with --detail, or recorded.

Exit codes: 0 the definition fits · 1 the output is not as in --expect · 2 wrong usage or definition ·
3 the definition does not fit the page.

Examples:
  wallhaul sites test my.toml --page saved.html
  wallhaul sites test my.toml --page saved.html --detail https://example.com/view/1=view.html
  wallhaul sites test my.toml --page saved.html > expected.tsv
  wallhaul sites test my.toml --page saved.html --expect expected.tsv
  wallhaul sites test feed --page saved.xml -V url=https://example.com/feed.xml";

const SITES_CHECK_HELP: &str = "\
Exit codes: 0 the definition fits · 1 the image cannot be fetched or is damaged · 2 wrong usage or
definition · 3 the page cannot be read, or the definition does not fit it any more.";

const SITES_RECORD_HELP: &str = "\
Each file is below the name of its host; `manifest.jsonl` says where each came from. Secrets and cookies
are not in it.

Examples:
  wallhaul sites record my.toml -d fixture
  wallhaul sites test my.toml --page fixture
  python3 -m http.server -d fixture 8000 &
  wallhaul fetch --site-file my.toml --base-url 'http://127.0.0.1:8000/{host}/' -d /tmp/got";

const SITES_NEW_HELP: &str = "\
Reads the page, up to five pages that its items link to, a few images, and the second page of the
listing, which proves the draft. Comments in it say which lines are guesses.

Exit codes: 0 the draft holds · 2 wrong usage · 3 no gallery was found, or the draft does not hold.

Examples:
  wallhaul sites new https://example.com/wallpapers > example.toml
  wallhaul sites new https://example.com/new --original https://example.com/full/a.png";
