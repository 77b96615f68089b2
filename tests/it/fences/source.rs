//! Reads Rust source as far as the dependency rules need it: its tokens without comments and
//! literals, and the paths it names, resolved to full paths.

/// Words that a path beginning with `::` may follow, and that are no part of it.
const KEYWORDS: [&str; 12] = [
    "as", "break", "dyn", "else", "if", "impl", "in", "match", "mut", "return", "use", "while",
];

/// A word or a mark of a source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

impl Token<'_> {
    fn is_word(&self) -> bool {
        self.text.starts_with(in_word)
    }
}

/// A path that a source text names: `crate::job::Job` as `["crate", "job", "Job"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path<'a> {
    pub(super) segments: Vec<&'a str>,
    pub(super) line: usize,
}

/// The words and marks of `source`; comments, strings and characters are left out.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let literal = comment(rest)
            .or_else(|| string(rest))
            .or_else(|| character(rest));
        let length =
            literal.unwrap_or_else(|| match rest.find(|c| !in_word(c)).unwrap_or(rest.len()) {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                word => word,
            });
        let (text, behind) = rest.split_at(length);
        if literal.is_none() && !first.is_whitespace() {
            found.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = behind;
    }
    found
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How long the comment is that `rest` starts with.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    Some(rest.len())
}

/// How long the string is that `rest` starts with, of any kind.
fn string(rest: &str) -> Option<usize> {
    let kinds = ["br", "cr", "r", "b", "c", ""];
    let prefix = kinds.into_iter().find(|prefix| {
        let behind = rest
            .strip_prefix(prefix)
            .map(|behind| behind.trim_start_matches('#'));
        behind.is_some_and(|behind| behind.starts_with('"'))
    })?;
    let hashes = rest[prefix.len()..].find('"')?;
    let opened = prefix.len() + hashes + 1;
    if prefix.ends_with('r') {
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(
            rest[opened..]
                .find(&end)
                .map_or(rest.len(), |at| opened + at + end.len()),
        );
    }
    (hashes == 0).then(|| closed(rest, opened, '"'))
}

/// How long the character is that `rest` starts with; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let mut inner = rest.strip_prefix('\'')?.chars();
    match (inner.next()?, inner.next()) {
        ('\\', _) => Some(closed(rest, 1, '\'')),
        (only, Some('\'')) => Some(only.len_utf8() + 2),
        _ => None,
    }
}

/// Where the literal ends whose content begins at `opened`.
fn closed(rest: &str, opened: usize, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest[opened..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return opened + at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Every path that `tokens` name, in `use` or in place, where the file is the module `home`. What begins with
/// `self`, `super` or the library's name is led back to `crate`.
pub(super) fn paths<'a>(tokens: &[Token<'a>], home: &[&'a str]) -> Vec<Path<'a>> {
    let mut found = Vec::new();
    // The open braces, each with the inline module it opened.
    let mut open: Vec<Option<&str>> = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let before = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].text);
        let imported = before(1) == "use" || (before(1) == "crate" && before(2) == "extern");
        let begins = token.is_word() && !KEYWORDS.contains(&token.text);
        if begins || (imported && matches!(token.text, "::" | "{")) {
            let module: Vec<&str> = home
                .iter()
                .copied()
                .chain(open.iter().copied().flatten())
                .collect();
            let mut tree = Tree {
                tokens,
                imported,
                found: Vec::new(),
            };
            at = tree.read(at, &[]);
            found.extend(tree.found.into_iter().map(|path| resolved(path, &module)));
            continue;
        }
        match token.text {
            "{" => open.push((before(2) == "mod").then(|| before(1))),
            "}" => drop(open.pop()),
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads a path, or the tree of paths behind a `use`.
struct Tree<'t, 'a> {
    tokens: &'t [Token<'a>],
    imported: bool,
    found: Vec<Path<'a>>,
}

impl<'a> Tree<'_, 'a> {
    fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    /// Reads on at `at`, behind `prefix`; returns where the path or its group ended.
    fn read(&mut self, at: usize, prefix: &[&'a str]) -> usize {
        match self.text(at) {
            "::" => self.read(at + 1, prefix),
            "{" => self.group(at + 1, prefix),
            "*" => self.end(at, prefix.to_vec()),
            word => {
                let segments = [prefix, &[word]].concat();
                let leads_on = self.tokens.get(at + 2).is_some_and(|next| {
                    next.is_word() || (self.imported && matches!(next.text, "{" | "*"))
                });
                if self.text(at + 1) == "::" && leads_on {
                    self.read(at + 2, &segments)
                } else {
                    self.end(at, segments)
                }
            }
        }
    }

    fn group(&mut self, mut at: usize, prefix: &[&'a str]) -> usize {
        while !matches!(self.text(at), "}" | "") {
            at = self.read(at, prefix);
            while !matches!(self.text(at), "," | "}" | "") {
                at += 1; // `as name`
            }
            at += usize::from(self.text(at) == ",");
        }
        at + 1
    }

    /// Keeps the path that ends at `at`; a lone word says nothing unless it is imported.
    fn end(&mut self, at: usize, segments: Vec<&'a str>) -> usize {
        if self.imported || segments.len() > 1 {
            self.found.push(Path {
                segments,
                line: self.tokens[at].line,
            });
        }
        at + 1
    }
}

/// Leads `path`, named in `module`, back to `crate` where it stays in the library.
fn resolved<'a>(path: Path<'a>, module: &[&'a str]) -> Path<'a> {
    let Path { mut segments, line } = path;
    let mut base = vec!["crate"];
    match segments[0] {
        "wallhaul" => segments[0] = "crate",
        "self" | "super" => {
            base.extend(module);
            let ups = segments
                .iter()
                .take_while(|word| matches!(**word, "self" | "super"))
                .count();
            for word in segments.drain(..ups) {
                if word == "super" && base.len() > 1 {
                    base.pop();
                }
            }
            base.append(&mut segments);
            segments = base;
        }
        _ => {}
    }
    if segments.len() > 1 && segments.last() == Some(&"self") {
        segments.pop();
    }
    Path { segments, line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: &str, home: &[&str]) -> Vec<String> {
        paths(&tokens(source), home)
            .into_iter()
            .map(|path| path.segments.join("::"))
            .collect()
    }

    #[test]
    fn comments_and_literals_yield_no_tokens() {
        let source = r##"
            // crate::a::x
            /* crate::b::x /* crate::c::x */ crate::d::x */
            /// [`crate::e::x`]
            let s = "crate::f::x \" crate::g::x";
            let r = r#"crate::h::x " crate::i::x"#; let b = b"crate::j::x"; let c = '"'; let d = '\'';
            fn f<'a>(x: &'a str) { crate::k::x(b'"', "") }
        "##;
        assert_eq!(named(source, &[]), ["crate::k::x"]);
    }

    #[test]
    fn use_tree_is_expanded_to_its_leaves() {
        let source = "use crate::{a, b::c, d::{self, e::*, f as g}};\npub use ::h;\nuse {i, j::k};";
        let leaves = [
            "crate::a",
            "crate::b::c",
            "crate::d",
            "crate::d::e",
            "crate::d::f",
            "h",
            "i",
            "j::k",
        ];
        assert_eq!(named(source, &[]), leaves);
    }

    #[test]
    fn inline_path_is_found_in_any_position() {
        let source = "fn f(x: Vec<crate::a::X>) -> ::b::Y { if ::c::z() { 0..crate::d::E } Vec::<e::T>::new() }";
        assert_eq!(
            named(source, &[]),
            ["crate::a::X", "b::Y", "c::z", "crate::d::E", "e::T"]
        );
    }

    #[test]
    fn self_super_and_crate_name_resolve_to_crate_paths() {
        let source = "use super::super::report; mod tests { use super::x; fn f() { self::y() } } use wallhaul::app;";
        let leads = [
            "crate::report",
            "crate::sink::dir::x",
            "crate::sink::dir::tests::y",
            "crate::app",
        ];
        assert_eq!(named(source, &["sink", "dir"]), leads);
    }

    #[test]
    fn path_reports_its_own_line() {
        let source = "/* one\ntwo */ use crate::{\n    a,\n    b,\n};";
        let lines: Vec<usize> = paths(&tokens(source), &[])
            .iter()
            .map(|path| path.line)
            .collect();
        assert_eq!(lines, [3, 4]);
    }
}
