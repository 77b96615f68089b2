//! What a run says while it waits only for the user's commands.

use std::fs;

use rustix::process::Signal;

use crate::support::mirror::{Mirror, collection};
use crate::support::program::{Running, Sandbox};
use crate::support::until;

/// A command that says that it has begun, and waits for a file.
const PATIENT: &str = "sh -c 'echo begun >> begun; until [ -e go ]; do sleep 0.01; done' {{}}";

/// A run that has brought so many images, and whose commands wait: one for each of them, or one for all.
fn begun(images: usize, flag: &str, when: &str) -> (Sandbox, Mirror, Running) {
    let (world, mirror) = (Sandbox::new(), Mirror::of(images));
    let running = mirror
        .fetch(&world)
        .args([flag, "--exec", &format!("{when}{PATIENT}")])
        .start();
    until("a command to begin", || {
        fs::exists(world.work().join("begun"))
            .unwrap()
            .then_some(())
    });
    (world, mirror, running)
}

#[test]
fn exec_hooks_still_running_at_the_end_are_reported_once() {
    let runs = [
        (begun(3, "-q", ""), None),
        (begun(3, "-v", ""), Some(("3 hooks", "them"))),
        (begun(3, "-v", "end:"), Some(("1 hook", "it"))),
    ];
    for ((world, _mirror, running), hooks) in runs {
        let count = usize::from(hooks.is_some());
        if let Some((hooks, them)) = hooks {
            let note = format!(
                "note: waiting for {hooks}, at most 1 min each; press Ctrl-C to end {them}\n"
            );
            until("the note", || {
                running.stderr().contains(&note).then_some(())
            });
        }
        assert_eq!(collection(&world).len(), 3);
        fs::write(world.work().join("go"), "").unwrap();
        let ended = running.wait();
        assert_eq!(
            (ended.code, ended.stderr.matches("waiting for").count()),
            (Some(0), count),
            "{}",
            ended.stderr
        );
        assert!(count > 0 || ended.stderr.is_empty(), "{}", ended.stderr);
    }
}

#[test]
fn exec_hooks_get_a_grace_period_at_a_signal_and_it_is_reported() {
    let runs = [("-q", "", false), ("-v", "", true), ("-v", "end:", true)]
        .map(|(flag, when, is_shown)| (begun(1, flag, when), is_shown));
    for ((_, _, running), _) in &runs {
        running.signal(Signal::INT);
    }
    for ((world, _mirror, running), is_shown) in runs {
        let note = "note: finishing 1 running hook; press Ctrl-C again to kill it\n";
        if is_shown {
            until("the note", || running.stderr().contains(note).then_some(()));
        }
        fs::write(world.work().join("go"), "").unwrap();
        let ended = running.wait();
        assert_eq!(
            (ended.code, ended.stderr.contains(note)),
            (Some(130), is_shown),
            "{}",
            ended.stderr
        );
    }
}
