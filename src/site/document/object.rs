//! An object whose members are wanted, with their names: `listing.continue`.

use toml::Spanned;

use super::json::{JsonPointer, JsonView};
use super::{DocumentKind, Node, Place, SourceContext};
use crate::site::diagnostic::Diagnostic;

/// Where in a JSON page an object is.
#[derive(Debug)]
pub(in crate::site) struct ObjectPath(JsonPointer);

impl ObjectPath {
    pub(in crate::site) fn compile(
        written: &Spanned<String>,
        context: SourceContext<'_>,
    ) -> Result<Self, Diagnostic> {
        match context.kind {
            DocumentKind::Json | DocumentKind::Embedded(_) => {}
            DocumentKind::Html | DocumentKind::Xml(_) => {
                return Err(Diagnostic::at(written, "only a JSON page has an object")
                    .help("use `next` or `cursor`, or `kind = \"json\"`"));
            }
        }
        let pointer = JsonPointer::compile(written.get_ref(), written)?;
        if pointer.takes_names() {
            return Err(
                Diagnostic::at(written, "the name of a member is not an object")
                    .help("remove the `?`"),
            );
        }
        Ok(Self(pointer))
    }

    /// The names and texts of the members that are not null, in the page's order; none where nothing is there, or
    /// `false`, or what is empty.
    ///
    /// # Errors
    ///
    /// When something else is there, or a member is no text: why.
    pub(in crate::site) fn members(
        &self,
        root: Node<'_>,
    ) -> Result<Vec<(String, String)>, &'static str> {
        let Place::Json(place) = root.place else {
            return Ok(Vec::new());
        };
        let places = self.0.places(place, &root.shared.work, 1);
        let members = match places.first().map(|place| place.value.view()) {
            Some(JsonView::Object(members)) => members,
            None | Some(JsonView::Null | JsonView::Bool(false)) => return Ok(Vec::new()),
            Some(JsonView::List(list)) if list.len() == 0 => return Ok(Vec::new()),
            Some(JsonView::Text(text)) if text.decoded().is_empty() => return Ok(Vec::new()),
            Some(_) => return Err("it is not an object"),
        };
        let members = members.filter(|(_, value)| !value.is_null());
        let texts = members.map(|(name, value)| {
            let text = value.scalar().ok_or("a member of it is not a text")?;
            Ok((name.decoded().into_owned(), text.into_owned()))
        });
        texts.collect()
    }
}
