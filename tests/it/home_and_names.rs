//! What differs from machine to machine: home folders in paths that no shell has read, file systems with short names,
//! and collections of a group.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use crate::support::cutting_proxy::CuttingProxy;
use crate::support::mirror::Mirror;
use crate::support::nginx::Nginx;
use crate::support::program::{Program, Sandbox, WALLHAUL, files};

/// Where the first image of the mirror is.
fn first(mirror: &Mirror) -> String {
    format!(
        "{}{}",
        mirror.nginx.origin(),
        mirror.gallery.originals[0].path
    )
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn tilde_and_home_in_config_variables_and_flags_are_the_home_folder() {
    let mirror = Mirror::of(1);
    let fetch = |world: &Sandbox| world.wallhaul().args(["fetch", &first(&mirror)]);
    let config = |world: &Sandbox, text: &str| {
        let folder = world.home().join(".config/wallhaul");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.toml"), text).unwrap();
    };
    for written in ["~/W", "$HOME/W", "${HOME}/W"] {
        let from_config = Sandbox::new();
        config(&from_config, &format!("directory = \"{written}\"\n"));
        let (variable, flag, given) = (Sandbox::new(), Sandbox::new(), Sandbox::new());
        let runs = [
            (fetch(&from_config), &from_config),
            (
                fetch(&variable).env("WALLHAUL_DIRECTORY", written),
                &variable,
            ),
            (fetch(&flag).args([format!("--directory={written}")]), &flag),
            (fetch(&given).args(["-d", written]), &given),
        ];
        for (program, world) in runs {
            let ended = program.run();
            assert_eq!(ended.code, Some(0), "{written}: {}", ended.stderr);
            assert_eq!(files(&world.home().join("W")).len(), 1, "{written}");
            assert_eq!(names(&world.work()), [""; 0], "{written}");
        }
    }
    // Every option that takes a path, a lone `~`, and the hook's program.
    let world = Sandbox::new();
    fs::write(world.home().join("list"), first(&mirror)).unwrap();
    fs::write(
        world.home().join("hook"),
        "#!/bin/sh\necho \"$1\" > ~/seen\n",
    )
    .unwrap();
    fs::set_permissions(world.home().join("hook"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(
        world.home().join("own.toml"),
        "directory = \"~\"\ninput-file = [\"~/list\"]\nexec = \"~/hook $HOME/x\"\n",
    )
    .unwrap();
    let ended = world
        .wallhaul()
        .args(["fetch", "--config=~/own.toml"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let seen = fs::read_to_string(world.home().join("seen")).unwrap();
    assert_eq!(seen.trim_end(), world.home().join("x").to_str().unwrap());
    assert!(world.home().join(".wallhaul").is_dir());
    assert_eq!(names(&world.work()), [""; 0]);
    let sums = ["verify", "direct", "-d", "~", "--sha256sums", "~/sums"];
    assert_eq!(world.wallhaul().args(sums).run().code, Some(0));
    assert!(world.home().join("sums").is_file());
}

#[test]
fn another_users_home_or_no_home_in_a_path_is_a_usage_error() {
    let world = Sandbox::new();
    let refused = |program: Program, due: &[&str]| {
        let ended = program.run();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        for due in due {
            assert!(ended.stderr.contains(due), "{due}: {}", ended.stderr);
        }
        assert_eq!(names(&world.work()), [""; 0]);
    };
    let fetch = || world.wallhaul().args(["fetch", "demo"]);
    refused(fetch().args(["-d", "~bob/W"]), &["`~bob`", "--directory"]);
    refused(
        fetch().env("WALLHAUL_SITE_FILE", "$XDG_CONFIG_HOME/site.toml"),
        &["`$XDG_CONFIG_HOME`", "WALLHAUL_SITE_FILE"],
    );
    refused(fetch().args(["-d", "~/W"]).without("HOME"), &["HOME"]);
    refused(fetch().args(["-d", "~/W"]).env("HOME", ""), &["HOME"]);
    let folder = world.home().join(".config/wallhaul");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("config.toml"),
        "jobs = 4\nca-certificate = [\"~bob/ca.pem\"]\n",
    )
    .unwrap();
    refused(fetch(), &["line 2", "`~bob`"]);
}

#[test]
fn empty_variables_count_as_unset_and_an_invalid_one_is_named() {
    let world = Sandbox::new();
    let mut program = world.wallhaul().args(["fetch", "demo", "-n"]);
    for name in [
        "DIRECTORY",
        "JOBS",
        "QUIET",
        "VERBOSE",
        "EXEC",
        "CONFIG",
        "WAIT",
        "BASE_URL",
        "SITE_FILE",
        "INPUT_FILE",
    ] {
        program = program.env(&format!("WALLHAUL_{name}"), "");
    }
    let ended = program.run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for (name, value) in [
        ("WALLHAUL_JOBS", "many"),
        ("WALLHAUL_QUIET", "perhaps"),
        ("WALLHAUL_WAIT", "a while"),
    ] {
        let ended = world
            .wallhaul()
            .args(["fetch", "demo", "-n"])
            .env(name, value)
            .run();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(&format!("the variable {name}")),
            "{}",
            ended.stderr
        );
        // A flag wins, so that nobody reads the variable.
        let flag = name.replace("WALLHAUL_", "--").to_lowercase();
        let ended = world
            .wallhaul()
            .args(["fetch", &format!("{flag}=x y")])
            .env(name, value)
            .run();
        assert!(!ended.stderr.contains("the variable"), "{}", ended.stderr);
    }
    // Neither an empty nor a relative folder makes a file of the working folder the configuration.
    for (name, value, file) in [
        ("XDG_CONFIG_HOME", "", "wallhaul/config.toml"),
        ("XDG_CONFIG_HOME", ".", "wallhaul/config.toml"),
        ("HOME", "", ".config/wallhaul/config.toml"),
    ] {
        let world = Sandbox::new();
        let file = world.work().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "no such key").unwrap();
        let ended = world
            .wallhaul()
            .args(["fetch", "demo", "-n"])
            .env(name, value)
            .run();
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
    }
}

/// Makes `open` refuse names of more than 143 bytes, as eCryptfs does, where the file system declares 255.
const SHORT_NAMES: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

int open64(const char *path, int flags, ...) {
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
    const char *slash = strrchr(path, '/');
    va_list rest;
    va_start(rest, flags);
    int mode = flags & O_CREAT ? va_arg(rest, int) : 0;
    va_end(rest);
    if (strlen(slash ? slash + 1 : path) > 143) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return real(path, flags, mode);
}
"#;

#[test]
fn file_names_are_cut_to_what_a_file_system_takes_whatever_it_declares() {
    let site = tempfile::tempdir().unwrap();
    let mirror = Mirror::of(4);
    let long = [
        "n".repeat(60),
        "n".repeat(138),
        "n".repeat(200),
        "\u{58c1}".repeat(60),
    ];
    for (name, original) in long.iter().zip(&mirror.gallery.originals) {
        fs::write(
            site.path().join(format!("{name}.png")),
            mirror.bytes(&original.path),
        )
        .unwrap();
    }
    let nginx = Nginx::serve(site.path(), "");
    let addresses = long
        .each_ref()
        .map(|name| format!("{}/{name}.png", nginx.origin()));
    let world = Sandbox::new();
    fs::write(world.work().join("short.c"), SHORT_NAMES).unwrap();
    let compiled = Command::new("cc")
        .current_dir(world.work())
        .args(["-shared", "-fPIC", "-o", "short.so", "short.c", "-ldl"])
        .status();
    assert!(compiled.unwrap().success());
    let fetch = |folder: &str, short: bool| {
        let program = world
            .wallhaul()
            .args(["fetch", "-d", folder])
            .args(&addresses);
        let program = if short {
            program.env("LD_PRELOAD", world.work().join("short.so"))
        } else {
            program
        };
        let ended = program.run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let names: Vec<String> = files(&world.work().join(folder)).into_keys().collect();
        assert_eq!(names.len(), long.len(), "{names:?}");
        names
    };
    let cut = fetch("short", true);
    assert!(cut.iter().all(|name| name.len() <= 143 - 15), "{cut:?}");
    assert!(cut.contains(&format!("{}.jpg", "n".repeat(60))), "{cut:?}");
    // The next run asks for nothing, neither there nor where longer names are taken, and changes no name.
    nginx.forget();
    for short in [true, false] {
        assert_eq!(fetch("short", short), cut);
    }
    // Nor does one whose ledger was made from the files.
    let rebuilt = world
        .wallhaul()
        .args(["ledger", "rebuild", "-d", "short"])
        .run();
    assert_eq!(rebuilt.code, Some(0), "{}", rebuilt.stderr);
    assert_eq!(fetch("short", true), cut);
    let asked = nginx.requests();
    assert!(
        asked.iter().all(|request| request.path == "/robots.txt"),
        "{asked:?}"
    );
    let whole = fetch("whole", false);
    assert!(whole.iter().any(|name| name.len() > 143), "{whole:?}");
}

#[test]
fn a_group_keeps_a_collection_together() {
    let world = Sandbox::new();
    // Copied to where other users can read it.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("wallhaul");
    fs::copy(WALLHAUL, &program).unwrap();
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).unwrap();
    chown(&shared, None, Some(52_000)).expect("tests that change users are run by root");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o2775)).unwrap();
    let mut mirror = Mirror::of(5);
    mirror.lengthen(4.., 3_000_000);
    let run = |user: u32, code: i32, args: &[&str]| {
        // Group first: the user has no right to change it.
        let line = "umask 002; exec setpriv --regid 52000 --clear-groups --reuid \"$0\" \"$@\"";
        let ended = world
            .program("sh")
            .args(["-c", line, &user.to_string(), program.to_str().unwrap()])
            .args(args)
            .args(["-d", shared.to_str().unwrap()])
            .inside(folder.path())
            .run();
        assert_eq!(
            ended.code,
            Some(code),
            "user {user}, {args:?}: {}",
            ended.stderr
        );
    };
    let address = |index: usize| {
        format!(
            "{}{}",
            mirror.nginx.origin(),
            mirror.gallery.originals[index].path
        )
    };
    for (user, index) in [(52_001, 0), (52_002, 1), (52_001, 2)] {
        run(user, 0, &["fetch", &address(index)]);
    }
    // One repairs what the other fetched, and makes a new ledger.
    let image = files(&shared).into_keys().next().unwrap();
    fs::write(shared.join(&image), "broken").unwrap();
    run(52_002, 0, &["verify", "direct", "--repair"]);
    run(52_001, 0, &["ledger", "rebuild", "--site", "direct"]);
    run(52_002, 0, &["fetch", &address(3)]);
    // The other's unfinished file, which may be read and not written, does not stand in the way.
    let port = mirror
        .nginx
        .origin()
        .rsplit_once(':')
        .unwrap()
        .1
        .parse()
        .unwrap();
    let proxy = CuttingProxy::before(port);
    let long = address(4).replace(&mirror.nginx.origin(), &proxy.origin());
    proxy.cut_after(1_500_000);
    run(52_001, 1, &["fetch", "-R", "0", &long]);
    let parts = names(&shared.join(".wallhaul/parts"));
    assert_eq!(parts.len(), 2, "{parts:?}");
    for unfinished in parts {
        let unfinished = shared.join(".wallhaul/parts").join(unfinished);
        fs::set_permissions(unfinished, fs::Permissions::from_mode(0o644)).unwrap();
    }
    proxy.cut_after(usize::MAX);
    run(52_002, 0, &["fetch", &long]);
    assert_eq!(files(&shared).len(), 5);
    let mut folders = vec![shared.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let found = fs::metadata(&path).unwrap();
            assert_eq!(found.gid(), 52_000, "{}", path.display());
            assert_eq!(found.mode() & 0o060, 0o060, "{}", path.display());
            folders.extend(found.is_dir().then_some(path));
        }
    }
}
