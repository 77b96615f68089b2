//! One image at several addresses: signed anew at every request, tracked, or on two hosts.

use image::ImageFormat;

use crate::support::fault_server::{Answer, FaultServer};
use crate::support::gallery::picture;
use crate::support::mirror::{GOT, collection, sqlite};
use crate::support::program::{Program, ProgramOutput, Sandbox};

/// A server that has images below `/a/` for whoever sends any signature, and one without any at `/open.png`.
fn signing_server() -> FaultServer {
    let server = FaultServer::start();
    server.everywhere(|asked| {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let is_signed = query.contains("ignature=") || query.contains("sig=");
        match path {
            "/open.png" => Answer::ok(picture(1, ImageFormat::Png)),
            "/a/1.png" if is_signed => Answer::ok(picture(1, ImageFormat::Png)),
            "/a/2.png" if is_signed => Answer::ok(picture(2, ImageFormat::Png)),
            _ => Answer::status(404),
        }
    });
    server
}

fn fetch(world: &Sandbox, urls: &[String]) -> ProgramOutput {
    let program: Program = world.wallhaul().env("WALLHAUL_SYNC", "off");
    program
        .args(["fetch", "-d", GOT, "--json"])
        .args(urls)
        .run()
}

/// The paths of the images that were asked for, with their queries.
fn asked(server: &FaultServer) -> Vec<String> {
    let requests = server.requests().into_iter().map(|asked| asked.path);
    requests.filter(|path| path.contains(".png")).collect()
}

#[test]
fn a_signed_url_with_another_signature_makes_no_request_and_no_file() {
    let (world, server) = (Sandbox::new(), signing_server());
    let signed = |night: usize| {
        [
            format!("/a/1.png?Expires={night}&Signature=s{night}~&Key-Pair-Id=k"),
            format!(
                "/a/2.png?w=1920&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=k%2F{night}&X-Amz-Date={night}\
                 &X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature={night}"
            ),
        ]
        .map(|path| format!("{}{path}", server.origin()))
    };
    let first = fetch(&world, &signed(1));
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!(first.sum()["saved"], 2);
    let requested: Vec<_> = signed(1)
        .map(|url| url.replace(&server.origin(), ""))
        .into();
    let mut got = asked(&server);
    got.sort_unstable();
    assert_eq!(got, requested, "the requests keep their signatures");
    let names: Vec<_> = collection(&world).into_keys().collect();
    assert_eq!(names, ["1.png", "2-w=1920.png"]);
    for night in 2..4 {
        let again = fetch(&world, &signed(night));
        assert_eq!(again.code, Some(0), "{}", again.stderr);
        assert_eq!(again.sum()["already_there"], 2);
    }
    assert_eq!(asked(&server).len(), 2);
    assert_eq!(collection(&world).len(), 2);
}

#[test]
fn parameters_that_are_no_signature_tell_two_images_apart() {
    let (world, server) = (Sandbox::new(), signing_server());
    let urls = ["id=1&signature=mona", "id=2&signature=mona"]
        .map(|query| format!("{}/a/1.png?{query}", server.origin()));
    let ended = fetch(&world, &urls);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(asked(&server).len(), 2);
}

#[test]
fn ledger_show_lists_every_source_of_an_image_by_any_of_them_and_by_its_file() {
    let (world, server, other) = (Sandbox::new(), signing_server(), signing_server());
    let urls = [
        format!("{}/open.png", server.origin()),
        format!("{}/open.png", other.origin()),
        format!("{}/a/1.png?sv=1&se=2&sp=r&sig=x", server.origin()),
        format!("{}/a/2.png?sv=1&se=2&sp=r&sig=x", server.origin()),
    ];
    let ended = fetch(&world, &urls);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(sqlite(&world, "SELECT count(*) FROM images").trim(), "4");
    let show = |text: &str, args: &[&str]| {
        let program = world.wallhaul().args(["ledger", "show", text, "-d", GOT]);
        program.args(args).run()
    };
    for text in [&urls[0], &urls[1], &urls[2], "open.png"] {
        let shown = show(text, &[]);
        assert_eq!(shown.code, Some(0), "{text}: {}", shown.stderr);
        for url in &urls[..3] {
            assert!(
                shown.stdout.contains(url.as_str()),
                "{text}: {}",
                shown.stdout
            );
        }
        assert!(!shown.stdout.contains(&urls[3]), "{text}: {}", shown.stdout);
        let lines = show(text, &["--json"]);
        assert_eq!(lines.stdout.lines().count(), 3, "{text}: {}", lines.stdout);
    }
}
