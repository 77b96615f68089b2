use std::time::{Duration, Instant};

use data_encoding::BASE64;
use proptest::prelude::*;

use super::*;

/// Has letters of both cases, and what is escaped in addresses, in JSON and in HTML.
const SECRET: &str = "Ab/c d&\"e\u{e9}1+%2";

fn masks() -> Masks {
    Masks::new([SECRET])
}

/// The ways to write one character.
fn spellings(c: char) -> Vec<String> {
    let utf8 = c.to_string().into_bytes();
    let percent = |upper: bool, before: &str| -> String {
        let byte = |byte: &u8| {
            if upper {
                format!("%{before}{byte:02X}")
            } else {
                format!("%{before}{byte:02x}")
            }
        };
        utf8.iter().map(byte).collect()
    };
    let number = u32::from(c);
    let mut all = vec![
        c.to_string(),
        percent(true, ""),
        percent(false, ""),
        percent(true, "25"),
        percent(false, "2525"),
        format!("&#{number};"),
        format!("&#x{number:x};"),
        format!("&#X{number:04X};"),
        format!("&#{number:07};"),
        format!("&amp;#{number};"),
        format!("\\u{number:04x}"),
        format!("\\u{number:04X}"),
        format!("\\\\u{number:04x}"),
        format!("\\u{{{number:x}}}"),
        format!("\\U{number:08x}"),
        format!("%u{number:04X}"),
        format!("\\x{number:02x}"),
        format!("{c}\0"),
    ];
    if !c.is_ascii_alphanumeric() {
        all.push(format!("\\{c}"));
    }
    let names = [
        ('&', "&amp;"),
        ('"', "&quot;"),
        ('/', "&sol;"),
        ('+', "&plus;"),
    ];
    all.extend(
        names
            .iter()
            .filter(|(of, _)| *of == c)
            .map(|(_, name)| (*name).to_owned()),
    );
    all
}

#[test]
fn a_secret_is_masked_in_every_spelling_of_each_of_its_characters() {
    let longest = SECRET.chars().map(|c| spellings(c).len()).max().unwrap();
    for way in 0..longest {
        let written: String = SECRET
            .chars()
            .map(|c| {
                let all = spellings(c);
                all[way.min(all.len() - 1)].clone()
            })
            .collect();
        let masked = masks().apply(&format!("<a k='{written}'>")).into_owned();
        assert_eq!(masked, "<a k='***'>", "{written}");
    }
    // As servers write it into forms and hosts.
    for (written, masked) in [
        ("k=Ab%2Fc+d%26%22e%C3%A91%2B%252&l=1", "k=***&l=1"),
        ("https://ab/c d&\"e\u{e9}1+%2.test", "https://***.test"),
        ("&notit; %zz \\", "&notit; %zz \\"),
        ("Ab/c d", "Ab/c d"),
        ("", ""),
    ] {
        assert_eq!(masks().apply(written), masked);
        assert_eq!(masks().matches(written), written != masked);
    }
}

proptest! {
    #[test]
    fn a_secret_is_masked_where_its_characters_are_spelt_in_different_ways(
        ways in prop::collection::vec(0_usize..64, SECRET.chars().count()),
        around in "[a-z <>&%]{0,3}",
    ) {
        let spelt = |(c, way): (char, &usize)| {
            let all = spellings(c);
            all[way % all.len()].clone()
        };
        let written: String = SECRET.chars().zip(&ways).map(spelt).collect();
        let text = format!("{around} {written} {around}");
        prop_assert_eq!(masks().apply(&text).into_owned(), format!("{around} *** {around}"));
    }

    #[test]
    fn any_text_is_masked_without_a_panic(text in "[%&#;xu\\\\{}0-9A-Fa-f\0\u{e9}\u{1f600}]{0,60}") {
        let masks = Masks::new(["%41%", "\\u00", "\u{1f600}", "aaaa"]);
        let masked = masks.apply(&text).into_owned();
        prop_assert!(!masked.contains("\u{1f600}"), "{}", masked);
    }
}

#[test]
fn a_secret_in_base64_is_masked_whatever_stands_before_it() {
    let secret = "s3cr3t_ke+y?>";
    let masks = Masks::new([secret]);
    for before in ["", "u", "us", "user:", "a longer one:"] {
        for alphabet in [BASE64, BASE64_NOPAD, BASE64URL_NOPAD] {
            let text = alphabet.encode(format!("{before}{secret}&x").as_bytes());
            let masked = masks.apply(&text).into_owned();
            assert!(masked.contains(MASK), "{before}: {masked}");
            // Of the secret, at most the bits that it shares with a neighbour are left.
            let kept = masked.len() - MASK.len();
            assert!(kept <= before.len() * 4 / 3 + 8, "{before}: {masked}");
        }
    }
    let escaped = BASE64
        .encode(secret.as_bytes())
        .replace('+', "%2B")
        .replace('/', "%2F");
    assert_eq!(masks.apply(&format!("?k={escaped}")), "?k=***g==");
    // A short one would stand in every data address.
    assert_eq!(Masks::new(["abcd"]).apply("YWJjZA=="), "YWJjZA==");
}

#[test]
fn a_secret_that_looks_like_an_escape_is_masked() {
    for secret in [
        "a%41b",
        "a&#65;b",
        "a\\u0041b",
        "100%2525",
        "a\nb\tc",
        "\\\\\\\\",
        "%%%%",
    ] {
        let masks = Masks::new([secret]);
        let percent: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let json = serde_json::to_string(secret).unwrap();
        for text in [
            secret.to_owned(),
            percent,
            json.trim_matches('"').to_owned(),
        ] {
            assert_eq!(
                masks.apply(&format!("x {text} y")),
                "x *** y",
                "{secret:?}: {text:?}"
            );
        }
    }
}

#[test]
fn an_address_is_masked_in_whatever_part_the_secret_stands() {
    let masks = Masks::new(["s3cr3t/key"]);
    for (address, masked) in [
        ("https://h.test/a/s3cr3t/key/x", "https://h.test/a/***/x"),
        (
            "https://h.test/?k=s3cr3t%2Fkey&l=1",
            "https://h.test/?k=***&l=1",
        ),
        ("https://h.test/?k=s3cr3t%252fkey", "https://h.test/?k=***"),
        ("https://h.test/?k=1", "https://h.test/?k=1"),
    ] {
        let address = Url::parse(address).unwrap();
        assert_eq!(masks.apply_url(&address).as_str(), masked);
    }
    let masks = Masks::new(["h.test:80", "S3cr3t"]);
    let address = |text| Url::parse(text).unwrap();
    let masked = masks
        .apply_url(&address("http://s3cr3t.test/"))
        .into_owned();
    assert!(!masked.as_str().contains("s3cr3t"), "{masked}");
    let with_port = address("http://h.test:8080/");
    let masked = masks.apply_url(&with_port);
    assert!(!masked.as_str().contains("h.test"), "{masked}");
    let masks = Masks::new(["8080", "127.0"]);
    for host in ["http://h.test:8080", "http://127.0.0.1"] {
        let written = format!("{host}/a/8080?b=8080&c");
        let address = Url::parse(&written).unwrap();
        let masked = masks.apply_url(&address);
        assert_eq!(masked.as_str(), "https://masked.invalid/a/***?b=***&c");
    }
}

#[test]
fn two_secrets_that_overlap_leave_nothing_of_either() {
    let masks = Masks::new(["abcdef", "defghi", "efg"]);
    assert_eq!(masks.apply("xabcdefghiy efg"), "x***y efg");
    assert_eq!(masks.apply("abcdefabcdef"), "***");
    // Within a character.
    assert_eq!(Masks::new(["abcd%c3"]).apply("abcd\u{e9}f"), "***f");
    assert!(Masks::new(["abc", ""]).is_empty());
    assert!(!format!("{masks:?}").contains("97"));
}

#[test]
fn a_hostile_page_is_masked_in_linear_time() {
    let masks = Masks::new([
        "%%%%%%%%%%%%%%%%%%%%a",
        "&#&#&#&#&#&#&#&#a",
        "aaaaaaaaaaaaaaaab",
    ]);
    let start = Instant::now();
    for part in [
        "%",
        "%25",
        "&#",
        "&#0",
        "\\",
        "\\u{",
        "a",
        "&aaaaaaaaaaaaaaaaaaaaaaa",
        "\0",
    ] {
        let page = part.repeat(1_000_000 / part.len());
        assert!(!masks.matches(&page), "{part}");
    }
    assert!(start.elapsed() < Duration::from_secs(60));
}
