//! `wallhaul sites list`: every definition that can be named.

use std::fmt::Write as _;

use serde::Serialize;

use crate::app::console::{print, print_error};
use crate::app::environment::Environment;
use crate::app::targets::{Definition, DefinitionPlace, Definitions};
use crate::config::{Options, Settings};
use crate::exit::Exit;
use crate::report::{escape, object};
use crate::site::DefinitionFacts;

/// A definition as `--json` prints it.
#[derive(Serialize)]
struct ListedSite<'a> {
    name: &'a str,
    base: &'a str,
    description: &'a str,
    from: &'static str,
    file: Option<String>,
    needs_opt_in: bool,
    needs_secret: bool,
    inferred: Option<&'a str>,
}

/// Prints every site, one a line. Definitions that are broken are reported on stderr.
///
/// # Errors
///
/// When the user's folder or a file in it cannot be read, or standard output cannot be written to.
pub fn list_sites(json: bool, environment: &Environment) -> anyhow::Result<Exit> {
    let settings = Settings::new(Options::default(), environment.stderr, environment.clock);
    let definitions = Definitions::new(environment, &settings);
    let mut lines = String::new();
    let mut exit = Exit::Done;
    for name in definitions.names()? {
        let found = definitions.find(&name).and_then(|found| {
            // That those that ship compile is known from the tests; compiling them took 10 of 14 ms.
            if found.place != DefinitionPlace::Shipped {
                definitions.compile_to_show(&found)?;
            }
            Ok(found)
        });
        match found {
            Ok(definition) => {
                let facts = DefinitionFacts::from_toml(&definition.text);
                lines += &if json {
                    object(listed(&name, &definition.place, &facts))? + "\n"
                } else {
                    line(&name, &definition, &facts)
                };
            }
            Err(error) => exit = exit.max_severity(print_error(&error)),
        }
    }
    print(lines.as_bytes())?;
    Ok(exit)
}

fn listed<'a>(
    name: &'a str,
    place: &DefinitionPlace,
    facts: &'a DefinitionFacts,
) -> ListedSite<'a> {
    ListedSite {
        name,
        base: &facts.base,
        description: &facts.description,
        from: match place {
            DefinitionPlace::Shipped => "shipped",
            DefinitionPlace::Own(_) => "own",
            DefinitionPlace::Overrides(_) => "overrides",
        },
        file: place.path().map(|path| path.display().to_string()),
        needs_opt_in: facts.opt_in.is_some(),
        needs_secret: facts.needs_secret(),
        inferred: facts.inferred.as_deref(),
    }
}

fn line(name: &str, definition: &Definition, facts: &DefinitionFacts) -> String {
    let mut notes = Vec::new();
    match &definition.place {
        DefinitionPlace::Shipped => {}
        DefinitionPlace::Own(_) => notes.push("your own".to_owned()),
        DefinitionPlace::Overrides(_) => {
            notes.push("your own, in place of the one that ships".to_owned());
        }
    }
    if facts.opt_in.is_some() {
        notes.push(format!("needs --opt-in {name}"));
    }
    let secrets = facts.secrets.values().filter(|secret| !secret.optional);
    notes.extend(secrets.map(|secret| format!("needs {}", secret.variable)));
    if facts.inferred.is_some() {
        notes.push("partly inferred".to_owned());
    }
    let mut text = format!(
        "{name:<16} {:<32} {}",
        escape(&facts.base),
        escape(&facts.description)
    );
    if !notes.is_empty() {
        let gap = if facts.description.is_empty() {
            ""
        } else {
            " "
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "{gap}({})", escape(&notes.join("; ")));
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}
