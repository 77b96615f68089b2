//! The world as it is at the start: read here, handed to everything else.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use etcetera::BaseStrategy as _;
use jiff::Timestamp;

use crate::report::{Size, Stderr};

/// What the surroundings say.
#[derive(Debug, Clone)]
pub struct World {
    /// Where people read.
    pub stderr: Stderr,
    /// Where the configuration file would lie; nowhere without a home.
    pub config_file: Option<PathBuf>,
    /// Tells one start of the system from another; empty where the system does not say.
    pub boot: String,
    /// What time it is.
    pub clock: fn() -> Timestamp,
}

impl World {
    /// Looks around.
    pub fn read() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_none_or(|term| term == "dumb");
        let folders = etcetera::choose_base_strategy().ok();
        Self {
            stderr: Stderr {
                terminal: io::stderr().is_terminal(),
                dumb,
                no_color: set("NO_COLOR").is_some(),
                size: terminal_size,
            },
            config_file: folders.map(|folders| folders.config_dir().join("wallhaul").join("config.toml")),
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned(),
            clock: Timestamp::now,
        }
    }
}

fn terminal_size() -> Option<Size> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    Some(Size { columns: size.ws_col, rows: size.ws_row })
}
