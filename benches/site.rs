//! Reading a site: pages, addresses, names.

use std::fmt::Write as _;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use wallhaul::outcome::Format;
use wallhaul::site::Site;

use crate::{image, job, sure};

/// Images on a full listing page.
const ON_A_PAGE: usize = 28;

fn simpledesktops() -> Site {
    sure(Site::shipped("simpledesktops"))
}

/// A full listing page, about as long as the site's own.
fn page() -> String {
    let mut page =
        "<!DOCTYPE html>\n<html>\n<body>\n<div class=\"desktops column span-24 archive\">\n"
            .to_owned();
    for image in (0..ON_A_PAGE).map(image) {
        let (thumb, link) = (image.thumb, image.link.expect("every image has one"));
        let title = image.title.unwrap_or_default();
        let written = write!(
            page,
            "\t<div class=\"edge\">\n\t\t<div class=\"desktop\" height=\"184px\">\n\t\t\t<a href=\"{link}\">\n\
             \t\t\t<img src=\"{thumb}\" title=\"{title}\" alt=\"{title}\" width=\"295px\" height=\"184px\" />\n\
             \t\t\t</a>\n\t\t\t<h2><a href=\"{link}\">{title}</a></h2>\n\
             \t\t\t<span class=\"creator\">By: <a href=\"\">somebody</a></span>\n\t\t</div>\n\t</div>\n"
        );
        sure(written);
    }
    page + "</div>\n<a class=\"more\" href=\"/browse/2/\">Older</a>\n</body>\n</html>\n"
}

#[divan::bench]
fn read_a_page_of_28(bencher: Bencher<'_, '_>) {
    let (site, body) = (simpledesktops(), page());
    let address = site.first_page();
    assert_eq!(sure(site.read(&address, &body)).images.len(), ON_A_PAGE);
    let bencher = bencher
        .counter(BytesCount::of_str(&body))
        .counter(ItemsCount::new(ON_A_PAGE));
    bencher.bench_local(|| site.read(&address, black_box(&body)));
}

/// Images on a large page of an API.
const IN_AN_ANSWER: usize = 100;

/// An answer of the shape of Wallhaven's, with everything that the site says of an image.
fn answer() -> String {
    let images = (0..IN_AN_ANSWER).map(|number| {
        let id = format!("{number:06}");
        let place = format!("{}/{id}", &id[..2]);
        format!(
            r##"{{"id":"{id}","url":"https:\/\/wallhaven.cc\/w\/{id}","short_url":"https:\/\/whvn.cc\/{id}","views":{number},"favorites":7,"source":"","purity":"sfw","category":"general","dimension_x":3840,"dimension_y":2160,"resolution":"3840x2160","ratio":"1.78","file_size":3141592,"file_type":"image\/png","created_at":"2026-01-02 03:04:05","colors":["#000000","#424153","#abbcda","#996633","#999999"],"path":"https:\/\/w.wallhaven.cc\/full\/{}\/wallhaven-{id}.png","thumbs":{{"large":"https:\/\/th.wallhaven.cc\/lg\/{place}.jpg","original":"https:\/\/th.wallhaven.cc\/orig\/{place}.jpg","small":"https:\/\/th.wallhaven.cc\/small\/{place}.jpg"}}}}"##,
            &id[..2]
        )
    });
    let images = images.collect::<Vec<_>>().join(",");
    format!(
        r#"{{"data":[{images}],"meta":{{"current_page":1,"last_page":9,"per_page":{IN_AN_ANSWER},"total":900,"query":null,"seed":null}}}}"#
    )
}

#[divan::bench]
fn read_a_json_page_of_100(bencher: Bencher<'_, '_>) {
    let (site, body) = (sure(Site::shipped("wallhaven")), answer());
    let address = site.first_page();
    assert_eq!(sure(site.read(&address, &body)).images.len(), IN_AN_ANSWER);
    let bencher = bencher
        .counter(BytesCount::of_str(&body))
        .counter(ItemsCount::new(IN_AN_ANSWER));
    bencher.bench_local(|| site.read(&address, black_box(&body)));
}

#[divan::bench]
fn rewrite_a_thumb(bencher: Bencher<'_, '_>) {
    let (site, image) = (simpledesktops(), image(1));
    assert_eq!(sure(site.key(&image)), job(1).key);
    bencher.bench_local(|| site.candidates(black_box(&image)));
}

#[divan::bench]
fn name_an_image(bencher: Bencher<'_, '_>) {
    let (site, image) = (simpledesktops(), image(1));
    let original = crate::address(job(1).key.identity());
    assert_eq!(
        site.name(&image, &original, Format::Png).to_string(),
        "2018-03-29-Mountains_1.png"
    );
    bencher.bench_local(|| site.name(black_box(&image), black_box(&original), Format::Png));
}

#[divan::bench]
fn compile_a_definition() -> Site {
    simpledesktops()
}
