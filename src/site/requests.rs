//! What a definition says about the requests to its site: headers, queries, secrets by name, pace, and what the site's
//! error answers mean.
//!
//! Nothing here holds a secret: a text names it, and whoever sends the request puts it in.

mod compile;

use std::num::NonZeroU32;

use encoding_rs::Encoding;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

pub(super) use compile::compile;

/// The requests of a site, compiled.
#[derive(Debug, Clone, Default)]
pub struct SiteRequests {
    /// The secrets that the texts name.
    pub secrets: Vec<SecretSpec>,
    /// What is added to requests for pages.
    pub pages: RequestAdditions,
    /// What is added to requests for images.
    pub images: RequestAdditions,
    /// The `Referer` of requests for images.
    pub referer: Option<Referer>,
    /// The `User-Agent`, where the user chooses none.
    pub user_agent: Option<String>,
    /// The most requests a minute to one host.
    pub per_minute: Option<NonZeroU32>,
    /// The same for hosts other than that of the pages; `per_minute` where it is not given.
    pub image_per_minute: Option<NonZeroU32>,
    /// The encoding of the pages, whatever they say themselves.
    pub charset: Option<&'static Encoding>,
    /// What error answers mean; the first that fits counts.
    pub errors: Vec<ErrorRule>,
}

/// A secret that the user has in a variable of the environment, or in the file that `VARIABLE_FILE` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSpec {
    /// What texts call it: `{secret.NAME}`.
    pub name: String,
    /// The variable.
    pub variable: String,
    /// Whether requests can do without it: what names it is left out then.
    pub optional: bool,
    /// Where to get it, for the user; may be empty.
    pub help: String,
}

/// Headers, and what is appended to the query.
#[derive(Debug, Clone, Default)]
pub struct RequestAdditions {
    /// Name and value.
    pub headers: Vec<(String, RequestText)>,
    /// Name and value, neither of them encoded.
    pub query: Vec<(String, RequestText)>,
}

/// A text with places for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestText(Vec<TextPiece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum TextPiece {
    Text(String),
    Secret(String),
}

impl RequestText {
    /// The text with its secrets; `None` where one of them is not there.
    pub fn fill<'a>(&'a self, secret: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
        let pieces = self.0.iter().map(|piece| match piece {
            TextPiece::Text(text) => Some(text.as_str()),
            TextPiece::Secret(name) => secret(name),
        });
        pieces.collect()
    }

    /// The text without places, if it has none.
    fn plain(&self) -> Option<String> {
        self.fill(|_| None)
    }
}

/// The `Referer` of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Referer {
    /// The page that shows it.
    Page,
    /// This address.
    Address(Url),
}

/// What an error answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorRule {
    /// The statuses it holds for; empty for all.
    statuses: Vec<u16>,
    body: Option<BodyTest>,
    /// What follows from it.
    pub action: ErrorAction,
    /// What the user is told; may be empty.
    pub hint: String,
}

/// What the body of an error answer must show.
#[derive(Debug, Clone, PartialEq, Eq)]
enum BodyTest {
    /// This text, anywhere.
    Contains(String),
    /// A value in JSON, which is neither null nor absent.
    Json(String, ValueTest),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ValueTest {
    Exists,
    Equals(String),
    Contains(String),
}

/// What follows from an error answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorAction {
    /// Try again later, as after a 429.
    Wait,
    /// Request nothing more of the site.
    Stop,
    /// The listing has ended.
    End,
    /// Leave the image or the page out.
    Skip,
}

impl ErrorRule {
    /// The most of a body that rules look at, in bytes.
    pub const MAX_BODY: usize = 64 * 1024;

    /// Whether the rule may hold for an answer with this status.
    pub fn has_status(&self, status: u16) -> bool {
        self.statuses.is_empty() || self.statuses.contains(&status)
    }

    /// Whether it looks at the body.
    pub fn needs_body(&self) -> bool {
        self.body.is_some()
    }

    /// The first of `rules` that an answer fits; `body` is the beginning of its body, where a rule needs that.
    pub fn find<'a>(rules: &'a [Self], status: u16, body: &str) -> Option<&'a Self> {
        // Parsed once for all rules; a body that is not JSON has no values.
        let json = std::cell::OnceCell::new();
        rules.iter().find(|rule| {
            rule.has_status(status)
                && match &rule.body {
                    None => true,
                    Some(BodyTest::Contains(text)) => body.contains(text),
                    Some(BodyTest::Json(pointer, test)) => json
                        .get_or_init(|| serde_json::from_str(body).unwrap_or(Value::Null))
                        .pointer(pointer)
                        .is_some_and(|value| test.holds(value)),
                }
        })
    }
}

impl ValueTest {
    fn holds(&self, value: &Value) -> bool {
        let text = match value {
            Value::Null => return false,
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(yes) => yes.to_string(),
            Value::Array(_) | Value::Object(_) => return *self == Self::Exists,
        };
        match self {
            Self::Exists => true,
            Self::Equals(wanted) => text == *wanted,
            Self::Contains(part) => text.contains(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::site::diagnostic::Diagnostic;
    use crate::site::schema::{RequestTable, SecretTables};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        request: RequestTable,
        #[serde(default)]
        secrets: SecretTables,
    }

    fn read(text: &str) -> Result<SiteRequests, String> {
        let words = BTreeMap::from([("topic".to_owned(), "tall trees".to_owned())]);
        let compiled = toml::from_str::<File>(text)
            .map_err(|error| Diagnostic::from_toml(&error))
            .and_then(|File { request, secrets }| compile(request, &secrets, &words));
        compiled.map_err(|error| error.locate(text).to_string())
    }

    #[test]
    fn texts_are_filled_with_variables_and_secrets() {
        let requests = read(
            "[secrets]\nkey = { variable = 'DEMO_KEY', optional = true, help = 'ask' }\n\
             [request]\nheaders = { X-Key = 'Bearer {secret.key}' }\nquery = { q = '{topic}', k = '{secret.key}' }\n\
             image_headers = { Accept = 'image/*' }\nimage_query = { full = '1' }\nreferer = 'page'\n\
             user_agent = 'demo ({topic})'\nper_minute = 45\nimage_per_minute = 90\ncharset = 'GB2312'\n",
        )
        .unwrap();
        let [secret] = &requests.secrets[..] else {
            panic!("{requests:?}")
        };
        assert_eq!((&*secret.variable, secret.optional), ("DEMO_KEY", true));
        let (name, value) = &requests.pages.headers[0];
        assert_eq!(name, "X-Key");
        assert_eq!(value.fill(|_| Some("s3")).unwrap(), "Bearer s3");
        assert_eq!(value.fill(|_| None), None);
        let query: Vec<_> = requests
            .pages
            .query
            .iter()
            .map(|(name, text)| (name.as_str(), text.plain()))
            .collect();
        assert_eq!(query, [("k", None), ("q", Some("tall trees".to_owned()))]);
        assert_eq!(
            requests.images.headers.len() + requests.images.query.len(),
            2
        );
        assert_eq!(requests.referer, Some(Referer::Page));
        assert_eq!(requests.user_agent.as_deref(), Some("demo (tall trees)"));
        assert_eq!(requests.per_minute.map(NonZeroU32::get), Some(45));
        assert_eq!(requests.charset, Some(encoding_rs::GBK));
    }

    #[test]
    fn a_mistake_in_a_request_is_marked_with_what_to_do() {
        let cases = [
            (
                "headers = { X = '{secret.key}' }",
                "line 2, column 17: there is no secret `key`",
            ),
            ("headers = { X = '{topc}' }", "did you mean `topic`?"),
            ("headers = { X = '{topic' }", "`{` without `}`"),
            ("headers = { X = \"a\\nb\" }", "control character"),
            (
                "headers = { 'a b' = 'x' }",
                "line 2, column 13: not the name of a header",
            ),
            ("headers = { Host = 'x' }", "follows from the address"),
            ("headers = { User-Agent = 'x' }", "`user_agent`"),
            ("image_headers = { Range = 'x' }", "cannot be set"),
            ("query = { '' = 'x' }", "without a name"),
            ("headers = { X = 5 }", "expected a string"),
            ("refrer = 'page'", "did you mean `referer`?"),
            ("referer = 'here'", "not a referer"),
            ("referer = 'ftp://a.test/'", "not a referer"),
            ("per_minute = 0", "no request could ever"),
            ("charset = 'klingon'", "unknown charset"),
            ("error = [{ action = 'wait' }]", "fits every answer"),
            (
                "error = [{ action = 'wiat', status = 429 }]",
                "did you mean `wait`?",
            ),
            (
                "error = [{ action = 'wait', status = [429, 9] }]",
                "column 44: not an HTTP status",
            ),
            (
                "error = [{ action = 'wait', status = 70000 }]",
                "not an HTTP status",
            ),
            (
                "error = [{ action = 'stop', pointer = 'a/b' }]",
                "begins with `/`, as `/a/b`",
            ),
            (
                "error = [{ action = 'stop', equals = 'x' }]",
                "`equals` without `pointer`",
            ),
            (
                "error = [{ action = 'stop', pointer = '/a', equals = 1, contains = 'x' }]",
                "exclude each other",
            ),
        ];
        for (line, words) in cases {
            let error = read(&format!("[request]\n{line}\n")).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
        for (line, words) in [
            ("key = {}", "missing key `variable`"),
            ("key = { variable = 'A B' }", "not the name of a variable"),
            ("'a b' = { variable = 'A' }", "not the name of a secret"),
        ] {
            let error = read(&format!("[secrets]\n{line}\n")).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
        let secret =
            "[secrets]\nkey = { variable = 'A' }\n[request]\nuser_agent = '{secret.key}'\n";
        assert!(read(secret).unwrap_err().contains("cannot stand here"));
    }

    #[test]
    fn the_first_rule_that_fits_an_error_answer_counts() {
        let rules = read(
            "[[request.error]]\nstatus = 403\npointer = '/error/code'\nequals = 'OVER'\naction = 'wait'\n\
             [[request.error]]\nstatus = [401, 403]\npointer = '/error'\naction = 'stop'\nhint = 'a key'\n\
             [[request.error]]\npointer = '/stat'\nequals = 7\naction = 'end'\n\
             [[request.error]]\nstatus = 404\ncontains = 'no such day'\naction = 'skip'\n\
             [[request.error]]\nstatus = 410\naction = 'end'\n",
        )
        .unwrap()
        .errors;
        let action = |status, body| ErrorRule::find(&rules, status, body).map(|rule| rule.action);
        assert_eq!(
            action(403, r#"{"error": {"code": "OVER"}}"#),
            Some(ErrorAction::Wait)
        );
        assert_eq!(
            action(403, r#"{"error": {"code": "BAD"}}"#),
            Some(ErrorAction::Stop)
        );
        assert_eq!(action(403, r#"{"error": null}"#), None);
        assert_eq!(action(403, "<html>"), None);
        assert_eq!(action(200, r#"{"stat": 7}"#), Some(ErrorAction::End));
        assert_eq!(action(200, r#"{"stat": "7"}"#), Some(ErrorAction::End));
        assert_eq!(action(200, r#"{"stat": {}}"#), None);
        assert_eq!(action(404, "there is no such day"), Some(ErrorAction::Skip));
        assert_eq!(action(410, ""), Some(ErrorAction::End));
        let deep = "[".repeat(60_000);
        assert_eq!(action(403, &deep), None);
    }
}
