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

    /// The names and texts of the members that have a text, in the page's order.
    pub(in crate::site) fn members(&self, root: Node<'_>) -> Vec<(String, String)> {
        let Place::Json(place) = root.place else {
            return Vec::new();
        };
        let places = self.0.places(place, &root.shared.work, 1);
        let Some(JsonValue::Object(members)) = places.first().map(|place| place.value) else {
            return Vec::new();
        };
        let texts = members.iter().filter_map(|(name, value)| {
            let text = value.scalar()?;
            Some((name.to_string(), text.into_owned()))
        });
        texts.collect()
    }
}
