//! Compiles `[request]`, `[[request.error]]` and `[secrets]`.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use encoding_rs::Encoding;
use toml::Spanned;
use url::Url;

use super::{
    BodyTest, ErrorRule, Referer, RequestAdditions, RequestText, SecretSpec, SiteRequests,
    TextPiece, ValueTest,
};
use crate::site::address;
use crate::site::diagnostic::{Diagnostic, nearest_of};
use crate::site::schema::{
    ErrorTable, NamedTexts, RequestTable, SecretTable, SecretTables, Statuses,
};

/// The most headers, parameters, or rules about errors.
const MAX_ADDED: usize = 64;

/// Compiles the tables. `variables` are the values of the definition's own.
pub(in crate::site) fn compile(
    request: RequestTable,
    secrets: &SecretTables,
    variables: &BTreeMap<String, String>,
) -> Result<SiteRequests, Diagnostic> {
    let RequestTable {
        headers,
        query,
        image_headers,
        image_query,
        referer,
        user_agent,
        per_minute,
        image_per_minute,
        charset,
        error,
    } = request;
    let secrets = secrets.iter().map(secret).collect::<Result<Vec<_>, _>>()?;
    let texts = TextCompiler {
        secrets: secrets.iter().map(|secret| secret.name.as_str()).collect(),
        variables,
    };
    let additions = |headers: &NamedTexts, query: &NamedTexts| {
        Ok(RequestAdditions {
            headers: texts.named(headers, header_name)?,
            query: texts.named(query, query_name)?,
        })
    };
    if let Some(one_more) = error.get(MAX_ADDED) {
        let message = format!("more than {MAX_ADDED} rules");
        return Err(Diagnostic::at(one_more, message));
    }
    let pages = additions(&headers, &query)?;
    let images = additions(&image_headers, &image_query)?;
    Ok(SiteRequests {
        pages,
        images,
        referer: referer.map(|written| texts.referer(&written)).transpose()?,
        user_agent: user_agent
            .map(|written| texts.public(&written))
            .transpose()?,
        per_minute: per_minute.map(|written| pace(&written)).transpose()?,
        image_per_minute: image_per_minute.map(|written| pace(&written)).transpose()?,
        charset: charset.map(|written| encoding(&written)).transpose()?,
        errors: error.iter().map(error_rule).collect::<Result<_, _>>()?,
        secrets,
    })
}

fn secret((name, written): (&Spanned<String>, &SecretTable)) -> Result<SecretSpec, Diagnostic> {
    let SecretTable {
        variable,
        optional,
        help,
    } = written;
    let is_word = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if !is_word(name.get_ref()) {
        let error = Diagnostic::at(name, "not the name of a secret");
        return Err(error.help("use letters, digits and `_`"));
    }
    if !is_word(variable.get_ref()) || variable.get_ref().starts_with(|c: char| c.is_ascii_digit())
    {
        let error = Diagnostic::at(variable, "not the name of a variable");
        return Err(error.help("name a variable of the environment, as `EXAMPLE_KEY`"));
    }
    Ok(SecretSpec {
        name: name.get_ref().clone(),
        variable: variable.get_ref().clone(),
        optional: *optional,
        help: help.clone(),
    })
}

/// Reads texts with places.
struct TextCompiler<'a> {
    secrets: BTreeSet<&'a str>,
    variables: &'a BTreeMap<String, String>,
}

impl TextCompiler<'_> {
    fn named(
        &self,
        written: &NamedTexts,
        check: fn(&Spanned<String>) -> Result<(), Diagnostic>,
    ) -> Result<Vec<(String, RequestText)>, Diagnostic> {
        if let Some((name, _)) = written.iter().nth(MAX_ADDED) {
            return Err(Diagnostic::at(
                name,
                format!("more than {MAX_ADDED} of them"),
            ));
        }
        let named = written.iter().map(|(name, text)| {
            check(name)?;
            Ok((name.get_ref().clone(), self.text(text)?))
        });
        named.collect()
    }

    /// A text that may go into a header.
    fn text(&self, written: &Spanned<String>) -> Result<RequestText, Diagnostic> {
        let refuse = |message: String| Diagnostic::at(written, message);
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = written.get_ref().as_str();
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let Some((name, following)) = after.split_once('}') else {
                return Err(refuse("`{` without `}`".to_owned()));
            };
            rest = following;
            if let Some(secret) = name.strip_prefix("secret.") {
                if !self.secrets.contains(secret) {
                    let known: Vec<_> = self.secrets.iter().copied().collect();
                    return Err(refuse(format!("there is no secret `{secret}`"))
                        .help(nearest_of(secret, &known)));
                }
                pieces.push(TextPiece::Text(std::mem::take(&mut text)));
                pieces.push(TextPiece::Secret(secret.to_owned()));
            } else if let Some(value) = self.variables.get(name) {
                text.push_str(value);
            } else {
                let secrets = self.secrets.iter().map(|name| format!("secret.{name}"));
                let known: Vec<_> = self.variables.keys().cloned().chain(secrets).collect();
                let known: Vec<_> = known.iter().map(String::as_str).collect();
                return Err(
                    refuse(format!("there is no variable `{name}`")).help(nearest_of(name, &known))
                );
            }
        }
        pieces.push(TextPiece::Text(text + rest));
        pieces.retain(|piece| *piece != TextPiece::Text(String::new()));
        let is_control = |piece: &TextPiece| match piece {
            TextPiece::Text(text) => text.contains(char::is_control),
            TextPiece::Secret(_) => false,
        };
        if pieces.iter().any(is_control) {
            return Err(refuse(
                "it holds a line break or another control character".to_owned(),
            ));
        }
        Ok(RequestText(pieces))
    }

    /// A text without secrets.
    fn public(&self, written: &Spanned<String>) -> Result<String, Diagnostic> {
        self.text(written)?.plain().ok_or_else(|| {
            Diagnostic::at(written, "a secret cannot stand here")
                .help("secrets go into `headers`, `query`, `image_headers` and `image_query`")
        })
    }

    fn referer(&self, written: &Spanned<String>) -> Result<Referer, Diagnostic> {
        if written.get_ref() == "page" {
            return Ok(Referer::Page);
        }
        let refuse = |reason: String| {
            Diagnostic::at(written, format!("not a referer: {reason}"))
                .help("write `page`, for the page that shows the image, or an address")
        };
        let text = self.public(written)?;
        let mut url = Url::parse(&text).map_err(|error| refuse(error.to_string()))?;
        address::usable(&url).map_err(refuse)?;
        url.set_fragment(None);
        Ok(Referer::Address(url))
    }
}

/// Headers that a definition cannot set, in small letters: they would change where a request goes or what its response
/// means, or are set in another way.
const RESERVED: [(&str, &str); 12] = [
    ("accept-encoding", "wallhaul sets it itself"),
    ("connection", "wallhaul sets it itself"),
    ("content-length", "wallhaul sets it itself"),
    ("expect", "wallhaul sends no body"),
    ("host", "it follows from the address"),
    ("if-range", "wallhaul sets it itself"),
    ("proxy-authorization", "it is for the user's proxy"),
    ("range", "wallhaul sets it itself"),
    ("referer", "write `referer` in `[request]`"),
    ("te", "wallhaul sets it itself"),
    ("transfer-encoding", "wallhaul sets it itself"),
    ("user-agent", "write `user_agent` in `[request]`"),
];

fn header_name(written: &Spanned<String>) -> Result<(), Diagnostic> {
    let name = written.get_ref().to_ascii_lowercase();
    // A token (RFC 9110 section 5.6.2).
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        return Err(Diagnostic::at(written, "not the name of a header"));
    }
    let reserved = RESERVED.iter().find(|(reserved, _)| *reserved == name);
    reserved.map_or(Ok(()), |(_, help)| {
        Err(Diagnostic::at(written, format!("the header `{name}` cannot be set here")).help(*help))
    })
}

fn query_name(written: &Spanned<String>) -> Result<(), Diagnostic> {
    if written.get_ref().is_empty() {
        return Err(Diagnostic::at(written, "a parameter without a name"));
    }
    Ok(())
}

fn pace(written: &Spanned<u32>) -> Result<NonZeroU32, Diagnostic> {
    NonZeroU32::new(*written.get_ref()).ok_or_else(|| {
        Diagnostic::at(written, "no request could ever be made")
            .help("leave it out where there is no limit")
    })
}

fn encoding(written: &Spanned<String>) -> Result<&'static Encoding, Diagnostic> {
    let label = written.get_ref();
    Encoding::for_label_no_replacement(label.as_bytes()).ok_or_else(|| {
        Diagnostic::at(written, format!("unknown charset `{label}`"))
            .help("use a label of the Encoding Standard, as `gbk`, `shift_jis` or `windows-1251`")
    })
}

fn error_rule(written: &Spanned<ErrorTable>) -> Result<ErrorRule, Diagnostic> {
    let ErrorTable {
        status,
        pointer,
        equals,
        contains,
        action,
        hint,
    } = written.get_ref();
    let statuses = status.as_ref().map_or(&[][..], |Statuses(list)| list);
    for status in statuses {
        if !(100..=599).contains(status.get_ref()) {
            let place = if status.span().is_empty() {
                written.span()
            } else {
                status.span()
            };
            return Err(Diagnostic::new(place, "not an HTTP status")
                .help("use a status from 100 to 599, as 429"));
        }
    }
    let value_test = match (equals, contains) {
        (Some(_), Some(contains)) => {
            return Err(Diagnostic::at(
                contains,
                "`equals` and `contains` exclude each other",
            ));
        }
        (Some(equals), None) => ValueTest::Equals(equals.0.clone()),
        (None, Some(contains)) => ValueTest::Contains(contains.get_ref().clone()),
        (None, None) => ValueTest::Exists,
    };
    let body = match (pointer, value_test) {
        (Some(pointer), value) => {
            let text = pointer.get_ref();
            if !text.is_empty() && !text.starts_with('/') {
                return Err(Diagnostic::at(pointer, "not a JSON pointer")
                    .help(format!("a pointer begins with `/`, as `/{text}`")));
            }
            Some(BodyTest::Json(text.clone(), value))
        }
        (None, ValueTest::Contains(part)) => Some(BodyTest::Contains(part)),
        (None, ValueTest::Equals(_)) => {
            return Err(Diagnostic::at(written, "`equals` without `pointer`")
                .help("say which value of the JSON body it is, as `pointer = \"/error/code\"`"));
        }
        (None, ValueTest::Exists) => None,
    };
    if statuses.is_empty() && body.is_none() {
        return Err(Diagnostic::at(written, "a rule that fits every answer")
            .help("add `status`, or `pointer` or `contains` for the body"));
    }
    Ok(ErrorRule {
        statuses: statuses.iter().map(|status| *status.get_ref()).collect(),
        body,
        action: *action,
        hint: hint.clone().unwrap_or_default(),
    })
}
