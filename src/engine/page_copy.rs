//! Copies of listing pages that do not look as the site's definition says, for whoever mends it.

use std::fs;
use std::path::{Path, PathBuf};

use encoding_rs::UTF_8;

use crate::fetch::Page;
use crate::job::SiteId;
use crate::mask::Masks;

/// Where copies go: for each site the page that was wrong last.
#[derive(Debug, Clone)]
pub struct PageCopies {
    /// Made when it is needed.
    pub folder: PathBuf,
}

impl PageCopies {
    /// Writes a copy of a page without secrets, in place of the site's former one. Returns where it is; `None` when it could not be
    /// written, which is no reason to stop: the run ends with an error already.
    pub(super) async fn keep(&self, site: &SiteId, page: &Page, masks: &Masks) -> Option<String> {
        let path = self.folder.join(format!("{site}.{}", extension(page)));
        let bytes = bytes(page, masks);
        let written = tokio::task::spawn_blocking(move || {
            write(&path, &bytes).ok()?;
            Some(path.display().to_string())
        });
        written.await.ok().flatten()
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, bytes)
}

/// The name's end that lets `sites test` parse the copy as the page was parsed.
fn extension(page: &Page) -> &'static str {
    if page.is_xml {
        "xml"
    } else if page.text.trim_start().starts_with(['{', '[']) {
        "json"
    } else {
        "html"
    }
}

/// The text in UTF-8. A page that was in another encoding may still name that one, so a byte order mark comes first.
fn bytes(page: &Page, masks: &Masks) -> Vec<u8> {
    let mark = if page.encoding == UTF_8 {
        ""
    } else {
        "\u{feff}"
    };
    [mark, &masks.apply(&page.text)].concat().into_bytes()
}
