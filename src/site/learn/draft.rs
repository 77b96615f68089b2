//! Writes a draft as TOML, with a comment at each part that says where it comes from.

use std::collections::BTreeSet;

use url::{Position, Url};

use super::align::RewriteGuess;
use super::{BlockGuess, PagingGuess};

/// A definition as it is drafted.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The site's name.
    pub name: String,
    /// The page that it was drafted from.
    pub page: Url,
    /// The hosts of images, that of the page left out.
    pub hosts: BTreeSet<String>,
    /// The lines of `[listing]`.
    listing: Vec<String>,
    /// The lines of `[item]`.
    item: Vec<String>,
    /// The ways to the original, in the order to be tried.
    pub full: Vec<FullGuess>,
    /// Whether the last parts of the originals' addresses are alike, so that they are no names.
    pub names_are_alike: bool,
    /// Whether no way in `full` leads to the user's example.
    pub misses_example: bool,
}

/// A way to the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FullGuess {
    /// It stands in a field.
    Field {
        /// `thumb`, `link` or a name of one's own.
        name: String,
        /// Why this is proposed.
        because: String,
    },
    /// An address is rewritten.
    Rewrite {
        /// `thumb`, `link` or a name of one's own.
        from: String,
        /// The rule.
        rule: RewriteGuess,
        /// Why this is proposed.
        because: String,
    },
    /// It is on the page that the item links to.
    Follow {
        /// Where on that page, and whether the largest of several is wanted; the preferred one first.
        find: Vec<(String, bool)>,
        /// Why this is proposed.
        because: String,
    },
}

impl Draft {
    /// A draft for an HTML listing; `full` is still empty.
    pub fn html(
        name: String,
        page: &Url,
        block: &BlockGuess,
        paging: Option<&PagingGuess>,
    ) -> Self {
        let mut listing = vec!["kind = \"html\"".to_owned()];
        listing.extend(paging_lines(page, paging));
        let mut item = vec![format!("select = {}", quote(&block.select))];
        let sources = |list: &[String]| match list {
            [one] => quote(one),
            several => {
                let several: Vec<_> = several.iter().map(|source| quote(source)).collect();
                format!("[{}]", several.join(", "))
            }
        };
        if !block.thumb.is_empty() {
            item.push(format!("thumb = {}", sources(&block.thumb)));
        }
        let field = |key: &str, source: &Option<String>| {
            let source = source.as_ref()?;
            Some(format!("{key} = {}", quote(source)))
        };
        item.extend(field("link", &block.link));
        item.extend(field("title", &block.title));
        Self::new(name, page, listing, item)
    }

    pub(super) fn new(name: String, page: &Url, listing: Vec<String>, item: Vec<String>) -> Self {
        Self {
            name,
            page: page.clone(),
            hosts: BTreeSet::new(),
            listing,
            item,
            full: Vec::new(),
            names_are_alike: false,
            misses_example: false,
        }
    }

    /// Adds a field of one's own to `[item]`.
    pub fn add_field(&mut self, name: &str, source: &str) {
        self.item
            .push(format!("fields = {{ {name} = {} }}", quote(source)));
    }

    /// Names the host of an address, if it is not that of the page.
    pub fn add_host(&mut self, address: &Url) {
        let host = address.host_str().unwrap_or_default();
        // No definition can name a host with a dot at its end.
        if !host.is_empty() && !host.ends_with('.') && Some(host) != self.page.host_str() {
            self.hosts.insert(host.to_owned());
        }
    }

    /// The definition's text.
    pub fn to_toml(&self) -> String {
        let mut lines = vec![
            format!("# A draft by `wallhaul sites new {}`", shown(&self.page)),
            "# Lines under \"guess\" were concluded from few examples: try `wallhaul sites check` on this file."
                .to_owned(),
            String::new(),
            "[site]".to_owned(),
            format!("name = {}", quote(&self.name)),
            format!("base = {}", quote(&self.page[..Position::BeforePath])),
        ];
        if !self.hosts.is_empty() {
            let hosts: Vec<_> = self.hosts.iter().map(|host| quote(host)).collect();
            lines.push("# guess: the hosts of the images that were seen".to_owned());
            lines.push(format!("image_hosts = [{}]", hosts.join(", ")));
        }
        lines.extend([String::new(), "[listing]".to_owned()]);
        lines.extend(self.listing.iter().cloned());
        lines.extend([String::new(), "[item]".to_owned()]);
        lines.extend(self.item.iter().cloned());
        for full in &self.full {
            lines.push(String::new());
            lines.extend(full.lines());
        }
        if self.full.is_empty() {
            lines.extend(TO_BE_WRITTEN.map(str::to_owned));
            let has_thumb = self.item.iter().any(|line| line.starts_with("thumb = "));
            let field = if has_thumb { "thumb" } else { "link" };
            lines.extend(["[[full]]".to_owned(), format!("field = {}", quote(field))]);
        }
        if self.names_are_alike {
            lines.extend([
                String::new(),
                "# guess: the last parts of the addresses are alike, so the last two make the name"
                    .to_owned(),
                "[file]".to_owned(),
                "capture = { from = \"full\", regex = '/(?P<a>[^/?#]+)/(?P<b>[^/?#]+)(?:[?#]|$)' }"
                    .to_owned(),
                "name = \"{a}-{b}\"".to_owned(),
            ]);
        }
        lines.join("\n") + "\n"
    }
}

/// What a draft has in place of a way to the originals.
const TO_BE_WRITTEN: [&str; 7] = [
    "",
    "# To be written: the way from an item to its original. In place of the line at the end, one of these with what is",
    "# right for this site:",
    "# field = \"link\"",
    "# rewrite = { from = \"thumb\", regex = '^(?P<start>.+)-small(?P<end>\\.jpg)$', to = \"${start}${end}\" }",
    "# follow = { from = \"link\", kind = \"html\", find = \"a.download@href\" }",
    "",
];

impl FullGuess {
    /// Why it is proposed.
    pub fn because(&self) -> &str {
        match self {
            Self::Field { because, .. }
            | Self::Rewrite { because, .. }
            | Self::Follow { because, .. } => because,
        }
    }

    fn lines(&self) -> Vec<String> {
        let rule = match self {
            Self::Field { name, .. } => format!("field = {}", quote(name)),
            Self::Rewrite { from, rule, .. } => format!(
                "rewrite = {{ from = {}, regex = {}, to = {} }}",
                quote(from),
                quote(&rule.regex),
                quote(&rule.to)
            ),
            Self::Follow { find, .. } => {
                let find: Vec<_> = find
                    .iter()
                    .map(|(source, largest)| {
                        if *largest {
                            let size = "pick = { largest = '([0-9]+)[xX]([0-9]+)' }";
                            format!("{{ source = {}, {size} }}", quote(source))
                        } else {
                            quote(source)
                        }
                    })
                    .collect();
                format!(
                    "follow = {{ from = \"link\", kind = \"html\", find = [{}] }}",
                    find.join(", ")
                )
            }
        };
        vec![format!("# {}", self.because()), "[[full]]".to_owned(), rule]
    }
}

/// The lines that say how pages follow one another.
pub(super) fn paging_lines(page: &Url, paging: Option<&PagingGuess>) -> Vec<String> {
    let first = format!("url = {}", quote(&relative(page.as_str(), page)));
    match paging {
        None => vec![
            "# guess: no link to a second page was found".to_owned(),
            first,
        ],
        Some(PagingGuess::Header { .. }) => vec![
            first,
            "# the server says so in its `Link` header".to_owned(),
            "next = { header = \"link\" }".to_owned(),
        ],
        Some(PagingGuess::Next { source, text, .. }) => {
            let next = match (text, source.rsplit_once('@')) {
                (Some(text), Some((select, attribute))) => format!(
                    "next = {{ select = {}, attr = {}, text = {} }}",
                    quote(select),
                    quote(attribute),
                    quote(text)
                ),
                _ => format!("next = {}", quote(source)),
            };
            vec![first, "# guess: the link to the next page".to_owned(), next]
        }
        Some(PagingGuess::Numbers {
            template,
            start,
            step,
            first_apart,
            ..
        }) => {
            let mut lines = vec![
                "# guess: the number in the addresses of the pager".to_owned(),
                format!("url = {}", quote(&relative(template, page))),
            ];
            if *first_apart {
                let first = relative(page.as_str(), page);
                lines.push(format!("first = {}", quote(&first)));
            }
            lines.push(format!("start = {start}"));
            if *step > 1 {
                lines.push(format!("step = {step}"));
            }
            lines.push("# guess: what follows the last page".to_owned());
            lines.push("stop = { status = [404], empty = true }".to_owned());
            lines
        }
    }
}

/// An address as a definition writes it: without its origin where that is the page's.
pub(super) fn relative(address: &str, page: &Url) -> String {
    let origin = &page[..Position::BeforePath];
    let rest = address.strip_prefix(origin);
    rest.filter(|rest| rest.starts_with('/'))
        .unwrap_or(address)
        .to_owned()
}

/// An address in a comment; it cannot end the line.
fn shown(address: &Url) -> String {
    let mut address = address.clone();
    // Fails only for an address that cannot hold a password.
    let _ = address.set_password(None);
    address.to_string()
}

/// A text as TOML, whatever is in it; nothing in the result can command a terminal.
pub(super) fn quote(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric();
    if text.chars().all(is_plain) && !text.contains('\'') && text.contains(['\\', '"']) {
        return format!("'{text}'");
    }
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if is_plain(c) => quoted.push(c),
            c => quoted += &format!("\\U{:08x}", u32::from(c)),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_of_cards_is_written_with_its_reasons() {
        let page = Url::parse("https://demo.invalid/hills?sort=new").unwrap();
        let block = BlockGuess {
            select: "div.card".to_owned(),
            thumb: vec!["img@data-src".to_owned(), "img@src".to_owned()],
            link: Some("a@href".to_owned()),
            title: Some("h3".to_owned()),
            ..BlockGuess::default()
        };
        let paging = PagingGuess::Numbers {
            template: "https://demo.invalid/hills?page={page}".to_owned(),
            start: 1,
            step: 1,
            first_apart: true,
            second: page.clone(),
        };
        let mut draft = Draft::html("demo".to_owned(), &page, &block, Some(&paging));
        draft.add_host(&Url::parse("https://i.demo.invalid/a.png").unwrap());
        draft.add_field("original", "@data-full");
        draft.full = vec![
            FullGuess::Field {
                name: "original".to_owned(),
                because: "guess: one".to_owned(),
            },
            FullGuess::Rewrite {
                from: "thumb".to_owned(),
                rule: RewriteGuess {
                    regex: r"^(?P<a>.+)\.jpg$".to_owned(),
                    to: "${a}.png".to_owned(),
                    explained: 5,
                },
                because: "explains 5 of 5".to_owned(),
            },
            FullGuess::Follow {
                find: vec![
                    ("a.get@href".to_owned(), true),
                    ("img@src".to_owned(), false),
                ],
                because: "found on 5 of 5".to_owned(),
            },
        ];
        draft.names_are_alike = true;
        let text = draft.to_toml();
        assert!(toml::from_str::<toml::Table>(&text).is_ok(), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn any_text_is_quoted_so_that_toml_reads_it_back_and_a_terminal_obeys_nothing() {
        for text in [
            "a",
            "it's",
            r#"a\b"c"#,
            "'\"\\",
            "x\u{1b}[31m\n",
            "\u{202e}abc",
            "\u{4e0b}",
        ] {
            let quoted = quote(text);
            let read: toml::Table = toml::from_str(&format!("a = {quoted}")).unwrap();
            assert_eq!(read["a"].as_str(), Some(text));
            assert!(!quoted.contains(['\u{1b}', '\n', '\u{202e}']), "{quoted}");
        }
    }
}
