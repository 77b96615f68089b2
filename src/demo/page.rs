//! The gallery's pages: a listing's markup as the real site has it, everything else as little as will do.

use std::fmt::Write as _;

use super::gallery::{Gallery, Picture};

/// The size of a listing's thumbs.
pub(super) const SMALL: (u32, u32) = (295, 184);

/// The size of a detail page's thumb.
pub(super) const MIDDLING: (u32, u32) = (625, 385);

/// People who never were; the last have no page of their own.
const CREATORS: [(&str, &str); 7] = [
    ("Ada Fernweh", "https://ada.invalid/"),
    ("Bo & Co.", "https://bo.invalid/?from=demo&to=you"),
    ("Noor", "https://noor.invalid/work"),
    ("P. Ink", "https://ink.invalid/"),
    ("Tove Ahlgren", "https://tove.invalid/"),
    ("lucia", ""),
    ("someone", ""),
];

/// What real pages carry between head and body: script that looks like markup to a parser that reads by pattern.
const SCRIPT: &str = concat!(
    "<script type=\"text/javascript\">\n",
    "\tvar notice = '<scr' + 'ipt src=\"/notice.js\"></scr' + 'ipt><img src=\"/notice.gif\" alt=\"\" />';\n",
    "\tif (false && 1 < 2) { document.write(notice); }\n",
    "</script>",
);

/// The address of a picture's thumb: the original's, and a suffix that ends in `.png` for every format.
pub(super) fn thumb((width, height): (u32, u32), path: &str) -> String {
    format!("{path}.{width}x{height}_q100.png")
}

/// Page `number` of the listing; `host` is the name by which the gallery was requested, and is in the thumbs' addresses.
/// `None` past the last page.
pub(super) fn listing(gallery: &Gallery, number: usize, host: &str) -> Option<String> {
    let pictures = gallery.page(number);
    if pictures.is_empty() {
        return None;
    }
    let mut items = String::from("<div class=\"desktops column span-24 archive\">\n");
    for picture in pictures {
        item(&mut items, picture, host);
    }
    items.push_str("\t\t\t</div>\n");
    for (page, class) in [(number - 1, "newer"), (number + 1, "more")] {
        if !gallery.page(page).is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(
                items,
                "\t\t\t<a class=\"{class}\" href=\"/browse/{page}/\">{class}</a>"
            );
        }
    }
    Some(html(&format!("Wallpapers, page {number}"), SCRIPT, &items))
}

fn item(items: &mut String, picture: &Picture, host: &str) {
    let (width, height) = SMALL;
    let (title, detail) = (escape(&picture.title), escape(&picture.detail));
    let thumb = escape(&format!("http://{host}{}", thumb(SMALL, &picture.path)));
    let creator = creator(picture);
    let _ = write!(
        items,
        "\t\t\t\t<div class=\"edge\">\n\
         \t\t\t\t\t<div class=\"desktop\" height=\"{height}px\">\n\
         \t\t\t\t\t\t<a href=\"{detail}\">\n\
         \t\t\t\t\t\t\t<img src=\"{thumb}\" title=\"{title}\" alt=\"{title}\" width=\"{width}px\" height=\"{height}px\" />\n\
         \t\t\t\t\t\t</a>\n\
         \t\t\t\t\t\t<h2><a href=\"{detail}\">{title}</a></h2>\n\
         \t\t\t\t\t\t{creator}\n\
         \t\t\t\t\t</div>\n\
         \t\t\t\t</div>\n"
    );
}

/// The page of picture `number`, counted from 0, with a link to its original by way of `/download/`.
pub(super) fn detail(picture: &Picture, number: usize, host: &str) -> String {
    let title = escape(&picture.title);
    let thumb = escape(&format!("http://{host}{}", thumb(MIDDLING, &picture.path)));
    let (width, height) = MIDDLING;
    let creator = creator(picture);
    let body = format!(
        "<div class=\"desktop-detail\">\n\
         \t\t\t\t<div class=\"desktop\">\n\
         \t\t\t\t\t<a href=\"/download/?desktop={number}\"><img src=\"{thumb}\" title=\"{title}\" alt=\"{title}\" \
         width=\"{width}px\" height=\"{height}px\" /></a>\n\
         \t\t\t\t\t<h2><a href=\"/download/?desktop={number}\">{title}</a></h2>\n\
         \t\t\t\t\t{creator}\n\
         \t\t\t\t</div>\n\
         \t\t\t</div>\n"
    );
    html(&title, "", &body)
}

/// What is said of an address that leads nowhere; it shows no picture.
pub(super) fn not_found() -> String {
    html(
        "Nothing here",
        "",
        "<h1>404</h1>\n\t\t\t<p>No picture hangs here. <a href=\"/browse/\">All of them</a></p>\n",
    )
}

fn creator(picture: &Picture) -> String {
    let which = usize::from(picture.seed.to_le_bytes()[0]) % CREATORS.len();
    let (name, page) = CREATORS[which];
    format!(
        "<span class=\"creator\">By: <a href=\"{}\">{}</a></span>",
        escape(page),
        escape(name)
    )
}

fn html(title: &str, script: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n\t<meta charset=\"utf-8\">\n\t<title>{title}</title>\n\t{script}\n</head>\n\
         <body>\n\t<div class=\"wrapper\"><div class=\"container\">\n\t\t<div class=\"column span-28\">\n\t\t\t{body}\
         \t\t</div>\n\t</div></div>\n</body>\n</html>\n"
    )
}

/// Makes `text` harmless between tags and in a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Gallery {
        let hostile = Picture {
            title: "\"><script>".to_owned(),
            ..Picture::at("/uploads/desktops/2018/03/29/a.jpg")
        };
        Gallery::new(vec![
            hostile,
            Picture::at("/uploads/desktops/2010/08/31/.png"),
        ])
    }

    #[test]
    fn a_thumb_is_absolute_and_ends_in_png_whatever_the_original_is() {
        let page = listing(&two(), 1, "127.0.0.1:8080").unwrap();
        let thumbs: Vec<&str> = page
            .split("<img src=\"http")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(
            thumbs,
            [
                "://127.0.0.1:8080/uploads/desktops/2018/03/29/a.jpg.295x184_q100.png",
                "://127.0.0.1:8080/uploads/desktops/2010/08/31/.png.295x184_q100.png",
            ]
        );
    }

    #[test]
    fn text_that_looks_like_markup_stays_text() {
        let page = listing(&two(), 1, "\"><script>").unwrap();
        assert!(!page.contains("\"><script>"));
        assert!(page.contains("title=\"&quot;&gt;&lt;script&gt;\""));
    }

    #[test]
    fn a_page_past_the_last_is_none_and_says_so_without_a_picture() {
        assert!(listing(&two(), 2, "x").is_none());
        assert!(listing(&two(), 0, "x").is_none());
        assert!(!not_found().contains("img"));
    }

    #[test]
    fn only_a_page_with_a_successor_links_to_it() {
        let gallery = Gallery::new(
            (0..29)
                .map(|at| Picture::at(&format!("/{at}.png")))
                .collect(),
        );
        assert!(
            listing(&gallery, 1, "x")
                .unwrap()
                .contains("href=\"/browse/2/\"")
        );
        assert!(
            !listing(&gallery, 2, "x")
                .unwrap()
                .contains("href=\"/browse/3/\"")
        );
    }
}
