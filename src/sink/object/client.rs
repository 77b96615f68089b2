//! Makes the client of a store, by the variables that its service's own tools read.

use std::ffi::OsString;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::memory::InMemory;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use thiserror::Error;
use url::{Host, Url};

use super::address::{Service, StoreAddress};
use crate::sink::StoreOptions;

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What keeps a store from being asked at all.
#[derive(Debug, Error)]
pub(super) enum SettingsError {
    #[error(
        "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (~/.aws is not read), or AWS_METADATA_ENDPOINT on a machine that gets them from there"
    )]
    NoCredentials,
    #[error(
        "no account: set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or what your way to log in wants"
    )]
    NoAccount,
    #[error("{0} is set, and would store images without what keeps them safe: unset it")]
    Forbidden(&'static str),
    #[error(
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST is set, and the endpoint `{0}` does not begin with the bucket: unset it, or write the bucket in front of the endpoint's host"
    )]
    HostWithoutBucket(String),
    #[error("the endpoint `{0}` is not an address: write it as https://HOST")]
    Endpoint(String),
    #[error(
        "`{0}` is spoken to without TLS, which everybody on the way could read and change: use https, or allow it with --insecure-store"
    )]
    Insecure(String),
    #[error(transparent)]
    Client(#[from] object_store::Error),
}

/// The variables by which a store is found and asked.
struct Variables<'a>(&'a [(OsString, OsString)]);

impl Variables<'_> {
    /// Those that are set, to something, in letters that can be read.
    fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self
            .0
            .iter()
            .map(|(name, value)| (name.to_str(), value.to_str()));
        texts.filter_map(|(name, value)| Some((name?, value.filter(|value| !value.is_empty())?)))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.all();
        all.find_map(|(found, value)| (found == name).then_some(value))
    }

    fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    fn is_true(&self, name: &str) -> bool {
        let value = self.get(name).map(str::to_ascii_lowercase);
        matches!(value.as_deref(), Some("1" | "true" | "on" | "yes"))
    }
}

/// Names the store and the place in it, so that two of them are never taken for one.
pub(super) fn name(address: &StoreAddress, options: &StoreOptions<'_>) -> String {
    let variables = Variables(options.variables);
    let (scheme, at) = match address.service {
        Service::S3 => ("s3", variables.first(&S3_ENDPOINT)),
        Service::Azure => {
            let account = variables.get("AZURE_STORAGE_ACCOUNT_NAME");
            ("az", variables.first(&AZURE_ENDPOINT).or(account))
        }
        Service::Google => ("gs", None),
        Service::Memory => ("memory", None),
    };
    let StoreAddress { bucket, prefix, .. } = address;
    let at = at.map_or_else(String::new, |at| {
        format!(" at {}", shown(at).trim_end_matches('/'))
    });
    format!("{scheme}://{bucket}/{prefix}{at}")
}

/// The address of a store that is not Amazon's, by the strongest variable first.
const S3_ENDPOINT: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];

/// And of one that is not Microsoft's.
const AZURE_ENDPOINT: [&str; 2] = ["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"];

/// The client of the store that has the bucket of `address`.
pub(super) fn build(
    address: &StoreAddress,
    options: &StoreOptions<'_>,
) -> Result<Arc<dyn ObjectStore>, SettingsError> {
    // The crate's own client wants it; `fetch` may have installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let variables = Variables(options.variables);
    match address.service {
        Service::S3 => s3(address, &variables, options.insecure),
        Service::Azure => azure(address, &variables, options.insecure),
        Service::Google => google(address, &variables),
        Service::Memory => Ok(Arc::new(InMemory::new())),
    }
}

fn s3(
    address: &StoreAddress,
    variables: &Variables<'_>,
    insecure: bool,
) -> Result<Arc<dyn ObjectStore>, SettingsError> {
    if variables.is_true("AWS_SKIP_SIGNATURE") {
        return Err(SettingsError::Forbidden("AWS_SKIP_SIGNATURE"));
    }
    if variables.get("AWS_CONDITIONAL_PUT") == Some("disabled") {
        return Err(SettingsError::Forbidden("AWS_CONDITIONAL_PUT"));
    }
    // Without any of these the crate asks the address where machines of Amazon find theirs, and waits.
    let sources = [
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_METADATA_ENDPOINT",
    ];
    if variables.first(&sources).is_none() {
        return Err(SettingsError::NoCredentials);
    }
    let endpoint = variables.first(&S3_ENDPOINT);
    let is_virtual = variables.is_true("AWS_VIRTUAL_HOSTED_STYLE_REQUEST");
    let may_be_http = insecure || variables.is_true("AWS_ALLOW_HTTP");
    let mut plain = false;
    if let Some(text) = endpoint {
        let url = endpoint_url(text, may_be_http)?;
        plain = url.scheme() == "http";
        let begins = format!("{}.", address.bucket);
        if is_virtual && !url.host_str().is_some_and(|host| host.starts_with(&begins)) {
            return Err(SettingsError::HostWithoutBucket(shown(text)));
        }
    }
    let mut builder = AmazonS3Builder::new();
    for (name, value) in variables.all().filter(|(name, _)| name.starts_with("AWS_")) {
        // Variables of other tools are none of its keys.
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let store = builder
        .with_bucket_name(&address.bucket)
        // Without it a byte that changed on the way is stored all the same: servers were seen to.
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(no_retries())
        .with_client_options(client_options(plain))
        .with_allow_http(plain)
        .build()?;
    Ok(Arc::new(store))
}

fn azure(
    address: &StoreAddress,
    variables: &Variables<'_>,
    insecure: bool,
) -> Result<Arc<dyn ObjectStore>, SettingsError> {
    let account = ["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_USE_EMULATOR"];
    if variables.first(&account).is_none() {
        return Err(SettingsError::NoAccount);
    }
    if variables.is_true("AZURE_SKIP_SIGNATURE") {
        return Err(SettingsError::Forbidden("AZURE_SKIP_SIGNATURE"));
    }
    let mut plain = variables.is_true("AZURE_STORAGE_USE_EMULATOR");
    let endpoint = variables.first(&AZURE_ENDPOINT);
    if let Some(text) = endpoint {
        plain = endpoint_url(text, insecure || variables.is_true("AZURE_ALLOW_HTTP"))?.scheme()
            == "http";
    }
    let mut builder = MicrosoftAzureBuilder::new();
    for (name, value) in variables
        .all()
        .filter(|(name, _)| name.starts_with("AZURE_"))
    {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let store = builder
        .with_container_name(&address.bucket)
        .with_retry(no_retries())
        .with_client_options(client_options(plain))
        .with_allow_http(plain)
        .build()?;
    Ok(Arc::new(store))
}

fn google(
    address: &StoreAddress,
    variables: &Variables<'_>,
) -> Result<Arc<dyn ObjectStore>, SettingsError> {
    use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
    let mut builder = GoogleCloudStorageBuilder::new();
    for (name, value) in variables
        .all()
        .filter(|(name, _)| name.starts_with("GOOGLE_"))
    {
        if let Ok(key) = name.to_ascii_lowercase().parse::<GoogleConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let store = builder
        .with_bucket_name(&address.bucket)
        .with_retry(no_retries())
        .with_client_options(client_options(false))
        .build()?;
    Ok(Arc::new(store))
}

/// The crate's own retries end too early, and hide what is not known of an outcome: ours are in `ObjectSink`.
fn no_retries() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

/// No limit to a request as a whole: the crate's would cut large images on slow lines, and its limit to a pause counts from
/// the beginning of an upload. Ours depends on the image's size.
fn client_options(plain: bool) -> ClientOptions {
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(plain)
}

/// The address of an endpoint, which has TLS or is on this machine unless `may_be_http`.
fn endpoint_url(text: &str, may_be_http: bool) -> Result<Url, SettingsError> {
    let url = Url::parse(text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or_else(|| SettingsError::Endpoint(shown(text)))?;
    if url.scheme() == "http" && !may_be_http && !is_loopback(&url) {
        let host = url.host_str().unwrap_or_default();
        return Err(SettingsError::Insecure(host.to_owned()));
    }
    Ok(url)
}

/// An endpoint without the user and password that may stand in it.
fn shown(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    match rest.rsplit_once('@') {
        None => text.to_owned(),
        Some((_secret, host)) if scheme.is_empty() => host.to_owned(),
        Some((_secret, host)) => format!("{scheme}://{host}"),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(variables: &[(&str, &str)]) -> Option<String> {
        let address = StoreAddress::parse(Service::S3, "s3://bucket/a").unwrap();
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect();
        let options = StoreOptions {
            variables: &variables,
            ..StoreOptions::default()
        };
        build(&address, &options)
            .err()
            .map(|error| error.to_string())
    }

    const KEYS: [(&str, &str); 2] = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "key"),
    ];

    #[test]
    fn settings_that_cannot_work_or_are_unsafe_are_refused_by_name() {
        let with = |name, value| refused(&[KEYS[0], KEYS[1], (name, value)]);
        assert_eq!(refused(&KEYS), None);
        for (found, said) in [
            (refused(&[]), "AWS_ACCESS_KEY_ID"),
            (refused(&[("AWS_ACCESS_KEY_ID", "")]), "AWS_ACCESS_KEY_ID"),
            (with("AWS_SKIP_SIGNATURE", "true"), "AWS_SKIP_SIGNATURE"),
            (
                with("AWS_CONDITIONAL_PUT", "disabled"),
                "AWS_CONDITIONAL_PUT",
            ),
            (with("AWS_ENDPOINT_URL", "store.example"), "`store.example`"),
            (
                with("AWS_ENDPOINT_URL", "me:key@store.example"),
                "`store.example`",
            ),
            (
                with("AWS_ENDPOINT_URL", "http://store.example"),
                "--insecure-store",
            ),
        ] {
            let found = found.expect(said);
            assert!(found.contains(said), "{found}");
            assert!(!found.contains("key"), "no secret: {found}");
        }
        let hosted = [
            KEYS[0],
            KEYS[1],
            ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true"),
        ];
        let endpoint = |host| {
            let endpoint = ("AWS_ENDPOINT_URL", host);
            refused(&[hosted[0], hosted[1], hosted[2], endpoint])
        };
        assert!(endpoint("https://store.example").is_some());
        assert_eq!(endpoint("https://bucket.store.example"), None);
    }

    #[test]
    fn http_is_taken_on_this_machine_and_where_the_user_allows_it() {
        let with = |endpoint| refused(&[KEYS[0], KEYS[1], ("AWS_ENDPOINT", endpoint)]);
        for loopback in [
            "http://127.0.0.1:8333",
            "http://[::1]:8333",
            "http://localhost:8333",
        ] {
            assert_eq!(with(loopback), None, "{loopback}");
        }
        assert!(with("http://127.0.0.1.example").is_some());
        let allowed = [
            KEYS[0],
            KEYS[1],
            ("AWS_ENDPOINT", "http://store.example"),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        assert_eq!(refused(&allowed), None);
    }
}
