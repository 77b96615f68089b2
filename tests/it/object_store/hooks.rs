//! Commands for images in an object store: they get URLs.

use std::collections::BTreeSet;

use super::{Place, assert_code};
use crate::support::program::Sandbox;
use crate::support::site::Site;

#[test]
fn exec_gets_the_url_of_each_object_and_of_the_collection() {
    let (world, site, place) = (Sandbox::new(), Site::open(4), Place::new());
    let image = r#"sh -c "echo \"$1 $WALLHAUL_URL ${WALLHAUL_PATH-none} ${WALLHAUL_DIRECTORY-none}\" >> got" sh {url}"#;
    let end = r#"end:sh -c "echo \"$1\" > end" sh {url}"#;
    let fetch = site.fetch(&world).args(["--exec", image, "--exec", end]);
    assert_code(&place.hold(fetch).run(), 0);
    let read = |name| std::fs::read_to_string(world.work().join(name)).unwrap();
    let got = read("got");
    let got: BTreeSet<&str> = got.lines().collect();
    let line = |name: &String| {
        let url = format!("{}/{name}", place.url());
        format!("{url} {url} none none")
    };
    let lines: Vec<_> = place.objects().keys().map(line).collect();
    assert_eq!(got, lines.iter().map(String::as_str).collect());
    assert_eq!(read("end"), format!("{}/\n", place.url()));
}

#[test]
fn exec_that_needs_a_folder_is_refused_before_anything_is_fetched() {
    let (world, site, place) = (Sandbox::new(), Site::open(4), Place::new());
    for command in [
        "true {path}",
        "true {}",
        "true",
        "true {name} {directory}",
        "end:true {directory}/",
    ] {
        let fetch = site.fetch(&world).args(["--exec", command]);
        let ended = place.hold(fetch).run();
        assert_code(&ended, 2);
        assert!(
            ended.stderr.contains("{url}"),
            "{command}: {}",
            ended.stderr
        );
    }
    assert!(site.nginx.requests().is_empty());
}
