//! The documents: every command that they show parses, every link leads somewhere, and every file, test and crate
//! path that they name exists.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use wallhaul::site::Site;

use crate::support::program::Sandbox;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown document of the project, by its path below the root, with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let folders = [root().to_owned(), root().join("docs")];
    let entries = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut documents: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(root()).unwrap().to_owned(), text)
        })
        .collect();
    documents.sort();
    assert!(documents.len() >= 10, "{documents:?}");
    documents
}

/// The lines of the fenced blocks of `text` in these languages.
fn code_lines<'a>(text: &'a str, languages: &[&str]) -> Vec<&'a str> {
    let mut lines = Vec::new();
    let mut inside = None;
    for line in text.lines() {
        match (line.trim().strip_prefix("```"), inside) {
            (Some(language), None) => inside = Some(languages.contains(&language)),
            (Some(_), Some(_)) => inside = None,
            (None, Some(true)) => lines.push(line),
            (None, _) => {}
        }
    }
    lines
}

/// The arguments of each `wallhaul` in a line of shell, as far as the simple shell of the documents goes.
fn commands(line: &str) -> Vec<Vec<String>> {
    // A crontab line begins with its five fields, an interactive one with a prompt.
    let cron = Regex::new(r"^[\d*/,-]+(\s+[\d*/,-]+){4}\s+").unwrap();
    let line = cron.replace(line.trim_start_matches("$ "), "");
    let Some(words) = shlex::split(&line) else {
        panic!("not a line of shell: {line}");
    };
    let mut found = Vec::new();
    for command in words.split(|word| matches!(word.as_str(), "|" | "&&" | ";")) {
        let arguments = match command.first().map(String::as_str) {
            Some("wallhaul") => &command[1..],
            Some("cargo") => match command.iter().position(|word| word == "--") {
                Some(at) => &command[at + 1..],
                None => continue,
            },
            _ => continue,
        };
        let end = arguments
            .iter()
            .position(|word| word.starts_with('>'))
            .unwrap_or(arguments.len());
        found.push(arguments[..end].to_vec());
    }
    found
}

#[test]
fn commands_shown_in_the_documents_parse() {
    let sandbox = Sandbox::new();
    let mut seen = 0;
    for (path, text) in documents() {
        let blocks = code_lines(&text, &["sh", "text"]);
        let lines = blocks
            .into_iter()
            .filter(|line| line.contains("wallhaul ") || line.contains("cargo run"));
        for line in lines.filter(|line| !line.contains("  ledger.db")) {
            for arguments in commands(line) {
                seen += 1;
                // `--help` at the end: everything before it is parsed, and nothing is run.
                let output = sandbox.wallhaul().args(&arguments).args(["--help"]).run();
                assert_eq!(
                    output.code,
                    Some(0),
                    "{}: {line}\n{}",
                    path.display(),
                    output.stderr
                );
            }
        }
    }
    assert!(seen >= 15, "only {seen} commands were found");
}

#[test]
fn links_between_the_documents_hold() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut seen = 0;
    for (path, text) in documents() {
        for found in link.captures_iter(&text) {
            let target = &found[1];
            if target.contains("://") {
                continue;
            }
            seen += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = root().join(path.parent().unwrap());
            let file = if file.is_empty() {
                root().join(&path)
            } else {
                folder.join(file)
            };
            assert!(file.exists(), "{}: no file `{target}`", path.display());
            if !anchor.is_empty() {
                let headings = headings(&fs::read_to_string(&file).unwrap());
                assert!(
                    headings.iter().any(|heading| heading == anchor),
                    "{}: no heading `{target}` among {headings:?}",
                    path.display()
                );
            }
        }
    }
    assert!(seen >= 15, "only {seen} links were found");
}

/// The anchors of a document's headings, as GitHub makes them.
fn headings(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.starts_with('#'));
    lines
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn source_files_named_in_the_documents_exist() {
    let path_in_text = Regex::new(r"`((?:[a-z_.-]+/)+[A-Za-z_.-]*)(?: [A-Z ]+)?`").unwrap();
    let mut seen = 0;
    for (path, text) in documents() {
        for found in path_in_text.captures_iter(&text) {
            let named = &found[1];
            let is_ours = Path::new(named)
                .extension()
                .is_some_and(|extension| extension == "rs" || extension == "sql")
                || [
                    ".ci/", "tests/", "docs/", "site/", "queue/", "sink/", "verify/", "app/",
                ]
                .iter()
                .any(|folder| named.starts_with(folder));
            if !is_ours {
                continue;
            }
            seen += 1;
            let exists = [root().join(named), root().join("src").join(named)]
                .iter()
                .any(|path| path.exists());
            assert!(exists, "{}: there is no `{named}`", path.display());
        }
    }
    assert!(seen >= 20, "only {seen} paths were found");
}

#[test]
fn tests_named_in_the_guarantees_exist() {
    let text = fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let name = Regex::new(r"`([a-z_]+(?:::[a-z_]+)?)`").unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| **"));
    let mut seen = 0;
    for row in rows {
        let tests = row.rsplit('|').nth(1).unwrap();
        for found in name.captures_iter(tests) {
            seen += 1;
            let module = found[1].replace("::", "/");
            let file = root().join("tests/it").join(&module);
            let exists = file.with_extension("rs").exists() || file.join("mod.rs").exists();
            assert!(exists, "there is no test module `{}`", &found[1]);
        }
    }
    assert!(seen >= 20, "only {seen} tests were found");
}

#[test]
fn every_definition_in_the_documents_compiles() {
    let text = fs::read_to_string(root().join("docs/sites.md")).unwrap();
    let blocks = text.split("```toml\n").skip(1);
    let definitions: Vec<&str> = blocks
        .filter_map(|block| block.split("```").next())
        .filter(|block| block.starts_with("[site]"))
        .collect();
    assert!(definitions.len() >= 5, "{}", definitions.len());
    for definition in definitions {
        if let Err(error) = Site::from_toml(definition) {
            panic!("{}", error.render("docs/sites.md", false));
        }
    }
}
