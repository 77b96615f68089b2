//! Shows what happens in a run: a socket with one plug a way of telling.
//!
//! Untrusted text leaves this module through [`escape`] alone, or as JSON strings that no terminal can
//! mistake for commands.

mod bars;
mod counter;
mod dispatch;
pub mod figures;
mod frame;
mod jsonl;
mod lines;
pub mod messages;
mod outlet;
mod plain;
#[cfg(test)]
mod samples;
mod speed;
mod tally;
mod terminal;

use std::io::{self, Write};
use std::time::Duration;

use jiff::Timestamp;

use crate::event::Event;

pub use self::counter::Counter;
pub use self::dispatch::dispatch;
pub use self::jsonl::object;
pub use self::tally::{FailedReporter, Tally};
pub use self::terminal::{Size, escape};

use self::bars::Bars;
use self::jsonl::JsonLines;
use self::lines::Detail;
use self::plain::Plain;

/// One way of telling what happens. One that fails is not asked again; the run goes on without it.
pub trait Reporter: Send {
    /// What it is, for the line that says it fell silent.
    fn name(&self) -> &'static str;

    /// Whether it brings results: what somebody else works with, and misses when it breaks off.
    fn brings_results(&self) -> bool {
        false
    }

    /// Takes note of `event`. Called for each one, so nothing slow belongs here.
    ///
    /// # Errors
    ///
    /// When it cannot tell any more.
    fn told(&mut self, event: &Event) -> io::Result<()>;

    /// Nothing more waits to be told right now: whatever was held back goes out.
    ///
    /// # Errors
    ///
    /// When it cannot tell any more.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Draws how things stand, `since` the run's start; called ten times a second at most.
    ///
    /// # Errors
    ///
    /// When it cannot tell any more.
    fn tick(&mut self, _tally: &Tally, _since: Duration) -> io::Result<()> {
        Ok(())
    }

    /// Says how the run ended; nothing is told afterwards.
    ///
    /// # Errors
    ///
    /// When it cannot tell any more.
    fn ended(&mut self, tally: &Tally, took: Duration) -> io::Result<()>;
}

/// What progress is shown on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    /// Bars for a person at a terminal; otherwise nothing but news and trouble.
    #[default]
    Auto,
    /// Bars, if stderr is a terminal that can move its cursor.
    Bars,
    /// A line for each image, and a summary.
    Plain,
    /// None; trouble and the summary are still told.
    None,
}

/// When lines are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColorMode {
    /// On a terminal, unless the environment asks for none.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What is known of stderr; read from the world by whoever starts the run.
#[derive(Debug, Clone, Copy)]
pub struct Stderr {
    /// Whether it is a terminal.
    pub terminal: bool,
    /// Whether that terminal only prints: `TERM` is `dumb`, empty or missing.
    pub dumb: bool,
    /// Whether `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// Asks the terminal's size; asked again at each drawing, since windows are resized.
    pub size: fn() -> Option<Size>,
}

/// How a run is to be told.
#[derive(Debug, Clone, Copy)]
pub struct OutputSettings {
    /// `--progress`.
    pub progress: Progress,
    /// `--json`: one event a line on stdout.
    pub json: bool,
    /// `-q`: errors only.
    pub quiet: bool,
    /// How many `-v`.
    pub verbose: u8,
    /// `--color`.
    pub color: ColorMode,
    /// Where people read.
    pub stderr: Stderr,
    /// The wall clock that events are dated by.
    pub clock: fn() -> Timestamp,
}

impl OutputSettings {
    /// Whether lines are coloured.
    pub fn coloured(&self) -> bool {
        match self.color {
            ColorMode::Always => true,
            ColorMode::Never => false,
            ColorMode::Auto => self.stderr.terminal && !self.stderr.dumb && !self.stderr.no_color,
        }
    }

    /// Whether anybody is told of images on their way, and not only of their ends.
    pub fn watches_images(&self) -> bool {
        self.bars() || self.detail() == Detail::Everything
    }

    /// Whether there are bars. Not by themselves beside `--json`: what reads its lines often prints to
    /// the same terminal, and would tear them.
    fn bars(&self) -> bool {
        let possible = self.stderr.terminal && !self.stderr.dumb && !self.quiet;
        match self.progress {
            Progress::Auto => possible && !self.json,
            Progress::Bars => possible,
            Progress::Plain | Progress::None => false,
        }
    }

    /// Whether somebody watches who would wonder why nothing happens.
    pub fn watched(&self) -> bool {
        self.detail() >= Detail::Watched
    }

    /// How much is told in lines. A terminal that wants progress and cannot have bars gets a line for each image.
    fn detail(&self) -> Detail {
        let no_bars_possible = self.stderr.terminal && self.stderr.dumb;
        match (self.quiet, self.verbose, self.progress) {
            (true, _, _) => Detail::Errors,
            (false, 2.., _) => Detail::Everything,
            (false, 1, _) => Detail::Events,
            (false, 0, Progress::Plain) => Detail::Images,
            (false, 0, Progress::Auto | Progress::Bars) if no_bars_possible => Detail::Images,
            (false, 0, Progress::Auto | Progress::Bars | Progress::None)
                if self.stderr.terminal =>
            {
                Detail::Watched
            }
            (false, 0, Progress::Auto | Progress::Bars | Progress::None) => Detail::Trouble,
        }
    }
}

/// The reporters that `telling` asks for.
pub fn open(
    telling: &OutputSettings,
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
) -> Vec<Box<dyn Reporter>> {
    let (detail, coloured) = (telling.detail(), telling.coloured());
    let mut reporters: Vec<Box<dyn Reporter>> = Vec::new();
    if telling.json {
        reporters.push(Box::new(JsonLines::new(stdout, telling.clock)));
    }
    if telling.bars() {
        reporters.push(Box::new(Bars::new(
            stderr,
            telling.stderr.size,
            detail,
            coloured,
        )));
    } else {
        reporters.push(Box::new(Plain::new(stderr, detail, coloured)));
    }
    reporters
}

#[cfg(test)]
mod tests {
    use super::samples::telling;
    use super::*;

    const TERMINAL: Stderr = Stderr {
        terminal: true,
        dumb: false,
        no_color: false,
        size: || None,
    };

    #[test]
    fn bars_are_for_a_person_at_a_terminal() {
        let at_terminal = OutputSettings {
            stderr: TERMINAL,
            ..telling()
        };
        assert!(at_terminal.bars());
        assert!(!telling().bars(), "not off a terminal");
        assert!(
            !OutputSettings {
                progress: Progress::Bars,
                ..telling()
            }
            .bars(),
            "not even on request"
        );
        assert!(
            !OutputSettings {
                stderr: Stderr {
                    dumb: true,
                    ..TERMINAL
                },
                ..telling()
            }
            .bars()
        );
        assert!(
            !OutputSettings {
                quiet: true,
                ..at_terminal
            }
            .bars()
        );
        assert!(
            !OutputSettings {
                progress: Progress::None,
                ..at_terminal
            }
            .bars()
        );
        assert!(
            !OutputSettings {
                json: true,
                ..at_terminal
            }
            .bars(),
            "JSON lines may share the terminal"
        );
        assert!(
            OutputSettings {
                json: true,
                progress: Progress::Bars,
                ..at_terminal
            }
            .bars()
        );
    }

    #[test]
    fn images_on_their_way_are_watched_by_bars_and_by_the_very_curious() {
        assert!(
            OutputSettings {
                stderr: TERMINAL,
                ..telling()
            }
            .watches_images()
        );
        assert!(
            OutputSettings {
                verbose: 2,
                ..telling()
            }
            .watches_images()
        );
        assert!(
            !OutputSettings {
                verbose: 1,
                json: true,
                ..telling()
            }
            .watches_images()
        );
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let at_terminal = OutputSettings {
            stderr: TERMINAL,
            ..telling()
        };
        assert!(at_terminal.coloured());
        assert!(!telling().coloured());
        assert!(
            !OutputSettings {
                stderr: Stderr {
                    no_color: true,
                    ..TERMINAL
                },
                ..telling()
            }
            .coloured()
        );
        assert!(
            !OutputSettings {
                stderr: Stderr {
                    dumb: true,
                    ..TERMINAL
                },
                ..telling()
            }
            .coloured()
        );
        assert!(
            !OutputSettings {
                color: ColorMode::Never,
                ..at_terminal
            }
            .coloured()
        );
        assert!(
            OutputSettings {
                color: ColorMode::Always,
                ..telling()
            }
            .coloured()
        );
    }

    #[test]
    fn quiet_wins_over_verbose_and_verbose_over_progress() {
        assert_eq!(telling().detail(), Detail::Trouble);
        assert_eq!(
            OutputSettings {
                quiet: true,
                verbose: 2,
                ..telling()
            }
            .detail(),
            Detail::Errors
        );
        assert_eq!(
            OutputSettings {
                verbose: 1,
                progress: Progress::Plain,
                ..telling()
            }
            .detail(),
            Detail::Events
        );
        assert_eq!(
            OutputSettings {
                progress: Progress::Plain,
                ..telling()
            }
            .detail(),
            Detail::Images
        );
        let dumb = Stderr {
            dumb: true,
            ..TERMINAL
        };
        assert_eq!(
            OutputSettings {
                stderr: dumb,
                ..telling()
            }
            .detail(),
            Detail::Images
        );
        assert_eq!(
            OutputSettings {
                stderr: dumb,
                progress: Progress::None,
                ..telling()
            }
            .detail(),
            Detail::Watched
        );
        assert!(
            OutputSettings {
                stderr: TERMINAL,
                ..telling()
            }
            .watched()
                && !telling().watched()
        );
        assert!(
            !OutputSettings {
                stderr: TERMINAL,
                quiet: true,
                ..telling()
            }
            .watched()
        );
    }
}
