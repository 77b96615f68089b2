//! Learns how a thumb's address becomes the original's, from a few pairs of them.
//!
//! Both addresses are cut into words, digits and signs. What both have in the same order is kept, the rest is replaced;
//! what is kept may differ from pair to pair, what replaces must not.

use regex::Regex;
use url::Url;

use super::hints::has_image_path;

/// Parts of an address beyond which it is not aligned: the time grows by the square.
const MAX_TOKENS: usize = 256;

/// Bytes that both addresses must have in common for it to be no coincidence.
const MIN_COMMON: usize = 3;

/// Rules that are proposed at most: an extension each.
const MAX_RULES: usize = 3;

/// A rule for `rewrite`, and how many of the pairs it explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewriteGuess {
    /// The pattern, which matches a whole address.
    pub regex: String,
    /// What the address becomes.
    pub to: String,
    /// Of the pairs it was learned from, those that it explains.
    pub explained: usize,
}

impl RewriteGuess {
    /// What the rule makes of an address; `None` if it does not match.
    pub fn apply(&self, address: &str) -> Option<String> {
        let pattern = Regex::new(&self.regex).ok()?;
        let captures = pattern.captures(address)?;
        let mut result = String::new();
        captures.expand(&self.to, &mut result);
        (captures[0].len() == address.len()).then_some(result)
    }
}

/// Rules that make originals of thumbs, learned from pairs of both. Several only where the originals' extensions differ:
/// then they are to be tried one after another. None where no rule explains most of the pairs.
pub fn rewrites(pairs: &[(Url, Url)]) -> Vec<RewriteGuess> {
    let single = rule(pairs);
    if let Some(rule) = single.as_ref().filter(|rule| rule.explained == pairs.len()) {
        return vec![rule.clone()];
    }
    let extension = |address: &Url| {
        let path = address.path().to_owned();
        path.rsplit_once('.')
            .map(|(_, extension)| extension.to_owned())
    };
    let mut extensions: Vec<_> = pairs
        .iter()
        .filter(|(_, original)| has_image_path(original))
        .filter_map(|(_, original)| extension(original))
        .collect();
    extensions.sort();
    extensions.dedup();
    let mut rules = Vec::new();
    for wanted in extensions.into_iter().take(MAX_RULES) {
        let same = pairs
            .iter()
            .filter(|(_, original)| extension(original).as_deref() == Some(&wanted));
        rules.extend(rule(&same.cloned().collect::<Vec<_>>()));
    }
    let explained = pairs.iter().filter(|(thumb, original)| {
        let results = rules.iter().filter_map(|rule| rule.apply(thumb.as_str()));
        results
            .into_iter()
            .any(|result| result == original.as_str())
    });
    let explained = explained.count();
    let alone = single.as_ref().map_or(0, |rule| rule.explained);
    if explained <= alone || explained * 5 < pairs.len() * 3 {
        return Vec::from_iter(single);
    }
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.explained));
    rules
}

/// How many bytes two addresses have in common, in the same order.
pub fn likeness(one: &Url, other: &Url) -> usize {
    let parts = align(one.as_str(), other.as_str()).unwrap_or_default();
    parts.iter().filter_map(kept).map(str::len).sum()
}

/// The rule that explains most of the pairs.
fn rule(pairs: &[(Url, Url)]) -> Option<RewriteGuess> {
    let aligned: Vec<_> = pairs
        .iter()
        .filter_map(|(thumb, original)| align(thumb.as_str(), original.as_str()))
        .collect();
    // Coincidences give a pair another shape than the rest; so each pair's shape is tried.
    let rules = aligned.iter().filter_map(|model| {
        let alike: Vec<_> = aligned
            .iter()
            .filter(|pair| is_alike(model, pair))
            .collect();
        let (regex, to) = generalize(&alike)?;
        let mut rule = RewriteGuess {
            regex,
            to,
            explained: 0,
        };
        let explained = pairs.iter().filter(|(thumb, original)| {
            rule.apply(thumb.as_str()).as_deref() == Some(original.as_str())
        });
        rule.explained = explained.count();
        Some(rule)
    });
    let best = rules.max_by_key(|rule| rule.explained)?;
    (best.explained * 5 >= pairs.len() * 3 && best.explained > 0).then_some(best)
}

/// A part of both addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<'a> {
    Kept(&'a str),
    Replaced(&'a str, &'a str),
}

fn is_alike(one: &[Part<'_>], other: &[Part<'_>]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|pair| match pair {
            (Part::Kept(_), Part::Kept(_)) => true,
            (Part::Replaced(_, one), Part::Replaced(_, other)) => one == other,
            (Part::Kept(_), Part::Replaced(..)) | (Part::Replaced(..), Part::Kept(_)) => false,
        })
}

/// Aligns two addresses; `None` where nothing is to be replaced.
fn align<'a>(thumb: &'a str, original: &'a str) -> Option<Vec<Part<'a>>> {
    let (from, to) = (tokens(thumb), tokens(original));
    if thumb == original || from.len() > MAX_TOKENS || to.len() > MAX_TOKENS {
        return None;
    }
    let mut blocks = Vec::new();
    // Regions still to be aligned: a list and no recursion, though at most 256 deep.
    let mut regions = vec![(0..from.len(), 0..to.len())];
    while let Some((a, b)) = regions.pop() {
        let Some((i, j, length)) = longest(&from, &to, a.clone(), b.clone()) else {
            continue;
        };
        blocks.push((i, j, length));
        regions.push((a.start..i, b.start..j));
        regions.push((i + length..a.end, j + length..b.end));
    }
    blocks.sort_unstable();
    blocks.push((from.len(), to.len(), 0));
    let start = |tokens: &[(usize, &str)], at: usize, text: &str| {
        tokens.get(at).map_or(text.len(), |&(start, _)| start)
    };
    let mut parts = Vec::new();
    let (mut at_from, mut at_to) = (0, 0);
    for (i, j, length) in blocks {
        let (begin_from, begin_to) = (start(&from, i, thumb), start(&to, j, original));
        if begin_from > at_from || begin_to > at_to {
            parts.push(Part::Replaced(
                &thumb[at_from..begin_from],
                &original[at_to..begin_to],
            ));
        }
        at_from = start(&from, i + length, thumb);
        at_to = start(&to, j + length, original);
        if at_from > begin_from {
            parts.push(Part::Kept(&thumb[begin_from..at_from]));
        }
    }
    Some(parts)
}

/// The words, numbers and signs of a text, each with its place.
fn tokens(text: &str) -> Vec<(usize, &str)> {
    let class = |c: char| {
        if c.is_ascii_digit() {
            1
        } else if c.is_alphabetic() {
            2
        } else {
            3
        }
    };
    let mut tokens: Vec<(usize, &str)> = Vec::new();
    let mut start = 0;
    let mut last = 0;
    for (at, c) in text.char_indices() {
        let now = class(c);
        if at > start && (now != last || now == 3) {
            tokens.push((start, &text[start..at]));
            start = at;
        }
        last = now;
    }
    if start < text.len() {
        tokens.push((start, &text[start..]));
    }
    tokens
}

/// The longest run of tokens that both have, in bytes; short ones count only at an end that both share.
fn longest(
    from: &[(usize, &str)],
    to: &[(usize, &str)],
    a: std::ops::Range<usize>,
    b: std::ops::Range<usize>,
) -> Option<(usize, usize, usize)> {
    let mut best: Option<(usize, (usize, usize, usize))> = None;
    // Runs that end at each token of `to`: tokens and bytes.
    let mut runs = vec![(0, 0); b.len() + 1];
    for i in a.clone() {
        let mut next = vec![(0, 0); b.len() + 1];
        for (at, j) in b.clone().enumerate() {
            if from[i].1 != to[j].1 {
                continue;
            }
            let (length, bytes) = (runs[at].0 + 1, runs[at].1 + from[i].1.len());
            next[at + 1] = (length, bytes);
            let (begin, begin_to) = (i + 1 - length, j + 1 - length);
            let at_ends = (begin == a.start && begin_to == b.start && begin == 0)
                || (i + 1 == from.len() && j + 1 == to.len());
            if (bytes >= MIN_COMMON || at_ends) && best.is_none_or(|(most, _)| bytes > most) {
                best = Some((bytes, (begin, begin_to, length)));
            }
        }
        runs = next;
    }
    best.map(|(_, block)| block)
}

/// One pattern for pairs of one shape.
fn generalize(pairs: &[&Vec<Part<'_>>]) -> Option<(String, String)> {
    let shape = pairs.first()?;
    let mut regex = "^".to_owned();
    let mut to = String::new();
    for at in 0..shape.len() {
        let column = pairs.iter().map(|parts| &parts[at]);
        match &shape[at] {
            Part::Kept(_) => {
                let texts: Vec<_> = column.filter_map(kept).collect();
                keep(at, &texts, shape.len(), &mut regex, &mut to);
            }
            Part::Replaced(_, new) => {
                let old: Vec<_> = column.filter_map(replaced).collect();
                regex += &cut(&old, at + 1 == shape.len());
                to += &new.replace('$', "$$");
            }
        }
    }
    regex.push('$');
    Some((regex, to))
}

fn kept<'a>(part: &Part<'a>) -> Option<&'a str> {
    match *part {
        Part::Kept(text) => Some(text),
        Part::Replaced(..) => None,
    }
}

fn replaced<'a>(part: &Part<'a>) -> Option<&'a str> {
    match *part {
        Part::Kept(_) => None,
        Part::Replaced(old, _) => Some(old),
    }
}

/// Adds a group for what is kept. The signs at its ends are as they are, so that it cannot grow into its neighbours.
fn keep(at: usize, texts: &[&str], parts: usize, regex: &mut String, to: &mut String) {
    let name = format!("k{at}");
    to.push_str(&format!("${{{name}}}"));
    let sign = |c: Option<char>| c.filter(|c| !c.is_alphanumeric() && texts[0].len() > 1);
    let all = |has: &dyn Fn(&str) -> bool| texts.iter().all(|text| has(text));
    let is_first = at == 0;
    let head = sign(texts[0].chars().next()).filter(|&c| all(&|text| text.starts_with(c)));
    let tail =
        sign(texts[0].chars().last()).filter(|&c| at + 1 < parts && all(&|text| text.ends_with(c)));
    let inner: Vec<_> = texts
        .iter()
        .map(|text| {
            let text = head.map_or(*text, |c| text.strip_prefix(c).unwrap_or(text));
            tail.map_or(text, |c| text.strip_suffix(c).unwrap_or(text))
        })
        .collect();
    let is_scheme = |text: &str| text.ends_with("://");
    let class = if is_first && all(&is_scheme) {
        regex.push_str(&format!("(?P<{name}>https?://)"));
        return;
    } else if is_first && all(&|text| text.contains("://")) {
        // Hosts are as few as they are; what is behind may be longer elsewhere.
        "https?://[^?#]*".to_owned()
    } else if inner.iter().all(|text| text.is_empty()) {
        String::new()
    } else if all(&|text| text.contains(['?', '#'])) {
        ".+".to_owned()
    } else if all(&|text| !text.contains('/')) {
        "[^/?#]+".to_owned()
    } else {
        "[^?#]+".to_owned()
    };
    let escaped = |c: Option<char>| c.map_or_else(String::new, |c| regex::escape(&c.to_string()));
    let (head, tail) = (escaped(head), escaped(tail));
    regex.push_str(&format!("(?P<{name}>{head}{class}{tail})"));
}

/// The pattern of what is replaced: its words as they are, any number where one stands, anything where they differ.
fn cut(texts: &[&str], is_last: bool) -> String {
    if is_last && texts.iter().all(|text| text.starts_with('?')) {
        return r"(?:\?.*)?".to_owned();
    }
    let patterns = texts.iter().map(|text| {
        tokens(text)
            .into_iter()
            .map(|(_, token)| {
                if token.starts_with(|c: char| c.is_ascii_digit()) {
                    "[0-9]+".to_owned()
                } else {
                    regex::escape(token)
                }
            })
            .collect::<String>()
    });
    let mut patterns: Vec<_> = patterns.collect();
    patterns.sort();
    patterns.dedup();
    match &patterns[..] {
        [one] => one.clone(),
        few if few.len() <= 3 => format!("(?:{})", few.join("|")),
        _ if texts.iter().all(|text| !text.contains('/')) => "[^/?#]*".to_owned(),
        _ => "[^?#]*".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(texts: &[(&str, &str)]) -> Vec<(Url, Url)> {
        texts
            .iter()
            .map(|(thumb, original)| {
                let url = |text: &str| Url::parse(&format!("https://{text}")).unwrap();
                (url(thumb), url(original))
            })
            .collect()
    }

    /// Learns from pairs and tries the rules on another.
    fn learned(from: &[(&str, &str)], on: &str) -> Vec<String> {
        rewrites(&pairs(from))
            .iter()
            .filter_map(|rule| rule.apply(&format!("https://{on}")))
            .map(|result| result.trim_start_matches("https://").to_owned())
            .collect()
    }

    #[test]
    fn a_folder_that_differs_is_replaced_and_nothing_else() {
        let from = [
            (
                "a.invalid/img/thumbs/2019/red.jpg",
                "a.invalid/img/orig/2019/red.jpg",
            ),
            (
                "a.invalid/img/thumbs/2020/b-2.png",
                "a.invalid/img/orig/2020/b-2.png",
            ),
        ];
        assert_eq!(
            learned(&from, "a.invalid/img/thumbs/7/x/y.gif"),
            ["a.invalid/img/orig/7/x/y.gif"]
        );
        assert_eq!(learned(&from, "a.invalid/img/other/7.gif"), [""; 0]);
    }

    #[test]
    fn a_size_behind_the_name_is_cut_whatever_its_numbers() {
        let from = [
            (
                "a.invalid/u/one.png.295x184_q100.png",
                "a.invalid/u/one.png",
            ),
            (
                "a.invalid/u/two.jpg.295x184_q100.png",
                "a.invalid/u/two.jpg",
            ),
            (
                "a.invalid/u/three.jpg.300x187_q90.png",
                "a.invalid/u/three.jpg",
            ),
        ];
        assert_eq!(
            learned(&from, "a.invalid/2/four.gif.640x400_q75.png"),
            ["a.invalid/2/four.gif"]
        );
    }

    #[test]
    fn one_pair_is_enough_for_a_size_suffix() {
        let from = [("a.invalid/f/sea-300x200.jpg", "a.invalid/f/sea.jpg")];
        assert_eq!(
            learned(&from, "a.invalid/g/hill-1-150x150.jpg"),
            ["a.invalid/g/hill-1.jpg"]
        );
    }

    #[test]
    fn another_host_a_folder_and_a_prefix_make_one_rule() {
        let from = [
            (
                "th.a.invalid/small/9d/9dkqz.jpg",
                "w.a.invalid/full/9d/walls-9dkqz.jpg",
            ),
            (
                "th.a.invalid/small/x8/x8wlm.jpg",
                "w.a.invalid/full/x8/walls-x8wlm.jpg",
            ),
        ];
        assert_eq!(
            learned(&from, "th.a.invalid/small/ab/abcde.jpg"),
            ["w.a.invalid/full/ab/walls-abcde.jpg"]
        );
    }

    #[test]
    fn originals_of_two_extensions_make_two_rules() {
        let from = [
            ("a.invalid/t/1-sun.jpg", "a.invalid/o/1-sun.jpg"),
            ("a.invalid/t/2-moon.jpg", "a.invalid/o/2-moon.png"),
            ("a.invalid/t/3-star.jpg", "a.invalid/o/3-star.jpg"),
        ];
        assert_eq!(
            learned(&from, "a.invalid/t/4-tree.jpg"),
            ["a.invalid/o/4-tree.jpg", "a.invalid/o/4-tree.png"]
        );
    }

    #[test]
    fn a_query_of_sizes_is_cut() {
        let from = [
            ("a.invalid/p/1.jpg?w=300&h=200", "a.invalid/p/1.jpg"),
            ("a.invalid/p/2.jpg?w=301&h=200", "a.invalid/p/2.jpg"),
        ];
        assert_eq!(
            learned(&from, "a.invalid/p/33.jpg?h=9"),
            ["a.invalid/p/33.jpg"]
        );
    }

    #[test]
    fn pairs_without_a_rule_give_none() {
        let from = [
            ("a.invalid/t/1.jpg", "a.invalid/o/x81hq.jpg"),
            ("a.invalid/t/2.jpg", "a.invalid/o/zz5yw.jpg"),
            ("a.invalid/t/3.jpg", "a.invalid/o/pp0ab.jpg"),
        ];
        assert_eq!(learned(&from, "a.invalid/t/1.jpg"), [""; 0]);
        let same = [("a.invalid/1.jpg", "a.invalid/1.jpg")];
        assert_eq!(rewrites(&pairs(&same)), []);
        let long = format!("a.invalid/{}", "a/1-".repeat(500));
        assert_eq!(rewrites(&pairs(&[(&long, "a.invalid/b")])), []);
    }
}
