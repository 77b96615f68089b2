#!/usr/bin/env bash
# html5ever 0.40.1 (crates.io): with the default options (`discard_bom`), U+FEFF is dropped at the start of every piece that
# the tokenizer is fed, and not only at the start of the page. A page that is fed whole keeps the character in its texts;
# the same page in pieces loses each one with which a piece begins.
#
# Why it matters: a page that is parsed while it arrives, or in steps, has other texts from one time to the next, by
# where it happened to be cut; a title that is part of a file's name gives the file two names.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "pieces"
version = "0.0.0"
edition = "2024"

[dependencies]
html5ever = "=0.40.1"
markup5ever_rcdom = "=0.40.1"
TOML
cat >"$folder/src/main.rs" <<'RUST'
use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::{ParseOpts, parse_document};
use markup5ever_rcdom::{Handle, NodeData, RcDom};

fn texts(node: &Handle, found: &mut String) {
    if let NodeData::Text { contents } = &node.data {
        found.push_str(&contents.borrow());
    }
    for child in node.children.borrow().iter() {
        texts(child, found);
    }
}

fn main() {
    let page = "<!DOCTYPE html><title>a\u{feff}b</title>";
    let cut = page.find('\u{feff}').unwrap();
    for pieces in [vec![page], vec![&page[..cut], &page[cut..]]] {
        let mut parser = parse_document(RcDom::default(), ParseOpts::default());
        for piece in &pieces {
            parser.process(StrTendril::from(*piece));
        }
        let mut found = String::new();
        texts(&parser.finish().document, &mut found);
        println!("in {} piece(s): {:?}", pieces.len(), found);
    }
}
RUST
timeout 300 cargo run --quiet --manifest-path "$folder/Cargo.toml" >"$folder/seen"
cat "$folder/seen"
diff "$folder/seen" - <<'SEEN'
in 1 piece(s): "a\u{feff}b"
in 2 piece(s): "ab"
SEEN
