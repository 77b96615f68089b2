//! The only code that makes a file name from untrusted text: portable, printable, never hidden, never too long.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use unicode_normalization::UnicodeNormalization as _;

use crate::job::ImageName;
use crate::outcome::Format;

/// Letters of the longest extension that a file is given.
const LONGEST_EXTENSION: usize = 4;

/// What a name has beside its stem at most, in bytes: the suffix against a collision, the dot and the extension.
const BESIDE_STEM: usize = ImageName::SUFFIX_BYTES + 1 + LONGEST_EXTENSION;

/// The longest stem in bytes where names may be as long as nearly every file system takes them.
const MAX_BYTES: usize = ImageName::MAX_BYTES - BESIDE_STEM;

/// Extensions of images beside those of the formats that we take: other spellings, and what a server converts from.
const OTHER_EXTENSIONS: [&str; 14] = [
    "apng", "bmp", "heic", "heif", "jfi", "jfif", "jif", "jpe", "pjp", "pjpeg", "svg", "tga",
    "tif", "tiff",
];

/// Digits of the hash that replaces the cut part of a long name.
const HASH_DIGITS: usize = 16;

/// A safe stem of any text. The same text always gives the same stem; a long one is cut and ends in a hash of the
/// whole text, so that two long texts with the same beginning do not collide.
pub(super) fn stem(text: &str) -> String {
    // ASCII is in NFC already: normalizing it would only cost time.
    let safe: String = if text.is_ascii() {
        // Of bytes, whose number is known: the text is allocated once.
        text.bytes()
            .map(|byte| safe_character(byte.into()))
            .collect()
    } else {
        text.nfc().map(safe_character).collect()
    };
    let shown = safe
        .trim_start_matches(['-', '.', ' '])
        .trim_end_matches(['.', ' ']);
    let named = match shown {
        "" => "image".to_owned(),
        device if is_device(device) => format!("_{device}"),
        shown if shown.len() == safe.len() => safe,
        shown => shown.to_owned(),
    };
    cut(named, MAX_BYTES, text)
}

/// A safe stem of one that another machine says is safe.
pub fn safe_stem(text: &str) -> String {
    stem(text)
}

/// The stem for a place that takes names of `longest_name` bytes only: a longer one is cut as `stem` cuts, and a stem
/// that fits stays as it is.
pub fn fit_stem(stem: String, longest_name: usize) -> String {
    let text = stem.clone();
    cut(stem, longest_name.saturating_sub(BESIDE_STEM), &text)
}

/// [`fit_stem`] for a whole name.
pub fn fit_name(name: ImageName, longest_name: usize) -> ImageName {
    match name.as_str().rsplit_once('.') {
        Some((stem, extension)) if name.as_str().len() > longest_name => {
            ImageName::from_safe(&fit_stem(stem.to_owned(), longest_name), extension)
        }
        _ => name,
    }
}

/// Cuts a safe stem to `longest` bytes, at the end of which is a hash of `text` then.
fn cut(named: String, longest: usize, text: &str) -> String {
    if named.len() <= longest {
        return named;
    }
    let kept = char_boundary_before(&named, longest.saturating_sub(HASH_DIGITS + 1));
    let hash = blake3::hash(text.as_bytes()).to_hex();
    format!("{}-{}", &named[..kept], &hash[..HASH_DIGITS])
}

/// The last part of an untrusted path, percent-decoded once, without the extension of an image.
pub(super) fn part(path: &str) -> Cow<'_, str> {
    match decoded(path) {
        Cow::Borrowed(path) => Cow::Borrowed(last(path)),
        Cow::Owned(path) => Cow::Owned(last(&path).to_owned()),
    }
}

/// The last part of a path that is not escaped, without the extension of an image.
pub(super) fn last(path: &str) -> &str {
    without_extension(path.rsplit(['/', '\\']).next().unwrap_or_default())
}

/// `name` without all extensions of images at its end: `a.jfif.jpg` is named after what each program along the way made of
/// it, while a file's own extension comes from its bytes.
pub(super) fn without_extension(mut name: &str) -> &str {
    while let Some((stem, extension)) = name.rsplit_once('.') {
        let mut others = OTHER_EXTENSIONS.iter();
        let is_other = others.any(|known| known.eq_ignore_ascii_case(extension));
        if !is_other && !Format::is_extension(extension) {
            break;
        }
        name = stem;
    }
    name
}

/// `text` percent-decoded once, if that is UTF-8; the escapes of another encoding stay, for they tell one name from the
/// next.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text)
        .decode_utf8()
        .unwrap_or(Cow::Borrowed(text))
}

/// The last character boundary of `text` at or before the byte `at`.
pub(super) fn char_boundary_before(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0)
}

/// The character itself, or its replacement in a name.
fn safe_character(c: char) -> char {
    match c {
        // Separators somewhere, or refused by Windows; `~` is what `ImageName::with_hash_suffix` adds.
        '/' | '\\' | '<' | '>' | ':' | '"' | '?' | '*' | '|' | '~' => '_',
        c if c.is_whitespace() => ' ',
        c if is_visible(c) => c,
        _ => '_',
    }
}

fn is_visible(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_graphic();
    }
    let unseen = matches!(c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fffd}' | '\u{e0100}'..='\u{e01ef}');
    // `escape_debug` leaves visible characters as they are, and escapes controls, direction marks, private and unassigned
    // ones: the standard library's table saves us a crate. The letter before the character lets combining marks pass.
    let mut shown = [b'a', 0, 0, 0, 0];
    let length = 1 + c.encode_utf8(&mut shown[1..]).len();
    let shown = str::from_utf8(&shown[..length]).unwrap_or_default();
    !unseen && shown.escape_debug().count() == 2
}

/// Whether Windows takes a file of this name for a device, with any extension.
fn is_device(stem: &str) -> bool {
    let name = stem
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_uppercase();
    if matches!(
        name.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$"
    ) {
        return true;
    }
    let port = name
        .strip_prefix("COM")
        .or_else(|| name.strip_prefix("LPT"))
        .unwrap_or_default();
    let mut number = port.chars();
    matches!(
        (number.next(), number.next()),
        (Some('0'..='9' | '\u{b9}' | '\u{b2}' | '\u{b3}'), None)
    )
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;
    use crate::job::ContentHash;

    #[test]
    fn a_file_name_part_is_the_last_one_decoded_once_without_its_extension() {
        let cases = [
            ("Mountains.png", "Mountains"),
            (".png", ""),
            ("08.03.12.png", "08.03.12"),
            ("Liquid-45", "Liquid-45"),
            ("st.-patric.png", "st.-patric"),
            ("A.PNG", "A"),
            ("a.png.jpg", "a"),
            ("a.jfif.jpg", "a"),
            ("a.jpg.webp", "a"),
            ("b.PNG.JPE", "b"),
            ("a.jfif", "a"),
            ("a.pjpeg.heic.png", "a"),
            ("jpg.png", "jpg"),
            ("1.0.png", "1.0"),
            ("%B2%E5.png", "%B2%E5"),
            ("a.html", "a.html"),
            ("%E6%8F%92%E5%A4%B4.png", "\u{63d2}\u{5934}"),
            ("..%2F..%2Fetc%2Fpasswd", "passwd"),
            ("a%5Cb.gif", "b"),
            ("%252e%252e%252fx.png", "%2e%2e%2fx"),
            ("100%.png", "100%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("..", ".."),
            ("%ff.webp", "%ff"),
            ("C:\\x.avif", "x"),
            ("", ""),
        ];
        for (path, expected) in cases {
            assert_eq!(part(path), expected, "{path}");
        }
    }

    #[test]
    fn hostile_text_becomes_a_portable_file_name() {
        let cases = [
            ("", "image"),
            (".", "image"),
            ("..", "image"),
            (" . - ", "image"),
            ("../../x", "_.._x"),
            ("/etc/passwd", "_etc_passwd"),
            ("~x", "_x"),
            ("x~1f1f1f1f", "x_1f1f1f1f"),
            ("-rf", "rf"),
            (".bashrc", "bashrc"),
            ("x. . ", "x"),
            ("a\0b", "a_b"),
            ("a\u{202e}gnp", "a_gnp"),
            ("a\u{200b}b", "a_b"),
            ("a\u{2028}b\u{a0}c", "a b c"),
            ("a\r\nb", "a  b"),
            ("\u{1b}[31m", "_[31m"),
            ("<>:\"?*|", "_______"),
            ("con", "_con"),
            ("NUL.tar", "_NUL.tar"),
            ("com\u{b9}", "_com\u{b9}"),
            ("COM10", "COM10"),
            ("aux .x", "_aux .x"),
            ("lpt0", "_lpt0"),
            ("it's", "it's"),
            ("\u{2605}\u{2318}", "\u{2605}\u{2318}"),
            ("e\u{301}", "\u{e9}"),
            ("\u{1f600}", "\u{1f600}"),
            (
                "\u{939}\u{93f}\u{928}\u{94d}",
                "\u{939}\u{93f}\u{928}\u{94d}",
            ),
            ("\u{3164}", "_"),
        ];
        for (text, expected) in cases {
            assert_eq!(stem(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_cut_file_name_ends_in_a_hash_against_collision() {
        let long = |end: &str| stem(&format!("2018-03-29-{}{end}", "\u{e9}".repeat(300)));
        assert!(long("a").len() <= MAX_BYTES && long("a").len() > MAX_BYTES - 4);
        assert!(long("a").starts_with("2018-03-29-\u{e9}"));
        assert_ne!(long("a"), long("b"));
        assert_eq!(long("a"), long("a"));
    }

    #[test]
    fn a_file_name_is_cut_further_where_the_file_system_takes_shorter_names_only() {
        let long = |end: &str| stem(&format!("{}{end}", "\u{58c1}".repeat(60)));
        let fits = |stem: &str, longest: usize| {
            let name = ImageName::from_safe(stem, "webp");
            let hash = ContentHash::from_bytes([7; 32]);
            name.with_hash_suffix(&hash).as_str().len() <= longest
        };
        for longest in [64, 128, 240] {
            let short = fit_stem(long("a"), longest);
            assert!(
                fits(&short, longest) && short.starts_with("\u{58c1}"),
                "{short}"
            );
            assert_ne!(short, fit_stem(long("b"), longest));
            assert_eq!(fit_stem(short.clone(), longest), short, "cut once");
        }
        assert_eq!(fit_stem("Mountains".to_owned(), 64), "Mountains");
        assert_eq!(fit_stem(long("a"), ImageName::MAX_BYTES), long("a"));
    }

    #[test]
    fn no_format_has_an_extension_longer_than_its_reserve() {
        assert!(
            Format::ALL
                .iter()
                .all(|format| format.extension().len() <= LONGEST_EXTENSION)
        );
    }

    fn untrusted() -> impl Strategy<Value = String> {
        let nasty = prop::sample::select(vec![
            "/",
            "\\",
            "..",
            "%2f",
            "%00",
            "\0",
            "\u{202e}",
            "\u{200d}",
            "con",
            "NUL",
            ".",
            "-",
            "~",
            " ",
            "\u{301}",
            "A",
            "\u{fb01}",
            "%",
            "\u{e9}",
            "\u{1f3f3}\u{fe0f}",
            "\u{2000}",
            "\u{378}",
            "\u{e001}",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ]);
        let mixed = prop::collection::vec(
            prop_oneof![
                nasty.prop_map(str::to_owned),
                any::<char>().prop_map(String::from)
            ],
            0..24,
        );
        prop_oneof![any::<String>(), mixed.prop_map(|pieces| pieces.concat())]
    }

    fn is_invisible(c: char) -> bool {
        let direction = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let no_width =
            matches!(c, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
        let no_character =
            matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{fffd}'..='\u{ffff}' | '\u{e0000}'..);
        direction || no_width || no_character || c.is_control() || (c.is_whitespace() && c != ' ')
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_text_makes_a_file_name_that_stays_in_its_folder(text in untrusted()) {
            let stem = stem(&text);
            let name = ImageName::from_safe(&stem, "webp");
            let file = name.to_string();
            let inside = Path::new(&file).components().collect::<Vec<_>>();
            prop_assert!(matches!(inside[..], [Component::Normal(_)]));
            prop_assert!(!stem.starts_with(['-', '.', ' ']) && !stem.ends_with(['.', ' ']) && !stem.contains('~'));
            prop_assert!(!file.contains(['/', '\\', '<', '>', ':', '"', '?', '*', '|']) && !is_device(&stem));
            prop_assert!(!file.contains(is_invisible));
            let suffixed = name.with_hash_suffix(&ContentHash::from_bytes([7; 32])).to_string();
            prop_assert!(suffixed.len() <= ImageName::MAX_BYTES && suffixed.len() + ".part".len() <= 255);
            prop_assert_eq!(ImageName::from_stored(&file), name);
        }

        #[test]
        fn a_file_name_made_from_a_file_name_is_the_same(text in untrusted()) {
            let once = stem(&text);
            prop_assert_eq!(stem(&once), once);
        }

        #[test]
        fn any_path_has_a_last_part_without_separators(text in untrusted()) {
            prop_assert!(!part(&text).contains(['/', '\\']));
        }
    }
}
