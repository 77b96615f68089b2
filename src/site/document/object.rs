//! An object whose members are wanted, with their names: `listing.continue`.

use toml::Spanned;

use super::json::{JsonPointer, JsonValue};
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
        let members = match places.first().map(|place| place.value) {
            Some(JsonValue::Object(members)) => members,
            None | Some(JsonValue::Null | JsonValue::Bool(false)) => return Ok(Vec::new()),
            Some(JsonValue::List(list)) if list.is_empty() => return Ok(Vec::new()),
            Some(JsonValue::Text(text)) if text.is_empty() => return Ok(Vec::new()),
            Some(_) => return Err("it is not an object"),
        };
        let members = members
            .iter()
            .filter(|(_, value)| *value != JsonValue::Null);
        let texts = members.map(|(name, value)| {
            let text = value.scalar().ok_or("a member of it is not a text")?;
            Ok((name.to_string(), text.into_owned()))
        });
        texts.collect()
    }
}
