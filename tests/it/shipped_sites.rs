//! Definitions that ship, on servers that answer as their sites do.

use std::fs;
use std::io::Cursor;
use std::sync::atomic::{AtomicU32, Ordering};

use image::{DynamicImage, ImageFormat};

use crate::support::fault_server::{Answer, Asked, FaultServer};
use crate::support::gallery::picture;
use crate::support::mirror::{GOT, collection};
use crate::support::program::{ProgramOutput, Sandbox};

/// A listing page, given whatever changes at every answer.
type Listing = fn(&Asked, u32) -> Option<String>;

/// A search of three photographs, whose addresses have another `ixid` and `s` at every answer.
fn unsplash(asked: &Asked, answer: u32) -> Option<String> {
    let photographs = (1..=3).map(|n| {
        let address = |kind: &str| {
            format!("https://images.unsplash.com/{n}.png?ixid=M3w{answer}fDB8&s=f{answer}{kind}")
        };
        format!(
            r#"{{ "id": "photo{n}", "slug": "a-hill-{n}", "sponsorship": null,
                "urls": {{ "raw": "{}", "full": "{}", "small": "{}" }} }}"#,
            address(""),
            address("&q=85"),
            address("&w=400")
        )
    });
    let results = photographs.collect::<Vec<_>>().join(",");
    let is_search = asked.path.starts_with("/api.unsplash.com/search/photos?");
    is_search.then(|| format!(r#"{{ "total": 3, "results": [{results}] }}"#))
}

/// Three pictures, whose addresses name another market at every answer; then none.
fn bing(asked: &Asked, answer: u32) -> Option<String> {
    let pictures = (1..=3).map(|n| {
        let base = format!("/th?id=OHR.Hill{n}_EN-US{answer}");
        format!(
            r#"{{ "startdate": "2026030{n}", "url": "{base}_small.jpg", "urlbase": "{base}", "wp": true,
                "copyright": "Hill {n}" }}"#
        )
    });
    let pictures = pictures.collect::<Vec<_>>().join(",");
    let is_list = asked.path.starts_with("/www.bing.com/HPImageArchive.aspx?");
    let shown = if asked.path.contains("idx=0&") {
        &*pictures
    } else {
        ""
    };
    is_list.then(|| format!(r#"{{ "images": [{shown}] }}"#))
}

/// The number of the image that a request is for, if it is for one.
fn image_number(path: &str) -> Option<usize> {
    let rest = path
        .strip_prefix("/images.unsplash.com/")
        .or_else(|| path.strip_prefix("/www.bing.com/th?id=OHR.Hill"))?;
    rest[..1].parse().ok()
}

fn images_asked(server: &FaultServer) -> usize {
    let requests = server.requests();
    let images = requests
        .iter()
        .filter(|asked| image_number(&asked.path).is_some());
    images.count()
}

fn fetch(world: &Sandbox, args: &[&str]) -> ProgramOutput {
    let program = world.wallhaul().env("WALLHAUL_SYNC", "off");
    program
        .args(["fetch", "-d", GOT, "--json", "--retry-wait", "1ms"])
        .args(args)
        .run()
}

#[test]
fn images_of_a_shipped_site_are_not_requested_again_when_their_signed_addresses_change() {
    let sites: [(&str, Listing); 2] = [("unsplash", unsplash), ("bing", bing)];
    for (name, listing) in sites {
        let (world, server) = (Sandbox::new(), FaultServer::start());
        let answers = AtomicU32::new(0);
        server.everywhere(move |asked| {
            if let Some(number) = image_number(&asked.path) {
                return Answer::ok(picture(number, ImageFormat::Png));
            }
            match listing(asked, answers.fetch_add(1, Ordering::Relaxed)) {
                Some(page) => Answer::ok(page.into_bytes()),
                None => Answer::status(404),
            }
        });
        let mirror = format!("{}/{{host}}/", server.origin());
        let args = [name, "--opt-in", name, "--base-url", &mirror];
        for (saved, already_there) in [(3, 0), (0, 3), (0, 3)] {
            let ended = fetch(&world, &args);
            assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
            let sum = ended.sum();
            assert_eq!(sum["saved"], saved, "{name}: {sum}");
            assert_eq!(sum["already_there"], already_there, "{name}: {sum}");
            assert_eq!(images_asked(&server), 3, "{name}");
        }
        assert_eq!(collection(&world).len(), 3, "{name}");
    }
}

/// A list whose first page has nothing on the site's own hosts, and whose second page has one image.
fn reddit(asked: &Asked) -> Answer {
    let page = |posts: &[&str], after: &str| {
        let posts = posts.iter().enumerate().map(|(n, url)| {
            format!(r#"{{ "kind": "t3", "data": {{ "id": "{n}{after}", "title": "one", "url": "{url}" }} }}"#)
        });
        let posts = posts.collect::<Vec<_>>().join(",");
        let text = format!(r#"{{ "data": {{ "after": "{after}", "children": [{posts}] }} }}"#);
        Answer::ok(text.into_bytes())
    };
    match asked
        .path
        .split_once('?')
        .map_or(&*asked.path, |(path, _query)| path)
    {
        "/i.redd.it/a.png" => Answer::ok(picture(1, ImageFormat::Png)),
        "/www.reddit.com/r/wallpaper/hot.json" if asked.path.contains("after=t3_1") => {
            page(&["https://i.redd.it/a.png"], "")
        }
        "/www.reddit.com/r/wallpaper/hot.json" => page(
            &[
                "https://elsewhere.invalid/article",
                "https://i.imgur.com/b.png",
            ],
            "t3_1",
        ),
        _ => Answer::status(404),
    }
}

#[test]
fn a_page_of_images_on_other_hosts_is_no_sign_that_reddit_has_changed() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    server.everywhere(reddit);
    let mirror = format!("{}/{{host}}/", server.origin());
    let args = ["reddit", "--opt-in", "reddit", "--base-url", &mirror];
    let ended = fetch(&world, &args);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let sum = ended.sum();
    assert_eq!(
        (&sum["saved"], &sum["skipped"]),
        (&1.into(), &2.into()),
        "{sum}"
    );
    assert!(
        ended.stderr.contains("--allow-any-host"),
        "{}",
        ended.stderr
    );
}

/// A grey picture, large enough to be no thumbnail.
fn grey(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::new_luma8(width, height)
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("a format that is built in");
    bytes.into_inner()
}

/// A feed of two images, of which one is on another host.
fn feed(server: &FaultServer) -> String {
    let enclosures = ["/a.png", "https://elsewhere.invalid/b.png"].map(|url| {
        format!(r#"<item><guid>{url}</guid><title>one</title><enclosure type="image/png" url="{url}"/></item>"#)
    });
    let text = format!(
        "<rss><channel><title>f</title>{}</channel></rss>",
        enclosures.concat()
    );
    server.show("/feed.xml", text.clone().into_bytes());
    server.show("/a.png", grey(400, 300));
    text
}

#[test]
fn the_host_of_a_feed_may_be_private_as_its_address_is_given_by_the_user() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    feed(&server);
    let address = format!("url={}/feed.xml", server.origin());
    let ended = fetch(&world, &["feed", "-V", &address]);
    let sum = ended.sum();
    assert_eq!(
        (&sum["saved"], &sum["skipped"]),
        (&1.into(), &1.into()),
        "{} {sum}",
        ended.stderr
    );
    assert_eq!(server.asked("/a.png").len(), 1, "{}", ended.stderr);
}

#[test]
fn a_definition_is_tried_with_variables_and_with_any_host_where_the_user_says_so() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    fs::write(world.work().join("saved.xml"), feed(&server)).expect("a file for the feed");
    let test = |args: &[&str]| {
        let program = world.wallhaul().args(["sites", "test", "feed"]);
        program.args(["--page", "saved.xml"]).args(args).run()
    };
    let given = ["-V", "url=https://own.invalid/feed.xml"];
    let ended = test(&given);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let is_direct = |ended: &ProgramOutput, url: &str| {
        let line = format!("direct\t{url}\t");
        ended.stdout.contains(&line)
    };
    assert!(
        is_direct(&ended, "https://own.invalid/a.png"),
        "{}",
        ended.stdout
    );
    let elsewhere = "https://elsewhere.invalid/b.png";
    assert!(!is_direct(&ended, elsewhere), "{}", ended.stdout);
    let ended = test(&[given.as_slice(), &["--allow-any-host"]].concat());
    assert!(is_direct(&ended, elsewhere), "{}", ended.stdout);
    let ended = test(&["-V", "urls=https://own.invalid/"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
}
