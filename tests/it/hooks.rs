//! `--exec`: what the user's commands are given, how they may end, and that none is forgotten or
//! left running.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::interrupted_runs::AS_PENDING;
use url::Url;

use crate::support::mirror::{GOT, Mirror, collection, sqlite};
use crate::support::program::{Program, ProgramOutput, Sandbox, files};
use crate::support::until;

/// Leaves a script in the folder that the program starts in; what has to be said to `--exec` to have it run.
fn script(world: &Sandbox, name: &str, text: &str) -> String {
    fs::write(world.work().join(name), text).unwrap();
    format!("sh ./{name}")
}

/// The lines of a file that scripts write to, once there are so many.
fn lines(world: &Sandbox, file: &str, at_least: usize) -> Vec<String> {
    let path = world.work().join(file);
    until(&format!("{at_least} lines in {file}"), || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        (lines.len() >= at_least && text.ends_with('\n')).then_some(lines)
    })
}

fn written(world: &Sandbox, file: &str) -> String {
    fs::read_to_string(world.work().join(file)).unwrap_or_default()
}

fn running(id: &str) -> bool {
    let id = id
        .parse()
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process's number");
    let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    test_kill_process(id).is_ok() && !state.contains(") Z ")
}

fn gone(world: &Sandbox, file: &str) {
    for id in written(world, file).lines() {
        until(&format!("the end of process {id}"), || {
            (!running(id)).then_some(())
        });
    }
}

fn fetch(world: &Sandbox, mirror: &Mirror, commands: &[&str]) -> Program {
    mirror
        .fetch(world)
        .args(commands.iter().flat_map(|command| ["--exec", command]))
}

fn counts(ended: &ProgramOutput) -> [u64; 4] {
    let sum = ended.sum();
    ["saved", "hooks_done", "hooks_failed", "hooks_not_started"]
        .map(|count| sum[count].as_u64().unwrap())
}

#[test]
fn exec_runs_once_per_saved_image_with_arguments_env_and_empty_stdin() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(5));
    let see = script(
        &world,
        "see",
        "cat > stdin-$$ && pwd > cwd
         printf '%s\\n' \"$#\" \"$@\" > \"$WALLHAUL_NAME.args\"
         env | grep ^WALLHAUL_ | sort > \"$WALLHAUL_NAME.env\"
         sqlite3 -cmd '.timeout 60000' \"$WALLHAUL_DIRECTORY/.wallhaul/ledger.db\" \"select state from collection where name = '$WALLHAUL_NAME'\" >> states",
    );
    let program = fetch(
        &world,
        &mirror,
        &[&format!("{see} '{{format}} {{width}}x{{height}}' {{path}}")],
    );
    let ended = program.stdin("what only the program itself may read").run();
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), ""),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("hook"), "{}", ended.stderr);
    assert_eq!(collection(&world).len(), 5);
    let folder = world.work().canonicalize().unwrap().join(GOT);
    for (name, hash) in collection(&world) {
        let (path, format) = (
            folder.join(&name).display().to_string(),
            name.rsplit('.').next().unwrap(),
        );
        assert_eq!(
            written(&world, &format!("{name}.args")),
            format!("2\n{format} 32x32\n{path}\n")
        );
        let variables = written(&world, &format!("{name}.env"));
        for due in [
            format!("WALLHAUL_PATH={path}"),
            format!("WALLHAUL_DIRECTORY={}", folder.display()),
            format!("WALLHAUL_URL={}", Url::from_file_path(&path).unwrap()),
            format!("WALLHAUL_HASH={hash}"),
            format!("WALLHAUL_FORMAT={format}"),
            format!("WALLHAUL_BYTES={}", fs::metadata(&path).unwrap().len()),
            "WALLHAUL_SITE=simpledesktops".to_owned(),
            "WALLHAUL_PAGE=https://simpledesktops.com/browse/1/".to_owned(),
        ] {
            assert!(
                variables.lines().any(|line| line == due),
                "{due} is not in {variables}"
            );
        }
        for begun in [
            "WALLHAUL_ADDRESS=https://static.simpledesktops.com/uploads/",
            "WALLHAUL_TITLE=",
        ] {
            assert!(
                variables.lines().any(|line| line.starts_with(begun)),
                "{begun} is not in {variables}"
            );
        }
        assert_eq!(variables.lines().count(), 13, "{variables}");
    }
    assert_eq!(written(&world, "states"), "saved\n".repeat(5));
    assert_eq!(
        written(&world, "cwd").trim(),
        world.work().canonicalize().unwrap().display().to_string()
    );
    let read: Vec<_> = files(&world.work())
        .into_iter()
        .filter(|(name, _)| name.starts_with("stdin-"))
        .collect();
    assert!(
        read.len() == 5 && read.iter().all(|(_, bytes)| bytes.is_empty()),
        "{read:?}"
    );
    assert_eq!(sqlite(&world, "select count(*) from pending_hooks"), "0\n");

    let again = fetch(&world, &mirror, &["false"]).run();
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));
}

#[test]
fn exec_failure_keeps_the_image_and_is_reported_with_exit_status() {
    let last_words =
        "sh -c 'echo first; printf \"cannot \\033[31mopen\\033[0m\\nthe display\" >&2; exit 3'";
    let cases: [(&str, i32, &str); 9] = [
        ("true", 0, ""),
        (
            "false",
            1,
            "hook failed: false for 2021-03-18-Light_Em_Up_2880x1800.jpg: exit status 1 (the next run retries it)\n",
        ),
        (
            last_words,
            1,
            "exit status 3 (the next run retries it); output: first\\ncannot \\u{1b}[31mopen",
        ),
        ("sh -c 'kill -9 $$'", 1, ": ended by signal 9 ("),
        ("sh -c 'kill -TERM $$'", 1, ": ended by signal 15 ("),
        ("head -c 10000000 /dev/urandom {{}}", 1, ": exit status 1 ("),
        (
            "sh -c 'head -c 10000000 /dev/urandom; head -c 10000000 /dev/urandom >&2'",
            0,
            "",
        ),
        ("cat - {path}", 0, ""),
        ("./empty", 1, ": cannot start it: "),
    ];
    let worlds = cases.map(|(command, code, message)| {
        let (world, mirror) = (Sandbox::new(), Mirror::of(1));
        fs::write(world.work().join("empty"), "").unwrap();
        let made = world.program("chmod").args(["+x", "empty"]).run();
        assert_eq!(made.code, Some(0));
        let running = fetch(&world, &mirror, &[command]).start();
        (command, code, message, world, mirror, running)
    });
    for (command, code, message, world, _mirror, running) in worlds {
        let ended = running.wait();
        assert_eq!(ended.code, Some(code), "{command}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(message),
            "{command}: {}",
            ended.stderr
        );
        assert_eq!(
            ended
                .stderr
                .contains("; 1 hook failed; 1 hook not started (the next run starts them)\n"),
            code == 1,
            "{command}"
        );
        assert!(
            ended
                .stderr
                .lines()
                .all(|line| line.len() < 3_000 && !line.contains('\x1b')),
            "{command}"
        );
        assert_eq!(collection(&world).len(), 1, "{command}");
    }
}

#[test]
fn exec_output_is_shown_with_verbose() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(1));
    let ended = fetch(&world, &mirror, &["sh -c 'echo all is well'"])
        .args(["-v", "--json"])
        .run();
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.stderr.contains("; output: all is well\n"),
        "{}",
        ended.stderr
    );
    let events = ended.objects();
    let hook = events
        .iter()
        .find(|event| event["event"] == "hook_finished")
        .unwrap();
    assert_eq!(
        (&hook["output"], &hook["cause"]),
        (&"all is well\n".into(), &serde_json::Value::Null)
    );
    assert_eq!(counts(&ended), [1, 1, 0, 0]);
}

#[test]
fn exec_passes_hostile_names_and_titles_as_plain_arguments_without_a_shell() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(2));
    let bytes = mirror.bytes(&mirror.gallery.originals[1].path);
    let name = "a b;$(touch pwned)`touch pwned`&'x'.png";
    let path = "/uploads/desktops/2020/01/02/a%20b;$(touch%20pwned)%60touch%20pwned%60&'x'.png";
    mirror.put(path, &bytes);
    let title = "--help $(touch pwned); 'touch' `touch pwned` \"&\u{1b}[2J {path}";
    let html = |text: &str| text.replace('&', "&amp;").replace('"', "&quot;");
    let page = format!(
        "<html><body><div class=\"desktop\"><a href=\"/browse/x/\"><img src=\"{}.295x184_q100.png\" title=\"{}\"></a>\
         </div></body></html>",
        html(path),
        html(title)
    );
    mirror.put("/browse/1/index.html", page.as_bytes());
    let see = script(
        &world,
        "see",
        "printf '%s\\n' \"$#\" \"$@\" > args; printf %s \"$WALLHAUL_TITLE\" > title",
    );
    let ended = fetch(
        &world,
        &mirror,
        &[&format!("{see} {{title}} --title={{title}} {{}}")],
    )
    .args(["-p", "1"])
    .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let path = world
        .work()
        .canonicalize()
        .unwrap()
        .join(GOT)
        .join(format!("2020-01-02-{name}"));
    assert_eq!(
        written(&world, "args"),
        format!("3\n {title}\n--title={title}\n{}\n", path.display())
    );
    assert_eq!(written(&world, "title"), title);
    assert!(!world.work().join("pwned").exists());
}

#[test]
fn exec_env_does_not_contain_secrets_unless_requested() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(1));
    let secrets = |program: Program| {
        let program = program
            .env("GITHUB_TOKEN", "secret-1")
            .env("WALLHAUL_HEADER", "X-Key: secret-2");
        program
            .env("https_proxy", "http://me:secret-3@127.0.0.1:9")
            .env("MY_PASSWORD", "secret-4")
    };
    let see = script(&world, "see", "env > env; exit 1");
    let ended = secrets(fetch(&world, &mirror, &[&see]).env("PLAIN", "given")).run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let given = written(&world, "env");
    assert!(
        given.contains("PLAIN=given\n") && given.contains("HOME=") && !given.contains("secret"),
        "{given}"
    );
    secrets(fetch(&world, &mirror, &[&see]).args(["--exec-env", "GITHUB_TOKEN"])).run();
    let given = written(&world, "env");
    assert!(
        given.contains("GITHUB_TOKEN=secret-1\n") && !given.contains("secret-2"),
        "{given}"
    );
}

/// Writes down itself and a child, neither of which leaves when it is asked to.
const STUBBORN: &str =
    "trap '' TERM\nsh -c 'sleep 600' &\necho $$ >> ids; echo $! >> ids\nwhile :; do wait; done\n";

#[test]
fn exec_timeout_kills_the_command_and_its_children() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(2));
    let hang = script(&world, "hang", STUBBORN);
    let ended = fetch(&world, &mirror, &[&hang])
        .args(["--exec-timeout", "300ms"])
        .run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(
        ended
            .stderr
            .matches("timed out after 300ms (see --exec-timeout)")
            .count(),
        2,
        "{}",
        ended.stderr
    );
    assert_eq!(
        (
            collection(&world).len(),
            written(&world, "ids").lines().count()
        ),
        (2, 4)
    );
    gone(&world, "ids");
}

#[test]
fn exec_ends_when_the_command_exits_even_with_background_children() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(1));
    let fork = script(&world, "fork", "sleep 600 &\necho $! > ids\n");
    let ended = fetch(&world, &mirror, &[&fork]).args(["--json"]).run();
    assert_eq!(
        (ended.code, counts(&ended)),
        (Some(0), [1, 1, 0, 0]),
        "{}",
        ended.stderr
    );
    let id = written(&world, "ids");
    assert!(running(id.trim()), "it is the user's own");
    kill_process(
        id.trim().parse().ok().and_then(Pid::from_raw).unwrap(),
        Signal::KILL,
    )
    .unwrap();
}

#[test]
fn exec_is_stopped_by_a_signal_and_runs_again_next_time() {
    let runs =
        [(Signal::INT, 130, false), (Signal::TERM, 143, true)].map(|(signal, code, twice)| {
            let (world, mirror) = (Sandbox::new(), Mirror::of(3));
            let hang = script(&world, "hang", STUBBORN);
            let running = fetch(&world, &mirror, &[&hang, "end:touch ended"])
                .args(["--json"])
                .start();
            let per_command = 2;
            lines(&world, "ids", per_command);
            until("the images", || {
                (collection(&world).len() == 3).then_some(())
            });
            (world, mirror, running, signal, code, twice)
        });
    for (world, mirror, running, signal, code, twice) in runs {
        let signalled = Instant::now();
        let ended = if twice {
            running.insist(signal)
        } else {
            running.signal(signal);
            running.wait()
        };
        // It is over in 4.5 s; twice that counts as hanging on a busy machine.
        assert!(
            signalled.elapsed().as_secs() < 9,
            "{:?}",
            signalled.elapsed()
        );
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        gone(&world, "ids");
        assert!(!world.work().join("ended").exists());
        if !twice {
            assert_eq!(counts(&ended), [3, 0, 0, 4]);
            assert!(
                ended
                    .stderr
                    .contains("; 4 hooks not started (the next run starts them)\n"),
                "{}",
                ended.stderr
            );
        }
        mirror.nginx.forget();
        let note = script(
            &world,
            "note",
            "echo \"$WALLHAUL_TITLE $WALLHAUL_PAGE $1\" >> noted",
        );
        let next = fetch(&world, &mirror, &[&note, "end:touch ended"])
            .args(["--json"])
            .run();
        assert_eq!(
            (next.code, counts(&next)),
            (Some(0), [0, 4, 0, 0]),
            "{}",
            next.stderr
        );
        assert_eq!(mirror.originals_asked(), [""; 0]);
        let noted = lines(&world, "noted", 3);
        assert!(
            noted
                .iter()
                .all(|line| line.contains(" https://simpledesktops.com/browse/1/ /")),
            "{noted:?}"
        );
        assert!(
            noted.len() == 3 && world.work().join("ended").exists(),
            "{noted:?}"
        );
    }
}

#[test]
fn exec_pending_at_a_kill_runs_in_the_next_run() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(6));
    let wait = script(&world, "wait", "echo $$ >> ids; exec sleep 600");
    let running = fetch(&world, &mirror, &[&wait]).start();
    let ids = lines(&world, "ids", 1);
    until("the images", || {
        (collection(&world).len() == 6).then_some(())
    });
    running.signal(Signal::KILL);
    running.wait();
    for id in written(&world, "ids")
        .lines()
        .chain(ids.iter().map(String::as_str))
    {
        let _ = kill_process(
            id.parse().ok().and_then(Pid::from_raw).unwrap(),
            Signal::KILL,
        );
    }
    // As a kill leaves it between the names and the rows that say so.
    sqlite(&world, &format!("{AS_PENDING}; delete from pending_hooks"));
    let note = script(&world, "note", "echo \"$1\" >> noted");
    let next = fetch(&world, &mirror, &[&note]).args(["--json"]).run();
    assert_eq!(
        (next.code, counts(&next)),
        (Some(0), [0, 6, 0, 0]),
        "{}",
        next.stderr
    );
    let mut noted = lines(&world, "noted", 6);
    noted.sort_unstable();
    noted.dedup();
    assert_eq!(noted.len(), 6);
}

#[test]
fn exec_that_fails_is_retried_in_three_runs_and_delays_none() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(3));
    let first = &mirror.gallery.originals[0].path;
    let stem = first.rsplit('/').next().unwrap().split('.').next().unwrap();
    let picky = script(
        &world,
        "picky",
        &format!("case $1 in *{stem}*) echo no; exit 9;; esac; echo $1 >> noted"),
    );
    let run = |flags: &[&str]| mirror.fetch(&world).args(["--json"]).args(flags).run();
    let ended = run(&["--exec", &picky]);
    assert_eq!(
        (ended.code, counts(&ended)),
        (Some(1), [3, 2, 1, 1]),
        "{}",
        ended.stderr
    );
    let without = run(&[]);
    assert_eq!(
        (without.code, counts(&without)),
        (Some(0), [0; 4]),
        "{}",
        without.stderr
    );
    let second = run(&["--exec", &picky]);
    assert_eq!(
        (second.code, counts(&second)),
        (Some(1), [0, 0, 1, 1]),
        "{}",
        second.stderr
    );
    let last = run(&["--exec", &picky]);
    assert_eq!(
        (last.code, counts(&last)),
        (Some(1), [0, 0, 1, 0]),
        "{}",
        last.stderr
    );
    assert!(
        last.stderr
            .contains("exit status 9 (not retried); output: no\n"),
        "{}",
        last.stderr
    );
    let after = run(&["--exec", &picky]);
    assert_eq!(
        (after.code, counts(&after)),
        (Some(0), [0; 4]),
        "{}",
        after.stderr
    );
    assert_eq!(lines(&world, "noted", 2).len(), 2);
}

#[test]
fn exec_is_disabled_after_repeated_failures_and_images_are_still_saved() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(60));
    // Slow enough that most images are saved after the run gave up: they count as well.
    let ended = fetch(&world, &mirror, &["false", "end:touch ended"])
        .args(["--json", "--wait", "20ms"])
        .run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(collection(&world).len(), 60);
    let [saved, done, failed, left] = counts(&ended);
    assert!(
        (saved, done, left) == (60, 0, 61) && (10..30).contains(&failed),
        "{failed} failed, {left} left"
    );
    assert!(
        ended
            .stderr
            .contains("warning: 10 hooks failed in a row: this run starts no more hooks"),
        "{}",
        ended.stderr
    );
    assert!(!world.work().join("ended").exists());
    let next = fetch(&world, &mirror, &["true", "end:touch ended"])
        .args(["--json"])
        .run();
    assert_eq!(
        (next.code, counts(&next)),
        (Some(0), [0, 61, 0, 0]),
        "{}",
        next.stderr
    );
}

#[test]
fn exec_end_runs_once_after_a_run_that_saved_something() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(5));
    let image = script(&world, "image", "echo image >> noted");
    let end = script(
        &world,
        "end",
        "echo \"$# $1 $WALLHAUL_SAVED $WALLHAUL_SITE $WALLHAUL_DIRECTORY\" >> noted",
    );
    let commands = [format!("end:{end} {{saved}}"), image.clone(), image];
    let commands = commands.each_ref().map(String::as_str);
    let ended = fetch(&world, &mirror, &commands)
        .args(["--max-downloads", "3"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let folder = world.work().canonicalize().unwrap().join(GOT);
    let due = |saved: u64| format!("{saved} {saved} simpledesktops {}\n", folder.display());
    let first = format!("{}1 {}", "image\n".repeat(6), due(3));
    assert_eq!(written(&world, "noted"), first);
    assert_eq!(fetch(&world, &mirror, &commands).run().code, Some(0));
    let second = format!("{first}{}1 {}", "image\n".repeat(4), due(2));
    assert_eq!(written(&world, "noted"), second);
    assert_eq!(fetch(&world, &mirror, &commands).run().code, Some(0));
    assert_eq!(written(&world, "noted"), second);
}

#[test]
fn exec_command_not_found_or_invalid_is_reported_before_any_request() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(1));
    fs::write(world.work().join("plain"), "#!/bin/sh\n").unwrap();
    let config = world.work().join("config.toml");
    fs::write(&config, "exec = [\"true\", \"end:nowhere-at-all\"]\n").unwrap();
    let cases: [(&[&str], &str); 8] = [
        (
            &["--exec", "nowhere-at-all x"],
            "error: --exec: program not found: `nowhere-at-all`",
        ),
        (
            &["--exec", "true", "--exec", "./missing"],
            "program not found: `./missing`",
        ),
        (&["--exec", "./plain"], "`./plain` is not executable"),
        (&["--exec", "/"], "program not found: `/`"),
        (
            &["--exec", "echo {nonsense}"],
            "unknown placeholder in `{nonsense}`; known: {path}",
        ),
        (&["--exec", "echo 'a"], "unclosed quote"),
        (
            &["--exec", "sh ./{name}", "--dry-run", "--exec", "nowhere"],
            "program not found: `nowhere`",
        ),
        (
            &["--config", config.to_str().unwrap()],
            "program not found: `nowhere-at-all`",
        ),
    ];
    for (flags, message) in cases {
        let ended = mirror.fetch(&world).args(flags).run();
        assert_eq!(ended.code, Some(2), "{flags:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(message),
            "{flags:?}: {}",
            ended.stderr
        );
    }
    assert_eq!(mirror.nginx.requests(), []);
    assert!(!world.work().join(GOT).exists());
}

#[test]
fn exec_is_not_accepted_from_a_site_definition() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(1));
    let shipped = world
        .wallhaul()
        .args(["sites", "show", "simpledesktops"])
        .run()
        .stdout;
    let definition: PathBuf = world.work().join("site.toml");
    for planted in [
        "[hooks]\nexec = \"touch planted\"\n",
        "[[exec]]\nend = \"touch planted\"\n",
    ] {
        fs::write(&definition, format!("{shipped}\n{planted}")).unwrap();
        let ended = mirror
            .fetch(&world)
            .args(["--site-file", "site.toml", "simpledesktops"])
            .run();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("site.toml"), "{}", ended.stderr);
    }
    // What lies about where the program is started is nobody's configuration.
    for stray in ["config.toml", "wallhaul.toml", ".wallhaul.toml"] {
        fs::write(world.work().join(stray), "exec = \"touch planted\"\n").unwrap();
    }
    assert_eq!(
        mirror
            .fetch(&world)
            .args(["--dry-run", "--exec", "touch planted"])
            .run()
            .code,
        Some(0)
    );
    let ended = mirror.fetch(&world).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!world.work().join("planted").exists());
    let rows = sqlite(&world, "select count(*) from pending_hooks");
    assert_eq!(
        rows, "0\n",
        "without a command nothing is written about commands"
    );
}
