//! What a definition says about itself: facts for people who choose a site, read without compiling it.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// What a definition says about itself. A definition that does not compile has facts too, as far as they can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefinitionFacts {
    /// Its name.
    pub name: String,
    /// One line for people; may be empty.
    pub description: String,
    /// The address that its pages' addresses are relative to.
    pub base: String,
    /// What in it was concluded and never seen.
    pub inferred: Option<String>,
    /// Why it is off until the user says `--opt-in`.
    pub opt_in: Option<String>,
    /// Its variables, by name.
    pub variables: BTreeMap<String, VariableFacts>,
    /// Its secrets, by name.
    pub secrets: BTreeMap<String, SecretFacts>,
}

/// A variable of a definition, which the user sets with `-V`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VariableFacts {
    /// Its value where the user gives none.
    pub default: Option<String>,
    /// The values that it takes; any if empty.
    pub values: Vec<String>,
    /// What it is for.
    pub help: Option<String>,
}

/// A secret of a definition, such as a key of an API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretFacts {
    /// The environment variable that holds it; `VARIABLE_FILE` may name a file that does.
    pub variable: String,
    /// Whether the site can be read without it.
    pub optional: bool,
    /// Where to get it.
    pub help: Option<String>,
}

impl DefinitionFacts {
    /// Reads the facts in a definition's text; those that are missing or of another type are empty.
    pub fn from_toml(text: &str) -> Self {
        let definition: Table = toml::from_str(text).unwrap_or_default();
        let site = table(&definition, "site");
        let of_site = |key| site.and_then(|site| string(site, key));
        Self {
            name: of_site("name").unwrap_or_default(),
            description: of_site("description").unwrap_or_default(),
            base: of_site("base").unwrap_or_default(),
            inferred: of_site("inferred"),
            opt_in: of_site("opt_in"),
            variables: each(&definition, "variables", variable),
            secrets: each(&definition, "secrets", secret),
        }
    }

    /// Whether the site cannot be read without a secret.
    pub fn needs_secret(&self) -> bool {
        self.secrets.values().any(|secret| !secret.optional)
    }
}

fn table<'a>(definition: &'a Table, key: &str) -> Option<&'a Table> {
    definition.get(key).and_then(Value::as_table)
}

fn each<T>(definition: &Table, key: &str, fact: fn(&Value) -> T) -> BTreeMap<String, T> {
    let entries = table(definition, key).into_iter().flatten();
    entries
        .map(|(name, value)| (name.clone(), fact(value)))
        .collect()
}

fn variable(written: &Value) -> VariableFacts {
    let Value::Table(written) = written else {
        return VariableFacts {
            default: text(written),
            ..VariableFacts::default()
        };
    };
    let values = written.get("values").and_then(Value::as_array);
    VariableFacts {
        default: written.get("default").and_then(text),
        values: values.into_iter().flatten().filter_map(text).collect(),
        help: string(written, "help"),
    }
}

fn secret(written: &Value) -> SecretFacts {
    let optional = written.get("optional").and_then(Value::as_bool);
    let of = |key| written.get(key).and_then(text);
    SecretFacts {
        variable: of("variable").unwrap_or_default(),
        optional: optional.unwrap_or(false),
        help: of("help"),
    }
}

fn string(table: &Table, key: &str) -> Option<String> {
    table.get(key).and_then(text)
}

/// A scalar as text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(yes) => Some(yes.to_string()),
        Value::Datetime(time) => Some(time.to_string()),
        Value::Array(_) | Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_of_a_definition_are_its_variables_secrets_and_notes() {
        let facts = DefinitionFacts::from_toml(
            r#"
[site]
name = "one"
base = "https://one.invalid"
opt_in = "its terms"
inferred = "all of it"
[variables]
query = "forest"
size = { default = 4, values = [2, 4], help = "in feet" }
[secrets]
key = { variable = "ONE_KEY", help = "from one.invalid" }
more = { variable = "ONE_MORE", optional = true }
"#,
        );
        assert_eq!(facts.name, "one");
        assert_eq!(facts.description, "");
        assert_eq!(facts.opt_in.as_deref(), Some("its terms"));
        assert_eq!(facts.inferred.as_deref(), Some("all of it"));
        assert_eq!(facts.variables["query"].default.as_deref(), Some("forest"));
        assert_eq!(facts.variables["size"].values, ["2", "4"]);
        assert_eq!(facts.secrets["key"].variable, "ONE_KEY");
        assert!(facts.secrets["more"].optional && facts.needs_secret());
    }

    #[test]
    fn a_text_that_is_no_definition_has_empty_facts() {
        for text in ["", "site = 1", "[site", "[site]\nname = [1]"] {
            assert_eq!(DefinitionFacts::from_toml(text), DefinitionFacts::default());
        }
    }
}
