//! The addresses in the CSS of an attribute: `background-image: url("a.png")`.

use cssparser::{ParseError, Parser, Token};

/// Addresses that are taken from one attribute; a background has a few layers.
const MAX_ADDRESSES: usize = 16;

/// How deep functions are entered: `image-set(url(a.png) 1x)` is one.
const MAX_DEPTH: usize = 8;

/// Whether the value of the attribute `name` is CSS: that of `style`, or one that begins with `url(` as scripts that load
/// backgrounds late write it.
pub(super) fn is_css(name: &str, value: &str) -> bool {
    let begins = |word: &str| {
        let value = value.trim_start().as_bytes();
        value
            .get(..word.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
    };
    name.eq_ignore_ascii_case("style") || begins("url(")
}

/// The addresses of all `url()` in `css`, in their order and without their quotes and escapes.
pub(super) fn addresses(css: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(&mut Parser::new(css), MAX_DEPTH, &mut found);
    found
}

fn collect(parser: &mut Parser<'_>, depth: usize, found: &mut Vec<String>) {
    while found.len() < MAX_ADDRESSES {
        let Ok(token) = parser.next() else { return };
        let is_url = match token {
            Token::UnquotedUrl(address) => {
                found.push(address.as_ref().to_owned());
                continue;
            }
            Token::Function(name) => name.eq_ignore_ascii_case("url"),
            Token::ParenthesisBlock | Token::SquareBracketBlock | Token::CurlyBracketBlock => false,
            _ => continue,
        };
        // What is not entered is passed over by the parser.
        let _ = parser.parse_nested_block(|inner| -> Result<(), ParseError<()>> {
            if is_url {
                let address = inner.expect_string();
                found.extend(address.map(|address| address.as_ref().to_owned()));
            } else if depth > 0 {
                collect(inner, depth - 1, found);
            }
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_css_style_is_taken_without_quotes_and_escapes() {
        let cases: [(&str, &[&str]); 14] = [
            ("background-image:url(/a.png)", &["/a.png"]),
            ("background-image: url( \"/a b.png\" ) ;", &["/a b.png"]),
            ("background: #fff URL('/a.png') no-repeat", &["/a.png"]),
            ("background:url(/a\\ b\\).png)", &["/a b).png"]),
            ("background:url('/a\\27 b.png')", &["/a'b.png"]),
            ("background:url(/a.png), url(/b.png)", &["/a.png", "/b.png"]),
            (
                "color:red;background:image-set(url(a.png) 1x, url('b.png') 2x)",
                &["a.png", "b.png"],
            ),
            ("/* url(x) */ background: url(a.png)", &["a.png"]),
            ("content: 'url(x)'; background: url(a.png)", &["a.png"]),
            ("background: url(a.png", &["a.png"]),
            (
                "background: url(data:image/png;base64,AA==) , url(a.png)",
                &["data:image/png;base64,AA==", "a.png"],
            ),
            (
                "background: linear-gradient(red, blue), url(a.png)",
                &["a.png"],
            ),
            ("url( a.png )", &["a.png"]),
            ("color: red", &[]),
        ];
        for (css, expected) in cases {
            assert_eq!(addresses(css), expected, "{css}");
        }
    }

    #[test]
    fn deeply_nested_css_overflows_no_stack() {
        for open in ["(", "[", "{", "a(", "url("] {
            addresses(&format!("{}url(a.png)", open.repeat(500_000)));
        }
    }

    #[test]
    fn an_attribute_is_css_by_its_name_or_its_beginning() {
        assert!(is_css("style", "color: red"));
        assert!(is_css("data-bg", " URL(a.png)"));
        assert!(!is_css("src", "a.png?url(b.png)"));
        assert!(!is_css("src", "\u{e9}\u{e9}"));
    }
}
