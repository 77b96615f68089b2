//! What holds for every option of every command, wherever its value comes from: how paths are read, that an empty
//! variable counts as unset, and that an invalid value is reported with its variable.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PathBufValueParser, StyledStr, TypedValueParser as _};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::queue::BrokerUrl;
use crate::mask::hide_user_info;
use crate::user_path;

/// Prepares all options of `command` and of its commands. Done to the finished command and not where an option is
/// declared, so that no option can be forgotten.
pub fn prepared(command: Command) -> Command {
    each_argument(command, &prepared_option)
}

/// Prepares only what `names`, the arguments behind that of `command`, can mean: where the first of them names a command,
/// no other one is parsed. All commands together have some 500 options.
fn prepared_for(command: Command, names: &[OsString]) -> Command {
    let command_name = names.first().and_then(|name| name.to_str());
    let is_named = |command: &Command| Some(command.get_name()) == command_name;
    if !command.get_subcommands().any(is_named) {
        return prepared(command);
    }
    command
        .mut_args(prepared_option)
        .mut_subcommands(|command| {
            if is_named(&command) {
                prepared_for(command, &names[1..])
            } else {
                command
            }
        })
}

fn prepared_option(arg: Arg) -> Arg {
    let is_path = arg.get_value_parser().type_id() == TypeId::of::<PathBuf>();
    let arg = if is_path {
        let expanded = |path: PathBuf| user_path::expand_here(path.as_os_str());
        arg.value_parser(PathBufValueParser::new().try_map(expanded))
    } else {
        arg
    };
    if variable(&arg).is_some() {
        arg
    } else {
        arg.env(None)
    }
}

/// Parses `arguments`, the first of which is the program's name. `command` makes the command, anew for an error: a copy of
/// it for each run would take longer than all that `wallhaul sites list` does besides.
///
/// # Errors
///
/// Those of clap. An error in a variable's value names the variable, which clap does not.
pub fn parse(
    command: impl Fn() -> Command,
    arguments: &[OsString],
) -> Result<ArgMatches, clap::Error> {
    let parse = |command: Command| command.try_get_matches_from(arguments);
    let names = arguments.get(1..).unwrap_or_default();
    let checked =
        parse(prepared_for(command(), names)).and_then(|matches| check_visible(&command, matches));
    checked.map_err(|mut error| {
        if !error.use_stderr() {
            return error;
        }
        let command = prepared(command());
        let mut names = Vec::new();
        collect_variables(&command, &mut names);
        // clap does not say where a value came from. Without the variable that holds it the error is another or none.
        let text = error.to_string();
        let culprit = names.into_iter().find(|name| {
            let without = each_argument(command.clone(), &|arg| {
                let is_this = variable(&arg).as_ref() == Some(name);
                if is_this { arg.env(None) } else { arg }
            });
            parse(without).map_or_else(|other| other.to_string() != text, |_| true)
        });
        if let Some(name) = culprit {
            let name = name.to_string_lossy();
            let tip = StyledStr::from(format!("the value comes from the variable {name}"));
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
        }
        hide_secrets(&mut error);
        error
    })
}

/// Refuses a broker's password among the arguments, which every user of the machine can read.
fn check_visible(
    command: impl Fn() -> Command,
    matches: ArgMatches,
) -> Result<ArgMatches, clap::Error> {
    let mut last = &matches;
    while let Some((_, sub)) = last.subcommand() {
        last = sub;
    }
    let queue = last.try_get_one::<BrokerUrl>("queue").ok().flatten();
    let is_argument = || last.value_source("queue") == Some(ValueSource::CommandLine);
    if queue.is_some_and(BrokerUrl::has_secret) && is_argument() {
        let reason = "a password in the address of --queue can be read by every user of this machine: give the address \
            by the variable WALLHAUL_QUEUE, or in the configuration file";
        return Err(command().error(ErrorKind::ValueValidation, reason));
    }
    Ok(matches)
}

/// Leaves of an invalid header only what may be its name, and of an address nothing of its user: behind a forgotten
/// colon stands a password or a token, and the message may end in a log.
pub(super) fn hide_secrets(error: &mut clap::Error) {
    let is_of = |start: &str| matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(arg)) if arg.starts_with(start));
    let (is_header, is_address) = (is_of("--header "), is_of("--base-url "));
    let shown = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) if is_header => {
            let name_end = value.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            // Without a character that ends a name, the whole may be the token.
            format!("{}...", &value[..name_end.unwrap_or_default()])
        }
        // An address may also be given to the wrong option.
        Some(ContextValue::String(value)) if is_address || value.contains("://") => {
            hide_user_info(value).into_owned()
        }
        _ => return,
    };
    error.insert(ContextKind::InvalidValue, ContextValue::String(shown));
}

/// The name of the variable that gives this option a value now; an empty one gives none.
fn variable(arg: &Arg) -> Option<OsString> {
    let name = arg.get_env()?;
    let value = std::env::var_os(name)?;
    (!value.is_empty()).then(|| name.to_owned())
}

fn collect_variables(command: &Command, names: &mut Vec<OsString>) {
    for name in command.get_arguments().filter_map(variable) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for command in command.get_subcommands() {
        collect_variables(command, names);
    }
}

fn each_argument(command: Command, change: &dyn Fn(Arg) -> Arg) -> Command {
    let names: Vec<_> = command
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    let command = command.mut_args(change);
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| each_argument(command, change))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Options;
    use clap::Args as _;

    #[test]
    fn value_of_a_header_without_a_colon_is_not_shown() {
        let command = Options::augment_args(Command::new("wallhaul"));
        for (header, shown) in [
            ("Authorization Bearer s3cr3t", "'Authorization...'"),
            ("Authorization Basic me:s3cr3t", "'Authorization...'"),
            ("Authorization\ts3cr3t", "'Authorization...'"),
            ("X-Key=s3cr3t", "'X-Key...'"),
            ("s3cr3t", "'...'"),
        ] {
            let arguments = ["wallhaul", "--header", header].map(OsString::from);
            let message = parse(|| command.clone(), &arguments)
                .unwrap_err()
                .to_string();
            assert!(
                message.contains(shown) && !message.contains("s3cr3t"),
                "{message}"
            );
        }
    }

    #[test]
    fn password_in_an_invalid_address_is_not_shown() {
        let command = Options::augment_args(Command::new("wallhaul"));
        for [option, address, shown] in [
            [
                "--base-url",
                "http://me:s3cr3t@ho st/",
                "'http://...@ho st/'",
            ],
            [
                "--base-url",
                "http://s3cr3t@host:x/",
                "'http://...@host:x/'",
            ],
            ["--base-url", "ftp://me:s3cr3t@host/", "'ftp://...@host/'"],
            ["--base-url", "me:s3cr3t@host", "'...@host'"],
            ["--jobs", "http://me:s3cr3t@host/", "'http://...@host/'"],
        ] {
            let arguments = ["wallhaul", option, address].map(OsString::from);
            let message = parse(|| command.clone(), &arguments)
                .unwrap_err()
                .to_string();
            assert!(
                message.contains(shown) && !message.contains("s3cr3t"),
                "{message}"
            );
        }
    }

    #[test]
    fn every_option_that_takes_a_path_replaces_a_tilde_at_its_head() {
        let command = prepared(Options::augment_args(Command::new("wallhaul")));
        let paths: Vec<_> = command
            .get_arguments()
            .filter(|arg| arg.get_value_parser().type_id() == TypeId::of::<PathBuf>())
            .collect();
        assert!(paths.len() >= 4, "{paths:?}");
        for arg in paths {
            let flag = format!("--{}=~nobody/x", arg.get_long().unwrap());
            let refused = command.clone().try_get_matches_from(["wallhaul", &flag]);
            let message = refused.unwrap_err().to_string();
            assert!(message.contains("another user's home"), "{flag}: {message}");
        }
    }
}
