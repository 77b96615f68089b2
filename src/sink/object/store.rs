//! A store and the place in it: what is asked of it without changing anything.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    Attribute, Error, GetOptions, GetResult, ObjectMeta, ObjectStore, UpdateVersion,
};

use super::address::{Service, StoreAddress};
use super::breaker::Breaker;
use super::client;
use super::trouble::{Trouble, trouble};
use super::words::explain;
use crate::outcome::Content;
use crate::sink::{SinkError, StoreOptions};

/// The name of an object's entry with the BLAKE3 hash of its bytes, in hexadecimal digits. One word, as Azure takes no dash
/// and proxies drop an underscore.
pub(super) const HASH_ENTRY: &str = "blake3";

/// How long a store may fail before that ends the run.
const BUDGET: Duration = Duration::from_secs(120);

/// The same when it is opened: nothing is lost yet by giving up.
const OPENING_BUDGET: Duration = Duration::from_secs(10);

/// How long one image may take, beside a second for each [`SLOWEST`] bytes.
const PUT_TIMEOUT: Duration = Duration::from_secs(60);

/// In bytes a second.
const SLOWEST: u64 = 64_000;

/// How long a question without an image may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// A store and the place in it.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) client: Arc<dyn ObjectStore>,
    pub(super) prefix: String,
    service: Service,
    /// For messages.
    url: String,
    /// The store and the place in it, by their addresses.
    pub(super) name: String,
    pub(super) breaker: Arc<Breaker>,
    /// How long it may fail before that ends the run.
    budget: Duration,
}

/// What has a key.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    /// Exactly these bytes, unless they changed where they are; in this version, where the store says it.
    Same(UpdateVersion),
    /// Others.
    Other(UpdateVersion),
}

impl Store {
    pub(super) fn new(
        (scheme, text): (&str, &str),
        options: &StoreOptions<'_>,
    ) -> Result<Self, SinkError> {
        let bad = |reason: String| SinkError::BadUrl {
            url: text.to_owned(),
            reason,
        };
        let service = Service::of_scheme(scheme)
            .ok_or_else(|| SinkError::UnknownScheme(scheme.to_owned()))?;
        let address = StoreAddress::parse(service, text).map_err(|error| bad(error.to_string()))?;
        let client = client::build(&address, options).map_err(|error| bad(error.to_string()))?;
        let budget = match options.timeout {
            None => BUDGET,
            Some(Duration::ZERO) => Duration::MAX,
            Some(budget) => budget,
        };
        Ok(Self {
            client,
            name: client::name(&address, options),
            prefix: address.prefix,
            service,
            url: text.to_owned(),
            breaker: Arc::new(Breaker::new(budget)),
            budget,
        })
    }

    /// The key of a name. Not made by the crate's own conversion, which would write `%C3%A9` for `é`.
    pub(super) fn key(&self, name: &str) -> Result<Path, SinkError> {
        let text = match self.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        };
        Path::parse(text).map_err(|error| self.unusable("naming an image in", &error.into()))
    }

    /// Asks for one object.
    pub(super) async fn probe(&self) -> Result<(), SinkError> {
        let patience = Breaker::new(OPENING_BUDGET.min(self.budget));
        let limit = self.time_to_ask().min(OPENING_BUDGET);
        let prefix = self.listed_prefix()?;
        loop {
            // It does not give up while somebody waits.
            let _ = patience.pass().await;
            let mut listed = self.client.list(prefix.as_ref());
            let asked = tokio::time::timeout(limit, listed.next()).await;
            let error = match asked {
                Ok(None | Some(Ok(_))) => return Ok(()),
                Ok(Some(Err(error))) => error,
                Err(_) => no_answer(),
            };
            let is_lasting = matches!(trouble(&error), Trouble::Refused | Trouble::Missing);
            if is_lasting || patience.failed(|| self.explain(&error)).is_err() {
                return Err(self.unusable("listing", &error));
            }
        }
    }

    /// How long a question without an image may take.
    pub(super) fn time_to_ask(&self) -> Duration {
        ASK_TIMEOUT.min(self.budget)
    }

    /// How long an image of this many bytes may take.
    pub(super) fn time_for(&self, bytes: u64) -> Duration {
        PUT_TIMEOUT.min(self.budget) + Duration::from_secs(bytes / SLOWEST)
    }

    /// All objects below the prefix. It goes on behind the last one where the store fails in the middle.
    pub(super) fn list(&self) -> BoxStream<'static, Result<ObjectMeta, SinkError>> {
        let listing = Listing {
            store: self.clone(),
            listed: None,
            last: None,
        };
        stream::try_unfold(listing, async |mut listing| {
            let next = listing.next().await?;
            Ok(next.map(|object| (object, listing)))
        })
        .boxed()
    }

    fn listed_prefix(&self) -> Result<Option<Path>, SinkError> {
        if self.prefix.is_empty() {
            return Ok(None);
        }
        self.key("").map(Some)
    }

    /// What has the key of `name`, compared with these bytes.
    pub(super) async fn look(&self, key: &Path, content: &Content) -> Result<Found, SinkError> {
        let Some(found) = self.head(key).await? else {
            return Ok(Found::Nothing);
        };
        let version = UpdateVersion {
            e_tag: found.meta.e_tag.clone(),
            version: found.meta.version.clone(),
        };
        if found.meta.size != content.bytes {
            return Ok(Found::Other(version));
        }
        let entry = Attribute::Metadata(HASH_ENTRY.into());
        let is_same = if let Some(hash) = found.attributes.get(&entry) {
            **hash == *content.hash.to_string()
        } else {
            // Somebody else put it.
            let bytes = self.bytes(key, content.bytes).await?;
            bytes.is_some_and(|bytes| blake3::hash(&bytes).as_bytes() == content.hash.as_bytes())
        };
        Ok(if is_same {
            Found::Same(version)
        } else {
            Found::Other(version)
        })
    }

    /// The size of an object in bytes; `None` where there is none.
    pub(super) async fn size(&self, key: &Path) -> Result<Option<u64>, SinkError> {
        Ok(self.head(key).await?.map(|found| found.meta.size))
    }

    async fn head(&self, key: &Path) -> Result<Option<GetResult>, SinkError> {
        let head = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let asked = self.ask(self.time_to_ask(), || {
            self.client.get_opts(key, head.clone())
        });
        match asked.await {
            Ok(found) => Ok(Some(found)),
            Err(Asked::Missing) => Ok(None),
            Err(Asked::Failed(said)) => Err(self.unusable_as("looking for an image in", said)),
        }
    }

    /// All bytes of an object; `None` where there is none.
    pub(super) async fn bytes(&self, key: &Path, size: u64) -> Result<Option<Bytes>, SinkError> {
        let asked = self.ask(self.time_for(size), async || {
            self.client
                .get_opts(key, GetOptions::default())
                .await?
                .bytes()
                .await
        });
        match asked.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Asked::Missing) => Ok(None),
            Err(Asked::Failed(said)) => Err(self.unusable_as("reading an image of", said)),
        }
    }

    /// Asks until there is an answer, for as long as the store may fail. For questions: whatever is asked twice must change
    /// nothing.
    pub(super) async fn ask<T, F: Future<Output = Result<T, Error>>>(
        &self,
        limit: Duration,
        question: impl Fn() -> F,
    ) -> Result<T, Asked> {
        let mut has_failed = false;
        loop {
            let _turn = self.breaker.pass().await.map_err(Asked::Failed)?;
            let asked = tokio::time::timeout(limit, question()).await;
            let error = match asked.unwrap_or_else(|_| Err(no_answer())) {
                Ok(answer) => {
                    // A store that is full answers questions: what failed before has not come to an end by that.
                    if has_failed {
                        self.breaker.succeeded();
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            match trouble(&error) {
                Trouble::Missing => return Err(Asked::Missing),
                Trouble::Unknown | Trouble::Later => {}
                Trouble::Taken | Trouble::Refused | Trouble::Bytes => {
                    return Err(Asked::Failed(self.explain(&error)));
                }
            }
            has_failed = true;
            let failed = self.breaker.failed(|| self.explain(&error));
            failed.map_err(Asked::Failed)?;
        }
    }

    pub(super) fn unusable(&self, doing: &str, source: &Error) -> SinkError {
        self.unusable_as(doing, self.explain(source))
    }

    /// What people are told of an error.
    pub(super) fn explain(&self, error: &Error) -> String {
        explain(error, self.service)
    }

    pub(super) fn unusable_as(&self, doing: &str, said: String) -> SinkError {
        SinkError::Store {
            what: format!("{doing} `{}`", self.url),
            source: said.into(),
        }
    }
}

/// A listing that was begun.
struct Listing {
    store: Store,
    /// What is left of the answers to the latest question.
    listed: Option<BoxStream<'static, Result<ObjectMeta, Error>>>,
    last: Option<Path>,
}

impl Listing {
    async fn next(&mut self) -> Result<Option<ObjectMeta>, SinkError> {
        let Self {
            store,
            listed,
            last,
        } = self;
        let prefix = store.listed_prefix()?;
        let unusable = |said| store.unusable_as("listing", said);
        let mut has_failed = false;
        loop {
            let _turn = store.breaker.pass().await.map_err(unusable)?;
            let begun = listed.get_or_insert_with(|| match last {
                None => store.client.list(prefix.as_ref()),
                Some(last) => store.client.list_with_offset(prefix.as_ref(), last),
            });
            let next = tokio::time::timeout(store.time_to_ask(), begun.next()).await;
            let next = next.unwrap_or_else(|_| Some(Err(no_answer())));
            let error = match next.transpose() {
                Ok(object) => {
                    if has_failed {
                        store.breaker.succeeded();
                    }
                    if let Some(object) = &object {
                        *last = Some(object.location.clone());
                    }
                    return Ok(object);
                }
                Err(error) => error,
            };
            (*listed, has_failed) = (None, true);
            if !matches!(trouble(&error), Trouble::Unknown | Trouble::Later) {
                return Err(unusable(store.explain(&error)));
            }
            store
                .breaker
                .failed(|| store.explain(&error))
                .map_err(unusable)?;
        }
    }
}

/// Why a question has no answer.
pub(super) enum Asked {
    Missing,
    /// What the store said.
    Failed(String),
}

pub(super) fn no_answer() -> Error {
    let source = HttpError::new(
        HttpErrorKind::Timeout,
        io::Error::from(io::ErrorKind::TimedOut),
    );
    Error::Generic {
        store: "store",
        source: source.into(),
    }
}
