//! What a user sees on a real terminal: progress bars, colors, and what is left on the screen.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::program::{Sandbox, WALLHAUL, files};
use crate::support::site::Site;
use crate::support::terminal::Terminal;
use crate::support::until;

/// Starts a run over `site` in a terminal of this size.
fn fetch(world: &Sandbox, site: &Site, window: (u16, u16), jobs: &str) -> Terminal {
    Terminal::open(
        world,
        window,
        &[
            WALLHAUL,
            "fetch",
            "--base-url",
            &site.nginx.origin(),
            "-j",
            jobs,
        ],
    )
}

fn lines(screen: &str) -> Vec<&str> {
    screen.lines().filter(|line| !line.is_empty()).collect()
}

/// How many lines there are about the run as a whole: more than one means that a frame was torn.
fn overall(screen: &str) -> usize {
    screen
        .lines()
        .filter(|line| line.starts_with("simpledesktops"))
        .count()
}

/// Asserts that nothing is left but the summary, and the cursor behind it.
fn assert_clean(terminal: &Terminal, summary: &str) {
    let screen = terminal.scrolled();
    let lines = lines(&screen);
    assert!(lines[0].starts_with(summary), "{screen}");
    assert_eq!(
        lines[1..],
        ["saved to wallpapers/simpledesktops"],
        "{screen}"
    );
    assert!(terminal.shows_cursor());
}

#[test]
fn progress_bars_show_the_run_and_the_images_in_flight() {
    let (world, site) = (Sandbox::new(), Site::closed(40, Site::IMAGES));
    let terminal = fetch(&world, &site, (100, 30), "6");
    let asked =
        |screen: &str| screen.matches("  waiting").count() == 6 && screen.contains("]  0/40");
    let screen = terminal.until("six images on their way", asked);
    assert!(screen.starts_with("simpledesktops [>"), "{screen}");
    assert!(
        screen.contains("\n  Light_Em_Up_2880x1800.jpg  "),
        "{screen}"
    );
    site.gate.admit(20);
    let half = terminal.until("half of them", |screen| screen.contains("]  20/40"));
    assert!(
        half.starts_with("simpledesktops [===============>"),
        "{half}"
    );
    assert_eq!(lines(&half).len(), 7, "{half}");
    site.gate.open();
    assert_eq!(terminal.ended(), 0);
    assert_clean(&terminal, "simpledesktops: 40 found: 40 saved (");
}

#[test]
fn progress_bars_fit_a_small_terminal() {
    let (world, site) = (Sandbox::new(), Site::closed(40, Site::IMAGES));
    let terminal = fetch(&world, &site, (34, 6), "16");
    terminal.until("more images than there is room for", |screen| {
        screen.contains("\n  ... and 13 more")
    });
    for number in 1..=5 {
        site.gate.admit(1);
        terminal.until("one more image", |screen| {
            screen.contains(&format!("  {number}/40"))
        });
        let (screen, scrolled) = (terminal.screen(), terminal.scrolled());
        assert_eq!(
            (lines(&scrolled).len(), overall(&scrolled)),
            (5, 1),
            "{screen}\nwith all before: {scrolled}"
        );
    }
    site.gate.open();
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn progress_bars_redraw_one_frame_after_a_resize() {
    let (world, site) = (Sandbox::new(), Site::closed(40, Site::IMAGES));
    let terminal = fetch(&world, &site, (100, 40), "6");
    let wide = |lines: &[&str]| {
        lines.len() == 7
            && lines[0].contains("]  0/40")
            && lines[1..].iter().all(|line| line.ends_with("  waiting"))
    };
    let narrow = |lines: &[&str]| {
        lines.len() == 7
            && lines[0].ends_with("  0/40")
            && lines[1..].iter().all(|line| !line.contains("waiting"))
    };
    terminal.until("a frame", |screen| wide(&lines(screen)));
    for size in [(120, 50), (70, 30)] {
        terminal.resize(size);
        terminal.until("the same frame alone", |screen| wide(&lines(screen)));
        assert_eq!(overall(&terminal.scrolled()), 1, "{}", terminal.scrolled());
    }
    // Lines are broken in two now, and what the terminal scrolls away then is out of reach.
    for size in [(50, 30), (30, 12)] {
        terminal.resize(size);
        terminal.until("a narrower frame alone", |screen| {
            narrow(&lines(screen)) && overall(screen) == 1
        });
    }
    terminal.resize((90, 40));
    terminal.until("a wide frame at the end", |screen| {
        let lines = lines(screen);
        lines.len() >= 7 && wide(&lines[lines.len() - 7..])
    });
    site.gate.open();
    assert_eq!(terminal.ended(), 0);
    let screen = terminal.screen();
    let end = lines(&screen).split_off(lines(&screen).len() - 2);
    assert!(
        end[0].starts_with("simpledesktops: 40 found: 40 saved ("),
        "{screen}"
    );
    assert!(
        end[1].starts_with("saved to ") && terminal.shows_cursor(),
        "{screen}"
    );
}

#[test]
fn progress_bars_stay_below_a_failure_line_in_color() {
    let (world, site) = (Sandbox::new(), Site::closed(40, Site::IMAGES));
    site.lose(0);
    let terminal = fetch(&world, &site, (200, 30), "6");
    until("six images in flight", || {
        (site.gate.waiting() == 6).then_some(())
    });
    site.gate.admit(6);
    let screen = terminal.until("the failure", |screen| {
        screen.contains("6/40") && screen.contains("1 failed")
    });
    let lost = format!(
        "failed {}{}: ",
        site.nginx.origin(),
        site.gallery.originals[0].path
    );
    let host = site.nginx.origin().replace("http://", "");
    let line = format!("{lost}`{host}` answered 404 (1 attempt; gone)");
    let seen = lines(&screen);
    assert_eq!(seen[0], line, "{screen}");
    assert!(
        seen[1].starts_with("simpledesktops [") && overall(&screen) == 1,
        "{screen}"
    );
    assert!(
        terminal.coloured().starts_with("\x1b[31mfailed"),
        "{}",
        terminal.coloured()
    );
    site.gate.open();
    assert_eq!(terminal.ended(), 1);
    let screen = terminal.screen();
    assert_eq!(
        (lines(&screen)[0], lines(&screen).len()),
        (line.as_str(), 3),
        "{screen}"
    );
    assert!(
        lines(&screen)[1].starts_with("simpledesktops: 40 found: 39 saved ("),
        "{screen}"
    );
}

#[test]
fn ctrl_c_leaves_a_clean_terminal_and_the_next_run_completes() {
    let (world, site) = (Sandbox::new(), Site::closed(40, Site::IMAGES));
    let terminal = fetch(&world, &site, (120, 30), "6");
    site.gate.admit(10);
    terminal.until("ten images, and six on their way", |screen| {
        screen.contains("]  10/40") && screen.matches("  waiting").count() == 6
    });
    terminal.press(&["C-c"]);
    let note = "note: finishing 6 images in flight; press Ctrl-C again to drop them";
    terminal.until("a word on the images in flight", |screen| {
        screen.starts_with(note) && overall(screen) == 1
    });
    terminal.press(&["C-c"]);
    assert_eq!(terminal.ended(), 130);
    let (screen, scrolled) = (terminal.screen(), terminal.scrolled());
    assert_eq!(lines(&scrolled)[0], note, "{scrolled}");
    assert!(
        lines(&scrolled)[1].starts_with("simpledesktops: 40 found: 10 saved ("),
        "{scrolled}"
    );
    assert!(
        lines(&screen).len() == 3 && terminal.shows_cursor(),
        "{screen}"
    );
    assert!(
        terminal
            .screen()
            .contains("; 6 interrupted, 24 not started (run again to continue)"),
        "{}",
        terminal.screen()
    );
    site.gate.open();
    let next = site.fetch(&world).run();
    assert_eq!(
        (
            next.code,
            files(&world.work().join("wallpapers/simpledesktops")).len()
        ),
        (Some(0), 40)
    );
}

#[test]
fn signals_leave_the_terminal_as_it_was() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let (world, site) = (Sandbox::new(), Site::closed(40, Site::IMAGES));
        let line = "echo $$ > id; exec \"$0\" fetch --base-url \"$1\" -j 6";
        let terminal = Terminal::open(
            &world,
            (100, 30),
            &["/bin/sh", "-c", line, WALLHAUL, &site.nginx.origin()],
        );
        site.gate.admit(10);
        terminal.until("ten images, and six on their way", |screen| {
            screen.contains("]  10/40") && screen.matches("  waiting").count() == 6
        });
        let id = fs::read_to_string(world.work().join("id")).unwrap();
        kill_process(Pid::from_raw(id.trim().parse().unwrap()).unwrap(), signal).unwrap();
        terminal.until("a word on the images in flight", |screen| {
            screen.starts_with("note: finishing 6 images in flight")
        });
        site.gate.admit(6);
        assert_eq!(terminal.ended(), code);
        let screen = terminal.scrolled();
        assert!(
            lines(&screen)[1].starts_with("simpledesktops: 40 found: 16 saved ("),
            "{screen}"
        );
        assert!(
            lines(&screen).len() == 3 && terminal.shows_cursor(),
            "{screen}"
        );
    }
}

/// Every byte that a run writes to a terminal of that kind, which is what `env` is given.
fn written(site: &Site, env: &str) -> String {
    let world = Sandbox::new();
    let line = format!("read go; exec env {env} \"$0\" fetch --base-url \"$1\"");
    let terminal = Terminal::open(
        &world,
        (200, 30),
        &["/bin/sh", "-c", &line, WALLHAUL, &site.nginx.origin()],
    );
    let record = world.home().join("record");
    terminal.record(&record);
    terminal.press(&["Enter"]);
    assert_eq!(terminal.ended(), 1);
    let end = "\x1b]2;ended 1";
    let whole = until("the end of the record", || {
        let record = String::from_utf8_lossy(&fs::read(&record).unwrap_or_default()).into_owned();
        record.split_once(end).map(|(before, _)| before.to_owned())
    });
    // The terminal itself makes two of each line end.
    whole.replace("\r\n", "\n")
}

#[test]
fn dumb_terminal_gets_lines_without_color_or_escape_sequences() {
    let site = Site::open(5);
    site.lose(0);
    for env in ["TERM=dumb", "-u TERM"] {
        let written = written(&site, env);
        assert!(!written.contains(['\x1b', '\r']), "{env}: {written:?}");
        assert_eq!(
            (
                written.matches("\nsaved 20").count(),
                written.matches("\nfailed ").count()
            ),
            (4, 1),
            "{written}"
        );
        assert!(
            written.contains("\nsimpledesktops: 5 found: 4 saved ("),
            "{written}"
        );
    }
}

#[test]
fn no_color_env_turns_off_color() {
    let site = Site::open(5);
    site.lose(0);
    let coloured = |written: &str| written.contains("\x1b[31m") || written.contains("\x1b[32m");
    assert!(coloured(&written(&site, "TERM=xterm-256color")));
    let written = written(&site, "TERM=xterm-256color NO_COLOR=1");
    let colours = written.split("\x1b[").skip(1).filter(|rest| {
        rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
            .starts_with('m')
    });
    assert_eq!(colours.count(), 0, "{written:?}");
    assert!(
        written.contains("\nfailed ") || written.contains("failed http:"),
        "{written:?}"
    );
}
