//! The surroundings at the start: terminal, variables, ignored signals, clock. Read here and handed to everything
//! else, so that no other module depends on global state.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use etcetera::BaseStrategy as _;
use jiff::Timestamp;

use crate::report::{Stderr, TerminalSize};

/// What the program knows about its surroundings.
#[derive(Debug, Clone)]
pub struct Environment {
    /// What kind of stream stderr is.
    pub stderr: Stderr,
    /// Whether stdout is a terminal.
    pub stdout_is_terminal: bool,
    /// The default path of the configuration file; `None` without a home folder.
    pub config_file: Option<PathBuf>,
    /// An id of this boot of the system, empty where the system has none: parts from before a power cut are
    /// recognised by it.
    pub boot: String,
    /// The signals that were ignored when the program started, bit 0 for signal 1: under `nohup`, or in the
    /// background of a script, they must stay ignored.
    pub ignored_signals: u64,
    /// The environment variables.
    pub variables: Vec<(OsString, OsString)>,
    /// The current time.
    pub clock: fn() -> Timestamp,
}

impl Environment {
    /// Reads the surroundings of this process.
    pub fn read() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_none_or(|term| term == "dumb");
        let folders = etcetera::choose_base_strategy().ok();
        let config_file =
            folders.map(|folders| folders.config_dir().join("wallhaul").join("config.toml"));
        Self {
            stderr: Stderr {
                terminal: io::stderr().is_terminal(),
                dumb,
                no_color: set("NO_COLOR").is_some(),
                size: terminal_size,
            },
            stdout_is_terminal: io::stdout().is_terminal(),
            // An empty or relative HOME would make it a file of the working folder, which may be anybody's.
            config_file: config_file.filter(|path| path.is_absolute()),
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            ignored_signals: ignored_signals().unwrap_or(0),
            variables: std::env::vars_os().collect(),
            clock: Timestamp::now,
        }
    }

    /// Whether the signal of this number is to be handled.
    pub fn handles(&self, signal: i32) -> bool {
        let bit = u32::try_from(signal - 1)
            .ok()
            .and_then(|place| 1_u64.checked_shl(place));
        bit.is_some_and(|bit| self.ignored_signals & bit == 0)
    }
}

/// The kernel's mask of ignored signals; `None` where there is no `/proc`.
fn ignored_signals() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn terminal_size() -> Option<TerminalSize> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    Some(TerminalSize {
        columns: size.ws_col,
        rows: size.ws_row,
    })
}
