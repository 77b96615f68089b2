//! `wallhaul sites show`: a definition's text, and what it says about itself.

use std::ffi::OsString;
use std::fmt::Write as _;

use crate::app::console::{print, print_note};
use crate::app::environment::Environment;
use crate::app::targets::{Definition, DefinitionPlace, Definitions};
use crate::config::{Options, Settings};
use crate::exit::Exit;
use crate::report::escape;
use crate::site::DefinitionFacts;

/// Prints a site's definition, and on stderr what there is to know before it is used. With `facts_only`, the facts are
/// printed and the definition is not.
///
/// # Errors
///
/// When there is no such site, or standard output cannot be written to.
pub fn show_site(name: &str, facts_only: bool, environment: &Environment) -> anyhow::Result<Exit> {
    let settings = Settings::new(Options::default(), environment.stderr, environment.clock);
    let definitions = Definitions::new(environment, &settings);
    let definition = definitions.find_or_read(name)?;
    let facts = facts(&definition, &environment.variables);
    if facts_only {
        return print(facts.as_bytes());
    }
    // A file gets the definition as it is, a terminal nothing that could command it.
    let exit = if environment.stdout_is_terminal {
        print(for_terminal(&definition.text).as_bytes())?
    } else {
        print(definition.text.as_bytes())?
    };
    if !facts.is_empty() {
        print_note(facts.trim_end());
    }
    Ok(exit)
}

/// The text with its lines and tabs, and everything else escaped that a terminal would not show as it is.
fn for_terminal(text: &str) -> String {
    let line = |line: &str| {
        let cells: Vec<_> = line.split('\t').map(escape).collect();
        cells.join("\t") + "\n"
    };
    text.lines().map(line).collect()
}

/// The facts, one a line; empty for a site that ships and needs nothing.
fn facts(definition: &Definition, environment: &[(OsString, OsString)]) -> String {
    let facts = DefinitionFacts::from_toml(&definition.text);
    let mut text = String::new();
    let mut fact = |head: &str, rest: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{head}: {}", escape(rest));
    };
    match &definition.place {
        DefinitionPlace::Shipped => {}
        DefinitionPlace::Own(path) => fact("file", &path.display().to_string()),
        DefinitionPlace::Overrides(path) => {
            let path = path.display();
            fact("file", &format!("{path}, in place of the one that ships"));
        }
    }
    if let Some(why) = &facts.opt_in {
        fact(
            "opt-in",
            &format!("off until --opt-in {}: {why}", facts.name),
        );
    }
    if let Some(what) = &facts.inferred {
        fact("inferred", what);
    }
    for (name, secret) in &facts.secrets {
        let kind = if secret.optional {
            "optional secret"
        } else {
            "secret"
        };
        let is_set = if is_set(&secret.variable, environment) {
            "set"
        } else {
            "not set"
        };
        let mut rest = format!("{}, {is_set}", secret.variable);
        if let Some(help) = &secret.help {
            rest += &format!(" ({help})");
        }
        fact(&format!("{kind} {}", escape(name)), &rest);
    }
    for (name, variable) in &facts.variables {
        let mut rest = match &variable.default {
            Some(default) => format!("-V {name}={default}"),
            None => format!("-V {name}=..., must be given"),
        };
        if !variable.values.is_empty() {
            rest += &format!("; one of {}", variable.values.join(", "));
        }
        if let Some(help) = &variable.help {
            rest += &format!(" ({help})");
        }
        fact("variable", &rest);
    }
    text
}

/// Whether a secret's variable is set, or the one that names a file with it. Its value is not looked at.
fn is_set(variable: &str, environment: &[(OsString, OsString)]) -> bool {
    let file = format!("{variable}_FILE");
    environment
        .iter()
        .any(|(name, value)| (name == variable || *name == *file) && !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[site]
name = "one"
opt_in = "its terms forbid it"
inferred = "the paging\nand more"
[variables]
query = { values = ["a", "b"], help = "what to search for" }
[secrets]
key = { variable = "ONE_KEY" }
other = { variable = "ONE_OTHER", optional = true, help = "from one.invalid" }
"#;

    #[test]
    fn facts_say_which_secrets_are_set_and_never_their_values() {
        let definition = Definition {
            text: TEXT.to_owned(),
            place: DefinitionPlace::Own("dir/one.toml".into()),
        };
        let variables = [
            ("ONE_KEY_FILE".into(), "/hidden".into()),
            ("ONE_OTHER".into(), OsString::new()),
        ];
        insta::assert_snapshot!(facts(&definition, &variables), @r"
        file: dir/one.toml
        opt-in: off until --opt-in one: its terms forbid it
        inferred: the paging\nand more
        secret key: ONE_KEY, set
        optional secret other: ONE_OTHER, not set (from one.invalid)
        variable: -V query=..., must be given; one of a, b (what to search for)
        ");
    }

    #[test]
    fn a_terminal_is_shown_nothing_that_could_command_it() {
        let text = "name = \"a\"\t# b\n# \u{202e}x\u{9b}31m\u{200b}";
        let expected = "name = \"a\"\t# b\n# \\u{202e}x\\u{9b}31m\\u{200b}\n";
        assert_eq!(for_terminal(text), expected);
    }
}
