//! The words that some options choose from.

use clap::ValueEnum;

/// `--sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SyncMode {
    /// Flush a group of images to disk before any of them gets its name
    Group,
    /// Leave it to the system: faster on slow disks, but a power cut may lose the newest images
    Off,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// Bars on a terminal; elsewhere only problems and a summary, and nothing when nothing is new
    Auto,
    /// Bars, if the terminal can show them
    Bars,
    /// A line for each image, and a summary
    Plain,
    /// Only problems and a summary
    None,
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set or the terminal is dumb
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// `--names`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NamesMode {
    /// By the URL, as the site's definition says
    Url,
    /// As the server's Content-Disposition header says; by the URL where there is none
    Header,
}
