//! The walk over listings, with links made by hand: what a page says is `document`'s to find.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use url::Url;

use super::continuation::Continuations;
use super::cursor::Cursors;
use super::links::NextLinks;
use super::list::ListedPages;
use super::numbers::NumberedPages;
use super::order::{Addresses, LinkedPages};
use super::page_links::{LinkSources, PageLinks};
use super::pager::Pager;
use super::stop::EndRule;
use super::template::PageTemplate;
use super::window::{DateWindows, Days};
use super::*;
use crate::site::document::{DocumentKind, ItemPath, Source, SourceContext};
use crate::site::schema::{SourceInput, WindowTable};
use crate::site::{ListingPage, PageHealth, Site};

const TODAY: Date = date(2028, 3, 5);

fn variables() -> BTreeMap<String, String> {
    let values = [
        ("query", "two words/+&"),
        ("whole", "https://demo.invalid/feed?a={b}"),
        ("elsewhere", "https://elsewhere.invalid/"),
    ];
    BTreeMap::from(values.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

fn compiled(text: &str) -> Result<PageTemplate, String> {
    let context = PagingContext {
        base: &url("https://demo.invalid/"),
        is_host: &|host| host == "demo.invalid",
        variables: &variables(),
        source: SourceContext::new(&DocumentKind::Html, ""),
    };
    let written = toml::Spanned::new(0..0, text.to_owned());
    PageTemplate::compile(&written, &context, &["seed"])
        .map_err(|error| error.locate("").to_string())
}

fn template(text: &str) -> PageTemplate {
    compiled(text).unwrap()
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn order(addresses: Addresses) -> PageOrder {
    PageOrder {
        addresses,
        sources: LinkSources::default(),
        end: EndRule {
            statuses: vec![404],
            at_empty: false,
            empty_pages: 2,
            expect: None,
        },
        ahead: None,
    }
}

fn numbers(text: &str, start: u32, step: u32) -> Addresses {
    Addresses::Counted(Box::new(NumberedPages {
        first: None,
        template: template(text),
        start,
        step,
    }))
}

fn windows(text: &str, first: Option<&str>, days: u32, earliest: &str) -> Addresses {
    let written = format!("days = {days}\nearliest = \"{earliest}\"\nformat = \"%Y%m%d\"");
    let written = toml::from_str::<WindowTable>(&written).unwrap();
    let days = Days::compile(&written).map_err(|error| error.locate("").to_string());
    Addresses::Counted(Box::new(DateWindows {
        first: first.map(template),
        template: template(text),
        days: days.unwrap(),
    }))
}

fn source(text: &str) -> Source {
    let context = SourceContext::new(&DocumentKind::Html, "");
    let written = toml::Spanned::new(0..0, SourceInput::Text(text.to_owned()));
    let compiled = Source::compile(written, context);
    compiled
        .map_err(|error| error.locate("").to_string())
        .unwrap()
}

fn linked(pages: impl LinkedPages + 'static) -> Addresses {
    Addresses::Linked(Box::new(pages))
}

fn next_links() -> Addresses {
    linked(NextLinks {
        first: template("/all"),
        from_header: false,
    })
}

/// A walk, and how a site answers it.
struct Walker {
    site: Site,
    pager: Pager,
}

fn walker(order: PageOrder, first: Option<u32>, last: Option<u32>) -> Walker {
    Walker {
        site: Site::shipped("demo").unwrap(),
        pager: Pager::new(order.into(), Pages { first, last }, TODAY),
    }
}

impl Walker {
    fn request(&mut self) -> PageRequest {
        match self.pager.next_page() {
            NextPage::Request(request) => request,
            other => panic!("{other:?}"),
        }
    }

    /// Requests a page, which must have this path and query.
    fn expect(&mut self, path: &str) -> PageRequest {
        let request = self.request();
        assert_eq!(&request.url[url::Position::BeforePath..], path);
        request
    }

    fn read(&mut self, request: &PageRequest, items: usize, next: PageLinks) -> PageContent {
        let page = page(items, next);
        self.pager.read(&self.site, request, &page).unwrap()
    }

    /// Answers a page that shows so many images, all of them new.
    fn answer(&mut self, request: &PageRequest, items: usize, next: PageLinks) -> Step {
        let answer = match self.read(request, items, next) {
            PageContent::Empty => PageAnswer::Empty,
            PageContent::Items => PageAnswer::Items {
                new: items,
                repeated: 0,
            },
            PageContent::Links { new, repeated } => PageAnswer::Items { new, repeated },
        };
        self.pager.answered(request, answer)
    }

    fn end(&mut self) -> Result<ListingEnd, ListingFailure> {
        assert_eq!(self.pager.next_page(), NextPage::NoMore);
        self.pager.finish().1
    }
}

fn page(items: usize, next: PageLinks) -> ListingPage {
    ListingPage {
        images: Vec::new(),
        health: PageHealth {
            items,
            end_mark: true,
            ..PageHealth::default()
        },
        next,
    }
}

fn next(path: &str) -> PageLinks {
    PageLinks {
        next: Some(url("https://demo.invalid/").join(path).unwrap()),
        ..PageLinks::default()
    }
}

fn cursor(cursor: &str) -> PageLinks {
    PageLinks {
        cursor: Some(cursor.to_owned()),
        ..PageLinks::default()
    }
}

#[test]
fn a_url_is_filled_with_percent_encoded_variables_and_values() {
    let values = template::PlaceValues {
        number: Some(7),
        cursor: Some("a b/?#&+%"),
        carried: &[None],
        ..Default::default()
    };
    let cases = [
        ("/{query}/{page}", "/two%20words%2F+&/7"),
        ("/{query:path}", "/two%20words/+&"),
        ("/s?q={query}&p={page}", "/s?q=two%20words%2F%2B%26&p=7"),
        ("/s?seed={carry.seed}&p={page}", "/s?p=7"),
        ("/s?seed={carry.seed}", "/s"),
        ("/s?a={cursor}#top", "/s?a=a%20b%2F%3F%23%26%2B%25"),
        ("/{cursor}", "/a%20b%2F%3F%23&+%25"),
        ("{whole}&p={page}", "/feed?a={b}&p=7"),
        ("?p={page}", "/?p=7"),
        ("/a?&&b", "/a?&&b"),
    ];
    for (text, expected) in cases {
        let filled = template(text).fill(&values).unwrap();
        assert_eq!(&filled[url::Position::BeforePath..], expected, "{text}");
        assert_eq!(filled.host_str(), Some("demo.invalid"), "{text}");
    }
}

#[test]
fn a_url_with_a_place_that_cannot_be_filled_is_refused() {
    for (text, words) in [
        ("/{pgae}", "did you mean `page`?"),
        ("/{qeury}", "did you mean `query`?"),
        ("/{carry.sed}", "did you mean `seed`?"),
        ("/{page:sgment}", "did you mean `segment`?"),
        ("/#{page}", "the same address"),
        ("https://{page}.demo.invalid/", "is neither the host"),
        ("{elsewhere}", "`elsewhere.invalid` is neither the host"),
        ("//elsewhere.invalid/{page}", "is neither the host"),
    ] {
        let error = compiled(text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn an_empty_value_does_not_move_a_url_to_another_host() {
    let filled = template("/{cursor}/evil.invalid/").fill(&template::PlaceValues {
        cursor: Some(""),
        ..Default::default()
    });
    assert_eq!(filled, Err("it is on another host".to_owned()));
}

#[test]
fn numbered_pages_are_requested_without_waiting_up_to_the_last_one() {
    let mut walk = walker(order(numbers("/all/{page}?p={page}", 1, 1)), None, Some(2));
    assert!(walk.expect("/all/1?p=1").is_first);
    let second = walk.expect("/all/2?p=2");
    assert_eq!((second.number, second.is_first), (Some(2), false));
    assert_eq!(walk.end(), Ok(ListingEnd::LastPageRequested));
}

#[test]
fn offsets_grow_by_the_step_and_pages_count_from_one() {
    let mut walk = walker(order(numbers("/all?skip={offset}", 0, 30)), Some(3), None);
    let third = walk.expect("/all?skip=60");
    assert_eq!((third.number, third.is_first), (Some(3), false));
    assert_eq!(walk.expect("/all?skip=90").number, Some(4));
}

#[test]
fn a_first_page_with_its_own_address_comes_before_the_numbers() {
    let pages = NumberedPages {
        first: Some(template("/cats/")),
        template: template("/cats/index_{page}.html"),
        start: 1,
        step: 1,
    };
    let mut walk = walker(order(Addresses::Counted(Box::new(pages))), None, None);
    assert!(walk.expect("/cats/").is_first);
    walk.expect("/cats/index_2.html");
}

#[test]
fn page_numbers_end_where_they_would_overflow() {
    let mut walk = walker(order(numbers("/{page}", 1, 1)), Some(u32::MAX), None);
    assert_eq!(walk.request().number, Some(u32::MAX));
    assert_eq!(walk.end(), Ok(ListingEnd::LastPageRequested));
}

#[test]
fn a_listing_ends_at_a_status_of_the_definition_but_never_on_its_first_page() {
    let mut walk = walker(order(numbers("/{page}", 1, 1)), None, None);
    let (first, second) = (walk.request(), walk.request());
    assert_eq!(walk.pager.refused(&first, 404), StatusMeaning::Error);
    assert_eq!(walk.pager.refused(&second, 500), StatusMeaning::Error);
    assert!(walk.pager.end_statuses(&first).is_empty());
    assert_eq!(walk.pager.end_statuses(&second), [404]);
    let end = ListingEnd::NoSuchPage {
        number: Some(2),
        status: 404,
    };
    let meaning = walk.pager.refused(&second, 404);
    assert_eq!(meaning, StatusMeaning::End(end));
}

#[test]
fn a_listing_ends_after_consecutive_empty_pages_or_pages_without_news() {
    let mut walk = walker(order(numbers("/{page}", 1, 1)), None, None);
    let (one, two) = (walk.request(), walk.request());
    let news = PageAnswer::Items {
        new: 1,
        repeated: 0,
    };
    assert_eq!(walk.pager.answered(&one, news), Step::GoesOn);
    assert_eq!(walk.pager.answered(&two, PageAnswer::Empty), Step::GoesOn);
    assert_eq!(walk.pager.answered(&two, news), Step::GoesOn);
    assert_eq!(walk.pager.answered(&two, PageAnswer::Empty), Step::GoesOn);
    let end = ListingEnd::EmptyPage { number: Some(2) };
    let step = walk.pager.answered(&two, PageAnswer::Empty);
    assert_eq!(step, Step::Ended(end));

    let mut walk = walker(order(numbers("/{page}", 1, 1)), None, None);
    let stale = PageAnswer::Items {
        new: 0,
        repeated: 3,
    };
    assert_eq!(walk.pager.answered(&one, stale), Step::GoesOn);
    assert_eq!(walk.pager.answered(&one, news), Step::GoesOn);
    assert_eq!(walk.pager.answered(&one, stale), Step::GoesOn);
    let end = ListingEnd::NothingNew {
        number: Some(2),
        repeated_pages: 2,
    };
    assert_eq!(walk.pager.answered(&two, stale), Step::Ended(end));
}

#[test]
fn pages_whose_items_are_all_filtered_out_end_no_listing_soon() {
    let mut walk = walker(order(numbers("/{page}", 1, 1)), None, None);
    let filtered = PageAnswer::Items {
        new: 0,
        repeated: 0,
    };
    let request = walk.request();
    let steps: Vec<_> = (0..100)
        .map(|_| walk.pager.answered(&request, filtered))
        .collect();
    assert!(steps[..99].iter().all(|step| *step == Step::GoesOn));
    assert!(matches!(
        steps[99],
        Step::Ended(ListingEnd::NothingNew { .. })
    ));
}

#[test]
fn a_short_page_that_is_not_the_last_fails_the_listing() {
    let mut order = order(numbers("/{page}", 1, 1));
    order.end.expect = Some(10);
    let mut walk = walker(order, None, None);
    let (one, two) = (walk.request(), walk.request());
    assert_eq!(walk.answer(&one, 9, PageLinks::default()), Step::GoesOn);
    let failure = ListingFailure::ShortPage {
        number: 1,
        items: 9,
        expected: 10,
        select: String::new(),
    };
    let step = walk.answer(&two, 10, PageLinks::default());
    assert_eq!(step, Step::Failed(failure));
}

#[test]
fn a_short_page_before_an_empty_one_is_the_last() {
    let mut order = order(numbers("/{page}", 1, 1));
    order.end = EndRule {
        expect: Some(10),
        empty_pages: 1,
        ..order.end
    };
    let mut walk = walker(order, None, None);
    let (one, two) = (walk.request(), walk.request());
    assert_eq!(walk.answer(&one, 9, PageLinks::default()), Step::GoesOn);
    let end = ListingEnd::EmptyPage { number: Some(2) };
    assert_eq!(walk.answer(&two, 0, PageLinks::default()), Step::Ended(end));
}

#[test]
fn a_page_that_says_it_is_the_last_ends_a_numbered_listing() {
    let mut walk = walker(order(numbers("/{page}", 1, 1)), None, None);
    let one = walk.request();
    let last = PageLinks {
        is_last: Some(true),
        ..PageLinks::default()
    };
    let end = ListingEnd::LastPage { number: Some(1) };
    assert_eq!(walk.answer(&one, 3, last), Step::Ended(end));
}

#[test]
fn a_list_of_pages_is_read_in_order_and_to_its_end() {
    let pages = ListedPages(["/new.html", "/old.html"].map(template).into());
    let order = order(Addresses::Counted(Box::new(pages)));
    let three = Pages {
        first: Some(3),
        last: None,
    };
    assert!(order.objection(three).unwrap().contains("has 2 pages"));
    assert_eq!(order.objection(Pages::default()), None);
    let mut walk = walker(order, None, None);
    walk.expect("/new.html");
    walk.expect("/old.html");
    assert_eq!(walk.end(), Ok(ListingEnd::LastPage { number: Some(2) }));
}

#[test]
fn windows_of_days_go_back_from_today_and_stop_at_the_earliest_day() {
    let mut walk = walker(
        order(windows("/d?from={from}&to={to}", None, 10, "2028-02-17")),
        None,
        None,
    );
    let one = walk.expect("/d?from=20280225&to=20280305");
    assert!(!one.is_first);
    walk.expect("/d?from=20280217&to=20280224");
    assert_eq!(walk.end(), Ok(ListingEnd::LastPage { number: Some(2) }));
}

#[test]
fn the_newest_window_may_have_no_end() {
    let order = order(windows(
        "/d?from={from}&to={to}",
        Some("/d?from={from}"),
        1,
        "2028-01-01",
    ));
    let mut walk = walker(order, None, None);
    walk.expect("/d?from=20280305");
    walk.expect("/d?from=20280304&to=20280304");
}

#[test]
fn a_status_within_windows_of_days_is_a_hole_and_no_end() {
    let order = || order(windows("/d?from={from}", None, 1, "2028-03-01"));
    let mut walk = walker(order(), None, None);
    let one = walk.request();
    assert_eq!(walk.pager.refused(&one, 404), StatusMeaning::Hole);
    let two = walk.request();
    assert_eq!(walk.answer(&two, 1, PageLinks::default()), Step::GoesOn);
    for _ in 0..3 {
        let hole = walk.request();
        assert_eq!(walk.pager.refused(&hole, 404), StatusMeaning::Hole);
    }
    assert_eq!(walk.end(), Ok(ListingEnd::LastPage { number: Some(5) }));

    // Nothing but holes is a site that has changed.
    let mut walk = walker(order(), None, None);
    for _ in 0..2 {
        let hole = walk.request();
        assert_eq!(walk.pager.refused(&hole, 404), StatusMeaning::Hole);
    }
    let third = walk.request();
    assert_eq!(walk.pager.refused(&third, 404), StatusMeaning::Error);
}

#[test]
fn a_long_row_of_missing_windows_fails_the_listing() {
    let order = order(windows("/d?from={from}", None, 1, "2000-01-01"));
    let mut walk = walker(order, None, None);
    let one = walk.request();
    walk.answer(&one, 1, PageLinks::default());
    for _ in 0..100 {
        let hole = walk.request();
        assert_eq!(walk.pager.refused(&hole, 404), StatusMeaning::Hole);
    }
    assert_eq!(walk.end(), Err(ListingFailure::LongGap { pages: 100 }));
}

#[test]
fn a_first_page_without_items_ends_the_listing_with_nothing_found() {
    for addresses in [numbers("/{page}", 1, 1), next_links()] {
        let mut walk = walker(order(addresses), None, None);
        let one = walk.request();
        let step = walk.pager.answered(&one, PageAnswer::Empty);
        assert_eq!(step, Step::Ended(ListingEnd::NothingFound));
    }
}

#[test]
fn an_empty_page_with_a_cursor_ends_a_listing_whose_definition_says_so() {
    for at_empty in [false, true] {
        let mut order = order(linked(Cursors {
            first: None,
            template: template("/all?after={cursor}"),
        }));
        order.end.at_empty = at_empty;
        order.end.empty_pages = 1;
        let mut walk = walker(order, None, None);
        let one = walk.request();
        walk.answer(&one, 5, cursor("a"));
        let two = walk.request();
        let end = ListingEnd::EmptyPage { number: Some(2) };
        let expected = if at_empty {
            Step::Ended(end)
        } else {
            Step::GoesOn
        };
        assert_eq!(walk.answer(&two, 0, cursor("b")), expected);
    }
}

#[test]
fn a_page_without_its_sign_of_a_next_one_is_the_last_only_if_it_has_the_pager() {
    for (has_pager, is_end) in [(true, true), (false, false)] {
        let mut order = order(numbers("/{page}", 1, 1));
        order.sources.absent = Some(source(".next"));
        let pager = toml::Spanned::new(0..0, ".pager".to_owned());
        let context = SourceContext::new(&DocumentKind::Html, "");
        order.sources.pager = ItemPath::compile(&pager, context).ok();
        let mut walk = walker(order, None, None);
        let one = walk.request();
        let last = PageLinks {
            is_last: Some(true),
            has_pager,
            ..PageLinks::default()
        };
        let step = walk.answer(&one, 3, last);
        assert_eq!(matches!(step, Step::Ended(_)), is_end, "{step:?}");
    }
}

#[test]
fn a_next_link_is_followed_until_a_page_has_none() {
    let mut walk = walker(order(next_links()), None, None);
    let one = walk.expect("/all");
    assert_eq!(walk.pager.next_page(), NextPage::AfterAnswer);
    assert_eq!(walk.answer(&one, 5, next("/all?after=x")), Step::GoesOn);
    let two = walk.expect("/all?after=x");
    assert_eq!((two.number, two.is_first), (Some(2), false));
    assert_eq!(walk.answer(&two, 5, PageLinks::default()), Step::GoesOn);
    assert_eq!(walk.end(), Ok(ListingEnd::LastPage { number: Some(2) }));
}

#[test]
fn a_next_link_that_leads_back_ends_the_listing() {
    let mut walk = walker(order(next_links()), None, None);
    let one = walk.expect("/all");
    walk.answer(&one, 5, next("/all?2"));
    let two = walk.expect("/all?2");
    walk.answer(&two, 5, next("/all"));
    assert_eq!(walk.end(), Ok(ListingEnd::NextRepeated { number: Some(2) }));
}

#[test]
fn a_next_link_to_a_host_that_the_definition_does_not_name_fails_the_listing() {
    let mut walk = walker(order(next_links()), None, None);
    let one = walk.expect("/all");
    walk.answer(&one, 5, next("https://elsewhere.invalid/all?2"));
    let Err(ListingFailure::NextUnusable { cause, .. }) = walk.end() else {
        panic!("it goes on")
    };
    assert!(cause.contains("`elsewhere.invalid`"), "{cause}");
}

fn next_missing() -> ListingFailure {
    let next = String::new();
    ListingFailure::NextMissing { next }
}

#[test]
fn a_next_link_that_is_unusable_fails_a_listing_that_shows_nothing_new() {
    let mut walk = walker(order(next_links()), None, None);
    let one = walk.request();
    walk.answer(&one, 5, next("/all?2"));
    let stale = PageAnswer::Items {
        new: 0,
        repeated: 5,
    };
    let two = walk.request();
    walk.read(&two, 5, next("/all?3"));
    assert_eq!(walk.pager.answered(&two, stale), Step::GoesOn);
    let three = walk.request();
    let unusable = PageLinks {
        unusable: Some("`ftp:` is not supported".to_owned()),
        ..PageLinks::default()
    };
    walk.read(&three, 5, unusable);
    assert_eq!(walk.pager.answered(&three, stale), Step::GoesOn);
    assert!(matches!(
        walk.end(),
        Err(ListingFailure::NextUnusable { .. })
    ));
}

#[test]
fn a_full_first_page_without_a_next_link_fails_the_listing() {
    for (items, failure) in [(10, Some(next_missing())), (9, None)] {
        let mut order = order(next_links());
        order.end.expect = Some(10);
        let mut walk = walker(order, None, None);
        let one = walk.request();
        walk.answer(&one, items, PageLinks::default());
        assert_eq!(walk.end().err(), failure, "{items}");
    }
}

#[test]
fn a_next_link_that_is_missing_while_the_page_counts_more_pages_fails_the_listing() {
    let mut walk = walker(order(next_links()), None, None);
    let one = walk.request();
    let more = PageLinks {
        is_last: Some(false),
        ..PageLinks::default()
    };
    walk.answer(&one, 5, more);
    assert_eq!(walk.end(), Err(next_missing()));
}

#[test]
fn pages_in_front_of_the_first_wanted_one_are_walked_and_not_wanted() {
    let mut walk = walker(order(next_links()), Some(2), Some(2));
    let one = walk.expect("/all");
    assert!(!one.is_wanted);
    assert_eq!(walk.read(&one, 5, next("/all?2")), PageContent::Items);
    assert_eq!(walk.pager.answered(&one, PageAnswer::Passed), Step::GoesOn);
    let two = walk.expect("/all?2");
    assert!(two.is_wanted);
    walk.answer(&two, 5, next("/all?3"));
    assert_eq!(walk.end(), Ok(ListingEnd::LastPageRequested));
}

#[test]
fn a_next_link_comes_from_the_link_header_where_the_definition_says_so() {
    let order = order(linked(NextLinks {
        first: template("/all"),
        from_header: true,
    }));
    let mut walk = walker(order, None, None);
    let one = walk.expect("/all");
    let mut links = next("/not-this-one");
    links.set_header_next(&one.url, "?page=2");
    walk.answer(&one, 5, links);
    let two = walk.expect("/all?page=2");
    walk.answer(&two, 5, next("/not-this-one"));
    assert_eq!(walk.end(), Ok(ListingEnd::LastPage { number: Some(2) }));
}

#[test]
fn a_cursor_stands_in_the_next_address_and_its_parameter_is_left_out_at_first() {
    let order = order(linked(Cursors {
        first: None,
        template: template("/r.json?limit=100&after={cursor}&raw=1"),
    }));
    let mut walk = walker(order, None, None);
    let one = walk.expect("/r.json?limit=100&raw=1");
    walk.answer(&one, 5, cursor("t3 x"));
    let two = walk.expect("/r.json?limit=100&after=t3%20x&raw=1");
    walk.answer(&two, 0, cursor("t3_y"));
    let three = walk.expect("/r.json?limit=100&after=t3_y&raw=1");
    walk.answer(&three, 5, cursor("t3 x"));
    assert_eq!(walk.end(), Ok(ListingEnd::NextRepeated { number: Some(3) }));
}

fn continuation(members: &[(&str, &str)]) -> PageLinks {
    let members = members
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    PageLinks {
        members: members.collect(),
        ..PageLinks::default()
    }
}

#[test]
fn members_of_a_continue_object_replace_those_of_the_answer_before() {
    let order = order(linked(Continuations {
        first: template("/w/api.php?action=query&continue=&x=1"),
    }));
    let mut walk = walker(order, None, None);
    let one = walk.expect("/w/api.php?action=query&continue=&x=1");
    walk.answer(
        &one,
        9,
        continuation(&[("gucontinue", "7|a b"), ("continue", "gucontinue||")]),
    );
    let two =
        walk.expect("/w/api.php?action=query&x=1&gucontinue=7%7Ca%20b&continue=gucontinue%7C%7C");
    walk.answer(
        &two,
        9,
        continuation(&[("gaicontinue", "Z"), ("continue", "-||")]),
    );
    let three = walk.expect("/w/api.php?action=query&x=1&gaicontinue=Z&continue=-%7C%7C");
    walk.answer(&three, 9, PageLinks::default());
    assert_eq!(walk.end(), Ok(ListingEnd::LastPage { number: Some(3) }));
}

#[test]
fn partial_answers_of_a_continue_object_are_neither_the_end_nor_broken() {
    let order = order(linked(Continuations {
        first: template("/w/api.php"),
    }));
    let mut walk = walker(order, None, None);
    assert!(walk.pager.has_partial_answers());
    let one = walk.request();
    walk.answer(&one, 9, continuation(&[("a", "0")]));
    let stale = PageAnswer::Items {
        new: 0,
        repeated: 9,
    };
    for answer in 1..=100 {
        let request = walk.request();
        let mut page = page(9, continuation(&[("a", &answer.to_string())]));
        page.health.without_thumb = 9;
        let content = walk.pager.read(&walk.site, &request, &page);
        assert_eq!(content, Ok(PageContent::Items));
        let step = walk.pager.answered(&request, stale);
        assert_eq!(step == Step::GoesOn, answer < 100, "{step:?}");
    }
}

#[test]
fn a_carried_value_of_the_first_page_stands_in_every_later_address() {
    let mut order = order(numbers("/all?seed={carry.seed}&page={page}", 1, 1));
    order.sources.carry.push(source("#seed@data-seed"));
    let mut walk = walker(order, Some(3), None);
    let one = walk.expect("/all?page=1");
    assert!(!one.is_wanted);
    assert_eq!(walk.pager.next_page(), NextPage::AfterAnswer);
    let seed = PageLinks {
        carried: vec![Some("a/b".to_owned())],
        ..PageLinks::default()
    };
    walk.read(&one, 5, seed);
    walk.pager.answered(&one, PageAnswer::Passed);
    assert!(walk.expect("/all?seed=a%2Fb&page=3").is_wanted);
    walk.expect("/all?seed=a%2Fb&page=4");
}

#[test]
fn an_endless_listing_stops_at_a_hundred_thousand_pages() {
    let mut walk = walker(order(numbers("/{page}", 1, 1)), None, None);
    let requests = std::iter::from_fn(|| match walk.pager.next_page() {
        NextPage::Request(request) => Some(request),
        NextPage::AfterAnswer | NextPage::NoMore => None,
    });
    assert_eq!(requests.count(), 100_000);
    let failure = ListingFailure::TooManyPages { limit: 100_000 };
    assert_eq!(walk.end(), Err(failure));
}

#[test]
fn a_url_of_the_listing_names_its_page_by_the_place_in_the_listing() {
    let base = url("https://demo.invalid/");
    let at = |order: &PageOrder, path: &str| order.pages_at(&base.join(path).unwrap(), &base);
    let one = |number| {
        Some(Pages {
            first: Some(number),
            last: Some(number),
        })
    };
    let all = Some(Pages::default());
    let numbered = order(numbers("/browse/{page}/", 0, 2));
    for (path, expected) in [
        ("/", all),
        ("/browse", all),
        ("/browse/0/", one(1)),
        ("/browse/4/", one(3)),
        ("/browse/3/", None),
        ("/browse/04/", None),
        ("/other/", None),
    ] {
        assert_eq!(at(&numbered, path), expected, "{path}");
    }
    let linked = order(next_links());
    assert_eq!((at(&linked, "/all"), at(&linked, "/all?2")), (all, None));
    let listed = ListedPages(["/new.html", "/old.html"].map(template).into());
    let listed = order(Addresses::Counted(Box::new(listed)));
    assert_eq!(at(&listed, "/old.html"), one(2));
    let single = ListedPages(vec![template("/a/new.html")]);
    let single = order(Addresses::Counted(Box::new(single)));
    assert_eq!(
        (at(&single, "/a/new.html"), at(&single, "/a/")),
        (all, None)
    );
}
