//! A command as the user wrote it: split into arguments once, as a shell would and by none; what an image brings
//! fills them and never splits them again.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::str::FromStr;

/// When a command is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// For each image that was saved, once it has its name and is written down.
    Image,
    /// Once, behind the last image and its commands, if any image was saved.
    End,
}

/// What a command may ask for by `{name}`, and finds in its environment; the first one also by `{}`.
type Values = &'static [&'static str];

/// Of an image.
const OF_IMAGE: Values = &[
    "path",
    "name",
    "directory",
    "site",
    "address",
    "page",
    "title",
    "format",
    "width",
    "height",
    "bytes",
    "hash",
];

/// Of a run.
const OF_RUN: Values = &["directory", "site", "saved"];

impl Trigger {
    fn values(self) -> Values {
        match self {
            Self::Image => OF_IMAGE,
            Self::End => OF_RUN,
        }
    }
}

/// What a command is told, by the names it may ask for.
pub(super) type Variables = Vec<(&'static str, OsString)>;

/// A command that can be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandTemplate {
    /// When it is run.
    pub when: Trigger,
    /// All of it but the time, as it was written.
    pub text: String,
    /// The program's name or path.
    pub(super) program: String,
    arguments: Vec<Vec<Piece>>,
}

/// A piece of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(&'static str),
}

impl FromStr for CommandTemplate {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let (when, text) = match written.split_once(':') {
            Some(("image", text)) => (Trigger::Image, text),
            Some(("end", text)) => (Trigger::End, text),
            _ => (Trigger::Image, written),
        };
        let text = text.trim().to_owned();
        if text.contains('\0') {
            return Err("no command can hold a NUL".to_owned());
        }
        let mut words = shlex::split(&text)
            .ok_or("a quote in it does not end")?
            .into_iter();
        let program = words
            .next()
            .filter(|program| !program.is_empty())
            .ok_or("it names no program")?;
        if pieces(&program, when).is_none_or(|pieces| pieces.iter().any(Piece::is_value)) {
            return Err(
                "its first word is the program, which cannot come from what is fetched".to_owned(),
            );
        }
        let filled = |word: String| pieces(&word, when).ok_or_else(|| unknown(&word, when));
        let mut arguments = words.map(filled).collect::<Result<Vec<_>, _>>()?;
        // As everybody's `--exec` does; what is done at the end of a run is not done to a file.
        if when == Trigger::Image && !arguments.iter().flatten().any(Piece::is_value) {
            arguments.push(vec![Piece::Value(OF_IMAGE[0])]);
        }
        Ok(Self {
            when,
            text,
            program,
            arguments,
        })
    }
}

impl CommandTemplate {
    /// The arguments for these facts: as many as were written, whatever the facts hold.
    pub(super) fn arguments(&self, facts: &Variables) -> Vec<OsString> {
        self.arguments
            .iter()
            .map(|pieces| fill(pieces, facts))
            .collect()
    }
}

fn fill(pieces: &[Piece], facts: &Variables) -> OsString {
    let mut argument = OsString::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => argument.push(text),
            Piece::Value(value) => {
                let known = facts.iter().find(|(name, _)| name == value);
                let known = known.map_or_else(|| OsStr::new(""), |(_, known)| known);
                // What a site wrote must not become an option.
                if argument.is_empty() && known.as_bytes().starts_with(b"-") {
                    argument.push(" ");
                }
                argument.push(known);
            }
        }
    }
    argument
}

/// The pieces of a word; `None` where it asks for what there is not. `{{name}}` stands for `{name}` itself, and
/// other braces for themselves.
fn pieces(word: &str, when: Trigger) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let (mut text, mut rest) = (String::new(), word);
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((name, behind)) = name_in(rest, "{{", "}}") {
            text.extend(["{", name, "}"]);
            rest = behind;
        } else if let Some((name, behind)) = name_in(rest, "{", "}") {
            let value = when
                .values()
                .iter()
                .find(|value| name.is_empty() || **value == name)?;
            pieces.extend((!text.is_empty()).then(|| Piece::Text(std::mem::take(&mut text))));
            pieces.push(Piece::Value(value));
            rest = behind;
        } else {
            text.push('{');
            rest = &rest[1..];
        }
    }
    text.push_str(rest);
    pieces.extend((!text.is_empty()).then_some(Piece::Text(text)));
    Some(pieces)
}

/// The name that `rest` starts with, between these braces, and what follows.
fn name_in<'a>(rest: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    let (name, behind) = rest.strip_prefix(open)?.split_once(close)?;
    name.chars()
        .all(|c| c.is_ascii_lowercase() || c == '_')
        .then_some((name, behind))
}

fn unknown(word: &str, when: Trigger) -> String {
    let values: Vec<_> = when
        .values()
        .iter()
        .map(|value| format!("{{{value}}}"))
        .collect();
    format!(
        "`{}` asks for what there is not: there are {}, and `{{{{word}}}}` stands for `{{word}}` itself",
        word.escape_debug(),
        values.join(" ")
    )
}

impl Piece {
    fn is_value(&self) -> bool {
        matches!(self, Self::Value(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(written: &str, title: &str) -> Vec<String> {
        let facts = vec![
            ("path", "/got/a b.png".into()),
            ("title", title.into()),
            ("saved", "3".into()),
        ];
        let command = written
            .parse::<CommandTemplate>()
            .unwrap_or_else(|error| panic!("{written}: {error}"));
        command
            .arguments(&facts)
            .into_iter()
            .map(|argument| argument.into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_command_is_split_once_and_filled_in_afterwards() {
        let cases: [(&str, &[&str]); 11] = [
            ("feh --bg-fill", &["--bg-fill", "/got/a b.png"]),
            ("image: feh {}", &["/got/a b.png"]),
            (
                "convert {path} {path}.jpg",
                &["/got/a b.png", "/got/a b.png.jpg"],
            ),
            (
                "tag '--title={title}' \"x\\\"y\"",
                &["--title=$(id) `id`; 'rm' -rf \"/\" *\n", "x\"y"],
            ),
            (
                "tag {title}{title}",
                &["$(id) `id`; 'rm' -rf \"/\" *\n$(id) `id`; 'rm' -rf \"/\" *\n"],
            ),
            ("awk '{ print }' {}", &["{ print }", "/got/a b.png"]),
            (
                "jq '{a: {b: 1}}' {{path}} {}",
                &["{a: {b: 1}}", "{path}", "/got/a b.png"],
            ),
            ("x {{}} {Path} {", &["{}", "{Path}", "{", "/got/a b.png"]),
            ("end:say {saved} 'new ones'", &["3", "new ones"]),
            ("end:sync", &[]),
            ("http:x y", &["y", "/got/a b.png"]),
        ];
        for (written, arguments) in cases {
            assert_eq!(
                filled(written, "$(id) `id`; 'rm' -rf \"/\" *\n"),
                arguments,
                "{written}"
            );
        }
    }

    #[test]
    fn what_a_site_wrote_is_never_an_option() {
        assert_eq!(
            filled("say {title} --title={title} -{title}", "--help"),
            [" --help", "--title=--help", "---help"]
        );
    }

    #[test]
    fn a_command_that_cannot_be_meant_is_refused() {
        let cases = [
            ("", "names no program"),
            ("image:", "names no program"),
            ("'' x", "names no program"),
            ("feh 'a", "a quote in it does not end"),
            ("{path} x", "its first word is the program"),
            ("./{title}", "its first word is the program"),
            (
                "feh {pth}",
                "`{pth}` asks for what there is not: there are {path} {name}",
            ),
            (
                "end:feh {path}",
                "there are {directory} {site} {saved}, and `{{word}}` stands",
            ),
            ("feh \0", "NUL"),
        ];
        for (written, told) in cases {
            let error = written.parse::<CommandTemplate>().unwrap_err();
            assert!(error.contains(told), "{written}: {error}");
        }
    }
}
