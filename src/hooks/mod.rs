//! The user's commands (`--exec`): every program is found before anything is fetched; commands run without a
//! shell, each with a time limit, and the run waits for them.

mod process;
mod shell_syntax;
mod template;

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
use url::Url;

pub use process::End;
pub use template::{CommandTemplate, Trigger};

use crate::job::{ImageKey, ImageName, SiteId};
use crate::outcome::Content;
use template::Variables;

/// The options for commands, as the user gave them.
#[derive(Debug, Clone)]
pub struct HookSettings {
    /// The commands, in the order they are run.
    pub commands: Vec<CommandTemplate>,
    /// How long each of them may take.
    pub limit: Duration,
    /// Environment variables that commands may see although their names or values look like secrets.
    pub shared: Vec<String>,
}

/// Why a command cannot run.
#[derive(Debug, Error)]
pub enum HookError {
    /// No such program.
    #[error("--exec: program not found: `{}`; give its path, or add its folder to PATH", .0.escape_debug())]
    Missing(String),
    /// A file of that name exists but may not be executed.
    #[error("--exec: `{}` is not executable; run `chmod +x` on it", .0.display())]
    NotExecutable(PathBuf),
    /// A command wants a path, and the collection is in no folder.
    #[error(
        "--exec: `{command}` is given {{{placeholder}}}, which only a collection in a folder has{implied}: write {{url}} or {{name}} instead",
        implied = if *.placeholder == "path" { " (a command without a placeholder is given {path}, too)" } else { "" }
    )]
    NeedsFolder {
        /// As the user wrote it.
        command: String,
        /// What it is given.
        placeholder: &'static str,
    },
}

/// Where the images are that commands run for.
#[derive(Debug, Clone)]
pub enum HookPlace {
    /// In a folder: an absolute path.
    Folder(PathBuf),
    /// In an object store: a URL as the user wrote it.
    Url(String),
}

impl HookPlace {
    /// The variables for the image of this name, or for the collection itself.
    fn variables(&self, name: Option<&ImageName>) -> Variables {
        match self {
            Self::Folder(folder) => {
                let path = name.map(|name| folder.join(name.as_str()));
                // A folder's URL ends with a slash. An absolute path always has one.
                let url = match &path {
                    Some(path) => Url::from_file_path(path),
                    None => Url::from_directory_path(folder),
                };
                let url = url.map(String::from).unwrap_or_default();
                let path = path.map(|path| ("path", path.into_os_string()));
                let directory = ("directory", folder.clone().into_os_string());
                path.into_iter()
                    .chain([directory, ("url", url.into())])
                    .collect()
            }
            Self::Url(url) => {
                let url = url.strip_suffix('/').unwrap_or(url);
                // An object's key is written as it is, not escaped: so programs of these stores read it.
                let name = name.map_or_else(String::new, ToString::to_string);
                vec![("url", format!("{url}/{name}").into())]
            }
        }
    }
}

/// The user's commands for one collection.
#[derive(Debug, Clone)]
pub struct Hooks {
    resolved: Arc<ResolvedHooks>,
    site: SiteId,
    place: HookPlace,
}

/// The user's commands, each with the path of its program, and the environment they get.
#[derive(Debug)]
pub struct ResolvedHooks {
    commands: Vec<(CommandTemplate, PathBuf)>,
    limit: Duration,
    environment: Vec<(OsString, OsString)>,
}

/// A saved image that commands run for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookImage {
    /// Its key in the ledger.
    pub key: ImageKey,
    /// The address that its bytes came from.
    pub address: String,
    /// Its file's name.
    pub name: ImageName,
    /// Size, hash, format and dimensions of the file.
    pub content: Content,
    /// The listing page that showed it.
    pub page: Option<String>,
    /// Its title on that page: untrusted text.
    pub title: Option<String>,
}

/// The result of one command.
#[derive(Debug)]
pub struct HookResult {
    /// The command as the user wrote it.
    pub command: String,
    /// How it ended.
    pub end: End,
    /// The end of its output, both streams: untrusted text.
    pub output: String,
    /// How long it took.
    pub took: Duration,
}

impl ResolvedHooks {
    /// Finds every program, and drops from `environment` what looks like a secret and the variables named `secrets`.
    ///
    /// # Errors
    ///
    /// When a program is missing or not executable.
    pub fn find(
        settings: HookSettings,
        environment: &[(OsString, OsString)],
        secrets: &BTreeSet<OsString>,
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
        let resolved =
            |template: CommandTemplate| Ok((program(&template.program, path)?, template));
        let commands = commands
            .into_iter()
            .map(resolved)
            .collect::<Result<Vec<_>, _>>()?;
        let shared: BTreeSet<OsString> = shared.into_iter().map(OsString::from).collect();
        let allowed = |(name, value): &&(OsString, OsString)| {
            let is_hidden = secrets.contains(name) || is_secret(name, value);
            shared.contains(name) || !is_hidden
        };
        Ok(Self {
            commands: commands
                .into_iter()
                .map(|(program, template)| (template, program))
                .collect(),
            limit,
            environment: environment.iter().filter(allowed).cloned().collect(),
        })
    }

    /// Refuses commands that are given what only a collection in a folder has.
    ///
    /// # Errors
    ///
    /// When there is one.
    pub fn check_without_folder(&self) -> Result<(), HookError> {
        let mut templates = self.commands.iter().map(|(template, _)| template);
        let found = templates.find_map(|template| {
            let placeholder = template.folder_placeholder()?;
            let command = template.text.escape_debug().to_string();
            Some(HookError::NeedsFolder {
                command,
                placeholder,
            })
        });
        found.map_or(Ok(()), Err)
    }

    /// Whether the user gave no command.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }
}

impl Hooks {
    /// The commands for the collection of `site` in `place`.
    pub fn new(resolved: Arc<ResolvedHooks>, site: SiteId, place: HookPlace) -> Self {
        Self {
            resolved,
            site,
            place,
        }
    }

    /// Whether any command has this trigger.
    pub fn any(&self, trigger: Trigger) -> bool {
        self.resolved
            .commands
            .iter()
            .any(|(template, _)| template.trigger == trigger)
    }

    /// How long each command may take.
    pub fn limit(&self) -> Duration {
        self.resolved.limit
    }

    /// Runs the commands for an image in order and stops at the first that fails. `cancel` ends the running one.
    pub async fn image(&self, image: &HookImage, cancel: &CancellationToken) -> Vec<HookResult> {
        let HookImage {
            key: _,
            address,
            name,
            content,
            page,
            title,
        } = image;
        let Content {
            bytes,
            hash,
            format,
            width,
            height,
            stored: _,
            warning: _,
        } = content;
        let text = |text: &Option<String>| sanitize(text.as_deref().unwrap_or_default());
        let mut variables = self.place.variables(Some(name));
        variables.extend([
            ("name", name.to_string().into()),
            ("site", self.site.as_str().into()),
            ("address", sanitize(address)),
            ("page", text(page)),
            ("title", text(title)),
            ("format", format.to_string().into()),
            ("width", width.to_string().into()),
            ("height", height.to_string().into()),
            ("bytes", bytes.to_string().into()),
            ("hash", hash.to_string().into()),
        ]);
        self.run(Trigger::Image, &variables, cancel).await
    }

    /// Runs the commands for the end of a run that saved `saved` images; otherwise like [`Hooks::image`].
    pub async fn end(&self, saved: u64, cancel: &CancellationToken) -> Vec<HookResult> {
        let mut variables = self.place.variables(None);
        variables.extend([
            ("site", self.site.as_str().into()),
            ("saved", saved.to_string().into()),
        ]);
        self.run(Trigger::End, &variables, cancel).await
    }

    async fn run(
        &self,
        trigger: Trigger,
        variables: &Variables,
        cancel: &CancellationToken,
    ) -> Vec<HookResult> {
        let mut all = Vec::new();
        for (template, program) in self
            .resolved
            .commands
            .iter()
            .filter(|(template, _)| template.trigger == trigger)
        {
            let mut command = Command::new(program);
            command
                .args(template.arguments(variables))
                .env_clear()
                .envs(self.resolved.environment.iter().cloned());
            command.envs(
                variables
                    .iter()
                    .map(|(name, value)| (format!("WALLHAUL_{}", name.to_uppercase()), value)),
            );
            let start = Instant::now();
            let (end, output) = process::run(command, self.resolved.limit, cancel).await;
            let succeeded = end == End::Done;
            let output = String::from_utf8_lossy(&output).into_owned();
            all.push(HookResult {
                command: template.text.clone(),
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

/// The longest text from a site that a command gets, in bytes: the kernel limits the length of arguments (128 KiB
/// each on Linux), and a title beyond this is no title.
const MAX_TEXT_BYTES: usize = 4096;

/// Makes text from a site fit for an argument: cut at a character boundary, NUL replaced.
fn sanitize(text: &str) -> OsString {
    let end = text
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= MAX_TEXT_BYTES)
        .last();
    text[..end.unwrap_or(0)].replace('\0', "\u{fffd}").into()
}

/// The path of the program `name`: used as it is when it has a slash, else searched for on `path`.
fn program(name: &str, path: Option<&OsStr>) -> Result<PathBuf, HookError> {
    let missing = || HookError::Missing(name.to_owned());
    let absolute = |path: &Path| std::path::absolute(path).map_err(|_| missing());
    let is_file = |path: &Path| fs::metadata(path).is_ok_and(|resolved| resolved.is_file());
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
    let mut existing = candidates
        .into_iter()
        .filter(|path| is_file(path))
        .peekable();
    let first = existing.peek().cloned();
    match (existing.find(|path| can_be_run(path)), first) {
        (Some(program), _) => absolute(&program),
        (None, Some(first)) => Err(HookError::NotExecutable(first)),
        (None, None) => Err(missing()),
    }
}

/// Words that mark a variable as a secret when its upper-case name contains one between underscores.
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

/// Whether a variable stays hidden from commands: our own variables (they may hold headers), names that mark a
/// secret, and proxy addresses that hold a password.
fn is_secret(name: &OsStr, value: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    let named =
        name.starts_with("WALLHAUL_") || name.split('_').any(|word| SECRET_WORDS.contains(&word));
    named || (name.ends_with("_PROXY") && value.as_bytes().contains(&b'@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_env_hides_variables_that_look_like_secrets() {
        let tail = [
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
        for (name, value) in tail {
            assert!(is_secret(OsStr::new(name), OsStr::new(value)), "{name}");
        }
        for (name, value) in given {
            assert!(!is_secret(OsStr::new(name), OsStr::new(value)), "{name}");
        }
    }

    #[test]
    fn exec_text_from_a_site_is_cut_at_a_character_boundary() {
        assert_eq!(sanitize("a\0b"), OsString::from("a\u{fffd}b"));
        let long = "\u{e9}".repeat(MAX_TEXT_BYTES);
        assert_eq!(sanitize(&format!("a{long}")).len(), MAX_TEXT_BYTES - 1);
    }
}
