//! The secrets that a site's definition names: from variables of the environment, or from the files that they name.

use std::ffi::OsStr;
use std::io::Read as _;

use anyhow::{Context as _, bail};

use crate::config::Settings;
use crate::fetch::{Secret, Secrets};
use crate::site::{SecretSpec, Site};
use crate::user_path;

/// The most that is read of a file with a secret, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// The secrets of `site` that are there. The user's own definition may be somebody else's, and a secret is sent to the
/// hosts that it names; so it gets those variables alone that the user lets it have.
///
/// # Errors
///
/// When one that the site needs is missing, cannot be read, or is not allowed.
pub(super) fn secrets(site: &Site, is_own: bool, settings: &Settings) -> anyhow::Result<Secrets> {
    let mut secrets = Secrets::new();
    for spec in &site.requests().secrets {
        let SecretSpec {
            name,
            variable,
            optional,
            help,
        } = spec;
        let in_file = format!("{variable}_FILE");
        let value = settings.secrets.value(variable);
        let file = settings.secrets.value(&in_file);
        let is_allowed = !is_own || settings.secret_env.contains(variable);
        if value.or(file).is_some() && !is_allowed {
            bail!(
                "the definition of `{}` asks for the variable `{variable}`, to send it to {}; if it may have it, add \
                 `--secret-env {variable}`",
                site.id(),
                site.base().host_str().unwrap_or_default(),
            );
        }
        match read(variable, value, &in_file, file)? {
            Some(secret) => {
                secrets.insert(name.clone(), secret);
            }
            None if *optional => {}
            None => {
                let help = if help.is_empty() {
                    String::new()
                } else {
                    format!(" ({help})")
                };
                bail!(
                    "`{}` needs the secret `{name}`{help}: set the variable `{variable}` to it, or `{in_file}` to the \
                     path of a file with it",
                    site.id(),
                );
            }
        }
    }
    Ok(secrets)
}

fn read(
    variable: &str,
    value: Option<&OsStr>,
    in_file: &str,
    file: Option<&OsStr>,
) -> anyhow::Result<Option<Secret>> {
    let (text, place) = match (value, file) {
        (Some(value), _) => {
            let text = value.to_str();
            let text = text.with_context(|| format!("the variable `{variable}` is not UTF-8"))?;
            (text.to_owned(), variable)
        }
        (None, Some(path)) => {
            let reading = || {
                let path = path.to_string_lossy();
                format!("reading the file `{path}`, which the variable `{in_file}` names")
            };
            let mut text = String::new();
            user_path::open(&user_path::expand_here(path).with_context(reading)?)
                .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
                .with_context(reading)?;
            (text, in_file)
        }
        (None, None) => return Ok(None),
    };
    let secret = Secret::new(&text).with_context(|| {
        format!(
            "the secret in `{place}` is too short: it needs {} characters",
            Secret::MIN_BYTES
        )
    })?;
    Ok(Some(secret))
}
