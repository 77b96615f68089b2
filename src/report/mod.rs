//! Shows what happens in a run: a socket, with one plug for each way of showing it.
//!
//! Untrusted text leaves this module only through [`escape`], or as JSON strings without characters that a terminal
//! obeys.

mod bars;
mod causes;
mod counter;
mod dispatcher;
mod frame;
mod jsonl;
mod line_buffer;
mod lines;
pub mod messages;
mod plain;
mod same_images;
#[cfg(test)]
mod samples;
mod screen;
mod speed;
mod summary;
mod tally;
mod terminal;

use std::io::{self, Write};
use std::time::Duration;

use jiff::Timestamp;

use crate::event::Event;

pub use self::counter::Counter;
pub use self::dispatcher::dispatch;
pub use self::jsonl::object;
pub use self::tally::{FailedReporter, Tally};
pub use self::terminal::{TerminalSize, escape};

use self::bars::Bars;
use self::jsonl::JsonLines;
use self::lines::Detail;
use self::plain::Plain;

/// One way of showing a run. After its first error a reporter is dropped, and the run continues without it.
pub trait Reporter: Send {
    /// What it writes, for the message that it failed.
    fn name(&self) -> &'static str;

    /// Whether it writes the output that the user chose (JSON lines), not only a log: losing that is exit code 4.
    fn is_primary_output(&self) -> bool {
        false
    }

    /// Takes one event. Called for every event of the run, so it must be fast; it may buffer until `flush`.
    ///
    /// # Errors
    ///
    /// When its output cannot be written.
    fn on_event(&mut self, event: &Event) -> io::Result<()>;

    /// Writes what is buffered: no further event is waiting.
    ///
    /// # Errors
    ///
    /// When its output cannot be written.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Redraws progress; called at most ten times a second.
    ///
    /// # Errors
    ///
    /// When its output cannot be written.
    fn tick(&mut self, _tally: &Tally, _since_start: Duration) -> io::Result<()> {
        Ok(())
    }

    /// Reports how the run ended: the last call.
    ///
    /// # Errors
    ///
    /// When its output cannot be written.
    fn finish(&mut self, tally: &Tally, elapsed: Duration) -> io::Result<()>;
}

/// `--progress`: what is shown on stderr while a run works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    /// Bars at a terminal; elsewhere only news and trouble.
    #[default]
    Auto,
    /// Bars, if stderr is a terminal that can move its cursor.
    Bars,
    /// A line for each image, and a summary.
    Plain,
    /// No progress; trouble and the summary are still shown.
    None,
}

/// `--color`: when lines are colored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColorMode {
    /// At a terminal, unless the environment disables color.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What is known of stderr; read from the environment by the caller.
#[derive(Debug, Clone, Copy)]
pub struct Stderr {
    /// Whether it is a terminal.
    pub terminal: bool,
    /// Whether that terminal cannot move its cursor: `TERM` is `dumb`, empty or missing.
    pub dumb: bool,
    /// Whether `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// Reads the terminal's size; called for each drawing, since windows are resized.
    pub size: fn() -> Option<TerminalSize>,
}

/// How a run is reported.
#[derive(Debug, Clone, Copy)]
pub struct OutputSettings {
    /// `--progress`.
    pub progress: Progress,
    /// `--json`: one event per line on stdout.
    pub json: bool,
    /// `-q`: errors only.
    pub quiet: bool,
    /// How many `-v`.
    pub verbose: u8,
    /// `--color`.
    pub color: ColorMode,
    /// Where the log and the bars go.
    pub stderr: Stderr,
    /// The wall clock for the events' time stamps.
    pub clock: fn() -> Timestamp,
}

impl OutputSettings {
    /// Whether lines are colored.
    pub fn colored(&self) -> bool {
        match self.color {
            ColorMode::Always => true,
            ColorMode::Never => false,
            ColorMode::Auto => self.stderr.terminal && !self.stderr.dumb && !self.stderr.no_color,
        }
    }

    /// Whether the start and progress of single images is shown, and not only their ends.
    pub fn watches_images(&self) -> bool {
        self.bars() || self.detail() == Detail::Everything
    }

    /// Whether bars are drawn. With `--json` only on request: a program that reads the lines often prints to the
    /// same terminal, and would tear the bars.
    fn bars(&self) -> bool {
        let possible = self.stderr.terminal && !self.stderr.dumb && !self.quiet;
        match self.progress {
            Progress::Auto => possible && !self.json,
            Progress::Bars => possible,
            Progress::Plain | Progress::None => false,
        }
    }

    /// Whether a person is watching, who would wonder why nothing seems to happen.
    pub fn watched(&self) -> bool {
        self.detail() >= Detail::Watched
    }

    /// How much is shown in lines. A terminal where bars were wanted and are impossible gets a line for each image.
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

/// Opens the reporters that `output` asks for.
pub fn open(
    output: &OutputSettings,
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
) -> Vec<Box<dyn Reporter>> {
    let (detail, colored) = (output.detail(), output.colored());
    let mut reporters: Vec<Box<dyn Reporter>> = Vec::new();
    if output.json {
        reporters.push(Box::new(JsonLines::new(stdout, output.clock)));
    }
    // Exactly one reporter owns stderr: two writers would tear each other's lines.
    if output.bars() {
        let size = output.stderr.size;
        reporters.push(Box::new(Bars::new(stderr, size, detail, colored)));
    } else {
        reporters.push(Box::new(Plain::new(stderr, detail, colored)));
    }
    reporters
}

/// Opens the log of a command whose output is not a collection: problems and what is left out, without counts of images.
pub fn open_log(output: &OutputSettings, stderr: Box<dyn Write + Send>) -> Vec<Box<dyn Reporter>> {
    let log = Plain::new(stderr, output.detail(), output.colored());
    vec![Box::new(log.without_counts())]
}

#[cfg(test)]
mod tests {
    use super::samples::default_output;
    use super::*;

    const TERMINAL: Stderr = Stderr {
        terminal: true,
        dumb: false,
        no_color: false,
        size: || None,
    };

    #[test]
    fn a_progress_bar_needs_a_terminal_that_can_move_its_cursor() {
        let at_terminal = OutputSettings {
            stderr: TERMINAL,
            ..default_output()
        };
        assert!(at_terminal.bars());
        assert!(!default_output().bars(), "not off a terminal");
        assert!(
            !OutputSettings {
                progress: Progress::Bars,
                ..default_output()
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
                ..default_output()
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
    fn progress_bars_and_very_verbose_output_watch_single_images() {
        assert!(
            OutputSettings {
                stderr: TERMINAL,
                ..default_output()
            }
            .watches_images()
        );
        assert!(
            OutputSettings {
                verbose: 2,
                ..default_output()
            }
            .watches_images()
        );
        assert!(
            !OutputSettings {
                verbose: 1,
                json: true,
                ..default_output()
            }
            .watches_images()
        );
    }

    #[test]
    fn color_needs_a_terminal_unless_it_is_forced() {
        let at_terminal = OutputSettings {
            stderr: TERMINAL,
            ..default_output()
        };
        assert!(at_terminal.colored());
        assert!(!default_output().colored());
        assert!(
            !OutputSettings {
                stderr: Stderr {
                    no_color: true,
                    ..TERMINAL
                },
                ..default_output()
            }
            .colored()
        );
        assert!(
            !OutputSettings {
                stderr: Stderr {
                    dumb: true,
                    ..TERMINAL
                },
                ..default_output()
            }
            .colored()
        );
        assert!(
            !OutputSettings {
                color: ColorMode::Never,
                ..at_terminal
            }
            .colored()
        );
        assert!(
            OutputSettings {
                color: ColorMode::Always,
                ..default_output()
            }
            .colored()
        );
    }

    #[test]
    fn quiet_wins_over_verbose_and_verbose_over_progress() {
        assert_eq!(default_output().detail(), Detail::Trouble);
        assert_eq!(
            OutputSettings {
                quiet: true,
                verbose: 2,
                ..default_output()
            }
            .detail(),
            Detail::Errors
        );
        assert_eq!(
            OutputSettings {
                verbose: 1,
                progress: Progress::Plain,
                ..default_output()
            }
            .detail(),
            Detail::Events
        );
        assert_eq!(
            OutputSettings {
                progress: Progress::Plain,
                ..default_output()
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
                ..default_output()
            }
            .detail(),
            Detail::Images
        );
        assert_eq!(
            OutputSettings {
                stderr: dumb,
                progress: Progress::None,
                ..default_output()
            }
            .detail(),
            Detail::Watched
        );
        assert!(
            OutputSettings {
                stderr: TERMINAL,
                ..default_output()
            }
            .watched()
                && !default_output().watched()
        );
        assert!(
            !OutputSettings {
                stderr: TERMINAL,
                quiet: true,
                ..default_output()
            }
            .watched()
        );
    }
}
