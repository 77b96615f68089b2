//! What people are told of a store's error: what it said, and what to do.

use object_store::Error;
use object_store::client::HttpErrorKind;

use super::address::Service;
use super::trouble::{kind, status};

/// The innermost words of an error, and what to do about it.
pub(super) fn explain(error: &Error, service: Service) -> String {
    let said = said(error);
    match hint(error, service) {
        Some(hint) => format!("{said}: {hint}"),
        None => said,
    }
}

/// Each of the crate's layers repeats those below it. Of a store's XML only its code and its message are for people.
fn said(error: &Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    let Some((_, answer)) = text.split_once("Server returned non-2xx status code: ") else {
        return text;
    };
    let (status, body) = answer.split_once(": ").unwrap_or((answer, ""));
    let parts = [element(body, "Code"), element(body, "Message")];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let body = if parts.is_empty() {
        // HEAD has no body, and an answer that is no XML is a page of some proxy.
        body.chars().take(200).collect()
    } else {
        parts.join(", ")
    };
    match body.trim() {
        "" => format!("it answers {status}"),
        body => format!("it answers {status} ({body})"),
    }
}

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = behind.split_once(&format!("</{name}>"))?;
    let first = text.lines().next().unwrap_or_default();
    Some(first.trim_end_matches('.')).filter(|text| !text.is_empty())
}

fn hint(error: &Error, service: Service) -> Option<&'static str> {
    let text = error.to_string();
    if text.contains("ExpiredToken") {
        return Some("get a new token");
    }
    if text.contains("incorrectly configured region") {
        return Some("set AWS_REGION to the bucket's region");
    }
    let status = status(&text);
    let is_denied = matches!(
        error,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. }
    );
    if is_denied || matches!(status, Some(401 | 403)) {
        return Some(match service {
            Service::S3 => {
                "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, their rights to list, read and write in this bucket, and this machine's clock"
            }
            Service::Azure => {
                "check AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, their rights to list, read and write in this container, and this machine's clock"
            }
            Service::Google | Service::Memory => {
                "check the credentials, their rights to list, read and write in this bucket, and this machine's clock"
            }
        });
    }
    if matches!(error, Error::NotFound { .. }) || status == Some(404) {
        return Some("make the bucket first, or check its name");
    }
    if matches!(status, Some(500..=599)) {
        return Some("run again when it is well and has room");
    }
    match kind(error)? {
        HttpErrorKind::Connect => Some(match service {
            Service::S3 => "is it running, and is AWS_ENDPOINT_URL right?",
            Service::Azure => "is it running, and is AZURE_STORAGE_ENDPOINT right?",
            Service::Google | Service::Memory => "is it within reach?",
        }),
        HttpErrorKind::Timeout | HttpErrorKind::Interrupted | HttpErrorKind::Request => {
            Some("run again when it answers")
        }
        _ => None,
    }
}
