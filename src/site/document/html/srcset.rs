//! The images of `srcset` attributes, by the rules of the HTML Standard (section 4.8.4.2.1, "Parsing a srcset attribute").

use scraper::ElementRef;

use super::{HtmlPlace, attribute};

/// An image of a `srcset`, and how large it is said to be.
#[derive(Debug, PartialEq)]
struct SourceImage {
    address: String,
    /// The number of `800w`; images with a width come before those with a density.
    width: f64,
    /// The number of `2x`, 1 where neither is written.
    density: f64,
}

/// The addresses in the attributes `name` of `elements`, the largest first: of a `<picture>` over all of its elements.
pub(super) fn largest_first(elements: &[HtmlPlace<'_>], name: &str, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = elements;
    while let Some(first) = rest.first() {
        let group = picture(*first).map_or(1, |own| {
            let same = rest
                .iter()
                .take_while(|place| picture(**place) == Some(own));
            same.count()
        });
        let (these, others) = rest.split_at(group);
        rest = others;
        let values = these
            .iter()
            .filter_map(|place| attribute(place.root_element(), name));
        let mut images = values
            .flat_map(|value| parse(value, limit))
            .collect::<Vec<_>>();
        images.sort_by(|a, b| {
            let by_width = b.width.total_cmp(&a.width);
            by_width.then(b.density.total_cmp(&a.density))
        });
        found.extend(images.into_iter().map(|image| image.address));
        if found.len() >= limit {
            found.truncate(limit);
            break;
        }
    }
    found
}

/// The `<picture>` that an element is in.
fn picture(place: HtmlPlace<'_>) -> Option<ElementRef<'_>> {
    let parent = place.root_element().parent().and_then(ElementRef::wrap);
    parent.filter(|parent| parent.value().name() == "picture")
}

/// At most `limit` images of one attribute.
fn parse(srcset: &str, limit: usize) -> Vec<SourceImage> {
    let mut images = Vec::new();
    let mut rest = srcset;
    while images.len() < limit {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if rest.is_empty() {
            break;
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace());
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        // A comma within an address is a part of it, one at its end ends the image.
        let (address, descriptors, after) = if let Some(address) = word.strip_suffix(',') {
            (address.trim_end_matches(','), "", behind)
        } else {
            let (descriptors, after) = until_comma(behind);
            (word, descriptors, after)
        };
        rest = after;
        let (width, density) = sizes(descriptors);
        if !address.is_empty() {
            images.push(SourceImage {
                address: address.to_owned(),
                width,
                density,
            });
        }
    }
    images
}

/// The descriptors before the next comma outside of parentheses, and what is behind the comma.
fn until_comma(text: &str) -> (&str, &str) {
    let mut open = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => open += 1,
            b')' => open = open.saturating_sub(1),
            b',' if open == 0 => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

/// Width and density of the descriptors.
fn sizes(descriptors: &str) -> (f64, f64) {
    let (mut width, mut density) = (0.0, 1.0);
    for word in descriptors.split_ascii_whitespace() {
        let number = |unit: char| {
            let digits = word.strip_suffix(unit)?;
            let number = digits.parse::<f64>().ok()?;
            (number.is_finite() && number >= 0.0).then_some(number)
        };
        if let Some(number) = number('w') {
            width = number;
        } else if let Some(number) = number('x') {
            density = number;
        }
    }
    (width, density)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(srcset: &str) -> Vec<String> {
        parse(srcset, 100)
            .into_iter()
            .map(|image| image.address)
            .collect()
    }

    #[test]
    fn a_srcset_is_split_as_the_html_standard_says() {
        let cases: [(&str, &[&str]); 10] = [
            ("a.jpg", &["a.jpg"]),
            ("a.jpg 1x, b.jpg 2x", &["a.jpg", "b.jpg"]),
            ("a.jpg 480w,b.jpg 800w", &["a.jpg", "b.jpg"]),
            (" , a.jpg,  b.jpg , ", &["a.jpg", "b.jpg"]),
            ("a.jpg, b.jpg 2x", &["a.jpg", "b.jpg"]),
            (
                "/iiif/full/843,/0/a.jpg 843w, /iiif/full/1686,/0/a.jpg 1686w",
                &["/iiif/full/843,/0/a.jpg", "/iiif/full/1686,/0/a.jpg"],
            ),
            ("a.jpg\n 1x,\n b.jpg\t2x", &["a.jpg", "b.jpg"]),
            ("a.jpg (x, y) 1x, b.jpg", &["a.jpg", "b.jpg"]),
            (
                "data:image/gif;base64,R0l 1x",
                &["data:image/gif;base64,R0l"],
            ),
            (",,,", &[]),
        ];
        for (srcset, expected) in cases {
            assert_eq!(addresses(srcset), expected, "{srcset}");
        }
    }

    #[test]
    fn descriptors_of_a_srcset_are_numbers_and_others_count_as_none() {
        assert_eq!(sizes("480w"), (480.0, 1.0));
        assert_eq!(sizes(" 2.5x "), (0.0, 2.5));
        assert_eq!(sizes("800w 600h"), (800.0, 1.0));
        for odd in ["", "w", "x", "nanx", "infw", "-1x", "big"] {
            assert_eq!(sizes(odd), (0.0, 1.0), "{odd}");
        }
    }
}
