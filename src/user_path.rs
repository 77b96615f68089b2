//! Paths as users write them where no shell reads them: `~` and `$HOME` at the head stand for the home folder. And the
//! files at such paths.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use thiserror::Error;

/// A path whose head cannot be replaced. A folder of that very name is never meant, so nothing is created.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UserPathError {
    /// `~name`: the home of another user.
    #[error(
        "`{0}` is another user's home, which is not looked up here: write the whole path, or `./{0}` for a folder of that name"
    )]
    OtherUser(String),
    /// A variable other than `$HOME`.
    #[error(
        "only `~` and `$HOME` are replaced at the head of a path, `{0}` is not: write the whole path, or `./{0}` for a folder of that name"
    )]
    Variable(String),
    /// There is no home folder.
    #[error("`{0}` needs the variable HOME, which is not set to an absolute path")]
    NoHome(String),
}

/// Replaces `~`, `$HOME` and `${HOME}` at the head of a path by `home`, the variable's value. A relative path that
/// really begins like this is written `./~`.
///
/// # Errors
///
/// When the head is another user's home or another variable, or there is no absolute `home` to put in its place.
pub fn expand(written: &OsStr, home: Option<&OsStr>) -> Result<PathBuf, UserPathError> {
    let bytes = written.as_bytes();
    let length = bytes
        .iter()
        .position(|&byte| byte == b'/')
        .unwrap_or(bytes.len());
    let (head, tail) = bytes.split_at(length);
    let shown = || String::from_utf8_lossy(head).into_owned();
    match head {
        b"~" | b"$HOME" | b"${HOME}" => {
            let home = home.map(Path::new).filter(|home| home.is_absolute());
            let mut path = home
                .ok_or_else(|| UserPathError::NoHome(shown()))?
                .as_os_str()
                .to_owned();
            path.push(OsStr::from_bytes(tail));
            Ok(path.into())
        }
        [b'~', ..] => Err(UserPathError::OtherUser(shown())),
        [b'$', name @ ..] if is_variable(name) => Err(UserPathError::Variable(shown())),
        _ => Ok(written.into()),
    }
}

/// The same with the `HOME` of this process. Read here and not handed down, because the parsers of options get
/// nothing but the text; the variables of the options are read by them as well.
///
/// # Errors
///
/// As [`expand`].
pub fn expand_here(written: &OsStr) -> Result<PathBuf, UserPathError> {
    let home: Option<OsString> = std::env::var_os("HOME");
    expand(written, home.as_deref())
}

/// Opens a file that the user names, to read it whole. It is a regular file, or a pipe that this process got
/// (`/dev/stdin`, `<(command)`): to open or read another pipe or a device may take for ever, and no signal ends it.
///
/// # Errors
///
/// When it cannot be opened, or is anything else.
pub fn open(path: &Path) -> io::Result<File> {
    let is_own = ["/dev/stdin", "/dev/fd", "/proc/self/fd"]
        .iter()
        .any(|own| path.starts_with(own));
    // An empty file, as users write it.
    let is_empty = path == Path::new("/dev/null");
    let check = |found: &fs::Metadata| {
        let is_pipe = found.file_type().is_fifo();
        if found.is_file() || is_empty || (is_own && is_pipe) {
            return Ok(is_pipe);
        }
        Err(io::Error::other("it is not a regular file"))
    };
    // Before it is opened, for that can have effects, and after, for it may be another one by then.
    check(&fs::metadata(path)?)?;
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if check(&file.metadata()?)? {
        fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    }
    Ok(file)
}

/// Whether this, behind a `$`, is the name of a variable, with or without braces.
fn is_variable(name: &[u8]) -> bool {
    let name = match name {
        [b'{', inner @ .., b'}'] => inner,
        bare => bare,
    };
    name.first()
        .is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(written: &str) -> Result<PathBuf, UserPathError> {
        expand(OsStr::new(written), Some(OsStr::new("/home/a b")))
    }

    #[test]
    fn tilde_and_home_variable_at_the_head_of_a_path_are_the_home_folder() {
        for (written, path) in [
            ("~", "/home/a b"),
            ("~/", "/home/a b/"),
            ("~/Pictures/~x", "/home/a b/Pictures/~x"),
            ("$HOME", "/home/a b"),
            ("$HOME/W", "/home/a b/W"),
            ("${HOME}/W", "/home/a b/W"),
            ("./~/x", "./~/x"),
            ("x/~/y", "x/~/y"),
            ("/~/$HOME", "/~/$HOME"),
            ("a~", "a~"),
            ("$", "$"),
            ("$5 bills", "$5 bills"),
            ("s3://~/x", "s3://~/x"),
            ("", ""),
            ("-", "-"),
        ] {
            assert_eq!(expanded(written), Ok(path.into()), "{written}");
        }
    }

    #[test]
    fn another_users_home_or_another_variable_at_the_head_of_a_path_is_refused() {
        for user in ["~bob", "~+", "~bob/x"] {
            let error = expanded(user).unwrap_err();
            assert!(matches!(error, UserPathError::OtherUser(_)), "{user}");
        }
        for variable in ["$XDG_PICTURES_DIR/x", "${USER}", "$HOMES/x"] {
            let error = expanded(variable).unwrap_err();
            assert!(matches!(error, UserPathError::Variable(_)), "{variable}");
        }
    }

    #[test]
    fn tilde_without_an_absolute_home_is_an_error() {
        for home in [None, Some(""), Some("relative")] {
            let error = expand(OsStr::new("~/x"), home.map(OsStr::new)).unwrap_err();
            assert_eq!(error, UserPathError::NoHome("~".to_owned()));
        }
        assert_eq!(expand(OsStr::new("x"), None), Ok("x".into()));
    }

    #[test]
    fn a_path_that_is_not_utf_8_stays_as_it_is_behind_the_home_folder() {
        let path = expand(OsStr::from_bytes(b"~/\xff"), Some(OsStr::new("/h"))).unwrap();
        assert_eq!(path.as_os_str().as_bytes(), b"/h/\xff");
    }
}
