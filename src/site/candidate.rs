//! The ways from an item to its original, in the definition's order.

use url::Url;

use super::cut::Cut;
use super::document::{FieldCondition, Work};
use super::fields::FieldRef;
use super::pattern::{Pattern, Replacement};
use super::template::Template;
use super::{AnyHost, RuleResult, Site, address, classify};
use crate::job::{Candidate, Follow, FollowRule, ImageRef};
use crate::outcome::SkipReason;

/// One way to an original: a `[[full]]`.
#[derive(Debug)]
pub(super) struct CandidateRule {
    /// It holds for items that pass all of these, whose fields are numbered by [`FieldRef::number`].
    pub(super) conditions: Vec<FieldCondition>,
    pub(super) way: Way,
}

/// How a rule makes an address.
#[derive(Debug)]
pub(super) enum Way {
    /// It stands in a field.
    Field(FieldRef),
    /// It is made of fields.
    Template(Template<FieldRef>),
    /// It is made of another address.
    Rewrite { from: FieldRef, steps: RewriteSteps },
    /// It stands on another page.
    Follow {
        start: FollowStart,
        rule: FollowRule,
    },
}

/// Where the page is that leads to an original.
#[derive(Debug)]
pub(super) enum FollowStart {
    Field(FieldRef),
    Template(Template<FieldRef>),
}

/// Steps, each rewriting the result of the one before it.
#[derive(Debug, Default)]
pub(super) struct RewriteSteps(pub(super) Vec<RewriteStep>);

#[derive(Debug)]
pub(super) struct RewriteStep {
    pattern: Pattern,
    to: Replacement,
    cut: Option<Cut>,
}

impl RewriteStep {
    /// `to` names captures of `pattern` alone.
    pub(super) fn new(pattern: Pattern, to: Replacement) -> Self {
        let cut = Cut::new(pattern.regex(), to.as_str());
        Self { pattern, to, cut }
    }

    /// The result; `None` when the pattern does not match the whole of the text.
    fn rewrite(&self, text: &str, work: &Work) -> Option<String> {
        if !self.pattern.is_within(text, work) {
            return None;
        }
        if let Some(head) = self.cut.as_ref().and_then(|cut| cut.head(text)) {
            return Some(head.to_owned());
        }
        let captures = self.pattern.regex().captures(text)?;
        let result = (captures[0].len() == text.len()).then(|| self.to.fill(&captures))?;
        // No longer one can be an address, and the next step may make it many times longer.
        (result.len() <= address::MAX_BYTES).then_some(result)
    }
}

impl RewriteSteps {
    /// The result of the steps; `None` when a pattern does not match the whole of its input, or that would exceed `work`.
    pub(super) fn rewrite(&self, input: &str, work: &Work) -> Option<String> {
        let mut steps = self.0.iter();
        let Some(first) = steps.next() else {
            return Some(input.to_owned());
        };
        let result = first.rewrite(input, work)?;
        steps.try_fold(result, |text, step| step.rewrite(&text, work))
    }
}

impl Way {
    /// The texts that the item must have for this way; where it has none of any way's, it shows no image.
    pub(super) fn needs(&self) -> Vec<FieldRef> {
        match self {
            Self::Field(field)
            | Self::Rewrite { from: field, .. }
            | Self::Follow {
                start: FollowStart::Field(field),
                ..
            } => vec![*field],
            Self::Template(template)
            | Self::Follow {
                start: FollowStart::Template(template),
                ..
            } => template.values().copied().collect(),
        }
    }

    /// The field that this way takes for an address.
    pub(super) fn address_field(&self) -> Option<FieldRef> {
        match self {
            Self::Field(field)
            | Self::Rewrite { from: field, .. }
            | Self::Follow {
                start: FollowStart::Field(field),
                ..
            } => Some(*field),
            Self::Template(_)
            | Self::Follow {
                start: FollowStart::Template(_),
                ..
            } => None,
        }
    }
}

/// The candidates for an image's original, in the order of the rules.
pub(super) fn candidates(
    site: &Site,
    image: &ImageRef,
    work: &Work,
) -> Result<Vec<Candidate>, SkipReason> {
    if image.is_original {
        let thumb = site.canonical(image.thumb.clone());
        let url = classify::on_site(site, thumb).map_err(SkipReason::Address)?;
        return Ok(vec![Candidate::Direct(url)]);
    }
    // Most images have one: the four that a list begins with were a quarter of a large page's memory.
    let mut candidates = Vec::with_capacity(1);
    let mut refused = None;
    for CandidateRule { conditions, way } in &site.candidates {
        if !conditions.is_empty() && !hold(conditions, image, work) {
            continue;
        }
        match way.candidate(site, image, work) {
            Ok(Some(candidate)) if candidates.contains(&candidate) => {}
            Ok(candidate) => candidates.extend(candidate),
            Err(reason) => refused = refused.or(Some(reason)),
        }
    }
    if work.is_over() {
        return Err(too_costly());
    }
    if candidates.is_empty() {
        return Err(refused.unwrap_or(SkipReason::NoRule));
    }
    Ok(candidates)
}

/// What became of each rule for an image, by the rule's number from 1.
pub(super) fn explain(site: &Site, image: &ImageRef, work: &Work) -> Vec<(usize, RuleResult)> {
    let result = |CandidateRule { conditions, way }: &CandidateRule| {
        if !conditions.is_empty() && !hold(conditions, image, work) {
            return RuleResult::NoMatch;
        }
        match way.candidate(site, image, work) {
            Ok(Some(candidate)) => RuleResult::Candidate(candidate),
            Ok(None) => RuleResult::NoMatch,
            Err(SkipReason::Address(reason)) => RuleResult::Refused(reason),
            Err(reason) => RuleResult::Refused(reason.to_string()),
        }
    };
    (1..).zip(site.candidates.iter().map(result)).collect()
}

/// Whether an item passes all conditions.
fn hold(conditions: &[FieldCondition], image: &ImageRef, work: &Work) -> bool {
    let thumb = [image.thumb.to_string()];
    let link = image.link.as_ref().map(Url::to_string);
    let texts = |number| match FieldRef::from_number(number) {
        FieldRef::Thumb => &thumb[..],
        FieldRef::Link => link.as_slice(),
        FieldRef::Title => image.title.as_slice(),
        FieldRef::Field(number) => image.record.0.get(number).map_or(&[][..], Vec::as_slice),
    };
    conditions
        .iter()
        .all(|condition| condition.holds(&texts, work))
}

impl Way {
    /// The candidate on this way; `None` where the item has nothing for it.
    fn candidate(
        &self,
        site: &Site,
        image: &ImageRef,
        work: &Work,
    ) -> Result<Option<Candidate>, SkipReason> {
        let url = match self {
            Self::Field(field) => in_field(site, image, *field)?,
            Self::Template(template) => filled(site, image, template)?,
            Self::Rewrite { from, steps } => rewritten(site, image, *from, steps, work)?,
            Self::Follow { start, rule } => {
                let page = match start {
                    FollowStart::Field(field) => in_field(site, image, *field)?,
                    FollowStart::Template(template) => filled(site, image, template)?,
                };
                let follow = |page| {
                    Candidate::Follow(Follow {
                        page,
                        rule: rule.clone(),
                    })
                };
                return Ok(page.map(follow));
            }
        };
        Ok(url.map(Candidate::Direct))
    }
}

/// The first address in a field that may be requested.
fn in_field(site: &Site, image: &ImageRef, field: FieldRef) -> Result<Option<Url>, SkipReason> {
    first_allowed(
        field
            .texts(image)
            .map(|text| on_named_host(site, address::absolute(text))),
    )
}

/// The first result that is one, or why the first was refused.
fn first_allowed(
    results: impl Iterator<Item = Result<Url, SkipReason>>,
) -> Result<Option<Url>, SkipReason> {
    let mut refused = None;
    for result in results {
        match result {
            Ok(url) => return Ok(Some(url)),
            Err(reason) => refused = refused.or(Some(reason)),
        }
    }
    refused.map_or(Ok(None), Err)
}

fn filled(
    site: &Site,
    image: &ImageRef,
    template: &Template<FieldRef>,
) -> Result<Option<Url>, SkipReason> {
    let Some(text) = template.fill(|field| field.text(image)) else {
        return Ok(None);
    };
    let joined = image
        .page
        .join(&text)
        .map_err(|_| refused("the result of the template is not an address"))?;
    on_named_host(site, address::requestable(joined)).map(Some)
}

fn rewritten(
    site: &Site,
    image: &ImageRef,
    from: FieldRef,
    steps: &RewriteSteps,
    work: &Work,
) -> Result<Option<Url>, SkipReason> {
    let results = from.addresses(image).filter_map(|input| {
        let input = site.canonical(input);
        let result = steps.rewrite(input.as_str(), work)?;
        let url = address::absolute_from(&result, &input);
        Some(on_named_host(site, url).and_then(|url| {
            if url == input {
                return Err(refused("the rewrite leaves the address as it is"));
            }
            Ok(url)
        }))
    });
    first_allowed(results)
}

/// Why an image is skipped for which there are no steps left on its page.
pub(super) fn too_costly() -> SkipReason {
    refused("the patterns of the site's definition take too many steps on its page")
}

fn refused(reason: &str) -> SkipReason {
    SkipReason::Address(reason.to_owned())
}

/// The canonical form of an address, or what is wrong with it, if images may be on its host.
fn on_named_host(site: &Site, url: Result<Url, String>) -> Result<Url, SkipReason> {
    let url = site.canonical(url.map_err(SkipReason::Address)?);
    let host = url.host_str().unwrap_or_default();
    if site.names_host(host) {
        return match classify::port_objection(site, &url, host) {
            Some(objection) => Err(SkipReason::Address(objection)),
            None => Ok(url),
        };
    }
    match site.image_hosts().any {
        AnyHost::Allowed => Ok(url),
        AnyHost::NotAllowed => Err(SkipReason::OtherHost(host.to_owned())),
        AnyHost::Refused => Err(SkipReason::Address(classify::unnamed_host(host))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Resolved;
    use crate::mask::Masks;
    use crate::site::{ListingPage, PageText};

    const HEAD: &str = r#"
[site]
name = "small"
base = "https://small.invalid"
image_hosts = ["i.small.invalid", "*.cdn.invalid"]
[listing]
kind = "json"
url = "/api?page={page}"
stop = { empty = true }
"#;

    /// The site of a definition: its head, and these lines.
    fn site(lines: &str) -> Site {
        Site::from_toml(&format!("{HEAD}{lines}")).unwrap_or_else(|error| panic!("{error}"))
    }

    fn read(site: &Site, body: &str) -> ListingPage {
        site.read(&site.first_page(), body).unwrap()
    }

    fn stem(site: &Site, image: &ImageRef, resolved: &Resolved) -> String {
        let of_image = site.resolver();
        of_image.stem(image, &resolved.candidates, &Masks::default())
    }

    /// The candidates of the first item, or why there are none.
    fn of_first(site: &Site, body: &str) -> Result<Vec<String>, String> {
        let page = read(site, body);
        let image = page.images.first().ok_or("no image")?;
        let candidates = site.candidates(image).map_err(|why| why.to_string())?;
        Ok(candidates
            .iter()
            .map(|candidate| candidate.url().to_string())
            .collect())
    }

    #[test]
    fn rewrites_are_counted_over_all_images_of_a_page() {
        let step = "{ from = 'u', regex = '^(?P<u>(?:[ab]*a[ab]{500}|.)*)$', to = '${u}' }";
        let site = site(&format!(
            "[item]\nselect = '/data/*'\nfields = {{ u = '/u' }}\n[[full]]\nrewrite = {step}\n"
        ));
        let path = "ab".repeat(2_000);
        let items = format!("{{\"u\": \"https://i.small.invalid/{path}\"}},").repeat(1_500);
        let page = read(&site, &format!("{{\"data\": [{items}null]}}"));
        let resolver = site.resolver();
        let skipped = page
            .images
            .iter()
            .map(|image| resolver.resolve(image, &Masks::default()).unwrap_err());
        let skipped: Vec<_> = skipped.map(|why| why.to_string()).collect();
        assert!(skipped[0].contains("leaves the address"), "{}", skipped[0]);
        assert!(
            skipped[1_499].contains("too many steps"),
            "{}",
            skipped[1_499]
        );
    }

    #[test]
    fn a_rewrite_makes_nothing_longer_than_an_address() {
        let double = "{ from = 'u', regex = '^(.*)$', to = '$1$1' }";
        let steps = vec![double; 40].join(", ").replace("from = 'u', ", "");
        let steps = steps.replacen("{ ", "{ from = 'u', ", 1);
        let site = site(&format!(
            "[item]\nselect = '/data/*'\nfields = {{ u = '/u' }}\n[[full]]\nrewrite = [{steps}]\n"
        ));
        let page = r#"{"data": [{"u": "https://i.small.invalid/a"}]}"#;
        assert!(of_first(&site, page).is_err());
        let long = format!("to = '{}'", "$1".repeat(600));
        let text = format!(
            "{HEAD}[item]\nselect = '/data/*'\nthumb = '/u'\n[[full]]\nrewrite = {{ from = 'thumb', regex = '^(.*)$', {long} }}\n"
        );
        let error = Site::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains("replacement of more than"), "{error}");
    }

    #[test]
    fn a_field_gives_its_first_address_on_a_named_host() {
        let site = site(
            "[item]\nselect = '/data/*'\nfields = { path = ['/full', '/large', '/other'] }\n[[full]]\nfield = 'path'\n",
        );
        let cases = [
            (
                r#"{"full": "https://i.small.invalid/a.png"}"#,
                "https://i.small.invalid/a.png",
            ),
            (
                r#"{"full": "//a.b.cdn.invalid/a b.png?x#y"}"#,
                "https://a.b.cdn.invalid/a%20b.png?x",
            ),
            (
                r#"{"full": "", "large": "/a.png"}"#,
                "https://small.invalid/a.png",
            ),
            (
                r#"{"full": null, "large": "http://i.small.invalid/a.png"}"#,
                "https://i.small.invalid/a.png",
            ),
            (
                r#"{"full": "data:,x", "large": "javascript:x", "other": "/b"}"#,
                "https://small.invalid/b",
            ),
            (
                r#"{"full": "https://elsewhere.invalid/a", "large": "/c"}"#,
                "https://small.invalid/c",
            ),
        ];
        for (item, expected) in cases {
            let body = format!(r#"{{"data": [{item}]}}"#);
            assert_eq!(
                of_first(&site, &body),
                Ok(vec![expected.to_owned()]),
                "{item}"
            );
        }
        let elsewhere = of_first(
            &site,
            r#"{"data": [{"full": "https://cdn.invalid/a.png"}]}"#,
        );
        assert!(
            elsewhere
                .unwrap_err()
                .contains("does not name its host `cdn.invalid`")
        );
    }

    #[test]
    fn a_template_is_made_of_fields_page_values_and_variables() {
        let site = site(
            r#"
[variables]
size = "full"
[page]
images = "/config/images"
[item]
select = "/data/*"
fields = { id = "/id", name = "/name" }
[[full]]
template = "{page.images}/{id}/{size}/{name:segment}.jpg"
[[full]]
template = "/download?name={name:query}"
"#,
        );
        let body = r#"{"config": {"images": "https://i.small.invalid/iiif"}, "data": [
            {"id": 7, "name": "A & B/C ?"}, {"id": 8}, {"name": "x"}]}"#;
        let page = read(&site, body);
        assert_eq!((page.images.len(), page.health.without_thumb), (2, 0));
        assert_eq!(page.health.unusable, 1, "an id alone is enough for no way");
        assert_eq!(
            of_first(&site, body).unwrap(),
            [
                "https://i.small.invalid/iiif/7/full/A%20%26%20B%2FC%20%3F.jpg",
                "https://small.invalid/download?name=A%20%26%20B%2FC%20%3F",
            ]
        );
    }

    #[test]
    fn a_way_holds_for_items_that_pass_its_conditions() {
        let site = site(
            r#"
[item]
select = "/data/*"
thumb = "/thumb"
title = "/title"
fields = { url = "/url", kind = "/kind" }
[[full]]
where = [{ field = "kind", in = ["image", "photo"] }, { field = "url", matches = '\.png$' }]
field = "url"
[[full]]
where = [{ field = "title", exists = false }]
rewrite = { from = "thumb", regex = '(.*)/small/(.*)', to = '$1/$2' }
"#,
        );
        let one = |item: &str| of_first(&site, &format!(r#"{{"data": [{item}]}}"#));
        let both = r#"{"kind": "photo", "url": "/a.png", "thumb": "/small/a.jpg"}"#;
        assert_eq!(
            one(both).unwrap(),
            ["https://small.invalid/a.png", "https://small.invalid/a.jpg"]
        );
        let second = r#"{"kind": "video", "url": "/a.png", "thumb": "/small/a.jpg"}"#;
        assert_eq!(one(second).unwrap(), ["https://small.invalid/a.jpg"]);
        let none = r#"{"kind": "image", "url": "/a.mp4", "thumb": "/small/a.jpg", "title": "x"}"#;
        assert_eq!(one(none).unwrap_err(), "no rule matches");
    }

    #[test]
    fn an_item_within_an_item_is_an_image_and_one_without_any_is_one_itself() {
        let site = site(
            r#"
[item]
select = "/data/*"
each = "/gallery/*"
fields = { id = "/media", address = ["/url", "^/url"] }
where = [{ value = "^/over_18", not_equals = true }]
key = "{id}"
[[full]]
template = "https://i.small.invalid/{id}.png"
[[full]]
field = "address"
"#,
        );
        let page = read(
            &site,
            r#"{"data": [
                {"over_18": false, "gallery": [{"media": "b"}, {"media": "a"}], "url": "/g"},
                {"over_18": true, "gallery": [{"media": "c"}, {"media": "d"}]},
                {"over_18": false, "url": "/plain.png"},
                {"over_18": false, "gallery": []}]}"#,
        );
        let keys = page
            .images
            .iter()
            .map(|image| site.key(image).unwrap().to_string());
        assert_eq!(
            keys.collect::<Vec<_>>(),
            [
                "small id:b",
                "small id:a",
                "small https://small.invalid/plain.png"
            ]
        );
        let health = &page.health;
        assert_eq!(
            (health.items, health.filtered, health.without_thumb),
            (6, 2, 1)
        );
    }

    #[test]
    fn any_host_is_taken_once_it_is_allowed() {
        let lines = "[item]\nselect = '/*'\nfields = { url = '/url' }\n[[full]]\nfield = 'url'\n";
        let text = format!("{HEAD}{lines}").replace("\"*.cdn.invalid\"", "\"any\"");
        let site = Site::from_toml(&text).unwrap();
        let body = r#"[{"url": "http://elsewhere.invalid/a.png"}]"#;
        let image = &read(&site, body).images[0];
        assert_eq!(
            site.candidates(image),
            Err(SkipReason::OtherHost("elsewhere.invalid".to_owned()))
        );
        let site = site.allowing_any_host();
        assert_eq!(
            of_first(&site, body).unwrap(),
            ["http://elsewhere.invalid/a.png"]
        );
        let url = Url::parse("https://elsewhere.invalid/a.png").unwrap();
        assert_eq!(
            site.classify_url(&url),
            None,
            "the site of any URL is not this one"
        );
    }

    #[test]
    fn a_second_answer_with_other_signatures_gives_the_same_keys_and_names() {
        let site = site(
            r#"
[item]
select = "/*"
fields = { id = "/id", url = "/url" }
key_ignore = ["sig", "utm_*"]
[[full]]
field = "url"
"#,
        );
        let resolved = |signature: &str| {
            let body =
                format!(r#"[{{"url": "https://i.small.invalid/a.png?w=9&sig={signature}"}}]"#);
            let page = read(&site, &body);
            let resolved = site.resolve(&page.images[0], &Masks::default()).unwrap();
            let stem = stem(&site, &page.images[0], &resolved);
            (resolved, stem)
        };
        let ((one, one_stem), (other, other_stem)) = (resolved("abc"), resolved("def"));
        assert_ne!(one.candidates, other.candidates);
        assert_eq!((&one.key, one_stem), (&other.key, other_stem));
        assert_eq!(one.key.address(), Some("https://i.small.invalid/a.png?w=9"));
    }

    #[test]
    fn a_job_knows_what_the_listing_declares_of_the_bytes() {
        let site = site(
            r#"
[item]
select = "/*"
fields = { id = "/id", url = "/url", md5 = "/md5", size = "/size", width = "/w" }
verify = { md5 = "{md5}", bytes = "{size}", width = "{width}" }
key = "{id}"
[[full]]
field = "url"
[file]
name = "{id}-{width}"
"#,
        );
        let body = r#"[{"id": "x y%/", "url": "/a.png", "md5": "1B2M2Y8AsgTpgAmY7PhCfg==", "size": "1024", "w": 0}]"#;
        let image = &read(&site, body).images[0];
        let resolved = site.resolve(image, &Masks::default()).unwrap();
        assert_eq!(stem(&site, image, &resolved), "x y%_-0");
        let declared = resolved.declared.unwrap();
        assert_eq!(
            declared.md5.as_deref(),
            Some("d41d8cd98f00b204e9800998ecf8427e")
        );
        assert_eq!((declared.bytes, declared.width), (Some(1024), None));
        assert_eq!(resolved.key.as_str(), "small id:x%20y%25/");
    }

    #[test]
    fn a_page_leads_to_the_first_usable_address_of_each_source() {
        let site = site(
            r#"
[item]
select = "/*"
link = "/page"
[[full]]
follow = { from = "link", kind = "html", find = ["a[href^='image/']@href", "img@src"] }
[[full]]
follow = { template = "/p/{link:segment}", find = "a@href", follow = { kind = "json", find = "/image", rewrite = { regex = '(.*)\.small', to = '$1' } } }
"#,
        );
        let page = read(&site, r#"[{"page": "/day/1.html"}]"#);
        let resolved = site.resolve(&page.images[0], &Masks::default()).unwrap();
        assert_eq!(
            stem(&site, &page.images[0], &resolved),
            "1",
            "named after the page, not after what made it"
        );
        let [Candidate::Follow(first), Candidate::Follow(second)] = &resolved.candidates[..] else {
            panic!("{:?}", resolved.candidates)
        };
        assert_eq!(first.page.as_str(), "https://small.invalid/day/1.html");
        let leads = |follow: &Follow, body: &str| {
            let found = crate::site::follow(&follow.rule, &follow.page, PageText::from(body));
            found.map_err(|why| why.to_string())
        };
        let direct = |address: &str| Candidate::Direct(Url::parse(address).unwrap());
        let body = "<a href=/video>x</a><a href='image/a.jpg'><img src=thumb.jpg></a>";
        assert_eq!(
            leads(first, body).unwrap(),
            [
                direct("https://small.invalid/day/image/a.jpg"),
                direct("https://small.invalid/day/thumb.jpg"),
            ]
        );
        let insecure = "<img src='http://x.cdn.invalid/a.jpg'>";
        assert_eq!(
            leads(first, insecure).unwrap(),
            [direct("https://x.cdn.invalid/a.jpg")]
        );
        assert_eq!(leads(first, "<iframe>").unwrap_err(), "no rule matches");

        let further = leads(second, "<a href=/next>").unwrap();
        let [Candidate::Follow(next)] = &further[..] else {
            panic!("{further:?}")
        };
        assert_eq!(next.page.as_str(), "https://small.invalid/next");
        let last = leads(next, r#"{"image": "/a.png.small"}"#).unwrap();
        assert_eq!(last, [direct("https://small.invalid/a.png")]);
        assert!(leads(next, "<html>").is_err());
        let broken = Follow {
            rule: FollowRule::from_toml("follow = 1"),
            ..next.clone()
        };
        assert!(leads(&broken, "").unwrap_err().contains("malformed"));
    }

    #[test]
    fn a_detail_page_that_the_user_names_is_followed_as_one_that_a_listing_links_to() {
        let site = site(
            "[item]\nselect = '/*'\nlink = '/page'\n[[full]]\nfollow = { from = 'link', find = 'img@src' }\n",
        );
        let classify = |address: &str| site.classify_url(&Url::parse(address).unwrap());
        let Some(crate::site::UrlKind::Image(image)) = classify("https://small.invalid/day/1")
        else {
            panic!("no image")
        };
        assert!(matches!(
            site.candidates(&image).unwrap()[..],
            [Candidate::Follow(_)]
        ));
        let Some(crate::site::UrlKind::Image(image)) = classify("https://x.cdn.invalid/1") else {
            panic!("no image")
        };
        assert!(image.is_original);
        assert!(matches!(
            classify("https://small.invalid/api?page=2"),
            Some(crate::site::UrlKind::Listing(_))
        ));
    }
}
