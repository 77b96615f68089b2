//! `wallhaul sites test`: what a definition makes of a saved page, without a network.

use std::convert::Infallible;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use jiff::tz::TimeZone;
use similar::{ChangeTag, TextDiff};
use url::Url;

use super::fixture::{Fixture, RecordedKind};
use super::hops::Details;
use super::items::{TriedPage, failure_text, try_page};
use super::onward::{Onward, onward};
use crate::app::console::{print, print_note};
use crate::app::environment::Environment;
use crate::app::targets::{Definitions, SelectedSite};
use crate::config::{Options, Settings};
use crate::exit::Exit;
use crate::fetch::RawPage;
use crate::mask::Masks;
use crate::report::escape;
use crate::site::{NextPage, Pages, Site};
use crate::user_path;

/// The most that is read of a saved page or an expected output, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// Lines of a difference that are printed; more say no more.
const MAX_DIFFERENCES: usize = 100;

/// What `wallhaul sites test` is to do.
#[derive(Debug, Clone)]
pub struct TestOptions {
    /// The saved page, or a folder made by `sites record`.
    pub page: PathBuf,
    /// The address that it came from, where not the definition's first page.
    pub page_url: Option<Url>,
    /// Saved pages that lead to originals.
    pub details: Vec<DetailPage>,
    /// A saved output of the same command, to be compared with.
    pub expect: Option<PathBuf>,
    /// Print JSON lines.
    pub json: bool,
}

/// A saved page that leads to an original.
#[derive(Debug, Clone)]
pub struct DetailPage {
    /// The address that it came from; without it, that of the next page that an item leads to.
    pub url: Option<Url>,
    /// The file with the page.
    pub file: PathBuf,
}

impl FromStr for DetailPage {
    type Err = Infallible;

    /// Reads `FILE` or `URL=FILE`.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let named = text.rsplit_once('=').and_then(|(url, file)| {
            let url = Url::parse(url).ok().filter(Url::has_host)?;
            Some((url, file))
        });
        Ok(match named {
            Some((url, file)) => Self {
                url: Some(url),
                file: file.into(),
            },
            None => Self {
                url: None,
                file: text.into(),
            },
        })
    }
}

/// Prints what the definition makes of the saved page; exit code 3 when it does not fit it, 1 when the output is not as
/// expected.
///
/// # Errors
///
/// When the definition is wrong, a file cannot be read, or standard output cannot be written to.
pub fn test_site(
    definition: &str,
    wanted: &TestOptions,
    options: Options,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    let settings = Settings::new(options, environment.stderr, environment.clock);
    let definitions = Definitions::new(environment, &settings);
    let found = definitions.find_or_read(definition)?;
    let site = SelectedSite::new(&found, &definitions)?.site;
    let mut output = String::new();
    let mut exit = Exit::Done;
    let today = (environment.clock)().to_zoned(TimeZone::UTC).date();
    let mut pager = site.pager(Pages::default(), today);
    let mut first = pager.next_page();
    let mut details = details(&site, wanted)?;
    for mut page in pages(&site, wanted, &first)? {
        let request = std::mem::replace(&mut first, NextPage::NoMore);
        page.charset = site.requests().charset;
        let shown = escape(page.url.as_str()).into_owned();
        match try_page(
            &site,
            &page.decoded(),
            true,
            &Masks::default(),
            |_images| {},
        ) {
            Ok(mut tried) => {
                let images = tried.items.len();
                let onward = match request {
                    NextPage::Request(request) => {
                        onward(&site, &mut pager, &request, &tried.listing, images)
                    }
                    NextPage::AfterAnswer | NextPage::NoMore => Onward::Unknown,
                };
                first = pager.next_page();
                details.follow(&mut tried);
                output += &text(&tried, wanted.json)?;
                let said = match onward {
                    Onward::Links(links) => {
                        tried.failure = None;
                        links
                    }
                    Onward::After(next) => format!("{}; {next}", tried.summary()),
                    Onward::Unknown => tried.summary(),
                };
                print_note(&format!("{shown}: {said}"));
                if let Some(failure) = tried.failure() {
                    print_note(&format!("{shown}: {failure}"));
                    exit = exit.max_severity(Exit::Listing);
                }
            }
            Err(failure) => {
                print_note(&format!("{shown}: {}", failure_text(&failure)));
                exit = exit.max_severity(Exit::Listing);
            }
        }
    }
    if let Some(summary) = details.summary() {
        print_note(&summary);
    }
    if details.do_not_fit() {
        exit = exit.max_severity(Exit::Listing);
    }
    match &wanted.expect {
        None => {
            print(output.as_bytes())?;
        }
        Some(path) => {
            let expected = String::from_utf8_lossy(&read(path)?).into_owned();
            let difference = difference(&expected, &output);
            if !difference.is_empty() {
                print(difference.as_bytes())?;
                print_note(&format!(
                    "not as in {}",
                    escape(&path.display().to_string())
                ));
                exit = exit.max_severity(Exit::Incomplete);
            }
        }
    }
    Ok(exit)
}

fn text(tried: &TriedPage, json: bool) -> anyhow::Result<String> {
    if json {
        tried.json()
    } else {
        Ok(tried.table())
    }
}

/// The pages that are to be read, in their order.
fn pages(site: &Site, wanted: &TestOptions, first: &NextPage) -> anyhow::Result<Vec<RawPage>> {
    if wanted.page.is_dir() {
        if wanted.page_url.is_some() {
            bail!("--page-url is for one page; the folder says where each of its pages came from");
        }
        return Fixture::open(&wanted.page)?.pages(RecordedKind::Page);
    }
    let first = match first {
        NextPage::Request(request) => request.url.clone(),
        NextPage::AfterAnswer | NextPage::NoMore => site.first_page(),
    };
    let url = wanted.page_url.clone().unwrap_or(first);
    Ok(vec![saved_page(&wanted.page, url)?])
}

/// The pages at hand that lead to originals: those of the folder, and those that are named.
fn details(site: &Site, wanted: &TestOptions) -> anyhow::Result<Details> {
    let mut details = Details::default();
    let charset = site.requests().charset;
    if wanted.page.is_dir() {
        for page in Fixture::open(&wanted.page)?.pages(RecordedKind::Detail)? {
            details.add(RawPage { charset, ..page });
        }
    }
    for DetailPage { url, file } in &wanted.details {
        let place = url.clone().unwrap_or_else(|| site.base().clone());
        let page = saved_page(file, place)?;
        let page = RawPage { charset, ..page };
        match url {
            Some(_) => details.add(page),
            None => details.add_unnamed(page),
        }
    }
    Ok(details)
}

fn saved_page(file: &Path, url: Url) -> anyhow::Result<RawPage> {
    Ok(RawPage {
        charset: None,
        url,
        status: 200,
        content_type: content_type(file).map(str::to_owned),
        next: None,
        bytes: read(file)?,
    })
}

/// The content type that a saved page's name stands for, where it matters: as XML it is parsed by other rules.
fn content_type(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "xhtml" => Some("application/xhtml+xml"),
        "xml" | "rss" | "atom" => Some("application/xml"),
        _ => None,
    }
}

pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let reading = || format!("reading `{}`", path.display());
    let mut bytes = Vec::new();
    user_path::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .with_context(reading)?;
    if bytes.len() as u64 > MAX_BYTES {
        bail!("`{}` is larger than {MAX_BYTES} bytes", path.display());
    }
    Ok(bytes)
}

/// The lines that differ, `-` for those that are expected and `+` for those that are there.
fn difference(expected: &str, output: &str) -> String {
    let difference = TextDiff::configure()
        .deadline(std::time::Instant::now() + std::time::Duration::from_secs(5))
        .diff_lines(expected, output);
    let lines = difference.iter_all_changes().filter_map(|change| {
        let sign = match change.tag() {
            ChangeTag::Equal => return None,
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
        };
        // The output is escaped already, the file may be anybody's; a tab is a tab.
        let line = change.value().trim_end_matches(['\n', '\r']);
        let cells: Vec<_> = line.split('\t').map(escape).collect();
        Some(format!("{sign}{}\n", cells.join("\t")))
    });
    lines.take(MAX_DIFFERENCES).collect()
}
