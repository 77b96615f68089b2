//! Bodies: what a response's headers say about one, the rest of a partial file, the stream of
//! bytes, its content codings, and the text of a page. Where the bytes come from is behind [`BodySource`].

mod archived;
mod charset;
mod coding;
mod disposition;
mod head;
mod layer;
mod link;
mod page;
mod ranges;
mod source;
mod stream;
mod transfer;

pub(super) use self::archived::ArchivedBody;
pub use self::coding::undo_codings;
pub(super) use self::coding::{Accepted, PAGE_CODINGS, unpacked_start};
pub(super) use self::head::{content_length, head_size, redirect_target, text_value};
pub(super) use self::link::next_link;
pub(super) use self::page::ends_like_html;
pub use self::page::{Page, RawPage, decode};
pub use self::ranges::parse_content_range;
pub(super) use self::ranges::{RangeRequest, whole_range};
pub(super) use self::source::{BodySource, BrokenBody};
pub(super) use self::stream::BodyStream;
