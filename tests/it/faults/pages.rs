//! Pages as sites really write them, and what a run says of what they hold.

use std::fs;

use encoding_rs::{SHIFT_JIS, WINDOWS_1251};
use image::ImageFormat;

use super::DEFINITION;
use crate::support::fault_server::{Answer, FaultServer};
use crate::support::gallery::picture;
use crate::support::program::{ProgramOutput, Sandbox, files};

const HTML: &str = "text/html";

/// An item of the definition below.
fn item(name: &str) -> String {
    format!("<div class=\"item\"><img src=\"/thumbs/{name}\"/></div>")
}

/// `wallhaul urls` over one page, whose thumb is to be found so.
fn urls(content_type: &str, page: impl Into<Vec<u8>>, thumb: &str) -> ProgramOutput {
    let (world, rogue) = (Sandbox::new(), FaultServer::start());
    let (header, page) = (format!("Content-Type: {content_type}"), page.into());
    rogue.on("/page/1", move |_| {
        Answer::whole("200 OK", &[&header], &*page)
    });
    let origin = rogue.origin();
    let definition = format!(
        "[site]\nname = \"pages\"\nbase = \"{origin}\"\n\
         [listing]\nkind = \"html\"\nurl = \"/page/{{page}}\"\n\
         [item]\nselect = \".item\"\nthumb = {thumb}\n\
         [[full]]\nrewrite = {{ from = \"thumb\", regex = '^(.+)/thumbs/(.+)$', to = \"$1/full/$2\" }}\n\
         [file]\ncapture = {{ from = \"full\", regex = '/(?P<name>[^/]+)$' }}\nname = \"{{name}}\"\n"
    );
    fs::write(world.work().join(DEFINITION), definition).expect("a file for the definition");
    let mut ended = world
        .wallhaul()
        .args(["urls", "--site-file", DEFINITION])
        .run();
    ended.stdout = ended.stdout.replace(&origin, "");
    ended.stderr = ended.stderr.replace(&origin, "");
    ended
}

const IMG: &str = "\"img@src\"";

fn assert_urls(what: &str, ended: &ProgramOutput, expected: &[&str]) {
    let found: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(
        (ended.code, &found[..]),
        (Some(0), expected),
        "{what}: {}",
        ended.stderr
    );
}

#[test]
fn xhtml_with_empty_elements_loses_no_item() {
    for empty in [
        "script", "title", "textarea", "iframe", "style", "a", "div", "noscript", "p",
    ] {
        let (one, two) = (item("a.png"), item("b.png"));
        let page = format!(
            "<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\"><head/><body>\
             <{empty}/>{one}<script>//<![CDATA[\n if (a < b && '</script>') {{}} //]]></script>\
             <{empty} class=\"x\" />{two}</body></html>"
        );
        for content_type in ["application/xhtml+xml; charset=utf-8", "text/xml"] {
            let ended = urls(content_type, page.clone(), IMG);
            assert_urls(empty, &ended, &["/full/a.png", "/full/b.png"]);
        }
    }
}

#[test]
fn html_as_sites_write_it_gives_every_address() {
    let page = |body: &str| format!("<!doctype html><body>{body}</body>");
    let lazy = |inner: &str| page(&format!("<div class=item>{inner}</div>"));
    let noscript = "\"noscript img@src\"";
    let style = "\"i@style\"";
    let xlink = "[\"image@href\", \"image@xlink:href\"]";
    let cases = [
        (
            "noscript",
            lazy("<img src=x><noscript><img src=/thumbs/a.png></noscript>"),
            noscript,
        ),
        (
            "a list in noscript",
            page(&format!("<noscript>{}</noscript>", item("a.png"))),
            IMG,
        ),
        (
            "quirks mode",
            item("a.png").replace("\"item\"", "\"ITEM\""),
            IMG,
        ),
        (
            "a style",
            lazy("<i style=\"background: url(data:,x), url(&quot;/thumbs/a.png&quot;)\">"),
            style,
        ),
        (
            "a style with an escape",
            lazy("<i style='background-image:url(\\2f thumbs/a.png)'>"),
            style,
        ),
        (
            "SVG",
            lazy("<svg><image xlink:href='/thumbs/a.png'/></svg>"),
            xlink,
        ),
        (
            "SVG 2",
            lazy("<svg><image href='/thumbs/a.png'/></svg>"),
            xlink,
        ),
        (
            "an attribute of megabytes",
            format!(
                "<p data-state='{}'>{}",
                "\"a/b c\" > ".repeat(400_000),
                item("a.png")
            ),
            IMG,
        ),
    ];
    for (what, html, thumb) in cases {
        assert_urls(what, &urls(HTML, html, thumb), &["/full/a.png"]);
    }
    let standard = item("a.png").replace("\"item\"", "\"ITEM\"");
    let ended = urls(HTML, page(&(item("b.png") + &standard)), IMG);
    assert_urls("a class by its case", &ended, &["/full/b.png"]);
    let xhtml = page(&lazy(
        "<svg xmlns:xlink='http://www.w3.org/1999/xlink'><image xlink:href='/thumbs/a.png'/></svg>",
    ));
    let ended = urls(
        "application/xhtml+xml",
        xhtml.replace("class=item", "class='item'"),
        xlink,
    );
    assert_urls("SVG in XHTML", &ended, &["/full/a.png"]);
}

#[test]
fn a_late_or_missing_charset_and_a_query_in_it_are_as_in_browsers() {
    let named = |name: &str| item(&format!("{name}?n={name}"));
    let russian = named("\u{417}\u{430}\u{43a}\u{430}\u{442}");
    let expected = "/full/%D0%97%D0%B0%D0%BA%D0%B0%D1%82?n=%C7%E0%EA%E0%F2";
    let late = "x".repeat(50_000);
    let text =
        "\u{41a}\u{440}\u{430}\u{441}\u{438}\u{432}\u{44b}\u{435} \u{43e}\u{431}\u{43e}\u{438}";
    for before in [
        format!("<!-- {late} --><meta charset=windows-1251>"),
        format!("<script>'<meta charset=gbk>{late}'</script><meta charset=cp1251>"),
        "<?xml version=\"1.0\" encoding=\"windows-1251\"?>".to_owned(),
        format!("<p>{}</p>", text.repeat(20)),
    ] {
        let page = format!("{before}{russian}");
        let ended = urls(HTML, &*WINDOWS_1251.encode(&page).0, IMG);
        assert_urls(&before[..20], &ended, &[expected]);
    }
    let page = format!("<meta charset=sjis>{}", named("\u{58c1}\u{7d19}"));
    let ended = urls(HTML, &*SHIFT_JIS.encode(&page).0, IMG);
    assert_urls(
        "Shift_JIS",
        &ended,
        &["/full/%E5%A3%81%E7%B4%99?n=%95%C7%8E%86"],
    );
}

#[test]
fn urls_says_which_items_it_skipped() {
    let other = "<div class=item><img src=/other/b.png></div>";
    let page = item("a.png")
        + other
        + "<div class=item><img src='javascript:x'></div><div class=item></div>";
    let ended = urls(HTML, page, IMG);
    assert_urls("two that are left out", &ended, &["/full/a.png"]);
    let expected = "warning: /page/1: 2 items without a usable address\n  \
                    1 skipped: no rule matches (/other/b.png)\n";
    assert_eq!(ended.stderr, expected);
}

/// The names of the images at `direct`.
fn direct(world: &Sandbox) -> Vec<String> {
    files(&world.work().join("wallpapers/direct"))
        .into_keys()
        .collect()
}

#[test]
fn min_width_and_min_height_hold_for_urls_and_lists() {
    let (world, rogue) = (Sandbox::new(), FaultServer::start());
    let mut small = std::io::Cursor::new(Vec::new());
    let image = image::GrayImage::new(31, 32);
    image
        .write_to(&mut small, ImageFormat::Png)
        .expect("a format that is built in");
    rogue.show("/small.png", small.into_inner());
    let address = format!("{}/small.png", rogue.origin());
    fs::write(world.work().join("list.txt"), &address).expect("a file for the list");
    let fetch = |args: &[&str]| world.wallhaul().args(["fetch"]).args(args).run();
    for (args, wanted) in [
        (["--min-width", "32", &address], "width of 32"),
        (["--min-height", "33", &address], "height of 33"),
        (["--min-width=32", "-i", "list.txt"], "width of 32"),
    ] {
        let ended = fetch(&args);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(&format!(
                "31 x 32 pixels are too few: at least a {wanted} is wanted ("
            )),
            "{}",
            ended.stderr
        );
        assert_eq!(direct(&world), [""; 0]);
    }
    let ended = fetch(&["--min-width", "31", "--min-height=32", &address]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(direct(&world), ["small.png"]);
}

#[test]
fn names_header_takes_the_file_name_of_content_disposition() {
    let (world, rogue) = (Sandbox::new(), FaultServer::start());
    let sent = [
        ("/1", "attachment; filename=\"Tall Trees.png\""),
        (
            "/2",
            "attachment; filename*=UTF-8''%E6%8F%92.jpg; filename=x.jpg",
        ),
        ("/3", "inline; filename=\"../../.ssh/evil.sh\""),
        ("/4", "inline"),
        ("/5", "attachment; filename=\"C:\\dir\\a.jpg.webp\""),
    ];
    for (index, (path, disposition)) in sent.iter().enumerate() {
        let header = format!("Content-Disposition: {disposition}");
        let bytes = picture(index, ImageFormat::Png);
        rogue.on(path, move |_| Answer::whole("200 OK", &[&header], &*bytes));
    }
    let fetch = || {
        let addresses = sent
            .iter()
            .map(|(path, _)| format!("{}{path}", rogue.origin()));
        world
            .wallhaul()
            .args(["fetch", "--names", "header"])
            .args(addresses)
            .run()
    };
    let ended = fetch();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let names = [
        "4.png",
        "Tall Trees.png",
        "a.png",
        "evil.sh.png",
        "\u{63d2}.png",
    ];
    assert_eq!(direct(&world), names);
    let asked = rogue.requests().len();
    assert_eq!(fetch().code, Some(0));
    assert_eq!(rogue.requests().len(), asked, "nothing is fetched twice");
}

#[test]
fn a_placeholder_that_several_urls_give_is_named_in_the_summary() {
    let (world, rogue) = (Sandbox::new(), FaultServer::start());
    let paths = ["/a.png", "/b.png", "/c.png", "/d.jpg.png"];
    for path in paths {
        rogue.show(
            path,
            picture(usize::from(path.starts_with("/d")), ImageFormat::Png),
        );
    }
    let addresses = paths.map(|path| format!("{}{path}", rogue.origin()));
    let ended = world
        .wallhaul()
        .args(["fetch", "--json", "-j1"])
        .args(addresses)
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let message = "3 addresses gave the same image a.png: a placeholder?\n";
    assert!(ended.stderr.contains(message), "{}", ended.stderr);
    let expected = serde_json::json!([{ "name": "a.png", "addresses": 3 }]);
    assert_eq!(ended.sum()["same_images"], expected);
    assert_eq!(direct(&world), ["a.png", "b.png", "c.png", "d.png"]);
}
