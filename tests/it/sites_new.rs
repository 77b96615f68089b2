//! `wallhaul sites new`: drafts of unusual pages compile, and fetch the originals.

use std::fs;

use crate::sites::{grey, sites};
use crate::support::fault_server::{Answer, FaultServer};
use crate::support::program::Sandbox;

/// Serves a thumb and an original for each of four hills.
fn hills() -> FaultServer {
    let server = FaultServer::start();
    for n in 1..=4_u8 {
        server.show(&format!("/t/hill-{n}.png"), grey(140, 90, n));
        server.show(&format!("/big/hill-{n}.png"), grey(400, 300, n));
    }
    server
}

/// Drafts a definition, and returns it with the report; it compiles in any case.
fn draft(server: &FaultServer, path: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let world = Sandbox::new();
    let url = server.origin() + path;
    let mut args = vec!["new", &url, "--name", "hills", "-o", "hills.toml"];
    args.extend(more);
    let ended = sites(&world, &args);
    let text = fs::read_to_string(world.work().join("hills.toml")).unwrap_or_default();
    assert!(
        !ended.stderr.contains("does not compile"),
        "{}\n{text}",
        ended.stderr
    );
    (ended.code, text, ended.stderr)
}

#[test]
fn a_card_with_two_links_to_one_page_is_drafted_with_that_link() {
    let server = hills();
    let cards = (1..=4).map(|n| {
        let original = format!("<html><a class=get href=/big/hill-{n}.png>Download</a></html>");
        server.show(&format!("/w/hill-{n}"), original.into_bytes());
        format!(
            "<div class=card><a href=/w/hill-{n}>Hill</a><a href=/w/hill-{n}><img src=/t/hill-{n}.png></a></div>"
        )
    });
    let page = format!("<html><body>{}</body></html>", cards.collect::<String>());
    server.show("/", page.into_bytes());
    let (code, text, report) = draft(&server, "/", &[]);
    assert_eq!(code, Some(0), "{report}\n{text}");
    assert!(text.contains("link = \"a@href\""), "{text}");
}

#[test]
fn of_several_media_of_a_feed_the_largest_is_drafted() {
    let server = hills();
    let origin = server.origin();
    let items = (1..=3).map(|n| {
        format!(
            "<item><title>Hill {n}</title><guid>{n}</guid>\
             <media:content url='{origin}/t/hill-{n}.png' width='140'/>\
             <media:content url='{origin}/big/hill-{n}.png' width='400'/></item>"
        )
    });
    let feed = format!(
        "<rss xmlns:media='http://search.yahoo.com/mrss/'><channel>{}</channel></rss>",
        items.collect::<String>()
    );
    server.show("/feed", feed.into_bytes());
    let (code, text, report) = draft(&server, "/feed", &[]);
    assert_eq!(code, Some(0), "{report}\n{text}");
    assert!(report.contains("400x300"), "{report}");

    let original = format!("{origin}/full/hill-2.png");
    let (_, text, report) = draft(&server, "/feed", &["--original", &original]);
    assert!(report.contains("learned from one example"), "{report}");
    assert!(
        text.contains("from = \"image\"") && text.contains("full"),
        "{text}"
    );
}

#[test]
fn the_users_original_says_which_member_of_json_it_is() {
    let server = hills();
    let origin = server.origin();
    let items = (1..=4).map(|n| {
        serde_json::json!({
            "id": n, "image": format!("{origin}/t/hill-{n}.png"), "odd": format!("{origin}/big/hill-{n}.png"),
        })
    });
    let json = serde_json::json!({ "data": items.collect::<Vec<_>>() }).to_string();
    let next = format!("Link: <{origin}/api?page=2>; rel=\"next\"");
    let first = json.clone();
    server.on("/api", move |_| {
        let length = format!("Content-Length: {}", first.len());
        let headers = ["Content-Type: application/json", &length, &next];
        Answer::whole("200 OK", &headers, first.clone().into_bytes())
    });
    server.show("/api?page=2", json.into_bytes());
    let original = format!("{origin}/big/hill-3.png");
    let (code, text, report) = draft(&server, "/api", &["--original", &original]);
    assert_eq!(code, Some(0), "{report}\n{text}");
    assert!(text.contains("image1 = \"/odd\""), "{text}");
    assert!(text.contains("next = { header = \"link\" }"), "{text}");
    assert!(report.contains("400x300"), "{report}");

    let (code, text, report) = draft(&server, "/api", &["--original", "https://other.invalid/x"]);
    assert_eq!(code, Some(3), "{report}\n{text}");
    assert!(
        report.contains("no rule leads") && text.contains("[[full]]"),
        "{report}\n{text}"
    );
}

#[test]
fn json_in_a_script_of_a_page_without_images_is_drafted() {
    let server = hills();
    let origin = server.origin();
    let items = (1..=4).map(|n| {
        serde_json::json!({ "id": n, "title": format!("Hill {n}"), "full": format!("{origin}/big/hill-{n}.png") })
    });
    let state = serde_json::json!({ "shown": { "items": items.collect::<Vec<_>>() } });
    let page = format!(
        "<html><body><div id=app></div><script>var a = 1;</script>\
         <script>window.__STATE__ = {state}; start(a);</script></body></html>"
    );
    server.show("/", page.into_bytes());
    let (code, text, report) = draft(&server, "/", &[]);
    assert_eq!(code, Some(0), "{report}\n{text}");
    assert!(text.contains("kind = \"embedded\""), "{text}");
    assert!(text.contains("__STATE__"), "{text}");
    assert!(report.contains("JSON in a script"), "{report}");
}

#[test]
fn a_page_of_albums_is_named_as_one() {
    let server = hills();
    let albums = (1..=4).map(|n| {
        let thumb = |m| format!("<p class=shot><img src=/t/hill-{m}.png></p>");
        let album = (1..=4).map(thumb).collect::<String>();
        server.show(
            &format!("/album/{n}"),
            format!("<html>{album}</html>").into_bytes(),
        );
        format!("<div class=album><a href=/album/{n}><img src=/t/hill-{n}.png></a></div>")
    });
    let page = format!("<html>{}</html>", albums.collect::<String>());
    server.show("/", page.into_bytes());
    let (code, text, report) = draft(&server, "/", &[]);
    assert_eq!(code, Some(3), "{report}\n{text}");
    assert!(report.contains("/album/1 shows 4 images"), "{report}");
    assert!(report.contains("`listing.through`"), "{report}");
}

#[test]
fn sites_new_lists_no_option_that_it_refuses() {
    let world = Sandbox::new();
    let help = sites(&world, &["new", "--help"]).stdout;
    for option in [
        "--base-url",
        "--site-file",
        "--variable",
        "--opt-in",
        "--secret-env",
    ] {
        assert!(!help.contains(option), "{option}: {help}");
    }
    assert!(help.contains("--retries"), "{help}");
}
