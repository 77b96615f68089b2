//! The variables of a definition: what the user may set, and what it is set to.

use std::collections::BTreeMap;

use regex::Regex;
use thiserror::Error;
use toml::Spanned;

use super::diagnostic::{Diagnostic, nearest_of};
use super::pattern::pattern;
use super::schema::{VariableInput, VariableTable};
use crate::job::SiteId;
use crate::mask::hide_user_info;

/// The longest value, in bytes: a search has some words.
const MAX_VALUE_BYTES: usize = 1_000;

/// The values that the user gives variables (`-V NAME=VALUE`), by their names.
pub type VariableValues = BTreeMap<String, String>;

/// A variable of a definition, with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name, as in `-V NAME=VALUE` and `{NAME}`.
    pub name: String,
    /// What it is for; may be empty.
    pub help: String,
    /// The value where the user gives none; without one the user must.
    pub default: Option<String>,
    /// The only values that it may have; any if there are none.
    pub values: Vec<String>,
}

/// All variables of a definition.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    all: Vec<Variable>,
    values: VariableValues,
}

/// Why the user's variables do not fit a definition.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VariableError {
    /// The definition has no such variable.
    #[error("the site `{site}` has no variable `{}`: {help}", .name.escape_debug())]
    Unknown {
        /// The site.
        site: SiteId,
        /// The name that the user gave.
        name: String,
        /// The nearest known name, and all of them.
        help: String,
    },
    /// The variable may not have this value.
    #[error("the variable `{name}` of the site `{site}` cannot be `{}`: {reason}", hide_user_info(.value).escape_debug())]
    Value {
        /// The site.
        site: SiteId,
        /// The variable.
        name: String,
        /// The value that the user gave.
        value: String,
        /// What is wrong with it, and which values are known.
        reason: String,
    },
    /// The variable has no default, and the user gave no value.
    #[error("the site `{site}` needs a value: -V {name}=VALUE{}", in_brackets(.help))]
    Missing {
        /// The site.
        site: SiteId,
        /// The variable.
        name: String,
        /// What it is for.
        help: String,
    },
}

fn in_brackets(help: &str) -> String {
    if help.is_empty() {
        String::new()
    } else {
        format!(" ({help})")
    }
}

/// Where the values come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given<'a> {
    /// From the user.
    User(&'a VariableValues),
    /// The definition is only shown: an example stands in for a value that the user must give.
    Examples,
}

/// An error of the definition, or of the values that the user gave.
pub(super) enum VariablesError {
    Definition(Diagnostic),
    User(VariableError),
}

impl From<Diagnostic> for VariablesError {
    fn from(error: Diagnostic) -> Self {
        Self::Definition(error)
    }
}

impl Variables {
    /// Compiles the variables of the definition `text` and gives them their values.
    pub(super) fn compile(
        written: BTreeMap<Spanned<String>, Spanned<VariableInput>>,
        given: Given<'_>,
        site: &SiteId,
        text: &str,
    ) -> Result<Self, VariablesError> {
        let none = VariableValues::new();
        let user = match given {
            Given::User(values) => values,
            Given::Examples => &none,
        };
        let known = written.keys().map(|name| name.get_ref().as_str());
        let known = known.collect::<Vec<_>>();
        if let Some(unknown) = user.keys().find(|name| !known.contains(&name.as_str())) {
            let help = if known.is_empty() {
                "it has none".to_owned()
            } else {
                nearest_of(unknown, &known)
            };
            return Err(VariablesError::User(VariableError::Unknown {
                site: site.clone(),
                name: unknown.clone(),
                help,
            }));
        }
        let mut variables = Self::default();
        for (name, input) in written {
            let value = user.get(name.get_ref());
            let (variable, value) = variable(&name, input, value, given, site, text)?;
            variables.values.insert(variable.name.clone(), value);
            variables.all.push(variable);
        }
        Ok(variables)
    }

    /// The value of the variable `name`.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// All values, by the names of the variables.
    pub(super) fn values(&self) -> &VariableValues {
        &self.values
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    pub(super) fn all(&self) -> &[Variable] {
        &self.all
    }
}

fn variable(
    name: &Spanned<String>,
    input: Spanned<VariableInput>,
    user: Option<&String>,
    given: Given<'_>,
    site: &SiteId,
    text: &str,
) -> Result<(Variable, String), VariablesError> {
    is_name(name)?;
    let span = input.span();
    let VariableTable {
        default,
        example,
        values,
        pattern: written_pattern,
        help,
    } = match input.into_inner() {
        VariableInput::Default(value) => VariableTable {
            default: Some(Spanned::new(span.clone(), value)),
            example: None,
            values: None,
            pattern: None,
            help: String::new(),
        },
        VariableInput::Table(table) => *table,
    };
    if values
        .as_ref()
        .is_some_and(|values| values.get_ref().is_empty())
    {
        return Err(Diagnostic::new(span, "no value is allowed").into());
    }
    let checks = ValueChecks {
        pattern: written_pattern
            .as_ref()
            .map(|written| pattern(written, text).map(|pattern| pattern.regex().clone()))
            .transpose()?,
        values: values.map(Spanned::into_inner).unwrap_or_default(),
    };
    for written in default.iter().chain(&example) {
        checks.check(written.get_ref()).map_err(|reason| {
            Diagnostic::at(written, format!("not a value of `{name}`: {reason}"))
        })?;
    }
    if default.is_none() && example.is_none() {
        let help = "add `default`, or `example` where the user must give a value";
        return Err(Diagnostic::new(span, format!("`{name}` has no value"))
            .help(help)
            .into());
    }
    let default = default.map(Spanned::into_inner);
    let name = name.get_ref().clone();
    let value = match (user, &default, given) {
        (Some(value), _, _) => {
            checks.check(value).map_err(|reason| {
                VariablesError::User(VariableError::Value {
                    site: site.clone(),
                    name: name.clone(),
                    value: value.clone(),
                    reason,
                })
            })?;
            value.clone()
        }
        (None, Some(default), _) => default.clone(),
        (None, None, Given::Examples) => example.map(Spanned::into_inner).unwrap_or_default(),
        (None, None, Given::User(_)) => {
            return Err(VariablesError::User(VariableError::Missing {
                site: site.clone(),
                name,
                help,
            }));
        }
    };
    let variable = Variable {
        name,
        help,
        default,
        values: checks.values,
    };
    Ok((variable, value))
}

/// Checks that a name can stand in a template and on the command line.
pub(super) fn is_name(name: &Spanned<String>) -> Result<(), Diagnostic> {
    let text = name.get_ref();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(allowed)
    {
        return Ok(());
    }
    let help = "use lower-case letters, digits and `_`, a letter first";
    Err(Diagnostic::at(name, format!("`{text}` cannot be a name")).help(help))
}

/// What a variable's value must be.
struct ValueChecks {
    pattern: Option<Regex>,
    values: Vec<String>,
}

impl ValueChecks {
    fn check(&self, value: &str) -> Result<(), String> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(format!("it is longer than {MAX_VALUE_BYTES} bytes"));
        }
        if value.contains(char::is_control) {
            return Err("it contains a control character".to_owned());
        }
        if !self.values.is_empty() && !self.values.iter().any(|known| known == value) {
            let known = self.values.iter().map(String::as_str).collect::<Vec<_>>();
            return Err(nearest_of(value, &known));
        }
        match &self.pattern {
            Some(pattern) if !matches_whole(pattern, value) => {
                Err(format!("it does not match `{pattern}`"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether the leftmost match is the whole text.
fn matches_whole(pattern: &Regex, text: &str) -> bool {
    pattern
        .find(text)
        .is_some_and(|found| found.range() == (0..text.len()))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const WRITTEN: &str = r#"
[variables]
query = "minimal"
order = { default = "new", values = ["new", "top"], help = "the order" }
year = { example = "2024", pattern = '\d{4}', help = "four digits" }
"#;

    fn compile(text: &str, given: Given<'_>) -> Result<Variables, String> {
        #[derive(Deserialize)]
        struct File {
            variables: BTreeMap<Spanned<String>, Spanned<VariableInput>>,
        }
        let File { variables } = toml::from_str(text).map_err(|error| error.to_string())?;
        let site = SiteId::new("small").unwrap();
        Variables::compile(variables, given, &site, text).map_err(|error| match error {
            VariablesError::Definition(error) => error.locate(text).to_string(),
            VariablesError::User(error) => error.to_string(),
        })
    }

    fn with(values: &[(&str, &str)]) -> Result<Variables, String> {
        let values = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        compile(WRITTEN, Given::User(&values.collect()))
    }

    #[test]
    fn a_variable_has_the_users_value_or_its_default() {
        let variables = with(&[("query", "dark forest"), ("year", "1999")]).unwrap();
        let value = |name| variables.value(name);
        assert_eq!(value("query"), Some("dark forest"));
        assert_eq!((value("order"), value("year")), (Some("new"), Some("1999")));
        assert_eq!(value("other"), None);
        let shown = compile(WRITTEN, Given::Examples).unwrap();
        assert_eq!(shown.value("year"), Some("2024"));
    }

    #[test]
    fn an_unknown_missing_or_wrong_variable_value_is_an_error_that_names_the_nearest() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (
                &[("qery", "x")],
                "has no variable `qery`: did you mean `query`?",
            ),
            (&[("order", "tpo")], "cannot be `tpo`: did you mean `top`?"),
            (
                &[("year", "99")],
                "cannot be `99`: it does not match `\\d{4}`",
            ),
            (&[("year", "19999")], "it does not match"),
            (&[("query", "a\nb"), ("year", "1999")], "control character"),
            (&[], "needs a value: -V year=VALUE (four digits)"),
        ];
        for (values, words) in cases {
            let error = with(values).map(|_| ()).unwrap_err();
            assert!(error.contains(words), "{values:?}: {error}");
        }
    }

    #[test]
    fn a_wrong_variable_table_is_marked_at_its_place() {
        let cases = [
            ("query = 1", "expected a string, or a table"),
            ("query = { defualt = '' }", "did you mean `default`?"),
            (
                "query = { help = '' }",
                "`query` has no value; add `default`",
            ),
            (
                "query = { default = 'x', values = ['y'] }",
                "line 3, column 21: not a value of `query`",
            ),
            (
                "query = { default = 'x', values = [] }",
                "no value is allowed",
            ),
            (
                "query = { default = 'x', pattern = '[' }",
                "not a regular expression",
            ),
            ("Query = 'x'", "line 3, column 1: `Query` cannot be a name"),
            ("'a b' = 'x'", "cannot be a name"),
        ];
        for (line, words) in cases {
            let text = format!("\n[variables]\n{line}\n");
            let error = compile(&text, Given::Examples).map(|_| ()).unwrap_err();
            // An error of the TOML parser is turned into words elsewhere.
            assert!(
                error.contains(words) || error.contains("unknown field"),
                "{line}: {error}"
            );
        }
    }
}
