//! The user's commands: found before anything is fetched, run without a shell, bounded, timed, waited for.

mod process;
mod written;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};
use thiserror::Error;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

pub use process::End;
pub use written::{CommandTemplate, Trigger};

use crate::job::{ImageKey, ImageName, SiteId};
use crate::outcome::Content;
use written::Variables;

/// What the user said about commands.
#[derive(Debug, Clone)]
pub struct HookSettings {
    /// The commands, in the order they are run.
    pub commands: Vec<CommandTemplate>,
    /// How long each of them may take.
    pub limit: Duration,
    /// Variables that they are to have although their names or values look like secrets.
    pub shared: Vec<String>,
}

/// A command that cannot be run.
#[derive(Debug, Error)]
pub enum HookError {
    /// Its program is nowhere.
    #[error("--exec: there is no program `{}`: give its path, or put it on the PATH", .0.escape_debug())]
    Missing(String),
    /// What has the program's name is none.
    #[error("--exec: `{}` cannot be run: make it executable", .0.display())]
    NotExecutable(PathBuf),
}

/// The user's commands for one collection.
#[derive(Debug, Clone)]
pub struct Hooks {
    found: Arc<ResolvedHooks>,
    site: SiteId,
    directory: PathBuf,
}

/// The user's commands, each with its program.
#[derive(Debug)]
pub struct ResolvedHooks {
    commands: Vec<(CommandTemplate, PathBuf)>,
    limit: Duration,
    environment: Vec<(OsString, OsString)>,
}

/// An image that commands are run for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookImage {
    /// What the ledger knows it by.
    pub key: ImageKey,
    /// Its file's name.
    pub name: ImageName,
    /// What the file holds.
    pub content: Content,
    /// The listing page that showed it.
    pub page: Option<String>,
    /// Its title: untrusted text.
    pub title: Option<String>,
}

/// A command that was run.
#[derive(Debug)]
pub struct HookResult {
    /// The command, as it was written.
    pub command: String,
    /// How it ended.
    pub end: End,
    /// What it wrote last, on either stream: untrusted text.
    pub output: String,
    /// How long it took.
    pub took: Duration,
}

impl ResolvedHooks {
    /// Finds every program, and says what of `environment` the commands will have.
    ///
    /// # Errors
    ///
    /// When a program is missing, or may not be run.
    pub fn find(
        settings: HookSettings,
        environment: &[(OsString, OsString)],
    ) -> Result<Self, HookError> {
        let HookSettings {
            commands,
            limit,
            shared,
        } = settings;
        let path = environment
            .iter()
            .find(|(name, _)| name == "PATH")
            .map(|(_, path)| path.as_os_str());
        let found = |written: CommandTemplate| Ok((program(&written.program, path)?, written));
        let commands = commands
            .into_iter()
            .map(found)
            .collect::<Result<Vec<_>, _>>()?;
        let shared: BTreeSet<OsString> = shared.into_iter().map(OsString::from).collect();
        let open = |(name, value): &&(OsString, OsString)| {
            shared.contains(name) || !is_secret(name, value)
        };
        Ok(Self {
            commands: commands
                .into_iter()
                .map(|(program, written)| (written, program))
                .collect(),
            limit,
            environment: environment.iter().filter(open).cloned().collect(),
        })
    }

    /// Whether there is any command.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }
}

impl Hooks {
    /// The commands for the collection of `site` in `directory`, which is a whole path.
    pub fn new(found: Arc<ResolvedHooks>, site: SiteId, directory: PathBuf) -> Self {
        Self {
            found,
            site,
            directory,
        }
    }

    /// Whether there is a command for this time.
    pub fn any(&self, when: Trigger) -> bool {
        self.found
            .commands
            .iter()
            .any(|(written, _)| written.when == when)
    }

    /// How long each command may take.
    pub fn limit(&self) -> Duration {
        self.found.limit
    }

    /// Runs the commands for an image, one after the other up to the first that does not succeed. `cancel` ends
    /// the one that runs.
    pub async fn image(&self, picture: &HookImage, cancel: &CancellationToken) -> Vec<HookResult> {
        let HookImage {
            key,
            name,
            content,
            page,
            title,
        } = picture;
        let Content {
            bytes,
            hash,
            format,
            width,
            height,
        } = content;
        let text = |text: &Option<String>| sanitize(text.as_deref().unwrap_or_default());
        let facts = vec![
            (
                "path",
                self.directory.join(name.to_string()).into_os_string(),
            ),
            ("name", name.to_string().into()),
            ("directory", self.directory.clone().into_os_string()),
            ("site", self.site.as_str().into()),
            ("address", sanitize(key.address())),
            ("page", text(page)),
            ("title", text(title)),
            ("format", format.to_string().into()),
            ("width", width.to_string().into()),
            ("height", height.to_string().into()),
            ("bytes", bytes.to_string().into()),
            ("hash", hash.to_string().into()),
        ];
        self.run(Trigger::Image, &facts, cancel).await
    }

    /// Runs the commands for the end of a run that saved so many images; as [`Hooks::image`].
    pub async fn end(&self, saved: u64, cancel: &CancellationToken) -> Vec<HookResult> {
        let facts = vec![
            ("directory", self.directory.clone().into_os_string()),
            ("site", self.site.as_str().into()),
            ("saved", saved.to_string().into()),
        ];
        self.run(Trigger::End, &facts, cancel).await
    }

    async fn run(
        &self,
        when: Trigger,
        facts: &Variables,
        cancel: &CancellationToken,
    ) -> Vec<HookResult> {
        let mut all = Vec::new();
        for (written, program) in self
            .found
            .commands
            .iter()
            .filter(|(written, _)| written.when == when)
        {
            let mut command = Command::new(program);
            command
                .args(written.arguments(facts))
                .env_clear()
                .envs(self.found.environment.iter().cloned());
            command.envs(
                facts
                    .iter()
                    .map(|(name, value)| (format!("WALLHAUL_{}", name.to_uppercase()), value)),
            );
            let start = Instant::now();
            let (end, output) = process::run(command, self.found.limit, cancel).await;
            let succeeded = end == End::Done;
            let output = String::from_utf8_lossy(&output).into_owned();
            all.push(HookResult {
                command: written.text.clone(),
                end,
                output,
                took: start.elapsed(),
            });
            if !succeeded {
                break;
            }
        }
        all
    }
}

/// The longest text of a site's that a command is given: the system takes no argument without end.
const LONGEST_TEXT: usize = 4096;

/// A site's text, as an argument can hold it.
fn sanitize(text: &str) -> OsString {
    let end = text
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= LONGEST_TEXT)
        .last();
    text[..end.unwrap_or(0)].replace('\0', "\u{fffd}").into()
}

/// Where the program lies that is called `name`: a path, or looked for on `path`.
fn program(name: &str, path: Option<&OsStr>) -> Result<PathBuf, HookError> {
    let missing = || HookError::Missing(name.to_owned());
    let whole = |path: &Path| std::path::absolute(path).map_err(|_| missing());
    let is_there = |path: &Path| fs::metadata(path).is_ok_and(|found| found.is_file());
    let can_be_run = |path: &Path| access(path, Access::EXEC_OK).is_ok();
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![PathBuf::from(name)]
    } else {
        let folders = std::env::split_paths(path.unwrap_or_default());
        folders
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(name))
            .collect()
    };
    let mut there = candidates
        .into_iter()
        .filter(|path| is_there(path))
        .peekable();
    let first = there.peek().cloned();
    match (there.find(|path| can_be_run(path)), first) {
        (Some(program), _) => whole(&program),
        (None, Some(first)) => Err(HookError::NotExecutable(first)),
        (None, None) => Err(missing()),
    }
}

/// What variables of secrets are called, in capitals: a word of their name.
const SECRET_WORDS: [&str; 9] = [
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "CREDENTIALS",
    "APIKEY",
    "KEY",
];

/// Whether a command does not need to know: what this program itself is told by (headers among it), what is called
/// a secret, and addresses with a password, as those of proxies.
fn is_secret(name: &OsStr, value: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    let called =
        name.starts_with("WALLHAUL_") || name.split('_').any(|word| SECRET_WORDS.contains(&word));
    called || (name.ends_with("_PROXY") && value.as_bytes().contains(&b'@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_kept_back() {
        let kept = [
            ("WALLHAUL_HEADER", "Authorization: Bearer x"),
            ("GITHUB_TOKEN", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("https_proxy", "http://me:secret@proxy.example:3128"),
            ("ALL_PROXY", "socks5://me@proxy.example"),
            ("Db_Password", "x"),
        ];
        let given = [
            ("PATH", "/bin"),
            ("HTTPS_PROXY", "http://proxy.example:3128"),
            ("KEYBOARD", "us"),
            ("XDG_SESSION_ID", "3"),
            ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/user/1000/bus"),
        ];
        for (name, value) in kept {
            assert!(is_secret(OsStr::new(name), OsStr::new(value)), "{name}");
        }
        for (name, value) in given {
            assert!(!is_secret(OsStr::new(name), OsStr::new(value)), "{name}");
        }
    }

    #[test]
    fn a_text_without_end_is_cut_between_letters() {
        assert_eq!(sanitize("a\0b"), OsString::from("a\u{fffd}b"));
        let long = "\u{e9}".repeat(LONGEST_TEXT);
        assert_eq!(sanitize(&format!("a{long}")).len(), LONGEST_TEXT - 1);
    }
}
