//! Content codings: of pages, which are requested packed, and of images, which are not.

use std::time::Duration;

use super::*;
use crate::support::gzip::{gzip, gzip_bomb};

#[test]
fn unrequested_content_encoding_of_an_image_is_undone_or_refused_and_never_saved() {
    let coded = |codings: &str| {
        let header = format!("Content-Encoding: {codings}");
        move |asked: &Asked| Answer::whole("200 OK", &[&header], gzip(&asked.shown))
    };
    let plain = |codings: &str| {
        let header = format!("Content-Encoding: {codings}");
        move |asked: &Asked| Answer::whole("200 OK", &[&header], asked.shown.to_vec())
    };
    let often = vec!["gzip"; 200].join(", ");
    let separately = |asked: &Asked| {
        let headers = vec!["Content-Encoding: gzip"; 90];
        Answer::whole("200 OK", &headers, gzip(&asked.shown))
    };
    let bombed = |_: &Asked| {
        Answer::whole(
            "200 OK",
            &["Content-Encoding: gzip"],
            gzip_bomb(b'x', 300_000_000),
        )
    };
    let large = |asked: &Asked| {
        let bomb = gzip_bomb(b'x', 300_000_000);
        Answer::whole(
            "200 OK",
            &["Content-Encoding: gzip"],
            [gzip(&asked.shown), bomb].concat(),
        )
    };
    let refused = "that was not requested";
    let mut cases = vec![
        Case::image("gzip", coded("gzip")).comes(1),
        Case::image("x-gzip", coded("X-GZip")).comes(1),
        Case::image("identity, then gzip", coded("identity, gzip")).comes(1),
        Case::image("gzip in chunks without a length", |asked| {
            let packed = gzip(&asked.shown);
            let chunks: Vec<&[u8]> = packed.chunks(7).collect();
            Answer::chunked(&["Content-Encoding: gzip"], &chunks)
        })
        .comes(1),
        Case::image("cut gzip", |asked| {
            let packed = gzip(&asked.shown);
            let cut = &packed[..packed.len() - 9];
            Answer::whole("200 OK", &["Content-Encoding: gzip"], cut)
        })
        .fails(3, &["damaged or incomplete gzip data"]),
        Case::image("unknown, on what is packed", coded("rot13")).fails(1, &["gzip-packed data"]),
        Case::image("gzip 200 times", coded(&often)).fails(1, &["gzip, gzip", refused]),
        Case::image("gzip in 90 headers", separately).fails(1, &["gzip", refused]),
        Case::image("br", coded("br")).fails(1, &["`br`", refused]),
        Case::image("zstd", coded("zstd")).fails(1, &["`zstd`", refused]),
        Case::image("gzip bomb", bombed).fails(1, &["plain text"]),
        Case::image("gzip bomb behind an image", large)
            .fails(1, &["more than the 100000000 bytes allowed"]),
        Case::image("gzip that is not named", |asked| {
            Answer::ok(gzip(&asked.shown))
        })
        .fails(1, &["gzip-packed data"]),
    ];
    for word in [
        "identity",
        "",
        "UTF-8",
        "none",
        "binary",
        "aws-chunked",
        "rot13",
        // The bytes are the image, against what the header says.
        "gzip",
        "deflate",
    ] {
        cases.push(Case::image(format!("not packed, but `{word}`"), plain(word)).comes(1));
    }
    hold(&cases);
}

/// A page that is answered like this, and read.
fn read_page(
    name: impl Into<String>,
    script: impl Fn(&Asked) -> Answer + Send + Sync + Clone + 'static,
) -> Case {
    Case::new(name, move |rogue| rogue.on(PAGE, script.clone())).comes(1)
}

#[test]
fn content_encoding_of_a_page_is_undone_by_any_of_its_names() {
    let coded = |header: &'static str, pack: fn(&[u8]) -> Vec<u8>| {
        read_page(header, move |asked: &Asked| {
            Answer::whole("200 OK", &[header], pack(&asked.shown))
        })
    };
    let as_it_is: fn(&[u8]) -> Vec<u8> = <[u8]>::to_vec;
    let raw = |bytes: &[u8]| {
        let packed = gzip(bytes);
        packed[10..packed.len() - 8].to_vec()
    };
    let mut cases = vec![
        coded("Content-Encoding: GZIP", gzip),
        coded("Content-Encoding: x-gzip", gzip),
        coded("Content-Encoding: UTF-8, Gzip", gzip),
        coded("Content-Encoding: gzip, gzip", |page| gzip(&gzip(page))),
        coded("Content-Encoding: Deflate", raw),
        coded(
            "Content-Encoding: gzip\r\nContent-Encoding: deflate",
            |page| {
                let packed = gzip(&gzip(page));
                packed[10..packed.len() - 8].to_vec()
            },
        ),
    ];
    for header in [
        "Content-Encoding: UTF-8",
        "Content-Encoding: none",
        "Content-Encoding: binary",
        "Content-Encoding: aws-chunked",
        "Content-Encoding: text/html",
        "Content-Encoding:",
    ] {
        cases.push(coded(header, as_it_is));
    }
    hold(&cases);
    let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
    rogue.show(
        "/robots.txt",
        b"User-agent: *\nDisallow: /browse/2/\n".as_slice(),
    );
    rogue.on("/robots.txt", |asked| {
        Answer::whole("200 OK", &["Content-Encoding: X-GZIP"], gzip(&asked.shown))
    });
    let ended = fetch(world.wallhaul(), &rogue).run();
    assert!(
        ended.stderr.contains("disallows /browse/2/"),
        "{}",
        ended.stderr
    );
}

#[test]
fn members_of_a_gzip_page_are_all_read_whenever_they_arrive() {
    /// The page in five members.
    fn members(asked: &Asked) -> Vec<Vec<u8>> {
        let fifth = asked.shown.len().div_ceil(5);
        asked.shown.chunks(fifth).map(gzip).collect()
    }
    const GZIP: &str = "Content-Encoding: gzip";
    let pause = Duration::from_millis(30);
    hold(&[
        read_page("in one piece", |asked: &Asked| {
            Answer::whole("200 OK", &[GZIP], members(asked).concat())
        }),
        read_page("each after a pause", move |asked: &Asked| {
            let members = members(asked);
            let length = format!("Content-Length: {}", members.concat().len());
            let head = Answer::head("200 OK", &[GZIP, &length]);
            members
                .into_iter()
                .fold(head, |answer, member| answer.pause(pause).bytes(member))
        }),
        read_page("in chunks, each after a pause", move |asked: &Asked| {
            let head = Answer::head("200 OK", &[GZIP, "Transfer-Encoding: chunked"]);
            members(asked)
                .iter()
                .fold(head, |answer, member| answer.pause(pause).chunk(member))
                .pause(pause)
                .bytes("0\r\n\r\n")
        }),
        read_page("byte by byte", |asked: &Asked| {
            let packed = members(asked).concat();
            let length = format!("Content-Length: {}", packed.len());
            Answer::head("200 OK", &[GZIP, &length]).drip(packed, Duration::from_micros(50))
        }),
        read_page("with zeros behind the last", |asked: &Asked| {
            let padded = [members(asked).concat(), vec![0; 512]].concat();
            Answer::whole("200 OK", &[GZIP], padded)
        }),
        Case::page("cut in the third", |asked| {
            let members = members(asked);
            let packed = members.concat();
            let end = members[..3].concat().len() - 4;
            Answer::whole("200 OK", &[GZIP], &packed[..end])
        })
        .fails(3, &["damaged or incomplete gzip data"]),
    ]);
}

#[test]
fn gzip_bomb_html_page_is_read_up_to_the_limit() {
    let packed = |bytes: Vec<u8>| {
        move |_: &Asked| Answer::whole("200 OK", &["Content-Encoding: gzip"], bytes.clone())
    };
    hold(&[
        Case::page("gzip bomb", packed(gzip_bomb(b'x', 300_000_000)))
            .fails(1, &["more than the 16000000 bytes allowed"]),
        Case::page("cut gzip", move |asked| {
            let packed = gzip(&asked.shown);
            Answer::whole(
                "200 OK",
                &["Content-Encoding: gzip"],
                &packed[..packed.len() / 2],
            )
        })
        .fails(3, &["damaged or incomplete gzip data"]),
        Case::page("no gzip at all", packed(b"<html>".to_vec()))
            .fails(3, &["damaged or incomplete gzip data"]),
        Case::page("zstd", |asked| {
            Answer::whole("200 OK", &["Content-Encoding: zstd"], asked.shown.to_vec())
        })
        .fails(1, &["`zstd`", "that was not requested"]),
        Case::page("gzip 200 times", move |asked| {
            Answer::whole(
                "200 OK",
                &[&format!(
                    "Content-Encoding: {}",
                    vec!["gzip"; 200].join(", ")
                )],
                gzip(&asked.shown),
            )
        })
        .fails(1, &["gzip, gzip", "that was not requested"]),
    ]);
}
