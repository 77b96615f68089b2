//! `wallhaul`: parse the arguments, run the command, return its exit code.

mod allocator;
mod cli;
mod dispatch;

use std::process::ExitCode;

use wallhaul::app::{self, Environment};
use wallhaul::exit::Exit;

use crate::cli::Cli;

fn main() -> ExitCode {
    let command = match Cli::from_process() {
        Ok(cli) => cli.command,
        Err(message) => {
            // clap also reports `--help` and `--version` this way. If the stream is closed nothing can be said.
            let _ = message.print();
            let exit = if message.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            return exit.into();
        }
    };
    let result = dispatch::run(command, &Environment::read());
    result
        .unwrap_or_else(|error| app::print_error(&error))
        .into()
}
