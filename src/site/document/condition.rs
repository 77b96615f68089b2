//! Conditions: which items count, by what is in them.

use toml::Spanned;

use super::source::Source;
use super::{Scope, SourceContext, Work};
use crate::site::diagnostic::Diagnostic;
use crate::site::pattern::{Pattern, pattern};
use crate::site::schema::{ConditionInput, ScalarInput};

/// A condition on an item.
#[derive(Debug)]
pub(in crate::site) struct Condition(Rule<Source>);

/// A condition on a record: on fields, which the definition numbers.
#[derive(Debug)]
pub(in crate::site) struct FieldCondition(Rule<usize>);

#[derive(Debug)]
enum Rule<S> {
    Any(Vec<Rule<S>>),
    Tests(S, Vec<Test>),
}

#[derive(Debug)]
enum Test {
    Equals(String),
    NotEquals(String),
    In(Vec<String>),
    Matches(Pattern),
    NotMatches(Pattern),
    Exists(bool),
    AtLeast(f64),
    AtMost(f64),
}

impl Condition {
    /// Compiles a condition on what is in an item.
    pub(in crate::site) fn compile(
        written: Spanned<ConditionInput>,
        context: SourceContext<'_>,
    ) -> Result<Self, Diagnostic> {
        let mut subject = |written: &mut ConditionInput, whole: &Spanned<()>| {
            if let Some(field) = &written.field {
                let help = "write where it is in the item, as `value = \"/type\"`";
                return Err(Diagnostic::at(field, "an item has no fields yet").help(help));
            }
            let value = written.value.take().ok_or_else(|| {
                let error = Diagnostic::at(whole, "missing key `value`");
                error.help("write where it is in the item, as `value = \"/type\"`")
            })?;
            Source::compile(value, context)
        };
        rule(written, context.definition, &mut subject).map(Self)
    }

    /// Whether the item fulfils the condition.
    pub(in crate::site) fn holds(&self, scope: Scope<'_>) -> bool {
        self.0.holds(&|source, test| match test {
            Test::Exists(wanted) => source.exists(scope) == *wanted,
            test => test.holds(&source.texts(scope), &scope.node.shared.work),
        })
    }

    /// Whether the item fails the condition because what it looks at is not there. A condition that asks whether
    /// something is there never does.
    pub(in crate::site) fn lacks_value(&self, scope: Scope<'_>) -> bool {
        self.0.lacks_value(scope)
    }
}

impl Rule<Source> {
    fn lacks_value(&self, scope: Scope<'_>) -> bool {
        match self {
            Self::Any(rules) => rules.iter().all(|rule| rule.lacks_value(scope)),
            Self::Tests(source, tests) => {
                let asks_presence = tests.iter().any(|test| matches!(test, Test::Exists(_)));
                let needs_value = tests.iter().any(|test| !test.holds(&[], &Work::default()));
                !asks_presence && needs_value && !source.exists(scope)
            }
        }
    }
}

impl FieldCondition {
    /// Compiles a condition on fields, of which `number` knows the names.
    pub(in crate::site) fn compile(
        written: Spanned<ConditionInput>,
        definition: &str,
        number: &dyn Fn(&Spanned<String>) -> Result<usize, Diagnostic>,
    ) -> Result<Self, Diagnostic> {
        let mut subject = |written: &mut ConditionInput, whole: &Spanned<()>| {
            let help = "name a field, as `field = \"kind\"`";
            match (&written.field, &written.value) {
                (Some(field), None) => number(field),
                (_, Some(value)) => {
                    Err(Diagnostic::at(value, "the page is no longer at hand here").help(help))
                }
                (None, None) => Err(Diagnostic::at(whole, "missing key `field`").help(help)),
            }
        };
        rule(written, definition, &mut subject).map(Self)
    }

    /// Whether a record fulfils the condition; `texts` gives those of a field.
    pub(in crate::site) fn holds<'r>(
        &self,
        texts: &dyn Fn(usize) -> &'r [String],
        work: &Work,
    ) -> bool {
        self.0.holds(&|field, test| match test {
            Test::Exists(wanted) => texts(*field).is_empty() != *wanted,
            test => test.holds(texts(*field), work),
        })
    }
}

/// Compiles what a condition is about, and takes it out of its table.
type SubjectOf<'f, S> = dyn FnMut(&mut ConditionInput, &Spanned<()>) -> Result<S, Diagnostic> + 'f;

/// The most conditions in a list.
pub(in crate::site) const MAX_CONDITIONS: usize = 64;

/// Compiles a table; `subject` says what it is about.
fn rule<S>(
    written: Spanned<ConditionInput>,
    definition: &str,
    subject: &mut SubjectOf<'_, S>,
) -> Result<Rule<S>, Diagnostic> {
    let whole = Spanned::new(written.span(), ());
    let mut written = written.into_inner();
    let any = written.any.take();
    let tests = tests(&mut written, definition)?;
    if let Some(any) = any {
        let has_others = written.value.is_some() || written.field.is_some() || !tests.is_empty();
        if has_others {
            let error = Diagnostic::at(&any, "`any` stands alone in its table");
            return Err(error.help("write it as `{ any = [ { .. }, { .. } ] }`"));
        }
        if any.get_ref().is_empty() {
            return Err(Diagnostic::at(&any, "none of no conditions can hold"));
        }
        if any.get_ref().len() > MAX_CONDITIONS {
            let message = format!("more than {MAX_CONDITIONS} conditions");
            return Err(Diagnostic::at(&any, message));
        }
        let rules = any.into_inner().into_iter();
        let rules = rules.map(|written| rule(written, definition, subject));
        return Ok(Rule::Any(rules.collect::<Result<_, _>>()?));
    }
    let subject = subject(&mut written, &whole)?;
    if tests.is_empty() {
        return Err(Diagnostic::at(&whole, "a condition without a test").help(
            "add `equals`, `not_equals`, `in`, `matches`, `not_matches`, `exists`, `at_least` or \
             `at_most`",
        ));
    }
    Ok(Rule::Tests(subject, tests))
}

fn tests(written: &mut ConditionInput, definition: &str) -> Result<Vec<Test>, Diagnostic> {
    let ConditionInput {
        value: _,
        field: _,
        any: _,
        equals,
        not_equals,
        members,
        matches,
        not_matches,
        exists,
        at_least,
        at_most,
    } = written;
    let mut tests = Vec::new();
    let text = |ScalarInput(text)| text;
    tests.extend(equals.take().map(text).map(Test::Equals));
    tests.extend(not_equals.take().map(text).map(Test::NotEquals));
    if let Some(members) = members.take() {
        let members = members.into_inner().into_iter().map(text);
        tests.push(Test::In(members.collect()));
    }
    if let Some(matches) = matches {
        tests.push(Test::Matches(pattern(matches, definition)?));
    }
    if let Some(not) = not_matches {
        tests.push(Test::NotMatches(pattern(not, definition)?));
    }
    tests.extend(exists.map(Test::Exists));
    let bound = |written: &Spanned<ScalarInput>| {
        let ScalarInput(text) = written.get_ref();
        number(text).ok_or_else(|| Diagnostic::at(written, format!("`{text}` is not a number")))
    };
    if let Some(written) = at_least {
        tests.push(Test::AtLeast(bound(written)?));
    }
    if let Some(written) = at_most {
        tests.push(Test::AtMost(bound(written)?));
    }
    Ok(tests)
}

impl<S> Rule<S> {
    fn holds(&self, test_holds: &dyn Fn(&S, &Test) -> bool) -> bool {
        match self {
            Self::Any(rules) => rules.iter().any(|rule| rule.holds(test_holds)),
            Self::Tests(subject, tests) => tests.iter().all(|test| test_holds(subject, test)),
        }
    }
}

impl Test {
    /// Whether one of the texts passes; for a negation, whether none of them is what it denies.
    fn holds(&self, texts: &[String], work: &Work) -> bool {
        let mut texts = texts.iter().take_while(|_| work.step(1));
        match self {
            Self::Equals(wanted) => texts.any(|text| is_same(text, wanted)),
            Self::NotEquals(denied) => !texts.any(|text| is_same(text, denied)),
            Self::In(members) => texts.any(|text| {
                let mut members = members.iter().take_while(|_| work.step(1));
                members.any(|one| is_same(text, one))
            }),
            Self::Matches(pattern) => texts.any(|text| pattern.is_match(text, work)),
            Self::NotMatches(pattern) => !texts.any(|text| pattern.is_match(text, work)),
            Self::Exists(wanted) => texts.next().is_some() == *wanted,
            Self::AtLeast(least) => texts.any(|text| number(text).is_some_and(|it| it >= *least)),
            Self::AtMost(most) => texts.any(|text| number(text).is_some_and(|it| it <= *most)),
        }
    }
}

/// Sites write one number in two ways, even in answers of one API: 24 and "24".
fn is_same(text: &str, other: &str) -> bool {
    text == other
        || number(text)
            .zip(number(other))
            .is_some_and(|(one, other)| one.total_cmp(&other).is_eq())
}

/// The number that a text is: digits with a sign and a decimal point at most, as `24`, `-1` or `88.0`.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_plain = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    let begins = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    if !begins || !text.chars().all(is_plain) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::super::DocumentKind;
    use super::super::testing::{condition, holds};
    use super::*;

    const PAGE: &str = r#"{ "kind": "image", "wide": 1920, "high": "1080", "adult": false, "tags": ["sea", "sky"],
        "ad": {}, "none": null, "empty": "", "per_page": "24" }"#;

    #[test]
    fn conditions_compare_texts_numbers_and_lists() {
        let cases = [
            (r#"{ value = "/kind", equals = "image" }"#, true),
            (r#"{ value = "/kind", equals = "Image" }"#, false),
            (r#"{ value = "/per_page", equals = 24 }"#, true),
            (r#"{ value = "/wide", equals = "1920.0" }"#, true),
            (r#"{ value = "/adult", equals = false }"#, true),
            (r#"{ value = "/adult", not_equals = true }"#, true),
            (r#"{ value = "/absent", not_equals = true }"#, true),
            (r#"{ value = "/absent", equals = false }"#, false),
            (r#"{ value = "/tags", equals = "sky" }"#, true),
            (r#"{ value = "/tags/*", not_equals = "sky" }"#, false),
            (r#"{ value = "/kind", in = ["video", "image"] }"#, true),
            (r#"{ value = "/wide", in = [1, "1920"] }"#, true),
            (r#"{ value = "/kind", in = [] }"#, false),
            (r#"{ value = "/kind", matches = '^im' }"#, true),
            (r#"{ value = "/kind", not_matches = '^im' }"#, false),
            (r#"{ value = "/absent", not_matches = '^im' }"#, true),
            (
                r#"{ value = "/wide", at_least = 1920, at_most = 1920 }"#,
                true,
            ),
            (r#"{ value = "/high", at_least = "1080.5" }"#, false),
            (r#"{ value = "/kind", at_least = 0 }"#, false),
            (
                r#"{ any = [{ value = "/kind", equals = "a" }, { value = "/wide", at_least = 9 }] }"#,
                true,
            ),
            (r#"{ any = [{ value = "/kind", equals = "a" }] }"#, false),
        ];
        for (toml, expected) in cases {
            assert_eq!(holds(&DocumentKind::Json, PAGE, toml), expected, "{toml}");
        }
    }

    #[test]
    fn a_value_exists_unless_it_is_absent_or_null() {
        for (pointer, expected) in [
            ("/ad", true),
            ("/tags", true),
            ("/adult", true),
            ("/empty", true),
            ("/none", false),
            ("/absent", false),
        ] {
            let toml = |exists| format!("{{ value = \"{pointer}\", exists = {exists} }}");
            assert_eq!(
                holds(&DocumentKind::Json, PAGE, &toml(true)),
                expected,
                "{pointer}"
            );
            assert_eq!(
                holds(&DocumentKind::Json, PAGE, &toml(false)),
                !expected,
                "{pointer}"
            );
        }
    }

    #[test]
    fn a_condition_that_cannot_be_meant_is_refused_with_its_place() {
        let cases = [
            (r#"{ value = "/a" }"#, "a condition without a test"),
            (r#"{ equals = "a" }"#, "missing key `value`"),
            (
                r#"{ field = "a", equals = "a" }"#,
                "write where it is in the item",
            ),
            (
                r#"{ value = "/a", at_least = "wide" }"#,
                "`wide` is not a number",
            ),
            (r#"{ value = "/a", equal = 1 }"#, "did you mean `equals`?"),
            (r#"{ value = "/a", matches = '(' }"#, "unclosed group"),
            ("{ any = [] }", "none of no conditions"),
            (
                r#"{ any = [{ value = "/a", exists = true }], equals = 1 }"#,
                "`any` stands alone",
            ),
            (
                r#"{ value = "/a", equals = [1] }"#,
                "a string, a number, `true` or `false`",
            ),
            (r#"{ value = "a", exists = true }"#, "begin it with `/`"),
        ];
        for (toml, words) in cases {
            let error = condition(&DocumentKind::Json, toml).expect_err(toml);
            let rendered = error.render("site.toml", false);
            assert!(rendered.contains(words) && error.column() > 1, "{rendered}");
        }
    }

    #[test]
    fn a_condition_on_fields_asks_the_record() {
        #[derive(serde::Deserialize)]
        struct Table {
            it: Spanned<ConditionInput>,
        }
        let compile = |toml: &str| {
            let table: Table = toml::from_str(&format!("it = {toml}")).unwrap();
            FieldCondition::compile(table.it, "", &|name| match &**name.get_ref() {
                "kind" => Ok(0),
                "size" => Ok(1),
                other => Err(Diagnostic::at(name, format!("no field {other}"))),
            })
        };
        let record = [vec!["image".to_owned()], Vec::new()];
        let holds = |toml: &str| {
            let condition = compile(toml).unwrap_or_else(|_| panic!("{toml}"));
            condition.holds(&|field| &record[field], &Work::default())
        };
        assert!(holds(r#"{ field = "kind", equals = "image" }"#));
        assert!(!holds(r#"{ field = "size", exists = true }"#));
        assert!(holds(r#"{ field = "size", exists = false }"#));
        assert!(compile(r#"{ field = "other", exists = true }"#).is_err());
        assert!(compile(r#"{ value = "/a", exists = true }"#).is_err());
        assert!(compile("{ exists = true }").is_err());
    }

    #[test]
    fn numbers_are_plain_and_finite() {
        assert_eq!(number(" 88.0 "), Some(88.0));
        assert_eq!(number("-1e3"), Some(-1000.0));
        for other in [
            "",
            "1,024",
            "1920x1080",
            "inf",
            "nan",
            "0x10",
            "1e999",
            "e",
            "+",
            "12px",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
