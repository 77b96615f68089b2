//! What thumbs commonly have more than their originals, for pages that show the way to none.

use url::Url;

use super::align::RewriteGuess;

/// What is cut or replaced, as patterns of `rewrite`; the more certain first.
const CUSTOMS: [(&str, &str); 8] = [
    // WordPress: `name-300x200.jpg`.
    (
        r"^(?P<a>https?://[^?#]+)-[0-9]{2,4}x[0-9]{2,4}(?P<b>\.[A-Za-z]+)(?:\?.*)?$",
        "${a}${b}",
    ),
    // `name_640x480.jpg`.
    (
        r"^(?P<a>https?://[^?#]+)_[0-9]{2,4}x[0-9]{2,4}(?P<b>\.[A-Za-z]+)(?:\?.*)?$",
        "${a}${b}",
    ),
    // easy-thumbnails: `name.png.295x184_q100.png`.
    (
        r"^(?P<a>https?://[^?#]+\.[A-Za-z]+)\.[0-9]+x[0-9]+_[^/?#]+(?:\?.*)?$",
        "${a}",
    ),
    // MediaWiki: `/thumb/a/ab/Name.jpg/300px-Name.jpg`.
    (
        r"^(?P<a>https?://[^?#]+)/thumb/(?P<b>[^?#]+)/[0-9]+px-[^/?#]+$",
        "${a}/${b}",
    ),
    (
        r"^(?P<a>https?://[^?#]+)[-_](?:thumb|small|preview|medium|thumbnail)(?P<b>\.[A-Za-z]+)(?:\?.*)?$",
        "${a}${b}",
    ),
    (
        r"^(?P<a>https?://[^?#]+)/(?:thumb_|small_|thumb-|tn_|th_)(?P<b>[^/?#]+)(?:\?.*)?$",
        "${a}/${b}",
    ),
    (
        r"^(?P<a>https?://[^?#]+)/(?:thumbs?|thumbnails?|small|previews?|tn)/(?P<b>[^?#]+)$",
        "${a}/${b}",
    ),
    // An image proxy's `?w=300`.
    (r"^(?P<a>https?://[^?#]+)\?.*$", "${a}"),
];

/// Rules that change the address `thumb`, the more certain first. Each is only a guess until the result was fetched.
pub fn without_size(thumb: &Url) -> Vec<RewriteGuess> {
    let rules = CUSTOMS.iter().map(|(regex, to)| RewriteGuess {
        regex: (*regex).to_owned(),
        to: (*to).to_owned(),
        explained: 0,
    });
    let text = thumb.as_str();
    rules
        .filter(|rule| rule.apply(text).is_some_and(|result| result != text))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_custom_of_thumbs_is_undone() {
        for (thumb, original) in [
            ("/u/a-1-300x200.jpg", "/u/a-1.jpg"),
            ("/u/a_300x200.jpg", "/u/a.jpg"),
            ("/u/a.png.295x184_q90.png", "/u/a.png"),
            ("/w/thumb/a/ab/N.jpg/300px-N.jpg", "/w/a/ab/N.jpg"),
            ("/u/a-thumb.jpg", "/u/a.jpg"),
            ("/u/tn_a.jpg", "/u/a.jpg"),
            ("/thumbs/x/a.jpg", "/x/a.jpg"),
            ("/u/a.jpg?w=300", "/u/a.jpg"),
        ] {
            let url = Url::parse(&format!("https://a.invalid{thumb}")).unwrap();
            let result = without_size(&url)[0].apply(url.as_str()).unwrap();
            assert_eq!(result, format!("https://a.invalid{original}"), "{thumb}");
        }
        assert_eq!(
            without_size(&Url::parse("https://a.invalid/a.jpg").unwrap()),
            []
        );
    }
}
