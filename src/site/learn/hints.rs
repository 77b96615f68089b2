//! Words that say what an address, a class or a text is about.

use url::Url;

use crate::outcome::Format;

/// Words of pictures that belong to the page and not to its gallery.
const DECORATION: &[&str] = &[
    "icon",
    "avatar",
    "logo",
    "sprite",
    "flag",
    "emoji",
    "badge",
    "pixel",
    "spacer",
    "blank",
    "loading",
    "placeholder",
    "banner",
    "advert",
    "tracking",
    "gravatar",
    "captcha",
    "button",
];

/// Words of small versions.
const SMALL: &[&str] = &[
    "thumb", "small", "preview", "mini", "tiny", "low", "cover", "sample", "lores", "square",
];

/// Words of large versions.
const LARGE: &[&str] = &[
    "original",
    "orig",
    "full",
    "large",
    "download",
    "raw",
    "uhd",
    "hires",
    "high",
    "big",
    "max",
    "source",
    "wallpaper",
    "content",
    "hd",
];

/// Parts of a page beside its contents.
const ASIDE: &[&str] = &[
    "nav",
    "header",
    "footer",
    "aside",
    "sidebar",
    "menu",
    "related",
    "comment",
    "similar",
    "popular",
    "recommend",
    "breadcrumb",
    "share",
    "social",
    "widget",
];

/// Classes that say how something looks today, and not what it is.
const STATES: &[&str] = &[
    "first",
    "last",
    "odd",
    "even",
    "active",
    "current",
    "selected",
    "new",
    "hot",
    "lazy",
    "lazyload",
    "lazyloaded",
    "loaded",
    "loading",
    "hidden",
    "visible",
    "row",
    "container",
    "clearfix",
    "hover",
    "show",
    "fade",
    "wow",
    "d-block",
    "d-flex",
    "flex",
    "block",
    "grid",
    "relative",
    "absolute",
    "rounded",
    "shadow",
    "img-fluid",
    "img-responsive",
    "w-100",
    "h-100",
];

/// The words in `text`: runs of letters, in lower case; also those that a capital letter begins.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in text.chars() {
        if !c.is_alphabetic() || (c.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        if c.is_alphabetic()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        was_lower = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether one of the `known` words stands in `text`, perhaps with an end to it: `thumb` in `thumbnails`.
fn has(text: &str, known: &[&str]) -> bool {
    words(text).iter().any(|word| {
        known
            .iter()
            .any(|known| word == known || (known.len() > 3 && word.starts_with(known)))
    })
}

pub(super) fn is_decoration(text: &str) -> bool {
    has(text, DECORATION)
}

pub(super) fn is_small(text: &str) -> bool {
    has(text, SMALL)
}

pub(super) fn is_large(text: &str) -> bool {
    has(text, LARGE)
}

pub(super) fn is_aside(text: &str) -> bool {
    has(text, ASIDE)
}

/// Whether a class or id says what an element is, so that a selector may use it.
pub(super) fn is_stable(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphabetic() || c == '-' || c == '_';
    name.len() > 1
        && name.chars().all(plain)
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !STATES.contains(&name.to_ascii_lowercase().as_str())
        && !["col-", "is-", "has-", "js-", "text-", "bg-"]
            .iter()
            .any(|head| name.starts_with(head))
}

/// Whether the path of an address ends with the extension of an image.
pub fn has_image_path(address: &Url) -> bool {
    let extension = address.path().rsplit_once('.');
    extension.is_some_and(|(_, extension)| Format::is_extension(&extension.to_ascii_lowercase()))
}

/// The dimensions that an address names, as in `a-1920x1080.jpg`.
pub(super) fn size_in(text: &str) -> Option<(u32, u32)> {
    let number = |digits: &str| digits.parse().ok().filter(|&n| (16..=20_000).contains(&n));
    text.match_indices(['x', 'X', '\u{d7}'])
        .filter_map(|(at, cross)| {
            let before = text[..at].trim_end();
            let digits = before.trim_end_matches(|c: char| c.is_ascii_digit());
            let after = text[at + cross.len()..].trim_start();
            let end = after
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(after.len());
            Some((number(&before[digits.len()..])?, number(&after[..end])?))
        })
        .next_back()
}

/// A name for a site at this address: the label of its host that people know it by.
pub fn site_name(address: &Url) -> String {
    let host = address.host_str().unwrap_or_default().to_ascii_lowercase();
    let labels: Vec<_> = host.trim_matches(['[', ']']).split('.').collect();
    let is_number = labels.iter().all(|label| label.parse::<u8>().is_ok());
    let chosen = if is_number || labels.len() < 2 {
        host.as_str()
    } else {
        // `example.co.uk`: a short label before a country is no name.
        let second = labels.len() - 2;
        let is_short = labels[second].len() <= 3 && second > 0 && labels[second - 1] != "www";
        labels[if is_short { second - 1 } else { second }]
    };
    let safe = chosen
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    let name: String = safe.take(64).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "site" } else { name }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_counts_wherever_it_stands_in_a_name() {
        assert!(is_small("/img/bigThumb/1.jpg") && is_small("thumbnails") && !is_small("thunder"));
        assert!(is_aside("site-footer") && !is_aside("renavigate"));
        assert!(is_decoration("user_avatar") && !is_decoration("silicone"));
    }

    #[test]
    fn classes_that_name_a_state_a_number_or_a_layout_are_not_stable() {
        for class in ["card", "wallpapers__item", "grid-item"] {
            assert!(is_stable(class), "{class}");
        }
        for class in ["post-12", "first", "col-md", "a", "css-1x2y", "sm:flex"] {
            assert!(!is_stable(class), "{class}");
        }
    }

    #[test]
    fn the_size_in_a_text_is_its_last_pair_of_numbers() {
        assert_eq!(size_in("/a-640x480/b_1920x1080.jpg"), Some((1920, 1080)));
        assert_eq!(size_in("Download 3840 \u{d7} 2160"), Some((3840, 2160)));
        assert_eq!(size_in("/0x1f/index.html"), None);
    }

    #[test]
    fn a_site_is_named_after_its_host() {
        for (address, name) in [
            ("https://www.example.com/a", "example"),
            ("https://walls.example.co.uk", "example"),
            ("https://a.example.io/", "example"),
            ("http://127.0.0.1:80/", "127-0-0-1"),
            ("http://localhost/", "localhost"),
            ("http://[::1]/", "1"),
        ] {
            assert_eq!(site_name(&Url::parse(address).unwrap()), name, "{address}");
        }
    }
}
