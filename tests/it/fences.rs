//! The dependency rules: reads the source tree and checks that every file names only modules of
//! lower levels and the crates allowed there, and stays under the line limit.

mod source;

use std::fmt;
use std::path::{Path, PathBuf};

use source::{Token, paths, tokens};

/// The modules, lowest first: a module names those of lower levels and itself.
const LEVELS: [&[&str]; 7] = [
    &["mask", "job", "outcome", "event", "units", "user_path"],
    &["site", "part"],
    &["verify"],
    &[
        "queue", "sink", "ledger", "report", "fetch", "hooks", "demo",
    ],
    &["engine"],
    &["app", "config", "exit"],
    &["main", "cli", "dispatch", "allocator"],
];

/// Who may, for all that, name a module beside it.
const BESIDE: [(&str, &[&str]); 6] = [
    ("job", &["mask"]),
    ("outcome", &["job", "mask"]),
    ("event", &["job", "mask", "outcome"]),
    ("app", &["config", "exit"]),
    ("main", &["cli", "dispatch"]),
    ("dispatch", &["cli"]),
];

/// The rooms of the modules that have levels inside, lowest level first: a room names those of lower levels and itself,
/// and never the module it is in. A room is a file or a folder; `mod.rs` stands above them all.
const ROOMS: [(&str, &[&[&str]]); 3] = [
    (
        "fetch",
        &[
            &["proxies"],
            &["error", "settings"],
            &["access"],
            &["limits"],
            &["body"],
            &["transport"],
            &["hops"],
            &["request"],
            &["archive"],
        ],
    ),
    (
        "app",
        &[
            &["environment", "blocking", "console"],
            &["signals", "targets", "collection"],
            &["runtime", "run"],
            &["queued"],
            &["commands"],
        ],
    ),
    // One level: a command never imports another.
    (
        "app/commands",
        &[&[
            "fetch", "urls", "verify", "ledger", "rebuild", "sites", "work", "queue",
        ]],
    ),
];

/// Crates that only some files may name, by how the files' paths begin.
const CRATES: [(&[&str], &[&str]); 16] = [
    (&["reqwest"], &["fetch"]),
    (&["flate2", "brotli_decompressor"], &["fetch/body"]),
    (&["scraper"], &["site"]),
    (&["html5ever"], &["site", "fetch/body/charset"]),
    (&["selectors", "cssparser"], &["site"]),
    (&["jpeg_encoder"], &["demo/draw"]),
    (&["quick_xml"], &["site/document"]),
    (
        &["clap", "clap_complete", "clap_mangen"],
        &["cli", "config", "main", "dispatch"],
    ),
    (&["indicatif"], &["report"]),
    (&["rusqlite"], &["ledger/sqlite"]),
    (&["object_store"], &["sink/object"]),
    (&["async_nats"], &["queue/nats"]),
    (
        &["hyper", "hyper_util", "hyper_rustls", "http_body_util"],
        &["demo", "fetch"],
    ),
    (&["webpki"], &["fetch/transport/tls"]),
    (&["anyhow"], &["app", "config", "exit", "dispatch"]),
    (&["tikv_jemallocator"], &["allocator"]),
];

/// The files where alone a feature may decide: those that open a socket, the one that names the allocator, and the
/// format whose decoder is a choice.
const SOCKETS: [&str; 7] = [
    "queue/mod.rs",
    "sink/mod.rs",
    // Its last lines name the plugs that keep the contract.
    "sink/contract/mod.rs",
    "ledger/mod.rs",
    "report/mod.rs",
    "allocator.rs",
    "verify/formats/jxl/mod.rs",
];

/// The longest file, its tests aside.
const MAX_LINES: usize = 400;

/// A place where the source tree breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    file: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// Every breach in `source`, which is the file `file` below `src`.
fn breaches(file: &str, source: &str) -> Vec<Breach> {
    let breach = |line, rule| Breach {
        file: file.to_owned(),
        line,
        rule,
    };
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let module: Vec<&str> = path.split('/').collect();
    let own = module[0];
    if own != "lib" && level(own).is_none() {
        return vec![breach(
            1,
            format!("`{own}` stands on no level: put it on the map"),
        )];
    }
    let home = if matches!(path, "lib" | "main") {
        &[]
    } else {
        &module[..]
    };
    let tokens = tokens(source);
    let mut found = Vec::new();
    for named in paths(&tokens, home) {
        let rule = match named.segments[..] {
            ["crate"] => Some("names the whole crate: name the module".to_owned()),
            // The map itself names every module.
            ["crate", ..] if own == "lib" => None,
            ["crate", other, ..] => module_rule(own, other),
            _ => crate_rule(path, named.segments[0]),
        };
        found.extend(rule.map(|rule| breach(named.line, rule)));
    }
    if !SOCKETS.contains(&file) {
        let rule = "asks for a feature: only a socket's mod.rs may";
        found.extend(
            features(&tokens)
                .into_iter()
                .map(|line| breach(line, rule.to_owned())),
        );
    }
    found
}

fn level(module: &str) -> Option<usize> {
    LEVELS.iter().position(|level| level.contains(&module))
}

/// Why the module `own` may not name the module `other`, if so.
fn module_rule(own: &str, other: &str) -> Option<String> {
    let Some(theirs) = level(other) else {
        return Some(format!(
            "names `crate::{other}`, which stands on no level: put it on the map"
        ));
    };
    let ours = level(own)?;
    let beside = BESIDE
        .iter()
        .any(|(who, whom)| *who == own && whom.contains(&other));
    let allowed = own == other || theirs < ours || beside;
    (!allowed)
        .then(|| format!("`{own}` (level {ours}) may not name `crate::{other}` (level {theirs})"))
}

/// Every breach of the levels inside a module in `source`, which is the file `file` below `src`. Unit tests are left out:
/// they may go through the whole module.
fn room_breaches(file: &str, source: &str) -> Vec<Breach> {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let home: Vec<&str> = path.split('/').collect();
    let around = ROOMS.iter().filter_map(|(module, levels)| {
        let module: Vec<&str> = module.split('/').collect();
        let own = home.strip_prefix(&module[..])?.first()?;
        Some((module, levels, *own))
    });
    around
        .flat_map(|(module, levels, own)| {
            breaches_inside(&module, levels, own, &home, (file, source))
        })
        .collect()
}

/// Every breach of the `levels` inside `parent` in the source of the file, which is in the room `own` and whose module
/// is `home`.
fn breaches_inside(
    parent: &[&str],
    levels: &[&[&str]],
    own: &str,
    home: &[&str],
    (file, source): (&str, &str),
) -> Vec<Breach> {
    let module = parent.join("::");
    let breach = |line, rule| Breach {
        file: file.to_owned(),
        line,
        rule,
    };
    let Some(ours) = room_level(levels, own) else {
        let rule = format!("`{module}::{own}` stands on no level: put it into ROOMS");
        return vec![breach(1, rule)];
    };
    let production: Vec<&str> = source.lines().take(length(source)).collect();
    let production = production.join("\n");
    let named = paths(&without_visibility(tokens(&production)), home);
    let inside = named.iter().filter_map(|path| {
        let below_crate = path.segments.strip_prefix(&["crate"])?;
        Some((below_crate.strip_prefix(parent)?.first(), path.line))
    });
    let rule = |other: Option<&&str>| match other.copied() {
        Some(other) if other == own => None,
        Some(other) => match room_level(levels, other) {
            Some(theirs) if theirs < ours => None,
            Some(theirs) => Some(format!(
                "`{module}::{own}` (level {ours}) may not name `{module}::{other}` (level {theirs})"
            )),
            None => Some(format!(
                "`{module}::{own}` may not name `{module}::{other}`: name the room that holds it"
            )),
        },
        None => Some(format!(
            "`{module}::{own}` names the whole of `{module}`: name the room"
        )),
    };
    inside
        .filter_map(|(other, line)| rule(other).map(|rule| breach(line, rule)))
        .collect()
}

fn room_level(levels: &[&[&str]], room: &str) -> Option<usize> {
    levels.iter().position(|level| level.contains(&room))
}

/// `tokens` without the paths of `pub(in ...)`, which give access and take none.
fn without_visibility(tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    let mut kept: Vec<Token<'_>> = Vec::with_capacity(tokens.len());
    let mut inside = false;
    for token in tokens {
        let opens = token.text == "in"
            && matches!(&kept[..], [.., before, paren] if before.text == "pub" && paren.text == "(");
        inside = (inside || opens) && token.text != ")";
        if !inside {
            kept.push(token);
        }
    }
    kept
}

/// Why the file at `path` may not name the crate `named`, if so.
fn crate_rule(path: &str, named: &str) -> Option<String> {
    let (_, homes) = CRATES.iter().find(|(crates, _)| crates.contains(&named))?;
    let allowed = homes.iter().any(|home| path.starts_with(home));
    (!allowed).then(|| {
        format!(
            "names the crate `{named}`, which belongs to {}",
            homes.join(", ")
        )
    })
}

/// The lines on which a `cfg`, a `cfg_attr` or a `cfg!` asks for a feature.
fn features(tokens: &[Token<'_>]) -> Vec<usize> {
    let conditions = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| matches!(token.text, "cfg" | "cfg_attr"));
    let asks = |at: &usize| parenthesised(&tokens[at + 1..]).any(|token| token.text == "feature");
    conditions
        .filter(|(at, _)| asks(at))
        .map(|(_, token)| token.line)
        .collect()
}

/// What stands in the parentheses that `tokens` begin with, behind a macro's mark or not.
fn parenthesised<'t>(tokens: &'t [Token<'_>]) -> impl Iterator<Item = &'t Token<'t>> {
    let mut depth = 0_usize;
    tokens
        .iter()
        .skip_while(|token| token.text == "!")
        .take_while(move |token| {
            match token.text {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth > 0
        })
}

/// How many lines `source` has before the tests at its end.
fn length(source: &str) -> usize {
    let lines: Vec<&str> = source.lines().collect();
    let tests = lines
        .windows(2)
        .rposition(|pair| pair == ["#[cfg(test)]", "mod tests {"]);
    tests.unwrap_or(lines.len())
}

/// The files that hold nothing but tests, as `source`, which is the file `file`, declares them.
fn test_files(file: &str, source: &str) -> Vec<String> {
    let folder = match file.trim_end_matches(".rs") {
        "lib" | "main" => String::new(),
        path => format!("{}/", path.trim_end_matches("/mod")),
    };
    let lines: Vec<&str> = source.lines().collect();
    let declared = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    let modules = declared.filter_map(|pair| {
        let declaration = pair[1].strip_prefix("pub(crate) ").unwrap_or(pair[1]);
        declaration.strip_prefix("mod ")?.strip_suffix(';')
    });
    modules
        .map(|module| format!("{folder}{module}.rs"))
        .collect()
}

/// Every source file: its path below `src`, and its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().expect("a folder of the source tree") {
            let path: PathBuf = entry.expect("an entry of the source tree").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = path
                    .strip_prefix(&root)
                    .expect("it lies below src")
                    .display()
                    .to_string();
                found.push((
                    file,
                    std::fs::read_to_string(&path).expect("a readable source file"),
                ));
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(file: &str, source: &str) -> Vec<String> {
        breaches(file, source)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn modules_depend_only_on_lower_levels_and_allowed_crates() {
        let sources = sources();
        assert!(
            sources.iter().any(|(file, _)| file == "lib.rs"),
            "the source tree was not found"
        );
        let found: Vec<String> = sources
            .iter()
            .flat_map(|(file, source)| rules(file, source))
            .collect();
        assert!(
            found.is_empty(),
            "{} breaches:\n{}",
            found.len(),
            found.join("\n")
        );
    }

    #[test]
    fn every_room_inside_a_module_names_only_lower_rooms() {
        let sources = sources();
        let tests: Vec<String> = sources
            .iter()
            .flat_map(|(file, source)| test_files(file, source))
            .collect();
        let found: Vec<String> = sources
            .iter()
            .filter(|(file, _)| !tests.contains(file))
            .flat_map(|(file, source)| room_breaches(file, source))
            .map(|breach| breach.to_string())
            .collect();
        assert!(
            found.is_empty(),
            "{} breaches:\n{}",
            found.len(),
            found.join("\n")
        );
    }

    #[test]
    fn every_room_on_the_map_is_there() {
        let sources = sources();
        for (module, levels) in ROOMS {
            for room in levels.iter().copied().flatten() {
                let places = [
                    format!("{module}/{room}.rs"),
                    format!("{module}/{room}/mod.rs"),
                ];
                assert!(
                    sources.iter().any(|(file, _)| places.contains(file)),
                    "{module}::{room}"
                );
            }
        }
    }

    #[test]
    fn files_stay_under_the_line_limit() {
        let sources = sources();
        let tests: Vec<String> = sources
            .iter()
            .flat_map(|(file, source)| test_files(file, source))
            .collect();
        let lengths = sources.iter().map(|(file, source)| (length(source), file));
        let long: Vec<_> = lengths
            .filter(|(lines, file)| *lines > MAX_LINES && !tests.contains(file))
            .collect();
        assert!(
            long.is_empty(),
            "over {MAX_LINES} lines before their tests: {long:?}"
        );
    }

    #[test]
    fn dependency_on_the_same_or_a_higher_level_is_reported() {
        let above = rules("site/rewrite.rs", "//! x\nuse crate::{job::Job, engine};\n");
        assert_eq!(
            above,
            ["src/site/rewrite.rs:2: `site` (level 1) may not name `crate::engine` (level 4)"]
        );
        let beside = rules("sink/dir.rs", "fn f() {\n    crate::ledger::open();\n}");
        assert_eq!(
            beside,
            ["src/sink/dir.rs:2: `sink` (level 3) may not name `crate::ledger` (level 3)"]
        );
        assert_eq!(rules("job.rs", "use super::outcome::Outcome;").len(), 1);
        assert_eq!(rules("queue/memory.rs", "use super::super::sink;").len(), 1);
        assert_eq!(rules("queue/memory.rs", "use crate as root;").len(), 1);
        assert_eq!(rules("exit.rs", "use crate::cli;").len(), 1);
    }

    #[test]
    fn dependency_on_itself_or_a_lower_level_is_allowed() {
        let source = "use super::Sink; use crate::sink::Placed; use crate::verify::Sound; use crate::part::Parts;";
        assert_eq!(rules("sink/dir.rs", source), Vec::<String>::new());
        assert_eq!(
            rules("fetch/mod.rs", "use crate::{part, site::Site};"),
            Vec::<String>::new()
        );
        assert_eq!(
            rules(
                "main.rs",
                "mod cli; use wallhaul::app; use crate::cli::Cli;"
            ),
            Vec::<String>::new()
        );
        assert_eq!(
            rules("event.rs", "mod tests { use super::*; }"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_room_that_names_one_beside_or_above_it_is_found() {
        let rules = |file: &str, source: &str| -> Vec<String> {
            room_breaches(file, source)
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(
            rules(
                "fetch/access/policy.rs",
                "//! x\nuse crate::fetch::limits::Retry;"
            ),
            [
                "src/fetch/access/policy.rs:2: `fetch::access` (level 2) may not name `fetch::limits` (level 3)"
            ]
        );
        let planted = [
            ("fetch/error.rs", "use super::settings::FetchSettings;"),
            (
                "fetch/body/stream.rs",
                "use super::super::transport::Clients;",
            ),
            ("fetch/body/mod.rs", "fn f() { super::request::f() }"),
            ("fetch/limits/host.rs", "use crate::fetch::Fetcher;"),
            ("fetch/limits/host.rs", "use crate::fetch;"),
            ("fetch/limits.rs", "use super::*;"),
            ("fetch/lounge.rs", ""),
            ("app/console/mod.rs", "use crate::app::collection::entries;"),
            ("app/targets/session.rs", "use crate::app::Environment;"),
            ("app/run.rs", "use super::runtime::block_on;"),
            ("app/commands/urls.rs", "use super::fetch::fetch;"),
            (
                "app/commands/verify/repair.rs",
                "use super::super::rebuild::rebuild_ledger;",
            ),
            ("app/commands/lounge.rs", ""),
        ];
        for (file, source) in planted {
            assert_eq!(rules(file, source).len(), 1, "{file}: {source}");
        }
        let sound = [
            (
                "fetch/mod.rs",
                "use self::request::Requester; use self::error::FetchError;",
            ),
            (
                "fetch/request.rs",
                "use super::{access, body::Body, error::FetchError};",
            ),
            (
                "fetch/access/policy.rs",
                "use super::origins::domain; use crate::part::ResumeInfo;",
            ),
            ("fetch/error.rs", "pub(in crate::fetch) fn f() {}"),
            (
                "fetch/error.rs",
                "\n#[cfg(test)]\nmod tests {\n    use crate::fetch::Fetcher;\n}",
            ),
            ("sink/dir.rs", "use super::Sink;"),
            (
                "app/commands/fetch.rs",
                "use crate::app::run::new_run; use crate::fetch::Retry;",
            ),
            (
                "app/commands/verify/repair.rs",
                "use super::file_check::FileVerdict;",
            ),
            ("app/commands/mod.rs", "pub use fetch::fetch;"),
        ];
        for (file, source) in sound {
            assert_eq!(
                rules(file, source),
                Vec::<String>::new(),
                "{file}: {source}"
            );
        }
    }

    #[test]
    fn module_without_a_level_is_reported() {
        assert_eq!(
            rules("helpers.rs", ""),
            ["src/helpers.rs:1: `helpers` stands on no level: put it on the map"]
        );
        assert_eq!(rules("helpers/mod.rs", "").len(), 1);
        assert_eq!(rules("app/mod.rs", "use crate::helpers::x;").len(), 1);
    }

    #[test]
    fn crate_used_outside_its_module_is_reported() {
        let named = rules("engine/worker.rs", "\nfn f(_: &reqwest::Client) {}");
        assert_eq!(
            named,
            ["src/engine/worker.rs:2: names the crate `reqwest`, which belongs to fetch"]
        );
        let planted = [
            ("fetch/mod.rs", "use scraper::Html;"),
            ("engine/mod.rs", "#[derive(clap::Parser)] struct X;"),
            ("engine/mod.rs", "use indicatif;"),
            ("ledger/mod.rs", "use ::rusqlite::Connection;"),
            ("report/mod.rs", "use {hyper::body, std::fmt};"),
            ("report/mod.rs", "extern crate anyhow;"),
        ];
        for (file, source) in planted {
            assert_eq!(rules(file, source).len(), 1, "{file}: {source}");
        }
        assert_eq!(
            rules("ledger/sqlite/schema.rs", "use rusqlite::Connection;"),
            Vec::<String>::new()
        );
        assert_eq!(
            rules("fetch/retry.rs", "/// Unlike anyhow::Error.\nfn f() {}"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn cfg_feature_outside_a_socket_is_reported() {
        let asked = "\n#[cfg(all(unix, feature = \"nats\"))]\nmod nats;";
        assert_eq!(
            rules("engine/mod.rs", asked),
            ["src/engine/mod.rs:2: asks for a feature: only a socket's mod.rs may"]
        );
        assert_eq!(
            rules("app/mod.rs", "fn f() -> bool { cfg!(feature = \"nats\") }").len(),
            1
        );
        assert_eq!(rules("queue/mod.rs", asked), Vec::<String>::new());
        assert_eq!(
            rules(
                "engine/mod.rs",
                "#[cfg(test)] mod tests { fn feature() {} }"
            ),
            Vec::<String>::new()
        );
    }

    #[test]
    fn tests_do_not_count_towards_the_line_limit() {
        assert_eq!(length("a\nb\n\n#[cfg(test)]\nmod tests {\n    c\n}\n"), 3);
        assert_eq!(length("a\n#[cfg(test)]\nfn b() {}\n"), 3);
        let source = "mod memory;\n#[cfg(test)]\nmod contract;\n";
        assert_eq!(test_files("ledger/mod.rs", source), ["ledger/contract.rs"]);
        assert_eq!(
            test_files("ledger/sqlite.rs", source),
            ["ledger/sqlite/contract.rs"]
        );
        assert_eq!(test_files("lib.rs", source), ["contract.rs"]);
    }
}
