//! Where a collection is stored.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::BoolishValueParser;
use etcetera::BaseStrategy as _;

use crate::sink::Location;
use crate::units::HumanDuration;

/// Where the collection is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Collection")]
pub struct LocationArgs {
    /// Store the collection in DIR [default: ./wallpapers/SITE]
    #[arg(
        short,
        long,
        value_name = "DIR",
        env = "WALLHAUL_DIRECTORY",
        hide_env = true
    )]
    pub directory: Option<PathBuf>,
    /// For a collection in an object store: keep its ledger, lock and unfinished files in DIR [default: one for each
    /// store in ~/.local/state/wallhaul]
    #[arg(long, value_name = "DIR", env = "WALLHAUL_STATE_DIR", hide_env = true)]
    pub state_dir: Option<PathBuf>,
    /// Speak to an object store that is not on this machine without TLS
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, env = "WALLHAUL_INSECURE_STORE", hide_env = true)]
    pub insecure_store: Option<bool>,
    /// Give up after TIME in which an object store does not answer, or answers with faults [default: 2m]
    #[arg(
        long,
        value_name = "TIME",
        env = "WALLHAUL_STORE_TIMEOUT",
        hide_env = true
    )]
    pub store_timeout: Option<HumanDuration>,
}

impl LocationArgs {
    /// Where `site`'s collection is. With `several` sites each has its own folder inside the user's.
    pub fn collection(&self, site: &str, several: bool) -> Location {
        match &self.directory {
            Some(directory) => {
                let given = Location::parse(directory.as_os_str(), |scheme, text| {
                    let given = self.state_dir.clone();
                    given.unwrap_or_else(|| default_state_dir(scheme, text))
                });
                if several { given.join(site) } else { given }
            }
            None => Location::Folder(Path::new("wallpapers").join(site)),
        }
    }

    /// The folder or URL in which each site has its own.
    pub fn root(&self) -> Location {
        match &self.directory {
            Some(directory) => Location::parse(directory.as_os_str(), default_state_dir),
            None => Location::Folder(PathBuf::from("wallpapers")),
        }
    }

    /// Whether the collection is at a URL, and not in a folder.
    pub fn is_url(&self) -> bool {
        matches!(self.collection("", false), Location::Url { .. })
    }

    /// Refuses a folder for the state of a collection that is in a folder itself and keeps it there.
    ///
    /// # Errors
    ///
    /// When there is one.
    pub(super) fn check_state_dir(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.state_dir.is_none() || self.is_url(),
            "--state-dir is for a collection in an object store (`-d s3://BUCKET/PREFIX`): one in a folder keeps its state in its `.wallhaul`"
        );
        Ok(())
    }

    pub(super) fn merge(self, defaults: Self) -> Self {
        let Self {
            directory,
            state_dir,
            insecure_store,
            store_timeout,
        } = self;
        Self {
            directory: directory.or(defaults.directory),
            state_dir: state_dir.or(defaults.state_dir),
            insecure_store: insecure_store.or(defaults.insecure_store),
            store_timeout: store_timeout.or(defaults.store_timeout),
        }
    }
}

/// Where the state of a collection in a store is kept that the user gives no folder for: one for each URL.
fn default_state_dir(scheme: &str, text: &str) -> PathBuf {
    let folders = etcetera::choose_base_strategy().ok();
    let state = folders.and_then(|folders| folders.state_dir());
    let below = text.split_once("://").map_or(text, |(_, below)| below);
    let below = below
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."));
    let home = state
        .unwrap_or_else(|| PathBuf::from("."))
        .join("wallhaul")
        .join(scheme);
    home.join(below.collect::<PathBuf>())
}
