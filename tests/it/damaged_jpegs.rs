//! Damaged JPEGs by libjpeg's own tools: what `djpeg` reports is found, no whole one is accused.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use tempfile::TempDir;
use wallhaul::verify::{DecodeResult, Decoder, Limits, verify_file};

use crate::support::rng::Rng;

/// What is said of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Whole,
    Damaged,
    Undecoded,
}

/// What `wallhaul verify --decode` finds.
fn ours(bytes: &[u8]) -> Verdict {
    let length = bytes.len() as u64;
    let Ok(content) = verify_file(bytes, length, Limits::default()).unwrap() else {
        return Verdict::Damaged;
    };
    let decoder = Decoder::new(Limits::default());
    match decoder.decode(std::io::Cursor::new(bytes), &content) {
        Ok(DecodeResult::Complete) => Verdict::Whole,
        Ok(DecodeResult::NotDecoded(_)) => Verdict::Undecoded,
        Err(_) => Verdict::Damaged,
    }
}

/// What `djpeg` says, by its exit code or a warning. It writes no file of four colors: those are
/// read by `jpegtran`, which gives the same warnings.
fn theirs(path: &Path, has_four_colors: bool) -> Verdict {
    let program = if has_four_colors { "jpegtran" } else { "djpeg" };
    let run = Command::new(program)
        .args(["-outfile", "/dev/null"])
        .arg(path)
        .output()
        .expect("libjpeg-turbo-progs is installed");
    if run.status.success() && run.stderr.is_empty() {
        Verdict::Whole
    } else {
        Verdict::Damaged
    }
}

/// Noise of this size, compressed with these options.
fn compressed(folder: &Path, [width, height]: [usize; 2], options: &str) -> Vec<u8> {
    let mut rng = Rng::new("noise", options);
    let mut picture = format!("P6 {width} {height} 255\n").into_bytes();
    picture.extend((0..width * height * 3).map(|_| rng.byte()));
    let file = folder.join("noise.ppm");
    fs::write(&file, picture).unwrap();
    let run = Command::new("cjpeg")
        .args(options.split_whitespace())
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .expect("libjpeg-turbo-progs is installed");
    assert!(run.status.success(), "{options}: {run:?}");
    run.stdout
}

/// Where the data of the first scan begins.
fn first_data(bytes: &[u8]) -> usize {
    let mut at = 2;
    loop {
        assert_eq!(bytes[at], 0xFF);
        let next = at + 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        if bytes[at + 1] == 0xDA {
            return next;
        }
        at = next;
    }
}

/// Four gray images as the components of one, each in a scan of its own.
fn four_colors(gray: &[u8]) -> Vec<u8> {
    let frame = gray
        .windows(2)
        .position(|pair| pair == b"\xff\xc0")
        .unwrap();
    let (data, end) = (first_data(gray), gray.len() - 2);
    let mut bytes = gray[..frame].to_vec();
    bytes.extend([0xFF, 0xC0, 0, 20]);
    bytes.extend(&gray[frame + 4..frame + 9]);
    bytes.push(4);
    (1..=4).for_each(|id| bytes.extend([id, 0x11, 0]));
    bytes.extend(&gray[frame + 13..data - 10]);
    for id in 1..=4 {
        bytes.extend([0xFF, 0xDA, 0, 8, 1, id, 0, 0, 63, 0]);
        bytes.extend(&gray[data..end]);
    }
    bytes.extend(b"\xff\xd9");
    bytes
}

/// The image cut in three ways, with an end mark behind each, and with two holes of zeros.
fn damaged(bytes: &[u8], rng: &mut Rng) -> Vec<Vec<u8>> {
    let (data, end) = (first_data(bytes), bytes.len() - 2);
    let cut = |percent: usize| {
        let to = data + (end - data) * percent / 100;
        // No half of a stuffed byte or of a marker.
        let to = if bytes[to - 1] == 0xFF { to - 1 } else { to };
        [&bytes[..to], b"\xff\xd9"].concat()
    };
    let mut all = [50, 90, 99].map(cut).to_vec();
    for _ in 0..2 {
        let length = 4096.min((end - data) / 4);
        let at = data + rng.below(end - data - length);
        let mut holed = bytes.to_vec();
        holed[at..at + length].fill(0);
        if holed[at - 1] == 0xFF {
            holed[at - 1] = 0;
        }
        all.push(holed);
    }
    all
}

/// Whole images: every process, sampling, restart interval and odd sizes.
fn whole(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut images = Vec::new();
    for size in [[61, 47], [96, 128], [131, 77]] {
        for process in ["-baseline", "-optimize", "-progressive", "-arithmetic"] {
            for restart in ["", "-restart 1", "-restart 5B"] {
                for sampling in ["1x1", "2x2", "2x1", "1x2", "4x1"] {
                    let options = format!("-quality 85 {process} {restart} -sample {sampling}");
                    images.push((size, options));
                }
                images.push((size, format!("-grayscale {process} {restart}")));
            }
        }
    }
    let made = |(size, options): ([usize; 2], String)| {
        let bytes = compressed(folder, size, &options);
        (format!("{size:?} {options}"), bytes)
    };
    let mut images: Vec<_> = images.into_iter().map(made).collect();
    for quality in ["-quality 20", "-quality 95"] {
        let gray = compressed(folder, [90, 70], &format!("-baseline -grayscale {quality}"));
        images.push((format!("four colors {quality}"), four_colors(&gray)));
    }
    images
}

/// Judges a share of the images; returns how many damaged ones `djpeg` reported.
fn judge(images: &[(String, Vec<u8>)], share: &str) -> usize {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("image.jpg");
    let mut rng = Rng::new("holes", share);
    let mut reported = 0;
    for (name, bytes) in images {
        let has_four_colors = name.starts_with("four");
        let due = if name.contains("arithmetic") {
            Verdict::Undecoded
        } else {
            Verdict::Whole
        };
        fs::write(&file, bytes).unwrap();
        assert_eq!(theirs(&file, has_four_colors), Verdict::Whole, "{name}");
        assert_eq!(ours(bytes), due, "{name}");
        if due == Verdict::Undecoded {
            continue;
        }
        for (which, bytes) in damaged(bytes, &mut rng).iter().enumerate() {
            fs::write(&file, bytes).unwrap();
            let found = ours(bytes);
            if theirs(&file, has_four_colors) == Verdict::Damaged {
                reported += 1;
                assert_eq!(found, Verdict::Damaged, "{name}, damage {which}");
            }
        }
    }
    reported
}

#[test]
fn damage_that_djpeg_reports_is_found_and_no_whole_jpeg_is_accused() {
    let folder = TempDir::new().unwrap();
    let images = whole(folder.path());
    assert!(images.len() >= 150, "{}", images.len());
    let (first, second) = images.split_at(images.len() / 2);
    let reported = thread::scope(|scope| {
        let first = scope.spawn(|| judge(first, "first"));
        judge(second, "second") + first.join().unwrap()
    });
    assert!(reported > 3 * images.len(), "{reported}");
}
