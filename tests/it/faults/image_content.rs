//! Bodies that arrive as they were sent, and are not the image that was wanted.

use image::ImageFormat;

use super::malformed_images::{avif, chunk, sized};
use super::*;
use crate::support::gallery::picture;
use crate::support::gzip::gzip;

/// Sends these bytes with everything in order.
fn sent(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Case {
    let bytes = bytes.into();
    Case::image(name, move |_| Answer::ok(bytes.clone()))
}

/// Has these bytes there for good.
fn there(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Case {
    let bytes = bytes.into();
    Case::new(name, move |rogue| {
        rogue.show(FaultServer::FAULTY, bytes.clone());
    })
}

#[test]
fn html_is_not_an_image_whatever_its_content_type() {
    let page = "<!DOCTYPE html><html><head><title>Please \x1b[31mlog in\x07</title></head></html>";
    let mut cases = Vec::new();
    for kind in [
        "text/html; charset=utf-8",
        "image/png",
        "application/octet-stream",
        "",
        "x",
    ] {
        let header = format!("Content-Type: {kind}");
        let case = Case::image(format!("as {kind:?}"), move |_| {
            Answer::whole("200 OK", &[&header], page)
        });
        cases.push(case.fails(1, &["an HTML page titled `Please", "log in"]));
    }
    let endless = "<html>".repeat(20_000);
    let endless = Case::image("without end", move |_| {
        Answer::head("200 OK", &[]).bytes(&*endless).hang()
    });
    cases.push(endless.fails(1, &["an HTML page"]));
    cases.push(
        sent("after a comment", "<!-- -->\n<html><title>x</title>")
            .fails(1, &["an HTML page titled `x`"]),
    );
    cases.push(
        sent("after a byte order mark", "\u{feff}<!doctype html>").fails(1, &["an HTML page"]),
    );
    cases.push(
        sent("after 3,000 spaces", format!("{}<html>", " ".repeat(3000)))
            .fails(1, &["an HTML page"]),
    );
    cases.push(
        sent(
            "10 MB of it",
            format!("<html>{}", "<p>more".repeat(1_500_000)),
        )
        .fails(1, &["an HTML page"]),
    );
    hold(&cases);
}

#[test]
fn non_image_content_is_named_and_requested_once() {
    let others: [(&str, Vec<u8>, &str); 16] = [
        ("nothing", vec![], "the answer is empty"),
        ("NUL", vec![0; 5000], "NUL bytes"),
        ("NUL in between", b"\0\x01\0\x02".repeat(50), "00 01 00 02"),
        (
            "ELF",
            b"\x7fELF\x02\x01\x01\0".repeat(100),
            "an ELF program",
        ),
        ("PE", b"MZ\x90\0\x03".repeat(100), "a Windows program"),
        ("PDF", b"%PDF-1.7\n%\xe2\xe3\n".to_vec(), "a PDF document"),
        ("script", b"#!/bin/sh\nrm -rf /\n".to_vec(), "a script"),
        (
            "PHP",
            b"<?php system($_GET['c']); ?>".to_vec(),
            "a PHP script",
        ),
        ("ZIP", b"PK\x03\x04\x14\0\0\0".to_vec(), "a ZIP archive"),
        ("gzip", gzip(b"x"), "gzip-packed data"),
        (
            "SVG",
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>".to_vec(),
            "an SVG drawing",
        ),
        (
            "XML and SVG",
            b"<?xml version='1.0'?>\n<!DOCTYPE svg>\n<svg/>".to_vec(),
            "an SVG drawing",
        ),
        (
            "XML",
            b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>".to_vec(),
            "an XML document",
        ),
        ("text", b"Not Found\n".to_vec(), "plain text"),
        ("JSON", b"{\"error\": \"gone\"}".to_vec(), "plain text"),
        ("BMP", b"BM\x36\0\0\0\0\0".repeat(20), "a BMP image"),
    ];
    hold(&others.map(|(name, bytes, says)| sent(name, bytes).fails(1, &[says, "(1 attempt)"])));
}

/// A picture in each format that is taken.
fn pictures() -> [(&'static str, Vec<u8>); 6] {
    [
        ("PNG", picture(7, ImageFormat::Png)),
        ("JPEG", picture(7, ImageFormat::Jpeg)),
        ("GIF", picture(7, ImageFormat::Gif)),
        ("WebP", picture(7, ImageFormat::WebP)),
        ("AVIF", avif(32, 32)),
        (
            "JPEG XL",
            include_bytes!("../../fixtures/jxl/boxed.jxl").to_vec(),
        ),
    ]
}

#[test]
fn truncated_or_corrupt_image_is_requested_once_more() {
    let mut cases = Vec::new();
    for (name, whole) in pictures() {
        for missing in [1, 2, 12, whole.len() / 2, whole.len() - 20] {
            let cut = whole[..whole.len() - missing].to_vec();
            cases.push(
                sent(format!("{name} without its last {missing}"), cut)
                    .fails(2, &["cut", "2 attempts"]),
            );
        }
        let once = Case::new(format!("{name} cut once"), move |rogue| {
            rogue.show(FaultServer::FAULTY, whole.clone());
            rogue.on(FaultServer::FAULTY, |asked| match asked.nth {
                1 => Answer::ok(&asked.shown[..asked.shown.len() - 1]),
                _ => asked.served(),
            });
        });
        cases.push(once.comes(2));
    }
    let png = picture(7, ImageFormat::Png);
    let at = |part: &[u8]| {
        png.windows(4)
            .position(|four| four == part)
            .expect("a chunk of a PNG")
    };
    let changed = |place: usize| {
        let mut bytes = png.clone();
        bytes[place] ^= 1;
        bytes
    };
    cases.push(sent("PNG without IEND", &png[..png.len() - 12]).fails(2, &["cut"]));
    cases.push(
        sent("PNG with a wrong checksum", changed(at(b"IDAT") + 9))
            .fails(2, &["checksum", "`IDAT`"]),
    );
    cases.push(
        sent(
            "PNG with a wrong checksum at its end",
            changed(png.len() - 1),
        )
        .fails(2, &["checksum", "`IEND`"]),
    );
    cases.push(sent("PNG of no width", sized(&png, 0, 32)).fails(2, &["0 x 32 pixels"]));
    hold(&cases);
}

#[test]
fn png_with_a_wrong_ancillary_checksum_is_kept_once_it_came_twice() {
    let png = picture(7, ImageFormat::Png);
    let mut text = chunk(*b"tEXt", b"Title\0Sea");
    text[20] ^= 1;
    let odd = [&png[..33], &text, &png[33..]].concat();
    let once = odd.clone();
    let cases = [
        there("each time", odd).comes(2),
        Case::new("once", move |rogue| {
            rogue.show(FaultServer::FAULTY, png.clone());
            let once = once.clone();
            rogue.on(FaultServer::FAULTY, move |asked| match asked.nth {
                1 => Answer::ok(once.clone()),
                _ => asked.served(),
            });
        })
        .comes(2),
    ];
    hold(&cases);
}

#[test]
fn bad_image_is_retried_once_after_any_earlier_failure() {
    let bad = |asked: &Asked| Answer::ok(&asked.shown[..asked.shown.len() - 1]);
    let case = |name: &str, script: fn(usize) -> Option<u16>, bads: [usize; 2]| {
        Case::image(name, move |asked| match script(asked.nth) {
            Some(code) => Answer::status(code),
            None if bads.contains(&asked.nth) => bad(asked),
            None => asked.served(),
        })
        .with(&["-R", "4"])
    };
    hold(&[
        case("503, bad, good", |nth| (nth == 1).then_some(503), [2, 0]).comes(3),
        case(
            "503, 503, bad, good",
            |nth| (nth <= 2).then_some(503),
            [3, 0],
        )
        .comes(4),
        case("503, bad, bad", |nth| (nth == 1).then_some(503), [2, 3])
            .fails(3, &["cut", "3 attempts"]),
        case("bad, 503, good", |nth| (nth == 2).then_some(503), [1, 0]).comes(3),
        case("bad, 503, bad", |nth| (nth == 2).then_some(503), [1, 3])
            .fails(3, &["cut", "3 attempts"]),
        case("bad, 503 for good", |nth| (nth > 1).then_some(503), [1, 0])
            .fails(5, &["503", "5 attempts"]),
    ]);
}

#[test]
fn decompression_bomb_image_is_refused_without_decoding() {
    let side = 65_535_u16;
    let [(_, png), (_, jpeg), (_, gif), ..] = pictures();
    let place = jpeg
        .windows(2)
        .position(|two| two == b"\xff\xc0")
        .expect("the head of a frame")
        + 5;
    let patched = |bytes: &[u8], at: usize, order: fn(u16) -> [u8; 2]| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + 4].copy_from_slice(&[order(side), order(side)].concat());
        bytes
    };
    let says = ["65535 x 65535 pixels", "--max-pixels"];
    hold(&[
        sent("PNG", sized(&png, side.into(), side.into())).fails(2, &says),
        sent("JPEG", patched(&jpeg, place, u16::to_be_bytes)).fails(2, &says),
        sent("GIF", patched(&gif, 6, u16::to_le_bytes)).fails(2, &says),
        sent("AVIF", avif(side.into(), side.into())).fails(2, &says),
        sent(
            "a size that overflows",
            sized(&png, u32::MAX >> 1, u32::MAX >> 1),
        )
        .fails(2, &["pixels"]),
        // The limit is the user's.
        sent("small, by a smaller limit", sized(&png, 33, 32))
            .with(&["--max-pixels", "1024"])
            .fails(2, &["33 x 32 pixels"]),
    ]);
}

#[test]
fn trailing_bytes_are_kept_and_the_extension_follows_the_content() {
    let [
        (_, png),
        (_, jpeg),
        (_, gif),
        (_, webp),
        (_, avif),
        (_, jxl),
    ] = pictures();
    let with = |image: &[u8], behind: &[u8]| [image, behind].concat();
    let named = |case: Case, kind: &str| case.comes(1).named(&format!("2020-02-02-faulty.{kind}"));
    hold(&[
        named(there("PNG and ZIP", with(&png, b"PK\x03\x04evil")), "png"),
        named(
            there("PNG and a script", with(&png, b"\n#!/bin/sh\nrm -rf /\n")),
            "png",
        ),
        named(
            there("JPEG and PHP", with(&jpeg, b"<?php system($_GET['c']); ?>")),
            "jpg",
        ),
        named(
            there(
                "GIF and JavaScript",
                with(&gif, b"/*<script>alert(1)</script>*/"),
            ),
            "gif",
        ),
        named(there("JPEG under .png", jpeg), "jpg"),
        named(there("GIF under .png", gif), "gif"),
        named(there("WebP under .png", webp), "webp"),
        named(there("AVIF under .png", avif), "avif"),
        named(there("JPEG XL under .png", jxl), "jxl"),
    ]);
}

#[test]
fn no_part_stays_of_an_image_that_is_too_small() {
    let (world, rogue) = (Sandbox::new(), FaultServer::start());
    // Long enough for resume information of its own, with which a part outlives its run.
    rogue.show("/large.png", malformed_images::large(2, 1_500_000));
    let address = format!("{}/large.png", rogue.origin());
    let ended = world
        .wallhaul()
        .args(["fetch", "--min-width=1000000", &address])
        .run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let kept = fs::read_dir(world.work().join("wallpapers/direct/.wallhaul/parts"))
        .expect("the folder of the parts")
        .map(|entry| entry.expect("a part").file_name())
        .collect::<Vec<_>>();
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn thumbnail_below_min_width_or_min_height_is_refused() {
    let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
    let thumb = image::GrayImage::new(31, 32);
    let mut bytes = std::io::Cursor::new(Vec::new());
    thumb
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("a format that is built in");
    rogue.on(FaultServer::FAULTY, move |_| {
        Answer::ok(bytes.get_ref().clone())
    });
    let minimum = definition("https://simpledesktops.com") + "\nmin_width = 32\nmin_height = 20\n";
    fs::write(world.work().join(DEFINITION), minimum).expect("a file for the definition");
    let run = || {
        fetch(world.wallhaul(), &rogue)
            .args(["--site-file", DEFINITION])
            .run()
    };
    let ended = run();
    assert_eq!(
        (ended.code, rogue.asked(FaultServer::FAULTY).len()),
        (Some(1), 1),
        "{}",
        ended.stderr
    );
    assert!(
        ended
            .stderr
            .contains("31 x 32 pixels are too few: at least a width of 32 is wanted"),
        "{}",
        ended.stderr
    );
    assert_kept(&world, &rogue, &FaultServer::GOOD, &ended);
    assert_eq!(parts(&world).len(), 0);
    rogue.heal();
    let again = run();
    assert_eq!(
        (again.code, rogue.originals_asked().len()),
        (Some(0), 1),
        "{}",
        again.stderr
    );
    assert_kept(
        &world,
        &rogue,
        &[&FaultServer::GOOD[..], &[FaultServer::FAULTY]].concat(),
        &again,
    );
}
