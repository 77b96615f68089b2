//! The sentences for the typed facts of events.

use url::Url;

use super::terminal::escape_truncated;
use crate::event::{ListingEnd, ListingFailure, LockHolder, LockProcess, WaitReason, Warning};
use crate::units::{HumanDuration, count, plural};

/// Why a listing ended, after "listed 3 pages: ".
/// Why a listing ended, safe to print.
pub fn listing_end(reason: &ListingEnd) -> String {
    match reason {
        ListingEnd::LastPageRequested => "the last page requested was read".to_owned(),
        ListingEnd::LastPage { number } => format!("{} is the last", numbered(*number)),
        ListingEnd::NextRepeated { number } => {
            format!("{} leads back to an earlier one", numbered(*number))
        }
        ListingEnd::EmptyPage { number } => format!("{} is empty", numbered(*number)),
        ListingEnd::NoSuchPage { number, status } => match number {
            Some(number) => format!("there is no page {number} (status {status})"),
            None => format!("there is no next page (status {status})"),
        },
        ListingEnd::NothingNew {
            number,
            repeated_pages,
        } => {
            let before = match repeated_pages.saturating_sub(1) {
                1 => "the one before it".to_owned(),
                before => format!("the {before} before it"),
            };
            format!("{} and {before} showed nothing new", numbered(*number))
        }
        ListingEnd::NothingFound => "nothing was found, as the first page says".to_owned(),
        ListingEnd::UrlListRead => "every URL given was read".to_owned(),
    }
}

fn numbered(number: Option<u32>) -> String {
    number.map_or_else(
        || "the last page".to_owned(),
        |number| format!("page {number}"),
    )
}

/// A listing page by its address and, where it has one, its number. Safe to print.
pub(super) fn page(number: Option<u32>, url: &Url) -> String {
    let url = escape_truncated(url.as_str());
    number.map_or_else(
        || format!("page {url}"),
        |number| format!("page {number} ({url})"),
    )
}

/// Why a listing could not be read, after its address. It may quote a server, so it is untrusted text.
pub fn listing_failure(reason: &ListingFailure) -> String {
    match reason {
        ListingFailure::Fetch { status: _, cause } => cause.clone(),
        ListingFailure::TooManyElements { limit } => {
            format!("page too complex: more than {} elements", count(*limit))
        }
        ListingFailure::TooManySteps { limit } => format!(
            "the selectors or patterns of the site's definition take more than {} steps on the page: make them simpler",
            count(*limit)
        ),
        ListingFailure::TooManyItems { limit } => {
            format!(
                "the page has {} items or more, and may have been read in part",
                count(*limit)
            )
        }
        ListingFailure::TagTooLong { limit } => format!(
            "page too complex: a tag or comment with more than {} words",
            count(*limit)
        ),
        ListingFailure::Unreadable { language, cause } => {
            format!("the page is not {language} that can be read: {cause}")
        }
        ListingFailure::NoThumbs { sources } => {
            format!(
                "items without a thumb or another address: compare the page with {sources} in the site's definition"
            )
        }
        ListingFailure::NoUsableThumbs { sources } => {
            format!(
                "no item on it has a usable address: compare the page with {sources} in the site's definition"
            )
        }
        ListingFailure::NoConditionValue { items, condition } => format!(
            "none of its {} has what a condition looks at, so that all are left out: compare the page with \
             where = {condition} in the site's definition, and give the value a `default` if it may be missing",
            plural(*items, "item", "items")
        ),
        ListingFailure::NoKeys { key } => format!(
            "none of its images has an identity: compare the page with {key} in the site's definition"
        ),
        ListingFailure::FirstPageEmpty { select } => format!(
            "the first page shows no image: compare it with {} in the site's definition",
            written("select", select)
        ),
        ListingFailure::NoEndMark { select } => format!(
            "it shows neither an item ({}) nor the mark of the end: the site may have changed, or another server answered",
            written("select", select)
        ),
        ListingFailure::NoLinks => {
            "the first page leads to no listing: compare it with `through` in the site's definition"
                .to_owned()
        }
        ListingFailure::NextMissing { next } => format!(
            "it leads to no further page and cannot be the last: compare it with {next} in the site's definition, or \
             remove `expect` if it is the last"
        ),
        ListingFailure::PagerMissing { pager } => format!(
            "it leads to no further page and has no pager ({pager}): compare it with the site's definition"
        ),
        ListingFailure::NextUnusable { next, cause } => {
            let next = if next.is_empty() {
                String::new()
            } else {
                format!(" ({next})")
            };
            format!("the address of the next page{next} cannot be requested: {cause}")
        }
        ListingFailure::ShortPage {
            number,
            items,
            expected,
            select,
        } => format!(
            "page {number} has {} ({}), fewer than `expect = {expected}` in the site's definition, and is not the last",
            plural(*items, "item", "items"),
            written("select", select)
        ),
        ListingFailure::LongGap { pages } => format!(
            "{} in a row are missing or empty: move `window.earliest` in the site's definition if there are no earlier ones",
            plural(*pages, "page", "pages")
        ),
        ListingFailure::TooManyPages { limit } => format!(
            "the listing does not end after {} pages: read a part of it with `--pages`",
            count(*limit)
        ),
        ListingFailure::NoOriginals { images, example } => format!(
            "none of its {} leads to an original: {example}",
            plural(*images, "thumb", "thumbs")
        ),
    }
}

/// A key of a definition, with its value where that is known.
fn written(key: &str, value: &str) -> String {
    if value.is_empty() {
        format!("`{key}`")
    } else {
        format!("{key} = {value}")
    }
}

/// Where a page is kept that does not look as the definition says.
pub(super) fn page_copy(path: &str) -> String {
    let path = super::escape(path);
    format!(
        "; a copy of the page is `{path}`, and `wallhaul sites test SITE --page FILE` shows what the definition makes of it"
    )
}

/// How many items of a page were skipped because they have no usable address.
pub(super) fn items_unusable(without_thumb: usize, unusable: usize) -> String {
    let items = plural(without_thumb + unusable, "item", "items");
    format!("{items} without a usable address")
}

/// What a run waits for, and how to end the wait.
pub fn waiting(reason: &WaitReason) -> String {
    match reason {
        WaitReason::ImagesInFlight { images } => format!(
            "finishing {} in flight; press Ctrl-C again to drop {}",
            plural(*images, "image", "images"),
            them(*images)
        ),
        WaitReason::HooksInFlight { hooks } => format!(
            "finishing {}; press Ctrl-C again to kill {}",
            plural(*hooks, "running hook", "running hooks"),
            them(*hooks)
        ),
        WaitReason::HooksLeft { hooks, limit } => {
            let limit = limit.map_or_else(String::new, |limit| {
                format!(", at most {} each", HumanDuration(limit))
            });
            format!(
                "waiting for {}{limit}; press Ctrl-C to end {}",
                plural(*hooks, "hook", "hooks"),
                them(*hooks)
            )
        }
        WaitReason::LockHeld(LockHolder { lock, process }) => format!(
            "waiting for `{lock}`, which is held by another run{}",
            holder(*process)
        ),
        WaitReason::LockSkipped(LockHolder { lock, process }) => format!(
            "nothing to do: `{lock}` is held by another run{}",
            holder(*process)
        ),
        WaitReason::QueueLost { queue } => format!("waiting for `{queue}`: the connection is lost"),
        WaitReason::QueueBack { queue } => format!("`{queue}` is back"),
        WaitReason::QueueFull { queue } => format!("waiting for room in `{queue}`"),
        WaitReason::QueueSilent { queue } => {
            format!("waiting for `{queue}`: it does not answer; is its disk full?")
        }
    }
}

/// What is wrong, and what to do about it.
pub fn warning(warning: &Warning) -> String {
    match warning {
        Warning::InsecureTls => {
            "certificates are not checked (--insecure): anyone on the network path can change \
                                 what is downloaded"
                .to_owned()
        }
        Warning::ReadableConfig { path } => format!(
            "`{path}` contains headers and is readable by other users: run `chmod go-r` on it"
        ),
        Warning::ReadableCookies { path } => {
            format!(
                "`{path}` contains cookies and is readable by other users: run `chmod go-r` on it"
            )
        }
        Warning::SkippedCookies {
            path,
            lines,
            first_line,
            cause,
        } => format!(
            "skipped {} of `{path}`: line {first_line}: {cause}",
            plural(*lines, "line", "lines")
        ),
        Warning::CrawlDelay { host, asked, wait } => {
            let (asked, wait) = (HumanDuration(*asked), HumanDuration(*wait));
            let kept = if asked == wait {
                String::new()
            } else {
                format!(", of which {wait} are kept")
            };
            format!(
                "robots.txt of `{host}` asks for {asked} between two requests{kept}: images come no faster; \
                 use `--robots ignore` to go without it"
            )
        }
        Warning::SiteUnavailable { site, cause } => format!(
            "the queue holds jobs of `{site}`, which are left to other workers: {}",
            escape_truncated(cause)
        ),
        Warning::LedgerRebuilt { images } => format!(
            "the ledger was missing: made a new one from {} in the folder",
            plural(*images, "image", "images")
        ),
        Warning::ListingRepeats { page } => format!(
            "the listing page {} leads back to an earlier one: the listing ends there",
            escape_truncated(page.as_str())
        ),
        Warning::ItemsLeftOut { pages, items } => {
            let pages = match *pages {
                1 => "the page".to_owned(),
                pages => format!("the last {} pages", count(pages)),
            };
            let items = plural(*items, "item", "items");
            format!("none of {items} on {pages} passes `where` in the site's definition")
        }
        Warning::KeysMissing { images, page, key } => format!(
            "{} without an identity, the first on {}: its address stands in for it, and it is fetched again when that \
             changes; compare the page with {key} in the site's definition",
            plural(*images, "image", "images"),
            escape_truncated(page.as_str())
        ),
        Warning::DeclarationUnusable {
            page,
            declared,
            value,
        } => format!(
            "nothing is compared with `{value}` on {}: it is not what {declared} in the site's definition must be",
            escape_truncated(page.as_str())
        ),
        Warning::SiteStopped { cause } => {
            format!("{cause}; nothing more is requested of the site")
        }
        Warning::QueueMessage { queue, cause } => {
            format!(
                "an unusable message in `{queue}`: {}",
                escape_truncated(cause)
            )
        }
        Warning::HooksGivenUp { failures } => {
            format!("{failures} hooks failed in a row: this run starts no more hooks")
        }
        Warning::ReporterFailed {
            reporter,
            cause,
            reader_gone,
        } => reporter_failed(reporter, cause, *reader_gone),
    }
}

/// Said where the environment looks like that of a CGI program.
pub const PROXY_IGNORED: &str = "note: HTTP_PROXY is ignored because REQUEST_METHOD is set: a client of the web server \
may have chosen its value; set `http_proxy` in small letters to use a proxy";

/// That the run continues without a reporter, and why.
pub(super) fn reporter_failed(reporter: &str, cause: &str, reader_gone: bool) -> String {
    if reader_gone {
        format!("the reader of {reporter} is gone; the run continues")
    } else {
        format!("cannot write {reporter}: {cause}; the run continues")
    }
}

fn them(number: usize) -> &'static str {
    if number == 1 { "it" } else { "them" }
}

fn holder(process: Option<LockProcess>) -> String {
    process.map_or_else(String::new, |LockProcess { pid, since }| {
        format!(" (pid {pid}, since {since})")
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_end_of_a_listing_is_said_with_and_without_a_page_number() {
        let end = |number| listing_end(&ListingEnd::EmptyPage { number });
        assert_eq!(end(Some(2)), "page 2 is empty");
        assert_eq!(end(None), "the last page is empty");
        let repeated = ListingEnd::NothingNew {
            number: Some(3),
            repeated_pages: 2,
        };
        assert_eq!(
            listing_end(&repeated),
            "page 3 and the one before it showed nothing new"
        );
    }

    #[test]
    fn limits_and_counts_read_as_english() {
        let limit = 200_000;
        assert_eq!(
            listing_failure(&ListingFailure::TooManyElements { limit }),
            "page too complex: more than 200,000 elements"
        );
        assert_eq!(items_unusable(1, 0), "1 item without a usable address");
        assert_eq!(items_unusable(1, 2), "3 items without a usable address");
    }

    #[test]
    fn a_wait_for_one_hook_or_image_reads_in_the_singular() {
        let images = |images| waiting(&WaitReason::ImagesInFlight { images });
        assert_eq!(
            images(1),
            "finishing 1 image in flight; press Ctrl-C again to drop it"
        );
        assert_eq!(
            images(2),
            "finishing 2 images in flight; press Ctrl-C again to drop them"
        );
        let hooks = |hooks, limit| waiting(&WaitReason::HooksLeft { hooks, limit });
        assert_eq!(hooks(1, None), "waiting for 1 hook; press Ctrl-C to end it");
        assert_eq!(
            hooks(3, Some(Duration::from_secs(60))),
            "waiting for 3 hooks, at most 1 min each; press Ctrl-C to end them"
        );
    }

    #[test]
    fn a_crawl_delay_is_reported_with_what_is_kept_of_it() {
        let message = |asked| {
            warning(&Warning::CrawlDelay {
                host: "h".to_owned(),
                asked: Duration::from_secs(asked),
                wait: Duration::from_secs(10),
            })
        };
        assert_eq!(
            message(10),
            "robots.txt of `h` asks for 10 s between two requests: images come no faster; use `--robots ignore` to go \
             without it"
        );
        assert!(
            message(30).contains("asks for 30 s between two requests, of which 10 s are kept: ")
        );
    }

    #[test]
    fn a_lock_names_its_holder_where_that_is_known() {
        let held = |process| {
            let lock = "walls/.wallhaul/lock".to_owned();
            waiting(&WaitReason::LockHeld(LockHolder { lock, process }))
        };
        assert_eq!(
            held(None),
            "waiting for `walls/.wallhaul/lock`, which is held by another run"
        );
        let process = LockProcess {
            pid: 42,
            since: "2026-11-23T12:00:00Z".parse().unwrap(),
        };
        assert!(held(Some(process)).ends_with(" (pid 42, since 2026-11-23T12:00:00Z)"));
    }
}
