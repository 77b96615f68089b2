//! Limits that the user sets: what ends a run, and the bandwidth.

use std::fs;

use crate::support::mirror::{GOT, Mirror, assert_whole, collection};
use crate::support::program::Sandbox;

#[test]
fn quota_ends_a_run_and_the_next_run_continues() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(300));
    let ended = mirror
        .fetch(&world)
        .args(["-Q", "1k", "-j", "1", "--json"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let sum = ended.sum();
    let (saved, bytes) = (
        sum["saved"].as_u64().unwrap(),
        sum["bytes"].as_u64().unwrap(),
    );
    assert!(
        (1_000..3_000).contains(&bytes),
        "{saved} images, {bytes} bytes"
    );
    assert_eq!(
        (collection(&world).len() as u64, &sum["limit"]),
        (saved, &"--quota".into())
    );
    assert!(
        ended.stderr.contains("; stopped at --quota\n"),
        "{}",
        ended.stderr
    );
    let ended = mirror.fetch(&world).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_whole(&world, &mirror);
    assert_eq!(mirror.originals_asked(), mirror.originals());
}

#[test]
fn max_time_ends_a_run_and_finishes_images_in_flight() {
    let slow = "location /uploads/ { if (-f $document_root/slow) { set $limit_rate 150; } }";
    let (world, mirror) = (Sandbox::new(), Mirror::with(60, slow));
    mirror.put("/slow", b"");
    let ended = mirror
        .fetch(&world)
        .args(["--max-time", "2s", "-j", "2", "--json"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let sum = ended.sum();
    assert_eq!(
        (&sum["limit"], &sum["failed"], &sum["interrupted"]),
        (&"--max-time".into(), &0.into(), &0.into())
    );
    let asked = mirror.originals_asked().len();
    assert!(
        asked < 60 && collection(&world).len() == asked,
        "{asked} asked for"
    );
    mirror.take("/slow");
    assert_eq!(mirror.fetch(&world).run().code, Some(0));
    assert_whole(&world, &mirror);
    assert_eq!(mirror.originals_asked(), mirror.originals());
}

#[test]
fn max_downloads_does_not_count_an_image_whose_names_are_taken() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(6));
    let first = &mirror.gallery.originals[0];
    let stem = "2021-03-18-Light_Em_Up_2880x1800";
    for foreign in [
        format!("{stem}.jpg"),
        format!("{stem}~{}.jpg", &first.hash.to_hex()[..8]),
    ] {
        fs::create_dir_all(world.work().join(GOT).join(foreign)).unwrap();
    }
    for jobs in ["1", "8"] {
        let ended = mirror
            .fetch(&world)
            .args(["--max-downloads", "2", "-j", jobs, "--json"])
            .run();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let sum = ended.sum();
        assert_eq!(
            (&sum["saved"], &sum["failed"], &sum["limit"]),
            (&2.into(), &1.into(), &"--max-downloads".into())
        );
    }
    assert_eq!(collection(&world).len(), 4);
}

#[test]
fn limit_rate_caps_the_bandwidth_of_all_images_together() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(4));
    for (original, side) in mirror.gallery.originals.iter().zip(350..) {
        mirror.put(&original.path, &noise(side));
    }
    let ended = mirror
        .fetch(&world)
        .args(["-r", "500k", "-j", "4", "--json"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let sum = ended.sum();
    let (bytes, seconds) = (
        sum["bytes"].as_f64().unwrap(),
        sum["seconds"].as_f64().unwrap(),
    );
    let due = bytes / 500_000.0;
    assert!(
        due > 2.0 && seconds > due * 0.93,
        "{bytes} bytes in {seconds} s"
    );
    // However busy the machine is.
    assert!(seconds < due * 10.0, "{bytes} bytes in {seconds} s");
}

/// A picture that nothing can be squeezed out of.
fn noise(side: u32) -> Vec<u8> {
    let mut state = side;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let pixels = (0..side * side * 3).map(|_| next()).collect();
    let picture = image::DynamicImage::from(image::RgbImage::from_raw(side, side, pixels).unwrap());
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}
