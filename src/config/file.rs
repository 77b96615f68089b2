//! The configuration file: every long flag is a key, and each value is parsed by that flag's own parser.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{ArgAction, Args, Command, FromArgMatches as _};
use thiserror::Error;
use toml::de::{DeTable, DeValue};

use super::queue::BrokerUrl;
use super::{Options, arguments, text};

/// Which configuration file supplies options that neither flags nor variables give.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigSource {
    /// Read FILE instead of `$XDG_CONFIG_HOME/wallhaul/config.toml`; every long flag is a key
    #[arg(long, value_name = "FILE", env = "WALLHAUL_CONFIG", hide_env = true)]
    config: Option<PathBuf>,
    /// Read no configuration file
    #[arg(long)]
    no_config: bool,
}

impl ConfigSource {
    /// Completes the options `given` by flags and variables from the file: the one the user named, else the one
    /// at `default_path` if it exists.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or has an invalid line, or options contradict each other.
    pub fn with_file_defaults(
        &self,
        given: Options,
        default_path: Option<&Path>,
    ) -> anyhow::Result<Options> {
        // In the file it is a default, for collections that need one.
        let has_state_dir = given.location.state_dir.is_some();
        let options = self.completed(given, default_path)?;
        if has_state_dir {
            options.location.check_state_dir()?;
        }
        Ok(options)
    }

    fn completed(&self, given: Options, default_path: Option<&Path>) -> anyhow::Result<Options> {
        given.network.check_variables()?;
        let path = match (&self.config, default_path) {
            _ if self.no_config => return Ok(given),
            (Some(path), _) => path,
            (None, Some(path)) if path.exists() => path,
            (None, _) => return Ok(given),
        };
        let reading = || format!("reading the configuration file `{}`", path.display());
        let text = text::read(path).with_context(reading)?;
        let mut from_file = read(&text).with_context(reading)?;
        from_file.network.check_variables().with_context(reading)?;
        let queue = from_file.queue.queue.as_ref();
        let has_secret =
            !from_file.network.header.is_empty() || queue.is_some_and(BrokerUrl::has_secret);
        if has_secret && is_world_readable(path) {
            from_file.network.world_readable_config = Some(path.to_owned());
        }
        Ok(Options::merge(given, from_file))
    }
}

/// Whether every user of this machine can read the file.
pub fn is_world_readable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

/// An invalid line of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {message}")]
pub struct FileError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// Reads a configuration file's text.
///
/// # Errors
///
/// When it is not TOML, has an unknown key, or gives a value that the flag of that name refuses.
pub fn read(text: &str) -> Result<Options, FileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let table = DeTable::parse(text).map_err(|error| {
        FileError::at(
            text,
            error.span().unwrap_or_default(),
            error.message().to_owned(),
        )
    })?;
    let flags = flags();
    let mut options = Options::default();
    for (key, value) in table.get_ref() {
        let name = key.get_ref().as_ref();
        let Some(flag) = flags
            .get_arguments()
            .find(|flag| flag.get_long() == Some(name))
        else {
            return Err(FileError::at(text, key.span(), unknown(name, &flags)));
        };
        let counts = matches!(flag.get_action(), ArgAction::Count);
        let given = if counts {
            count_flag(name, value.get_ref())
        } else {
            flag_arguments(name, value.get_ref())
        };
        let given = given.ok_or_else(|| {
            let message = format!("`{name}` does not take a date or a table");
            FileError::at(text, value.span(), message)
        })?;
        let given = parse(given).map_err(|reason| FileError::at(text, value.span(), reason))?;
        options = Options::merge(options, given);
    }
    Ok(options)
}

/// The options as flags, without their variables: those win over the file and must not be read here.
fn flags() -> Command {
    let flags = Options::augment_args(Command::new("wallhaul").no_binary_name(true));
    arguments::prepared(flags.mut_args(|flag| flag.env(None)))
}

/// `name = value` as the flags it stands for; `None` for a type that no flag takes.
fn flag_arguments(name: &str, value: &DeValue<'_>) -> Option<Vec<String>> {
    let flag = |value: &str| format!("--{name}={value}");
    match value {
        DeValue::String(text) => Some(vec![flag(text)]),
        DeValue::Integer(number) => Some(vec![flag(&number.to_string())]),
        DeValue::Float(number) => Some(vec![flag(&number.to_string())]),
        DeValue::Boolean(yes) => Some(vec![flag(&yes.to_string())]),
        DeValue::Array(values) => {
            let each = values
                .iter()
                .map(|value| flag_arguments(name, value.get_ref()));
            each.collect::<Option<Vec<_>>>().map(|lists| lists.concat())
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// Like [`flag_arguments`], for a flag that is counted: `verbose = 2` is `--verbose --verbose`.
fn count_flag(name: &str, value: &DeValue<'_>) -> Option<Vec<String>> {
    let times = match value {
        DeValue::Integer(number) => number.to_string().parse::<u8>().ok()?,
        DeValue::Boolean(yes) => u8::from(*yes),
        _ => return None,
    };
    Some(vec![format!("--{name}"); usize::from(times)])
}

fn parse(arguments: Vec<String>) -> Result<Options, String> {
    let matches = flags()
        .try_get_matches_from(arguments)
        .and_then(|matches| Options::from_arg_matches(&matches));
    matches.map_err(|mut error| {
        arguments::hide_secrets(&mut error);
        let message = error.to_string();
        let first = message.lines().next().unwrap_or_default();
        first.strip_prefix("error: ").unwrap_or(first).to_owned()
    })
}

fn unknown(name: &str, flags: &Command) -> String {
    let known = flags.get_arguments().filter_map(clap::Arg::get_long);
    let near = known.max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
    let name = name.escape_debug();
    match near.filter(|near| strsim::jaro(near, &name.to_string()) > 0.7) {
        Some(near) => format!("unknown option `{name}`; did you mean `{near}`?"),
        None => format!("unknown option `{name}`; see `wallhaul fetch --help` for the options"),
    }
}

impl FileError {
    fn at(text: &str, span: Range<usize>, message: String) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        Self {
            line,
            column: before[line_start..].chars().count() + 1,
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn config_values_of_every_type_are_parsed_by_their_flags() {
        let text = "\u{feff}jobs = 16\r\nretry-wait = \"1m30s\"\r\nquiet = true\r\nverbose = 2\r\nheader = [\"A: 1\", \"B: 2\"]\r\nwait = 0.5\r\n";
        let options = read(text).unwrap();
        assert_eq!(options.selection.jobs, Some(16));
        assert_eq!(
            options.network.retry_wait.map(|wait| wait.0),
            Some(Duration::from_secs(90))
        );
        assert_eq!(
            (options.output.quiet, options.output.verbose),
            (Some(true), 2)
        );
        let names: Vec<_> = options
            .network
            .header
            .iter()
            .map(|header| header.name.as_str())
            .collect();
        assert_eq!(names, ["A", "B"]);
        assert_eq!(
            options.network.wait.map(|wait| wait.0),
            Some(Duration::from_millis(500))
        );
    }

    #[test]
    fn config_unknown_key_is_reported_with_its_line_and_the_nearest_option() {
        let error = read("jobs = 4\n  retrys = 2\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2, column 3: unknown option `retrys`; did you mean `retries`?"
        );
    }

    #[test]
    fn config_invalid_value_is_reported_with_its_line_and_flag() {
        let error = read("jobs = 0\n").unwrap_err();
        assert_eq!((error.line, error.column), (1, 8));
        assert!(error.message.contains("--jobs <N>"), "{}", error.message);
        let error = read("header = [\"A: 1\", \"Authorization Bearer s3cr3t\"]\n").unwrap_err();
        assert!(error.message.contains("'Authorization...'"), "{error}");
        assert!(
            read("jobs = { a = 1 }")
                .unwrap_err()
                .message
                .contains("does not take a date or a table")
        );
        assert_eq!(read("jobs = 1\njobs").unwrap_err().line, 2);
    }

    #[test]
    fn flags_win_over_the_config_file() {
        let flag = Options::merge(
            read("jobs = 3").unwrap(),
            read("jobs = 4\nretries = 1").unwrap(),
        );
        assert_eq!(
            (flag.selection.jobs, flag.network.retries),
            (Some(3), Some(1))
        );
    }
}
