//! Pages that lead to an original: a detail page is read for the address of the image, or of the next such page.
//!
//! A worker reads them and has no definition: the rule travels in the job as text, the `follow` table itself, and is
//! compiled once a process.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use url::Url;

use super::candidate::{self, RewriteSteps};
use super::definition;
use super::document::{self, DocumentKind, Scope, Source, Work};
use super::extract::PageText;
use super::schema::FollowTable;
use super::{HostPattern, address};
use crate::job::{Candidate, Follow, FollowRule};
use crate::outcome::SkipReason;

/// Pages that may lie between an item and its original.
pub(super) const MAX_HOPS: usize = 3;

/// Rules that are kept compiled. A process works on a few sites at a time, each with a few rules; more come only from
/// jobs that somebody made up.
const MAX_CACHED_RULES: usize = 256;

/// A rule as a job carries it.
#[derive(Serialize)]
struct RuleText<'a> {
    /// Hosts whose addresses are requested with https even where a page says http.
    secure_hosts: &'a [String],
    follow: &'a toml::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    secure_hosts: Vec<String>,
    follow: Spanned<FollowTable>,
}

/// A rule with everything compiled.
#[derive(Debug)]
pub(super) struct CompiledFollow {
    pub(super) kind: DocumentKind,
    /// Each gives one address at most.
    pub(super) find: Vec<Source>,
    /// Gives a text where the page has no original, and not because the site has changed.
    pub(super) none: Option<Source>,
    pub(super) steps: RewriteSteps,
    /// What is looked for on the pages that are found; without it they are originals.
    pub(super) next: Option<FollowRule>,
}

/// A rule, and the hosts of its site.
#[derive(Debug)]
struct CachedFollow {
    rule: CompiledFollow,
    secure_hosts: Vec<HostPattern>,
}

/// A plain mutex: it is held for one look-up a page that was fetched.
static COMPILED: LazyLock<Mutex<HashMap<FollowRule, Option<Arc<CachedFollow>>>>> =
    LazyLock::new(Mutex::default);

/// The rule for a `follow` table, given as TOML. What concerns the item alone is left out, so that equal rules of
/// different items are one.
pub(super) fn rule_of(table: &toml::Table, secure_hosts: &[String]) -> FollowRule {
    let mut table = table.clone();
    table.remove("from");
    table.remove("template");
    let text = RuleText {
        secure_hosts,
        follow: &table,
    };
    // A table that was parsed from TOML can be written as TOML.
    FollowRule::from_toml(toml::to_string(&text).unwrap_or_default())
}

/// The ways to an original that the page at `page` shows, in the order to be tried; never empty.
///
/// # Errors
///
/// When the page cannot be read, or shows none: why the image is skipped.
pub fn follow(
    rule: &FollowRule,
    page: &Url,
    body: PageText<'_>,
) -> Result<Vec<Candidate>, SkipReason> {
    let unreadable = || SkipReason::Address("the job's rule for its page is malformed".to_owned());
    let cached = cached(rule).ok_or_else(unreadable)?;
    let CachedFollow { rule, secure_hosts } = &*cached;
    let mut base = None;
    let mut found = vec![Vec::new(); rule.find.len()];
    let mut has_none = false;
    document::read(&rule.kind, body, &mut |read| {
        base = base.take().or_else(|| read.base());
        let scope = Scope {
            node: read.root(),
            outer: None,
        };
        for (texts, source) in found.iter_mut().zip(&rule.find) {
            texts.extend(source.texts(scope));
        }
        has_none |= rule
            .none
            .as_ref()
            .is_some_and(|source| !source.texts(scope).is_empty());
    })
    .map_err(|_| SkipReason::Address("its page is too complex or malformed".to_owned()))?;
    let base = address::page_base(page, base.as_deref(), body.encoding);
    let work = Work::default();
    let mut candidates = Vec::new();
    for texts in found {
        let mut usable = texts.iter().filter_map(|text| {
            let url = address::resolve(&base, text, body.encoding)?;
            let is_secure = |host: &str| secure_hosts.iter().any(|hosts| hosts.matches(host));
            let url = address::with_https(url, is_secure);
            if rule.steps.0.is_empty() {
                return Some(url);
            }
            address::absolute(&rule.steps.rewrite(url.as_str(), &work)?).ok()
        });
        let Some(url) = usable.next() else { continue };
        let candidate = match &rule.next {
            None => Candidate::Direct(url),
            Some(next) => Candidate::Follow(Follow {
                page: url,
                rule: next.clone(),
            }),
        };
        if !candidates.contains(&candidate) {
            candidates.push(candidate);
        }
    }
    if work.is_over() {
        return Err(candidate::too_costly());
    }
    if candidates.is_empty() {
        return Err(if has_none {
            SkipReason::NoImage
        } else {
            SkipReason::NoRule
        });
    }
    Ok(candidates)
}

/// The compiled rule; `None` for a text that is none.
fn cached(rule: &FollowRule) -> Option<Arc<CachedFollow>> {
    if let Some(known) = COMPILED.lock().get(rule) {
        return known.clone();
    }
    // Compiled without the lock: several workers may do it at once, the first time.
    let compiled = compile(rule).map(Arc::new);
    let mut rules = COMPILED.lock();
    if rules.len() >= MAX_CACHED_RULES {
        rules.clear();
    }
    rules.insert(rule.clone(), compiled.clone());
    compiled
}

fn compile(rule: &FollowRule) -> Option<CachedFollow> {
    let text = rule.as_toml();
    let RuleFile {
        secure_hosts,
        follow,
    } = toml::from_str(text).ok()?;
    let whole: toml::Table = toml::from_str(text).ok()?;
    let table = whole.get("follow")?.as_table()?;
    let patterns = secure_hosts
        .iter()
        .map(|host| HostPattern::parse(host).ok());
    Some(CachedFollow {
        secure_hosts: patterns.collect::<Option<_>>()?,
        rule: definition::follow_page(follow, table, &secure_hosts, text).ok()?,
    })
}
