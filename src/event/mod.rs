//! What happened, in the past tense: stages emit facts, reporters make sentences of them.

mod channel;
mod listing;
mod mask;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use url::Url;

use crate::job::{ImageKey, ImageName, SiteId};
use crate::outcome::Outcome;

pub use self::channel::{Events, WeakEvents};
pub use self::listing::{ListingEnd, ListingFailure};

/// One thing that happened in a run over one site.
///
/// The counts of [`Event::PageRead`] and the outcomes of [`Event::ImageFinished`] add up: every image found is
/// already there, gone, finished once, or not started when the run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Everything is open, the first page is about to be requested.
    RunStarted {
        /// The site.
        site: SiteId,
        /// The folder of the collection; empty for a run that stores nothing.
        directory: String,
        /// Images fetched at a time.
        jobs: usize,
        /// Whether it works for other runs, which found the images: no listing is read, and more may come at any time.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        works_for_others: bool,
    },
    /// A listing page was read.
    PageRead {
        /// The address that was requested.
        page: Url,
        /// Its number, from 1 in the listing's order; none for a listing that another one leads to.
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<u32>,
        /// Images on it that this run had not seen yet.
        found: usize,
        /// Of these, how many are in the collection.
        already_there: usize,
        /// Of these, how many the site said are gone, too recently to be requested again.
        gone: usize,
        /// Images on it that an earlier page of this run had shown; not among `found`.
        repeated: usize,
        /// Items on it that the definition's conditions leave out; not among `found`.
        left_out: usize,
    },
    /// Addresses that the user gave were read.
    AddressesRead {
        /// Images among them that this run had not seen yet.
        found: usize,
        /// Of these, how many are in the collection.
        already_there: usize,
        /// Of these, how many the site said are gone, too recently to be requested again.
        gone: usize,
        /// Images that were given before; not among `found`.
        repeated: usize,
    },
    /// Items of a listing page were skipped, because they have no usable address.
    ItemsUnusable {
        /// The address that was requested.
        page: Url,
        /// Items in which no thumb was found.
        without_thumb: usize,
        /// Items whose thumb has an address that cannot be requested.
        unusable: usize,
    },
    /// The listing was read to its end.
    ListingEnded {
        /// Pages with images that were read.
        pages: u32,
        /// The page that ended it: the address that was requested.
        #[serde(skip_serializing_if = "Option::is_none")]
        page: Option<Url>,
        /// Why it ended there.
        #[serde(flatten)]
        reason: ListingEnd,
    },
    /// The listing could not be read to its end; what was found before is still fetched.
    ListingFailed {
        /// The page that was read last: the address that was requested.
        page: Url,
        /// What went wrong.
        #[serde(flatten)]
        reason: ListingFailure,
        /// A copy of the page, in UTF-8, where it was read and does not look as the definition says.
        #[serde(skip_serializing_if = "Option::is_none")]
        copy: Option<String>,
    },
    /// An original is being requested.
    FetchStarted {
        /// The image.
        key: ImageKey,
        /// 1 for the first request, 2 for the first retry.
        attempt: u32,
    },
    /// Bytes of an original arrived.
    FetchProgressed {
        /// The image.
        key: ImageKey,
        /// Bytes so far.
        bytes: u64,
        /// The length, where the server declared one.
        total_bytes: Option<u64>,
    },
    /// A try failed and another will follow.
    FetchRetried {
        /// The image.
        key: ImageKey,
        /// The address that failed, in the form that was requested.
        address: String,
        /// The try that failed, from 1.
        attempt: u32,
        /// What went wrong: untrusted text.
        cause: String,
        /// How long until the next try.
        #[serde(rename = "wait_seconds", serialize_with = "seconds")]
        wait: Duration,
    },
    /// An image has its final outcome, and the ledger knows it.
    ImageFinished {
        /// The image.
        key: ImageKey,
        /// How it ended.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// One of the user's commands ended.
    HookFinished {
        /// The command, as the user wrote it.
        command: String,
        /// The image's file; none for a command at the end of a run.
        name: Option<ImageName>,
        /// Why it did not succeed, if so.
        cause: Option<String>,
        /// Whether the next run retries it.
        will_retry: bool,
        /// The end of its output: untrusted text.
        output: String,
        /// How long it took.
        #[serde(rename = "seconds", serialize_with = "seconds")]
        took: Duration,
    },
    /// The run ended with hooks that it could not run any more; the next one runs them.
    HooksLeft {
        /// Images whose hooks are left, plus one for the end of the run.
        number: u64,
    },
    /// The run ended at a limit that the user set.
    LimitReached {
        /// The flag that set it.
        limit: &'static str,
    },
    /// Why nothing seems to happen, for the person at the terminal. May be lost, like a hint.
    Waiting {
        /// What the run waits for.
        #[serde(flatten)]
        reason: WaitReason,
    },
    /// Something the user should know that is no image's outcome.
    Warned {
        /// What it is about.
        #[serde(flatten)]
        warning: Warning,
    },
}

/// Why a run makes no visible progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum WaitReason {
    /// A signal came, and images that were begun may finish. A second signal drops them.
    ImagesInFlight {
        /// How many.
        images: usize,
    },
    /// A signal came, and hooks that were begun may finish. A second signal kills them.
    HooksInFlight {
        /// How many.
        hooks: usize,
    },
    /// Every image has its name, and only hooks are left.
    HooksLeft {
        /// How many, the one for the end of the run included.
        hooks: usize,
        /// The most time that each may take, where there is a limit.
        #[serde(rename = "limit_seconds", serialize_with = "optional_seconds")]
        limit: Option<Duration>,
    },
    /// Another run holds the collection's lock, and this one waits for it (`--lock wait`).
    LockHeld(LockHolder),
    /// Another run holds the collection's lock, and this one leaves the collection to it (`--lock skip`).
    LockSkipped(LockHolder),
    /// The connection to the queue's broker is lost.
    QueueLost {
        /// The queue's address, here as below.
        queue: String,
    },
    /// The connection is there again.
    QueueBack {
        /// Which.
        queue: String,
    },
    /// The queue is full.
    QueueFull {
        /// Which.
        queue: String,
    },
    /// The broker is there and does not answer.
    QueueSilent {
        /// Which.
        queue: String,
    },
}

/// A lock that another run holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockHolder {
    /// The lock's path.
    pub lock: String,
    /// The holder's process and the time it took the lock, where that could be read.
    #[serde(flatten)]
    pub process: Option<LockProcess>,
}

/// The process that holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LockProcess {
    /// Its process ID.
    pub pid: u32,
    /// When it took the lock.
    pub since: Timestamp,
}

/// What a user should know beside the outcomes of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub enum Warning {
    /// `--insecure`: no server's certificate is checked.
    InsecureTls,
    /// The configuration file holds headers, which may be secrets, and other users can read it.
    ReadableConfig {
        /// The file.
        path: String,
    },
    /// The cookie file can be read by other users.
    ReadableCookies {
        /// The file.
        path: String,
    },
    /// Lines of the cookie file are no cookies; the others are sent.
    SkippedCookies {
        /// The file.
        path: String,
        /// How many lines.
        lines: usize,
        /// The number of the first of them.
        first_line: usize,
        /// What is wrong with the first.
        cause: String,
    },
    /// A host's robots.txt makes the run slower than the user's settings do; reported when a request has to wait for it.
    CrawlDelay {
        /// The host: `HOST`, with `:PORT` where that is not the scheme's own.
        host: String,
        /// The time between two requests that it asks for.
        #[serde(rename = "asked_seconds", serialize_with = "seconds")]
        asked: Duration,
        /// The time between two requests that is kept.
        #[serde(rename = "wait_seconds", serialize_with = "seconds")]
        wait: Duration,
    },
    /// The site answered with an error after which, as its definition says, nothing more is requested.
    SiteStopped {
        /// The error, and what the definition says about it.
        cause: String,
    },
    /// The collection had no ledger: a new one was made of the images in the folder.
    LedgerRebuilt {
        /// How many images it took in.
        images: usize,
    },
    /// A worker cannot work for a site whose jobs are in the queue; it leaves them to others.
    SiteUnavailable {
        /// The site.
        site: SiteId,
        /// Why.
        cause: String,
    },
    /// The listing was ended because a page leads back to one that was read before.
    ListingRepeats {
        /// The page: the address that was requested.
        page: Url,
    },
    /// Pages in a row, up to the end of the listing, showed nothing but items that the definition's conditions leave out.
    ItemsLeftOut {
        /// The pages.
        pages: u32,
        /// The items on them.
        items: usize,
    },
    /// The definition's `key` gives images no identity: their addresses stand in for it. Reported once a listing.
    KeysMissing {
        /// The images.
        images: usize,
        /// The page that shows the first of them: the address that was requested.
        page: Url,
        /// The key and what it is made of, as the definition writes them.
        key: String,
    },
    /// What a listing declares of its images is no hash or number, so that nothing is compared with it. Reported once a
    /// listing.
    DeclarationUnusable {
        /// The page that shows the first such image: the address that was requested.
        page: Url,
        /// Where it is, as the definition writes it.
        declared: String,
        /// What is there: untrusted text.
        value: String,
    },
    /// A message in the queue cannot be used; it was put among the dead letters, or not queued.
    QueueMessage {
        /// The queue's address.
        queue: String,
        /// Why: may quote another machine, so untrusted text.
        cause: String,
    },
    /// Too many hooks failed in a row: this run starts no more.
    HooksGivenUp {
        /// How many.
        failures: u32,
    },
    /// A reporter cannot write any more; the run goes on without it.
    ReporterFailed {
        /// Which one.
        reporter: &'static str,
        /// What the system said.
        cause: String,
        /// Whether its reader is gone, as after `| head`; otherwise it could not write.
        reader_gone: bool,
    },
}

fn seconds<S: Serializer>(wait: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(wait.as_secs_f64())
}

#[expect(clippy::ref_option, reason = "serde asks for this signature")]
fn optional_seconds<S: Serializer>(
    limit: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    limit.map(|limit| limit.as_secs_f64()).serialize(serializer)
}
