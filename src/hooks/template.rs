//! A command as the user wrote it. It is split into arguments once, by a shell's rules but without a shell;
//! placeholders are filled in afterwards, so text from a site can never add or split an argument.

use std::ffi::{OsStr, OsString};
use std::iter;
use std::os::unix::ffi::OsStrExt as _;
use std::str::FromStr;

use super::shell_syntax::{begins_at_home, find_operator, raw_words};
use crate::user_path;

/// When a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// For each saved image, after it has its name and its ledger row.
    Image,
    /// Once, after the last image and its commands, if the run saved any image.
    End,
}

/// The placeholders a command may use as `{name}`; it also gets them as environment variables. `{}` means the first.
type VariableNames = &'static [&'static str];

const IMAGE_VARIABLES: VariableNames = &[
    "path",
    "name",
    "directory",
    "url",
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

const RUN_VARIABLES: VariableNames = &["directory", "url", "site", "saved"];

impl Trigger {
    fn names(self) -> VariableNames {
        match self {
            Self::Image => IMAGE_VARIABLES,
            Self::End => RUN_VARIABLES,
        }
    }
}

/// Placeholder names with their values.
pub(super) type Variables = Vec<(&'static str, OsString)>;

/// A parsed command with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandTemplate {
    /// When it runs.
    pub trigger: Trigger,
    /// The text the user wrote, without the trigger prefix.
    pub text: String,
    /// The program's name or path.
    pub(super) program: String,
    arguments: Vec<Vec<ArgumentPart>>,
}

/// A part of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ArgumentPart {
    Text(String),
    Value(&'static str),
}

impl FromStr for CommandTemplate {
    type Err = String;

    fn from_str(template: &str) -> Result<Self, String> {
        let (trigger, text) = match template.split_once(':') {
            Some(("image", text)) => (Trigger::Image, text),
            Some(("end", text)) => (Trigger::End, text),
            _ => (Trigger::Image, template),
        };
        let text = text.trim().to_owned();
        if text.contains('\0') {
            return Err("a command cannot contain a NUL byte".to_owned());
        }
        let words = shlex::split(&text).ok_or("unclosed quote")?;
        if let Some(operator) = find_operator(&text) {
            return Err(for_a_shell(operator));
        }
        // Only the words as they were written tell whether a `~` or `$HOME` is quoted.
        let raw = raw_words(&text).into_iter().chain(iter::repeat(""));
        let mut words = words.into_iter().zip(raw).map(in_home);
        let program = words
            .next()
            .transpose()?
            .filter(|program| !program.is_empty())
            .ok_or("no program given")?;
        if parts(&program, trigger).is_none_or(|parts| parts.iter().any(ArgumentPart::is_value)) {
            return Err(
                "the first word is the program and cannot contain a placeholder".to_owned(),
            );
        }
        let expanded = |word: String| parts(&word, trigger).ok_or_else(|| unknown(&word, trigger));
        let mut arguments = words
            .map(|word| word.and_then(expanded))
            .collect::<Result<Vec<_>, _>>()?;
        // Without a placeholder the path goes last, as with `--exec` of yt-dlp and `xargs`. An `end:` command has
        // no single file, so nothing is added.
        if trigger == Trigger::Image && !arguments.iter().flatten().any(ArgumentPart::is_value) {
            arguments.push(vec![ArgumentPart::Value(IMAGE_VARIABLES[0])]);
        }
        Ok(Self {
            trigger,
            text,
            program,
            arguments,
        })
    }
}

/// What only a collection in a folder has.
const OF_A_FOLDER: VariableNames = &["path", "directory"];

impl CommandTemplate {
    /// The first placeholder, if there is one, that only a collection in a folder can fill in.
    pub(super) fn folder_placeholder(&self) -> Option<&'static str> {
        self.arguments.iter().flatten().find_map(|part| match part {
            ArgumentPart::Value(value) if OF_A_FOLDER.contains(value) => Some(*value),
            ArgumentPart::Value(_) | ArgumentPart::Text(_) => None,
        })
    }

    /// The arguments with all placeholders filled in: always as many as the user wrote.
    pub(super) fn arguments(&self, variables: &Variables) -> Vec<OsString> {
        self.arguments
            .iter()
            .map(|parts| expand(parts, variables))
            .collect()
    }
}

/// Why a command with a shell's operator is refused, and how it is written.
fn for_a_shell(operator: &str) -> String {
    format!(
        "`{}` is for a shell, and no shell runs the command: write `sh -c '...' sh {{path}}`, with \"$1\" for the \
         path inside, or quote the word if the program is to get it",
        operator.escape_debug()
    )
}

/// `word`, written as `raw`, with the home folder in place of a `~` or `$HOME` at its head, which no shell replaces here.
/// `~user` is left alone, for a program may know what it means.
fn in_home((word, raw): (String, &str)) -> Result<String, String> {
    if !begins_at_home(raw) {
        return Ok(word);
    }
    let path = user_path::expand_here(OsStr::new(&word)).map_err(|error| error.to_string())?;
    path.into_os_string()
        .into_string()
        .map_err(|_| "the home folder's name is not UTF-8".to_owned())
}

fn expand(parts: &[ArgumentPart], variables: &Variables) -> OsString {
    let mut argument = OsString::new();
    for part in parts {
        match part {
            ArgumentPart::Text(text) => argument.push(text),
            ArgumentPart::Value(value) => {
                let known = variables.iter().find(|(name, _)| name == value);
                let known = known.map_or_else(|| OsStr::new(""), |(_, known)| known);
                // Text from a site must not become an option: a leading space keeps `-x` from being one.
                if argument.is_empty() && known.as_bytes().starts_with(b"-") {
                    argument.push(" ");
                }
                argument.push(known);
            }
        }
    }
    argument
}

/// Splits a word into text and placeholders; `None` for an unknown placeholder. `{{name}}` is a literal `{name}`;
/// any other brace is literal.
fn parts(word: &str, trigger: Trigger) -> Option<Vec<ArgumentPart>> {
    let mut parts = Vec::new();
    let (mut text, mut into_tail) = (String::new(), word);
    while let Some(at) = into_tail.find('{') {
        text.push_str(&into_tail[..at]);
        into_tail = &into_tail[at..];
        if let Some((name, behind)) = name_in(into_tail, "{{", "}}") {
            text.extend(["{", name, "}"]);
            into_tail = behind;
        } else if let Some((name, behind)) = name_in(into_tail, "{", "}") {
            let value = trigger
                .names()
                .iter()
                .find(|value| name.is_empty() || **value == name)?;
            parts.extend((!text.is_empty()).then(|| ArgumentPart::Text(std::mem::take(&mut text))));
            parts.push(ArgumentPart::Value(value));
            into_tail = behind;
        } else {
            text.push('{');
            into_tail = &into_tail[1..];
        }
    }
    text.push_str(into_tail);
    parts.extend((!text.is_empty()).then_some(ArgumentPart::Text(text)));
    Some(parts)
}

/// The name that `into_tail` starts with, between these braces, and what follows.
fn name_in<'a>(into_tail: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    let (name, behind) = into_tail.strip_prefix(open)?.split_once(close)?;
    name.chars()
        .all(|c| c.is_ascii_lowercase() || c == '_')
        .then_some((name, behind))
}

fn unknown(word: &str, trigger: Trigger) -> String {
    let names: Vec<_> = trigger
        .names()
        .iter()
        .map(|value| format!("{{{value}}}"))
        .collect();
    format!(
        "unknown placeholder in `{}`; known: {} (write `{{{{word}}}}` for a literal `{{word}}`)",
        word.escape_debug(),
        names.join(" ")
    )
}

impl ArgumentPart {
    fn is_value(&self) -> bool {
        matches!(self, Self::Value(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(template: &str, title: &str) -> Vec<String> {
        let variables = vec![
            ("path", "/got/a b.png".into()),
            ("title", title.into()),
            ("saved", "3".into()),
        ];
        let command = template
            .parse::<CommandTemplate>()
            .unwrap_or_else(|error| panic!("{template}: {error}"));
        command
            .arguments(&variables)
            .into_iter()
            .map(|argument| argument.into_string().unwrap())
            .collect()
    }

    #[test]
    fn exec_command_is_split_before_placeholders_are_filled_in() {
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
        for (template, arguments) in cases {
            assert_eq!(
                expanded(template, "$(id) `id`; 'rm' -rf \"/\" *\n"),
                arguments,
                "{template}"
            );
        }
    }

    #[test]
    fn exec_quoted_home_is_text_as_in_a_shell() {
        assert_eq!(
            expanded("say '$HOME/x' \\$HOME/x '~/x' \"~/x\" \\~/x {path}", ""),
            ["$HOME/x", "$HOME/x", "~/x", "~/x", "~/x", "/got/a b.png"]
        );
        let home = std::env::var("HOME").unwrap();
        let [first, second, third] = ["my x", "x", "y z"].map(|name| format!("{home}/{name}"));
        assert_eq!(
            expanded("~/say ~/my\\ x \"$HOME/x\" \"$HOME\"/'y z' {path}", ""),
            [&first, &second, &third, "/got/a b.png"]
        );
    }

    #[test]
    fn exec_text_from_a_site_is_never_an_option() {
        assert_eq!(
            expanded("say {title} --title={title} -{title}", "--help"),
            [" --help", "--title=--help", "---help"]
        );
    }

    #[test]
    fn exec_command_with_a_mistake_is_refused() {
        let cases = [
            ("", "no program given"),
            ("image:", "no program given"),
            ("'' x", "no program given"),
            ("feh 'a", "unclosed quote"),
            ("{path} x", "the first word is the program"),
            ("./{title}", "the first word is the program"),
            (
                "feh {pth}",
                "unknown placeholder in `{pth}`; known: {path} {name}",
            ),
            (
                "end:feh {path}",
                "known: {directory} {url} {site} {saved} (write `{{word}}`",
            ),
            ("feh \0", "NUL"),
            (
                "feh {path} && echo done",
                "`&&` is for a shell, and no shell runs the command: write `sh -c '...' sh {path}`",
            ),
            ("end:sync > log", "`>` is for a shell"),
        ];
        for (template, message) in cases {
            let error = template.parse::<CommandTemplate>().unwrap_err();
            assert!(error.contains(message), "{template}: {error}");
        }
    }
}
