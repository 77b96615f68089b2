//! Runs whose stdin, stdout or stderr is closed, full or not read: they never panic and rarely
//! stop.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Write as _};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::Signal;

use crate::support::program::{Program, ProgramOutput, Sandbox, WALLHAUL, files};
use crate::support::site::Site;
use crate::support::until;

const IMAGES: usize = 3;

/// The program about to fetch `site`, started by a shell that has `redirected` its streams.
fn redirected(world: &Sandbox, site: &Site, flags: &str, redirected: &str) -> Program {
    let line = format!("exec \"$0\" fetch --base-url \"$1\" {flags} {redirected}");
    world
        .program("/bin/sh")
        .args(["-c", &line, WALLHAUL, &site.nginx.origin()])
}

/// How many images were kept in the folder of `world` where the program usually works.
fn kept(world: &Sandbox) -> usize {
    files(&world.work().join("wallpapers/simpledesktops")).len()
}

fn assert_plain(ended: &ProgramOutput) {
    for text in [&ended.stdout, &ended.stderr] {
        assert!(
            !text.contains("panicked") && !text.contains(['\x1b', '\r']),
            "{ended:?}"
        );
    }
}

#[test]
fn closed_or_full_stdout_and_stderr_do_not_stop_a_fetch() {
    let site = Site::open(IMAGES);
    let summary = "simpledesktops: 3 found: 3 saved";
    let cases = [
        ("", ">&-", summary),
        ("--json", ">&-", summary),
        ("", ">/dev/full", summary),
        ("", "2>&-", ""),
        ("-v", "2>/dev/full", ""),
        ("", "<&-", summary),
        ("", "<&- >&- 2>&-", ""),
    ];
    for (flags, streams, said) in cases {
        let world = Sandbox::new();
        let ended = redirected(&world, &site, flags, streams).run();
        assert_eq!(
            (ended.code, kept(&world)),
            (Some(0), IMAGES),
            "{streams}: {ended:?}"
        );
        assert!(
            ended.stderr.starts_with(said) && ended.stderr.is_empty() == said.is_empty(),
            "{streams}: {ended:?}"
        );
        assert_plain(&ended);
    }
}

#[test]
fn json_write_error_is_reported_and_exits_with_4() {
    let site = Site::open(IMAGES);
    for (flags, said) in [
        ("--json", "warning: cannot write the JSON lines on stdout: "),
        (
            "--json -q",
            "error: cannot write the JSON lines on stdout: ",
        ),
    ] {
        let world = Sandbox::new();
        let ended = redirected(&world, &site, flags, ">/dev/full").run();
        assert_eq!((ended.code, kept(&world)), (Some(4), IMAGES), "{ended:?}");
        assert!(
            ended.stderr.starts_with(said) && ended.stderr.contains("No space left on device"),
            "{ended:?}"
        );
        assert_plain(&ended);
    }
}

#[test]
fn broken_pipe_on_json_stdout_does_not_stop_a_fetch() {
    let (world, site) = (Sandbox::new(), Site::open(IMAGES));
    let ended = site
        .fetch(&world)
        .args(["--json"])
        .stdout(left_pipe())
        .run();
    assert_eq!((ended.code, kept(&world)), (Some(0), IMAGES), "{ended:?}");
    assert!(ended.stderr.starts_with(
        "warning: the reader of the JSON lines on stdout is gone; the run continues\n"
    ));
}

#[test]
fn broken_pipe_or_full_disk_on_stdout_ends_printing_commands() {
    let (world, site) = (Sandbox::new(), Site::open(IMAGES));
    let fetched = site.fetch(&world).run();
    assert_eq!(fetched.code, Some(0));
    let lists: [&[&str]; 8] = [
        &["sites"],
        &["sites", "list", "--json"],
        &["sites", "schema"],
        &["completions", "bash"],
        &["man"],
        &["sites", "show", "demo"],
        &["ledger", "list"],
        &["urls", "--base-url", &site.nginx.origin()],
    ];
    for list in lists {
        let left = world.wallhaul().args(list).stdout(left_pipe()).run();
        assert_eq!(
            (left.code, left.stderr.as_str()),
            (Some(141), ""),
            "{list:?}"
        );
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let full = world.wallhaul().args(list).stdout(full).run();
        assert_eq!(full.code, Some(4), "{list:?}: {full:?}");
        assert!(
            full.stderr.starts_with("error: ") && full.stderr.contains("No space left"),
            "{list:?}: {full:?}"
        );
    }
}

#[test]
fn blocked_stdout_pipe_does_not_delay_the_end_at_a_signal() {
    let commands: [(&str, &[&str]); 2] = [("fetch", &["--json"]), ("urls", &[])];
    let runs = commands.map(|(command, flags)| {
        let (world, site) = (Sandbox::new(), Site::open(IMAGES));
        let (reader, writer) = full_pipe();
        let running = site
            .visit(&world, command)
            .args(flags)
            .stdout(writer)
            .start();
        let is_fetch = command == "fetch";
        until("all there is to do before the pipe is read", || {
            let asked = site
                .nginx
                .requests()
                .iter()
                .any(|request| request.path == "/browse/1/");
            (if is_fetch {
                kept(&world) == IMAGES
            } else {
                asked
            })
            .then_some(())
        });
        (world, site, reader, running)
    });
    let signalled = Instant::now();
    for (.., running) in &runs {
        running.signal(Signal::INT);
    }
    for (_world, _site, _reader, running) in runs {
        assert_eq!(running.wait().code, Some(130));
    }
    // Within 5 s, and twice that on a busy machine; nothing else would ever end it.
    assert!(
        signalled.elapsed() < Duration::from_secs(10),
        "{:?}",
        signalled.elapsed()
    );
}

#[test]
fn blocked_stdout_and_stderr_with_hanging_downloads_still_end_at_a_signal() {
    let runs =
        [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)].map(|(signal, code)| {
            let (world, site) = (Sandbox::new(), Site::closed(IMAGES, Site::IMAGES));
            let (reader, writer) = full_pipe();
            let running = redirected(&world, &site, "-vv --json", "2>&1")
                .stdout(writer)
                .start();
            until("every download to hang", || {
                (site.gate.waiting() == IMAGES).then_some(())
            });
            (world, site, reader, running, signal, code)
        });
    let signalled = Instant::now();
    for (.., running, signal, _) in &runs {
        running.signal(*signal);
    }
    for (world, site, reader, running, _, code) in runs {
        assert_eq!(running.wait().code, Some(code));
        drop(reader);
        site.gate.open();
        assert_eq!(
            (site.fetch(&world).run().code, kept(&world)),
            (Some(0), IMAGES)
        );
    }
    // Within 5 s, and twice that on a busy machine.
    assert!(
        signalled.elapsed() < Duration::from_secs(10),
        "{:?}",
        signalled.elapsed()
    );
}

#[test]
fn broken_pipe_on_stdout_and_stderr_does_not_stop_a_fetch() {
    let site = Site::open(IMAGES);
    for flags in ["", "-vv", "--json -vv"] {
        let world = Sandbox::new();
        let ended = redirected(&world, &site, flags, "2>&1")
            .stdout(left_pipe())
            .run();
        assert_eq!(
            (ended.code, kept(&world)),
            (Some(0), IMAGES),
            "{flags}: {ended:?}"
        );
    }
}

#[test]
fn cron_run_prints_nothing() {
    let (world, site) = (Sandbox::new(), Site::open(IMAGES));
    let directory = world.work().join("pictures");
    let line = "exec \"$0\" fetch -q --lock skip --base-url \"$1\" -d \"$2\" <&-";
    for asked in [IMAGES, 0] {
        site.nginx.forget();
        let cron = world
            .program("/bin/sh")
            .args(["-c", line, WALLHAUL, &site.nginx.origin()])
            .args([&directory]);
        let ended = cron
            .without("HOME")
            .env("PATH", "/usr/bin:/bin")
            .env("SHELL", "/bin/sh")
            .inside("/")
            .run();
        assert_eq!(
            (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
            (Some(0), "", "")
        );
        assert_eq!(
            (files(&directory).len(), site.sent().len()),
            (IMAGES, asked)
        );
    }
}

#[test]
fn empty_env_or_deleted_working_directory_does_not_stop_a_run() {
    let site = Site::open(IMAGES);
    let homeless: fn(Program) -> Program = |program| program.without("HOME");
    let empty: fn(Program) -> Program =
        |program| program.without("HOME").without("PATH").inside("/");
    let elsewhere: fn(Program) -> Program = |program| {
        program
            .env("HOME", "/nowhere")
            .env("LANG", "xx_YY")
            .env("TERM", "")
    };
    for surroundings in [homeless, empty, elsewhere] {
        let world = Sandbox::new();
        let directory = world.work().join("pictures");
        let program = site.fetch(&world).args(["-d", directory.to_str().unwrap()]);
        let ended = surroundings(program).run();
        assert_eq!(
            (ended.code, files(&directory).len()),
            (Some(0), IMAGES),
            "{ended:?}"
        );
        assert_plain(&ended);
    }
}

/// A pipe whose reader is gone.
fn left_pipe() -> PipeWriter {
    io::pipe().expect("a pipe").1
}

/// A pipe that takes nothing more until somebody reads.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    fcntl_setfl(&writer, OFlags::NONBLOCK).expect("a pipe that can be made not to block");
    let error = loop {
        if let Err(error) = writer.write(&[b'\n'; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    fcntl_setfl(&writer, OFlags::empty()).expect("a pipe that can be made to block");
    (reader, writer)
}
