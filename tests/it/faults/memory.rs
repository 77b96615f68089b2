//! Many faulty images at a time: memory and file descriptors stay bounded.

use image::ImageFormat;

use super::*;
use crate::support::cgroup::MemoryCgroup;
use crate::support::gallery::picture;
use crate::support::gzip::{gzip, gzip_bomb};

/// A site of so many images, all answered like this.
fn crowd(number: usize, script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> FaultServer {
    let rogue = FaultServer::start();
    let paths: Vec<String> = (0..number)
        .map(|n| format!("/uploads/desktops/2020/01/01/{n}.png"))
        .collect();
    rogue.list(1, &paths.iter().map(String::as_str).collect::<Vec<_>>());
    let script = Arc::new(script);
    for (index, path) in paths.iter().enumerate() {
        rogue.show(path, picture(index, ImageFormat::Png));
        let script = Arc::clone(&script);
        rogue.on(path, move |asked| script(asked));
    }
    rogue
}

/// An answer that wants to be large.
type Large = (&'static str, fn(&Asked) -> Answer);

#[test]
fn memory_stays_bounded_with_16_oversized_responses() {
    let oversized: [Large; 9] = [
        ("bodies without end", |asked| {
            Answer::head("200 OK", &[])
                .bytes(asked.shown.to_vec())
                .forever("x")
        }),
        ("chunks of 2^60", |_| {
            Answer::head("200 OK", &["Transfer-Encoding: chunked"])
                .bytes("1000000000000000\r\n")
                .forever("x")
        }),
        ("pages for images", |_| {
            Answer::head("200 OK", &[]).bytes("<html>").forever("<p>")
        }),
        ("headers without end", |_| {
            Answer::raw("HTTP/1.1 200 OK\r\n").forever("X: y\r\n")
        }),
        ("a header without end", |_| {
            Answer::raw("HTTP/1.1 200 OK\r\nX: ").forever("y")
        }),
        ("100 without end", |_| {
            Answer::default().forever("HTTP/1.1 100 Continue\r\n\r\n")
        }),
        ("extensions without end", |_| {
            Answer::head("200 OK", &["Transfer-Encoding: chunked"])
                .bytes("5;")
                .forever("x")
        }),
        ("PNG chunks without end", |_| {
            Answer::head("200 OK", &[])
                .bytes(b"\x89PNG\r\n\x1a\n\x7f\xff\xff\xfftEXt".as_slice())
                .forever("x")
        }),
        ("bombs", |_| {
            Answer::whole(
                "200 OK",
                &["Content-Encoding: gzip"],
                gzip(&vec![0; 100_000]),
            )
        }),
    ];
    for (name, script) in oversized {
        let (world, rogue) = (Sandbox::new(), crowd(32, script));
        let said = ["--stall-timeout", "1s", "--max-size", "20M", "-R", "0"];
        let (ended, peak) = measured(&world, |program| fetch(program, &rogue).args(said));
        println!("{peak} KB: {name}, at sixteen jobs");
        assert!(peak < MOST_MEMORY, "{name}: {peak} KB resident");
        assert_plain(&ended);
        assert_eq!(
            (ended.code, collection(&world).len(), parts(&world).len()),
            (Some(1), 0, 0),
            "{name}: {}",
            ended.stderr
        );
        assert_eq!(
            ended.sum()["failed"].as_u64(),
            Some(32),
            "{name}: {}",
            ended.stderr
        );
    }
}

#[test]
fn memory_of_16_images_and_a_page_fits_a_cgroup_limit() {
    // What the system keeps for it counts here too: pages of files, buffers of sockets.
    let (world, budget) = (Sandbox::new(), MemoryCgroup::of(MOST_MEMORY * 1000));
    let rogue = crowd(64, |asked| {
        Answer::head("200 OK", &[])
            .bytes(asked.shown.to_vec())
            .forever("x")
    });
    rogue.on("/browse/2/", |_| {
        Answer::whole(
            "200 OK",
            &["Content-Encoding: gzip"],
            gzip_bomb(b'<', 300_000_000),
        )
    });
    let said = ["--stall-timeout", "5s", "--max-size", "3M", "-R", "0"];
    let ended = budget
        .for_program(fetch(world.wallhaul(), &rogue).args(said))
        .run();
    println!(
        "{} bytes of the group's: bodies without end and a page, at sixteen jobs",
        budget.most_used()
    );
    assert_eq!(
        (ended.code, ended.signal),
        (Some(3), None),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.sum()["failed"].as_u64(), Some(64), "{}", ended.stderr);
    rogue.heal();
    let healed = budget.for_program(fetch(world.wallhaul(), &rogue)).run();
    assert_eq!(
        (healed.code, healed.signal, collection(&world).len()),
        (Some(0), None, 64),
        "{}",
        healed.stderr
    );
}

#[test]
fn memory_stays_bounded_with_gzip_bomb_pages() {
    let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
    for number in 1..=4 {
        rogue.on(&format!("/browse/{number}/"), |_| {
            Answer::whole(
                "200 OK",
                &["Content-Encoding: gzip"],
                gzip_bomb(b'<', 300_000_000),
            )
        });
    }
    let (ended, peak) = measured(&world, |program| fetch(program, &rogue));
    println!("{peak} KB: pages that are bombs");
    assert!(peak < MOST_MEMORY, "{peak} KB resident");
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
}

#[test]
fn failed_images_leak_no_file_descriptor() {
    let (world, rogue) = (
        Sandbox::new(),
        crowd(120, |asked| {
            let name = asked
                .path
                .rsplit('/')
                .next()
                .expect("a path has a last piece");
            let number: usize = name
                .trim_end_matches(".png")
                .parse()
                .expect("the image's number");
            let promise =
                || Answer::head("200 OK", &["Content-Length: 5000"]).bytes(asked.shown.to_vec());
            match number % 8 {
                0 => Answer::default().reset(),
                1 => promise().close(),
                2 => promise().reset(),
                3 => Answer::ok("<html>"),
                4 => Answer::status(404),
                5 => Answer::head("200 OK", &["Content-Length: 5000000000"]).forever("x"),
                6 => Answer::ok(&asked.shown[..50]),
                _ => asked.served(),
            }
        }),
    );
    let limited =
        world
            .program("/bin/sh")
            .args(["-c", "ulimit -n 48; exec \"$@\"", "sh", WALLHAUL]);
    let ended = fetch(limited, &rogue).args(["-j", "4"]).run();
    assert_eq!(
        (ended.code, collection(&world).len()),
        (Some(1), 15),
        "{}",
        ended.stderr
    );
    assert!(
        !ended.stderr.contains("Too many open files"),
        "{}",
        ended.stderr
    );
    rogue.heal();
    let again = fetch(world.wallhaul(), &rogue).run();
    assert_eq!(
        (again.code, collection(&world).len()),
        (Some(0), 105),
        "{}",
        again.stderr
    );
}
